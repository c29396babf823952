"""How the dates of a column are written, where they are not in ISO 8601.

A way of writing counts only when every cell can be read so. `3/4/24` may be the third of April or the fourth of March; where no
cell of the column settles that, nothing is claimed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import product

import polars as pl

DATES = (
    *("%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d.%m.%y"),
    *("%d/%m/%Y", "%m/%d/%Y", "%d/%m/%y", "%m/%d/%y", "%d-%m-%Y", "%m-%d-%Y", "%d-%m-%y", "%m-%d-%y"),
    *("%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y"),
)
TIMES = ("", " %H:%M", " %H:%M:%S", " %H.%M", " %H.%M.%S", " %I:%M %p", " %I:%M:%S %p")
FIRST_YEAR = 1000  # "1/1/11" is not a day of the year 11


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What was found: the one format, or several between which the cells do not decide, or nothing."""

    format: str | None = None
    doubtful: tuple[str, ...] = ()


def read_dates(text: pl.Series) -> Reading:
    """The format in which every cell of a text column is a date. `text` has no nulls and no blanks at its ends.

    Where both day-first and month-first fit, the one in which the rows are in order of time is taken, if only one is.

    >>> read_dates(pl.Series(["1/31/11", "2/1/11"])).format
    '%m/%d/%y'
    >>> read_dates(pl.Series(["2/1/11", "1/2/11", "5/1/11"])).doubtful
    ('%d/%m/%y', '%m/%d/%y')
    """
    formats = _formats(text)
    if not formats:
        return Reading()
    distinct = text.unique(maintain_order=True)
    fitting = _different(distinct, [form for form in formats if _fits(distinct.head(50), form) and _fits(distinct, form)])
    if len(fitting) < 2:
        return Reading(format=fitting[0] if fitting else None)
    ordered = [form for form in fitting if is_in_order(moments(text, form))]
    return Reading(format=ordered[0]) if len(ordered) == 1 else Reading(doubtful=tuple(fitting))


def is_in_order(values: pl.Series) -> bool:
    """Whether no value is smaller than the one before it, and some are larger."""
    return values.n_unique() > 1 and values.is_sorted()


def moments(text: pl.Series, form: str) -> pl.Series:
    """The cells as moments; null where one cannot be read so."""
    return text.str.to_datetime(form, strict=False, time_unit="us")


def _formats(text: pl.Series) -> list[str]:
    """The formats of the first cell's shape: trying all on every column takes a tenth of a second each."""
    first = "" if text.is_empty() else str(text[0])
    if re.fullmatch(r"(19|20)\d{6}", first):
        return ["%Y%m%d"]
    return _SHAPES.get(_shape(first), [])


def _shape(text: str) -> str:
    """What stands between numbers and words: '24 Feb 2015 9:30' is '9 a 9 9:9'."""
    return re.sub("[A-Za-z]+", "a", re.sub(r"\d+", "9", text))


def _shape_of_format(form: str) -> str:
    return re.sub("%[bBp]", "a", re.sub("%[YymdHIMS]", "9", form))


_SHAPES: dict[str, list[str]] = {}
for _date, _time in product(DATES, TIMES):
    _SHAPES.setdefault(_shape_of_format(_date + _time), []).append(_date + _time)


def _fits(distinct: pl.Series, form: str) -> bool:
    read = moments(distinct, form)
    return read.null_count() == 0 and bool((read.dt.year() >= FIRST_YEAR).all())


def _different(distinct: pl.Series, formats: list[str]) -> list[str]:
    """The formats without those that read every cell as an earlier one does, as names of months in short and in full."""
    found: dict[tuple[object, ...], str] = {}
    for form in formats:
        found.setdefault(tuple(moments(distinct, form).to_list()), form)
    return list(found.values())
