"""Has a table drifted? Distances of its columns' profiles, alarms at a stated rate.

A column has drifted when one of its tests is *significant* and its effect is *large enough*.

**Tests.** Of each column, the distance that its rule names: by default `ks` for numbers and dates, `jensen_shannon` for
categories, and the measures of `text_drift` for texts. Beside it the share of empty cells, where there are any, that of
infinite values, and those of categories that only one side has. Each gives a p-value for "both samples come from one
distribution" (see `keepfit.stats.calibrate`). Holm's method (1979) over all of them together keeps the chance of any false alarm in
the table at `Rules.false_alarms` or below, however the columns depend on each other.

**Effect.** The score of a distance is what it exceeds its mean without drift by, at these sample sizes, so that 0 means nothing at
any size. It has to reach the rule's effect; a share of empty, infinite or new cells has to move by `SHARE_EFFECT`; texts have
effects of their own. With a million rows everything is significant, and little of it matters.

**A fixed threshold** takes the place of both for the column's distance: it is held against the threshold as it is, without p-value.
How often that alarms without any drift depends on the sample size. Empty and infinite cells are judged as ever.

**Repeated looks** at one reference spend the rate: see `spent`.

A column of another kind, or one that is gone, has drifted without any test (method "type").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from keepfit.records import ColumnDrift
from keepfit.stats.calibrate import Deck, Sizes
from keepfit.stats.categories import CategoryProfile, distinct
from keepfit.stats.column_tests import ColumnTest, alone_tests, category_test, method_of, number_test, share_test
from keepfit.stats.compare import spent_alpha
from keepfit.stats.findings import beyond_range, changed_names, moved, time_zones, unread_cells
from keepfit.stats.numbers import NumberProfile
from keepfit.stats.profile import TableProfile, UnreadProfile, mismatch

DEALT_AGAIN = 30_000_000  # cells dealt in all for tests near the decision; some seconds
ALL_DIFFERENT = 0.85  # of the cells of a category that name something of their own: then names tell nothing
FEWEST_UNITS = 5  # independent groups on a side below which nothing can be told
FACTOR = 10.0  # by which the p-value of a few deals may be too small near the decision
NEAR, FAR = 10.0, 1e-9  # times the level: between them a p-value is not left to few deals


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How a column is judged."""

    method: str = "auto"  # ks, wasserstein, psi, jensen_shannon, chi_square; one that does not suit the kind counts as auto
    effect: float = 0.1  # smallest score that counts
    threshold: float | None = None  # the distance that counts, whatever the sample size; None: calibrated
    ignore: bool = False


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How a table is judged."""

    false_alarms: float = 0.01  # how often any column may be found to have drifted where none has
    default: Rule = Rule()
    columns: Mapping[str, Rule] = field(default_factory=dict)  # in place of `default`
    min_rows: int = 30  # cells with a value, on either side, below which a column is too little evidence


def drift_of(
    reference: TableProfile,
    current: TableProfile,
    rules: Rules,
    *,
    importance: Mapping[str, float] | None = None,
    units: tuple[int, int] | None = None,
    seed: int = 0,
) -> tuple[ColumnDrift, ...]:
    """Judge every column of two profiles with one layout; those that drifted first, by importance, then by score.

    Args:
        importance: of columns to the model, 0 to 1, for the order.
        units: independent units of reference and current where rows belong together, as Kish's effective number of groups,
            (sum of n)^2 / sum of n^2; None: the rows.
        seed: of the deals that calibrate. Equal arguments give equal results.

    Every number is finite or None. Raises `ValueError` when the profiles have different layouts.
    """
    look = _Look(reference=reference, current=current, rules=rules, units=units, deck=Deck(seed))
    names = [name for name in dict.fromkeys([*reference.columns, *current.columns]) if not look.rule(name).ignore]
    columns = [look.examined(name) for name in names]
    tests = iter(_settled([test for column in columns for test in column.tests], rules.false_alarms))
    level = rules.false_alarms / max(len(columns), 1)
    drifts = [_as_drift(column.judged(tests), level, (importance or {}).get(column.name)) for column in columns]
    return tuple(sorted(drifts, key=lambda drift: (not drift.drifted, -(drift.importance or 0.0), -(drift.score or 0.0))))


def spent(false_alarms: float, look: int) -> float:
    """What the k-th look at one reference may spend of a rate, k from 1: false_alarms / (k (k + 1)).

    These add up to `false_alarms` over all looks (union bound): a model whose inputs never drift is alarmed about with at most
    that chance in its whole life, however often it is looked at and however the looks depend on each other.

    >>> spent(0.01, 1)
    0.005
    """
    return spent_alpha(false_alarms, look)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for each other: whoever believes those at or below alpha errs anywhere with a chance of at most alpha.

    Holm (1979), step-down: the smallest of k is multiplied by k, the next by k - 1, and none is below the one before.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return [float(number) for number in np.minimum(adjusted, 1.0)]


# ----------------------------------------------------------------------------------------------------------- the columns


@dataclass(frozen=True, kw_only=True)
class _Column:
    """A column and what was asked of it."""

    name: str
    kind: str
    method: str
    reference: Any  # its profile, or None
    current: Any
    tests: tuple[ColumnTest, ...] = ()
    wrong: str = ""  # why it cannot even be compared, which is drift
    note: str = ""  # why it was not judged
    doubt: str = ""  # why finding no drift would say nothing

    def judged(self, tests: Iterator[ColumnTest]) -> _Column:
        """With its own of the settled tests."""
        settled = tuple(next(tests) for _ in self.tests)
        note = self.note if any(test.drifted for test in settled) else self.note or self.doubt
        return replace(self, tests=settled, note=note)


@dataclass(frozen=True, kw_only=True)
class _Look:
    """One table against another."""

    reference: TableProfile
    current: TableProfile
    rules: Rules
    units: tuple[int, int] | None
    deck: Deck

    def rule(self, name: str) -> Rule:
        return self.rules.columns.get(name, self.rules.default)

    def examined(self, name: str) -> _Column:
        """The column with its tests, or why there are none."""
        one, other = self.reference.columns.get(name), self.current.columns.get(name)
        column = _Column(name=name, kind=(one or other).kind, method="type", reference=one, current=other)  # type: ignore[union-attr]
        if one is None:
            return replace(column, note="not in the reference: there is nothing to compare it with")
        if isinstance(one, UnreadProfile):
            return replace(column, note=one.why)
        if other is None:
            return replace(column, wrong="the column is not in the new rows")
        if wrong := mismatch(one, other):
            return replace(column, wrong=wrong)
        column = replace(column, method="vocabulary" if one.kind == "text" else method_of(one.kind, self.rule(name).method))
        if self.current.rows < self.rules.min_rows:
            return replace(column, note=self._too_little(self.current.rows, "new rows"))
        shares = self._share_tests(one, other)
        if note := self._not_enough(one.filled, other.filled):
            return replace(column, note=note, tests=shares)
        values = self._value_tests(name, column.method, one, other)
        note = "" if values else f"not judged: {column.method} is undefined for these values"
        return replace(column, note=note, doubt=_doubt(one, other), tests=(*values, *shares))

    def _value_tests(self, name: str, method: str, one: Any, other: Any) -> tuple[ColumnTest, ...]:
        rule = self.rule(name)
        if one.kind == "text":
            return self._text_tests(name, one, other)
        units, limits = self._units_a_cell(), (rule.effect, rule.threshold)
        sizes = Sizes(reference=max(round(one.filled * units[0]), 1), current=max(round(other.filled * units[1]), 1))
        if isinstance(one, NumberProfile):
            test = number_test(one, other, method, limits, sizes, self.deck)
        else:
            test = category_test(one, other, method, limits, sizes, self.deck)
        alone = alone_tests(one, other, units) if one.kind == "category" else ()
        return (test, *alone) if test else alone

    def _text_tests(self, name: str, one: Any, other: Any) -> tuple[ColumnTest, ...]:
        from keepfit.stats.text_drift import EFFECTS, text_drift  # not every table has texts

        rule, usual = self.rule(name), self.rules.default
        own = rule.effect != usual.effect  # the effect for tables is too coarse for texts, unless it was meant for this column
        measures = text_drift(one, other, seed=self.deck.seed, units=self.units)
        return tuple(
            ColumnTest(measure=measure, effect=rule.effect if own else EFFECTS[measure.name])
            for measure in measures
            if measure.p_value is not None and measure.score is not None
        )

    def _share_tests(self, one: Any, other: Any) -> tuple[ColumnTest, ...]:
        units, cells = self._units_a_cell(), (_cells(one), _cells(other))
        tests = [share_test("missing", (one.missing, other.missing), cells, units)]
        if isinstance(one, NumberProfile):
            tests.append(share_test("infinite", (one.infinite, other.infinite), cells, units))
        return tuple(test for test in tests if test)

    def _units_a_cell(self) -> tuple[float, float]:
        if self.units is None:
            return 1.0, 1.0
        one, other = self.units
        return min(one / max(self.reference.rows, 1), 1.0), min(other / max(self.current.rows, 1), 1.0)

    def _not_enough(self, reference: int, current: int) -> str:
        if not reference or not current:
            sides = [name for name, filled in (("reference", reference), ("new rows", current)) if not filled]
            return f"no values in the {' and the '.join(sides)}"
        if current < self.rules.min_rows:
            return self._too_little(current, "new values")
        if reference < self.rules.min_rows:
            return self._too_little(reference, "values in the reference")
        fewest = min(self.units) if self.units is not None else FEWEST_UNITS
        return "" if fewest >= FEWEST_UNITS else f"too little evidence: {fewest} groups on a side, {FEWEST_UNITS} are needed"

    def _too_little(self, found: int, what: str) -> str:
        return f"too little evidence: {found} {what}, {self.rules.min_rows} are needed"


def _doubt(one: Any, other: Any) -> str:
    """Why nothing can be told from values like these where no drift was found; empty where something can."""
    if one.kind == "category" and min(distinct(one), distinct(other)) >= ALL_DIFFERENT:
        return "not judged: nearly every cell is different, as in a column of ids"
    if one.kind == "number" and (one.blurred or other.blurred):
        return "not judged: the numbers differ in digits beyond the 16 that are compared only"
    return ""


def _cells(profile: Any) -> int:
    """Cells of a column, whatever they hold."""
    return int(profile.filled + profile.missing + getattr(profile, "infinite", 0) + getattr(profile, "unread", 0))


# ----------------------------------------------------------------------------------------------------------- all together


def _settled(tests: list[ColumnTest], alpha: float) -> list[ColumnTest]:
    """The tests with p-values adjusted for each other; those near the decision are calibrated better before."""
    tests = _adjusted(tests, alpha)
    near = [
        place
        for place, test in enumerate(tests)
        if test.again and test.enough and test.adjusted is not None and FAR * alpha <= test.adjusted <= NEAR * alpha
    ]
    dealt = 0
    for place in sorted(near, key=lambda place: abs(np.log((tests[place].adjusted or 1.0) / alpha))):
        dealt += tests[place].cells
        tests[place] = tests[place].recalibrated() if dealt <= DEALT_AGAIN else tests[place].doubted(FACTOR)
    return _adjusted(tests, alpha) if near else tests


def _adjusted(tests: list[ColumnTest], alpha: float) -> list[ColumnTest]:
    adjusted = iter(holm([test.measure.p_value for test in tests if test.measure.p_value is not None]))
    found = [None if test.measure.p_value is None else next(adjusted) for test in tests]
    return [
        replace(test, adjusted=p_value, significant=p_value is not None and p_value <= alpha)
        for test, p_value in zip(tests, found, strict=True)
    ]


def _as_drift(column: _Column, level: float, importance: float | None) -> ColumnDrift:
    """The record of a judged column. The test that decided is one that found drift, of the values rather than of shares."""
    one, other = column.reference, column.current
    found = [test for test in column.tests if test.drifted]
    asked = found or ([] if column.note else [test for test in column.tests if not test.of_shares])
    decided = min(asked, key=lambda test: (test.of_shares, test.adjusted or 0.0), default=None)
    return ColumnDrift(
        name=column.name,
        kind=column.kind,
        method=decided.measure.name if decided else column.method,
        score=decided.measure.score if decided else None,
        threshold=decided.effect if decided else None,
        p_value=decided.adjusted if decided else None,
        drifted=bool(found or column.wrong),
        reference=one.filled if one else 0,
        current=other.filled if other else 0,
        missing_reference=one.missing / max(_cells(one), 1) if one else 0.0,
        missing_current=other.missing / max(_cells(other), 1) if other else 0.0,
        importance=importance,
        measures=tuple(test.measure for test in column.tests),
        findings=tuple(_findings(column, level)),
        note=column.note,
    )


def _findings(column: _Column, level: float) -> list[str]:
    if column.wrong:
        return [column.wrong]
    one, other, said = column.reference, column.current, []
    for test in column.tests:
        if test.measure.name in ("missing", "infinite") and test.significant:
            what, marked = ("empty cells", "missing") if test.measure.name == "missing" else ("infinite values", "infinite")
            said.append(moved(what, getattr(one, marked) / _cells(one), getattr(other, marked) / _cells(other)))
    if isinstance(one, (NumberProfile, CategoryProfile)) and isinstance(other, type(one)):
        said += unread_cells(one, other, level)
    if column.note or not column.tests:
        return said
    if isinstance(one, NumberProfile):
        said += [*time_zones(one, other), *beyond_range(one, other, level)]
    elif isinstance(one, CategoryProfile):
        said += changed_names(one, other, level)
    return said
