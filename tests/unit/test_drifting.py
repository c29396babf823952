"""A champion's reference: written with the version, read back, and what new rows are held against."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from tests.unit.stages.world import World

from keepfit.drifting import (
    Reference,
    current_of,
    earlier_looks,
    hold_against,
    importance,
    known_reference,
    look_number,
    new_patterns_in,
    reference_of,
)
from keepfit.errors import DataError
from keepfit.fitted import FittedModel
from keepfit.records import DriftReport, Outcome, PerformanceReport


class Line:
    """Its answers hang on `weight` alone, by a little on `age`."""

    def predict(self, rows: Any) -> np.ndarray:
        return 3 * rows["weight"].to_numpy() + 0.3 * rows["age"].to_numpy()


class Two:
    """A classifier that knows its probabilities."""

    classes_ = ("no", "yes")

    def predict(self, rows: Any) -> np.ndarray:
        return np.where(rows["weight"] > 0, "yes", "no")

    def predict_proba(self, rows: Any) -> np.ndarray:
        yes = 1 / (1 + np.exp(-rows["weight"].to_numpy()))
        return np.column_stack([1 - yes, yes])


def rows(n: int = 400, *, shift: float = 0.0, labels: str = "no yes", seed: int = 0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "weight": generator.normal(size=n) + shift,
            "age": generator.normal(size=n),
            "colour": generator.choice(["red", "blue"], n),
            "__truth": generator.choice(labels.split(), n),
            "__file": "f",
            "__group": [str(number) for number in range(n)],
        }
    )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def reference(world: World, model: Any = None, n: int = 400) -> Reference:
    return reference_of(rows(n), rows(200, seed=1), FittedModel(model or Two()), world.ports, world.config)


# ------------------------------------------------------------------------------------------------------------ reference


def test_a_reference_comes_back_from_its_text(world: World) -> None:
    made = reference(world)
    found = Reference.of(made.text())
    assert found.text() == made.text()
    assert set(found.features.columns) == {"weight", "age", "colour"}
    assert found.output is not None and set(found.output.columns) == {"prediction", "score of yes"}
    assert found.output.rows == 200  # answers on rows that the model has not seen
    assert found.label is not None and found.label.rows == 400


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"schema": 99}', '{"schema": 1, "features": null}', "{"])
def test_a_broken_reference_is_an_error_and_never_an_empty_one(text: str) -> None:
    with pytest.raises(DataError, match="reference"):
        Reference.of(text)


def test_a_truncated_or_changed_reference_is_an_error(world: World) -> None:
    text = reference(world).text()
    for end in range(0, len(text), 997):
        with pytest.raises(DataError):
            Reference.of(text[:end])
    tree = json.loads(text)
    del tree["features"]["columns"]
    with pytest.raises(DataError):
        Reference.of(json.dumps(tree))


def test_importance_is_how_much_the_answers_hang_on_a_feature() -> None:
    found = importance(FittedModel(Line()), rows(), seed=0)
    assert found["weight"] == 1.0
    assert found["age"] == pytest.approx(0.1, abs=0.03)
    assert found["colour"] == 0.0
    assert importance(FittedModel(Line()), rows(1), seed=0) == {}


# ----------------------------------------------------------------------------------------------------------------- look


def look(world: World, new: pd.DataFrame, model: Any = None, number: int = 1) -> DriftReport:
    then = reference(world, model, n=2000)
    answers = FittedModel(model or Two()).predict(new[["weight", "age", "colour"]])
    world.champion(Two())
    champion = world.ports.registry.champion()
    return hold_against(current_of(new, answers, then, world.ports, world.config), then, champion, number, world.config)


def test_equal_rows_have_not_drifted_in_features_answers_or_labels(world: World) -> None:
    report = look(world, rows(1000, seed=2))
    assert report.detected is False
    assert len(report.columns) == 3
    assert {column.name for column in report.output} == {"prediction", "score of yes"}
    assert report.label is not None and not report.label.drifted
    assert (report.reference_rows, report.rows, report.champion) == (2000, 1000, "1")


def test_a_shift_is_found_in_the_feature_and_in_the_answers_that_hang_on_it(world: World) -> None:
    report = look(world, rows(1000, shift=0.8, seed=2))
    assert report.detected is True
    assert report.drifted == ("weight",)
    assert {column.name for column in report.output if column.drifted} >= {"score of yes"}


def test_labels_alone_can_drift(world: World) -> None:
    report = look(world, rows(1000, labels="no yes yes yes", seed=2))
    assert report.detected is True
    assert report.drifted == ()
    assert report.label is not None and report.label.drifted


def test_the_rate_is_spent_over_the_looks_at_one_champion(world: World) -> None:
    new = rows(300, seed=2)
    first, tenth = look(world, new), look(world, new, number=10)
    assert first.false_alarms is not None and tenth.false_alarms is not None
    assert 0 < tenth.false_alarms < first.false_alarms <= 0.01
    world.change(monitor={"drift": {"spending": "each"}})
    assert look(world, new, number=10).false_alarms == 0.01


def test_too_few_rows_are_too_little_evidence_and_not_no_drift(world: World) -> None:
    report = look(world, rows(5, shift=9, seed=2))
    assert report.detected is None
    assert report.note


def test_rows_that_belong_together_count_as_one(world: World) -> None:
    """Ten groups of a hundred equal rows prove as little as ten rows."""
    world.change(data={"group": "who"})
    then = replace(reference(world, n=2000), units=2000)
    few = rows(10, seed=5)
    new = few.loc[few.index.repeat(100)].reset_index(drop=True).assign(__group=np.repeat(range(10), 100).astype(str))
    world.champion(Two())
    champion = world.ports.registry.champion()
    current = current_of(new, None, then, world.ports, world.config)
    assert current.units == 10
    assert hold_against(current, then, champion, 1, world.config).drifted == ()
    alone = replace(current, units=None)
    assert hold_against(alone, replace(then, units=None), champion, 1, world.config).drifted != ()


def test_looks_are_counted_by_champion(world: World) -> None:
    world.champion(Two())
    champion = world.ports.registry.champion()
    seen = DriftReport(detected=False, champion=champion.version, look=7)
    cycle = world.begin()
    assert look_number(champion, cycle, world.ports, world.config) == 1
    for drift in (
        seen,
        DriftReport(detected=False, champion="99", look=40),
        DriftReport(champion=champion.version, note="nothing"),
    ):
        world.ports.ledger.cycles.save(replace(world.begin(), drift=drift, stage="monitor"), world.ports.lease)
    assert look_number(champion, world.begin(), world.ports, world.config) == 8


def test_a_look_is_remembered_however_many_runs_have_failed_since(world: World) -> None:
    world.champion(Two())
    champion = world.ports.registry.champion()
    seen = DriftReport(detected=False, champion=champion.version, look=7)
    world.ports.ledger.cycles.save(replace(world.begin(), drift=seen, stage="monitor"), world.ports.lease)
    for _ in range(60):
        world.ports.ledger.cycles.save(replace(world.begin(), outcome=Outcome.FAILED, stage="validate"), world.ports.lease)
    assert look_number(champion, world.begin(), world.ports, world.config) == 8


def test_what_came_before_the_champion_is_not_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A first look at a young champion costs the same after ten cycles and after ten thousand."""
    for _ in range(120):
        world.ports.ledger.cycles.save(replace(world.begin(), outcome=Outcome.HEALTHY, stage="decide"), world.ports.lease)
    world.champion(Two())
    champion, cycles, asked = world.ports.registry.champion(), world.ports.ledger.cycles, []
    recent = type(cycles).recent

    def counted(self: Any, project: str, limit: int = 20, **more: Any) -> Any:
        asked.append(limit)
        return recent(self, project, limit, **more)

    monkeypatch.setattr(type(cycles), "recent", counted)
    assert look_number(champion, world.begin(), world.ports, world.config) == 1
    assert earlier_looks(champion, world.begin(), world.ports, world.config) == []
    assert asked == [50, 50]


