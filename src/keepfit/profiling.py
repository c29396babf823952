"""Frames become profiles: every column in the kind of the reference, in one pass, the pieces of a large table side by side.

What a cell cannot be read as is counted and shown, never turned into something else. Numbers beyond 2^53 and moments are taken
relative to a whole number before they become floating point, so that they keep their differences. Moments are in UTC; those
without a zone are taken to be in UTC too. Durations and times of the day count in seconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np
import polars as pl

from keepfit.contract import FALSE_WORDS, FEW_VALUES, NULL_WORDS, TRUE_WORDS, conform, infer
from keepfit.ports import Workers
from keepfit.settings import Column
from keepfit.stats.profile import (
    BINS,
    EXAMPLES,
    NAMES,
    CategoryProfile,
    NumberProfile,
    TableProfile,
    UnreadProfile,
    category_label,
    category_profile,
    lay_out,
    merge,
    number_profile,
    only_finite,
)
from keepfit.threads import Threads, each

WIDE = 500  # columns above which each gets a quarter of the bins
SMALL = 2_000_000  # cells below which threads cost more than they save
LONGEST = 1_000  # characters of a cell by which its kind is guessed
GLANCE = 2_000  # text cells by which the kind of a column is guessed; then all must be of that kind
AT_ONCE = 50_000  # different names that are hashed at a time
MAYBE_NOT_NAMES = frozenset({"true", "false", "t", "f", "inf", "-inf", "+inf", "infinity", "-infinity", "+infinity"})
LOOKED_AT = 1_000  # unreadable cells of a frame among which examples are looked for
EXACT = 2**53  # whole numbers up to this are exact in floating point


def profile(
    frame: pl.DataFrame, kinds: Mapping[str, str] | None = None, like: TableProfile | None = None, *, workers: int | None = None
) -> TableProfile:
    """The profile of a frame: with the layout of `like` (the reference), or as a reference with a layout of its own.

    `kinds` says what columns are (number, integer, category, boolean, datetime, text); without it their types do, and of columns
    of text what every cell of them can be read as. `workers` threads share the columns; None is one, or as many as the
    surrounding `joblib.parallel_config` says. With `like`, columns that it does not have are only counted.
    """
    bins = BINS if frame.width <= WIDE else BINS // 4
    kinds = kinds or {}

    def one(series: pl.Series) -> Any:
        name, series = series.name, series.alias("cells")  # polars takes a name like "^a.*$" for a pattern
        if like is None:
            return _own(series, kinds.get(name), bins)
        return _alike(series, like.columns.get(name), declared=name in kinds)

    columns = frame.get_columns()
    made = each(one, columns, workers if frame.height * frame.width > SMALL else 1)
    return TableProfile(rows=frame.height, columns={series.name: column for series, column in zip(columns, made, strict=True)})


def profile_pieces(
    pieces: Iterable[Callable[[], Iterable[pl.DataFrame]]], like: TableProfile, *, workers: Workers | None = None
) -> TableProfile:
    """The profile of a table that comes in pieces, each of which yields frames when it is called, where the work is done.

    Memory is bounded by a frame for each worker, `workers` being those of an engine; threads without. To a cluster the pieces
    travel, not the frames.
    """
    empty = profile(pl.DataFrame(), like=like)
    return reduce(merge, (workers or Threads(None)).each(_Frames(like), pieces), empty)


@dataclass(frozen=True)
class _Frames:
    """Profiles a piece; an object, since a function within a function cannot travel to another process."""

    like: TableProfile

    def __call__(self, piece: Callable[[], Iterable[pl.DataFrame]]) -> TableProfile:
        made = (profile(frame, like=self.like, workers=1) for frame in piece())
        return reduce(merge, made, profile(pl.DataFrame(), like=self.like))


# ------------------------------------------------------------------------------------------------------------- columns


def _own(series: pl.Series, kind: str | None, bins: int) -> Any:
    """The profile of a reference's column."""
    if kind is not None:
        return _made(series, _KINDS.get(kind, kind), None, "", bins, declared=True)
    kind, form = _kind(series)
    if not kind:
        return _counted(series, "columns of this type are not compared")
    made = _made(series, kind, None, form, bins)
    if (
        series.dtype == pl.String and isinstance(made, (NumberProfile, CategoryProfile)) and made.unread
    ):  # the glance at it was wrong
        return _made(series, "category", None, "", bins)
    return made


