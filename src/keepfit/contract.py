"""The column contract: what a file's columns promise, held against what is in them.

`conform` gives every column its promised type and says which cells could not be read as that; it never guesses and never
turns one thing into another silently. `infer` writes a contract for data that has none yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import polars as pl

from keepfit.config import Column
from keepfit.records import Finding

NULL_WORDS = ("", "na", "n/a", "nan", "null", "none", "<na>")  # in a column that is not text
TRUE_WORDS, FALSE_WORDS = ("true", "t", "yes", "y", "1", "1.0"), ("false", "f", "no", "n", "0", "0.0")
MOST_CATEGORIES = 50  # an inferred category has no more values than this
TEXT_LENGTH = 25  # an inferred text is longer than this on average

_TYPED = {  # what a typed file (Parquet, JSON Lines) may hold for each promise
    "number": (pl.Float64, pl.Float32, pl.Int64, pl.Int32, pl.Int16, pl.Int8, pl.UInt64, pl.UInt32, pl.UInt16, pl.UInt8),
    "boolean": (pl.Boolean,),
    "text": (pl.String,),
    "category": (pl.String, pl.Categorical, pl.Enum, pl.Boolean, pl.Int64, pl.Int32, pl.Int16, pl.Int8, pl.UInt8, pl.Float64),
    "datetime": (pl.Datetime, pl.Date),
}
_TYPED["integer"] = _TYPED["number"]


def conform(frame: pl.DataFrame, columns: Mapping[str, Column]) -> tuple[pl.DataFrame, list[Finding]]:
    """The frame with every contracted column in its promised type, and what could not be read so.

    A frame of text (CSV) is parsed; typed columns must be of the promised kind already. Cells that cannot be read are null
    in the result and a finding. Missing columns that are required are a finding; others come as nulls. Columns beyond the
    contract are left out. Rows whose every cell is empty are left out as well.
    """
    findings: list[Finding] = []
    typed: dict[str, pl.Series] = {}
    for name, column in columns.items():
        if name not in frame.columns:
            if column.required:
                found = ", ".join(map(repr, frame.columns[:12])) + (", ..." if frame.width > 12 else "")
                findings.append(Finding(check="column", column=name, expected="the column", found=found, rows=frame.height))
            typed[name] = pl.Series(name, [None] * frame.height, dtype=_dtype(column))
            continue
        typed[name], finding = _as_promised(frame[name], column)
        if finding:
            findings.append(finding)
    return pl.DataFrame(typed), findings


def without_blank_rows(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows in which at least one cell says something."""
    if not frame.width:
        return frame
    blank = [
        pl.col(name).is_null() | ((pl.col(name).str.strip_chars() == "") if dtype == pl.String else pl.lit(value=False))
        for name, dtype in frame.schema.items()
    ]
    return frame.filter(~pl.all_horizontal(blank))


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


def _as_promised(series: pl.Series, column: Column) -> tuple[pl.Series, Finding | None]:
    dtype = _dtype(column)
    if series.dtype == pl.Null:
        return series.cast(dtype), None
    if series.dtype != pl.String and not isinstance(series.dtype, _TYPED[column.type]):
        return pl.Series(series.name, [None] * len(series), dtype=dtype), _wrong(series, column, series.is_not_null())
    if series.dtype != pl.String:
        return _from_typed(series, column, dtype)
    parsed = _from_text(series, column)
    blank = series.str.strip_chars().str.to_lowercase().is_in(_nulls(column)) | series.is_null()
    bad = parsed.is_null() & ~blank
    return parsed, _wrong(series, column, bad) if bad.any() else None


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


def _from_typed(series: pl.Series, column: Column, dtype: pl.DataType) -> tuple[pl.Series, Finding | None]:
    if column.type == "datetime":
        moments = series.cast(pl.Datetime("us")) if series.dtype == pl.Date else series
        return _utc(moments), None
    if column.type == "integer" and series.dtype.is_float():
        whole = series.cast(pl.Int64, strict=False)
        missing = series.is_null() | series.is_nan()
        bad = ~missing & ((whole.cast(pl.Float64) != series) | whole.is_null())
        return pl.select(pl.when(bad | missing).then(None).otherwise(whole)).to_series().rename(series.name), (
            _wrong(series, column, bad) if bad.any() else None
        )
    if column.type in ("number", "integer"):
        cast = series.cast(dtype, strict=False)
        finite = _finite(cast) if column.type == "number" else cast
        bad = finite.is_null() & series.is_not_null()
        if series.dtype.is_float():
            bad = bad & ~series.is_nan()
        return finite, _wrong(series, column, bad) if bad.any() else None
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


def infer(frame: pl.DataFrame, target: str | None = None) -> dict[str, Column]:
    """A contract that the frame keeps, with room for other days of the same data.

    Types are the narrowest that every cell fits; empty cells are allowed up to what is seen plus a margin; a category lists
    its values only when it has few. Columns that name rows (all different, not numbers) and dates are no features.
    """
    return {name: _inferred(frame[name], is_target=name == target) for name in frame.columns}


def _inferred(series: pl.Series, *, is_target: bool) -> Column:
    kind = _kind(series)
    typed, _ = _as_promised(series, Column(type=kind))
    filled = typed.drop_nulls()
    names_rows = kind in ("category", "text") and len(filled) > 20 and filled.n_unique() == len(filled) and _mean_length(filled) < 40
    constant = len(filled) > 0 and filled.n_unique() == 1
    share = typed.null_count() / max(len(typed), 1)
    return Column(
        type=kind,
        feature=not (is_target or names_rows or constant or kind == "datetime" or len(filled) == 0),
        max_null_share=1.0 if is_target or len(filled) == 0 else round(min(1.0, share * 1.5 + 0.05), 2),
    )


def _kind(series: pl.Series) -> str:  # type: ignore[return]
    for kind in _guesses(series):
        typed, finding = _as_promised(series, Column(type=kind))  # type: ignore[arg-type]
        if finding is None and (typed.null_count() < len(typed) or kind == "category"):
            return kind


def _guesses(series: pl.Series) -> Iterator[str]:
    if series.dtype == pl.String:
        filled = series.drop_nulls().str.strip_chars().str.to_lowercase()
        words = set(filled.unique().head(20).to_list()) - {""}
        if words and words <= {"true", "false", "t", "f"}:
            yield "boolean"
        yield from ("integer", "number", "datetime")
        distinct = filled.n_unique()
        long = _mean_length(filled) > TEXT_LENGTH and distinct > MOST_CATEGORIES
        yield "text" if long else "category"
    elif series.dtype == pl.Boolean:
        yield "boolean"
    elif series.dtype.is_integer():
        yield "integer"
    elif series.dtype.is_numeric():
        yield "number"
    elif series.dtype in (pl.Date, pl.Datetime):
        yield "datetime"
    yield "category"


def _mean_length(series: pl.Series) -> float:
    lengths = series.cast(pl.String).str.len_chars().mean()
    return float(lengths) if isinstance(lengths, int | float) else 0.0