def test_a_cycle_that_failed_is_no_look_of_its_own(world: World) -> None:
    world.champion(Two())
    champion = world.ports.registry.champion()
    for outcome in (Outcome.HEALTHY, Outcome.FAILED):
        looked = replace(world.begin(), performance=performance(champion.version), outcome=outcome, stage="decide")
        world.ports.ledger.cycles.save(looked, world.ports.lease)
    assert len(earlier_looks(champion, world.begin(), world.ports, world.config)) == 1


def performance(champion: str) -> PerformanceReport:
    return PerformanceReport(
        champion=champion, metric="accuracy", greater_is_better=True, value=None, interval=None, n=0, units=0, rows=0
    )


def test_a_version_without_a_reference_says_so(world: World) -> None:
    world.champion(Two())
    found, why = known_reference(world.ports.registry.champion(), world.ports)
    assert found is None
    assert "has no reference" in why


# ------------------------------------------------------------------------------------------------------------- patterns


class Spam:
    classes_ = ("ham", "spam")

    def predict(self, rows: Any) -> np.ndarray:
        return np.where(rows["text"].str.contains("win|coin"), "spam", "ham")


def messages(n: int, scam: str, *, labels: bool = True) -> pd.DataFrame:
    texts = [f"win a prize of {number} pounds" if number % 3 == 0 else f"see you at {number % 12} then" for number in range(n)]
    texts = [scam if number % 6 == 0 and scam else text for number, text in enumerate(texts)]
    truth = ["spam" if number % 3 == 0 else "ham" for number in range(n)]
    return pd.DataFrame({"text": texts, "__truth": truth if labels else [None] * n, "__file": "f"})


@pytest.mark.parametrize("labels", [True, False])
def test_what_a_class_says_for_the_first_time_is_named(world: World, labels: bool) -> None:
    columns = {"text": {"type": "text"}, "y": {"type": "category"}}
    world.change(data={"columns": columns})
    old, new = messages(600, ""), messages(300, "send coin to the moon", labels=labels)
    then = reference_of(old, old, FittedModel(Spam()), world.ports, world.config)
    version = world.champion(Spam())
    registered = world.ports.registry.versions[version]
    registered.registration = replace(registered.registration, reference=pl.from_pandas(old))
    champion, answers = world.ports.registry.champion(), FittedModel(Spam()).predict(new)
    report = hold_against(current_of(new, answers, then, world.ports, world.config), then, champion, 1, world.config)
    assert report.drifted == ("text",)
    found = new_patterns_in(report, new, answers, champion, world.ports, world.config)
    assert {pattern.label for pattern in found} == {"spam"}
    assert "coin" in found[0].term
    assert (found[0].count, found[0].reference_count) == (50, 0)
    assert new_patterns_in(replace(report, columns=()), new, answers, champion, world.ports, world.config) == ()
