"""Is the challenger better? The gates, on rows that neither model was trained on.

| gate | the challenger passes when | test |
|---|---|---|
| `greater` | difference > 0 | none: a coin's toss between equal models |
| `min_gain` | difference > margin | none |
| `superior` | difference > margin is shown at alpha | exact McNemar for the accuracy of independent rows, else bootstrap |
| `non_inferior` | difference > -margin is shown at alpha | bootstrap; binomial where the models hardly disagree |

The difference is positive when the challenger is better, whichever way the metric points. Both models are judged on the same
rows and resampled by the same weights (paired), by groups where rows belong together. A gate with a test has three answers:
passed; rejected, when the two-sided interval lies on the wrong side of what was to be shown; and inconclusive, with an estimate
of how much data would settle it. The interval has its own level: at 0.95 it lies above 0 when the one-sided p is below 0.025.

Measured on simulated holdouts of two equal models, `superior` at 5 % promotes the challenger in 4.3 % of them by McNemar (2,000
rows, 10 % disagreement; `greater` in 48 %), in 4.2 % with 8 groups, 4.3 to 4.8 % with 100, and in 4.5 and 4.8 % by the absolute
error of 10 and 100 rows. With `spent_alpha`, 4.0 % of champions are wrongly replaced in 52 comparisons, without it 90 %. With
2 % disagreement `superior` finds a true gain of half a point with 5,300 rows four times in five; `non_inferior` at one point
passes an equal model with 1,240 rows in 78 %, and one that is a point worse in 4.8 %.

With m units on which two equally good models differ, all of them favour the challenger with probability 2^-m; no p-value below
that is ever reported, whatever a curve's tail says.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2

import numpy as np
from scipy.special import bdtr, ndtri

from keepfit.errors import ConfigError
from keepfit.ports import Statistics
from keepfit.records import Conclusion, Interval
from keepfit.stats.resample import Distribution
from keepfit.stats.resample import difference as resampled_difference
from keepfit.stats.slices import compare_slices, meets
from keepfit.stats.units import differing, independent, left_out, value

__all__ = ["Comparison", "Flips", "compare", "compare_slices", "flips", "mcnemar", "meets", "spent_alpha"]

GATES = ("greater", "min_gain", "superior", "non_inferior")
FEW_FLIPS = 10  # below, non-inferiority of accuracy is shown by an exact binomial bound
POWER = 0.8  # what "would settle it" means
ROUNDING = 1e-12  # differences below are those of floating point
TOO_MANY = 100_000_000  # units; nobody collects more to settle a comparison
_TESTS = {"mcnemar": "exact McNemar", "bootstrap": "paired bootstrap", "binomial": "exact binomial bound"}


@dataclass(frozen=True)
class Flips:
    """Rows on which two models do not do the same."""

    negative: int  # the champion right, the challenger wrong
    positive: int  # the champion wrong, the challenger right
    n: int  # rows in all


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What a gate found."""

    gate: str
    passed: bool
    conclusion: Conclusion
    reason: str  # a sentence with the numbers
    champion: float | None  # the metric; None where it is undefined
    challenger: float | None
    difference: float | None  # positive: the challenger is better, whichever way the metric points
    interval: Interval | None  # of the difference, two-sided
    test: str | None  # mcnemar, bootstrap, binomial; None for a gate without a test, or when none was possible
    p_value: float | None  # one-sided
    units: int  # independent rows or groups


def compare(
    *,
    gate: str,
    champion: Statistics,
    challenger: Statistics,
    greater_is_better: bool,
    margin: float = 0.0,
    alpha: float = 0.05,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    flips: Flips | None = None,
    metric: str = "the metric",
    unit: str = "rows",
) -> Comparison:
    """Put the challenger through a gate.

    Args:
        gate: one of `GATES`.
        champion, challenger: the same metric on the same units.
        margin: in units of the metric; the least gain (`min_gain`, `superior`) or the largest loss (`non_inferior`).
        alpha: largest one-sided p-value that passes; see `spent_alpha`.
        level: of the two-sided interval.
        resamples, seed: of the bootstrap. Equal arguments give equal results.
        flips: only when the metric is the accuracy of independent rows; allows the exact tests.
        metric, unit: what the reason calls the metric and its units, "rows" or "groups".

    Undefined metrics, and fewer than two units, are inconclusive. Raises `ConfigError` for a gate that does not exist,
    `ValueError` when the two do not rest on the same units.
    """
    if gate not in GATES:
        raise ConfigError(f"There is no gate {gate!r}: choose one of {', '.join(GATES)}.")
    before, after = value(champion), value(challenger)
    missing = _missing(before, after, metric)
    lower, higher = (champion, challenger) if greater_is_better else (challenger, champion)
    found = resampled_difference(lower, higher, resamples, seed)
    case = _Case(
        gate=gate,
        bound={"greater": 0.0, "non_inferior": -margin}.get(gate, margin),
        alpha=alpha,
        level=level,
        difference=None if missing else _gain(before, after, greater_is_better),
        found=found,
        interval=found.interval(level) if found else None,
        flips=flips,
        differing=flips.negative + flips.positive if flips else differing(champion, challenger),
        units=independent(champion),
        unit=unit,
    )
    conclusion, test, p_value = case.judge()
    return Comparison(
        gate=gate,
        passed=conclusion is Conclusion.PASSED,
        conclusion=conclusion,
        reason=missing or _reason(case, conclusion, test, p_value, _said(metric, before, after)) + _left_out(champion, challenger),
        champion=before,
        challenger=after,
        difference=case.difference,
        interval=case.interval,
        test=test,
        p_value=p_value,
        units=case.units,
    )


