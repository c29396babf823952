"""What a metric probably is on rows whose labels have not come: truths are drawn that fit what is known, and the metric is
taken of each draw.

Earlier labelled rows that a champion was not trained on tell how its word and the truth go together: `keepfit.stats.confidence` for
classes, `keepfit.stats.losses` for numbers. New rows get truths drawn from that, `DRAWS` times over, each time from held-out
units drawn again with replacement (a bootstrap). So any metric can be estimated, the user's own too: the mean over the draws is
the estimate, and their spread holds both the chance in the labels and what the held-out rows leave open. The interval is one
for the value that the labels of these very rows will show.

**Groups.** Rows that belong together are right or wrong together. Held-out groups are resampled whole, and the draws within a
group share a normal variable (a Gaussian copula) with the correlation of held-out groups.

**Assumption.** The truth still depends on the inputs as it did: covariate shift is followed, concept drift is not seen. No
calculation without labels can see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from keepfit.records import Interval
from keepfit.stats.resample import UNDEFINED, Distribution
from keepfit.stats.units import encode

DRAWS = 200
LARGEST_CORRELATION = 0.95

Members = tuple[np.ndarray, int]  # the number of each row's group, (rows,), and how many groups there are


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What a metric is over the draws."""

    value: float | None  # None where it is undefined in more than one draw of a hundred
    interval: Interval | None
    undefined: int  # draws in which the metric is undefined


def expectation(
    values: Sequence[float | None], *, level: float, units: int, limits: tuple[float, float] = (-np.inf, np.inf)
) -> Expectation:
    """The mean of the metric over the draws, and the interval that holds the realised value with probability `level`.

    `values` are the metric of each draw, None or NaN where undefined; `units` counts the independent held-out rows or groups,
    for Student's widening; the interval keeps within `limits`. Without two defined values there is no interval.

    >>> expectation([0.8, 0.9, None], level=0.9, units=100).value is None
    True
    """
    drawn = np.array([np.nan if value is None else value for value in values], dtype=float)
    defined = np.sort(drawn[np.isfinite(drawn)])
    undefined = len(drawn) - len(defined)
    if not len(defined) or undefined > UNDEFINED * len(drawn):
        return Expectation(value=None, interval=None, undefined=undefined)
    mean = float(defined.mean())
    if len(defined) < 2:
        return Expectation(value=mean, interval=None, undefined=undefined)
    ends = Distribution(mean, defined, undefined, max(units, 2)).interval(level)
    interval = Interval(low=max(ends.low, limits[0]), high=min(ends.high, limits[1]), level=level)
    return Expectation(value=mean, interval=interval, undefined=undefined)


def fates(rows: int, members: Members | None, together: float, generator: np.random.Generator) -> np.ndarray:
    """Uniform numbers (rows,), correlated within groups through normal variables."""
    if members is None or not together:
        return generator.random(rows)
    of_row, count = members
    shared, own = generator.standard_normal(count), generator.standard_normal(rows)
    drawn = ndtr(np.sqrt(together) * shared[of_row] + np.sqrt(1 - together) * own)
    return np.asarray(np.minimum(drawn, 1 - 1e-16))


def correlation(residuals: np.ndarray, spreads: np.ndarray, groups: np.ndarray) -> float:
    """sum_{i != j} e_i e_j / sum_{i != j} s_i s_j over pairs in one group, cut to 0 to 0.95; 0 without pairs."""
    of_row, count = encode(groups)

    def pairs(numbers: np.ndarray) -> float:
        within = np.bincount(of_row, weights=numbers, minlength=count)
        return float((within**2).sum() - (numbers**2).sum())

    possible = pairs(spreads)
    return float(np.clip(pairs(residuals) / possible, 0.0, LARGEST_CORRELATION)) if possible > 1e-12 else 0.0
