"""How probable classes are, given how sure a champion is: its word, recalibrated on held-out rows.

Confidence-based estimation, as in NannyML's CBPE. The log-odds that a row is of class c are a continuous, piecewise linear
function of the champion's own log-odds x,

    logit P(c) = b_0 + b_1 x + sum_k b_k max(x - knot_k, 0),

fitted by penalised likelihood, with prior means (0, 1, 0, ...): what held-out rows do not speak of is left as the champion says
it. One slope is Platt's scaling (1999); the more rows, the more knots, at most `KNOTS`. Unlike isotonic regression it goes on
beyond the odds that the held-out rows have shown, which is where rows go that shift. With more than two classes, x is taken
after one temperature for all of them (Guo et al. 2017), each class is calibrated against the rest, and they are scaled to sum
to 1 (Zadrozny and Elkan 2002).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit, log_softmax, logit, softmax

from keepfit.ports import Predictions
from keepfit.stats.estimate import DRAWS, correlation, fates
from keepfit.stats.resample import weights
from keepfit.stats.units import divide, encode

KNOTS = 4  # most bends of a calibration
ROWS_PER_KNOT = 50  # rows of the rarer side, of the class or not, for each bend
BINS = 100  # the champion's log-odds are told apart this finely
SURE = 1e-4  # a probability nearer to 0 or 1 counts as this far away
SPREADS = (3.0, 3.0, 1.0)  # prior standard deviations of intercept, slope and bends
_TEMPERATURES = np.geomspace(0.1, 10, 47)
_ITERATIONS = 15


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
            drawn = fates(len(said), members, self.together, generator)
            yield names[_classes_drawn(probable, np.ones_like(said) if self.by_class else said, drawn)]

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


def _classes_drawn(probable: np.ndarray, first: np.ndarray, fate: np.ndarray) -> np.ndarray:
    """The class of each row by its fate, 0 to 1. Low fates mean the class `first` (rows,), -1 for none: with the champion's word
    there, the rows of a group, whose fates are alike, are right or wrong together."""
    chance = _chance(probable, first)
    others = probable.copy()
    known = np.flatnonzero(first >= 0)
    others[known, first[known]] = 0.0
    sums = others.cumsum(axis=1)
    place = (fate - chance) / np.maximum(1 - chance, 1e-12) * sums[:, -1]
    elsewhere = np.minimum((sums <= place[:, None]).sum(axis=1), probable.shape[1] - 1)
    return np.where(fate < chance, first, elsewhere)


def _chance(probable: np.ndarray, of: np.ndarray) -> np.ndarray:
    """How probable the class `of` (rows,) is; 0 for -1."""
    return np.where(of < 0, 0.0, probable[np.arange(len(of)), of])


def _alike(probable: np.ndarray, true: np.ndarray, of: np.ndarray, groups: np.ndarray) -> float:
    """How correlated it is within groups whether a row is of the class `of` (rows,): that of the normal variables behind it, by
    the formula for halves."""
    chance = _chance(probable, of)
    found = correlation(np.asarray(true == of, dtype=float) - chance, np.sqrt(chance * (1 - chance)), groups)
    return float(np.sin(np.pi / 2 * found))
