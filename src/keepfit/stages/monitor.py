"""Hold the new rows against the champion and its reference: how well it does, how far they lie from what it was trained on.

Where labels are there they say how well; where they lag, an estimate does, marked as one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from keepfit.config import Config
from keepfit.drifting import (
    current_of,
    earlier_looks,
    hold_against,
    keep_profile,
    known_reference,
    look_number,
    new_patterns_in,
    profile_name,
)
from keepfit.errors import DataError
from keepfit.estimating import estimate, slices
from keepfit.ports import Ports, Predictions
from keepfit.prepared import TRUTH, features_of, for_metric, groups_of, labelled, rows_as_known_to, usable
from keepfit.promotion import notice_hand
from keepfit.records import (
    Batch,
    BatchState,
    Cycle,
    DriftReport,
    Interval,
    ModelVersion,
    PerformanceEstimate,
    PerformanceReport,
    Place,
)
from keepfit.stats.metrics import reported
from keepfit.stats.resample import interval
from keepfit.stats.units import independent, left_out, value

if TYPE_CHECKING:
    import pandas as pd

RESTS_ON = 100  # latest earlier batches whose held-out rows an estimate rests on
MOST_UNLABELLED = 20_000  # rows without a label that the champion is asked about, evenly spaced


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The new rows as the champion knows them, with what it says of them."""

    rows: pd.DataFrame  # all of them
    asked: pd.DataFrame  # those with a label, and enough of the others
    answers: Predictions | None  # of `asked`; None when there is none
    note: str = ""  # why the champion cannot be judged on them


def monitor(cycle: Cycle, ports: Ports, config: Config) -> Cycle:
    """Fill in `performance` and `drift`; leave them empty without a champion or without new data.

    Both sides of the split count here: the champion was trained on neither.
    """
    champion = ports.registry.champion()
    notice_hand(champion, cycle.id, ports, config)
    new = [batch for batch in cycle.batches if batch.state is BatchState.NEW and batch.place is Place.INBOX]
    if champion is None or not new:
        return cycle
    seen = _look(champion, new, ports, config)
    report = _judge(champion, seen, cycle, ports, config)
    cycle = replace(cycle, performance=report, drift=_drift(champion, seen, cycle, ports, config))
    _record(cycle, champion, seen, ports, config)
    return cycle


