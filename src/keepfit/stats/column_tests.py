"""The questions asked of one column: is it distributed differently, are other shares of it empty, infinite or never seen before?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from math import isfinite

import numpy as np

from keepfit.records import Measure
from keepfit.stats.calibrate import (
    MORE_DEALS,
    Deck,
    Distance,
    NoDrift,
    Sizes,
    calibrated,
    in_lumps,
    in_units,
    ks_expected,
    ks_tail,
    more_decks,
    share_expected,
    share_tail,
    unseen_by_chance,
    wasserstein_calibrated,
)
from keepfit.stats.categories import CategoryProfile, sampled_categories
from keepfit.stats.cells import frequent, held_bins, held_centres, parts
from keepfit.stats.distances import cramers_v, jensen_shannon, ks, psi, wasserstein
from keepfit.stats.numbers import NumberProfile

SHARE_EFFECT = 0.05  # by how much the share of empty or infinite cells, or of new names, must move beyond chance
OWN = {"number": "ks", "datetime": "ks", "category": "jensen_shannon", "boolean": "jensen_shannon"}  # what auto takes
UNORDERED: dict[str, tuple[Distance, int]] = {  # the power that makes each like chi-square
    "psi": (psi, 1),
    "jensen_shannon": (jensen_shannon, 2),
    "chi_square": (cramers_v, 2),
}


@dataclass(frozen=True, kw_only=True)
class ColumnTest:
    """One question asked of a column."""

    measure: Measure
    effect: float  # the score that counts
    of_shares: bool = False  # of cells that are empty, infinite or new, not of the whole distribution
    fixed: bool = False  # the distance is held against `effect` as it is
    again: Callable[[], NoDrift] | None = field(default=None, compare=False)  # calibrates better, and takes longer
    cells: int = 0  # that this takes dealing
    adjusted: float | None = None  # the p-value, for all tests of the table together; None: without one
    significant: bool = False

    @property
    def enough(self) -> bool:
        """Whether the effect is large enough."""
        return self.measure.score is not None and self.measure.score >= self.effect

    @property
    def drifted(self) -> bool:
        return self.enough and (self.fixed or self.significant)

    def recalibrated(self) -> ColumnTest:
        """The same with a better p-value, where there is one."""
        if self.again is None:
            return self
        found, value = self.again(), self.measure.value or 0.0
        measure = replace(self.measure, expected=found.expected, score=value - found.expected, p_value=found.p_value)
        return replace(self, measure=measure, again=None)

    def doubted(self, factor: float) -> ColumnTest:
        """The same with a p-value as large as it may really be, where nobody has the time to calibrate it better."""
        larger = min(1.0, factor * (self.measure.p_value or 0.0))
        return replace(self, measure=replace(self.measure, p_value=larger))


def method_of(kind: str, method: str) -> str:
    """The distance for a column: the wished one, or where it does not suit the kind, the kind's own."""
    if method == "auto" or (OWN[kind] == "jensen_shannon" and method not in UNORDERED):
        return OWN[kind]
    return method


def number_test(
    reference: NumberProfile, current: NumberProfile, method: str, limits: tuple[float, float | None], sizes: Sizes, deck: Deck
) -> ColumnTest | None:
    """The test of the values of two number profiles. None where the distance is undefined: numbers too large to add up.

    `limits`: the effect, and the fixed threshold or None.
    """
    if method in UNORDERED:
        return _unordered(method, *parts(reference, current), limits, sizes, deck)
    r, c = held_bins(reference, current)
    if method == "ks":
        return _test(
            method, float(ks(r, c)), limits, lambda: NoDrift(expected=ks_expected(r, c, sizes, deck), p_value=ks_tail(r, c, sizes))
        )
    centres, scale = held_centres(reference, current), _scale(reference, current)
    if not (isfinite(scale) and np.isfinite(centres).all()):
        return None
    calibrate = partial(wasserstein_calibrated, r, c, centres, scale, sizes)
    return _dealt(method, float(wasserstein(r, c, centres, scale)), calibrate, len(r), limits, deck)


def category_test(
    reference: CategoryProfile, current: CategoryProfile, method: str, limits: tuple[float, float | None], sizes: Sizes, deck: Deck
) -> ColumnTest:
    """The test of the values of two category profiles."""
    _, r, c = frequent(reference, current, sizes)
    return _unordered(method, r, c, limits, sizes, deck)


