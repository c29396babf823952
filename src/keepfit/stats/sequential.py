"""Confidence intervals for means of bounded numbers that hold at every moment at once, so that anybody may look at any time.

An interval with a fixed level holds at one moment that was chosen beforehand. Who looks after every label and stops when the
interval leaves zero finds a difference between equal models sooner or later for sure. The intervals here form a confidence
sequence: with probability 1 - alpha *all* of them, after 1, 2, 3, ... numbers, hold the mean.

**Method.** Testing by betting. Numbers y_1, y_2, ... in [0, 1] are drawn independently with a mean of at most t, or, more
generally, each has an expectation of at most t given those before it. Then

    W_n(t) = sum_j w_j  prod_i (1 - u_j + u_j y_i / t),    0 <= u_j < 1,  sum_j w_j = 1

is never negative and expected not to grow, since each factor is (1 - u_j) + u_j E(y_i) / t <= 1 on average. It is the wealth of
somebody who spreads one coin over constant bets u_j against "the mean is at most t". By Ville's inequality it reaches 1 / alpha at
any time with probability alpha at most. Every factor falls as t grows, and so does W_n: the values of t with W_n(t) >= 1 / alpha,
which are refuted, all lie below one point, found by bisection, the lower confidence bound. The upper bound is that of 1 - y, and
an interval has alpha / 2 for each.

The product does not depend on the order of the numbers, hence neither does the interval. It is that of the present moment, not
intersected with earlier ones, so it can be computed anew at any time from the rows alone, also when a label was corrected. Bets
in geometric steps lose little against the best constant bet, whatever that is; for 0/1 differences this is a sequential
McNemar test.

**Rounding.** The numbers are first put into 8,192 cells, each at the cell's end that makes the bound more careful, so that a
million numbers cost no more than a few thousand, and 0, 1 and -1 remain what they are. The interval is wider by at most
1 / 8,192 of the range at either end.

Undefined: on no numbers nothing is known, and the interval is the whole range. Numbers outside the range, NaN, and an alpha
outside (0, 1) raise `ValueError`.

Sources: I. Waudby-Smith and A. Ramdas, "Estimating means of bounded random variables by betting", JRSS B 86 (2024) 1-27, sections
4 and B (wealth of diversified bets); F. Orabona and K.-S. Jun, "Tight concentrations and confidence sequences from the regret of
universal portfolio", IEEE Trans. Inf. Theory 70 (2024) 436-455 (mixtures of constant bets); J. Ville (1939).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

CELLS = 8192
STEPS = 40  # of the bisection: the bound is exact to 1e-12 of the range
_BETS = 0.99 * 2.0 ** (-np.arange(20) / 2)  # 0.99, 0.70, 0.50, ... 0.0014: the smallest are for millions of numbers
_WEIGHTS = np.log(_BETS**0.5 / np.sum(_BETS**0.5))  # more on the large ones, which decide while numbers are few


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """An interval of a mean."""

    low: float
    high: float
    mean: float | None  # the mean of the numbers themselves; None of none
    n: int


def mean_bounds(values: np.ndarray, alpha: float, low: float = -1.0, high: float = 1.0) -> Bounds:
    """The two-sided interval of the mean of `values` (n,), all within `low` to `high`; misses it at any time with probability
    `alpha` at most.

    >>> bounds = mean_bounds(np.repeat([0.0, 1.0], [90, 10]), alpha=0.05)  # of 100 pairs ten favour the second, none the first
    >>> bounds.low > 0, round(bounds.low, 3), round(bounds.high, 3)
    (True, 0.018, 0.222)
    """
    scaled = _scaled(values, low, high)
    ends = [_lower(*_cells(each), alpha / 2) for each in (scaled, 1 - scaled)] if _valid(alpha) else []
    width = high - low
    mean = float(np.mean(values)) if len(scaled) else None
    return Bounds(low=low + width * ends[0], high=high - width * ends[1], mean=mean, n=len(scaled))


def lower_bound(values: np.ndarray, alpha: float, low: float = -1.0, high: float = 1.0) -> float:
    """The one-sided bound: the mean lies below it, at any time, with probability `alpha` at most. `values` as in `mean_bounds`."""
    scaled = _scaled(values, low, high)
    return low + (high - low) * (_lower(*_cells(scaled), alpha) if _valid(alpha) else 0.0)


def difference_bounds(first: np.ndarray, second: np.ndarray, alpha: float) -> Bounds:
    """The interval of mean(first) - mean(second) for two separate samples of numbers within 0 to 1, (n,) and (m,).

    Each sample has an interval of its own with alpha / 2, so both hold at once, whatever the order in which the two grew and
    however they depend on each other (the union bound). Undefined in one of them: from -1 to 1 at most.

    >>> difference_bounds(np.zeros(400), np.ones(400), alpha=0.05).high < -0.9
    True
    """
    one, other = (mean_bounds(values, alpha / 2, 0.0, 1.0) for values in (first, second))
    mean = one.mean - other.mean if one.mean is not None and other.mean is not None else None
    return Bounds(low=one.low - other.high, high=one.high - other.low, mean=mean, n=one.n + other.n)


def _valid(alpha: float) -> bool:
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha}: expected a probability between 0 and 1")
    return True


def _scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """The numbers within 0 to 1."""
    numbers = np.asarray(values, dtype=float)
    if len(numbers) and not (numbers.min() >= low and numbers.max() <= high):  # NaN is neither
        raise ValueError(f"expected numbers from {low} to {high}, found {numbers.min()} to {numbers.max()}")
    return (numbers - low) / (high - low)


def _cells(scaled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The cells' lower ends that occur, and how many numbers each has."""
    counts = np.bincount((scaled * CELLS).astype(np.intp), minlength=CELLS + 1)
    occupied = np.flatnonzero(counts)
    return occupied / CELLS, counts[occupied].astype(float)


def _lower(cells: np.ndarray, counts: np.ndarray, alpha: float) -> float:
    """The largest refuted mean, from 0 to 1."""
    if not len(cells):
        return 0.0
    refuted, standing = 0.0, float(counts @ cells / counts.sum())  # at its own mean the wealth is at most 1
    for _ in range(STEPS):
        middle = (refuted + standing) / 2
        if middle > 0 and _wealth(cells, counts, middle) >= -np.log(alpha):
            refuted = middle
        else:
            standing = middle
    return refuted


def _wealth(cells: np.ndarray, counts: np.ndarray, mean: float) -> float:
    """log W_n(mean)."""
    factors = np.log1p(_BETS[:, None] * (cells[None, :] / mean - 1))
    return float(logsumexp(_WEIGHTS + factors @ counts))
