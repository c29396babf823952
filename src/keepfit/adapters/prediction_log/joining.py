"""Answers with their silent answers and labels: one row a request, whatever lies in the segments."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from keepfit.adapters.prediction_log.frames import MOMENT, ORDER, SHADOWED_AT, SOURCE, WRITTEN
from keepfit.adapters.prediction_log.segments import LABELS, PREDICTIONS, SHADOWS, Segments, cast_to, common_type
from keepfit.live_ports import (
    INPUT,
    LABEL,
    LABELLED_AT,
    MODEL,
    PREDICTION,
    REQUEST,
    ROUTE,
    SCORE,
    SHADOW_PREDICTION,
    SHADOW_SCORE,
    SHADOW_VERSION,
    TIMESTAMP,
    VERSION,
)

_OWN: dict[str, pl.DataType] = {
    REQUEST: pl.String(),
    TIMESTAMP: MOMENT,
    MODEL: pl.String(),
    VERSION: pl.String(),
    PREDICTION: pl.Null(),
    SCORE: pl.Float64(),
    ROUTE: pl.String(),
}
_SILENT: dict[str, pl.DataType] = {
    REQUEST: pl.String(),
    SHADOWED_AT: MOMENT,
    SHADOW_VERSION: pl.String(),
    SHADOW_PREDICTION: pl.Null(),
    SHADOW_SCORE: pl.Float64(),
}
_LABELS: dict[str, pl.DataType] = {REQUEST: pl.String(), LABELLED_AT: MOMENT, LABEL: pl.Null()}
_ORIGIN: dict[str, pl.DataType] = {WRITTEN: pl.Int64(), SOURCE: pl.String(), ORDER: pl.Int64()}
_ANSWERS = (PREDICTION, SHADOW_PREDICTION, LABEL)


def joined(
    segments: Segments, since: datetime | None, until: datetime | None, labelled: bool | None, inputs: bool, shadow: str | None
) -> pl.DataFrame:
    """See `PredictionLog.rows`; from `since` on and before `until`. Raises FileNotFoundError where a segment went meanwhile."""
    answered = _read(segments, PREDICTIONS, _OWN, since, until, inputs)
    if since is not None:
        answered = answered.filter(pl.col(TIMESTAMP) >= since)
    if until is not None:
        answered = answered.filter(pl.col(TIMESTAMP) < until)
    silent = _read(segments, SHADOWS, _SILENT | _ORIGIN, since, until)
    if shadow is not None:
        silent = silent.filter(pl.col(SHADOW_VERSION) == shadow)
    labels = _last(_read(segments, LABELS, _LABELS | _ORIGIN, since, until), LABELLED_AT)
    if labelled is not None:
        answered = answered.join(labels, on=REQUEST, how="semi" if labelled else "anti")
    frame = (
        answered.filter(pl.col(REQUEST).is_first_distinct())
        .join(_last(silent, SHADOWED_AT).drop(SHADOWED_AT), on=REQUEST, how="left")
        .join(labels, on=REQUEST, how="left")
        .sort(TIMESTAMP, REQUEST)
        .collect()
    )
    own = [*_OWN, SHADOW_VERSION, SHADOW_PREDICTION, SHADOW_SCORE, LABEL, LABELLED_AT]
    return _of_one_type(frame).select(*own, pl.exclude(own))


def _read(
    segments: Segments,
    kind: str,
    own: dict[str, pl.DataType],
    since: datetime | None,
    until: datetime | None,
    inputs: bool = False,
) -> pl.LazyFrame:
    """The rows of one kind, with these columns whether there are any rows or not."""
    names = segments.names(kind, since, until)
    return segments.scan(names, lambda name: name in own or (inputs and name.startswith(INPUT)), pl.LazyFrame(schema=own))


def _last(rows: pl.LazyFrame, moment: str) -> pl.LazyFrame:
    """Of each request the one that came last; of those that came at once the one that was written later."""
    ordered = rows.sort(moment, *_ORIGIN, nulls_last=False)
    return ordered.unique(REQUEST, keep="last", maintain_order=True).drop(*_ORIGIN)


def _of_one_type(frame: pl.DataFrame) -> pl.DataFrame:
    """Answers and labels as numbers where all are, else as text, so that they can be compared."""
    if all(frame[name].dtype == pl.Null for name in _ANSWERS):
        return frame.with_columns(pl.col(_ANSWERS).cast(pl.String))
    if _are_numbers(frame, PREDICTION) and _are_numbers(frame, SHADOW_PREDICTION):
        numbers = frame.with_columns(pl.col(_ANSWERS).cast(pl.Float64, strict=False))
        if numbers[LABEL].null_count() == frame[LABEL].null_count():
            return numbers
    to = common_type([frame[name].dtype for name in _ANSWERS])
    if to != pl.String:
        return frame.with_columns(pl.col(_ANSWERS).cast(to))
    return frame.with_columns([cast_to(pl.col(name), frame[name].dtype, to) for name in _ANSWERS])


def _are_numbers(frame: pl.DataFrame, name: str) -> bool:
    return frame[name].dtype.is_numeric() or frame[name].dtype == pl.Null
