"""What a fitted end makes of its columns: scores that are linear in them, and classes and probabilities of the scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keepfit.serving.compiled.blocks import kind, refuse

Scores = Sequence[float]
Told = tuple[int, list[float] | None]  # place of the class; probabilities, None where the model gives none

_REGRESSIONS = ("LinearRegression", "Ridge", "RidgeCV", "Lasso", "LassoCV", "ElasticNet", "ElasticNetCV", "SGDRegressor")
_ROBUST = ("HuberRegressor", "LinearSVR", "BayesianRidge", "ARDRegression")
_MARGINS = ("LinearSVC", "RidgeClassifier", "RidgeClassifierCV", "Perceptron", "PassiveAggressiveClassifier")
_BAYES = ("MultinomialNB", "ComplementNB", "BernoulliNB")


@dataclass(frozen=True, eq=False, kw_only=True)
class End:
    """A linear end, or several that are asked together."""

    coefficients: np.ndarray  # (heads, columns)
    intercepts: np.ndarray  # (heads,)
    tell: Callable[[Scores], Told] | None  # None: a regression, whose number is its score
    directions: np.ndarray  # (classes, heads): log-odds of a class against the others, as sums of the scores; (1, 1) for numbers
    classes: tuple[str, ...] = ()
    presence: bool = False  # columns count as there or not there


def linear_end(end: Any) -> End:
    """A fitted linear model, naive Bayes, or calibration of these. Raises `NotCompiled`."""
    name = kind(end)
    if name in (*_REGRESSIONS, *_ROBUST):
        return _regression(end)
    if name == "CalibratedClassifierCV":
        return _calibrated(end)
    if name in _BAYES:
        return _bayes(end, name)
    if name in ("LogisticRegression", "LogisticRegressionCV"):
        several = len(end.classes_) > 2
        one_by_one = getattr(end, "multi_class", None) == "ovr" or end.solver == "liblinear"
        return _classifier(end, _softmax if several and not one_by_one else _against_the_rest if several else _logistic)
    if name == "SGDClassifier" and end.loss in ("log_loss", "hinge", "squared_hinge", "perceptron"):
        if end.loss != "log_loss":
            return _classifier(end, _margins)
        return _classifier(end, _against_the_rest if len(end.classes_) > 2 else _logistic)
    if name in _MARGINS:
        return _classifier(end, _margins)
    raise refuse(end, "is not a linear end")


def _regression(end: Any) -> End:
    coefficients = np.atleast_2d(np.asarray(end.coef_, dtype=float))
    if len(coefficients) != 1:
        raise refuse(end, "of several numbers is not compiled")
    intercepts = np.asarray(end.intercept_, dtype=float).reshape(-1)
    return End(coefficients=coefficients, intercepts=intercepts, tell=None, directions=np.ones((1, 1)))


def _classifier(end: Any, tell: Callable[[Scores], Told]) -> End:
    coefficients = np.atleast_2d(np.asarray(end.coef_, dtype=float))
    names = tuple(str(name) for name in np.asarray(end.classes_).tolist())
    if len(coefficients) != (1 if len(names) == 2 else len(names)):
        raise refuse(end, "with these classes is not compiled")
    return End(
        coefficients=coefficients,
        intercepts=np.broadcast_to(np.asarray(end.intercept_, dtype=float).reshape(-1), len(coefficients)),
        tell=tell,
        directions=_directions(len(names), len(coefficients)),
        classes=names,
    )


def _bayes(end: Any, name: str) -> End:
    names = tuple(str(name) for name in np.asarray(end.classes_).tolist())
    if len(names) < 2:
        raise refuse(end, "of one class is not compiled")
    logs = np.asarray(end.feature_log_prob_, dtype=float)
    prior = np.zeros(len(names)) if name == "ComplementNB" else np.asarray(end.class_log_prior_, dtype=float)
    if name == "BernoulliNB":
        if end.binarize != 0.0:
            raise refuse(end, "with a threshold other than 0 is not compiled")
        absent = np.log(1 - np.exp(logs))
        logs, prior = logs - absent, prior + absent.sum(axis=1)
    return End(
        coefficients=logs,
        intercepts=prior,
        tell=_softmax,
        directions=_directions(len(names), len(names)),
        classes=names,
        presence=name == "BernoulliNB",
    )


def _directions(classes: int, heads: int) -> np.ndarray:
    """Each class against the other, or against the mean of the others."""
    if heads == 1:
        return np.array([[-1.0], [1.0]])
    return np.asarray(np.eye(classes) - (1 - np.eye(classes)) / (classes - 1))


# --------------------------------------------------------------------------------------------------------------- telling


def _expit(score: float) -> float:
    if score >= 0:
        return 1.0 / (1.0 + math.exp(-score)) if score < 700 else 1.0
    odds = math.exp(score) if score > -745 else 0.0
    return odds / (1.0 + odds)


def _logistic(scores: Scores) -> Told:
    score = scores[0]
    second = _expit(score)
    return int(score > 0), [1.0 - second, second]


def _softmax(scores: Scores) -> Told:
    largest = max(scores)
    powers = [math.exp(score - largest) for score in scores]
    whole = sum(powers)
    return scores.index(largest), [power / whole for power in powers]


def _against_the_rest(scores: Scores) -> Told:
    each = [_expit(score) for score in scores]
    whole = sum(each)
    probabilities = [one / whole for one in each] if whole else [1.0 / len(each)] * len(each)
    return scores.index(max(scores)), probabilities


def _margins(scores: Scores) -> Told:
    return (int(scores[0] > 0) if len(scores) == 1 else scores.index(max(scores))), None


# ----------------------------------------------------------------------------------------------------------- calibration


@dataclass(frozen=True, eq=False, kw_only=True)
class _Member:
    """One fitted model of a calibration, with the calibrators of its classes."""

    heads: slice
    raw: Callable[[Scores], Sequence[float]]  # its heads' scores -> what the calibrators take
    places: tuple[int, ...]  # which class each calibrator is about
    calibrators: tuple[Callable[[float], float], ...]

    def told(self, scores: Scores, classes: int) -> list[float]:
        probabilities = [0.0] * classes
        for place, calibrator, raw in zip(self.places, self.calibrators, self.raw(scores[self.heads]), strict=True):
            probabilities[place] = calibrator(raw)
        if classes == 2:
            probabilities[0] = 1.0 - probabilities[1]
        else:
            whole = sum(probabilities)
            probabilities = [one / whole for one in probabilities] if whole else [1.0 / classes] * classes
        return [1.0 if 1.0 < one <= 1.0 + 1e-5 else one for one in probabilities]


def _calibrated(end: Any) -> End:
    names = tuple(str(name) for name in np.asarray(end.classes_).tolist())
    inner, members, directions, start = [], [], [], 0
    for part in end.calibrated_classifiers_:
        if part.method not in ("sigmoid", "isotonic"):
            raise refuse(end, f"by {part.method!r} is not compiled")
        fitted = part.estimator.estimator if kind(part.estimator) == "FrozenEstimator" else part.estimator
        one = linear_end(fitted)
        if one.presence or one.tell is None or kind(fitted) == "CalibratedClassifierCV":
            raise refuse(fitted, "inside a calibration is not compiled")
        heads = slice(start, start + len(one.coefficients))
        start = heads.stop
        places = (1,) if len(names) == 2 else tuple(names.index(name) for name in one.classes)
        calibrators = tuple(_calibrator(each) for each in part.calibrators)
        raw = _probable(one.tell, len(names)) if kind(fitted) in _BAYES else lambda scores: scores
        members.append(_Member(heads=heads, raw=raw, places=places, calibrators=calibrators))
        inner.append(one)
        directions.append(_turned(one, part, names))
    if len({one.coefficients.shape[1] for one in inner}) != 1:
        raise refuse(end, "of models with different columns is not compiled")

    def tell(scores: Scores) -> Told:
        each = [member.told(scores, len(names)) for member in members]
        mean = each[0] if len(each) == 1 else [sum(some) / len(each) for some in zip(*each, strict=True)]
        return mean.index(max(mean)), mean

    return End(
        coefficients=np.vstack([one.coefficients for one in inner]),
        intercepts=np.concatenate([one.intercepts for one in inner]),
        tell=tell,
        directions=np.hstack(directions) / len(inner),
        classes=names,
    )


def _turned(one: End, part: Any, names: Sequence[str]) -> np.ndarray:
    """The directions of a member, as log-odds after a sigmoid where there are two classes; its own elsewhere, as a sum of several
    sigmoids is not linear any more."""
    if tuple(one.classes) != tuple(names):
        raise refuse(part, "of fewer classes than the whole is not compiled")
    calibrator = part.calibrators[0]
    if len(names) == 2 and len(one.coefficients) == 1 and kind(calibrator) == "_SigmoidCalibration":
        return np.asarray(one.directions * -float(calibrator.a_))
    return one.directions


def _probable(tell: Callable[[Scores], Told], classes: int) -> Callable[[Scores], Sequence[float]]:
    def probable(scores: Scores) -> Sequence[float]:
        probabilities = tell(scores)[1] or []
        return probabilities[1:] if classes == 2 else probabilities

    return probable


def _calibrator(calibrator: Any) -> Callable[[float], float]:
    if kind(calibrator) == "_SigmoidCalibration":
        slope, shift = float(calibrator.a_), float(calibrator.b_)
        return lambda raw: _expit(-(slope * raw + shift))
    if kind(calibrator) == "IsotonicRegression" and calibrator.out_of_bounds == "clip":
        raws, probabilities = np.asarray(calibrator.X_thresholds_), np.asarray(calibrator.y_thresholds_)
        return lambda raw: float(np.interp(raw, raws, probabilities))
    raise refuse(calibrator, "as a calibrator is not compiled")
