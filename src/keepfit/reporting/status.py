"""`drift_status.json`: what a cycle found, for programs. A file that is stale, broken or of another make is an error for its
reader and never "no drift"."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from keepfit.codec import dumps
from keepfit.errors import DataError
from keepfit.records import BatchState, ColumnDrift, Cycle, PerformanceReport
from keepfit.reporting.files import write

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SCHEMA_VERSION: Literal[1] = 1
FILE_NAME = "drift_status.json"
SKEW = timedelta(minutes=1)  # by which the clock of another machine may be ahead


@dataclass(frozen=True, kw_only=True)
class Window:
    """The batches that were judged."""

    batches: int
    rows: int | None  # None: they were not counted
    first: datetime | None  # when the first of them arrived, UTC; None: not known
    last: datetime | None


@dataclass(frozen=True, kw_only=True)
class ColumnStatus:
    """One column; see `keepfit.records.ColumnDrift`."""

    name: str
    kind: str
    method: str
    score: float | None  # None: it was not judged
    threshold: float | None
    p_value: float | None
    drifted: bool


@dataclass(frozen=True, kw_only=True)
class PerformanceStatus:
    """The champion on the new labelled rows."""

    metric: str
    greater_is_better: bool
    value: float | None  # None: it is undefined, or there are no labels
    low: float | None  # ends of the interval
    high: float | None
    level: float | None  # of the interval
    n: int  # labelled rows
    rows: int
    reference: float | None  # what the champion was accepted with


@dataclass(frozen=True, kw_only=True)
class DriftStatus:
    """What one cycle found. Every field is always there."""

    schema_version: Literal[1]
    project: str
    cycle: str
    written_at: datetime  # UTC
    window: Window
    model_version: str | None  # whose reference the new rows were held against; None: there is no champion
    drift_detected: bool | None  # None: it was not measured
    note: str  # why it was not measured
    outcome: str | None  # how the cycle ended; None: it had not, or the cycle ended with this judgement
    decision: str | None  # RETRAIN, NO_ACTION, ALERT
    reasons: tuple[str, ...]
    change: str | None  # data_fault, covariate, label, concept; None: none was told
    columns: tuple[ColumnStatus, ...]
    output: tuple[ColumnStatus, ...]  # of the model's answers
    label: ColumnStatus | None
    performance: PerformanceStatus | None  # None: the champion was not judged

    def drifted(self) -> bool:
        """Whether there is drift. Raises `DataError` when it was not measured."""
        if self.drift_detected is None:
            raise DataError(f"Cycle {self.cycle} did not measure drift: {self.note or 'it says not why'}.")
        return self.drift_detected


def status_of(cycle: Cycle, now: datetime) -> DriftStatus:
    """The status of a cycle that has been judged."""
    drift, decision, performance = cycle.drift, cycle.decision, cycle.performance
    return DriftStatus(
        schema_version=SCHEMA_VERSION,
        project=cycle.project,
        cycle=cycle.id,
        written_at=now.astimezone(UTC),
        window=_window(cycle),
        model_version=(drift and drift.champion) or (performance and performance.champion) or None,
        drift_detected=drift.detected if drift else None,
        note=drift.note if drift else "the cycle did not come to it",
        outcome=cycle.outcome.value if cycle.outcome else None,
        decision=decision.action.value if decision else None,
        reasons=decision.reasons if decision else (),
        change=decision.change.value if decision and decision.change else None,
        columns=tuple(map(_column, drift.columns)) if drift else (),
        output=tuple(map(_column, drift.output)) if drift else (),
        label=_column(drift.label) if drift and drift.label else None,
        performance=_performance(performance) if performance else None,
    )


def write_status(path: Path, cycle: Cycle, now: datetime) -> Path:
    """Write the status of the cycle, all of it or nothing. Raises `Unavailable` when it cannot be written."""
    # Nothing follows the last brace, so that whatever is cut off leaves no JSON.
    return write(path, json.dumps(json.loads(dumps(status_of(cycle, now))), indent=1))


def read_status(path: Path, *, max_age: timedelta | None, now: datetime) -> DriftStatus:
    """The status, not older than `max_age`; None means that any age will do.

    Raises `DataError` when it is missing, cannot be read, is not whole, of another schema version, too old, or dated ahead of
    `now`.
    """
    again = "run `keepfit run` to have it written anew"
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} is not there, so nothing is known of drift: {again}.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}), so nothing is known of drift.") from error
    status = _parsed(path, text, again)
    age = now - status.written_at
    if age < -SKEW:
        raise DataError(
            f"{path} is dated {status.written_at.isoformat()}, {-age} ahead of now: set the clocks right, then {again}."
        )
    if max_age is not None and age > max_age:
        raise DataError(f"{path} is stale: it was written {age} ago, {max_age} is the most that may be: {again}.")
    return status


def schema() -> dict[str, Any]:
    """The JSON Schema of the file."""
    found = _adapter().json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def _parsed(path: Path, text: bytes, again: str) -> DriftStatus:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is damaged or was cut short: {again}.") from error
    version = found.get("schema_version") if isinstance(found, dict) else None
    if type(version) is not int or version != SCHEMA_VERSION:
        raise DataError(
            f"{path}: expected schema_version {SCHEMA_VERSION}, found {version!r:.50}: read it with the keepfit that wrote it, or "
            f"{again}."
        )
    try:
        status = _adapter().validate_json(text, strict=True)
    except ValueError as error:  # pydantic's ValidationError is one
        raise DataError(f"{path} is no drift status, {again}: {str(error)[:500]}") from error
    if status.written_at.tzinfo is None:
        raise DataError(f"{path}: expected a time zone in written_at, found {status.written_at.isoformat()}: {again}.")
    return status


@cache
def _adapter() -> TypeAdapter[DriftStatus]:
    from pydantic import ConfigDict, TypeAdapter, with_config  # 60 ms, and only reading needs it

    return TypeAdapter(with_config(ConfigDict(allow_inf_nan=False))(DriftStatus))


def _window(cycle: Cycle) -> Window:
    judged = [batch for batch in cycle.batches if batch.state is not BatchState.QUARANTINED]
    arrived = sorted(batch.arrived_at for batch in judged if batch.arrived_at)
    counted = [batch.rows for batch in judged if batch.rows is not None]
    return Window(
        batches=len(judged),
        rows=cycle.drift.rows if cycle.drift and cycle.drift.rows else sum(counted) if len(counted) == len(judged) else None,
        first=arrived[0] if arrived else None,
        last=arrived[-1] if arrived else None,
    )


def _column(column: ColumnDrift) -> ColumnStatus:
    return ColumnStatus(
        name=column.name,
        kind=column.kind,
        method=column.method,
        score=column.score,
        threshold=column.threshold,
        p_value=column.p_value,
        drifted=column.drifted,
    )


def _performance(report: PerformanceReport) -> PerformanceStatus:
    spread = report.interval
    return PerformanceStatus(
        metric=report.metric,
        greater_is_better=report.greater_is_better,
        value=report.value,
        low=spread.low if spread else None,
        high=spread.high if spread else None,
        level=spread.level if spread else None,
        n=report.n,
        rows=report.rows,
        reference=report.reference,
    )
