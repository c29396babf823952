"""Independent units and what a metric keeps of each, so that resampling a holdout is one matrix product.

A bootstrap asks for a metric under thousands of reweightings of the same rows. A metric that is a function of sums over rows
(nearly all are) needs only each unit's own sums, an array (units, k): then ``weights @ sums`` holds the sums of every resample,
and the metric of all of them is one call. `SumStatistics` is that; `FunctionStatistics` serves any other function, in a loop.

**Units** are what was drawn independently: rows, or groups where rows belong together (patients, shops, threads). Resampling
rows of one group apart would pretend to more evidence than there is.

**Bags.** More than 2,000 units are first put at random into 2,000 bags of (nearly) equal size, and bags are resampled instead,
so that a million rows cost no more than two thousand. This keeps the variance right. For a metric that is smooth in its sums,
the bootstrap's variance is the sum over units of the squares of their influences e_i, which add up to zero. For B bags it is
the sum of squares of the bags' sums, and over the random assignment

    E sum_b (sum_{i in b} e_i)^2 = sum_i e_i^2 + P(two units share a bag) sum_{i != j} e_i e_j
                                 = sum_i e_i^2 (1 - P(two units share a bag)),    P < 1 / B = 0.0005

because the products of different units add up to -sum e_i^2. So it is too small by at most one part in 2,000, and its own
random error, sqrt(2 / B), is 3 % of the variance or 1.6 % of an interval's width. The assignment depends on nothing but the
number of units: two models on the same rows share it, and so stay paired. The thought is that of random groups (Wolter,
*Introduction to Variance Estimation*, 2007, chapter 2).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from keepfit.ports import Statistics

BAGS = 2_000  # above this many units, resample bags of them


@dataclass(frozen=True, eq=False)
class Units:
    """Which unit each row belongs to."""

    of_row: np.ndarray  # (rows,) number of its unit, 0 to count - 1
    count: int  # units to resample: rows, groups or bags
    independent: int  # rows or groups, before they were bagged

    def total(self, *columns: np.ndarray) -> np.ndarray:
        """Sum columns (rows,) within units: an array (count, columns)."""
        return np.column_stack([np.bincount(self.of_row, weights=column, minlength=self.count) for column in columns])

    def tally(self, codes: np.ndarray, kinds: int, where: np.ndarray | None = None) -> np.ndarray:
        """Count the codes (rows,), 0 to kinds - 1, within units: an array (count, kinds); only the rows of the mask `where`."""
        cells = self.of_row * kinds + codes
        counted = np.bincount(cells if where is None else cells[where], minlength=self.count * kinds)
        return counted.reshape(self.count, kinds).astype(float)


def divide(rows: int, groups: np.ndarray | None = None) -> Units:
    """The units of `rows` rows: each its own, or those of `groups` (rows,), bagged when there are more than 2,000.

    >>> divide(4, np.array(["a", "b", "a", "c"])).of_row
    array([0, 1, 0, 2])
    >>> divide(1_000_000).count
    2000
    """
    of_row, independent = (np.arange(rows), rows) if groups is None else encode(groups)
    if independent <= BAGS:
        return Units(of_row, independent, independent)
    bag = np.random.default_rng(independent).permutation(independent) % BAGS
    return Units(bag[of_row], BAGS, independent)


def encode(values: np.ndarray, codes: dict[object, int] | None = None) -> tuple[np.ndarray, int]:
    """Number the distinct values in the order they appear. `codes` carries numbers over from another array and is added to.

    Returns the numbers (n,) and how many there are by now.
    """
    codes = {} if codes is None else codes
    numbers = [codes.setdefault(value, len(codes)) for value in np.asarray(values).tolist()]
    return np.array(numbers, dtype=np.intp), len(codes)


@dataclass(frozen=True, eq=False)
class SumStatistics:
    """A metric that is a function of sums over units."""

    sums: np.ndarray  # (units, k)
    finish: Callable[[np.ndarray], np.ndarray]  # sums (resamples, k) -> metric (resamples,), NaN where undefined
    independent: int  # rows or groups that it rests on, before they were bagged
    left_out: int = 0  # groups on which the metric is undefined
    limits: tuple[float, float] = (-np.inf, np.inf)  # the metric never lies outside

    @property
    def units(self) -> int:
        """The width of the weights: rows, groups, or bags of them."""
        return len(self.sums)

    def values(self, weights: np.ndarray) -> np.ndarray:
        """The metric under each row of `weights` (resamples, units). Shape (resamples,); NaN where undefined."""
        return self.finish(_product(np.asarray(weights, dtype=float), self.sums))


def _product(weights: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """weights @ sums. A few columns are summed without BLAS, whose threads take fifty times as long when all cores are busy."""
    if sums.shape[1] > 8:
        return np.asarray(weights @ sums)
    return np.asarray(np.einsum("ru,ku->rk", weights, np.ascontiguousarray(sums.T)))


class FunctionStatistics:
    """Any function of rows, evaluated once a resample: right for every metric, and slow.

    `function` receives row numbers, (m,) of 0 to rows - 1, repeated as often as the resample has them, and returns the metric
    of these rows, or None or NaN where it is undefined. What it raises is not caught.

    >>> numbers = np.array([1.0, 2.0, 6.0])
    >>> statistics = FunctionStatistics(lambda rows: float(np.median(numbers[rows])), rows=3)
    >>> statistics.values(np.array([[1, 1, 1], [0, 0, 3]]))
    array([2., 6.])
    """

    left_out = 0
    limits = (-np.inf, np.inf)

    def __init__(self, function: Callable[[np.ndarray], float | None], rows: int, groups: np.ndarray | None = None) -> None:
        self._function = function
        self._units = divide(rows, groups)

    @property
    def units(self) -> int:
        """The width of the weights: rows, groups, or bags of them."""
        return self._units.count

    @property
    def independent(self) -> int:
        """Rows or groups that it rests on, before they were bagged."""
        return self._units.independent

    def values(self, weights: np.ndarray) -> np.ndarray:
        """The function under each row of `weights` (resamples, units), whole numbers. Shape (resamples,)."""
        return np.array([self._value(row) for row in np.asarray(weights).astype(np.intp)], dtype=float)

    def _value(self, weights: np.ndarray) -> float:
        of_row = self._units.of_row
        rows = np.repeat(np.arange(len(of_row)), weights[of_row])
        result = self._function(rows) if len(rows) else None
        return np.nan if result is None else float(result)


def value(statistics: Statistics) -> float | None:
    """The metric itself, every unit counted once; None where it is undefined.

    >>> value(SumStatistics(np.array([[3.0, 1.0], [5.0, 1.0]]), lambda sums: sums[:, 0] / sums[:, 1], independent=2))
    4.0
    """
    result = float(statistics.values(np.ones((1, statistics.units)))[0])
    return result if np.isfinite(result) else None


def independent(statistics: Statistics) -> int:
    """Rows or groups that it rests on, before they were bagged."""
    return int(getattr(statistics, "independent", statistics.units))


def left_out(statistics: Statistics) -> int:
    """Groups on which the metric is undefined."""
    return int(getattr(statistics, "left_out", 0))


def limits(statistics: Statistics) -> tuple[float, float]:
    """Between what the metric lies, whatever the rows."""
    low, high = getattr(statistics, "limits", (-np.inf, np.inf))
    return float(low), float(high)


def varied(statistics: Statistics) -> int:
    """How many units are not of the commonest kind. 99 rows right and one wrong: one. All of them where that is unknown."""
    if not isinstance(statistics, SumStatistics) or not statistics.units:
        return statistics.units
    kinds = Counter(row.tobytes() for row in statistics.sums)
    return statistics.units - max(kinds.values())


def differing(one: Statistics, other: Statistics) -> int:
    """On how many units the two do not do the same. All of them where that is unknown."""
    if not isinstance(one, SumStatistics) or not isinstance(other, SumStatistics) or one.sums.shape != other.sums.shape:
        return one.units
    return int(np.any(one.sums != other.sums, axis=1).sum())
