"""Preprocessing steps of keepfit's own, beside scikit-learn's. They live in pipelines and are stored with the models."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from keepfit.adapters.sklearn_steps import CapOutliers as CapOutliers


class OneText(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A table of one text column as the plain sequence of texts that vectorizers want; an empty cell is an empty text.

    Takes (n, 1) texts or None, gives (n,) texts. Nothing is fitted.
    """

    def fit(self, X: Any, y: Any = None) -> OneText:  # noqa: ARG002, N803 - scikit-learn's signature
        return self

    def transform(self, X: Any) -> np.ndarray:  # noqa: N803
        cells = np.asarray(X, dtype=object).ravel()
        return np.array(["" if cell is None or cell != cell else str(cell) for cell in cells], dtype=object)  # noqa: PLR0124

    def __sklearn_is_fitted__(self) -> bool:
        return True