def flips(truth: np.ndarray, champion: np.ndarray, challenger: np.ndarray) -> Flips:
    """Count the rows that only one of two models has right. All are labels, (n,).

    >>> flips(np.array(["a", "a", "b"]), np.array(["a", "b", "a"]), np.array(["b", "b", "b"]))
    Flips(negative=1, positive=1, n=3)
    """
    before, after = np.asarray(champion == truth, dtype=bool), np.asarray(challenger == truth, dtype=bool)
    return Flips(int((before & ~after).sum()), int((~before & after).sum()), len(truth))


def mcnemar(negative: int, positive: int) -> float:
    """The exact one-sided p-value that the challenger is right more often: P(X >= positive), X ~ Binomial(flips, 1/2).

    McNemar (1947), conditional on the rows where the models disagree; 1 without any. The exact value, not mid-p: its level is
    never above the stated one, and a wrong promotion costs more than a late one.

    >>> mcnemar(1, 8)
    0.01953125
    """
    return float(bdtr(negative, negative + positive, 0.5))


def spent_alpha(alpha: float, comparison: int) -> float:
    """What the k-th challenger of a champion is held against: alpha / (k (k + 1)), k from 1.

    These add up to alpha over k = 1, 2, ...: by the union bound (Bonferroni), which asks nothing of how the comparisons depend
    on each other, a champion is wrongly replaced with a probability of at most alpha in its whole life, however often it is
    challenged.

    >>> [round(1 / spent_alpha(1.0, k)) for k in (1, 2, 3)]
    [2, 6, 12]
    """
    return alpha / (comparison * (comparison + 1))


# -------------------------------------------------------------------------------------------------------------- the gates


@dataclass(frozen=True, kw_only=True)
class _Case:
    """What a gate looks at."""

    gate: str
    bound: float  # the difference must be shown to lie above
    alpha: float
    level: float
    difference: float | None  # positive: the challenger is better
    found: Distribution | None  # of the difference, in resamples
    interval: Interval | None
    flips: Flips | None
    differing: int  # units on which the models do not do the same
    units: int
    unit: str

    def judge(self) -> tuple[Conclusion, str | None, float | None]:
        """Conclusion, test and p-value."""
        if self.difference is None:
            return Conclusion.INCONCLUSIVE, None, None
        if self.gate in ("greater", "min_gain"):
            return Conclusion.PASSED if self.difference - self.bound > ROUNDING else Conclusion.REJECTED, None, None
        test, p_value = self.test()
        if p_value is not None and p_value <= self.alpha and self.units > 1:
            return Conclusion.PASSED, test, p_value
        return Conclusion.REJECTED if self._shown_worse() else Conclusion.INCONCLUSIVE, test, p_value

    def test(self) -> tuple[str | None, float | None]:
        """The test that fits, and its one-sided p-value of "the difference is at most `bound`"."""
        if self.flips and self.gate == "superior" and self.bound == 0:
            return "mcnemar", mcnemar(self.flips.negative, self.flips.positive)
        if self.flips and self.gate == "non_inferior" and self.differing < FEW_FLIPS:
            return "binomial", _loss_at_least(-self.bound, self.flips)
        if self.found is None:
            return None, None
        return "bootstrap", max(self.found.p_value(self.bound), 0.5 ** self.able())

    def able(self) -> int:
        """How many units can speak for the challenger: no p-value is below 2 to the minus that."""
        return self.units if self.gate == "non_inferior" else self.differing

    def _shown_worse(self) -> bool:
        if self.interval is None:
            return False
        return self.interval.high < self.bound if self.gate == "non_inferior" else self.interval.high <= self.bound


