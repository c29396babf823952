"""Each kind of evidence as a signal: what it says, what it lacks, what outvotes it and what would change it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepfit import signals
from keepfit.config import Config
from keepfit.records import (
    Action,
    BatchValidation,
    ColumnDrift,
    Cycle,
    Decision,
    DriftReport,
    Finding,
    Interval,
    PerformanceEstimate,
    PerformanceReport,
    Signal,
    Validation,
)


def config(**retrain: Any) -> Config:
    return Config.of({"project": {"name": "d", "task": "classification"}, "data": {"target": "y"}, "retrain": retrain})


def column(name: str = "age", *, drifted: bool = True, score: float | None = 0.3, **changes: Any) -> ColumnDrift:
    whole = ColumnDrift(
        name=name,
        kind="number",
        method="ks",
        score=score,
        threshold=0.1,
        p_value=1e-6 if drifted else 0.7,
        drifted=drifted,
        reference=1000,
        current=900,
    )
    return replace(whole, **changes)


def report(*columns: ColumnDrift, **changes: Any) -> DriftReport:
    whole = DriftReport(
        detected=any(each.drifted for each in columns), columns=columns, rows=900, reference_rows=1000, champion="1"
    )
    return replace(whole, **changes)


def performance(value: float | None = 0.9, n: int = 500, **changes: Any) -> PerformanceReport:
    whole = PerformanceReport(
        champion="1",
        metric="accuracy",
        greater_is_better=True,
        value=value,
        interval=None if value is None else Interval(low=value - 0.02, high=value + 0.02),
        n=n,
        units=n,
        rows=900,
        reference=0.9,
        reference_interval=Interval(low=0.88, high=0.92),
    )
    return replace(whole, **changes)


def estimate(value: float, half: float = 0.02, **changes: Any) -> PerformanceEstimate:
    span = Interval(low=value - half, high=value + half)
    return replace(PerformanceEstimate(method="confidence", metric="accuracy", value=value, interval=span, n=400), **changes)


# ---------------------------------------------------------------------------------------------------------------- drift


def test_drift_names_the_columns_with_score_and_threshold() -> None:
    said = signals.drift(report(column("age"), column("size", drifted=False, score=0.01)), None, config())
    assert said.fired and said.beyond
    assert (said.value, said.threshold, said.n) == (0.3, 0.1, 900)
    assert "1 of 2 columns drifted on 900 new rows: age (ks 0.3 where 0.1 counts, p = 1e-06)" in said.reason
    assert said.would_change == "age: ks below 0.1"


def test_without_drift_the_closest_column_says_what_would_have_changed_it() -> None:
    said = signals.drift(
        report(column("age", drifted=False, score=0.02), column("size", drifted=False, score=0.08)), None, config()
    )
    assert not said.fired and not said.beyond
    assert said.would_change == "size: ks surely above 0.1"


def test_drift_that_was_not_measured_is_too_little_evidence_and_not_no_drift() -> None:
    said = signals.drift(DriftReport(note="version 1 has no reference"), None, config())
    assert not said.fired
    assert not said.enough
    assert "version 1 has no reference" in said.reason


@pytest.mark.parametrize(
    ("labels", "without_harm", "fires"),
    [
        (performance(0.9, 500), False, False),  # enough labels, and it does as well as ever
        (performance(0.9, 500), True, True),  # asked for all the same
        (performance(0.9, 10), False, True),  # too few labels to say
        (performance(0.86, 500), False, True),  # no degradation is proven, and none is ruled out
        (performance(0.89, 500), False, False),  # within one standard error
        (performance(None, 0), False, True),
        (performance(0.5, 500), False, True),  # it does harm
        (performance(None, 500, note="cannot be judged"), False, True),
        (None, False, True),
    ],
)
def test_labels_that_show_no_harm_outvote_drift(labels: PerformanceReport | None, without_harm: bool, fires: bool) -> None:
    said = signals.drift(report(column()), labels, config(drift_without_harm=without_harm))
    assert said.fired is fires
    assert said.beyond
    assert ("shows no harm" in said.reason) is not fires


# ------------------------------------------------------------------------------------------------------------- estimate


@given(st.floats(0.3, 0.99), st.floats(0.001, 0.1))
def test_an_estimate_fires_only_when_it_is_surely_below_the_stricter_limit(value: float, half: float) -> None:
    said = signals.estimated(estimate(value, half), performance(None, 0), config(floor=0.6, degradation=0.05))
    assert said.threshold == pytest.approx(0.85)
    assert said.fired is (value + half < said.threshold)


def test_labels_outvote_an_estimate() -> None:
    said = signals.estimated(estimate(0.2), performance(0.9, 30), config(floor=0.6))
    assert not said.fired
    assert "labels speak" in said.reason
    assert signals.estimated(estimate(0.2), performance(0.9, 29), config(floor=0.6)).fired


def test_an_estimate_without_anything_to_hold_it_against_is_too_little() -> None:
    said = signals.estimated(estimate(0.2), performance(None, 0, reference=None), config())
    assert not said.fired and not said.enough


def test_for_errors_an_estimate_above_the_limit_fires() -> None:
    errors = performance(None, 0, greater_is_better=False, reference=10.0)
    assert signals.estimated(estimate(15, 1), errors, config(degradation=2.0)).fired
    assert not signals.estimated(estimate(12.5, 1), errors, config(degradation=2.0)).fired


# ----------------------------------------------------------------------------------------------------------- data fault


def cycle(**changes: Any) -> Cycle:
    return replace(Cycle(id="c9", project="d", started_at=datetime(2026, 1, 1, tzinfo=UTC)), **changes)


def test_quarantined_batches_are_a_fault_that_names_the_first() -> None:
    fault = Finding(check="range", column="age", expected="at most 120", found="3 rows that are not", rows=3)
    bad = BatchValidation(batch="b", name="monday.csv", passed=False, quality=40.0, rows=10, labelled=1, findings=(fault,))
    said = signals.data_faults(cycle(validation=Validation(passed=0, quarantined=1, quality=None, batches=(bad,))))
    assert said is not None and said.fired
    assert "monday.csv" in said.reason and "at most 120" in said.reason


def test_a_column_of_another_kind_or_without_any_value_left_is_broken_and_a_shifted_one_is_not() -> None:
    assert signals.is_broken(column(method="type", score=None))
    assert signals.is_broken(column(current=0))
    assert not signals.is_broken(column())
    assert not signals.is_broken(column(current=0, reference=0, drifted=False))
    said = signals.data_faults(cycle(drift=report(column("age", method="type", score=None, findings=("numbers became texts",)))))
    assert said is not None
    assert "age is broken: numbers became texts" in said.reason
    assert signals.data_faults(cycle(drift=report(column()))) is None


# -------------------------------------------------------------------------------------------------------------- N of M


def looked(beyond: bool) -> Cycle:
    said = Signal(name="drift", fired=beyond, beyond=beyond, reason="")
    return cycle(decision=Decision(action=Action.NO_ACTION, reasons=(), signals=(said,)))


@given(st.lists(st.booleans(), max_size=6), st.integers(1, 4), st.integers(0, 3))
def test_a_signal_needs_to_be_beyond_its_threshold_in_n_of_the_last_m_cycles(before: list[bool], needed: int, more: int) -> None:
    looks = needed + more
    fired = Signal(name="drift", fired=True, beyond=True, reason="drift")
    said = signals.confirmed(fired, [looked(each) for each in before], config(confirm=f"{needed} of {looks}"))
    assert said.fired is (1 + sum(before[: looks - 1]) >= needed)
    assert said.beyond


def test_what_did_not_fire_and_what_needs_no_confirmation_stays_as_it_is() -> None:
    quiet = Signal(name="drift", fired=False, reason="")
    assert signals.confirmed(quiet, [], config(confirm="2 of 3")) is quiet
    age = Signal(name="age", fired=True, reason="")
    assert signals.confirmed(age, [], config(confirm="2 of 3")) is age
