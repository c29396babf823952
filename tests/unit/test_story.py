"""The story of a cycle is readable text, whatever the cycle did not come to."""

from __future__ import annotations

import re
import types
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepfit.records import (
    Action,
    Batch,
    BatchValidation,
    Candidate,
    CandidateScore,
    Conclusion,
    Cycle,
    Decision,
    Duplicate,
    Finding,
    Interval,
    Outcome,
    PerformanceReport,
    Preparation,
    Promotion,
    Provenance,
    Signal,
    SliceVerdict,
    Validation,
    Verdict,
)
from keepfit.verbs.story import tell

WORDS = st.sampled_from(["accuracy", "a.csv", "20260301", "[bold]x[/bold]", "=1+1", "50 %", "wörd"])


def of(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a record's field, small and plain."""
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return st.builds(kind, **{field.name: of(hints[field.name]) for field in fields(kind)})
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return st.one_of(*map(of, inner))
    if origin is tuple:
        return st.lists(of(inner[0]), max_size=2).map(tuple)
    if origin is dict:
        return st.dictionaries(WORDS, of(inner[1]), max_size=2)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return st.sampled_from(list(kind))
    known: dict[Any, st.SearchStrategy[Any]] = {
        str: WORDS,
        int: st.integers(0, 10**6),
        float: st.floats(-1e6, 1e6),
        bool: st.booleans(),
        type(None): st.none(),
        datetime: st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    }
    return known[kind]


def consistent(cycle: Cycle) -> Cycle:
    """Without what no stage writes: rows that nobody validated, a decision without a reason, a p value without a test, flips that
    are counted one way only."""
    if cycle.validation is None:
        cycle = replace(cycle, prepared=None)
    if cycle.decision is not None and not cycle.decision.reasons:
        cycle = replace(cycle, decision=replace(cycle.decision, reasons=("a reason",)))
    verdict = cycle.verdict
    if verdict is not None and (verdict.test is None or verdict.p_value is None):
        verdict = replace(verdict, test=None, p_value=None)
    if verdict is not None and (verdict.negative_flips is None or verdict.positive_flips is None):
        verdict = replace(verdict, negative_flips=None, positive_flips=None)
    return replace(cycle, verdict=verdict)


@settings(max_examples=150, deadline=None)
@given(of(Cycle).map(consistent))
def test_whatever_is_missing_is_left_out_and_never_written_as_none(cycle) -> None:
    told = tell(cycle)
    assert not re.search(r"\b(None|nan|inf|NaN)\b", told)
    assert "  " not in re.sub(r"\n +", "\n", told)
    assert ".." not in told
    assert "\n\n\n" not in told
    assert all(paragraph.strip() for paragraph in told.split("\n\n"))
    assert cycle.id in told.splitlines()[0]


# ---------------------------------------------------------------------------------------------------------- one by one

LEAST = Cycle(id="20260301T120000-abc", project="demo", started_at=datetime(2026, 3, 1, 12, tzinfo=UTC))
SPREAD = Interval(low=0.8, high=0.9)


def test_a_cycle_in_which_nothing_has_happened() -> None:
    assert tell(LEAST) == "Cycle 20260301T120000-abc of demo began 2026-03-01 12:00:00 UTC and is unfinished after its start."


def test_how_it_ended() -> None:
    assert "began 2026-03-01 12:00:00 UTC, forced and ended as healthy." in tell(
        replace(LEAST, forced=True, outcome=Outcome.HEALTHY)
    )
    assert tell(replace(LEAST, stage="prepare")).endswith("is unfinished after prepare.")


@pytest.mark.parametrize("outcome", [Outcome.WAITING, Outcome.FAILED])
def test_why_it_came_to_nothing(outcome) -> None:
    assert tell(replace(LEAST, outcome=outcome, reason="11 of 15 new batches have arrived")).endswith(
        "11 of 15 new batches have arrived."
    )


def test_what_came_in_and_what_was_found() -> None:
    finding = Finding(
        check="type", column="x", expected="finite numbers", found="1 cells that are not", rows=1, examples=("row 1: '[b]'",)
    )
    bad = BatchValidation(batch="b", name="b.csv", passed=False, quality=0.0, rows=1, labelled=0, findings=(finding,))
    told = tell(
        replace(
            LEAST,
            batches=(Batch(id="a" * 64, name="a.csv", size=1), Batch(id="b" * 64, name="b.csv", size=1)),
            earlier=(Batch(id="c" * 64, name="c.csv", size=1),),
            duplicates=(Duplicate(name="d.csv", batch="a" * 64, original="a.csv"),),
            validation=Validation(passed=1, quarantined=1, quality=97.5, batches=(bad,)),
            prepared=Preparation(fingerprint="f", rows=100, training=80, holdout=20, columns=("x",)),
        )
    )
    assert "2 new batches came in. 1 batch of earlier cycles still waited" in told
    assert "d.csv has the same content as a.csv and was set aside." in told
    assert "1 passed validation, 1 went to quarantine. The lowest quality score was 97.5 of 100." in told
    assert "\n  b.csv: x: expected finite numbers, found 1 cells that are not (row 1: '[b]')" in told
    assert "Of 100 prepared rows, 80 are for training and 20 for judging" in told


REPORT = PerformanceReport(
    champion="3", metric="accuracy", greater_is_better=True, value=0.85, interval=SPREAD, n=90, units=90, rows=100, reference=0.9
)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, "scored accuracy 0.85 (95% interval 0.8 to 0.9) on 90 labelled rows of 100; it was accepted with 0.9."),
        ({"interval": None, "reference": None}, "scored accuracy 0.85 on 90 labelled rows of 100."),
        ({"value": None, "interval": None, "n": 0}, "could not be judged: 0 of 100 new rows are labelled."),
        ({"left_out": 1}, "1 group where it is undefined were left out."),
        ({"left_out": 2}, "2 groups where it is undefined were left out."),
    ],
)
def test_how_the_champion_did(change, told) -> None:
    assert told in " ".join(tell(replace(LEAST, performance=replace(REPORT, **change))).split())


