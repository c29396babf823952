"""How the dates of a column are written, where they are not in ISO 8601.

A way of writing counts only when every cell can be read so. `3/4/24` may be the third of April or the fourth of March; where no
cell of the column settles that, nothing is claimed.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import polars as pl

DATES = (
    *("%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d.%m.%y"),
    *("%d/%m/%Y", "%m/%d/%Y", "%d/%m/%y", "%m/%d/%y", "%d-%m-%Y", "%m-%d-%Y", "%d-%m-%y", "%m-%d-%y"),
    *("%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y"),
)
TIMES = ("", " %H:%M", " %H:%M:%S", " %H.%M", " %H.%M.%S", " %I:%M %p", " %I:%M:%S %p")
LONGEST = 40  # characters of a date
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
    distinct = text.unique(maintain_order=True)
    if distinct.is_empty() or not distinct.str.contains(r"^[\w ,.:/-]*\d[\w ,.:/-]*$").all():
        return Reading()
    if (distinct.str.len_chars() > LONGEST).any():
        return Reading()
    fitting = [form for form in _fitting(distinct.head(50), _formats(distinct)) if _fitting(distinct, [form])]
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


def _formats(distinct: pl.Series) -> list[str]:
    if distinct.str.contains(r"^(19|20)\d{6}$").all():
        return ["%Y%m%d"]
    return [date + time for date, time in product(DATES, TIMES)]


def _fitting(distinct: pl.Series, formats: list[str]) -> list[str]:
    found = []
    for form in formats:
        read = moments(distinct, form)
        if read.null_count() == 0 and (read.dt.year() >= FIRST_YEAR).all():
            found.append(form)
    return found
