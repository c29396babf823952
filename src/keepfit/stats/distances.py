"""Distances between two samples that were counted in the same cells.

Counts are (..., cells), of any shape before the cells, so that thousands of resamples are measured at once; the result has the
shape before them. Only shares matter, so counts may be weights. All are 0 for equal shares; the distance of a side without any
count is undefined and comes out as NaN, and callers ask no such thing.

| distance | of | range | symmetric | undefined |
|---|---|---|---|---|
| `ks` | ordered cells | 0 to 1 | yes | |
| `wasserstein` | ordered cells | 0 up | in numerator | scale 0 |
| `psi` | any cells | 0 up | nearly | |
| `jensen_shannon` | any cells | 0 to 1 | yes | |
| `cramers_v` | any cells | 0 to 1 | yes | |
"""

from __future__ import annotations

import numpy as np
from scipy.special import rel_entr


def ks(reference: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Kolmogorov-Smirnov: max over the cells' upper ends of |F - G|, F and G the shares at or below.

    Smirnov (1939). In bins it is never above the distance of the values themselves, and below it by no more than the largest
    share that one side has in a bin in which the two differ: an F or G between two ends lies between its values there.

    >>> float(ks(np.array([5, 5, 0]), np.array([0, 5, 5])))
    0.5
    """
    return np.asarray(np.abs(_cumulated(reference) - _cumulated(current)).max(axis=-1))


def wasserstein(reference: np.ndarray, current: np.ndarray, centres: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """The first Wasserstein (earth mover's) distance over `scale`: integral of |F - G| dx, all of a cell's values at its centre.

    `centres` (cells,) ascend; `scale` is the reference's standard deviation, so that 0.1 is a shift by a tenth of it. With the
    mean of each cell's values as its centre, it is off from the distance of the values by no more than each side's mean distance
    of a value from its centre. Vallender (1974). Undefined for scale 0.

    >>> float(wasserstein(np.array([1, 0, 0]), np.array([0, 0, 1]), np.array([0.0, 1.0, 3.0]), scale=2.0))
    1.5
    """
    apart = np.abs(_cumulated(reference) - _cumulated(current))[..., :-1]
    return np.asarray(apart @ np.diff(centres) / scale)


def psi(reference: np.ndarray, current: np.ndarray) -> np.ndarray:
    """The population stability index: sum of (q - p) ln(q / p) over the cells.

    It is the symmetric divergence of Kullback and Leibler (1951); Siddiqi, *Credit Risk Scorecards* (2006), reads less than 0.1 as
    stable and more than 0.25 as changed. An empty cell would make it infinite, so each side has half a count more in
    every cell, as in Jeffreys' prior: p = (count + 1/2) / (total + cells / 2).

    >>> round(float(psi(np.array([500, 500]), np.array([600, 400]))), 3)
    0.04
    """
    p, q = _smoothed(reference), _smoothed(current)
    return np.asarray(((q - p) * np.log(q / p)).sum(axis=-1))


def jensen_shannon(reference: np.ndarray, current: np.ndarray) -> np.ndarray:
    """The Jensen-Shannon distance: the root of the divergence in bits, JSD = (KL(p | m) + KL(q | m)) / 2, m = (p + q) / 2.

    Lin (1991); its root is a metric (Endres and Schindelin 2003). 1 where no cell is held by both. A share that moves from one half
    to 0.64 makes about 0.1.

    >>> float(jensen_shannon(np.array([3, 0]), np.array([0, 7])))
    1.0
    """
    p, q = _shares(reference), _shares(current)
    middle = (p + q) / 2
    divergence = (rel_entr(p, middle) + rel_entr(q, middle)).sum(axis=-1) / (2 * np.log(2))
    return np.asarray(np.sqrt(np.clip(divergence, 0.0, 1.0)))


def chi_square(reference: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Pearson's statistic of the table of two rows: sum of (observed - expected)^2 / expected, no correction for continuity.

    Pearson (1900). It grows with the counts; `cramers_v` is the effect behind it. Cells that are empty on both sides count nothing.

    >>> float(chi_square(np.array([10, 20]), np.array([20, 10])).round(3))
    6.667
    """
    r, c = np.asarray(reference, dtype=float), np.asarray(current, dtype=float)
    n, m = r.sum(axis=-1, keepdims=True), c.sum(axis=-1, keepdims=True)
    return np.asarray((n * m * _ratio((r / n - c / m) ** 2, r + c)).sum(axis=-1))


def cramers_v(reference: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Cramér's V of the table with both rows given the same weight: the root of the sum of (p - q)^2 / (p + q) over 2.

    Cramér (1946). It is chi-square freed from its sample sizes: for two samples of n rows each, V^2 = chi-square / (2 n). The equal
    weights keep a hundred new rows from vanishing beside a million. 1 where no cell is held by both.

    >>> round(float(cramers_v(np.array([10, 20]), np.array([20, 10]))), 4)
    0.3333
    """
    p, q = _shares(reference), _shares(current)
    return np.asarray(np.sqrt(np.clip(_ratio((p - q) ** 2, p + q).sum(axis=-1) / 2, 0.0, 1.0)))


def _shares(counts: np.ndarray) -> np.ndarray:
    counts = np.asarray(counts, dtype=float)
    return np.asarray(counts / counts.sum(axis=-1, keepdims=True))


def _cumulated(counts: np.ndarray) -> np.ndarray:
    below = np.cumsum(counts, axis=-1, dtype=float)
    return np.asarray(below / below[..., -1:])


def _smoothed(counts: np.ndarray) -> np.ndarray:
    return _shares(np.asarray(counts, dtype=float) + 0.5)


def _ratio(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """0 where both are."""
    return upper / np.where(lower > 0, lower, 1.0)
