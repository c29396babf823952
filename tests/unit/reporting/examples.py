"""Cycles and profiles as a year of a loan model's life leaves them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import polars as pl

from keepfit.profiling import profile
from keepfit.records import (
    Action,
    Batch,
    BatchState,
    BatchValidation,
    Change,
    ColumnDrift,
    Cycle,
    Decision,
    DriftReport,
    Finding,
    Interval,
    Measure,
    Outcome,
    PerformanceEstimate,
    PerformanceReport,
    Place,
    Provenance,
    Signal,
    SlicePerformance,
    Validation,
)
from keepfit.reporting.distributions import Sides

NOW = datetime(2026, 3, 14, 6, 30, tzinfo=UTC)


def frame(rows: int, seed: int, *, moved: bool) -> pl.DataFrame:
    """Loan applications; `moved` ones are of another time."""
    random = np.random.default_rng(seed)
    kinds = ["mortgage", "car", "education", "renovation", *(["e-bike"] if moved else ["boat"])]
    weights = [0.22, 0.34, 0.09, 0.13, 0.22] if moved else [0.41, 0.25, 0.17, 0.12, 0.05]
    first = datetime(2026, 3, 7, tzinfo=UTC) if moved else datetime(2026, 1, 1, tzinfo=UTC)
    wanted = "please call about our new instant offer" if moved else "i would like to ask about the terms of the loan"
    words = wanted.split()
    return pl.DataFrame(
        {
            "income": random.lognormal(10.4 + 0.25 * moved, 0.5, rows),
            "age": random.integers(18 + 4 * moved, 80, rows),
            "purpose": random.choice(kinds, rows, p=weights),
            "asked_at": [first + timedelta(minutes=float(m)) for m in random.uniform(0, 60 * 24 * (7 if moved else 60), rows)],
            "message": [" ".join(random.choice(words, random.integers(3, 25 - 12 * moved))) for _ in range(rows)],
            "employed": random.random(rows) < 0.8,
            "rate": random.normal(3.5, 0.4, rows),
        }
    )


@cache
def sides() -> Sides:
    """The profiles of 4,000 reference rows and 1,200 new ones."""
    reference = profile(frame(4000, 1, moved=False))
    return Sides(reference=reference, current=profile(frame(1200, 2, moved=True), like=reference))


@cache
def answers() -> Sides:
    """The profiles of the model's answers."""
    random = np.random.default_rng(3)
    then, now = random.beta(2, 6, 800), random.beta(2.6, 5, 1200)
    reference = profile(pl.DataFrame({"score of default": then, "prediction": np.where(then > 0.4, "default", "pays")}))
    current = pl.DataFrame({"score of default": now, "prediction": np.where(now > 0.4, "default", "pays")})
    return Sides(reference=reference, current=profile(current, like=reference))


def column(name: str, kind: str = "number", score: float | None = 0.01, **others: Any) -> ColumnDrift:
    """A column that was judged, drifted when its score is above 0.1."""
    method = {"number": "ks", "datetime": "ks", "text": "tfidf"}.get(kind, "jensen_shannon")
    drifted = score is not None and score > 0.1
    measures = (Measure(name=method, value=(score or 0) + 0.02, expected=0.02, score=score, p_value=1e-7 if drifted else 0.4),)
    standard: dict[str, Any] = {
        "method": method,
        "threshold": 0.1,
        "p_value": None if score is None else 1e-7 if drifted else 0.4,
        "drifted": drifted,
        "reference": 4000,
        "current": 1200,
        "measures": measures,
    }
    return ColumnDrift(name=name, kind=kind, score=score, **{**standard, **others})


DRIFT = DriftReport(
    detected=True,
    columns=(
        column(
            "purpose", "category", 0.31, importance=0.42, findings=("new value 'e-bike' in 262 rows (22%)", "'boat' has vanished")
        ),
        column(
            "income", "number", 0.19, importance=0.35, findings=("0.4% of the values lie above the reference's largest, 218,402",)
        ),
        column(
            "message", "text", 0.27, importance=0.08, findings=("38% of the words are new: instant, offer, e-bike, please, new",)
        ),
        column("asked_at", "datetime", 0.94, importance=0.0, findings=("all values lie after the reference's last, 1 Mar 2026",)),
        column("age", "number", 0.031, importance=0.11),
        column("employed", "boolean", 0.002),
        column("rate", "number", 0.0, missing_reference=0.01, missing_current=0.04),
        column("referrer", "category", None, note="every cell is empty on both sides", reference=0, current=0),
    ),
    output=(column("prediction", "category", 0.06), column("score of default", "number", 0.124)),
    reference_rows=4000,
    rows=1200,
    false_alarms=0.0033,
    look=3,
    champion="7",
)


def interval(value: float, half: float) -> Interval:
    return Interval(low=round(value - half, 4), high=round(value + half, 4))


def performance(value: float | None, version: str = "7", n: int = 412, **others: Any) -> PerformanceReport:
    return PerformanceReport(
        champion=version,
        metric="accuracy",
        greater_is_better=True,
        value=value,
        interval=None if value is None else interval(value, 0.9 * (value * (1 - value) / max(n, 1)) ** 0.5 * 1.96),
        n=n,
        units=n,
        rows=1200,
        reference={"5": 0.872, "6": 0.881, "7": 0.894}.get(version),
        **others,
    )


def earlier() -> list[Cycle]:
    """Three champions over thirty cycles."""
    random = np.random.default_rng(9)
    cycles = []
    for number in range(30):
        version, value = ("5", 0.87) if number < 9 else ("6", 0.885 - 0.004 * (number - 9)) if number < 20 else ("7", 0.893)
        at = NOW - timedelta(days=30 - number)
        told = performance(
            None if number == 14 else round(value + random.normal(0, 0.008), 4), version, int(random.integers(200, 600))
        )
        cycles.append(Cycle(id=f"{at:%Y%m%dT%H%M%S}-{number:06x}", project="loans", started_at=at, performance=told))
    return cycles[::-1]  # as the ledger gives them: the newest first


