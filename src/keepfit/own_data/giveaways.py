"""Columns that give the target away: known only once the target is known, so that a model with them is a fraud in production.

Two kinds are looked for. Alone: a column whose values (or whose being empty) separate a class from all others, or order the
target's numbers almost exactly. Together: a few numbers whose sum, with some weight each, is the target. Both ask for nearly
everything (99 % of a class, 99.9 % of the variance), which honest features do not reach by chance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import polars as pl

MOST_ROWS = 50_000  # more say nothing new
FEWEST_ROWS = 50  # below this, perfect columns turn up by chance
FEWEST_OF_VALUE = 5  # rows a value must have to count
FEWEST_OF_CLASS = 20
FEW_VALUES = 50  # numbers of more different values than this are looked at in bins
ROWS_OF_BIN = 10  # neighbours by rank
IMPURE = 0.01  # share of the expected rows of other classes that a value may hold and still mean one class
COVERED = 0.99  # share of a class's rows whose values mean that class
EXPLAINED = 0.999  # share of a number's variance
MOST_TOGETHER = 4  # more numbers than this, and it is a model rather than an account


def find_giveaways(frame: pl.DataFrame, target: pl.Series, names: Sequence[str], *, task: str) -> dict[str, str]:
    """The columns among `names` that give the target away, each with the reason in words.

    `frame` holds typed columns; `target` is as long, text for classes and numbers otherwise. Empty where there are too few
    labelled rows to tell.
    """
    known = target.is_not_null()
    frame, target = frame.filter(known), target.filter(known)
    if frame.height < FEWEST_ROWS:
        return {}
    if frame.height > MOST_ROWS:
        rows = np.sort(np.random.default_rng(0).choice(frame.height, MOST_ROWS, replace=False))
        frame, target = frame[rows], target[rows]
    if task == "classification":
        return dict(_separating(frame, target, names))
    values = target.cast(pl.Float64).to_numpy()
    alone = dict(_ordering(frame, values, names))
    return alone | _adding_up(frame, values, [name for name in names if name not in alone])


# -------------------------------------------------------------------------------------------------------------- classes


def _separating(frame: pl.DataFrame, target: pl.Series, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        found = _class_given_away(*_as_values(frame[name]), target)
        if found is not None:
            yield name, f"its values tell {found!r} from everything else almost without fail"


def _as_values(series: pl.Series) -> tuple[pl.Series, int]:
    """Many different numbers in bins of neighbours, anything else as it is; and how many rows make a value count.

    Equal numbers share a bin. A bin at the edge may be small; a category that few rows have says nothing.
    """
    if series.dtype.is_numeric() and series.n_unique() > FEW_VALUES:
        return ((series.rank("min") - 1) / ROWS_OF_BIN).floor().cast(pl.Int64), 1
    return series.cast(pl.String), FEWEST_OF_VALUE


def _class_given_away(values: pl.Series, fewest: int, target: pl.Series) -> str | None:
    """The class of which nearly all rows have values that (nearly) no other class has; None when there is none.

    A class of nine tenths of the rows and more is passed over: many values would mean it by chance.
    """
    counts = pl.DataFrame({"value": values, "class": target}).group_by("value", "class").len("rows")
    counts = counts.with_columns(
        pl.col("rows").sum().over("value").alias("of_value"), pl.col("rows").sum().over("class").alias("of_class")
    )
    share = pl.col("of_class") / len(target)
    others = 1 - pl.col("rows") / pl.col("of_value")
    means_it = (pl.col("of_value") >= fewest) & (others <= IMPURE * (1 - share))
    covered = (
        counts.filter(share.is_between(0, 0.9) & (pl.col("of_class") >= FEWEST_OF_CLASS))
        .group_by("class")
        .agg((pl.col("rows").filter(means_it).sum() / pl.col("of_class").first()).alias("covered"))
        .sort("covered", "class", descending=True)
    )
    if covered.is_empty() or covered["covered"][0] < COVERED:
        return None
    return str(covered["class"][0])


# -------------------------------------------------------------------------------------------------------------- numbers


def _ordering(frame: pl.DataFrame, target: np.ndarray, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        if frame[name].dtype.is_numeric():
            numbers = frame[name].cast(pl.Float64).to_numpy()
            if _explained(numbers, target) > EXPLAINED or _explained(_ranks(numbers), _ranks(target)) > EXPLAINED:
                yield name, "it rises or falls with the target almost exactly"
        elif frame[name].dtype != pl.Datetime and _explained_by_values(frame[name], target) > EXPLAINED:
            yield name, "each of its values stands for one value of the target"


def _explained(numbers: np.ndarray, target: np.ndarray) -> float:
    """The squared correlation, on the rows that have both; 0 where one is constant or most are empty."""
    filled = np.isfinite(numbers)
    if filled.mean() < 0.5 or np.ptp(numbers[filled]) == 0 or np.ptp(target[filled]) == 0:
        return 0.0
    return float(np.corrcoef(numbers[filled], target[filled])[0, 1] ** 2)


def _ranks(numbers: np.ndarray) -> np.ndarray:
    return pl.Series(numbers, nan_to_null=True).rank("average").cast(pl.Float64).to_numpy()


def _explained_by_values(values: pl.Series, target: np.ndarray) -> float:
    """1 - variance within the values / variance, of values with enough rows; 0 where they are few."""
    table = pl.DataFrame({"value": values.cast(pl.String), "target": target})
    common = table.filter(pl.len().over("value") >= FEWEST_OF_VALUE)
    spread = common["target"].var() or 0.0
    if common.height < 0.5 * table.height or not isinstance(spread, float) or spread == 0:
        return 0.0
    within = common.select((pl.col("target") - pl.col("target").mean().over("value")).pow(2).mean()).item()
    return 1 - float(within) / spread


def _adding_up(frame: pl.DataFrame, target: np.ndarray, names: Sequence[str]) -> dict[str, str]:
    """The fewest numbers whose weighted sum is the target; none where that takes more than a few, or one cannot say."""
    numeric = [name for name in names if frame[name].dtype.is_numeric()]
    columns = {name: _standardised(frame[name]) for name in numeric}
    columns = {name: column for name, column in columns.items() if column.any()}
    together = _needed(columns, target - target.mean())
    if not together or len(together) > MOST_TOGETHER:
        return {}
    sum_of = " and ".join(repr(name) for name in together)
    return dict.fromkeys(together, f"a weighted sum of {sum_of} is the target")


def _standardised(series: pl.Series) -> np.ndarray:
    """Mean 0 and variance 1, empty cells at the mean; all 0 for a constant column."""
    numbers = series.cast(pl.Float64).to_numpy()
    filled = np.isfinite(numbers)
    if not filled.any() or np.ptp(numbers[filled]) == 0:
        return np.zeros(len(numbers))
    scaled = (numbers - numbers[filled].mean()) / numbers[filled].std()
    return np.asarray(np.where(filled, scaled, 0.0))


def _needed(columns: Mapping[str, np.ndarray], target: np.ndarray) -> list[str]:
    """Leave out, one by one, the columns without which the sum explains the target as well."""
    left = list(columns)
    if _fit(columns, left, target) < EXPLAINED:
        return []
    for name in list(columns):
        without = [other for other in left if other != name]
        if _fit(columns, without, target) >= EXPLAINED:
            left = without
    return left


def _fit(columns: Mapping[str, np.ndarray], names: Sequence[str], target: np.ndarray) -> float:
    """The share of the target's variance that a weighted sum explains."""
    if not names or not target.any():
        return 0.0
    matrix = np.column_stack([columns[name] for name in names])
    weights = np.linalg.lstsq(matrix, target, rcond=None)[0]
    return float(1 - ((target - matrix @ weights) ** 2).sum() / (target**2).sum())
