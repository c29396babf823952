"""The column contract: what a file's columns promise, held against what is in them.

`conform` gives every column its promised type and says which cells could not be read as that; it never guesses and never
turns one thing into another silently. `infer` writes a contract for data that has none yet, and `survey` says why.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from keepfit.date_formats import read_dates
from keepfit.ports import Fault
from keepfit.records import Finding
from keepfit.settings import Column

NULL_WORDS = ("", "na", "n/a", "nan", "null", "none", "<na>")  # in a column that is not text
TRUE_WORDS, FALSE_WORDS = ("true", "t", "yes", "y", "1", "1.0"), ("false", "f", "no", "n", "0", "0.0")
FEW_VALUES = 50  # a category of up to this many values is always taken as one
MOST_VALUES = 500  # and of more than this never: each value is a column of zeros and ones
ROWS_PER_VALUE = 20  # in between, so many rows must speak for a value on average
FEW_ROWS = 20  # below this, that all values differ says nothing
FEWEST_FILLED = 0.01  # a feature has values in more than this share of the rows
TEXT_LENGTH = 25  # an inferred text is longer than this on average

_FLOATS = (pl.Float64, pl.Float32, pl.Decimal)
_INTEGERS = (pl.Int128, pl.Int64, pl.Int32, pl.Int16, pl.Int8, pl.UInt64, pl.UInt32, pl.UInt16, pl.UInt8)
_TYPED = {  # what a typed file (Parquet, JSON Lines) may hold for each promise
    "number": (*_FLOATS, *_INTEGERS),
    "boolean": (pl.Boolean,),
    "text": (pl.String,),
    "category": (pl.String, pl.Categorical, pl.Enum, pl.Boolean, *_FLOATS, *_INTEGERS),
    "datetime": (pl.Datetime, pl.Date),
}
_TYPED["integer"] = _TYPED["number"]


def conform(frame: pl.DataFrame, columns: Mapping[str, Column]) -> tuple[pl.DataFrame, list[Finding]]:
    """The frame with every contracted column in its promised type, and what could not be read so; see `read_cells`."""
    typed, faults = read_cells(frame, columns)
    return typed, [fault.finding for fault in faults]


def read_cells(frame: pl.DataFrame, columns: Mapping[str, Column]) -> tuple[pl.DataFrame, list[Fault]]:
    """The frame with every contracted column in its promised type, and what could not be read so, with its rows.

    A frame of text (CSV) is parsed; typed columns must be of the promised kind already. Cells that cannot be read are null
    in the result and a fault. Missing columns that are required are a fault; others come as nulls. Columns beyond the
    contract are left out.
    """
    faults: list[Fault] = []
    typed: dict[str, pl.Series] = {}
    there = set(frame.columns)
    for name, column in columns.items():
        if name not in there:
            if column.required:
                faults.append(_missing(name, frame))
            typed[name] = pl.Series(name, [None] * frame.height, dtype=_dtype(column))
            continue
        typed[name], bad = _as_promised(frame[name], column)
        if bad is not None:
            wrong = _wrong(frame[name], column, bad)
            faults.append(Fault(finding=wrong, cells=bad, apart=_is_of_kind(frame[name], column)))
    return pl.DataFrame(typed), faults


def _missing(name: str, frame: pl.DataFrame) -> Fault:
    found = ", ".join(map(repr, frame.columns[:12])) + (", ..." if frame.width > 12 else "")
    finding = Finding(check="column", column=name, expected="the column", found=found, rows=frame.height)
    return Fault(finding=finding, cells=pl.repeat(value=True, n=frame.height, eager=True))


def named_values(column: Column) -> pl.Series:
    """The values that a contract allows, in the column's type; what cannot be one is left out."""
    return _as_promised(pl.Series("values", column.values or (), dtype=pl.String), column)[0].drop_nulls()


