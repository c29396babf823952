"""A fitted estimator, or whatever has scikit-learn's interface, as a `Model`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from keepfit.errors import DataError
from keepfit.ports import Predictions

if TYPE_CHECKING:
    import pandas as pd


class FittedModel:
    """`Model` over anything with scikit-learn's interface.

    What has `classes_` is a classifier: its classes are given as text, and probabilities where it knows them.
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def predict(self, features: pd.DataFrame) -> Predictions:
        features = self._select(features)
        values = np.asarray(self.estimator.predict(features))
        classes = getattr(self.estimator, "classes_", None)
        if classes is None:
            return Predictions(values.astype(float).reshape(len(values)))
        names = tuple(str(name) for name in np.asarray(classes).tolist())
        labels = np.array([str(label) for label in values.tolist()], dtype=object)
        if not hasattr(self.estimator, "predict_proba"):
            decide = getattr(self.estimator, "decision_function", None)
            return Predictions(
                labels, classes=names, decision=None if decide is None else np.asarray(decide(features), dtype=float)
            )
        return Predictions(labels, np.asarray(self.estimator.predict_proba(features), dtype=float), names)

    def _select(self, features: pd.DataFrame) -> pd.DataFrame:
        needed = getattr(self.estimator, "feature_names_in_", None)
        if needed is None:
            return features
        missing = [str(name) for name in needed if name not in features.columns]
        if missing:
            raise DataError(f"The model needs the columns {', '.join(missing)}, which the rows do not have.")
        return features[list(needed)]
