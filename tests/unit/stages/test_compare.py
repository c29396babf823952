"""Champion and challenger before the same rows: what each gate says, and what takes a promotion away whatever the gate says.

Both models echo a column of the data, so that a test writes down which rows each has right.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.unit.stages.test_decide import trained
from tests.unit.stages.world import Always, Echo, EchoNumber, FakeTrainer, World

from keepfit.ports import Predictions
from keepfit.records import Action, Conclusion, Cycle, Decision, Outcome, Signal
from keepfit.stats.compare import spent_alpha
from keepfit.stats.metrics import builtin
from keepfit.versions import Tag

COLUMNS = {name: {"type": "number"} for name in "ab"} | {
    "s": {"type": "category"},
    "n": {"type": "integer"},
    "y": {"type": "category"},
}


def answers(right: int, wrong_first: int = 0, rows: int = 400) -> list[float]:
    """Echoed answers of which `right` are right where every row's label is yes; the wrong ones begin at `wrong_first`."""
    wrong = {(wrong_first + i) % rows for i in range(rows - right)}
    return [-1.0 if i in wrong else 1.0 for i in range(rows)]


def compared(
    folder: Path,
    champion: list[float] | None,
    challenger: list[float],
    *,
    parts: list[str] | None = None,
    decision: Decision | None = None,
    faced: int = 0,
    faced_by: str = "1",
    tags: dict[str, str] | None = None,
    labels: list[str] | None = None,
    **promote: Any,
) -> Cycle:
    """The cycle after `compare`. Every row given here judges; `faced` challengers came before, `parts` are values of column s."""
    count = len(challenger)
    settings = {
        "data": {"columns": COLUMNS, "keep": ["s"], "prepare": "features:prepare"},
        "promote": {"resamples": 500, **promote},
    }
    world = World(folder, settings, "def prepare(frame):\n    return frame[['a', 'b', 'n']]\n")
    world.ports.trainer = FakeTrainer(Echo("b"))
    if champion is not None:
        world.champion(Echo("a"), **(tags or {}))
    for n in range(faced):
        trained(world, Conclusion.REJECTED, trained_on=f"before-{n}", champion=faced_by)
    table = {"a": champion or challenger, "b": challenger, "s": parts or ["all"] * count, "y": labels or ["yes"] * count}
    training = {"a": [0.0] * 10, "b": [0.0] * 10, "s": ["all"] * 10, "y": ["yes"] * 9 + ["no"]}
    rows = pl.concat([pl.DataFrame(table), pl.DataFrame(training)]).with_row_index("n")
    world.arrive("new.parquet", rows)
    cycle = world.through("collect", "validate")
    split = pl.DataFrame({"key": rows["n"].cast(pl.UInt64), "holdout": rows["n"] < count})
    world.ports.store.save(f"split-{cycle.batches[0].id}", split, {"by": "row", "cycle": cycle.id})
    return world.through("prepare", "train", "compare", cycle=replace(cycle, decision=decision))


# ------------------------------------------------------------------------------------------------------------------ gates


@pytest.mark.parametrize(
    ("gate", "margin", "champion", "challenger", "outcome"),
    [
        ("greater", 0.0, 300, 301, None),
        ("greater", 0.0, 300, 300, Outcome.KEPT_CHAMPION),
        ("greater", 0.0, 301, 300, Outcome.KEPT_CHAMPION),
        ("min_gain", 0.05, 300, 330, None),
        ("min_gain", 0.05, 300, 320, Outcome.KEPT_CHAMPION),
        ("min_gain", 0.05, 300, 310, Outcome.KEPT_CHAMPION),
        ("superior", 0.0, 300, 340, None),
        ("superior", 0.0, 300, 303, Outcome.INCONCLUSIVE),
        ("superior", 0.0, 340, 300, Outcome.KEPT_CHAMPION),
        ("superior", 0.0, 300, 300, Outcome.INCONCLUSIVE),
    ],
)
def test_what_each_gate_lets_through(tmp_path, gate, margin, champion, challenger, outcome) -> None:
    cycle = compared(tmp_path, answers(champion), answers(challenger), gate=gate, margin=margin)
    assert cycle.outcome is outcome
    verdict = cycle.verdict
    assert (verdict.gate, verdict.n, verdict.champion_version) == (gate, 400, "1")
    assert (verdict.champion, verdict.challenger) == (champion / 400, challenger / 400)
    assert verdict.difference == pytest.approx((challenger - champion) / 400)
    assert verdict.passed == (outcome is None) == (verdict.conclusion is Conclusion.PASSED)
    assert verdict.reason


def reason_to_replace(name: str, fired: bool = True) -> Decision:
    signal = Signal(name=name, fired=fired, reason=f"{name} fired")
    return Decision(action=Action.RETRAIN, reasons=(signal.reason,), signals=(signal,))


