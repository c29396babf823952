"""How probable it is that a model is right, given how sure it is: its confidence, calibrated on held-out rows.

Top-label calibration (Gupta and Ramdas 2022; Guo et al. 2017 call it confidence calibration): only the predicted class counts.
With x the model's own log-odds of the class that it predicts,

    logit P(right) = b_0 + b_1 x + sum_k b_k max(x - knot_k, 0),

fitted by penalised likelihood. The prior means are (0, 1, 0, ...) and the prior is narrow: few rows leave the model's own word
nearly as it is, many rows outvote it. The targets are Platt's (1999), (right + 1) / (right + 2) and 1 / (wrong + 2), so that no
number of right answers makes an error impossible. What comes out is made monotone (isotonic regression of the curve itself) and
kept in [1 / (n + 2), (n + 1) / (n + 2)] for n independent rows or groups: nothing is surer than the rows can show.

**Undefined cases.** With fewer than `FEWEST` rows, or groups, nothing is learnt and the model's own probability is given, held off
0 and 1 by `keepfit.stats.confidence.SURE`. No error at all among the rows is an ordinary case: Platt's targets and the bounds say
what that is worth. The calibration error is not measured on fewer than `MEASURED` rows.

Learning a confidence from the holdout changes no prediction, so no comparison that is made on the same holdout.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable

import numpy as np
from scipy.special import expit, logit

from keepfit.inputs import Confidence
from keepfit.ports import Predictions
from keepfit.stats.confidence import SURE, codes
from keepfit.stats.units import encode

FEWEST = 30  # independent rows or groups below which nothing is learnt
MEASURED = 100  # rows below which the calibration error is not measured
FOLDS = 5
KNOTS = 4  # most bends
WRONG_PER_KNOT = 25  # rows of the rarer kind, right or wrong, for each bend
POINTS = 33  # of the table
ROWS_PER_BIN, MOST_BINS = 50, 10  # of the calibration error
_SPREADS = (1.0, 0.5, 0.5)  # prior standard deviations of intercept, slope and bends
_ITERATIONS = 60


def top_label(predictions: Predictions, truth: np.ndarray, groups: np.ndarray | None = None, seed: int = 0) -> Confidence | None:
    """Learn from held-out rows how probable it is that a prediction is right.

    `truth` (n,) labels as text, `groups` (n,) or None. None where there are no probabilities, fewer than `FEWEST` rows, or groups
    where rows belong together.
    """
    if predictions.probabilities is None or len(predictions.classes) < 2:
        return None
    odds = own_odds(predictions)
    right = np.asarray(predictions.values, dtype=object) == np.asarray(truth, dtype=object)
    members, units = (np.arange(len(odds)), len(odds)) if groups is None else encode(groups)
    if units < FEWEST:
        return None
    grid, probability = _table(odds, right, units)
    return Confidence(
        odds=tuple(grid.tolist()),
        probability=tuple(np.round(probability, 9).tolist()),
        rows=len(odds),
        error=_crossfitted_error(odds, right, members, units, seed) if len(odds) >= MEASURED else None,
    )


def own_odds(predictions: Predictions) -> np.ndarray:
    """The model's own log-odds (n,) of the classes that it predicts."""
    said = codes(predictions.values, predictions.classes)
    probable = np.asarray(predictions.probabilities, dtype=float)[np.arange(len(said)), said]
    return np.asarray(logit(np.clip(probable, SURE, 1 - SURE)))


def confident(confidence: Confidence | None) -> Callable[[float], float]:
    """The confidence as a function of the model's own probability of the class that it predicts.

    >>> sure = confident(Confidence(odds=(0.0, 2.0), probability=(0.5, 0.7), rows=100))
    >>> [round(sure(p), 3) for p in (0.5, 0.731059, 1.0)]
    [0.5, 0.6, 0.7]
    """
    if confidence is None:
        return lambda own: min(max(own, SURE), 1 - SURE)
    odds, probability = confidence.odds, confidence.probability
    slopes = [(probability[n + 1] - probability[n]) / (odds[n + 1] - odds[n]) for n in range(len(odds) - 1)]
    first, last = odds[0], odds[-1]

    def sure(own: float) -> float:
        x = math.log(own / (1 - own)) if SURE < own < 1 - SURE else _EDGE if own > 0.5 else -_EDGE
        if x <= first:
            return probability[0]
        if x >= last:
            return probability[-1]
        place = bisect_right(odds, x) - 1
        return probability[place] + slopes[place] * (x - odds[place])

    return sure


_EDGE = float(logit(1 - SURE))