SIGNALS = (
    Signal(
        name="floor",
        fired=False,
        value=0.841,
        threshold=0.8,
        interval=Interval(low=0.803, high=0.874),
        n=412,
        reason="accuracy 0.841 is not below the floor of 0.8 on 412 new labelled rows",
        source="keepfit.toml [retrain] floor",
        would_change="accuracy below 0.8",
    ),
    Signal(
        name="degradation",
        fired=True,
        beyond=True,
        value=0.841,
        threshold=0.858,
        interval=Interval(low=0.803, high=0.874),
        n=412,
        reason="accuracy 0.841 is worse than the 0.894 it was accepted with (limit 0.858 at 99% confidence, 412 rows)",
        source="keepfit.toml [retrain] degradation",
        would_change="accuracy above 0.858",
    ),
    Signal(
        name="drift",
        fired=True,
        beyond=True,
        value=0.31,
        threshold=0.1,
        n=1200,
        reason="purpose, income, message and asked_at lie further from the reference than chance explains",
        source="the default of [monitor.drift] effect",
        would_change="a score of at most 0.1 in every column",
    ),
    Signal(
        name="new_rows",
        fired=False,
        value=960,
        threshold=5000,
        n=960,
        reason="960 new labelled training rows, 5000 call for a retraining",
        source="KEEPFIT_RETRAIN__NEW_ROWS",
        would_change="4040 more rows",
    ),
    Signal(
        name="age",
        fired=False,
        value=864_000.0,
        threshold=7_776_000.0,
        reason="the champion was trained 10.0 days ago, the limit is 90.0 days",
        source="keepfit.toml [retrain] age",
        would_change="another 80.0 days",
    ),
    Signal(
        name="estimate",
        fired=False,
        enough=False,
        reason="too little evidence about estimate: labels say more",
        would_change="rows without a label",
    ),
)

VALIDATION = Validation(
    passed=2,
    quarantined=1,
    quality=98.7,
    batches=(
        BatchValidation(batch="a" * 64, name="2026/03/13/loans.parquet", passed=True, quality=99.4, rows=640, labelled=221),
        BatchValidation(
            batch="b" * 64,
            name="2026/03/14/loans.parquet",
            passed=True,
            quality=98.7,
            rows=560,
            labelled=191,
            notes=("1 column that the contract does not name: referrer",),
        ),
        BatchValidation(
            batch="c" * 64,
            name="2026/03/14/loans-late.csv",
            passed=False,
            quality=41.0,
            rows=88,
            labelled=88,
            findings=(
                Finding(
                    check="null_share",
                    column="income",
                    expected="at most 5% empty cells",
                    found="52 of 88 (59%)",
                    rows=52,
                    examples=("row 1", "row 4", "row 5"),
                ),
            ),
        ),
    ),
)

CYCLE = Cycle(
    id="20260314T063000-18687e",
    project="loans",
    started_at=NOW,
    finished_at=NOW + timedelta(seconds=38),
    stage="decide",
    batches=tuple(
        Batch(
            id=letter * 64,
            name=name,
            size=1,
            rows=rows,
            state=state,
            place=place,
            arrived_at=NOW - timedelta(hours=hours),
        )
        for letter, name, rows, state, place, hours in (
            ("a", "2026/03/13/loans.parquet", 640, BatchState.NEW, Place.INBOX, 26),
            ("b", "2026/03/14/loans.parquet", 560, BatchState.NEW, Place.INBOX, 2),
            ("c", "2026/03/14/loans-late.csv", 88, BatchState.QUARANTINED, Place.QUARANTINE, 1),
        )
    ),
    validation=VALIDATION,
    performance=performance(
        0.841,
        slices=tuple(
            SlicePerformance(column="purpose", value=value, metric=metric, interval=interval(metric, half), n=n)
            for value, metric, half, n in (
                ("mortgage", 0.904, 0.03, 150),
                ("car", 0.871, 0.04, 121),
                ("education", 0.85, 0.08, 40),
                ("e-bike", 0.672, 0.09, 101),
            )
        ),
        estimate=PerformanceEstimate(
            method="confidence", metric="accuracy", value=0.862, interval=interval(0.862, 0.02), n=788, error=0.021, labelled=412,
            usual_error=0.013,
        ),
    ),
    drift=DRIFT,
    decision=Decision(
        action=Action.RETRAIN,
        reasons=tuple(signal.reason for signal in SIGNALS if signal.fired),
        signals=SIGNALS,
        change=Change.COVARIATE,
    ),
    provenance=Provenance(
        keepfit="0.2.0", python="3.11.7", libraries={}, config="c" * 64, code="d" * 64, commit="0badc0ffee12+changes", seed=7
    ),
)  # fmt: skip

QUIET = replace(
    CYCLE,
    outcome=Outcome.HEALTHY,
    drift=replace(DRIFT, detected=False, columns=tuple(replace(each, drifted=False) for each in DRIFT.columns[4:]), output=()),
    performance=performance(0.897),
    decision=Decision(
        action=Action.NO_ACTION,
        reasons=(
            "accuracy 0.897 is not clearly worse than the 0.894 it was accepted with (limit 0.858 at 99% confidence, 412 rows)",
        ),
        signals=tuple(replace(signal, fired=False, beyond=False) for signal in SIGNALS),
    ),
    validation=replace(VALIDATION, quarantined=0, batches=VALIDATION.batches[:2]),
)