@pytest.mark.parametrize(
    ("signal", "fired", "passes"),
    [("age", True, True), ("forced", True, True), ("floor", True, True), ("new_rows", True, False), ("age", False, False)],
)
def test_not_being_worse_is_enough_only_where_there_is_a_reason_to_replace(tmp_path, signal, fired, passes) -> None:
    decision = reason_to_replace(signal, fired)
    cycle = compared(tmp_path, answers(380), answers(380), gate="non_inferior", margin=0.05, decision=decision)
    assert cycle.verdict.passed is passes
    if not passes:
        assert "no reason to replace" in cycle.reason
        assert cycle.outcome is Outcome.KEPT_CHAMPION


def test_what_is_clearly_worse_is_not_non_inferior(tmp_path) -> None:
    cycle = compared(tmp_path, answers(390), answers(300), gate="non_inferior", margin=0.05, decision=reason_to_replace("age"))
    assert cycle.outcome in (Outcome.KEPT_CHAMPION, Outcome.INCONCLUSIVE)


def test_flips_are_counted_both_ways(tmp_path) -> None:
    champion, challenger = answers(380, wrong_first=0), answers(390, wrong_first=100)
    verdict = compared(tmp_path, champion, challenger, gate="greater").verdict
    assert (verdict.negative_flips, verdict.positive_flips) == (10, 20)


@pytest.mark.parametrize(("rows", "outcome"), [(29, Outcome.INCONCLUSIVE), (30, None)])
def test_too_few_rows_are_inconclusive_whatever_they_show(tmp_path, rows, outcome) -> None:
    cycle = compared(tmp_path, [-1.0] * rows, [1.0] * rows, gate="greater")
    assert cycle.outcome is outcome
    if outcome:
        assert cycle.reason == "too little evidence: 29 labelled holdout rows, 30 are needed"
        assert cycle.verdict.challenger is None


def test_rows_without_a_label_judge_nobody(tmp_path) -> None:
    labels = ["yes"] * 40 + [""] * 360
    cycle = compared(tmp_path, answers(400), answers(400, 0), labels=labels, gate="greater")
    assert cycle.verdict.n == 40


# --------------------------------------------------------------------------------------------------------- the first champion


def test_the_first_challenger_has_nobody_to_beat(tmp_path) -> None:
    cycle = compared(tmp_path, None, answers(200), labels=["yes"] * 390 + ["no"] * 10)
    assert (cycle.outcome, cycle.verdict.gate, cycle.verdict.champion) == (None, "first", None)
    assert cycle.verdict.baseline == 390 / 400
    assert (cycle.verdict.test, cycle.verdict.p_value, cycle.verdict.alpha) == (None, None, None)


@pytest.mark.parametrize(("right", "passes"), [(300, True), (299, False)])
@pytest.mark.parametrize("first", [True, False])
def test_the_floor_holds_for_everybody(tmp_path, right, passes, first) -> None:
    champion = None if first else answers(100)
    cycle = compared(tmp_path, champion, answers(right), gate="greater", floor=0.75)
    assert cycle.verdict.passed is passes
    if not passes:
        assert cycle.outcome is Outcome.KEPT_CHAMPION
        assert "does not reach the floor of 0.75" in cycle.reason


# ------------------------------------------------------------------------------------------------------------------ slices


PARTS = ["small"] * 100 + ["large"] * 300


@pytest.mark.parametrize(
    ("settings", "passes"),
    [
        ({"floor": 0.7}, False),
        ({"floor": 0.5}, True),
        ({"max_loss": 0.05}, False),
        ({"max_loss": 0.5}, True),
        ({"floor": 0.7, "min_rows": 101}, True),
        ({}, True),
    ],
)
def test_a_part_that_got_worse_forbids_a_promotion_that_is_better_on_the_whole(tmp_path, settings, passes) -> None:
    champion, challenger = answers(300, wrong_first=200), answers(360, wrong_first=0)  # all 40 faults in the small part
    cycle = compared(tmp_path, champion, challenger, parts=PARTS, gate="greater", slices={"columns": ["s"], **settings})
    assert cycle.verdict.passed is passes
    by_value = {each.value: each for each in cycle.verdict.slices}
    if settings.get("min_rows", 50) <= 100:
        small = by_value["small"]
        assert (small.n, small.champion, small.challenger, small.passed) == (100, 1.0, 0.6, passes)
    if not passes:
        assert cycle.outcome is Outcome.KEPT_CHAMPION
        assert cycle.reason.startswith("a slice fails: s = small:")


def test_the_floor_of_a_part_holds_for_the_first_champion_too(tmp_path) -> None:
    cycle = compared(tmp_path, None, answers(360), parts=PARTS, slices={"columns": ["s"], "floor": 0.7, "max_loss": 0.0})
    assert not cycle.verdict.passed
    assert [each.champion for each in cycle.verdict.slices] == [None, None]