def _look(champion: ModelVersion, new: list[Batch], ports: Ports, config: Config) -> Seen:
    rows, note = rows_as_known_to(champion, new, ports, config, holdout=None)
    known = rows[TRUTH].notna()
    without = rows[~known]
    asked = _together(rows[known], without.iloc[:: max(1, -(-len(without) // MOST_UNLABELLED))])
    if asked.empty or note:
        return Seen(rows=rows, asked=asked, answers=None, note=note)
    _, model = ports.registry.load(champion.version)
    try:
        return Seen(rows=rows, asked=asked, answers=model.predict(asked[features_of(asked)]))
    except DataError as error:
        note = f"version {champion.version} cannot be judged on the new rows: {error}"
        return Seen(rows=rows, asked=asked, answers=None, note=note)


def _judge(champion: ModelVersion, seen: Seen, cycle: Cycle, ports: Ports, config: Config) -> PerformanceReport:
    metric = ports.metric
    known = seen.asked[TRUTH].notna().to_numpy()
    judged = seen.asked[known]
    report = PerformanceReport(
        champion=champion.version,
        metric=metric.name,
        greater_is_better=metric.greater_is_better,
        value=None,
        interval=None,
        n=len(judged),
        units=0,
        rows=len(seen.rows),
        reference=champion.reference if champion.metric == metric.name else None,
        reference_interval=_reference_interval(champion, config) if champion.metric == metric.name else None,
        outside=champion.outside,
        note=seen.note,
    )
    if seen.answers is None:
        return report
    if config.monitor.estimate and len(judged) < len(seen.rows):
        report = replace(report, estimate=_estimate(champion, seen, cycle, ports, config))
    if judged.empty:
        return report
    answers = seen.answers.of(known)
    groups = groups_of(judged, config)
    statistics = metric.statistics(judged[TRUTH].to_numpy(), answers, groups, for_metric(judged))
    return replace(
        report,
        value=value(statistics),
        interval=interval(statistics, config.monitor.level, config.promote.resamples, config.train.seed),
        units=independent(statistics),
        left_out=left_out(statistics),
        slices=slices(judged, answers, ports, config),
    )


def _estimate(champion: ModelVersion, seen: Seen, cycle: Cycle, ports: Ports, config: Config) -> PerformanceEstimate:
    """The metric on the rows without a label, resting on the held-out rows of the latest batches before these."""
    assert seen.answers is not None  # noqa: S101 - the caller has looked
    own = {batch.id for batch in cycle.batches}
    before = [batch for batch in usable(cycle, ports, config) if batch.id not in own][-RESTS_ON:]
    held_out, answers = seen.asked.iloc[:0], seen.answers.of(np.zeros(len(seen.asked), dtype=bool))
    if before:
        rows, note = rows_as_known_to(champion, before, ports, config, holdout=True)
        if not note and rows[TRUTH].notna().any():
            held_out = labelled(rows)
            answers = ports.registry.load(champion.version)[1].predict(held_out[features_of(held_out)])
    earlier = [error for each in earlier_looks(champion, cycle, ports, config) if (error := _error(each)) is not None]
    found = estimate(seen.asked, seen.answers, held_out, answers, ports, config, earlier=earlier)
    return replace(found, n=int(seen.rows[TRUTH].isna().sum()))


def _error(cycle: Cycle) -> float | None:
    """How wrong an earlier cycle's estimate was."""
    guess = cycle.performance.estimate if cycle.performance else None
    return guess.error if guess else None


def _drift(champion: ModelVersion, seen: Seen, cycle: Cycle, ports: Ports, config: Config) -> DriftReport:
    """How far the new rows lie from the champion's reference; their profile is kept for reports and later looks."""
    if not config.monitor.drift.enabled:
        return DriftReport(champion=champion.version, rows=len(seen.rows), note="[monitor.drift] enabled is false")
    reference, why = known_reference(champion, ports)
    if reference is None or seen.note or not len(seen.rows):
        why = why or seen.note or "there are no new rows"
        return DriftReport(champion=champion.version, rows=len(seen.rows), note=why)
    current = current_of(seen.rows, seen.answers, reference, ports, config)
    keep_profile(profile_name(cycle), current, {"champion": champion.version, "run": champion.run_id}, ports)
    report = hold_against(current, reference, champion, look_number(champion, cycle, ports, config), config)
    return replace(report, patterns=new_patterns_in(report, seen.asked, seen.answers, champion, ports, config))


def _record(cycle: Cycle, champion: ModelVersion, seen: Seen, ports: Ports, config: Config) -> None:
    """Leave a run in the tracker for people to look at, when anything was measured."""
    performance, drift = cycle.performance, cycle.drift
    metrics: dict[str, float] = {}
    if performance is not None and performance.value is not None:
        metrics |= _further(seen, config)
        metrics |= {performance.metric: performance.value, "labelled_rows": float(performance.n)}
    if performance is not None and performance.estimate is not None and performance.estimate.value is not None:
        metrics[f"estimated_{performance.metric}"] = performance.estimate.value
    if drift is not None and drift.detected is not None:
        metrics["drifted_columns"] = float(len(drift.drifted))
    if metrics:
        parameters = {"champion": champion.version, "batches": str(len(cycle.batches))}
        ports.tracker.record(config.tracking.monitoring_run, cycle.id, parameters, metrics)


def _further(seen: Seen, config: Config) -> dict[str, float]:
    """The metrics that are told besides."""
    known = seen.asked[TRUTH].notna().to_numpy()
    if seen.answers is None or not known.any():
        return {}
    truth = seen.asked[TRUTH][known].to_numpy()
    return reported(config.tracking.further_metrics, truth, seen.answers.of(known), config.train.positive)


def _reference_interval(champion: ModelVersion, config: Config) -> Interval | None:
    if champion.reference_low is None or champion.reference_high is None:
        return None
    return Interval(low=champion.reference_low, high=champion.reference_high, level=config.monitor.level)


def _together(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Both, one below the other, without pandas' doubts about empty frames."""
    import pandas as pd

    return pd.concat([each for each in (first, second) if len(each)] or [first]).reset_index(drop=True)
