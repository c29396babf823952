"""Judge the champion on the new labelled rows, with an interval that says how much they can tell."""

from __future__ import annotations

from dataclasses import replace

from keepfit.config import Config
from keepfit.errors import DataError
from keepfit.ports import Ports
from keepfit.prepared import TRUTH, features_of, for_metric, groups_of, labelled, rows_as_known_to
from keepfit.promotion import notice_hand
from keepfit.records import Batch, BatchState, Cycle, Interval, ModelVersion, PerformanceReport, Place
from keepfit.stats.resample import interval
from keepfit.stats.units import independent, left_out, value


def monitor(cycle: Cycle, ports: Ports, config: Config) -> Cycle:
    """Fill in `performance`; leave it empty without a champion or without new data.

    Both sides of the split count here: the champion was trained on neither.
    """
    champion = ports.registry.champion()
    notice_hand(champion, cycle.id, ports, config)
    new = [batch for batch in cycle.batches if batch.state is BatchState.NEW and batch.place is Place.INBOX]
    if champion is None or not new:
        return cycle
    report = _judge(champion, new, ports, config)
    if report.value is not None:
        name = config.tracking.monitoring_run
        parameters = {"champion": champion.version, "batches": str(len(new))}
        ports.tracker.record(name, cycle.id, parameters, {report.metric: report.value, "labelled_rows": float(report.n)})
    return replace(cycle, performance=report)


def _judge(champion: ModelVersion, new: list[Batch], ports: Ports, config: Config) -> PerformanceReport:
    rows, note = rows_as_known_to(champion, new, ports, config, holdout=None)
    judged = labelled(rows)
    metric = ports.metric
    report = PerformanceReport(
        champion=champion.version,
        metric=metric.name,
        greater_is_better=metric.greater_is_better,
        value=None,
        interval=None,
        n=len(judged),
        units=0,
        rows=len(rows),
        reference=champion.reference if champion.metric == metric.name else None,
        reference_interval=_reference_interval(champion, config) if champion.metric == metric.name else None,
        outside=champion.outside,
        note=note,
    )
    if judged.empty or note:
        return report
    _, model = ports.registry.load(champion.version)
    try:
        predictions = model.predict(judged[features_of(judged)])
    except DataError as error:
        return replace(report, note=f"version {champion.version} cannot be judged on the new rows: {error}")
    statistics = metric.statistics(judged[TRUTH].to_numpy(), predictions, groups_of(judged, config), for_metric(judged))
    return replace(
        report,
        value=value(statistics),
        interval=interval(statistics, config.monitor.level, config.promote.resamples, config.train.seed),
        units=independent(statistics),
        left_out=left_out(statistics),
    )


def _reference_interval(champion: ModelVersion, config: Config) -> Interval | None:
    if champion.reference_low is None or champion.reference_high is None:
        return None
    return Interval(low=champion.reference_low, high=champion.reference_high, level=config.monitor.level)
