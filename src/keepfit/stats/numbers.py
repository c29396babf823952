"""Numbers reduced to counts, sums and extremes in bins that a reference lays out.

About 200 bins: equally likely ones from the reference's quantiles, equally wide ones over its bulk, its far quantiles, one of its
own for each value that is frequent by itself (for every value where there are few), and beyond its range bins that widen by
factors of four, so that what lies far outside is told apart too. Nothing but the position within a bin is lost: a distribution
function is exact at every edge, and between two edges it is known to the share of values that lie between them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

BINS = 128  # equally likely bins
_TOLD_APART = 1_000  # values within a range, at the least, for differences of rounded numbers to mean something
EXAMPLES = 3  # cells shown of those that could not be read


@dataclass(frozen=True, kw_only=True, eq=False)
class NumberProfile:
    """Numbers, or moments in microseconds since 1970, UTC. They are kept relative to `origin`, so that large ones stay exact."""

    kind: str = "number"  # or "datetime"
    origin: int | float = 0  # what was subtracted from every value
    edges: np.ndarray  # (m,) increasing; the bins are (-inf, e0), [e0, e1), ..., [e_{m-1}, inf)
    counts: np.ndarray  # (m + 1,) int64: finite values in each bin
    sums: np.ndarray  # (m + 1,) of value - origin
    squares: float = 0.0  # sum of (value - origin)^2
    minimum: float | None = None  # smallest finite value - origin; None: there is none
    maximum: float | None = None
    missing: int = 0  # cells without a value; NaN is none
    infinite: int = 0
    unread: int = 0  # cells that hold something else than a number (or a date)
    examples: tuple[str, ...] = ()  # up to three of these
    rounded: int = 0  # numbers with more digits than floating point has, of which only the first 16 count
    zoned: int = 0  # moments that say in which time zone they are
    format: str = ""  # how dates were written, where they were text and not in ISO 8601

    @property
    def filled(self) -> int:
        """Finite values."""
        return int(self.counts.sum())

    @property
    def centres(self) -> np.ndarray:
        """(m + 1,) the mean of each bin's values relative to `origin`; of an empty bin its middle, at the ends the edge."""
        if not len(self.edges):
            return np.array([self.sums[0] / self.counts[0] if self.counts[0] else 0.0])
        low, high = np.append(self.edges[0], self.edges), np.append(self.edges, self.edges[-1])
        middle = low / 2 + high / 2
        with np.errstate(invalid="ignore", divide="ignore"):
            means = np.where(self.counts > 0, self.sums / self.counts, middle)
        floor, ceiling = np.append(-np.inf, self.edges), np.append(self.edges, np.inf)
        return np.where(np.isfinite(means), np.clip(means, floor, ceiling), middle)  # a sum may have rounded, or overflown

    @property
    def mean(self) -> float | None:
        """None without values."""
        return None if not self.filled else float(self.origin + self.sums.sum() / self.filled)

    @property
    def std(self) -> float | None:
        """With divisor n; None without values."""
        if not self.filled:
            return None
        centre = float(self.sums.sum()) / self.filled
        return float(np.sqrt(max(self.squares / self.filled - centre * centre, 0.0)))

    @property
    def blurred(self) -> bool:
        """Whether numbers were rounded that differ by little more than what was lost."""
        if not self.rounded or self.minimum is None or self.maximum is None:
            return False
        largest = max(abs(float(self.origin) + end) for end in (self.minimum, self.maximum))
        return bool(self.maximum - self.minimum <= _TOLD_APART * np.finfo(float).eps * largest)

    def merge(self, other: NumberProfile) -> NumberProfile:
        """The profile of both columns' values. Raises `ValueError` for different bins."""
        if self.kind != other.kind or self.origin != other.origin or not np.array_equal(self.edges, other.edges):
            raise ValueError("Two number profiles with different bins cannot be merged: make both with the same `like`.")
        return replace(
            self,
            counts=self.counts + other.counts,
            sums=self.sums + other.sums,
            squares=self.squares + other.squares,
            minimum=min((end for end in (self.minimum, other.minimum) if end is not None), default=None),
            maximum=max((end for end in (self.maximum, other.maximum) if end is not None), default=None),
            missing=self.missing + other.missing,
            infinite=self.infinite + other.infinite,
            unread=self.unread + other.unread,
            rounded=self.rounded + other.rounded,
            zoned=self.zoned + other.zoned,
            examples=tuple(dict.fromkeys(self.examples + other.examples))[:EXAMPLES],
        )

    def absent(self, rows: int) -> NumberProfile:
        """The profile, in this layout, of rows without this column."""
        nothing = number_profile(np.empty(0), self.edges, origin=self.origin, missing=rows)
        return replace(nothing, kind=self.kind, format=self.format)