def _alike(series: pl.Series, reference: Any, *, declared: bool) -> Any:
    """The profile of a column in its reference's layout."""
    if reference is None:
        return _counted(series, "the reference has no such column")
    if isinstance(reference, UnreadProfile):
        return _counted(series, reference.why)
    anything = declared or (reference.kind == "category" and not reference.filled)
    return _made(series, reference.kind, reference, getattr(reference, "format", ""), BINS, declared=anything)


_KINDS = {"integer": "number"}  # as the column contract calls it


def _made(series: pl.Series, kind: str, reference: Any, form: str, bins: int, *, declared: bool = False) -> Any:
    match kind:
        case "number":
            return _number(_as_numbers(series), reference, bins)
        case "datetime":
            made = _number(_as_moments(series, form), reference, bins)
            return replace(made, kind="datetime", format=form)
        case "category":
            return _category(_as_names(series, declared=declared), reference)
        case "boolean":
            return replace(_category(_as_truth(series), reference, ("false", "true")), kind="boolean")
        case _:
            return _text(series)


def _counted(series: pl.Series, why: str) -> UnreadProfile:
    kind = _kind_of_type(series.dtype) or str(series.dtype)
    return UnreadProfile(kind=kind, why=why, filled=len(series) - series.null_count(), missing=series.null_count())


