"""How right the answers in service were, as far as their labels have come back: the project's metric on the rows of the log.

The log has answers and the confidence in them, not the probabilities of all classes, nor prepared features. So a metric that needs
those, or a function of the user's, cannot be computed here; then accuracy or the root mean squared error is, and a note says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from keepfit.config import Config
from keepfit.errors import KeepfitError
from keepfit.live.losses import as_classes
from keepfit.live_ports import INPUT, LABEL, PREDICTION, SCORE, TIMESTAMP, VERSION
from keepfit.live_records import LivePerformance, Probation, VersionPerformance
from keepfit.ports import Metric, Ports, Predictions
from keepfit.records import Interval, ModelVersion, PerformanceEstimate

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

PLAIN = {"classification": "accuracy", "regression": "root_mean_squared_error"}
MOST_VERSIONS = 20  # that are told one by one
_GROUP = "__group"


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One version's labelled answers under the metric."""

    value: float | None
    interval: Interval | None
    n: int
    units: int


def performance(
    champion: ModelVersion | None,
    since: datetime,
    until: datetime,
    ports: Ports,
    config: Config,
    *,
    probation: Probation | None = None,
) -> LivePerformance:
    """The champion's performance on its answers from `since` to `until`, and that of every other version that answered."""
    rows, notes = _rows(since, until, ports, config)
    wanted, note = _wanted(ports, config)
    try:
        found = _told(rows, champion, wanted, (since, until), config)
    except (KeepfitError, TypeError, ValueError) as error:  # scikit-learn's scorers raise what they like on answers alone
        wanted, note = _plain(config), f"{wanted.name} cannot be computed from answers and labels alone ({error})"
        found = _told(rows, champion, wanted, (since, until), config)
    notes += [f"{note}: {wanted.name} in its place"] if note else []
    return replace(found, probation=probation, notes=tuple(notes))


def _told(
    rows: pl.DataFrame, champion: ModelVersion | None, metric: Metric, window: tuple[datetime, datetime], config: Config
) -> LivePerformance:
    import polars as pl

    own = champion.version if champion is not None else None
    mine = rows.filter(pl.col(VERSION) == own) if own is not None else rows.clear()
    judged = judge(mine, metric, config)
    return LivePerformance(
        champion=own,
        since=window[0],
        until=window[1],
        metric=metric.name,
        greater_is_better=metric.greater_is_better,
        value=judged.value,
        interval=judged.interval,
        n=judged.n,
        units=judged.units,
        rows=mine.height,
        reference=champion.reference if champion is not None and champion.metric == metric.name else None,
        estimate=_estimate(mine, config) if config.monitor.estimate else None,
        versions=tuple(_versions(rows, own, judged, metric, config)),
    )


def judge(rows: pl.DataFrame, metric: Metric, config: Config) -> Judged:
    """The metric on those rows that have a label, with its interval."""
    from keepfit.stats.resample import interval
    from keepfit.stats.units import independent, value

    known = _readable(rows, config)
    if not known.height:
        return Judged(value=None, interval=None, n=0, units=0)
    statistics = metric.statistics(known[LABEL].to_numpy(), Predictions(known[PREDICTION].to_numpy()), _groups(known), None)
    return Judged(
        value=value(statistics),
        interval=interval(statistics, config.monitor.level, config.promote.resamples, config.train.seed),
        n=known.height,
        units=independent(statistics),
    )


# ------------------------------------------------------------------------------------------------------------------- rows


def _rows(since: datetime, until: datetime, ports: Ports, config: Config) -> tuple[pl.DataFrame, list[str]]:
    """The answers of the window with the column `_GROUP` where there are groups among what was asked."""
    import polars as pl

    group = config.data.group
    if group is not None and group in config.serve.log.omit:
        note = f"{group} is left out of the log (serve.log.omit), so the interval counts rows that belong together as independent"
        return ports.log.rows(since, until, inputs=False), [note]
    rows = ports.log.rows(since, until, inputs=group is not None)
    if group is not None and INPUT + group in rows.columns:
        rows = rows.with_columns(pl.col(INPUT + group).cast(pl.String).fill_null("").alias(_GROUP))
    return rows.select(name for name in rows.columns if not name.startswith(INPUT)), []


def _readable(rows: pl.DataFrame, config: Config) -> pl.DataFrame:
    """The labelled rows, answers and labels as the metric takes them."""
    import polars as pl

    known = rows.filter(pl.col(LABEL).is_not_null())
    if config.project.task == "classification":
        read = [as_classes(known[name], config).alias(name) for name in (PREDICTION, LABEL)]
    else:
        read = [known[name].cast(pl.Float64, strict=False).fill_nan(None).alias(name) for name in (PREDICTION, LABEL)]
    return known.with_columns(read).drop_nulls([PREDICTION, LABEL])


def _groups(rows: pl.DataFrame) -> np.ndarray | None:
    return rows[_GROUP].to_numpy() if _GROUP in rows.columns else None


def _wanted(ports: Ports, config: Config) -> tuple[Metric, str]:
    """The metric, and why it is not the project's."""
    name = config.train.metric
    if ":" in name:
        return _plain(config), f"{name} looks at prepared rows, which the log does not hold"
    return ports.metric, ""


def _plain(config: Config) -> Metric:
    from keepfit.stats.metrics import builtin

    plain = builtin(PLAIN[config.project.task])
    assert plain is not None  # noqa: S101 - both are keepfit's own
    return plain


# --------------------------------------------------------------------------------------------------------------- versions


def _versions(rows: pl.DataFrame, own: str | None, judged: Judged, metric: Metric, config: Config) -> Iterator[VersionPerformance]:
    import polars as pl

    latest = rows.group_by(VERSION).agg(pl.len(), pl.col(TIMESTAMP).max()).sort(TIMESTAMP, descending=True).head(MOST_VERSIONS)
    for version, count in latest.select(VERSION, "len").iter_rows():
        found = judged if version == own else judge(rows.filter(pl.col(VERSION) == version), metric, config)
        yield VersionPerformance(version=version, rows=count, n=found.n, value=found.value, interval=found.interval)


def _estimate(rows: pl.DataFrame, config: Config) -> PerformanceEstimate | None:
    """The accuracy of the answers without a label: the mean of their calibrated confidences. None for numbers, where every answer
    has a label, and where the model gives no confidences."""
    import polars as pl

    if config.project.task != "classification":
        return None
    waiting = rows.filter(pl.col(LABEL).is_null())[SCORE].drop_nulls()
    if waiting.is_empty():
        return None
    known = _readable(rows, config).drop_nulls(SCORE)
    right, sure = (known[PREDICTION] == known[LABEL]).mean(), known[SCORE].mean()
    enough = known.height >= config.monitor.min_labels and isinstance(right, float) and isinstance(sure, float)
    return PerformanceEstimate(
        method="confidence",
        metric="accuracy",
        value=float(waiting.sum() / len(waiting)),
        interval=None,
        n=len(waiting),
        error=abs(right - sure) if enough and isinstance(right, float) and isinstance(sure, float) else None,
        labelled=known.height if enough else 0,
        note="the mean confidence; error: how far it is off on the labelled answers",
    )
