"""The metrics that keepfit knows itself, as functions of sums, and metrics of the user's averaged over groups.

Each is gathered once, as sums within units, an array (units, k), and finished from the sums of a resample. Names and values are
those of scikit-learn (1.9), without its warnings:

- `precision`, `recall`, `f1` of the class `positive` are undefined, NaN, where they are 0 / 0: nothing predicted positive,
  nothing truly positive, neither. scikit-learn says 0.
- In averages over classes (`_macro`, `_weighted`) a class with 0 / 0 counts as 0, as in scikit-learn: a class that is never
  predicted earns nothing. The classes are those that occur in the truth or the predictions of the resample.
- `balanced_accuracy` is the mean recall over the classes that occur in the truth.
- `r2` is undefined where all truths are equal; `mean_absolute_percentage_error` where a truth is 0.
- every metric is undefined on no rows.

A name with `neg_` before it, such as `neg_mean_absolute_error`, is the same number negated, so that greater is better.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from keepfit.errors import ConfigError, UserCodeError
from keepfit.stats.units import FunctionStatistics, SumStatistics, Units, divide, encode, value

if TYPE_CHECKING:
    import pandas as pd

    from keepfit.ports import Metric, Predictions

__all__ = ["BuiltIn", "FunctionStatistics", "MeanOverGroups", "SumStatistics", "builtin", "names", "reported", "value"]

Gather = Callable[[np.ndarray, "Predictions", Units], np.ndarray]  # truth (n,), predictions, units -> sums (units, k)
Finish = Callable[[np.ndarray], np.ndarray]  # sums (resamples, k) -> metric (resamples,)


@dataclass(frozen=True)
class BuiltIn:
    """A metric made of two functions."""

    name: str
    greater_is_better: bool
    gather: Gather
    finish: Finish
    limits: tuple[float, float]  # the metric never lies outside

    def statistics(
        self,
        truth: np.ndarray,
        predictions: Predictions,
        groups: np.ndarray | None,
        frame: pd.DataFrame | None = None,  # noqa: ARG002 (the protocol has it, for metrics that look at rows)
    ) -> SumStatistics:
        """`truth` (n,), labels as text or numbers; `groups` (n,) or None where rows are independent; `frame` is not looked at.

        Raises `ConfigError` when the metric needs probabilities and the model has none.
        """
        units = divide(len(truth), groups)
        sums = self.gather(truth, predictions, units)
        return SumStatistics(sums, self.finish, units.independent, limits=self.limits)


def builtin(name: str, positive: str | None = None) -> Metric | None:
    """The metric of that name, or None when keepfit has no such metric itself.

    `positive` is the class that `precision`, `recall` and `f1` are about; `ConfigError` when they have none.

    >>> builtin("neg_mean_absolute_error").greater_is_better
    True
    >>> builtin("roc_auc") is None
    True
    """
    if name in _BINARY:
        return _binary(name, positive)
    if name in _METRICS:
        return _METRICS[name]
    plain = _METRICS.get(name.removeprefix("neg_"))
    return _negated(plain) if plain and not plain.greater_is_better else None


def names() -> tuple[str, ...]:
    """Every name that `builtin` knows."""
    lower = [name for name, metric in _METRICS.items() if not metric.greater_is_better]
    return tuple(sorted([*_BINARY, *_METRICS, *(f"neg_{name}" for name in lower)]))


def reported(wanted: Iterable[str], truth: np.ndarray, predictions: Predictions, positive: str | None = None) -> dict[str, float]:
    """Several metrics of one model's `predictions` of `truth` (n,), by name.

    What is undefined is left out, and so is what needs probabilities where the model gives none. Raises `ConfigError` for a name
    that keepfit does not know, and for a metric of one class without `positive`.

    >>> from keepfit.ports import Predictions
    >>> reported(["accuracy", "f1_weighted"], np.array(["a", "b"]), Predictions(np.array(["a", "a"])))
    {'accuracy': 0.5, 'f1_weighted': 0.3333333333333333}
    """
    found: dict[str, float | None] = {}
    for name in wanted:
        metric = builtin(name, positive)
        if metric is None:
            raise ConfigError(f"keepfit has no metric {name!r} of its own: expected one of {', '.join(names())}")
        if name not in _OF_PROBABILITIES or predictions.probabilities is not None:
            found[name] = value(metric.statistics(truth, predictions, None))
    return {name: number for name, number in found.items() if number is not None}


@dataclass(frozen=True)
class MeanOverGroups:
    """A metric of the user's own, taken group by group: the mean over the groups where it is defined.

    `function` is called once a group with that group's rows, a pandas frame with the prepared columns and beside them `truth`
    and `predicted`. It returns a number, or None or NaN where the metric is undefined; such groups are left out and counted
    (`left_out`), for each model by itself. Undefined when it is so for every group.
    """

    name: str
    greater_is_better: bool
    function: Callable[[pd.DataFrame], float | None]

    def statistics(
        self, truth: np.ndarray, predictions: Predictions, groups: np.ndarray | None, frame: pd.DataFrame | None = None
    ) -> SumStatistics:
        """`truth` (n,), `groups` (n,), `frame` the n prepared rows. Units are groups.

        Raises `ConfigError` without groups or rows, `UserCodeError` when the function fails or returns no number.
        """
        if groups is None or frame is None:
            raise ConfigError(f"The metric {self.name} is taken group by group: name the column of the groups as data.group.")
        numbers, count = encode(groups)
        table = frame.assign(truth=truth, predicted=predictions.values)
        order = np.argsort(numbers, kind="stable")
        pieces = np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1) if count else []
        values = np.array([self._call(table.iloc[rows]) for rows in pieces], dtype=float)
        defined = np.isfinite(values)
        units = divide(count)
        sums = units.total(defined.astype(float), np.where(defined, values, 0.0))
        return SumStatistics(sums, _mean, count, left_out=int(count - defined.sum()))

    def _call(self, rows: pd.DataFrame) -> float:
        try:
            result = self.function(rows)
            return np.nan if result is None else float(result)
        except Exception as error:  # the user's code may raise anything
            raise UserCodeError(f"The metric {self.name} failed on a group of {len(rows)} rows: {error}") from error


# ------------------------------------------------------------------------------------------------------------- finishing


def _ratio(numerator: np.ndarray, denominator: np.ndarray, undefined: float = np.nan) -> np.ndarray:
    """Divide, with `undefined` where the denominator is 0. Warns of nothing."""
    result = np.full(np.broadcast_shapes(numerator.shape, denominator.shape), undefined)
    np.divide(numerator, denominator, out=result, where=denominator != 0)
    return result


def _mean(sums: np.ndarray) -> np.ndarray:
    """sum x / n, of the sums n, x."""
    return _ratio(sums[:, 1], sums[:, 0])


def _root_mean(sums: np.ndarray) -> np.ndarray:
    return np.asarray(np.sqrt(_mean(sums)))


def _mean_where_possible(sums: np.ndarray) -> np.ndarray:
    """sum x / n, of the sums n, x and the number of rows where x is undefined, of which none is allowed."""
    return np.where(sums[:, 2] > 0, np.nan, _mean(sums))


def _r2(sums: np.ndarray) -> np.ndarray:
    """1 - sum (y - p)^2 / sum (y - mean y)^2, of the sums n, (y - p)^2, z, z^2, where z is y less its mean on all rows."""
    total = sums[:, 3] - _ratio(sums[:, 2] ** 2, sums[:, 0], undefined=0.0)
    real = np.where(total > 1e-12 * sums[:, 3], total, 0.0)  # what is left of equal truths is rounding
    return 1 - _ratio(sums[:, 1], real)


def _score(mix: tuple[int, int], hits: np.ndarray, predicted: np.ndarray, true: np.ndarray, undefined: float) -> np.ndarray:
    """(a + b) hits / (a predicted + b true) for the mix a, b: 1, 0 is precision, 0, 1 recall, and 1, 1 is F1."""
    return _ratio(sum(mix) * hits, mix[0] * predicted + mix[1] * true, undefined)


def _one_class(mix: tuple[int, int], sums: np.ndarray) -> np.ndarray:
    """The score of one class, of the sums hits, predicted, true."""
    return _score(mix, sums[:, 0], sums[:, 1], sums[:, 2], np.nan)


def _macro(mix: tuple[int, int], sums: np.ndarray) -> np.ndarray:
    """The plain mean over the classes that occur."""
    hits, predicted, true = np.split(sums, 3, axis=1)
    occurs = (predicted + true) > 0
    return _ratio((_score(mix, hits, predicted, true, 0.0) * occurs).sum(axis=1), occurs.sum(axis=1).astype(float))


def _weighted(mix: tuple[int, int], sums: np.ndarray) -> np.ndarray:
    """The mean over classes, weighted by how often each is true."""
    hits, predicted, true = np.split(sums, 3, axis=1)
    return _ratio((_score(mix, hits, predicted, true, 0.0) * true).sum(axis=1), true.sum(axis=1))


def _balanced_accuracy(sums: np.ndarray) -> np.ndarray:
    hits, _, true = np.split(sums, 3, axis=1)
    return _ratio(_ratio(hits, true, 0.0).sum(axis=1), (true > 0).sum(axis=1).astype(float))


# ------------------------------------------------------------------------------------------------------------- gathering


def _per_row(function: Callable[[np.ndarray, Predictions], np.ndarray]) -> Gather:
    """n and the sum of one number a row."""

    def gather(truth: np.ndarray, predictions: Predictions, units: Units) -> np.ndarray:
        return units.total(np.ones(len(truth)), function(truth, predictions))

    return gather


def _right(truth: np.ndarray, predictions: Predictions) -> np.ndarray:
    return np.asarray(truth == predictions.values, dtype=float)


def _residuals(truth: np.ndarray, predictions: Predictions) -> np.ndarray:
    return np.asarray(np.asarray(truth, dtype=float) - np.asarray(predictions.values, dtype=float))


def _absolute(truth: np.ndarray, predictions: Predictions) -> np.ndarray:
    return np.asarray(np.abs(_residuals(truth, predictions)))


def _squared(truth: np.ndarray, predictions: Predictions) -> np.ndarray:
    return _residuals(truth, predictions) ** 2


def _gather_relative(truth: np.ndarray, predictions: Predictions, units: Units) -> np.ndarray:
    """n, sum |y - p| / |y|, and the number of rows where y is 0."""
    relative = _ratio(_absolute(truth, predictions), np.abs(np.asarray(truth, dtype=float)), undefined=0.0)
    return units.total(np.ones(len(truth)), relative, np.asarray(truth, dtype=float) == 0)


def _gather_r2(truth: np.ndarray, predictions: Predictions, units: Units) -> np.ndarray:
    centred = np.asarray(truth, dtype=float)
    centred = centred - (centred.mean() if len(centred) else 0.0)
    return units.total(np.ones(len(truth)), _squared(truth, predictions), centred, centred**2)


def _gather_classes(truth: np.ndarray, predictions: Predictions, units: Units) -> np.ndarray:
    """Hits, predicted and true by class, side by side: (units, 3 classes)."""
    codes: dict[object, int] = {}
    true, _ = encode(truth, codes)
    predicted, kinds = encode(predictions.values, codes)
    hits = units.tally(true, kinds, where=true == predicted)
    return np.hstack([hits, units.tally(predicted, kinds), units.tally(true, kinds)])


def _gather_positive(positive: str, truth: np.ndarray, predictions: Predictions, units: Units) -> np.ndarray:
    """Hits, predicted and true of one class: (units, 3)."""
    true = np.asarray(truth == positive, dtype=float)
    predicted = np.asarray(predictions.values == positive, dtype=float)
    return units.total(true * predicted, predicted, true)


def _probability_of_truth(truth: np.ndarray, predictions: Predictions) -> np.ndarray:
    """(n,); 0 where the model does not know the class."""
    if predictions.probabilities is None:
        raise ConfigError("This metric needs probabilities and the model gives none: choose another metric or another model.")
    known = {label: column for column, label in enumerate(predictions.classes)}
    columns = np.array([known.get(label, -1) for label in np.asarray(truth).tolist()], dtype=np.intp)
    chosen = np.asarray(predictions.probabilities, dtype=float)[np.arange(len(columns)), columns]
    return np.where(columns < 0, 0.0, chosen)


def _surprise(truth: np.ndarray, predictions: Predictions) -> np.ndarray:
    """-log p of the true class, p no less than the machine's precision, so that one sure error is not infinite."""
    return np.asarray(-np.log(np.clip(_probability_of_truth(truth, predictions), np.finfo(float).eps, 1.0)))