def calibration_error(probability: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error: the mean distance, over bins of equally many rows, of how often a prediction was right and how
    sure it was said to be. Bins of some `ROWS_PER_BIN` rows or more, at most `MOST_BINS`; equal probabilities share
    one. Chance alone makes it larger than 0.

    >>> calibration_error(np.full(100, 0.8), np.arange(100) < 60)
    0.2
    """
    count = min(MOST_BINS, max(1, len(probability) // ROWS_PER_BIN))
    borders = np.unique(np.quantile(probability, np.linspace(0, 1, count + 1)[1:-1]))
    bins = np.searchsorted(borders, probability, side="right")  # equal ones lie in the same
    gaps = [some.sum() * abs(float(right[some].mean() - probability[some].mean())) for some in (bins == n for n in np.unique(bins))]
    return round(float(sum(gaps)) / len(probability), 12)


# ------------------------------------------------------------------------------------------------------------- the curve


def _table(odds: np.ndarray, right: np.ndarray, units: int) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds, ascending, and how probable a right answer is there."""
    spread = np.linspace(odds.min(), odds.max(), POINTS // 2)
    grid = np.unique(np.round(np.concatenate([np.quantile(odds, np.linspace(0, 1, POINTS - len(spread))), spread]), 6))
    near = np.bincount(np.searchsorted((grid[1:] + grid[:-1]) / 2, odds), minlength=len(grid)) + 1e-3
    fitted = _curve(odds, right)(grid)
    return grid, np.clip(_increasing(fitted, near), 1 / (units + 2), (units + 1) / (units + 2))


def _curve(odds: np.ndarray, right: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The penalised fit, by Newton's method with steps that are halved until they help."""
    hits = int(right.sum())
    misses = len(right) - hits
    target = np.where(right, (hits + 1) / (hits + 2), 1 / (misses + 2))
    knots = _knots(odds, min(hits, misses))
    basis = _basis(odds, knots)
    prior = np.eye(basis.shape[1])[1]
    precision = np.array([*_SPREADS[:2], *[_SPREADS[2]] * len(knots)]) ** -2.0

    def height(found: np.ndarray) -> float:
        score = basis @ found
        return float((target * score - np.logaddexp(0, score)).sum() - precision @ (found - prior) ** 2 / 2)

    found, reached, pace = prior, height(prior), 1.0
    for _ in range(_ITERATIONS):
        probable = expit(basis @ found)
        slope = basis.T @ (target - probable) - precision * (found - prior)
        bend = (basis * (probable * (1 - probable))[:, None]).T @ basis + np.diag(precision)
        step = np.linalg.solve(bend, slope)
        tried = found + pace * step
        if (higher := height(tried)) >= reached:
            done = higher - reached < 1e-10
            found, reached, pace = tried, higher, min(1.0, 2 * pace)
            if done and pace == 1.0:
                break
        else:
            pace /= 4
    return lambda grid: np.asarray(expit(_basis(grid, knots) @ found))


def _knots(odds: np.ndarray, rarer: int) -> np.ndarray:
    """Bends at equal shares of the rows, where the rows have different log-odds."""
    count = min(KNOTS, rarer // WRONG_PER_KNOT)
    inner = np.unique(np.quantile(odds, np.linspace(0, 1, count + 2)[1:-1])) if count else np.empty(0)
    return np.asarray(inner[(inner > odds.min()) & (inner < odds.max())])


def _basis(odds: np.ndarray, knots: np.ndarray) -> np.ndarray:
    return np.column_stack([np.ones(len(odds)), odds, np.maximum(odds[:, None] - knots, 0.0)])


def _increasing(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The nearest values, in weighted squares, that never fall: pool adjacent violators (Ayer et al. 1955)."""
    pools: list[list[float]] = []  # mean, weight, how many
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        pools.append([value, weight, 1])
        while len(pools) > 1 and pools[-2][0] >= pools[-1][0]:
            mean, mass, count = pools.pop()
            before = pools[-1]
            whole = before[1] + mass
            pools[-1] = [(before[0] * before[1] + mean * mass) / whole, whole, before[2] + count]
    return np.concatenate([np.full(int(count), mean) for mean, _, count in pools])


def _crossfitted_error(odds: np.ndarray, right: np.ndarray, members: np.ndarray, units: int, seed: int) -> float:
    """The calibration error of curves that did not see the rows they speak of; rows of one group share a fold."""
    folds = (np.random.default_rng(seed).permutation(units) % FOLDS)[members]
    said = np.empty(len(odds))
    for fold in range(FOLDS):
        mine = folds == fold
        grid, probability = _table(odds[~mine], right[~mine], units - units // FOLDS)
        said[mine] = np.interp(odds[mine], grid, probability)
    return calibration_error(said, right)
