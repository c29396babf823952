"""What a distance shows when nothing has drifted, at these two sample sizes.

**Dealing out anew.** If both samples come from one distribution, it is chance which of the rows lie on which side. So the rows of
both are put together and dealt out anew to two sides of the same sizes, many times, and the distance is measured each time: the
permutation test (Fisher 1935, Pitman 1937). Only the counts in the cells are needed, and those are dealt by the multivariate
hypergeometric distribution. Unlike resampling with replacement this is exact at every size, keeps categories that occur
once, and does not break on heavy tails. In cells that hold many rows the counts are drawn from the normal distribution with
the same means and covariances, from one matrix of normals for all columns.

**Far tails.** With thousands of columns and many looks, p-values of 1e-7 decide, which counting would take 1e9 deals to
resolve. So a curve is laid through the deals: distances of the chi-square family (`chi_square`, `psi`, the squares of
`jensen_shannon` and `cramers_v`) are, nearly, weighted sums of squared normals, whose tail follows a gamma distribution with the
same moments (Satterthwaite 1946; with three moments Pearson's type III).

**Proven tails.** `ks_tail`, `share_tail` and `unseen_by_chance` are bounds that hold at every size, and need no deals at all.

**Rows that belong together** (groups) are dealt out as so many units as there are groups: each cell is worth its part of the rows
in units, and what is no whole unit is rounded at random. So a value that only one group has is one unit, which lies on one side
or the other as the group does; where values vary within groups, units vary more than the groups do, and the p-value is too
large. Groups of unequal size tell as much as Kish's effective number of equal ones, (sum of n)^2 / sum of n^2, which is what
belongs into `Sizes`; their plain number would give p-values that are too small. A large group is more than one unit by that number.
So where cells are worth more than one unit and fewer than three, they are dealt to one side as a whole too, and the larger p-value
counts; groups larger than that may give p-values that are too small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaincc, gammaln, ndtr

from keepfit.stats.distances import ks, wasserstein

DEALS = 300  # for every column
MORE_DEALS = 20_000  # for a column near the decision
COUNTED = 10  # deals beyond the observed value from which on they are simply counted
MANY = 10  # rows of a cell on the smaller side from which on it is dealt by normals
EXPECTED_OUTSIDE = 5  # rows of the smaller side beyond which the outermost values are drawn in
FEW_CELLS = 32  # cells up to which a bound cell by cell may be sharper than Kolmogorov's
_CHOICES = 50  # random ways of rounding cells to whole units
_SURELY_MORE = 3  # units of a cell that are hardly a single group, however large
_TOO_MANY = 10**9  # rows from which on numpy deals no more

Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]  # counts (..., cells) of two sides -> (...)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much evidence two samples hold: independent units, at most their rows; of unequal groups, Kish's effective number."""

    reference: int
    current: int

    @property
    def effective(self) -> float:
        """n m / (n + m): the size of one sample that tells as much of a difference from a known distribution."""
        return self.reference * self.current / (self.reference + self.current)


@dataclass(frozen=True, kw_only=True)
class NoDrift:
    """What a distance shows when nothing has drifted."""

    expected: float  # its mean
    p_value: float  # chance that it is at least the observed one


