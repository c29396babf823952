"""Drift of what is asked in service: the loop's latest report, and a look of one's own at rows or at a part of the log.

A look of one's own holds the rows against the champion's reference as a cycle does, at the stated rate of false alarms for itself.
It is not one of the loop's looks: it spends nothing of what they may be wrong over the champion's life, and leaves no trace. Who
looks a hundred times at the rate 0.01 finds drift once where there is none; the answer says so by its rate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from keepfit.config import Config
from keepfit.contract import read_cells
from keepfit.drifting import current_of, hold_against, known_reference, new_patterns_in
from keepfit.errors import DataError, NotFound
from keepfit.live.performance import Judged, judge
from keepfit.live_ports import INPUT, LABEL, PREDICTION, VERSION
from keepfit.live_records import DriftCalculation, LatestDrift
from keepfit.ports import Ports
from keepfit.prepared import Way, features_of, prepare_rows, way_of
from keepfit.records import (
    Action,
    ColumnDrift,
    Cycle,
    DriftReport,
    Interval,
    Measure,
    ModelVersion,
    NewPattern,
    PerformanceReport,
)
from keepfit.rows import TypedRows

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

LOOKS_BACK = 50  # cycles among which the latest report is looked for
MOST_ROWS = 10_000  # of one look; of more, an evenly spaced part


def latest_drift(ports: Ports, config: Config) -> LatestDrift:
    """The latest drift report of the loop. Raises `NotFound` when there is none."""
    recent = ports.ledger.cycles.recent(config.project.name, LOOKS_BACK)
    cycle = next((each for each in recent if each.drift is not None), None)
    if cycle is None or cycle.drift is None:
        raise NotFound("No cycle has measured drift yet. `keepfit run` judges what lies in the inbox.")
    folder = config.path(config.reports.folder)
    files = {path.name: str(path) for path in sorted(folder.glob("*")) if path.is_file()} if folder.is_dir() else {}
    return LatestDrift(
        cycle=cycle.id,
        at=cycle.finished_at or cycle.started_at,
        drift_detected=cycle.drift.detected,
        action=cycle.decision.action if cycle.decision else None,
        reasons=cycle.decision.reasons if cycle.decision else (),
        report=cycle.drift,
        files=files,
    )


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Rows as they were asked, before they are prepared."""

    fields: pl.DataFrame  # one column a field of a request
    labels: pl.Series | None  # None: none is known
    answered: pl.DataFrame | None  # the same rows in the log, for performance; None for rows that were given
    of: int  # rows there were
    since: datetime | None = None
    until: datetime | None = None


def given_rows(rows: Sequence[Mapping[str, Any]], config: Config) -> Asked:
    """Rows as requests have them; a field that has the target's name is their label. Raises `DataError` for none at all."""
    import polars as pl

    if not rows:
        raise DataError("There are no rows: expected at least one.")
    names = dict.fromkeys(name for row in rows for name in row)
    chosen = rows[:: _step(len(rows))]
    frame = pl.DataFrame({name: pl.Series([row.get(name) for row in chosen], strict=False) for name in names})
    target = config.data.target
    labels = frame[target] if target in frame.columns else None
    return Asked(fields=frame.drop(target, strict=False), labels=labels, answered=None, of=len(rows))


def logged_rows(since: datetime, until: datetime, ports: Ports, config: Config) -> Asked:
    """What was asked within the window, whoever answered. Raises `NotFound` for an empty one, `DataError` where the log leaves out
    fields that the features are made of."""
    lost = [name for name in (*config.serve.log.omit, *config.serve.log.hash) if _matters(name, config)]
    if lost:
        raise DataError(
            f"The log has no {', '.join(lost)} (serve.log.omit, serve.log.hash), so no features can be made. Give rows instead."
        )
    rows = ports.log.rows(since, until)
    if not rows.height:
        raise NotFound(f"Nothing was asked between {since:%Y-%m-%d %H:%M} and {until:%Y-%m-%d %H:%M} UTC.")
    chosen = rows.gather_every(_step(rows.height))
    names = [name for name in chosen.columns if name.startswith(INPUT)]
    return Asked(
        fields=chosen.select(names).rename({name: name.removeprefix(INPUT) for name in names}),
        labels=chosen[LABEL],
        answered=rows.select(VERSION, PREDICTION, LABEL),
        of=rows.height,
        since=since,
        until=until,
    )


def calculate(asked: Asked, champion: ModelVersion | None, ports: Ports, config: Config) -> DriftCalculation:
    """Hold the rows against the champion's reference, and say what the loop's rules would say to it. Changes nothing in the ledger.

    Raises `NotFound` without a champion, `DataError` where the rows cannot be read or prepared, `UserCodeError`.
    """
    if champion is None:
        raise NotFound("There is no champion, so there is no reference to hold rows against. `keepfit run` makes the first one.")
    report = _report(asked, champion, ports, config)
    performance = _performance(asked, champion, ports, config)
    action, reasons = _decision(report, performance, champion, ports, config)
    texts = [column for column in report.columns if column.kind == "text"]
    return DriftCalculation(
        champion=champion.version,
        drift_detected=report.detected,
        vocabulary_drift=_most("vocabulary", texts),
        tfidf_drift=_most("tfidf", texts),
        threshold=_threshold(texts or report.columns),
        drifted=tuple(column.name for column in report.everything if column.drifted),
        columns=report.columns,
        output=report.output,
        label=report.label,
        new_patterns=_by_class(report.patterns),
        recommendation=action,
        reason="; ".join(reasons),
        rows=report.rows,
        of=asked.of,
        reference_rows=report.reference_rows,
        false_alarms=report.false_alarms,
        since=asked.since,
        until=asked.until,
        enough=report.detected is not None,
    )