def _brier(truth: np.ndarray, predictions: Predictions) -> np.ndarray:
    """(1 - p)^2 for two classes, sum_c (p_c - [y = c])^2 for more (Brier 1950); as scikit-learn, which halves for two."""
    of_truth = _probability_of_truth(truth, predictions)
    squares = (np.asarray(predictions.probabilities, dtype=float) ** 2).sum(axis=1)
    return np.asarray((1 - 2 * of_truth + squares) / (2 if len(predictions.classes) == 2 else 1))


# ------------------------------------------------------------------------------------------------------------- the tables


def _share(name: str, gather: Gather, finish: Finish) -> BuiltIn:
    return BuiltIn(name, True, gather, finish, (0.0, 1.0))


def _error(name: str, gather: Gather, finish: Finish, worst: float = np.inf) -> BuiltIn:
    return BuiltIn(name, False, gather, finish, (0.0, worst))


_OF_PROBABILITIES = ("log_loss", "brier_score")
_SCORES = {"precision": (1, 0), "recall": (0, 1), "f1": (1, 1)}
_BINARY = tuple(_SCORES)
_METRICS = {
    metric.name: metric
    for metric in (
        _share("accuracy", _per_row(_right), _mean),
        _share("balanced_accuracy", _gather_classes, _balanced_accuracy),
        *(_share(f"{name}_macro", _gather_classes, partial(_macro, mix)) for name, mix in _SCORES.items()),
        *(_share(f"{name}_weighted", _gather_classes, partial(_weighted, mix)) for name, mix in _SCORES.items()),
        _error("mean_absolute_error", _per_row(_absolute), _mean),
        _error("mean_squared_error", _per_row(_squared), _mean),
        _error("root_mean_squared_error", _per_row(_squared), _root_mean),
        _error("mean_absolute_percentage_error", _gather_relative, _mean_where_possible),
        BuiltIn("r2", True, _gather_r2, _r2, (-np.inf, 1.0)),
        _error("log_loss", _per_row(_surprise), _mean),
        _error("brier_score", _per_row(_brier), _mean, worst=2.0),
    )
}


def _binary(name: str, positive: str | None) -> BuiltIn:
    if positive is None:
        raise ConfigError(f"The metric {name} is about one class: name it as `positive`, or choose {name}_macro.")
    return _share(name, partial(_gather_positive, positive), partial(_one_class, _SCORES[name]))


def _negated(metric: BuiltIn) -> BuiltIn:
    low, high = metric.limits
    return replace(
        metric,
        name=f"neg_{metric.name}",
        greater_is_better=True,
        finish=lambda sums: -metric.finish(sums),
        limits=(-high, -low),
    )