class Deck:
    """Deals rows out anew. Equal seeds deal alike."""

    def __init__(self, seed: int = 0, deals: int = DEALS, many: int = MANY) -> None:
        self.deals = deals
        self.many = many
        self.seed = seed
        self._generator = np.random.default_rng([seed, 0])
        self._normals = np.empty((deals, 0), dtype=np.float32)

    def normals(self, cells: int) -> np.ndarray:
        """(deals, cells) standard normals, the same for all columns: Holm's method asks no independence of them."""
        if cells > self._normals.shape[1]:
            generator = np.random.default_rng([self.seed, 1])
            self._normals = generator.standard_normal((self.deals, max(cells, 256)), dtype=np.float32)
        return self._normals[:, :cells]

    def deal(self, pooled: np.ndarray, sizes: Sizes) -> tuple[np.ndarray, np.ndarray]:
        """Counts (deals, cells) of two sides of these sizes, of which the rows in `pooled` (cells,) are dealt out.

        Where the sizes are smaller than the rows, or these are units that are not whole, the cells are rounded to so many whole
        units in fifty random ways, each cell's mean being its part of them; equally many deals are of each.
        """
        total = sizes.reference + sizes.current
        if pooled.dtype.kind == "i" and total >= pooled.sum():
            return self._dealt(pooled, sizes.current, self.deals)
        share = -(-self.deals // _CHOICES)
        parts = [self._dealt(self._rounded(pooled, total), sizes.current, share) for _ in range(_CHOICES)]
        return np.concatenate([r for r, _ in parts])[: self.deals], np.concatenate([c for _, c in parts])[: self.deals]

    def _rounded(self, pooled: np.ndarray, total: int) -> np.ndarray:
        """`total` whole units in proportion to `pooled`: each cell's part rounded up or down, so that its mean is that part.

        Systematic sampling in a random order (Madow 1949): whole parts stay as they are, and nothing is lost in all.
        """
        order = self._generator.permutation(len(pooled))
        ends = np.append(0.0, np.cumsum(pooled[order], dtype=float))
        ends *= total / ends[-1]
        ends[-1] = total
        units = np.empty(len(pooled), dtype=np.int64)
        units[order] = np.diff(np.floor(ends + self._generator.random())).astype(np.int64)
        return units

    def _dealt(self, pooled: np.ndarray, size: int, deals: int) -> tuple[np.ndarray, np.ndarray]:
        total = int(pooled.sum())
        few = pooled * min(size, total - size) < self.many * total
        many = pooled[~few].astype(float)
        current = np.empty((deals, len(pooled)))
        first = self._drawn(np.append(pooled[few], int(many.sum())), size, deals)
        current[:, few] = first[:, :-1]
        current[:, ~few] = self._by_normals(many, first[:, -1:].astype(float), self.normals(len(many))[:deals])
        return pooled - current, current

    def _drawn(self, pooled: np.ndarray, size: int, deals: int) -> np.ndarray:
        """`size` of the pooled rows without putting any back, (deals, cells)."""
        total = int(pooled.sum())
        if total < _TOO_MANY:
            return self._generator.multivariate_hypergeometric(pooled, size, size=deals, method="marginals")
        smaller = self._generator.multinomial(min(size, total - size), pooled / total, size=deals)  # of so many, all the same
        return smaller if 2 * size <= total else pooled - smaller

    @staticmethod
    def _by_normals(pooled: np.ndarray, size: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """The same by normals of equal means and covariances: size (N - size) / (N - 1) (diag(p) - p p')."""
        total = pooled.sum()
        if not total:
            return np.empty((len(size), 0))
        shares = pooled / total
        root = np.sqrt(shares)
        spread = np.sqrt(size * (total - size) / max(total - 1, 1))
        apart = normals * root
        apart -= (normals @ root)[:, None] * shares
        return np.asarray(np.clip(size * shares + spread * apart, 0, pooled))


def more_decks(seed: int) -> Iterator[Deck]:
    """Decks of `MORE_DEALS` together, one at a time, so that memory stays small."""
    return (Deck(seed + 1 + number, MORE_DEALS // 20, many=4 * MANY) for number in range(20))


def calibrated(
    distance: Distance, power: int, reference: np.ndarray, current: np.ndarray, sizes: Sizes, decks: Iterable[Deck]
) -> NoDrift:
    """What the distance between these counts (cells,) shows when nothing has drifted.

    `power`: which power of the distance is like chi-square: 2 for `jensen_shannon` and `cramers_v`, 1 for `psi`.
    From `DEALS` the p-value may be wrong by a factor of ten either way near 1e-3, so tests near the decision are dealt again: from
    `MORE_DEALS` it is within a fifth near 1e-3. That of `psi` with cells of a few rows is up to ten times too small beyond 1e-4.
    """
    observed = float(distance(reference, current))
    pooled = in_units(reference, current, sizes)
    ways = [(pooled, np.ones(len(pooled)), sizes)]
    if pooled.dtype.kind == "f" and ((pooled > 1 + 1e-9) & (pooled < _SURELY_MORE)).any():
        ways.append(in_lumps(pooled, sizes))
    values: list[list[np.ndarray]] = [[] for _ in ways]
    for deck in decks:
        for found, (dealt, worth, sides) in zip(values, ways, strict=True):
            r, c = deck.deal(dealt, sides)
            found.append(distance(r * worth, c * worth))
    together = [np.concatenate(found) for found in values]
    return NoDrift(
        expected=max(float(found.mean()) for found in together),
        p_value=max(_chance(found**power, observed**power) for found in together),
    )


def in_units(reference: np.ndarray, current: np.ndarray, sizes: Sizes) -> np.ndarray:
    """What the cells (cells,) of both sides together are worth in units: their rows (int), where every row is one."""
    n, m = int(reference.sum()), int(current.sum())
    if (sizes.reference, sizes.current) == (n, m):
        return np.asarray(reference + current)
    return np.asarray(reference * (sizes.reference / max(n, 1)) + current * (sizes.current / max(m, 1)))


def in_lumps(units: np.ndarray, sizes: Sizes) -> tuple[np.ndarray, np.ndarray, Sizes]:
    """The same where every cell that is worth fewer than three units (cells,) is a single large group, that lies on one side.

    What is dealt of each cell, what one of it is worth in units, and how many of them the sides have.
    """
    lumps = np.where(units < _SURELY_MORE, np.minimum(units, 1.0), units)
    left = float(lumps.sum() / units.sum())
    one, other = (max(round(size * left), 1) for size in (sizes.reference, sizes.current))
    return lumps * ((one + other) / lumps.sum()), units / np.maximum(lumps, 1e-12), Sizes(reference=one, current=other)


def wasserstein_calibrated(
    reference: np.ndarray, current: np.ndarray, centres: np.ndarray, scale: float, sizes: Sizes, decks: Iterable[Deck]
) -> NoDrift:
    """The same for `wasserstein`, from Brownian bridges.

    One outlier can be most of this distance, and whether it lies on the smaller side is chance that no curve follows. So the
    p-value is that of the distance between the values after the outermost were drawn in: those of which fewer than five are to be
    expected at either end of the smaller side. The tail of its square falls as exp(-n m / (n + m) d^2 / (2 variance)), as the
    variance of no function of slope 1 is above that of the values (Borell's inequality); mean and variance come from the bridges.
    """
    pooled = reference + current
    share = pooled / pooled.sum()
    below = np.cumsum(share)[:-1]
    outer = EXPECTED_OUTSIDE / min(sizes.reference, sizes.current)
    steps = np.diff(centres) / scale
    inner = np.where((below >= outer) & (below <= 1 - outer), steps, 0.0)
    drawn_in = np.append(0.0, np.cumsum(inner))
    variance = float(share @ drawn_in**2 - (share @ drawn_in) ** 2)
    both = np.stack([steps, inner], axis=1)
    values = np.concatenate([bridges(pooled, sizes, deck)[:, :-1] @ both for deck in decks])
    observed = float(wasserstein(reference, current, drawn_in))
    p_value = _chance(values[:, 1] ** 2, observed**2, rate=2 * variance / sizes.effective)
    return NoDrift(expected=float(values[:, 0].mean()), p_value=p_value)


def gamma_tail(values: np.ndarray, observed: float, *, skewness: float | None = None, rate: float | None = None) -> float:
    """The chance of `observed` or more under the gamma distribution with the mean and variance of `values` (deals,).

    It starts at 0, or wherever it has to for the skewness, or for its tail to fall by e in each `rate`, where one is given. 1 where
    the values do not vary and `observed` is not above them.
    """
    mean, deviation = float(values.mean()), float(values.std())
    if deviation <= 1e-12 * max(mean, 1e-300):
        return 1.0 if observed <= mean * (1 + 1e-9) + 1e-12 else 0.0
    z = (observed - mean) / deviation
    skew = 2 * rate / deviation if rate is not None else 2 * deviation / mean if skewness is None else skewness
    if skew < 1e-3:
        return float(ndtr(-z))
    shape = 4 / skew**2
    return float(gammaincc(shape, max(shape + np.sqrt(shape) * z, 0.0)))


def _chance(values: np.ndarray, observed: float, rate: float | None = None) -> float:
    """Counted where enough of many deals lie beyond, on a curve where not."""
    if len(values) < MORE_DEALS:
        return gamma_tail(values, observed, rate=rate)
    beyond = int((values >= observed * (1 - 1e-9)).sum())
    if beyond >= COUNTED:
        return (beyond + 1) / (len(values) + 1)
    skewness = float(((values - values.mean()) ** 3).mean() / max(float(values.std()), 1e-300) ** 3)
    return gamma_tail(values, observed, skewness=skewness, rate=rate)


def bridges(pooled: np.ndarray, sizes: Sizes, deck: Deck) -> np.ndarray:
    """|F - G| at the cells' upper ends (deals, cells) when nothing has drifted, in the limit of many rows: a Brownian bridge."""
    share = (pooled / pooled.sum()).astype(np.float32)
    path = np.cumsum(deck.normals(len(share)) * np.sqrt(share / np.float32(sizes.effective)), axis=1)
    path -= path[:, -1:] * np.cumsum(share)
    return np.asarray(np.abs(path, out=path))


def ks_expected(reference: np.ndarray, current: np.ndarray, sizes: Sizes, deck: Deck) -> float:
    """The mean of `ks` when nothing has drifted: that of the largest excursion of a Brownian bridge at the cells' ends."""
    return float(bridges(reference + current, sizes, deck).max(axis=1).mean())


def ks_tail(reference: np.ndarray, current: np.ndarray, sizes: Sizes) -> float:
    """A proven bound on the chance of a `ks` at least as large as that of these counts (cells,), when nothing has drifted.

    The smaller of two. For any distribution, ties or not, 2 exp(-2 d^2 n m / (n + m)): Dvoretzky, Kiefer and Wolfowitz for two
    samples, with the constant 2 where Wei and Dudley (2012) could show it. A twentieth on top covers the equal sizes from 10
    to 457, where they could not; below 10 rows the constant is e. And where there are few cells, the sum over their ends of
    the chance of so large a difference there (Bonferroni), which is far smaller for yes and no, or for numbers mostly zero.
    """
    distance = float(ks(reference, current))
    constant = 2.1 if min(sizes.reference, sizes.current) >= 10 else np.e
    bound = min(1.0, constant * float(np.exp(-2 * distance**2 * sizes.effective)))
    pooled = reference + current
    below = np.cumsum(pooled[pooled > 0])[:-1]
    whole = sizes.reference + sizes.current == pooled.sum()
    if not whole or not 0 < len(below) < FEW_CELLS:
        return bound
    return min(bound, float(hypergeometric_tail(below, sizes, distance).sum()))


def share_tail(one: int, other: int, sizes: Sizes) -> float:
    """The chance of two shares at least as far apart as `one` of the reference's units and `other` of the current's.

    Fisher's exact test (1935) with both tails, by `hypergeometric_tail`; within a tenth of it for small chances.
    """
    apart = abs(one / sizes.reference - other / sizes.current)
    return float(hypergeometric_tail(np.array([one + other]), sizes, apart)[0])


def share_expected(one: int, other: int, sizes: Sizes) -> float:
    """The mean distance of the two shares when nothing has drifted, by the normal distribution."""
    pooled = (one + other) / (sizes.reference + sizes.current)
    return float(np.sqrt(2 / np.pi * pooled * (1 - pooled) / sizes.effective))


def unseen_by_chance(pooled: np.ndarray, unseen: np.ndarray, sizes: Sizes) -> NoDrift:
    """How many rows have names that the reference lacks when nothing has drifted, and a proven bound on the chance of so many.

    `pooled` (names,): rows of each name on both sides; `unseen` (names,) bool: those that the reference lacks. A name with t
    rows lies in the current side alone with a chance of at most q^t, q that side's share of all rows. These events are
    negatively associated (Joag-Dev and Proschan 1983), so that Chernoff's bound holds as if they were independent:
    log p <= min over s of the sum over names of log(1 + q^t (e^(s t) - 1)), less s times the rows that are unseen. Units
    that are not whole count as if they were rounded at random, up with the chance of what is left over.
    """
    units, names = np.unique(pooled[pooled > 0], return_counts=True)
    logarithm = np.log(sizes.current / (sizes.reference + sizes.current))
    whole = np.floor(units)
    up = units - whole
    alone, one_more = np.exp(whole * logarithm), np.exp((whole + 1) * logarithm)
    expected = float(names @ ((1 - up) * whole * alone + up * (whole + 1) * one_more))
    found = float(pooled[unseen].sum())
    if found <= expected * (1 + 1e-9):
        return NoDrift(expected=expected, p_value=1.0)
    s = np.linspace(0, -logarithm, 65)[:, None]
    more = (1 - up) * (np.exp(whole * (s + logarithm)) - alone) + up * (np.exp((whole + 1) * (s + logarithm)) - one_more)
    bounds = np.log1p(more) @ names - s[:, 0] * found
    return NoDrift(expected=expected, p_value=float(np.exp(min(bounds.min(), 0.0))))


def hypergeometric_tail(marked: np.ndarray, sizes: Sizes, apart: float) -> np.ndarray:
    """Bounds (k,) on the chance that, of `marked` (k,) rows dealt out, the two sides' shares are at least `apart` from each other.

    Beyond its mode each of the distribution's terms is a smaller part of the one before, so that a tail is at most its first
    term over one less their ratio.
    """
    n, m = sizes.reference, sizes.current
    total, marked = n + m, np.asarray(marked, dtype=float)
    mean, distance = marked * (n / total), apart * sizes.effective
    slack = 1e-9 * (1 + mean)  # rounding must not lose the observed value itself
    low, high = np.floor(mean - distance + slack), np.ceil(mean + distance - slack)
    downward = low * (total - marked - n + low) / ((marked - low + 1) * (n - low + 1))
    upward = (marked - high) * (n - high) / ((high + 1) * (total - marked - n + high + 1))
    tails = _tail(low, downward, marked, sizes) + _tail(high, upward, marked, sizes)
    return np.asarray(np.where(distance > slack, np.minimum(tails, 1.0), 1.0))


def _tail(first: np.ndarray, ratio: np.ndarray, marked: np.ndarray, sizes: Sizes) -> np.ndarray:
    n, total = sizes.reference, sizes.reference + sizes.current
    possible = (first >= np.maximum(marked - sizes.current, 0)) & (first <= np.minimum(marked, n))
    at = np.where(possible, first, np.maximum(marked - sizes.current, 0))
    logarithm = _choose(marked, at) + _choose(total - marked, n - at) - _choose(float(total), float(n))
    with np.errstate(divide="ignore", invalid="ignore"):
        tail = np.where(ratio < 1, np.exp(logarithm) / (1 - ratio), 1.0)
    return np.where(possible, tail, 0.0)


def _choose(n: np.ndarray | float, k: np.ndarray | float) -> np.ndarray:
    return np.asarray(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1))