# ------------------------------------------------------------------------------------------------------------------ rows


def _step(rows: int) -> int:
    return max(1, -(-rows // MOST_ROWS))


def _matters(name: str, config: Config) -> bool:
    """Whether features may be made of a field."""
    column = config.data.columns.get(name)
    return name not in (config.data.id, config.data.time, config.data.group) and (column is None or column.feature)


def _prepared(asked: Asked, way: Way) -> pd.DataFrame:
    """The rows with the champion's features. Raises `DataError` naming a cell that cannot be read."""
    import polars as pl

    inputs = {name: column for name, column in way.columns.items() if name != way.config.data.target}
    frame, faults = read_cells(asked.fields, {name: _optional(column) for name, column in inputs.items()})
    if faults:
        raise DataError(str(faults[0]))
    number = way.config.project.task == "regression"
    kind = pl.Float64 if number else pl.String
    labels = asked.labels if asked.labels is not None else pl.Series([None] * frame.height)
    truth = labels.cast(kind, strict=False) if number else _classes(labels, way.config)
    return prepare_rows(TypedRows(frame=frame, truth=truth, faults=(), notes=(), raw=frame), way)


def _optional(column: Any) -> Any:
    """The column's promise, for a request that may leave it out."""
    return column.model_copy(update={"required": False})


def _classes(labels: pl.Series, config: Config) -> pl.Series:
    from keepfit.live.losses import as_classes

    return as_classes(labels, config)


# ------------------------------------------------------------------------------------------------------------------ look


def _report(asked: Asked, champion: ModelVersion, ports: Ports, config: Config) -> DriftReport:
    reference, why = known_reference(champion, ports)
    way = way_of(champion, ports, config)
    if way is None:
        why = f"the features that version {champion.version} was trained on can no longer be made here"
    if reference is None or way is None:
        return DriftReport(champion=champion.version, rows=asked.fields.height, note=why)
    rows = _prepared(asked, way)
    _, model = ports.registry.load(champion.version)
    answers = model.predict(rows[features_of(rows)]) if len(rows) else None
    current = current_of(rows, answers, reference, ports, config)
    report = hold_against(current, reference, champion, 1, _each(config))
    return replace(report, patterns=new_patterns_in(report, rows, answers, champion, ports, config))


def _each(config: Config) -> Config:
    """The settings, with the stated rate of false alarms for each look."""
    drift = config.monitor.drift.model_copy(update={"spending": "each"})
    return config.model_copy(update={"monitor": config.monitor.model_copy(update={"drift": drift})})


def _performance(asked: Asked, champion: ModelVersion, ports: Ports, config: Config) -> PerformanceReport:
    """The champion on those rows of the log that it answered itself; without any where rows were given."""
    import polars as pl

    metric, judged, rows = ports.metric, Judged(value=None, interval=None, n=0, units=0), asked.of
    if asked.answered is not None:
        mine = asked.answered.filter(pl.col(VERSION) == champion.version)
        rows = mine.height
        try:
            judged = judge(mine, metric, config)
        except Exception:  # a metric that needs more than answers: nothing is said of performance then
            judged = Judged(value=None, interval=None, n=0, units=0)
    same = champion.metric == metric.name
    low, high = champion.reference_low, champion.reference_high
    known = Interval(low=low, high=high, level=config.monitor.level) if same and low is not None and high is not None else None
    return PerformanceReport(
        champion=champion.version,
        metric=metric.name,
        greater_is_better=metric.greater_is_better,
        value=judged.value,
        interval=judged.interval,
        n=judged.n,
        units=judged.units,
        rows=rows,
        reference=champion.reference if same else None,
        reference_interval=known,
        outside=champion.outside,
    )


def _decision(
    report: DriftReport, performance: PerformanceReport, champion: ModelVersion, ports: Ports, config: Config
) -> tuple[Action, tuple[str, ...]]:
    """What the loop's rules say to it, with the reasons."""
    from keepfit.stages.decide import recommend

    now = ports.clock.now()
    look = Cycle(id="look", project=config.project.name, started_at=now, performance=performance, drift=report)
    decision = recommend(look, champion, ports, config)
    return decision.action, decision.reasons


# ---------------------------------------------------------------------------------------------------------------- figures


def _most(measure: str, texts: Sequence[ColumnDrift]) -> float | None:
    """The largest of a measure over the text columns: what it is held against the threshold with."""
    found = [_held(each, column) for column in texts for each in column.measures if each.name == measure]
    return max((value for value in found if value is not None), default=None)


def _held(measure: Measure, column: ColumnDrift) -> float | None:
    """Under a fixed threshold the distance itself, else its excess over what no drift shows."""
    return measure.value if column.p_value is None else measure.score


def _threshold(columns: Sequence[ColumnDrift]) -> float | None:
    judged = [column for column in columns if column.score is not None and column.threshold is not None]
    closest = max(judged, key=lambda column: (column.score or 0.0) - (column.threshold or 0.0), default=None)
    return closest.threshold if closest is not None else None


def _by_class(patterns: Sequence[NewPattern]) -> dict[str, tuple[NewPattern, ...]]:
    return {label: tuple(each for each in patterns if each.label == label) for label in dict.fromkeys(p.label for p in patterns)}
