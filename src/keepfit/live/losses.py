"""What one answer cost, from 0 (right) to 1: what two models in service are compared by.

The project's own metric is not used here. A test that may be looked at at any time needs one bounded number an answer whose mean is
the question; F1, AUC or a root mean square are no means of answers, and a function of the user's may be anything. Performance on
the whole log (`live.performance`) is told in the project's metric.

Classes: 0 where the answer is the label, else 1. The mean loss is 1 - accuracy.

Numbers: |error| / (|error| + scale). It grows with the error, is a half where the error is `scale`, and one answer that is wildly
off counts no more than 1. The same scale holds for both models and is known before the first label, as betting must: it is the mean
error that the champion was accepted with, where its metric says one (mean_absolute_error, root_mean_squared_error), else half the
distance between the quartiles of the labels it was trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keepfit.config import Config
from keepfit.errors import NotFound, Unavailable
from keepfit.ports import Ports
from keepfit.prepared import TRUTH
from keepfit.records import ModelVersion
from keepfit.rows import label_text

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

ERRORS = ("mean_absolute_error", "root_mean_squared_error", "neg_mean_absolute_error", "neg_root_mean_squared_error")


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The error whose loss is a half."""

    value: float
    source: str  # in words


def scale_of(champion: ModelVersion | None, ports: Ports, config: Config) -> Scale | None:
    """The scale for a regression; None for classes, and where nothing is known of the champion."""
    if config.project.task == "classification" or champion is None:
        return None
    if champion.metric in ERRORS and champion.reference:
        error = abs(champion.reference)
        return Scale(value=error, source=f"the {champion.metric} that version {champion.version} was accepted with")
    spread = _spread(champion, ports)
    return Scale(value=spread, source=f"half the quartile distance of version {champion.version}'s labels") if spread else None


def _spread(champion: ModelVersion, ports: Ports) -> float | None:
    """Half the distance between the quartiles of the labels in the reference."""
    import polars as pl

    try:
        rows = ports.references.rows(champion.version)
    except (NotFound, Unavailable):
        return None
    if rows is None or TRUTH not in rows.columns:
        return None
    truth = rows[TRUTH].cast(pl.Float64, strict=False)
    low, high = truth.quantile(0.25), truth.quantile(0.75)
    return (high - low) / 2 if low is not None and high is not None and high > low else None


def losses(answers: pl.Series, labels: pl.Series, scale: Scale | None, config: Config) -> np.ndarray:
    """The loss of each answer (n,), NaN where the label or the answer is none or cannot be read.

    Without a scale, numbers that are equal lose 0 and all others 1.
    """
    import numpy as np
    import polars as pl

    if config.project.task == "classification":
        said, truth = as_classes(answers, config), as_classes(labels, config)
        wrong = (said != truth).cast(pl.Float64)
        return np.array(wrong.fill_null(np.nan).to_numpy(), dtype=float)
    gap = (answers.cast(pl.Float64, strict=False) - labels.cast(pl.Float64, strict=False)).abs()
    errors = np.array(gap.fill_null(np.nan).to_numpy(), dtype=float)
    errors[~np.isfinite(errors)] = np.nan
    if scale is None:
        return np.where(np.isnan(errors), np.nan, (errors > 0).astype(float))
    return np.asarray(errors / (errors + scale.value))


def as_classes(values: pl.Series, config: Config) -> pl.Series:
    """Answers or labels as classes: as text, and what [data.labels] means by it."""
    import polars as pl

    distinct = values.drop_nulls().unique()
    if distinct.is_empty():
        return values.cast(pl.String)
    meant = {written: name for written, name in config.data.labels.items() if written not in config.data.labels.values()}
    classes = label_text(distinct, [str(value) for value in distinct.to_list()]).replace(meant)
    if classes.equals(distinct):
        return values
    return values.replace_strict(distinct, classes, default=None, return_dtype=pl.String)
