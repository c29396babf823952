"""What a metric probably is on rows whose labels have not come: truths are drawn that fit what is known, and the metric is
taken of each draw.

Held-out labelled rows of the champion's own time tell how its word and the truth go together. New rows get truths drawn from
that, `DRAWS` times over, each time from held-out units drawn again with replacement (a bootstrap). So any metric can be
estimated, the user's own too: the mean over the draws is the estimate, and their spread holds both the chance in the labels and
what the held-out rows leave open. The interval is one for the value that the labels of these very rows will show.

**Classes** (confidence-based estimation, as in NannyML's CBPE). The log-odds that a row is of class c are a continuous, piecewise
linear function of the champion's own log-odds x,

    logit P(c) = b_0 + b_1 x + sum_k b_k max(x - knot_k, 0),

fitted by penalised likelihood, with prior means (0, 1, 0, ...): what held-out rows do not speak of is left as the champion says
it. One slope is Platt's scaling (1999); the more rows, the more knots, at most `KNOTS`. Unlike isotonic regression it goes on
beyond the odds that the held-out rows have shown, which is where rows go that shift. With more than two classes, x is taken
after one temperature for all of them (Guo et al. 2017), each class is calibrated against the rest, and they are scaled to sum
to 1 (Zadrozny and Elkan 2002).

**Numbers** (direct loss estimation). A model of the champion's losses, fitted to other held-out rows than it is asked of, gives
the size s of a row's error. Truths are prediction + c s r, r being a held-out row's error over its own s, drawn anew. The factor
c makes held-out rows have the mean loss that they had (a ratio estimate), so the loss model tells apart rows, and its bias does
not count.

**Groups.** Rows that belong together are right or wrong together. Held-out groups are resampled whole, and the draws within a
group share a normal variable (a Gaussian copula) with the correlation of held-out groups.

**Assumption.** The truth still depends on the inputs as it did: covariate shift is followed, concept drift is not seen. No
calculation without labels can see it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit, log_softmax, logit, ndtr, softmax

from keepfit.ports import Predictions
from keepfit.records import Interval
from keepfit.stats.resample import UNDEFINED, Distribution, weights
from keepfit.stats.units import Units, divide, encode

DRAWS = 200
KNOTS = 4  # most bends of a calibration
ROWS_PER_KNOT = 50  # rows of the rarer side, of the class or not, for each bend
BINS = 100  # the champion's log-odds are told apart this finely
SURE = 1e-4  # a probability nearer to 0 or 1 counts as this far away
SPREADS = (3.0, 3.0, 1.0)  # prior standard deviations of intercept, slope and bends
_TEMPERATURES = np.geomspace(0.1, 10, 47)
_ITERATIONS = 15
_LARGEST_CORRELATION = 0.95
_SMALLEST_SIZE = 0.05  # of a row's error, as a share of the mean: keeps quotients finite


# ------------------------------------------------------------------------------------------------------------- the result


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


# ---------------------------------------------------------------------------------------------------------------- classes


@dataclass(frozen=True, eq=False, kw_only=True)
class Calibration:
    """How probable classes are, given what a champion says, by held-out rows drawn again and again."""

    classes: tuple[str, ...]
    curves: tuple[Curve, ...]  # one for the second of two classes, else one a class
    power: float  # what the champion's probabilities are raised to first, where there are more than two classes
    together: float  # correlation within groups, 0 to 1
    by_class: bool  # what is correlated: whether a row is of the second class, rather than whether the champion is right
    units: int  # independent held-out rows or groups

    def probabilities(self, predictions: Predictions) -> np.ndarray:
        """The calibrated probabilities, (n, classes), by the held-out rows as they are."""
        return self._probabilities(log_odds(predictions, self.classes, self.power), 0)

    def truths(self, predictions: Predictions, groups: np.ndarray | None = None, seed: int = 0) -> Iterator[np.ndarray]:
        """Labels (n,) as text, as probable as the calibration of each draw says."""
        generator = np.random.default_rng(seed)
        odds, said = log_odds(predictions, self.classes, self.power), codes(predictions.values, self.classes)
        names = np.array(self.classes, dtype=object)
        members = None if groups is None else encode(groups)
        for draw in range(1, len(self.curves[0].coefficients)):
            probable = self._probabilities(odds, draw)
            fates = _fates(len(said), members, self.together, generator)
            yield names[_classes_drawn(probable, np.ones_like(said) if self.by_class else said, fates)]

    def _probabilities(self, odds: np.ndarray, draw: int) -> np.ndarray:
        if len(self.curves) == 1:
            second = self.curves[0].at(odds[:, 1], draw)
            return np.column_stack([1 - second, second])
        each = np.column_stack([curve.at(odds[:, place], draw) for place, curve in enumerate(self.curves)])
        return np.asarray(each / each.sum(axis=1, keepdims=True))


@dataclass(frozen=True, eq=False)
class Curve:
    """One class's probability as a function of the champion's log-odds."""

    knots: np.ndarray  # (k,)
    coefficients: np.ndarray  # (1 + draws, 2 + k); the first of the held-out rows as they are

    def at(self, odds: np.ndarray, draw: int) -> np.ndarray:
        """The probabilities (n,) at these log-odds (n,)."""
        return np.asarray(expit(_basis(odds, self.knots) @ self.coefficients[draw]))


def calibrate(
    predictions: Predictions, truth: np.ndarray, groups: np.ndarray | None = None, *, draws: int = DRAWS, seed: int = 0
) -> Calibration:
    """Learn from held-out rows how probable classes are. `truth` (n,) labels as text, `groups` (n,) or None.

    Needs probabilities or decision values, see `scored`, and labels of two classes. Labels that the champion does not know are
    classes too, of which it says 0.
    """
    classes = tuple(dict.fromkeys([*predictions.classes, *np.asarray(truth).tolist()]))
    power = _power(predictions, truth, classes) if len(classes) > 2 else 1.0
    odds, units = log_odds(predictions, classes, power), divide(len(truth), groups)
    again = [np.ones((1, units.count)), *weights(units.count, draws, seed)]
    drawn = np.concatenate(again)[:, units.of_row]  # (1 + draws, n): how often each row counts
    places = [1] if len(classes) == 2 else range(len(classes))
    curves = tuple(_curve(odds[:, place], np.asarray(truth == classes[place]), drawn) for place in places)
    plain = Calibration(classes=classes, curves=curves, power=power, together=0.0, by_class=False, units=units.independent)
    if groups is None:
        return plain
    probable, true, said = plain.probabilities(predictions), codes(truth, classes), codes(predictions.values, classes)
    right = _alike(probable, true, said, groups)
    second = _alike(probable, true, np.ones_like(said), groups) if len(classes) == 2 else 0.0
    return replace(plain, together=max(right, second), by_class=second > right)


def scored(predictions: Predictions) -> bool:
    """Whether a champion says how sure it is of its classes."""
    return len(predictions.classes) > 1 and (predictions.probabilities is not None or predictions.decision is not None)


def log_odds(predictions: Predictions, classes: Sequence[str], power: float = 1.0) -> np.ndarray:
    """The champion's log-odds of each class against the rest, (n, classes), its probabilities raised to `power` first.

    Decision values stand for log-odds where there are no probabilities; what they lack in scale the calibration brings.
    """
    if len(classes) == 2:
        return _two_log_odds(predictions)
    logs = power * _log_probabilities(predictions, classes)
    return np.asarray(logit(np.clip(softmax(logs, axis=1), SURE, 1 - SURE)))


def _two_log_odds(predictions: Predictions) -> np.ndarray:
    """Of two classes, with what a champion says that knows no others."""
    if predictions.probabilities is not None:
        second = logit(np.clip(np.asarray(predictions.probabilities, dtype=float)[:, 1], SURE, 1 - SURE))
    else:
        decision = np.asarray(predictions.decision, dtype=float)
        second = np.clip(decision if decision.ndim == 1 else decision[:, 1] - decision[:, 0], *(logit([SURE, 1 - SURE])))
    return np.column_stack([-second, second])


def _log_probabilities(predictions: Predictions, classes: Sequence[str]) -> np.ndarray:
    found = np.full((len(predictions.values), len(classes)), np.log(SURE))
    if predictions.probabilities is not None:
        known = np.log(np.clip(np.asarray(predictions.probabilities, dtype=float), SURE, 1.0))
    else:
        decision = np.asarray(predictions.decision, dtype=float)
        known = log_softmax(np.column_stack([-decision, decision]) / 2 if decision.ndim == 1 else decision, axis=1)
    found[:, [classes.index(name) for name in predictions.classes]] = known
    return found


def _power(predictions: Predictions, truth: np.ndarray, classes: Sequence[str]) -> float:
    """The inverse temperature that makes the truths most likely."""
    logs, true = _log_probabilities(predictions, classes), codes(truth, classes)
    every = np.arange(len(true))
    likely = [float(log_softmax(power * logs, axis=1)[every, true].sum()) for power in _TEMPERATURES]
    return float(_TEMPERATURES[int(np.argmax(likely))])


def codes(labels: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """The place of each label (n,) among the classes; -1 for others."""
    places = {name: place for place, name in enumerate(classes)}
    return np.array([places.get(label, -1) for label in np.asarray(labels).tolist()], dtype=np.intp)


def _curve(odds: np.ndarray, of_class: np.ndarray, drawn: np.ndarray) -> Curve:
    """Fit one class. Log-odds are put into bins first, so that a draw costs as much as there are bins."""
    edges = np.unique(np.quantile(odds, np.linspace(0, 1, BINS + 1)[1:-1]))
    bins = np.searchsorted(edges, odds, side="left")
    count = len(edges) + 1
    filled = np.maximum(np.bincount(bins, minlength=count), 1)
    centres = np.bincount(bins, weights=odds, minlength=count) / filled
    knots = _knots(odds, int(min(of_class.sum(), (~of_class).sum())))
    rows = np.stack([np.bincount(bins, weights=row, minlength=count) for row in drawn])
    hits = np.stack([np.bincount(bins, weights=row * of_class, minlength=count) for row in drawn])
    return Curve(knots, _fit(_basis(centres, knots), rows, hits))


def _knots(odds: np.ndarray, rarer: int) -> np.ndarray:
    """Bends at equal shares of the rows, where the rows have different log-odds."""
    count = min(KNOTS, rarer // ROWS_PER_KNOT)
    inner = np.unique(np.quantile(odds, np.linspace(0, 1, count + 2)[1:-1])) if count else np.empty(0)
    return np.asarray(inner[(inner > odds.min()) & (inner < odds.max())])


def _basis(odds: np.ndarray, knots: np.ndarray) -> np.ndarray:
    return np.column_stack([np.ones(len(odds)), odds, np.maximum(odds[:, None] - knots, 0.0)])


def _fit(basis: np.ndarray, rows: np.ndarray, hits: np.ndarray) -> np.ndarray:
    """Penalised logistic regressions, one a line of `rows` and `hits` (fits, bins): (fits, columns).

    By Newton's method. A step that makes things worse, as from odds near certainty, is taken back and tried shorter.
    """
    columns = basis.shape[1]
    prior = np.eye(columns)[1]
    precision = np.array([*SPREADS[:2], *[SPREADS[2]] * (columns - 2)]) ** -2
    squares = (basis[:, :, None] * basis[:, None, :]).reshape(len(basis), -1)

    def likely(found: np.ndarray) -> np.ndarray:
        odds = found @ basis.T
        return np.asarray((hits * odds - rows * np.logaddexp(0, odds)).sum(axis=1) - (found - prior) ** 2 @ precision / 2)

    found, pace = np.zeros((len(rows), columns)), np.ones(len(rows))
    reached = likely(found)
    for _ in range(_ITERATIONS):
        probable = expit(found @ basis.T)
        slope = (hits - rows * probable) @ basis - precision * (found - prior)
        bend = ((rows * probable * (1 - probable)) @ squares).reshape(-1, columns, columns) + np.diag(precision)
        tried = found + pace[:, None] * np.linalg.solve(bend, slope[:, :, None])[:, :, 0]
        height = likely(tried)
        better = height >= reached
        found, reached = np.where(better[:, None], tried, found), np.maximum(height, reached)
        pace = np.where(better, np.minimum(2 * pace, 1.0), pace / 4)
    return found


def _classes_drawn(probable: np.ndarray, first: np.ndarray, fates: np.ndarray) -> np.ndarray:
    """The class of each row by its fate, 0 to 1. Low fates mean the class `first` (rows,), -1 for none: with the champion's word
    there, the rows of a group, whose fates are alike, are right or wrong together."""
    chance = _chance(probable, first)
    others = probable.copy()
    known = np.flatnonzero(first >= 0)
    others[known, first[known]] = 0.0
    sums = others.cumsum(axis=1)
    place = (fates - chance) / np.maximum(1 - chance, 1e-12) * sums[:, -1]
    elsewhere = np.minimum((sums <= place[:, None]).sum(axis=1), probable.shape[1] - 1)
    return np.where(fates < chance, first, elsewhere)


def _chance(probable: np.ndarray, of: np.ndarray) -> np.ndarray:
    """How probable the class `of` (rows,) is; 0 for -1."""
    return np.where(of < 0, 0.0, probable[np.arange(len(of)), of])


def _alike(probable: np.ndarray, true: np.ndarray, of: np.ndarray, groups: np.ndarray) -> float:
    """How correlated it is within groups whether a row is of the class `of` (rows,): that of the normal variables behind it, by
    the formula for halves."""
    chance = _chance(probable, of)
    found = _correlation(np.asarray(true == of, dtype=float) - chance, np.sqrt(chance * (1 - chance)), groups)
    return float(np.sin(np.pi / 2 * found))


# ---------------------------------------------------------------------------------------------------------------- numbers


@dataclass(frozen=True, eq=False, kw_only=True)
class Errors:
    """A champion's errors on held-out rows, and how large a loss model expected them to be."""

    errors: np.ndarray  # (n,) truth - prediction
    sizes: np.ndarray  # (n,) expected size, by a loss model that was not fitted to the row; only proportions count
    power: int  # 1: sizes are of absolute errors; 2: roots of expected squares
    units: Units
    together: float  # correlation within groups of the errors over their sizes

    def truths(
        self,
        predicted: np.ndarray,
        sizes: np.ndarray,
        groups: np.ndarray | None = None,
        *,
        draws: int = DRAWS,
        seed: int = 0,
    ) -> Iterator[np.ndarray]:
        """Numbers (n,) that lie about the predicted ones (n,) as errors lay on the held-out rows.

        `sizes` (models, n): the expected size of each row's error by several loss models, which take turns, so that what they
        do not agree on widens the interval.
        """
        generator = np.random.default_rng(seed)
        floor = _SMALLEST_SIZE * float(self.sizes.mean())
        members = None if groups is None else encode(groups)
        own, given = np.maximum(self.sizes, floor), np.maximum(sizes, floor)
        quotients = self.errors / own
        order = np.argsort(quotients, kind="stable")
        again = (row for piece in weights(self.units.count, draws, seed) for row in piece)
        for draw, counts in enumerate(again):
            often = counts[self.units.of_row]
            pool = np.repeat(quotients[order], often[order].astype(np.intp)) * self._factor(often, quotients, own)
            fates = _fates(len(predicted), members, self.together, generator)
            yield predicted + given[draw % len(given)] * pool[(fates * len(pool)).astype(np.intp)]

    def _factor(self, often: np.ndarray, quotients: np.ndarray, own: np.ndarray) -> float:
        """What makes rows that count `often` have the mean loss that they had."""
        real = float(often @ np.abs(self.errors) ** self.power) / often.sum()
        drawn = float(often @ own**self.power) * float(often @ np.abs(quotients) ** self.power) / often.sum() ** 2
        quotient = real / drawn if drawn > 0 else 0.0
        return quotient if self.power == 1 else float(np.sqrt(quotient))