def without_blank_rows(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows in which at least one cell says something."""
    if not frame.width:
        return frame
    blank = pl.repeat(value=True, n=frame.height, eager=True)
    for series in frame:  # not by name: polars takes a name like "*" for a pattern
        blank &= (series.is_null() | (series.str.strip_chars() == "")) if series.dtype == pl.String else series.is_null()
    return frame.filter(~blank)


def examples(series: pl.Series, bad: pl.Series) -> tuple[str, ...]:
    """Up to three cells as "row 17: 'abc'", rows counted from 1 below the header."""
    rows = bad.arg_true().head(3).to_list()
    return tuple(f"row {row + 1}: {_short(series[row])}" for row in rows)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "...'"


def _dtype(column: Column) -> pl.DataType:
    types: dict[str, pl.DataType] = {
        "number": pl.Float64(),
        "integer": pl.Int64(),
        "boolean": pl.Boolean(),
        "datetime": pl.Datetime("us"),
    }
    return types.get(column.type, pl.String())


def _is_of_kind(series: pl.Series, column: Column) -> bool:
    """Whether a file's column may hold what is promised, so that only single cells can be wrong."""
    return series.dtype == pl.String or isinstance(series.dtype, _TYPED[column.type])


def _as_promised(series: pl.Series, column: Column) -> tuple[pl.Series, pl.Series | None]:
    """The cells in the promised type, and which of them could not be read so; None where all could."""
    dtype = _dtype(column)
    if series.dtype == pl.Null:
        return series.cast(dtype), None
    if not _is_of_kind(series, column):
        return pl.Series(series.name, [None] * len(series), dtype=dtype), series.is_not_null()
    if series.dtype != pl.String:
        return _from_typed(series, column, dtype)
    parsed = _from_text(series, column)
    if column.type == "category":  # a quote that is opened by mistake swallows the lines down to the next one
        parsed = pl.select(pl.when(series.str.contains("\n", literal=True)).then(None).otherwise(parsed)).to_series()
    blank = series.str.strip_chars().str.to_lowercase().is_in(_nulls(column)) | series.is_null()
    bad = parsed.is_null() & ~blank
    return parsed, bad if bad.any() else None


def _nulls(column: Column) -> tuple[str, ...]:
    return ("",) if column.type in ("text", "category") else NULL_WORDS


def _from_text(series: pl.Series, column: Column) -> pl.Series:
    stripped = series.str.strip_chars()
    match column.type:
        case "number":
            return _finite(stripped.cast(pl.Float64, strict=False))
        case "integer":
            return _whole(stripped)
        case "boolean":
            lowered = stripped.str.to_lowercase()
            truth = pl.select(
                pl.when(lowered.is_in(TRUE_WORDS)).then(True).when(lowered.is_in(FALSE_WORDS)).then(False).otherwise(None)
            )
            return truth.to_series().rename(series.name)
        case "datetime":
            return _moments(stripped, column.format)
        case "category":
            return pl.select(pl.when(stripped == "").then(None).otherwise(stripped)).to_series().rename(series.name)
        case _:
            return pl.select(pl.when(stripped == "").then(None).otherwise(series)).to_series().rename(series.name)


def _from_typed(series: pl.Series, column: Column, dtype: pl.DataType) -> tuple[pl.Series, pl.Series | None]:
    if column.type == "datetime":
        moments = series.cast(pl.Datetime("us")) if series.dtype == pl.Date else series
        return _utc(moments), None
    if column.type == "integer" and series.dtype.is_float():
        whole = series.cast(pl.Int64, strict=False)
        missing = series.is_null() | series.is_nan()
        bad = ~missing & ((whole.cast(pl.Float64) != series) | whole.is_null())
        return pl.select(pl.when(bad | missing).then(None).otherwise(whole)).to_series().rename(series.name), (
            bad if bad.any() else None
        )
    if column.type in ("number", "integer"):
        cast = series.cast(dtype, strict=False)
        finite = _finite(cast) if column.type == "number" else cast
        bad = finite.is_null() & series.is_not_null()
        if series.dtype.is_float():
            bad = bad & ~series.is_nan()
        return finite, bad if bad.any() else None
    if series.dtype == pl.Boolean and dtype == pl.String:
        return series.cast(pl.String), None
    return series.cast(dtype, strict=False), None


def _finite(series: pl.Series) -> pl.Series:
    """NaN says that nothing was measured and becomes null; an infinite number is no measurement either, but a fault."""
    return pl.select(pl.when(series.is_finite()).then(series).otherwise(None)).to_series().rename(series.name)


def _whole(series: pl.Series) -> pl.Series:
    whole = series.cast(pl.Int64, strict=False)
    decimals = series.cast(pl.Float64, strict=False)  # "3.0" is a whole number too, below 2**53
    rounded = decimals.cast(pl.Int64, strict=False)
    exact = (rounded.cast(pl.Float64) == decimals) & (decimals.abs() < 2**53)
    picked = pl.select(pl.when(whole.is_not_null()).then(whole).when(exact).then(rounded).otherwise(None))
    return picked.to_series().rename(series.name)


def _moments(series: pl.Series, form: str | None) -> pl.Series:
    if form:
        return _utc(series.str.to_datetime(form, strict=False, time_unit="us"))
    iso = series.str.replace("T", " ", literal=True)
    zoned = iso.str.contains(r"(Z|[+-]\d{2}:?\d{2})$") & iso.str.contains(":")
    plain = [
        pl.select(pl.when(zoned).then(None).otherwise(iso)).to_series().str.to_datetime(how, strict=False, time_unit="us")
        for how in ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d")
    ]
    with_zone = iso.str.replace(r"Z$", "+00:00").str.to_datetime("%Y-%m-%d %H:%M:%S%.f%#z", strict=False, time_unit="us")
    return pl.select(pl.coalesce(*plain, _utc(with_zone))).to_series().rename(series.name)


def _utc(series: pl.Series) -> pl.Series:
    """Moments with a zone in UTC, without one as they are; both without a zone in the type."""
    zone = getattr(series.dtype, "time_zone", None)
    moments = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if zone else series
    return moments.cast(pl.Datetime("us"))


def _wrong(series: pl.Series, column: Column, bad: pl.Series) -> Finding:
    kind = {"number": "finite numbers", "integer": "whole numbers", "boolean": "true or false", "datetime": "dates"}
    expected = kind.get(column.type, column.type)
    if column.type == "datetime":
        expected += f" written {column.format}" if column.format else " in ISO 8601"
    found = f"{bad.sum()} cells that are not" if series.dtype == pl.String else f"a column of {series.dtype}"
    return Finding(
        check="type", column=series.name, expected=expected, found=found, rows=int(bad.sum()), examples=examples(series, bad)
    )


# ----------------------------------------------------------------------------------------------------------- inference


Role = Literal["", "reserved", "empty", "constant", "time", "counter", "identifier", "member", "many", "doubtful_date"]
_ORDINARY: tuple[Role, str] = ("", "")


@dataclass(frozen=True, kw_only=True)
class Inferred:
    """What the cells say a column is."""

    column: Column
    role: Role  # "" for an ordinary feature (and the target), else the kind of reason why it is none
    why: str  # that reason in words; "" where the role is ""


def infer(frame: pl.DataFrame, target: str | None = None) -> dict[str, Column]:
    """A contract that the frame keeps, with room for other days of the same data; `survey` without its reasons."""
    return {name: inferred.column for name, inferred in survey(frame, target).items()}


def survey(frame: pl.DataFrame, target: str | None = None) -> dict[str, Inferred]:
    """For every column that a contract can hold (lists and binaries cannot), what it promises and why it is no feature.

    Types are the narrowest that every cell fits; empty cells are allowed up to what is seen plus a margin. The only limit is a
    minimum of 0 for what is plainly counted. Columns that name rows, count them or are all the same, dates, and categories of
    too many values are no features.
    """
    found = {name: _inferred(frame[name], is_target=name == target) for name in frame.columns}
    return {name: inferred for name, inferred in found.items() if inferred is not None}


def _inferred(series: pl.Series, *, is_target: bool) -> Inferred | None:
    promise = next(_promises(series), None)
    if promise is None:
        return None
    typed, _ = _as_promised(series, promise)
    filled = typed.drop_nulls()
    role, why = _ORDINARY if is_target else _role(series, promise, filled)
    share = typed.null_count() / max(len(typed), 1)
    column = Column(
        type=promise.type,
        format=promise.format,
        feature=not (is_target or role),
        minimum=0 if promise.type == "integer" and not role and _is_counted(filled) else None,
        max_null_share=1.0 if is_target or filled.is_empty() else round(min(1.0, share * 1.5 + 0.05), 2),
    )
    return Inferred(column=column, role=role, why=why)


def _promises(series: pl.Series) -> Iterator[Column]:
    """The promises that every cell keeps, the narrowest first."""
    for guess in _guesses(series):
        typed, bad = _as_promised(series, guess)
        says_something = typed.null_count() < len(typed) or guess.type == "category"
        sensible = guess.type != "datetime" or not (typed.dt.year() < 1000).any()  # "11-01-02" is not the year 11
        if bad is None and says_something and sensible:
            yield guess


def _guesses(series: pl.Series) -> Iterator[Column]:
    if series.dtype == pl.String:
        yield from _guesses_from_text(series)
    elif series.dtype == pl.Boolean:
        yield Column(type="boolean")
    elif series.dtype.is_integer():
        yield Column(type="integer")
    elif series.dtype.is_numeric():
        yield Column(type="number")
    elif series.dtype in (pl.Date, pl.Datetime):
        yield Column(type="datetime")
    yield Column(type="category")


def _guesses_from_text(series: pl.Series) -> Iterator[Column]:
    stripped = series.drop_nulls().str.strip_chars()
    filled = stripped.filter(~stripped.str.to_lowercase().is_in(NULL_WORDS))
    words = set(filled.str.to_lowercase().unique().head(20).to_list())
    if words and words <= {"true", "false", "t", "f"}:
        yield Column(type="boolean")
    form = read_dates(filled).format
    if form == "%Y%m%d":  # these are whole numbers too
        yield Column(type="datetime", format=form)
    if not filled.str.contains(r"^0\d").any():  # "00123" is a code, and as a number would lose its zeros
        yield from (Column(type="integer"), Column(type="number"))
    yield Column(type="datetime")
    if form:
        yield Column(type="datetime", format=form)
    if _is_prose(filled):
        yield Column(type="text")


def _is_prose(filled: pl.Series) -> bool:
    """Long, of several words (or in a script without spaces), and hardly ever said twice."""
    distinct = filled.n_unique()
    if _mean(filled.str.len_chars()) <= TEXT_LENGTH or distinct <= FEW_VALUES:
        return False
    spaced = _mean(filled.str.count_matches(" ")) >= 2 or _mean(filled.str.contains(r"[^\x00-\x7f]")) > 0.9
    return spaced and (distinct > MOST_VALUES or distinct >= len(filled) / 5)


def _role(series: pl.Series, promise: Column, filled: pl.Series) -> tuple[Role, str]:
    """Why a column is no feature; two empty texts where it is one."""
    distinct = filled.n_unique()
    different = len(filled) > FEW_ROWS and distinct == len(filled)
    if series.name.startswith("__"):
        return "reserved", "names that begin with two underscores are keepfit's own"
    if distinct < 2:
        return ("constant", "the same in every row") if distinct else ("empty", "has no values")
    if len(filled) < FEWEST_FILLED * len(series):
        return "empty", f"filled in {len(filled)} of {len(series)} rows only"
    if promise.type == "datetime":
        return "time", "a moment; to use the hour or the weekday, make them in a prepare function"
    if different and promise.type in ("integer", "number") and _counts_rows(filled):
        return "counter", "goes up or down with every row, as a row number does"
    too_varied = promise.type == "category" and _is_too_varied(distinct, len(filled))
    if too_varied and (miswritten := _miswritten(filled)) != _ORDINARY:
        return miswritten
    if different and (promise.type == "category" or _is_named_id(series.name)):
        return "identifier", "names a row: every value is different"
    if _is_named_id(series.name) and distinct > FEW_VALUES and promise.type != "text":
        return "member", f"names something that has several rows: {distinct} different values in {len(filled)} rows"
    if too_varied:
        return "many", f"{distinct} different values in {len(filled)} rows: too many to learn each one's meaning"
    return _ORDINARY


def _counts_rows(filled: pl.Series) -> bool:
    """Whether different numbers are in order, or (some rows having been put elsewhere) nearly all one step from the last."""
    steps = filled.diff().drop_nulls()
    same = int((steps == steps.mode().first()).sum())
    return filled.is_sorted() or filled.is_sorted(descending=True) or same >= 0.95 * len(steps)


def _is_too_varied(distinct: int, rows: int) -> bool:
    return distinct > FEW_VALUES and (distinct > MOST_VALUES or rows < ROWS_PER_VALUE * distinct)


def _miswritten(filled: pl.Series) -> tuple[Role, str]:
    """Whether what looks like countless categories is dates or numbers that cannot be read as such."""
    doubtful = read_dates(filled).doubtful
    if doubtful:
        return "doubtful_date", f"dates in which nothing tells the day from the month: one of {', '.join(doubtful)}"
    numbers = filled.cast(pl.Float64, strict=False)
    if numbers.null_count() < 0.2 * len(filled):
        others = filled.filter(numbers.is_null()).unique(maintain_order=True).head(3).to_list()
        return (
            "many",
            f"numbers but for a few cells ({', '.join(map(_short, others))}), and so nothing that can be reckoned with",
        )
    if _mean(filled.str.contains(r"^[-+]?[\d.]*,\d+$")) > 0.9:
        return "many", f"numbers with a decimal comma ({_short(filled[0])}), which are not read as numbers"
    return _ORDINARY


def _is_named_id(name: str) -> bool:
    """Whether a name says that it is an identifier: customerID, tweet_id, uuid."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    return any(word.lower() in ("id", "ids", "uuid", "guid", "identifier", "rowid") for word in words)


def _is_counted(filled: pl.Series) -> bool:
    """Whether whole numbers begin at 0 or 1 as counts do: the smallest is at least as frequent as others are on average.

    A temperature that reaches down to 0 does so rarely, and may be below it tomorrow.
    """
    if len(filled) < 5 * FEW_ROWS or filled.min() not in (0, 1) or filled.n_unique() < 3:
        return False
    return int((filled == filled.min()).sum()) >= len(filled) / filled.n_unique()


def _mean(series: pl.Series) -> float:
    mean: Any = series.cast(pl.Float64).mean()
    return 0.0 if mean is None else float(mean)