def _kind(series: pl.Series) -> tuple[str, str]:
    """What a column is, and how its dates are written; an empty kind where it is not compared."""
    if series.dtype != pl.String:
        return _kind_of_type(series.dtype), ""
    step = max(len(series) // GLANCE, 1)
    glance = series.gather_every(step).drop_nulls().str.head(LONGEST).str.strip_chars()
    filled = glance.filter(~glance.str.to_lowercase().is_in(NULL_WORDS))
    if filled.is_empty():
        return "category", ""
    if _are_plain_names(filled):
        return "category", ""
    codes = filled.str.contains(r"^0\d").any() or re.fullmatch(r"(19|20)\d{6}", filled[0])
    if not codes and not filled.cast(pl.Float64, strict=False).null_count():
        return "number", ""
    found = infer(pl.DataFrame({"cells": glance})).get("cells") or Column(type="category")
    return _KINDS.get(found.type, found.type), found.format or ""


def _are_plain_names(filled: pl.Series) -> bool:
    """Whether these are a few names of which none could be a number, a date or a truth: most columns of texts, told quickly."""
    names = filled.unique().to_list()
    if len(names) > FEW_VALUES:
        return False
    return not any(re.match(r"[+-]?\.?\d", name) or name.lower() in MAYBE_NOT_NAMES for name in names)


def _kind_of_type(dtype: pl.DataType) -> str:
    if dtype.is_numeric() or dtype in (pl.Duration, pl.Time):
        return "number"
    if dtype in (pl.Datetime, pl.Date):
        return "datetime"
    if dtype == pl.Boolean:
        return "boolean"
    return "category" if dtype in (pl.String, pl.Categorical, pl.Enum, pl.Null) else ""


# --------------------------------------------------------------------------------------------------- cells of one kind


@dataclass(frozen=True, kw_only=True)
class _Cells:
    """The cells of a column in one kind: null where there is none, or one that could not be read."""

    values: pl.Series
    unread: int = 0
    examples: tuple[str, ...] = ()
    rounded: int = 0  # numbers that floating point has too few digits for
    zoned: int = 0  # moments with a time zone

    @property
    def missing(self) -> int:
        return self.values.null_count() - self.unread


def _as_numbers(series: pl.Series) -> _Cells:
    if series.dtype == pl.String:
        numbers = _numbers_in(series.str.strip_chars())
        return replace(_parsed(series, numbers), rounded=_rounded(series, numbers))
    if series.dtype.is_float() or series.dtype.is_integer():
        return _Cells(values=series)
    if series.dtype == pl.Duration:
        return _Cells(values=series.dt.total_microseconds() / 1e6)
    if series.dtype == pl.Time:
        return _Cells(values=series.cast(pl.Int64) / 1e9)
    if series.dtype.is_decimal():
        return _decimals(series)
    if series.dtype == pl.Null:
        return _Cells(values=series.cast(pl.Float64))
    return _unreadable(series, pl.Float64)


def _numbers_in(text: pl.Series) -> pl.Series:
    """Numbers as they are written; as whole ones where all are and some would not be exact as floating point."""
    numbers = text.cast(pl.Float64, strict=False)
    if numbers.is_finite().any() and (numbers.abs() > EXACT).any():
        whole = text.cast(pl.Int128, strict=False)
        return whole if whole.null_count() == numbers.null_count() else numbers
    return numbers


def _rounded(text: pl.Series, numbers: pl.Series) -> int:
    """How many whole numbers floating point has too few digits for."""
    if not numbers.dtype.is_float() or not (large := numbers.is_finite() & (numbers.abs() > EXACT)).any():
        return 0
    return int(text.filter(large).str.contains(r"^\s*[+-]?\d{17,}\s*$").sum())


def _decimals(series: pl.Series) -> _Cells:
    """Whole ones as they are; others in floating point, which has 16 digits."""
    scale = getattr(series.dtype, "scale", 0)
    if not scale:
        return _Cells(values=series.cast(pl.Int128))
    numbers = series.cast(pl.Float64)
    return _Cells(values=numbers, rounded=int((numbers.abs() * 10.0**scale > EXACT).sum() or 0))


def _as_moments(series: pl.Series, form: str) -> _Cells:
    """Microseconds since 1970, UTC."""
    if series.dtype not in (pl.String, pl.Datetime, pl.Date, pl.Null):
        return _unreadable(series, pl.Int64)
    promise = Column(type="datetime", format=form or None)
    moments = conform(pl.DataFrame({"cells": series}), {"cells": promise})[0]["cells"].cast(pl.Int64)
    if series.dtype != pl.String:
        return _Cells(values=moments, zoned=moments.count() if getattr(series.dtype, "time_zone", None) else 0)
    zoned = series.filter(moments.is_not_null()).str.contains(r":.*(Z|[+-]\d{2}:?\d{2})\s*$").sum()
    return replace(_parsed(series, moments), zoned=int(zoned or 0))


def _as_names(series: pl.Series, *, declared: bool) -> _Cells:
    if series.dtype not in (pl.String, pl.Categorical, pl.Enum, pl.Null, pl.Boolean) and not declared:
        return _unreadable(series, pl.String)
    if series.dtype.is_nested() or series.dtype in (pl.Binary, pl.Object):
        return _unreadable(series, pl.String)
    names = (series if series.dtype == pl.String else series.cast(pl.String)).str.strip_chars()
    blank = names == ""
    return _Cells(values=names.set(blank, None) if blank.any() else names)


def _as_truth(series: pl.Series) -> _Cells:
    if series.dtype in (pl.Boolean, pl.Null):
        return _Cells(values=series.cast(pl.Boolean).cast(pl.String))
    if series.dtype != pl.String:
        return _unreadable(series, pl.String)
    words = series.str.strip_chars().str.to_lowercase()
    meanings = {**dict.fromkeys(TRUE_WORDS, "true"), **dict.fromkeys(FALSE_WORDS, "false")}
    return _parsed(series, words.replace_strict(meanings, default=None, return_dtype=pl.String))


def _parsed(series: pl.Series, read: pl.Series) -> _Cells:
    """What was read from text, and which cells were neither read nor empty."""
    if read.null_count() == series.null_count():
        return _Cells(values=read)
    doubtful = series.filter(read.is_null() & series.is_not_null())
    wrong = doubtful.filter(~doubtful.str.strip_chars().str.to_lowercase().is_in(NULL_WORDS))
    return _Cells(values=read, unread=len(wrong), examples=_shown(wrong))


def _unreadable(series: pl.Series, dtype: Any) -> _Cells:
    filled = len(series) - series.null_count()
    examples = _shown(series.drop_nulls()) if filled else ()
    return _Cells(values=pl.Series(series.name, [None] * len(series), dtype=dtype), unread=filled, examples=examples)


def _shown(cells: pl.Series) -> tuple[str, ...]:
    """The first different ones, shortened."""
    texts = dict.fromkeys(map(str, cells.head(LOOKED_AT).to_list()))
    return tuple(text if len(text) <= 40 else text[:37] + "..." for text in list(texts)[:EXAMPLES])


# ----------------------------------------------------------------------------------------------------- into a profile


def _number(cells: _Cells, reference: NumberProfile | None, bins: int) -> NumberProfile:
    values = cells.values
    told: dict[str, Any] = {"missing": cells.missing, "unread": cells.unread, "examples": cells.examples}
    told |= {"rounded": cells.rounded, "zoned": cells.zoned}
    filled = values.drop_nulls() if values.null_count() else values
    if reference is not None:
        return number_profile(_relative(filled, reference.origin), reference.edges, origin=reference.origin, **told)
    origin = _origin(filled)
    ordered = _relative(filled, origin)
    return number_profile(ordered, lay_out(only_finite(ordered), bins), origin=origin, **told)


def _relative(values: pl.Series, origin: int | float) -> np.ndarray:
    """The values minus the origin as float64, in increasing order, NaN last."""
    if origin and isinstance(origin, int) and not values.dtype.is_float():
        values, origin = values.cast(pl.Int128, strict=False) - pl.Series([origin], dtype=pl.Int128), 0
    ordered: np.ndarray = np.sort(values.cast(pl.Float64).to_numpy())
    if not origin:
        return ordered
    with np.errstate(over="ignore"):
        return ordered - origin


def _origin(values: pl.Series) -> int | float:
    """0, or the median where values lie so far from 0 and so close together that their squares would drown their variance."""
    finite = values.filter(values.is_finite()) if values.dtype.is_float() else values
    if finite.is_empty():
        return 0
    whole = values.dtype.is_integer()
    glance: list[Any] = finite.gather_every(max(len(finite) // 1000, 1)).sort().to_list()
    middle = glance[len(glance) // 2]
    far = whole and max(abs(int(finite.max())), abs(int(finite.min()))) > EXACT  # type: ignore[arg-type]
    low, high = glance[len(glance) // 100], glance[len(glance) - 1 - len(glance) // 100]
    if not far and abs(middle) <= 1000 * (high - low):
        return 0
    return int(middle) if whole else float(middle)


def _category(cells: _Cells, reference: CategoryProfile | None, names: Sequence[str] | None = None) -> CategoryProfile:
    counted = cells.values.drop_nulls().rename("name").value_counts(name="count")
    if names is None:
        names = _most_frequent(counted) if reference is None else reference.names
    told: dict[str, Any] = {"missing": cells.missing, "unread": cells.unread, "examples": cells.examples}
    made = category_profile((), np.empty(0), names=names, **told)
    for part in counted.iter_slices(AT_ONCE):
        made = made.merge(category_profile(part["name"].to_list(), part["count"].to_numpy(), names=names))
    return made


def _most_frequent(counted: pl.DataFrame) -> list[str]:
    """The names to count one by one. Where there are too many, those seen once say nothing of how frequent they are."""
    if counted.height > NAMES:
        counted = counted.filter(pl.col("count") > 1)
    first = counted.sort("count", "name", descending=[True, False]).head(NAMES)
    return list(dict.fromkeys(map(category_label, first["name"].to_list())))


def _text(series: pl.Series) -> Any:
    from keepfit.stats.text import text_profile

    if series.dtype not in (pl.String, pl.Null):
        return _counted(series, "texts were expected")
    texts = series.cast(pl.String)
    blank = texts.str.strip_chars() == ""
    return text_profile((texts.set(blank, None) if blank.any() else texts).to_list())
