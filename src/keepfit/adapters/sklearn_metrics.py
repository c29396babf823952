"""Metrics of scikit-learn's: any scorer by its name, resampled without predicting again.

A scorer wants an estimator and data. It gets an estimator that looks its predictions up and, as data, the row numbers; so every
scorer works, whichever of predict, predict_proba and decision_function it asks for.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import get_scorer, get_scorer_names

from keepfit.errors import ConfigError
from keepfit.ports import Predictions, Statistics
from keepfit.stats.units import FunctionStatistics

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class SklearnMetric:
    """A scikit-learn scorer as a metric; greater is better, as for every scorer."""

    name: str
    positive: str | None = None  # the class that a scorer of two classes is about
    greater_is_better: bool = True

    def statistics(
        self,
        truth: np.ndarray,
        predictions: Predictions,
        groups: np.ndarray | None,
        frame: pd.DataFrame | None = None,  # noqa: ARG002 - part of the port
    ) -> Statistics:
        scorer = get_scorer(self.name)
        if predictions.values.dtype.kind in "OUS":
            known = _known_classes(predictions, self.positive)
            truth = _labels(truth, self.positive)
        else:
            known = _KnownNumbers(predictions.values)

        def score(rows: np.ndarray) -> float | None:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # an undefined score is None, which says it better than a warning
                    return float(scorer(known, rows.reshape(-1, 1), truth[rows]))
            except AttributeError as error:  # scikit-learn looks for what the model does not give
                wanted = str(error).rpartition(": ")[2].rstrip(".")
                raise ConfigError(f"[train] metric = {self.name!r} needs {wanted}, which the model does not have") from None
            except ValueError as error:
                if "pos_label" in str(error):
                    raise ConfigError(f"[train] metric = {self.name!r} is about one class: say which, [train] positive") from None
                return None  # one class among the resampled rows, say

        return FunctionStatistics(score, len(truth), groups)


def _labels(values: np.ndarray, positive: str | None) -> np.ndarray:
    """Classes as text; with a positive class as 1 for it and 0 for any other, which is what scorers of one class expect."""
    return values.astype(str) if positive is None else (values == positive).astype(int)


def _known_classes(predictions: Predictions, positive: str | None) -> Any:
    """An estimator with what the model gave, in the terms of `_labels`: probabilities, decision values, or classes alone."""
    values, probabilities, decision = _labels(predictions.values, positive), predictions.probabilities, predictions.decision
    classes = np.array(predictions.classes or np.unique(values), dtype=str)
    if positive is not None:
        place = predictions.classes.index(positive) if positive in predictions.classes else None
        classes = np.array([0, 1])
        if probabilities is not None and place is not None:
            probabilities = np.column_stack([1 - probabilities[:, place], probabilities[:, place]])
        if decision is not None and place is not None:
            decision = decision[:, place] if decision.ndim == 2 else decision if place == 1 else -decision
    if probabilities is not None:
        return _KnownProbabilities(values, classes, probabilities)
    return _KnownClasses(values, classes) if decision is None else _KnownDecisions(values, classes, decision)


def sklearn_metric(name: str, positive: str | None = None) -> SklearnMetric:
    """The metric of that name. Raises `ConfigError` when scikit-learn has no such scorer."""
    if name not in get_scorer_names():
        raise ConfigError(f"[train] metric = {name!r} is no metric of keepfit's and no scikit-learn scorer")
    return SklearnMetric(name, positive)


@dataclass(frozen=True)
class FunctionMetric:
    """A user's metric of all judged rows: function(rows) -> number or None, `rows` with the columns truth and predicted."""

    name: str
    greater_is_better: bool
    function: Any

    def statistics(
        self, truth: np.ndarray, predictions: Predictions, groups: np.ndarray | None, frame: pd.DataFrame | None = None
    ) -> Statistics:
        import pandas as pd

        rows = (pd.DataFrame(index=range(len(truth))) if frame is None else frame.reset_index(drop=True)).assign(
            truth=truth, predicted=predictions.values
        )
        return FunctionStatistics(lambda chosen: self.function(rows.iloc[chosen]), len(truth), groups)


class _Known(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """An estimator whose predictions are known; its data are row numbers."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def fit(self, X: Any, y: Any = None) -> _Known:  # noqa: ARG002, N803 - scikit-learn's signature
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self.values[rows.ravel()])


class _KnownNumbers(RegressorMixin, _Known):  # type: ignore[misc]
    pass


class _KnownClasses(ClassifierMixin, _Known):  # type: ignore[misc]
    def __init__(self, values: np.ndarray, classes: np.ndarray) -> None:
        super().__init__(values)
        self.classes = classes

    @property
    def classes_(self) -> np.ndarray:
        return self.classes


class _KnownProbabilities(_KnownClasses):
    def __init__(self, values: np.ndarray, classes: np.ndarray, probabilities: np.ndarray) -> None:
        super().__init__(values, classes)
        self.probabilities = probabilities

    def predict_proba(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self.probabilities[rows.ravel()])


class _KnownDecisions(_KnownClasses):
    def __init__(self, values: np.ndarray, classes: np.ndarray, decision: np.ndarray) -> None:
        super().__init__(values, classes)
        self.decision = decision

    def decision_function(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self.decision[rows.ravel()])
