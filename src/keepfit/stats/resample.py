"""The bootstrap: weights, the distribution they give a metric, its interval and its p-value.

**Interval.** The percentile interval of the nonparametric bootstrap, its level widened for small samples after Hesterberg,
*What Teachers Should Know About the Bootstrap* (2015), section 5.3: instead of the quantile alpha / 2 it takes

    Phi(-z),    z = sqrt(n / (n - 1)) t_{1 - alpha/2, n - 1}

so that for the mean of normal data it is as wide as Student's interval. Two things are added, because a holdout may be small
and models mostly agree:

- n counts the units that say something. With m units that are not of the commonest kind (rows where champion and challenger do
  not do the same, or the errors among right rows) it is m + 1, at least 3, at most all units: a hundred rows of which the
  models differ on three know little of how they differ. For three differences that all favour one side the p-value is 1/8,
  as in the sign test, where the plain bootstrap would say 1/20.
- the end is the quantile or observed - z * se, with se the standard deviation of the resamples, whichever lies further out. For
  means the latter is Student's interval exactly. The quantile alone sees skewness, but with few units the resamples' tails end
  too early (two units have three different resamples), and for the small alphas that are left to the fiftieth comparison
  counting would take millions of resamples. Two equal models with six rows of heavy-tailed errors are told apart in 5.8 % of
  holdouts by the quantile alone, where 5 % are allowed, and in 4.1 % so.

**p-value** of "the true value is at most `bound`": the alpha at which the one-sided interval just reaches `bound`, so that test
and interval say the same: the interval at level 1 - 2 alpha lies above `bound` exactly when p < alpha.

**Undefined resamples** (one without positives has no recall) are left out when they are at most one in a hundred; in a test
they count against what is to be shown. With more of them there is neither interval nor p-value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from keepfit.ports import Statistics
from keepfit.records import Interval
from keepfit.stats.units import differing, limits, value, varied

UNDEFINED = 0.01  # largest share of undefined resamples that may be left out
_CELLS = 1_000_000  # weights made at a time


def interval(statistics: Statistics, level: float = 0.95, resamples: int = 10_000, seed: int = 0) -> Interval | None:
    """The confidence interval of one model's metric. None with fewer than two units or where the metric is undefined.

    Where every resample says the same, at a limit of the metric (all rows right), it takes the exact binomial bound: with n
    alike units, others are at most a share 1 - (1 - level)^(1/n) of all (Clopper and Pearson 1934, one-sided; about 3/n).
    That is exact for the accuracy of independent rows, and a rough guide for other metrics.
    """
    found = distribution(statistics, resamples, seed)
    if found is None:
        return None
    low, high = limits(statistics)
    if found.error > 0:
        ends = found.interval(level)
        return Interval(low=max(ends.low, low), high=min(ends.high, high), level=level)
    unseen = 1 - (1 - level) ** (1 / statistics.units) if np.isfinite(high - low) else 0.0
    down = unseen * (high - low) if found.observed == high else 0.0
    up = unseen * (high - low) if found.observed == low else 0.0
    return Interval(low=found.observed - down, high=found.observed + up, level=level)


def distribution(statistics: Statistics, resamples: int, seed: int) -> Distribution | None:
    """What the metric is in bootstrap resamples. None with fewer than two units or where it is undefined."""
    observed = value(statistics)
    if observed is None or statistics.units < 2:
        return None
    values = np.concatenate([statistics.values(chunk) for chunk in weights(statistics.units, resamples, seed)])
    return _distribution(observed, values, _telling(statistics.units, varied(statistics)))


def difference(one: Statistics, other: Statistics, resamples: int, seed: int) -> Distribution | None:
    """What `other` minus `one` is when both are resampled by the same weights, so that they stay paired.

    None with fewer than two units, where one is undefined, and where the two do the same on every unit: then the holdout holds
    no example of how they differ. Raises `ValueError` when they do not rest on the same units.
    """
    if one.units != other.units:
        raise ValueError(f"Two metrics on different units cannot be paired: {one.units} and {other.units}.")
    before, after, unlike = value(one), value(other), differing(one, other)
    if before is None or after is None or one.units < 2 or not unlike:
        return None
    values = np.concatenate([other.values(chunk) - one.values(chunk) for chunk in weights(one.units, resamples, seed)])
    return _distribution(after - before, values, _telling(one.units, unlike))


def weights(units: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each unit is drawn: whole numbers as floats, in pieces (some, units) that make up `resamples` rows.

    Each row is multinomial: `units` draws, each unit equally likely. Equal arguments give equal weights.

    >>> [piece.sum(axis=1) for piece in weights(3, 2, seed=1)]
    [array([3., 3.])]
    """
    generator = np.random.default_rng(seed)
    step = max(1, _CELLS // max(units, 1))
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        drawn = generator.integers(0, units, size=(count, units)) + units * np.arange(count)[:, None]
        yield np.bincount(drawn.ravel(), minlength=count * units).reshape(count, units).astype(float)


@dataclass(frozen=True, eq=False)
class Distribution:
    """The bootstrap distribution of one number."""

    observed: float  # the number on the rows as they are
    values: np.ndarray  # (resamples,) sorted, those that are defined
    undefined: int  # resamples that are not
    units: int  # what the small-sample expansion goes by, at least 2

    @property
    def error(self) -> float:
        """The standard error. Rounding of equal values counts as none."""
        spread = float(self.values.std())
        return spread if spread > 1e-12 * max(1.0, float(np.abs(self.values).max())) else 0.0

    def interval(self, level: float) -> Interval:
        """The two-sided interval at `level`."""
        tail = (1 - level) / 2
        return Interval(low=self.low(tail), high=-self._mirrored().low(tail), level=level)

    def low(self, tail: float) -> float:
        """The lower end that the true value undercuts in a share `tail` of holdouts."""
        z = -float(stdtrit(self.units - 1, tail)) * np.sqrt(self.units / (self.units - 1))
        share = float(ndtr(-z))
        place = min(max(int(np.ceil(share * len(self.values))), 1), len(self.values))
        return float(min(self.values[place - 1], self.observed - z * self.error))

    def p_value(self, bound: float) -> float:
        """The one-sided p-value of "the true value is at most `bound`"; a resample at `bound` counts for it."""
        at_most = np.searchsorted(self.values, bound + 1e-12 * max(1.0, abs(self.observed)), side="right")
        total = len(self.values) + self.undefined
        z = min(-float(ndtri((int(at_most) + self.undefined) / total)), self._distance(bound))
        return float(stdtr(self.units - 1, -z * np.sqrt((self.units - 1) / self.units)))

    def _distance(self, bound: float) -> float:
        """From `bound` up to the observed value, in standard errors."""
        gap = self.observed - bound
        return gap / self.error if self.error else float(np.copysign(np.inf, gap))

    def _mirrored(self) -> Distribution:
        return Distribution(-self.observed, -self.values[::-1], self.undefined, self.units)


def _distribution(observed: float, values: np.ndarray, units: int) -> Distribution | None:
    defined = np.sort(values[np.isfinite(values)])
    undefined = len(values) - len(defined)
    if undefined > UNDEFINED * len(values) or not len(defined):
        return None
    return Distribution(observed, defined, undefined, units)


def _telling(units: int, unlike: int) -> int:
    """How many units the small-sample expansion goes by."""
    return min(units, max(unlike + 1, 3))
