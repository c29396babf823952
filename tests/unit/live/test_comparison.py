"""Two models in service are compared honestly on what came back: on the same requests where they can be, group by group."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.unit.live.in_service import Service
from tests.unit.stages.world import EchoNumber

from keepfit.live.comparison import Pair, compare_silent
from keepfit.live.losses import Scale, losses, scale_of
from keepfit.live_records import Finding, LiveComparison, Mode
from keepfit.stats.sequential import difference_bounds, mean_bounds

SHADOW = {"serve": {"routing": {"mode": "shadow", "challenger": "2"}}}
SPLIT = {"serve": {"routing": {"mode": "split", "challenger": "2"}}}


def compared(service: Service) -> LiveComparison:
    found = service.live.comparison().comparison
    assert found is not None
    return found


def answers(right: int, wrong: int) -> list[str]:
    return ["a"] * right + ["b"] * wrong


def test_a_silent_challenger_is_compared_on_the_same_requests(tmp_path: Path) -> None:
    service = Service(tmp_path, SHADOW)
    service.live.routes()
    service.serve(answers(60, 40), ["a"] * 100, silent={"2": answers(90, 10)})
    found = compared(service)
    expected = mean_bounds(np.repeat([0.0, 1.0], [70, 30]), 0.05)
    assert (found.champion, found.challenger, found.paired, found.n, found.units) == ("1", "2", True, 100, 100)
    assert (found.champion_loss, found.challenger_loss) == (0.4, 0.1)
    assert found.difference == pytest.approx(0.3)
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == (expected.low, expected.high)
    assert found.finding is Finding.BETTER
    assert found.reason.startswith("version 2 is better than version 1: mean loss 0.1 against 0.4 on 100 labelled requests")


def test_a_challenger_with_traffic_of_its_own_is_compared_by_two_means(tmp_path: Path) -> None:
    service = Service(tmp_path, SPLIT)
    service.live.routes()
    service.serve(answers(300, 100), ["a"] * 400)
    service.serve(answers(20, 80), ["a"] * 100, version="2", route="challenger")
    found = compared(service)
    champion, challenger = np.repeat([0.0, 1.0], [300, 100]), np.repeat([0.0, 1.0], [20, 80])
    expected = difference_bounds(champion, challenger, 0.05)
    assert (found.paired, found.n, found.champion_loss, found.challenger_loss) == (False, 500, 0.25, 0.8)
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == (expected.low, expected.high)
    assert found.finding is Finding.WORSE


def test_equal_models_stay_undecided(tmp_path: Path) -> None:
    service = Service(tmp_path, SHADOW)
    service.live.routes()
    service.serve(answers(80, 20), ["a"] * 100, silent={"2": ["b"] * 20 + ["a"] * 80})
    found = compared(service)
    assert found.finding is Finding.UNDECIDED
    assert "cannot be told apart yet" in found.reason


def test_what_was_asked_before_the_routing_began_does_not_count(tmp_path: Path) -> None:
    service = Service(tmp_path, SHADOW)
    service.serve(answers(0, 50), ["a"] * 50, silent={"2": answers(50, 0)})
    service.live.routes()  # the first look at the settings
    service.serve(answers(5, 0), ["a"] * 5, silent={"2": answers(5, 0)})
    assert compared(service).n == 5


def test_requests_that_one_of_the_two_has_no_answer_for_are_counted_and_left_out(tmp_path: Path) -> None:
    service = Service(tmp_path, SHADOW)
    service.live.routes()
    service.serve(answers(10, 0), ["a"] * 8 + [None] * 2, silent={"2": [None] * 3 + ["a"] * 7})
    found = compared(service)
    assert (found.n, found.excluded) == (5, 3)


def test_two_silent_models_do_not_stand_in_each_others_way(tmp_path: Path) -> None:
    service = Service(tmp_path, {"serve": {"routing": {"mode": "shadow", "challenger": "3"}}})
    service.promote("2")
    service.live.oversee()
    assert service.live.routes().shadows == ("1", "3")
    service.serve(answers(0, 6), ["a"] * 6, silent={"1": answers(6, 0), "3": answers(3, 3)})
    found = service.live.comparison()
    assert found.comparison is not None
    assert found.probation is not None
    assert found.probation.comparison is not None
    assert (found.comparison.challenger, found.comparison.challenger_loss) == ("3", 0.5)
    assert (found.probation.comparison.challenger, found.probation.comparison.challenger_loss) == ("1", 0.0)


def test_without_a_challenger_it_says_why_nothing_is_compared(tmp_path: Path) -> None:
    found = Service(tmp_path).live.comparison()
    assert (found.comparison, found.champion) == (None, "1")
    assert "the champion answers alone" in found.reason
    unknown = Service(tmp_path, {"serve": {"routing": {"mode": "shadow", "challenger": "9"}}}).live.comparison()
    assert (unknown.comparison, unknown.reason) == (None, "there is no version '9'")


def test_before_the_first_label_nothing_is_claimed(tmp_path: Path) -> None:
    service = Service(tmp_path, SHADOW)
    service.live.routes()
    found = compared(service)
    assert (found.n, found.difference, found.finding) == (0, None, Finding.UNDECIDED)
    assert "nothing can be said yet" in found.reason


# --------------------------------------------------------------------------------------------------------------- groups


def test_one_customers_hundred_requests_count_once(tmp_path: Path) -> None:
    settings: dict[str, Any] = {**SHADOW, "data": {"group": "customer"}}
    service = Service(tmp_path, settings)
    service.live.routes()
    asked = [{"customer": "ada"}] * 100 + [{"customer": "bob"}] * 2
    service.serve([*answers(0, 100), "a", "b"], ["a"] * 102, silent={"2": answers(102, 0)}, inputs=asked)
    found = compared(service)
    assert (found.n, found.units, found.champion_loss) == (102, 2, 0.75)
    assert found.finding is Finding.UNDECIDED  # as many independent requests would have shown it
    assert found.difference == 0.75
    assert any("customer count once" in note for note in found.notes)


def test_where_nothing_says_who_asked_it_is_said_that_each_request_counts(tmp_path: Path) -> None:
    split = {"serve": {"routing": {"mode": "split", "challenger": "2", "share": 0.5}}}
    service = Service(tmp_path / "one", split)
    service.live.routes()
    assert any("X-Route-Key is not kept" in note for note in compared(service).notes)
    split["serve"]["routing"]["sticky"] = "customer"
    service = Service(tmp_path / "two", split)
    service.live.routes()
    assert not any("X-Route-Key" in note for note in compared(service).notes)


def test_each_group_is_compared_with_itself(tmp_path: Path) -> None:
    settings: dict[str, Any] = {**SHADOW, "data": {"group": "customer"}}
    service = Service(tmp_path, settings)
    service.live.routes()
    asked = [{"customer": f"c{place // 2}"} for place in range(400)]
    said = (["a"] * 2 + ["b"] * 2) * 100  # every second customer is served wrongly, and by the silent one as well
    service.serve(said, ["a"] * 400, silent={"2": said}, inputs=asked)
    found, expected = compared(service), mean_bounds(np.zeros(200), 0.05)
    assert found.interval is not None
    assert (found.champion_loss, found.interval.low, found.interval.high) == (0.5, expected.low, expected.high)


def test_requests_without_a_group_each_count_for_themselves(tmp_path: Path) -> None:
    settings: dict[str, Any] = {**SHADOW, "data": {"group": "customer"}}
    service = Service(tmp_path, settings)
    service.live.routes()
    asked = [{"customer": None}] * 10 + [{"customer": "row 1"}]
    service.serve(answers(11, 0), ["a"] * 11, silent={"2": answers(11, 0)}, inputs=asked)
    assert compared(service).units == 11


def test_a_group_that_the_log_leaves_out_is_said_to_be_missing(tmp_path: Path) -> None:
    settings = {"serve": {**SHADOW["serve"], "log": {"omit": ["customer"]}}, "data": {"group": "customer"}}
    service = Service(tmp_path, settings)
    service.live.routes()
    service.serve(answers(3, 0), ["a"] * 3, silent={"2": answers(3, 0)})
    assert any("left out of the log" in note for note in compared(service).notes)


def test_shared_traffic_is_counted_by_what_it_is_shared_by(tmp_path: Path) -> None:
    service = Service(tmp_path, {"serve": {"routing": {"mode": "split", "challenger": "2", "sticky": "device"}}})
    service.live.routes()
    service.serve(answers(6, 0), ["a"] * 6, inputs=[{"device": "x"}] * 6)
    service.serve(answers(0, 4), ["a"] * 4, version="2", route="challenger", inputs=[{"device": "y"}, {"device": "z"}] * 2)
    found = compared(service)
    assert (found.n, found.units) == (10, 3)


# --------------------------------------------------------------------------------------------------------------- losses


def regression(tmp_path: Path, **tags: str) -> Service:
    settings = {**SHADOW, "project": {"task": "regression"}}
    return Service(tmp_path, settings, models=(EchoNumber("x"), EchoNumber("x")), tags=tags)


def test_numbers_are_compared_by_errors_on_the_champions_own_scale(tmp_path: Path) -> None:
    service = regression(tmp_path, metric="root_mean_squared_error", value="2.0")
    service.live.routes()
    service.serve([10.0, 12.0], [10.0, 10.0], silent={"2": [14.0, 10.0]}, score=None)
    found = compared(service)
    assert (found.champion_loss, found.challenger_loss) == (0.25, pytest.approx(1 / 3))  # 0, 2/4 against 4/6, 0
    assert "|e| / (|e| + 2)" in found.notes[0]


def test_the_scale_is_the_spread_of_the_labels_where_the_metric_is_no_error(tmp_path: Path) -> None:
    service = regression(tmp_path, metric="r2", value="0.9")
    ports = service.world.ports
    registered = ports.registry.versions["1"]
    registered.registration = replace(registered.registration, reference=pl.DataFrame({"__truth": [0.0, 10.0, 20.0, 30.0, 40.0]}))
    scale = scale_of(ports.registry.champion(), ports, service.world.config)
    assert scale is not None
    assert scale.value == 10.0


def test_without_any_scale_only_exact_answers_are_right_and_that_is_said(tmp_path: Path) -> None:
    service = regression(tmp_path, metric="r2", value="0.9")
    ports, config = service.world.ports, service.world.config
    assert scale_of(ports.registry.champion(), ports, config) is None
    assert list(losses(pl.Series([1.0, 2.0]), pl.Series([1.0, 5.0]), None, config)) == [0.0, 1.0]
    service.live.routes()
    assert "nothing says how large an error is usual" in compared(service).notes[0]


def test_one_answer_that_is_wildly_off_costs_no_more_than_one(tmp_path: Path) -> None:
    config = regression(tmp_path).world.config
    lost = losses(pl.Series([0.0, 1.0, 1e300]), pl.Series([0.0, 0.0, -1e300]), Scale(value=1.0, source=""), config)
    assert list(lost) == [0.0, 0.5, 1.0]


def test_what_is_no_number_is_no_loss(tmp_path: Path) -> None:
    config = regression(tmp_path).world.config
    lost = losses(pl.Series(["1.5", "high", None]), pl.Series(["1.5", "1", "1"]), Scale(value=1.0, source=""), config)
    assert lost[0] == 0.0
    assert np.isnan(lost[1:]).all()


def test_labels_as_files_write_them_mean_the_classes_that_they_mean(tmp_path: Path) -> None:
    config = Service(tmp_path, {"data": {"labels": {"ham": "0", "spam": "1"}}}).world.config
    assert list(losses(pl.Series(["0", "1", "1"]), pl.Series(["ham", "spam", "0"]), None, config)) == [0.0, 0.0, 1.0]


def test_classes_that_are_numbers_are_the_same_however_they_are_written(tmp_path: Path) -> None:
    config = Service(tmp_path).world.config
    assert list(losses(pl.Series(["1", "0"]), pl.Series([1.0, 1.0]), None, config)) == [0.0, 1.0]


def test_of_a_hundred_looks_at_equal_models_hardly_any_finds_a_difference(tmp_path: Path) -> None:
    service = Service(tmp_path, SHADOW)
    service.live.routes()
    generator, found = np.random.default_rng(5), []
    pair = Pair(champion="1", challenger="2", since=None, alpha=0.05)
    for _ in range(25):
        said = [[str(each) for each in generator.choice(["a", "b"], 40, p=[0.9, 0.1])] for _ in range(2)]
        service.serve(said[0], ["a"] * 40, silent={"2": said[1]})
        found.append(compare_silent(pair, None, service.world.ports, service.world.config).finding)
    assert found[-1] is Finding.UNDECIDED
    assert set(found) == {Finding.UNDECIDED}


def test_the_mode_is_told_with_the_comparison(tmp_path: Path) -> None:
    assert Service(tmp_path, SPLIT).live.comparison().routing.mode is Mode.SPLIT
