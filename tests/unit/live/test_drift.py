"""A look at drift that was asked for finds what a cycle would find, and leaves no trace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.unit.live.in_service import Service
from tests.unit.stages.world import Echo

from keepfit.codec import dumps, loads
from keepfit.errors import ConfigError, DataError, NotFound
from keepfit.records import Action

NUMBERS = {"x": {"type": "number"}, "y": {"type": "category", "values": ["yes", "no"]}}
TEXTS = {"message": {"type": "text"}, "y": {"type": "category", "values": ["spam", "ham"]}}
OLD = (
    "meet",
    "me",
    "at",
    "noon",
    "for",
    "lunch",
    "with",
    "the",
    "whole",
    "team",
    "and",
    "bring",
    "your",
    "notes",
    "please",
    "thanks",
)
NEW = ("claim", "free", "crypto", "airdrop", "wallet", "bonus", "now", "verify", "token", "instantly")


class Words(Echo):
    """Says ham of everything."""

    def __init__(self) -> None:
        super().__init__("message", ("ham", "spam"))

    def predict(self, features: Any) -> np.ndarray:
        return np.full(len(features), "ham", dtype=object)


def numbers(n: int, shift: float = 0.0, seed: int = 0) -> list[dict[str, Any]]:
    return [{"x": float(value)} for value in np.random.default_rng(seed).normal(shift, 1, n)]


def texts(n: int, words: tuple[str, ...], seed: int = 0) -> list[dict[str, Any]]:
    generator = np.random.default_rng(seed)
    return [{"message": " ".join(generator.choice(words, 12))} for _ in range(n)]


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """Its champion was trained on 600 numbers, and echoes their sign."""
    made = Service(tmp_path, {"data": {"columns": NUMBERS}}, models=())
    frame = pl.DataFrame(numbers(800, seed=1)).with_columns(y=pl.when(pl.col("x") > 0).then(pl.lit("yes")).otherwise(pl.lit("no")))
    made.learn("one.csv", frame, Echo("x"))
    return made


@pytest.fixture
def messages(tmp_path: Path) -> Service:
    made = Service(tmp_path, {"data": {"columns": TEXTS}}, models=())
    rows = [{**row, "y": "ham" if place % 3 else "spam"} for place, row in enumerate(texts(600, OLD))]
    made.learn("one.csv", pl.DataFrame(rows), Words())
    return made


def test_rows_that_are_like_the_reference_show_no_drift_and_nothing_is_to_be_done(service: Service) -> None:
    found = service.live.calculate_drift(numbers(400, seed=2))
    assert (found.drift_detected, found.drifted, found.recommendation) == (False, (), Action.NO_ACTION)
    assert (found.rows, found.of, found.champion, found.since) == (400, 400, "1", None)
    assert [column.name for column in found.columns] == ["x"]
    assert found.false_alarms == 0.01
    assert (found.vocabulary_drift, found.tfidf_drift) == (None, None)


def test_rows_that_are_not_do_and_a_retraining_is_recommended_with_the_reason(service: Service) -> None:
    found = service.live.calculate_drift(numbers(400, shift=2.0))
    assert (found.drift_detected, found.recommendation) == (True, Action.RETRAIN)
    assert "x" in found.drifted
    assert "columns drifted on 400 new rows: " in found.reason
    assert found.threshold == 0.1


def test_too_little_is_said_to_be_too_little(service: Service) -> None:
    found = service.live.calculate_drift(numbers(3, shift=9.0))
    assert (found.drift_detected, found.recommendation, found.enough) == (None, Action.NO_ACTION, False)
    assert "drift could not be measured" in found.reason


def test_a_column_that_broke_calls_for_a_person(service: Service) -> None:
    found = service.live.calculate_drift([{"x": None}] * 100)
    assert found.recommendation is Action.ALERT
    assert "x is broken" in found.reason


def test_the_window_of_the_log_is_looked_at_without_rows(service: Service) -> None:
    service.serve(["yes"] * 300, [None] * 300, inputs=numbers(300, seed=3))
    quiet = service.live.calculate_drift()
    assert (quiet.drift_detected, quiet.rows) == (False, 300)
    assert quiet.since is not None
    service.world.clock.advance(3600)
    service.serve(["yes"] * 300, [None] * 300, version="2", inputs=numbers(300, shift=3.0))
    assert service.live.calculate_drift(window="30m").drift_detected is True
    service.world.clock.advance(30 * 86400)
    with pytest.raises(NotFound, match="Nothing was asked"):
        service.live.calculate_drift()


def test_labels_in_the_log_count_for_the_recommendation(service: Service) -> None:
    """Half of the answers are wrong, on rows that look as ever."""
    rows = numbers(400, seed=4)
    truth = ["yes" if row["x"] > 0 else "no" for row in rows]
    said = [each if place % 2 else "no" if each == "yes" else "yes" for place, each in enumerate(truth)]
    service.serve(said, truth, inputs=rows)
    found = service.live.calculate_drift()
    assert (found.drift_detected, found.recommendation) == (False, Action.RETRAIN)
    assert "accuracy 0.5 is worse than" in found.reason
    assert found.label is not None


def test_texts_say_how_far_words_and_weights_drifted_and_what_is_new_in_which_class(messages: Service) -> None:
    said = messages.live.calculate_drift(texts(300, NEW))
    assert said.drift_detected is True
    assert said.vocabulary_drift is not None
    assert said.tfidf_drift is not None
    assert said.vocabulary_drift > 0.9
    assert said.tfidf_drift > 0.9
    assert said.threshold is not None
    assert {pattern.term for pattern in said.new_patterns["ham"]} & set(NEW)
    quiet = messages.live.calculate_drift(texts(300, OLD, seed=9))
    assert quiet.drift_detected is False
    assert quiet.vocabulary_drift is not None
    assert abs(quiet.vocabulary_drift) < 0.05
    assert quiet.new_patterns == {}


def test_a_look_leaves_no_trace_and_spends_none_of_the_loops_false_alarms(service: Service) -> None:
    before = vars(service.ledger).copy()
    first = service.live.calculate_drift(numbers(200, shift=2.0))
    cycles = service.ledger.cycles.recent("demo", 10)
    assert [service.live.calculate_drift(numbers(200, shift=2.0)) for _ in range(2)] == [first, first]
    assert service.ledger.cycles.recent("demo", 10) == cycles
    assert service.ledger.audit.recent("demo") == []
    assert service.ledger.documents.get("demo", "probation") is None
    assert vars(service.ledger).keys() == before.keys()


def test_features_are_made_as_the_champion_knows_them(tmp_path: Path) -> None:
    features = "def prepare(frame):\n    return frame.assign(double=frame['x'] * 2)\n"
    settings = {"data": {"columns": NUMBERS, "prepare": "features:prepare"}}
    service = Service(tmp_path, settings, models=(), features=features)
    frame = pl.DataFrame(numbers(600)).with_columns(y=pl.when(pl.col("x") > 0).then(pl.lit("yes")).otherwise(pl.lit("no")))
    service.learn("one.csv", frame, Echo("double"))
    assert {column.name for column in service.live.calculate_drift(numbers(100)).columns} == {"x", "double"}


def test_of_very_many_rows_an_even_part_is_looked_at_and_that_is_said(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keepfit.live.drift.MOST_ROWS", 100)
    found = service.live.calculate_drift(numbers(250))
    assert (found.rows, found.of) == (84, 250)


def test_what_cannot_be_looked_at_says_why(service: Service, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no rows"):
        service.live.calculate_drift([])
    with pytest.raises(DataError, match="x: expected"):
        service.live.calculate_drift([{"x": "many"}] * 50)
    with pytest.raises(ConfigError, match="window"):
        service.live.calculate_drift(window="soon")
    with pytest.raises(NotFound, match="no champion"):
        Service(tmp_path / "new", models=()).live.calculate_drift(numbers(10))


def test_a_log_without_the_fields_cannot_be_looked_at(service: Service) -> None:
    service.world.change(serve={"log": {"omit": ["x"]}})
    with pytest.raises(DataError, match=r"The log has no x .* Give rows instead"):
        service.office().calculate_drift()


def test_a_champion_made_elsewhere_has_no_reference_and_that_is_said(tmp_path: Path) -> None:
    service = Service(tmp_path, {"data": {"columns": NUMBERS}}, models=(Echo("x"),))
    found = service.live.calculate_drift(numbers(50))
    assert (found.drift_detected, found.enough) == (None, False)
    assert "has no reference" in found.reason


def test_the_loops_latest_report_is_told(service: Service) -> None:
    with pytest.raises(NotFound, match="No cycle has measured drift"):
        service.live.drift()
    frame = pl.DataFrame(numbers(300, shift=2.0)).with_columns(y=pl.lit("yes"))
    cycle = service.learn("two.csv", frame, Echo("x"))
    found = service.live.drift()
    assert (found.cycle, found.drift_detected, found.report) == (cycle.id, True, cycle.drift)
    assert found.action is not None
    assert "drift_status.json" in found.files


def test_all_that_is_told_goes_through_json(service: Service) -> None:
    service.learn("two.csv", pl.DataFrame(numbers(300, shift=2.0)).with_columns(y=pl.lit("yes")), Echo("x"))
    service.serve(["yes"] * 3, ["yes", "no", None], inputs=numbers(3))
    live = service.live
    for told in (live.performance(), live.comparison(), live.drift(), live.calculate_drift(numbers(60)), live.routing()):
        assert loads(type(told), dumps(told)) == told
    assert json.loads(dumps(live.history()))[0]["action"]
    assert json.loads(dumps(live.routes()))["champion"] == "1"
