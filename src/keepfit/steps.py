"""Preprocessing steps of keepfit's own, beside scikit-learn's. They live in pipelines and are stored with the models."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

TYPES = ("keepfit.steps.CapOutliers", "keepfit.steps.OneText")  # reviewed: they hold numbers and run nothing


class OneText(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A table of one text column as the plain sequence of texts that vectorizers want; an empty cell is an empty text.

    Takes (n, 1) texts or None, gives (n,) texts. Nothing is fitted.
    """

    def fit(self, X: Any, y: Any = None) -> OneText:  # noqa: ARG002, N803 - scikit-learn's signature
        return self

    def transform(self, X: Any) -> np.ndarray:  # noqa: N803
        cells = np.asarray(X, dtype=object).ravel()
        return np.array(["" if cell is None or cell != cell else str(cell) for cell in cells], dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return True


class CapOutliers(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Draw numbers that lie far outside back to a fence (winsorising).

    The fences of a column are its quartiles at fit, less and plus `factor` times the distance between them (Tukey 1977, factor
    1.5). Missing values are left out at fit and stay missing. A column whose middle half is one and the same value would have
    all else cut off, so it has no fences; nor has one without values.

    Attributes: `lower_` and `upper_`, each of shape (n_features,); infinite where a column has no fence.

    >>> CapOutliers().fit([[1.0], [2.0], [3.0], [4.0], [5.0]]).transform([[99.0], [3.0], [float("nan")]]).ravel().tolist()
    [7.0, 3.0, nan]
    """

    def __init__(self, factor: float = 1.5) -> None:
        self.factor = factor

    def fit(self, X: Any, y: Any = None) -> CapOutliers:  # noqa: ARG002, N803  # scikit-learn's names
        """Learn the fences from X of shape (n_rows, n_features). Raises ValueError when `factor` is not positive."""
        if not self.factor > 0:
            raise ValueError(f"factor must be greater than 0, found {self.factor!r}")
        values = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan")
        quartiles = np.full((2, values.shape[1]), np.nan)
        filled = ~np.isnan(values).all(axis=0)
        if filled.any():
            quartiles[:, filled] = np.nanquantile(values[:, filled], [0.25, 0.75], axis=0)
        reach = self.factor * (quartiles[1] - quartiles[0])
        fenced = reach > 0
        self.lower_ = np.where(fenced, quartiles[0] - reach, -np.inf)
        self.upper_ = np.where(fenced, quartiles[1] + reach, np.inf)
        return self

    def transform(self, X: Any) -> Any:  # noqa: N803
        """The same numbers, none beyond its column's fences: an array of (n_rows, n_features)."""
        check_is_fitted(self)
        values = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False)
        return np.clip(values, self.lower_, self.upper_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
