"""Rows of a spool as frames, typed by what is in them: the fields of a request are whatever the model asked for at that time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import polars as pl

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

# Of labels and silent answers, which of two came last: when it was written, by whom, and the how-manieth it was there.
WRITTEN, SOURCE, ORDER = "written", "source", "order"
SHADOWED_AT = "shadowed_at"
MOMENT = pl.Datetime("us", "UTC")

Rows = Sequence[Sequence[Any]]  # as `lines.decode` gives them


def predictions(rows: Rows) -> pl.DataFrame:
    """One row an answer; the fields in the order in which they first appear."""
    _, ids, moments, models, versions, predicted, scores, routes, inputs = zip(*rows, strict=True)
    fields = dict.fromkeys(name for each in inputs for name in each)
    return pl.DataFrame(
        [
            pl.Series(REQUEST, ids, pl.String, strict=False),
            _moments(TIMESTAMP, moments),
            pl.Series(MODEL, models, pl.String, strict=False),
            pl.Series(VERSION, versions, pl.String, strict=False),
            answers(PREDICTION, predicted),
            pl.Series(SCORE, scores, pl.Float64, strict=False),
            pl.Series(ROUTE, routes, pl.String, strict=False),
            *(typed(INPUT + name, [each.get(name) for each in inputs]) for name in fields),
        ]
    )


def shadows(rows: Rows, written: int, source: str) -> pl.DataFrame:
    """One row a silent answer. `written`: microseconds since 1970."""
    _, ids, moments, versions, predicted, scores = zip(*rows, strict=True)
    return pl.DataFrame(
        [
            pl.Series(REQUEST, ids, pl.String, strict=False),
            _moments(SHADOWED_AT, moments),
            pl.Series(SHADOW_VERSION, versions, pl.String, strict=False),
            answers(SHADOW_PREDICTION, predicted),
            pl.Series(SHADOW_SCORE, scores, pl.Float64, strict=False),
        ]
    ).with_columns(_origin(written, source))


def labels(rows: Rows, written: int, source: str) -> pl.DataFrame:
    """One row a label. `written`: microseconds since 1970."""
    _, ids, moments, given = zip(*rows, strict=True)
    frame = pl.DataFrame([pl.Series(REQUEST, ids, pl.String, strict=False), _moments(LABELLED_AT, moments), answers(LABEL, given)])
    return frame.with_columns(_origin(written, source))


def answers(name: str, values: Sequence[Any]) -> pl.Series:
    """Predictions and labels: numbers or text, and whole numbers are numbers like the others."""
    series = typed(name, values)
    return series.cast(pl.Float64) if series.dtype == pl.Int64 else series


def typed(name: str, values: Sequence[Any]) -> pl.Series:
    """A column of the narrowest type that holds all these JSON values; text where they have nothing else in common."""
    kinds = set(map(type, values)) - {type(None)}
    if kinds == {float} or kinds == {int, float}:
        return pl.Series(name, values, pl.Float64, strict=False)
    if kinds == {str}:
        return pl.Series(name, values, pl.String)
    if kinds == {bool}:
        return pl.Series(name, values, pl.Boolean)
    if kinds == {int}:
        fits = all(value is None or -(2**63) <= value < 2**63 for value in values)
        return pl.Series(name, values, pl.Int64 if fits else pl.Float64, strict=False)
    if not kinds:
        return pl.Series(name, values, pl.Null)
    return pl.Series(name, [None if value is None else _text(value) for value in values], pl.String)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    whole = isinstance(value, float) and value.is_integer() and abs(value) <= 2**53
    return json.dumps(int(value) if whole else value, ensure_ascii=False)


def _moments(name: str, seconds: Sequence[float]) -> pl.Series:
    return (pl.Series(name, seconds, pl.Float64, strict=False) * 1e6).round().cast(pl.Int64).cast(MOMENT)


def _origin(written: int, source: str) -> list[pl.Expr]:
    return [
        pl.lit(written, pl.Int64).alias(WRITTEN),
        pl.lit(source, pl.String).alias(SOURCE),
        pl.int_range(pl.len(), dtype=pl.Int64).alias(ORDER),
    ]
