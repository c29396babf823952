"""Performance in service is the project's metric on the labels that came back, with what it rests on and what it cannot say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score, root_mean_squared_error
from tests.unit.live.in_service import Service
from tests.unit.stages.world import Always, EchoNumber

from keepfit.errors import ConfigError, Unavailable
from keepfit.records import Outcome


def test_it_is_the_projects_metric_on_the_champions_labelled_answers(tmp_path: Path) -> None:
    service = Service(tmp_path, {"train": {"metric": "f1", "positive": "a"}}, tags={"value": "0.9"})
    generator = np.random.default_rng(0)
    said, truth = ([str(each) for each in generator.choice(["a", "b"], 300)] for _ in range(2))
    service.serve(said, truth)
    service.serve(["a"] * 50, [None] * 50)
    found = service.live.performance()
    assert (found.metric, found.champion, found.n, found.rows, found.units) == ("f1", "1", 300, 350, 300)
    assert found.value == pytest.approx(f1_score(truth, said, pos_label="a"))
    assert found.interval is not None
    assert found.interval.low < found.value < found.interval.high
    assert (found.reference, found.notes) == (0.9, ())


def test_every_version_that_answered_is_told_and_silent_answers_are_not(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.serve(["a"] * 10, ["a"] * 10, silent={"2": ["b"] * 10})
    service.serve(["b"] * 4, ["a", "b", "b", None], version="3", route="challenger")
    found = service.live.performance()
    assert [(each.version, each.rows, each.n) for each in found.versions] == [("3", 4, 3), ("1", 10, 10)]
    assert [each.value for each in found.versions] == [pytest.approx(2 / 3), 1.0]
    assert found.rows == 10


def test_only_the_window_counts(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.serve(["b"] * 5, ["a"] * 5)
    service.world.clock.advance(3 * 86400)
    service.serve(["a"] * 3, ["a"] * 3)
    assert service.live.performance("1d").n == 3
    assert service.live.performance().n == 8  # serve.window is 7d
    for wrong in ("soon", "", "7", "99999999999999w"):
        with pytest.raises(ConfigError, match="window"):
            service.live.performance(wrong)


def test_without_labels_it_says_so_and_estimates_from_the_confidences(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.serve(["a"] * 30, [None] * 30, score=0.8)
    found = service.live.performance()
    assert (found.value, found.interval, found.n) == (None, None, 0)
    assert found.estimate is not None
    assert (found.estimate.value, found.estimate.n, found.estimate.error) == (pytest.approx(0.8), 30, None)


def test_the_estimate_is_checked_on_the_labels_that_there_are(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.serve(["a"] * 40, ["a"] * 20 + ["b"] * 20, score=0.9)
    service.serve(["a"] * 10, [None] * 10, score=0.7)
    estimate = service.live.performance().estimate
    assert estimate is not None
    assert (estimate.value, estimate.labelled, estimate.error) == (pytest.approx(0.7), 40, pytest.approx(0.4))


def test_numbers_have_their_metric_and_no_estimate(tmp_path: Path) -> None:
    service = Service(
        tmp_path, {"project": {"task": "regression"}, "train": {"metric": "root_mean_squared_error"}}, (EchoNumber("x"),)
    )
    service.serve([1.0, 2.0, 5.0], [1.0, 4.0, 5.5], score=None)
    service.serve([1.0], [None], score=None)
    found = service.live.performance()
    assert found.value == pytest.approx(root_mean_squared_error([1.0, 4.0, 5.5], [1.0, 2.0, 5.0]))
    assert found.estimate is None


@pytest.mark.parametrize("metric", ["log_loss", "brier_score"])
def test_a_metric_that_needs_probabilities_is_replaced_and_that_is_said(tmp_path: Path, metric: str) -> None:
    service = Service(tmp_path, {"train": {"metric": metric}})
    service.serve(["a", "a", "b"], ["a", "b", "b"])
    found = service.live.performance()
    assert (found.metric, found.value, found.reference) == ("accuracy", pytest.approx(2 / 3), None)
    assert f"{metric} cannot be computed" in found.notes[0]


def test_a_metric_of_the_users_is_not_called_on_rows_that_it_does_not_know(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.serve(["a"], ["a"])
    service.world.change(train={"metric": "features:money", "greater_is_better": True})
    found = service.office().performance()
    assert found.metric == "accuracy"
    assert "features:money looks at prepared rows" in found.notes[0]


def test_groups_widen_the_interval(tmp_path: Path) -> None:
    alone = Service(tmp_path / "alone")
    together = Service(tmp_path / "together", {"data": {"group": "user"}})
    generator = np.random.default_rng(1)
    right = np.repeat(generator.random(20) < 0.7, 20)
    said = ["a" if each else "b" for each in right]
    for service in (alone, together):
        service.serve(said, ["a"] * 400, inputs=[{"user": f"u{place // 20}"} for place in range(400)])
    narrow, wide = alone.live.performance(), together.live.performance()
    assert (narrow.units, wide.units, narrow.value) == (400, 20, wide.value)
    assert wide.interval is not None
    assert narrow.interval is not None
    assert wide.interval.high - wide.interval.low > 2 * (narrow.interval.high - narrow.interval.low)


def test_with_the_registry_away_the_journal_knows_the_champion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(tmp_path)
    service.serve(["a"], ["a"])

    def away() -> Any:
        raise Unavailable("MLflow does not answer")

    monkeypatch.setattr(service.world.ports.registry, "champion", away)
    found = service.live.performance()
    assert (found.champion, found.value) == ("1", 1.0)
    assert "the registry is away" in found.notes[-1]


def test_probation_is_told_with_it(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.promote("2")
    service.live.oversee()
    told = service.live.performance().probation
    assert told is not None
    assert told.champion == "2"


def test_an_empty_log_is_no_error(tmp_path: Path) -> None:
    found = Service(tmp_path).live.performance()
    assert (found.value, found.rows, found.versions) == (None, 0, ())
    nobody = Service(tmp_path / "new", models=()).live.performance()
    assert (nobody.champion, nobody.value) == (None, None)


def test_history_tells_cycles_in_short(tmp_path: Path) -> None:
    columns = {"x": {"type": "number"}, "y": {"type": "category", "values": ["a", "b"]}}
    service = Service(tmp_path, {"data": {"columns": columns}}, models=())
    frame = {"x": [float(place) for place in range(200)], "y": ["a", "b"] * 100}
    first = service.learn("one.csv", frame, Always("a"))
    waiting = service.learn("one-again.csv", frame, Always("a"))
    assert (first.outcome, waiting.outcome) == (Outcome.PROMOTED, Outcome.WAITING)
    told = service.live.history(5)
    assert [(each.cycle, each.outcome, each.challenger, each.promoted) for each in told] == [(first.id, Outcome.PROMOTED, "1", "1")]
    assert "there is no champion yet" in str(service.ledger.cycles.load("demo", first.id).decision.reasons)
    assert service.live.history(0) == []
