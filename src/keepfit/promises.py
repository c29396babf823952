"""What the column contract promises of values, one promise at a time, whichever tool holds them against it.

Types are settled before (`keepfit.contract.read_cells`). A promise says in words what is expected, which cells break it, and
how many of them are one too many.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from keepfit.contract import examples, named_values
from keepfit.ports import Fault
from keepfit.records import Finding
from keepfit.settings import Column

NULL_SHARE, FRESH, INCREASING = "null_share", "max_age", "increasing"


@dataclass(frozen=True, kw_only=True)
class Promise:
    """One promise of a column."""

    check: str
    expected: str  # in words
    broken: Callable[[pl.Expr], pl.Expr]  # of the column: which cells break it; null says no
    allowed: float = 0.0  # share of cells that may
    apart: bool = True  # whether it is kept again once the rows that break it are gone


def promises(column: Column, now: datetime) -> Iterator[Promise]:
    """All that a column promises of its values. `now` is when its file is looked at."""
    if column.max_null_share < 1:
        share = column.max_null_share
        words = "no empty cells" if share == 0 else f"at most {share:.0%} empty cells"
        yield Promise(check=NULL_SHARE, expected=words, broken=lambda cell: cell.is_null(), allowed=share, apart=share == 0)
    if column.unique:
        yield Promise(check="unique", expected="every value once", broken=lambda cell: cell.is_not_null() & cell.is_duplicated())
    if column.minimum is not None:
        low = column.minimum
        yield Promise(check="minimum", expected=f"at least {low:.15g}", broken=lambda cell: cell < low)
    if column.maximum is not None:
        high = column.maximum
        yield Promise(check="maximum", expected=f"at most {high:.15g}", broken=lambda cell: cell > high)
    if column.values is not None:
        words, named = f"one of {', '.join(column.values)}", named_values(column).to_list()
        yield Promise(check="values", expected=words, broken=lambda cell: ~cell.is_in(named))
    yield from _of_texts(column)
    yield from _of_order(column, now)


def _of_texts(column: Column) -> Iterator[Promise]:
    if column.pattern is not None:
        yield Promise(check="pattern", expected=f"text like {column.pattern}", broken=_unlike(column.pattern))
    if column.min_length is not None:
        fewest = column.min_length
        words = f"at least {fewest} characters"
        yield Promise(check="min_length", expected=words, broken=lambda cell: cell.cast(pl.String).str.len_chars() < fewest)
    if column.max_length is not None:
        most = column.max_length
        words = f"at most {most} characters"
        yield Promise(check="max_length", expected=words, broken=lambda cell: cell.cast(pl.String).str.len_chars() > most)


def _unlike(pattern: str) -> Callable[[pl.Expr], pl.Expr]:
    """Cells that a regular expression does not match as a whole. polars looks for it in linear time; what only Python's own
    expressions know (looking ahead and back) is left to them."""
    whole = f"^(?:{pattern})$"
    try:
        pl.Series([""]).str.contains(whole)
    except pl.exceptions.ComputeError:
        match = re.compile(pattern).fullmatch
        return lambda cell: cell.cast(pl.String).map_elements(lambda text: match(text) is None, return_dtype=pl.Boolean)
    return lambda cell: ~cell.cast(pl.String).str.contains(whole)


def _of_order(column: Column, now: datetime) -> Iterator[Promise]:
    """What no single row can be blamed for: one moment too high makes all that follow it look too low."""
    if column.increasing:
        words = "no value below the one before it"
        yield Promise(check=INCREASING, expected=words, broken=lambda cell: cell < cell.forward_fill().shift(1), apart=False)
    if column.max_age is not None:
        oldest = oldest_allowed(column.max_age, now)
        words = f"a latest moment of {oldest:%Y-%m-%d %H:%M:%S} UTC or later (max_age {_in_words(column.max_age)})"
        stale: Callable[[pl.Expr], pl.Expr] = lambda cell: (cell.max() < oldest).fill_null(value=True)  # noqa: E731
        yield Promise(check=FRESH, expected=words, broken=stale, apart=False)


def oldest_allowed(max_age: timedelta, now: datetime) -> datetime:
    """The moment, UTC without a zone as in typed columns, that the latest of a file must reach."""
    moment = now.astimezone(UTC).replace(tzinfo=None)
    try:
        return moment - max_age
    except OverflowError:
        return datetime(1, 1, 1)  # noqa: DTZ001 - without a zone, as the columns are


def fault(series: pl.Series, promise: Promise, broken: pl.Series) -> Fault:
    """A broken promise, as it is told. `broken`: Boolean, one a cell."""
    count = int(broken.sum())
    of = f"{count} of {len(series)}"
    shown = examples(series, broken)
    if promise.check == FRESH:
        latest = series.max()
        found = f"{latest:%Y-%m-%d %H:%M:%S}" if isinstance(latest, datetime) else "no moment at all"
        return Fault(finding=Finding(check=FRESH, column=series.name, expected=promise.expected, found=found, rows=count))
    if promise.check == NULL_SHARE:
        found = f"{of} ({count / max(len(series), 1):.0%})"
        shown = tuple(shown_cell.partition(":")[0] for shown_cell in shown)
    else:
        found = f"{of} rows that are not"
    finding = Finding(check=promise.check, column=series.name, expected=promise.expected, found=found, rows=count, examples=shown)
    return Fault(finding=finding, cells=broken, apart=promise.apart)


def broken_cells(series: pl.Series, promise: Promise) -> pl.Series:
    """Which cells of a column break a promise."""
    cells = series.alias("cell").to_frame()
    return cells.select(pl.repeat(value=False, n=pl.len()) | promise.broken(pl.col("cell")).fill_null(value=False)).to_series()


def _in_words(age: timedelta) -> str:
    hours = age.total_seconds() / 3600
    return f"{hours / 24:g} days" if hours >= 48 else f"{hours:g} hours"
