"""The column contract as expectations, and typed rows as the frame that they are held against."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from keepfit.contract import named_values
from keepfit.ports import Fault
from keepfit.promises import Promise, oldest_allowed, promises
from keepfit.settings import Column

if TYPE_CHECKING:
    import pandas as pd

MARK = "keepfit"  # in an expectation's meta: which promise it renders; in a suite's: that keepfit rendered it
FOUND = "__fault"  # column of what was found before: cells that cannot be read, labels that nobody has named, ...


def render(columns: Mapping[str, Column], present: Sequence[str], now: datetime, gxe: Any) -> list[Any]:
    """An expectation for every promise of the columns that are there or must be. `gxe`: `great_expectations.expectations`."""
    found = [gxe.ExpectColumnValuesToBeNull(column=FOUND, meta={MARK: FOUND})]
    for number, (name, column) in enumerate(columns.items()):
        if column.required:
            found.append(gxe.ExpectColumnToExist(column=name, meta={MARK: "column"}))
        if column.required or name in present:
            found += [_expectation(promise, name, column, number, gxe) for promise in promises(column, now)]
    return found


def _expectation(promise: Promise, name: str, column: Column, number: int, gxe: Any) -> Any:
    plain: dict[str, Any] = {"column": name, "meta": {MARK: promise.check}}
    match promise.check:
        case "null_share":
            return gxe.ExpectColumnValuesToNotBeNull(**plain, mostly=mostly(column.max_null_share))
        case "unique":
            return gxe.ExpectColumnValuesToBeUnique(**plain)
        case "minimum":
            return gxe.ExpectColumnValuesToBeBetween(**plain, min_value=column.minimum)
        case "maximum":
            return gxe.ExpectColumnValuesToBeBetween(**plain, max_value=column.maximum)
        case "values":
            return gxe.ExpectColumnValuesToBeInSet(**plain, value_set=named_values(column).to_list())
        case "pattern":
            return gxe.ExpectColumnValuesToMatchRegex(**plain, regex=_whole(column.pattern or ""))
        case "min_length":
            return gxe.ExpectColumnValueLengthsToBeBetween(**plain, min_value=column.min_length)
        case "max_length":
            return gxe.ExpectColumnValueLengthsToBeBetween(**plain, max_value=column.max_length)
        case "increasing":
            return gxe.ExpectColumnValuesToBeIncreasing(**plain)
        case "max_age":
            return gxe.ExpectColumnMaxToBeBetween(**plain, min_value={"$PARAMETER": f"oldest_{number}"})
        case unknown:
            raise NotImplementedError(f"no expectation renders {unknown}")


def mostly(allowed: float) -> float:
    """The share that must be sound where the share `allowed` need not be: no rounding may turn just enough into too few."""
    return round(1 - allowed, 12) if allowed == round(allowed, 6) else 1 - allowed - 1e-12


def parameters(columns: Mapping[str, Column], now: datetime) -> dict[str, str]:
    """What the suite leaves open until it is run: how old the latest moment of each column may be."""
    return {
        f"oldest_{number}": oldest_allowed(column.max_age, now).isoformat()
        for number, column in enumerate(columns.values())
        if column.max_age is not None
    }


def _whole(pattern: str) -> str:
    """A pattern that the whole text must match; flags at its beginning stay there."""
    flags = re.match(r"(\(\?[aiLmsux]+\))*", pattern)
    length = flags.end() if flags else 0
    return rf"{pattern[:length]}\A(?:{pattern[length:]})\Z"


def to_pandas(frame: pl.DataFrame) -> pd.DataFrame:
    """Whole numbers and truth values stay what they are beside empty cells."""
    import pandas as pd

    return pd.DataFrame(dict(_columns(frame)), index=pd.RangeIndex(frame.height))


def _columns(frame: pl.DataFrame) -> Iterator[tuple[str, Any]]:
    import pandas as pd

    for series in frame:
        if series.null_count() and series.dtype in (pl.Int64, pl.Boolean):
            kind: Any = pd.arrays.IntegerArray if series.dtype == pl.Int64 else pd.arrays.BooleanArray
            blank = 0 if series.dtype == pl.Int64 else False
            yield series.name, kind(series.fill_null(blank).to_numpy(writable=True), series.is_null().to_numpy(writable=True))
        else:
            yield series.name, series.to_pandas()


def told(found: Sequence[Fault], height: int) -> pl.Series:
    """For each row what was found in it before, or in the file as a whole; null where nothing was."""
    said = [
        pl.select(
            pl.when(_rows(fault, height)).then(pl.lit(f"{fault.finding.column or 'file'}: expected {fault.finding.expected}"))
        )
        for fault in found
    ]
    if not said:
        return pl.Series(FOUND, [None] * height, dtype=pl.String)
    named = pl.DataFrame([each.to_series().alias(str(number)) for number, each in enumerate(said)])
    words = named.select(pl.concat_str(pl.all(), separator="; ", ignore_nulls=True)).to_series()
    return pl.select(pl.when(words != "").then(words).otherwise(None)).to_series().alias(FOUND)


def _rows(fault: Fault, height: int) -> pl.Series:
    return pl.repeat(value=True, n=height, eager=True) if fault.cells is None else fault.cells