def share_test(name: str, marked: tuple[int, int], cells: tuple[int, int], units: tuple[float, float]) -> ColumnTest | None:
    """The test of the shares of `marked` among `cells` of reference and current. None where there is nothing to ask.

    `units`: independent units per cell on either side, at most 1.
    """
    if not any(marked) or marked == cells or not all(cells):
        return None
    sizes = Sizes(reference=max(round(cells[0] * units[0]), 1), current=max(round(cells[1] * units[1]), 1))
    one, other = round(marked[0] * units[0]), round(marked[1] * units[1])
    value, expected = abs(marked[0] / cells[0] - marked[1] / cells[1]), share_expected(one, other, sizes)
    measure = Measure(name=name, value=value, expected=expected, score=value - expected, p_value=share_tail(one, other, sizes))
    return ColumnTest(measure=measure, effect=SHARE_EFFECT, of_shares=True)


def alone_tests(reference: CategoryProfile, current: CategoryProfile, units: tuple[float, float]) -> tuple[ColumnTest, ...]:
    """The tests of the share of cells with a name that the reference lacks (`unseen`), and of the reference's cells with a name
    that the current side lacks (`vanished`): `frequent` says little of names that are all rare.

    `units` as in `share_test`. Empty where there is nothing to ask.
    """
    r, c = sampled_categories(reference, current)
    if not r.sum() or not c.sum():
        return ()
    sizes = Sizes(reference=max(round(int(r.sum()) * units[0]), 1), current=max(round(int(c.sum()) * units[1]), 1))
    pooled = in_units(r, c, sizes)
    if pooled.dtype.kind == "f":
        pooled, _, sizes = in_lumps(pooled, sizes)
    swapped = Sizes(reference=sizes.current, current=sizes.reference)
    asked = (("unseen", c, r == 0, sizes), ("vanished", r, c == 0, swapped))
    return tuple(_alone_test(name, side, alone, pooled, of) for name, side, alone, of in asked)


def _alone_test(name: str, side: np.ndarray, alone: np.ndarray, pooled: np.ndarray, sizes: Sizes) -> ColumnTest:
    found = unseen_by_chance(pooled, alone, sizes)
    value, expected = float(side[alone].sum() / side.sum()), min(found.expected / sizes.current, 1.0)
    measure = Measure(name=name, value=value, expected=expected, score=value - expected, p_value=found.p_value)
    return ColumnTest(measure=measure, effect=SHARE_EFFECT, of_shares=True)


def _unordered(
    method: str, r: np.ndarray, c: np.ndarray, limits: tuple[float, float | None], sizes: Sizes, deck: Deck
) -> ColumnTest:
    distance, power = UNORDERED[method]
    return _dealt(method, float(distance(r, c)), partial(calibrated, distance, power, r, c, sizes), len(r), limits, deck)


def _dealt(
    method: str,
    value: float,
    calibrate: Callable[[Iterable[Deck]], NoDrift],
    cells: int,
    limits: tuple[float, float | None],
    deck: Deck,
) -> ColumnTest:
    test = _test(method, value, limits, lambda: calibrate([deck]))
    return test if test.fixed else replace(test, again=lambda: calibrate(more_decks(deck.seed)), cells=MORE_DEALS * cells)


def _test(name: str, value: float, limits: tuple[float, float | None], calibrate: Callable[[], NoDrift]) -> ColumnTest:
    effect, threshold = limits
    if threshold is not None:
        return ColumnTest(measure=Measure(name=name, value=value, score=value), effect=threshold, fixed=True)
    found = calibrate()
    measure = Measure(name=name, value=value, expected=found.expected, score=value - found.expected, p_value=found.p_value)
    return ColumnTest(measure=measure, effect=effect)


def _scale(reference: NumberProfile, current: NumberProfile) -> float:
    """The reference's standard deviation; where it has none, that of both together; where neither varies, 1."""
    with np.errstate(over="ignore", invalid="ignore"):
        if reference.std:
            return reference.std
        filled = reference.filled + current.filled
        mean = float(reference.sums.sum() + current.sums.sum()) / filled
        return float(np.sqrt(max((reference.squares + current.squares) / filled - mean * mean, 0.0))) or 1.0