# -------------------------------------------------------------------------------------------------- errors over a life


@pytest.mark.parametrize(("spending", "faced"), [("life", 0), ("life", 3), ("each", 3)])
def test_over_a_champions_life_each_further_challenger_has_less_of_alpha_to_spend(tmp_path, spending, faced) -> None:
    verdict = compared(tmp_path, answers(300), answers(320), faced=faced, spending=spending).verdict
    assert verdict.comparison == 1 + faced
    assert verdict.alpha == (spent_alpha(0.05, 1 + faced) if spending == "life" else 0.05)


def test_the_same_gain_that_passed_first_no_longer_passes_as_the_hundredth_try(tmp_path) -> None:
    champion, challenger = answers(348), answers(360)
    assert compared(tmp_path / "first", champion, challenger).verdict.passed
    assert not compared(tmp_path / "late", champion, challenger, faced=60).verdict.passed


def test_challengers_of_another_champion_are_not_counted(tmp_path) -> None:
    assert compared(tmp_path, answers(300), answers(340), faced=3, faced_by="7").verdict.comparison == 1


# ------------------------------------------------------------------------------------------------------------------- notes


def test_a_champion_from_outside_is_noted_for_it_may_have_seen_the_rows(tmp_path) -> None:
    assert "registered from a file" in compared(tmp_path, answers(300), answers(340), tags={"outside": "true"}).verdict.notes[0]
    assert compared(tmp_path / "own", answers(300), answers(340)).verdict.notes == ()


def test_the_verdict_is_written_on_the_version_for_later_judgements(tmp_path) -> None:
    world = World(tmp_path, {"data": {"columns": COLUMNS, "id": "n"}, "promote": {"resamples": 200}})
    world.ports.trainer = FakeTrainer(Always("yes"))
    world.arrive("new.csv", pl.DataFrame({name: list(range(200)) for name in "abn"}).with_columns(s=pl.lit("s"), y=pl.lit("yes")))
    cycle = world.run()
    registered = world.ports.registry.versions["1"]
    assert registered.tags["keepfit.verdict"] == "passed"
    assert float(registered.tags[Tag.VALUE]) == cycle.verdict.challenger == registered.metrics["holdout_accuracy"]
    assert float(registered.tags[Tag.VALUE_LOW]) <= cycle.verdict.challenger <= float(registered.tags[Tag.VALUE_HIGH])


def test_in_a_regression_a_smaller_error_is_better(tmp_path) -> None:
    columns = {"a": {"type": "number"}, "b": {"type": "number"}, "y": {"type": "number"}}
    settings = {"project": {"task": "regression"}, "data": {"columns": columns}, "promote": {"gate": "greater", "floor": 0.2}}
    world = World(tmp_path, settings, metric=builtin("mean_absolute_error"))
    world.ports.trainer = FakeTrainer(EchoNumber("b"))
    world.ports.trainer.baseline = lambda rows: _Zeros()
    world.champion(EchoNumber("a"))
    truth = [i / 7 for i in range(200)]
    world.arrive("new.parquet", {"a": [y + 0.5 for y in truth], "b": [y - 0.1 for y in truth], "y": truth})
    verdict = world.through("collect", "validate", "prepare", "train", "compare").verdict
    assert verdict.passed
    assert (verdict.greater_is_better, verdict.negative_flips) == (False, None)
    assert (verdict.champion, verdict.challenger, verdict.difference) == pytest.approx((0.5, 0.1, 0.4))


class _Zeros:
    def predict(self, features: Any) -> Predictions:
        return Predictions(np.zeros(len(features)))


@pytest.mark.parametrize(
    ("promote", "judging"),
    [
        ({"holdout": "new"}, 40),
        ({"holdout": "last 2"}, 80),
        ({"holdout": "all"}, 120),
        ({"holdout": "new", "min_holdout": 50}, 80),  # an earlier batch lends its rows
        ({"holdout": "last 9"}, 120),
    ],
)
def test_the_newest_rows_judge_or_as_many_as_is_said(tmp_path, promote, judging) -> None:
    settings = {"data": {"columns": COLUMNS, "id": "n"}, "retrain": {"floor": 2.0}, "promote": {"resamples": 200, **promote}}
    world = World(tmp_path, settings)
    world.ports.trainer = FakeTrainer(Always("yes"))
    for n in range(3):
        table = {name: [float(i + n * 1000) for i in range(200)] for name in "ab"}
        world.arrive(f"{n}.csv", pl.DataFrame(table | {"s": ["s"] * 200, "n": list(range(200)), "y": ["yes"] * 200}))
        cycle = world.run()
    assert cycle.verdict.n == judging