def number_profile(
    ordered: np.ndarray,
    edges: np.ndarray,
    *,
    origin: int | float = 0,
    missing: int = 0,
    **others: Any,
) -> NumberProfile:
    """The profile of values relative to `origin`, (n,) float64 in increasing order; NaN (at the end) counts as missing."""
    filled = int(ordered.searchsorted(np.nan))
    finite = only_finite(ordered[:filled])
    bounds = np.zeros(len(edges) + 2, dtype=np.int64)
    bounds[1:-1], bounds[-1] = finite.searchsorted(edges), len(finite)
    counts = bounds[1:] - bounds[:-1]
    sums = np.zeros(len(counts))
    held = counts.nonzero()[0]
    with np.errstate(over="ignore", invalid="ignore"):
        if len(held):  # neighbouring starts of bins that hold something are their bounds
            sums[held] = np.add.reduceat(finite, bounds[held])
        squares = float(np.einsum("i,i", finite, finite))  # not @: BLAS would start threads for so little
    return NumberProfile(
        origin=origin,
        edges=edges,
        counts=counts,
        sums=sums,
        squares=squares,
        minimum=float(finite[0]) if len(finite) else None,
        maximum=float(finite[-1]) if len(finite) else None,
        missing=missing + len(ordered) - filled,
        infinite=filled - len(finite),
        **others,
    )


def only_finite(ordered: np.ndarray) -> np.ndarray:
    """The part of values in increasing order, NaN last, that is finite."""
    return ordered[int(ordered.searchsorted(-np.inf, side="right")) : int(ordered.searchsorted(np.inf))]


def lay_out(ordered: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Edges for values (n,) that are finite and in increasing order: (m,), increasing; none for no values."""
    if not len(ordered):
        return np.empty(0)
    lowest, highest = float(ordered[0]), float(ordered[-1])
    with np.errstate(over="ignore"):
        distinct = _few_distinct(ordered, most=max(bins * 3 // 2, 8))
        inner = _apart(distinct) if distinct is not None else _by_quantiles(ordered, bins)
        span = highest - lowest or max(abs(highest), 1.0)
        steps = min(span, np.finfo(float).max / 2**12) * 4.0 ** np.arange(-2, 6)
        edges = np.concatenate([lowest - steps, [lowest], inner, [np.nextafter(highest, np.inf)], highest + steps])
    return np.unique(edges[np.isfinite(edges)])


def _few_distinct(ordered: np.ndarray, most: int) -> np.ndarray | None:
    """The distinct values, where they are at most so many. A glance at some of them spares the rest."""
    glance = ordered[np.linspace(0, len(ordered) - 1, min(len(ordered), 8 * most)).astype(np.intp)]
    if np.count_nonzero(glance[1:] != glance[:-1]) >= most:
        return None
    found: list[float] = []
    position = 0
    while position < len(ordered) and len(found) <= most:
        found.append(float(ordered[position]))
        position = int(np.searchsorted(ordered, ordered[position], side="right"))
    return np.array(found) if len(found) <= most else None


def _by_quantiles(ordered: np.ndarray, bins: int) -> np.ndarray:
    last = len(ordered) - 1
    fine = ordered[np.linspace(0, last, 4 * bins + 1).astype(np.intp)]  # a value as frequent as half a bin fills a gap of these
    heavy = np.unique(fine[1:][fine[1:] == fine[:-1]])
    far = np.array([1e-4, 1e-3, 5e-3])
    tails = ordered[(np.concatenate([far, 1 - far]) * last).astype(np.intp)]
    across = np.linspace(0, 1, bins // 4 + 1)
    wide = tails[2] * (1 - across) + tails[5] * across  # the difference of the two may be more than floating point holds
    return np.concatenate([fine[::4], tails, wide, _apart(heavy)])


def _apart(values: np.ndarray) -> np.ndarray:
    """Edges that give each value a bin of its own."""
    return np.concatenate([values, np.nextafter(values, np.inf)])