def _gain(before: float | None, after: float | None, greater_is_better: bool) -> float | None:
    if before is None or after is None:
        return None
    return after - before if greater_is_better else before - after


def _loss_at_least(margin: float, flips: Flips) -> float:
    """The exact p-value of "accuracy falls by `margin` or more", for the few flips of which a bootstrap knows too little.

    A fall by `margin` takes at least that share of negative flips, so P(X <= negative), X ~ Binomial(n, margin), is never too
    small, whatever the share of positive flips. Without any negative flip it is (1 - margin)^n, the "rule of three".
    """
    return float(bdtr(flips.negative, flips.n, min(max(margin, 0.0), 1.0)))


# -------------------------------------------------------------------------------------------------------------- in words


def _reason(case: _Case, conclusion: Conclusion, test: str | None, p_value: float | None, said: str) -> str:
    spread = ""
    if case.interval:
        spread = f" ({100 * case.level:.4g} % interval {case.interval.low:+.4g} to {case.interval.high:+.4g})"
    start = f"{said}, a difference of {case.difference:+.4g}{spread} on {case.units:,} {case.unit}"
    if case.gate in ("greater", "min_gain"):
        return f"{start}; the gate {case.gate} asks for more than {case.bound:.4g}."
    claim = f"a gain above {case.bound:.4g}" if case.gate == "superior" else f"a loss below {-case.bound:.4g}"
    if p_value is not None:
        start += f"; for {claim}, p = {p_value:.2g} ({_TESTS[test or '']}) where at most {case.alpha:.2g} passes"
    if conclusion is Conclusion.PASSED:
        return f"{start}: shown."
    if conclusion is Conclusion.REJECTED:
        return f"{start}: the interval rules it out."
    return f"{start}: not settled. {_what_would_settle(case, test)}"


def _what_would_settle(case: _Case, test: str | None) -> str:
    """Why nothing was shown, and roughly how much data would be needed."""
    if case.units < 2:
        return f"Fewer than two {case.unit} cannot show a difference."
    if test == "binomial":
        return _rows_for_binomial(case)
    if not case.differing:
        return f"The two do the same on all {case.units:,} {case.unit}: there is nothing to choose between."
    if case.found is None and test is None:
        return "In too many resamples the metric is undefined: more of the rare class is needed."
    least = ceil(log2(1 / case.alpha))
    if case.able() < least:
        what = f"{case.unit} are there" if case.gate == "non_inferior" else f"{case.unit} differ between the two"
        return f"Only {case.able()} {what}; with fewer than {least} no test can reach {case.alpha:.2g}."
    return _estimate(case)


def _rows_for_binomial(case: _Case) -> str:
    if case.bound >= 0:
        return "With a margin of 0 this cannot be shown while the two hardly differ."
    rows = ceil(np.log(case.alpha) / np.log1p(case.bound))
    return f"With so few differences it takes at least {rows:,} {case.unit}, and more if any was lost (an estimate)."


def _estimate(case: _Case) -> str:
    """n (z (1 - alpha) + z (power))^2 (error / distance)^2, the usual sample size of a one-sided z-test."""
    if case.difference is None or case.found is None or not case.found.error:
        return ""
    distance = case.difference - case.bound
    if abs(distance) <= ROUNDING:
        return f"At the observed difference no number of {case.unit} would settle it."
    tail = case.alpha if distance > 0 else (1 - case.level) / 2
    needed = case.units * ((float(ndtri(1 - tail)) + float(ndtri(POWER))) * case.found.error / distance) ** 2
    if needed > TOO_MANY:
        return f"At the observed difference more than {TOO_MANY:,} {case.unit} would be needed."
    return f"If the observed difference is the true one, about {_rounded(needed):,} {case.unit} would settle it (an estimate)."


def _rounded(number: float) -> int:
    """Up to two digits that count."""
    step = 10 ** max(int(np.log10(number)) - 1, 0)
    return int(round(number / step) * step)


def _said(metric: str, before: float | None, after: float | None) -> str:
    return f"{metric} {after:.4g} against the champion's {before:.4g}"


def _missing(before: float | None, after: float | None, metric: str) -> str | None:
    who = [name for name, number in (("champion", before), ("challenger", after)) if number is None]
    return f"{metric} is undefined for the {' and the '.join(who)} on this holdout, so nothing is shown." if who else None


def _left_out(champion: Statistics, challenger: Statistics) -> str:
    before, after = left_out(champion), left_out(challenger)
    if not before and not after:
        return ""
    return f" Left out where the metric is undefined: {before} groups for the champion, {after} for the challenger."