def decision(action: Action, *signals: Signal) -> Cycle:
    return replace(LEAST, decision=Decision(action=action, reasons=tuple(each.reason for each in signals), signals=signals))


def test_what_would_have_changed_the_decision() -> None:
    floor = Signal(name="floor", fired=True, reason="it is below", would_change="accuracy above 0.75")
    age = Signal(name="age", fired=False, reason="it is young", would_change="another 2.0 days")
    assert tell(decision(Action.RETRAIN, floor)).endswith(
        "Decision: RETRAIN, because\n  - it is below\nNo retraining would have needed\n  - floor: accuracy above 0.75"
    )
    assert tell(decision(Action.NO_ACTION, age)).endswith("A retraining would have needed\n  - age: another 2.0 days")
    assert "would have needed" not in tell(decision(Action.RETRAIN, Signal(name="no_champion", fired=True, reason="none yet")))


CANDIDATE = Candidate(
    name="forest",
    parameters={"estimator__max_depth": "3"},
    version="4",
    run_id="r",
    uri="u",
    content_hash="h",
    rows=80,
    batches=("a", "b"),
    trained_on="t",
    seed=7,
    scores=tuple(
        CandidateScore(name=name, parameters={}, window="all", score=score) for name, score in (("forest", 0.9), ("bad", None))
    ),
)


def test_what_was_trained() -> None:
    told = tell(replace(LEAST, candidate=CANDIDATE))
    assert "Challenger: version 4, forest (max_depth=3), trained on 80 rows of 2 batches (window: all, seed 7)." in told
    assert "Tried" not in told  # only one could be scored
    assert "was registered from forest; what it was trained on is unknown" in tell(
        replace(LEAST, candidate=replace(CANDIDATE, rows=0))
    )


VERDICT = Verdict(
    gate="superior",
    passed=True,
    conclusion=Conclusion.PASSED,
    reason="it is better",
    metric="accuracy",
    greater_is_better=True,
    champion=0.8,
    challenger=0.9,
    difference=0.1,
    interval=SPREAD,
    test="mcnemar",
    p_value=0.001,
    alpha=0.03,
    comparison=2,
    n=200,
    units=200,
    negative_flips=5,
    positive_flips=25,
    baseline=0.5,
    slices=(
        SliceVerdict(column="region", value="[north]", n=50, champion=None, challenger=0.7, passed=False, reason="below 0.75"),
    ),
    notes=("a note",),
)


def test_how_the_two_compared() -> None:
    told = tell(replace(LEAST, verdict=VERDICT))
    for part in (
        "Gate superior: passed. It is better.",
        "On 200 held-out rows that neither has seen: champion 0.8, challenger 0.9",
        "mcnemar: p = 0.001 against 0.03, the share of alpha for challenger 2 of this champion.",
        "5 rows the champion had right are now wrong, 25 the other way round.",
        "A model that ignores its input scores 0.5",
        "region = [north] (50 rows): undefined -> 0.7, fails: below 0.75",
        "Note: a note.",
    ):
        assert part in told


def test_a_verdict_without_evidence_is_one_line() -> None:
    blank = dict.fromkeys(
        (
            "champion",
            "challenger",
            "difference",
            "interval",
            "test",
            "p_value",
            "alpha",
            "negative_flips",
            "positive_flips",
            "baseline",
        )
    )
    verdict = replace(VERDICT, **blank, slices=(), notes=(), conclusion=Conclusion.INCONCLUSIVE, reason="too little evidence")
    assert tell(replace(LEAST, verdict=verdict)).split("\n\n")[1] == "Gate superior: inconclusive. Too little evidence."


def test_what_came_of_it() -> None:
    promotion = Promotion(alias="champion", from_version="3", to_version="4")
    told = tell(replace(LEAST, promotion=promotion, released="nothing to tell", archived=("a",)))
    assert "Alias champion moved from version 3 to version 4. Release: nothing to tell. 1 batch moved to the archive." in told
    assert "Alias champion moved to version 4." in tell(replace(LEAST, promotion=replace(promotion, from_version=None)))


def test_where_the_numbers_come_from() -> None:
    origin = Provenance(keepfit="0.1", python="3.11", libraries={}, config="c" * 64, code="d" * 16, commit=None, seed=7)
    told = tell(replace(LEAST, provenance=origin, timings={"collect": 0.5, "train": 1.0}))
    assert "scikit-learn ?; settings cccccccccccc, code dddddddddddd, seed 7; 1.5 s of work." in told
    assert ", commit abc," in tell(replace(LEAST, provenance=replace(origin, commit="abc")))


def test_what_was_noted_of_the_batches_is_told_once() -> None:
    def seen(name: str, *notes: str) -> BatchValidation:
        return BatchValidation(batch=name, name=name, passed=True, quality=100.0, rows=9, labelled=9, notes=notes)

    checked = Validation(passed=2, quarantined=0, quality=100.0, batches=(seen("a", "no Data Docs"), seen("b", "no Data Docs")))
    told = tell(Cycle(id="c", project="p", started_at=datetime(2026, 1, 1, tzinfo=UTC), validation=checked, notes=("no report",)))
    assert told.count("no Data Docs") == 1
    assert "Note: No report." in told