def errors_of(
    predicted: np.ndarray, truth: np.ndarray, sizes: np.ndarray, groups: np.ndarray | None = None, *, power: int = 1
) -> Errors:
    """Learn from held-out rows. All arrays are (n,), finite, n at least 1; `sizes` as in `Errors`.

    Sizes that are all 0 or below count as equal.
    """
    errors = np.asarray(truth, dtype=float) - np.asarray(predicted, dtype=float)
    sizes = np.maximum(np.asarray(sizes, dtype=float), 0.0)
    sizes = sizes if sizes.any() else np.ones(len(errors))
    quotients = errors / np.maximum(sizes, _SMALLEST_SIZE * sizes.mean())
    together = 0.0
    if groups is not None:
        together = _correlation(quotients, np.full(len(errors), float(np.sqrt(np.mean(quotients**2)))), groups)
    return Errors(errors=errors, sizes=sizes, power=power, units=divide(len(errors), groups), together=together)


# ------------------------------------------------------------------------------------------------------------------ groups


def _fates(rows: int, members: tuple[np.ndarray, int] | None, together: float, generator: np.random.Generator) -> np.ndarray:
    """Uniform numbers (rows,), correlated within groups through normal variables. `members`: each row's group, and how many."""
    if members is None or not together:
        return generator.random(rows)
    of_row, count = members
    shared, own = generator.standard_normal(count), generator.standard_normal(rows)
    fates = ndtr(np.sqrt(together) * shared[of_row] + np.sqrt(1 - together) * own)
    return np.asarray(np.minimum(fates, 1 - 1e-16))


def _correlation(residuals: np.ndarray, spreads: np.ndarray, groups: np.ndarray) -> float:
    """sum_{i != j} e_i e_j / sum_{i != j} s_i s_j over pairs in one group, cut to 0 to 0.95; 0 without pairs."""
    of_row, count = encode(groups)

    def pairs(numbers: np.ndarray) -> float:
        within = np.bincount(of_row, weights=numbers, minlength=count)
        return float((within**2).sum() - (numbers**2).sum())

    possible = pairs(spreads)
    return float(np.clip(pairs(residuals) / possible, 0.0, _LARGEST_CORRELATION)) if possible > 1e-12 else 0.0
