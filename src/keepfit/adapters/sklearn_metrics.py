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
    greater_is_better: bool = True

    def statistics(
        self,
        truth: np.ndarray,
        predictions: Predictions,
        groups: np.ndarray | None,
        frame: pd.DataFrame | None = None,  # noqa: ARG002 - part of the port
    ) -> Statistics:
        scorer = get_scorer(self.name)
        known = (_KnownClasses if predictions.values.dtype.kind in "OUS" else _KnownNumbers)(predictions)
        truth = truth.astype(str) if truth.dtype == object else truth

        def score(rows: np.ndarray) -> float | None:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # an undefined score is None, which says it better than a warning
                    return float(scorer(known, rows.reshape(-1, 1), truth[rows]))
            except ValueError:
                return None  # one class among the resampled rows, say

        return FunctionStatistics(score, len(truth), groups)


def sklearn_metric(name: str) -> SklearnMetric:
    """The metric of that name. Raises `ConfigError` when scikit-learn has no such scorer."""
    if name not in get_scorer_names():
        raise ConfigError(f"[train] metric = {name!r} is no metric of keepfit's and no scikit-learn scorer")
    return SklearnMetric(name)


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

    def __init__(self, predictions: Predictions) -> None:
        self.predictions = predictions

    def fit(self, X: Any, y: Any = None) -> _Known:  # noqa: ARG002, N803 - scikit-learn's signature
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self.predictions.values[rows.ravel()])


class _KnownNumbers(RegressorMixin, _Known):  # type: ignore[misc]
    pass


class _KnownClasses(ClassifierMixin, _Known):  # type: ignore[misc]
    @property
    def classes_(self) -> np.ndarray:
        return np.array(self.predictions.classes or np.unique(self.predictions.values.astype(str)), dtype=str)

    def predict(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self.predictions.values[rows.ravel()], dtype=str)

    def predict_proba(self, rows: np.ndarray) -> np.ndarray:
        if self.predictions.probabilities is None:
            raise ValueError("the model gives no probabilities")
        return np.asarray(self.predictions.probabilities[rows.ravel()])
