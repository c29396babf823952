"""Numbers: filled in where they are missing, capped and scaled, each by itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter, mul, sub
from typing import Any

import numpy as np

from keepfit.errors import DataError
from keepfit.serving.compiled.blocks import NotCompiled, Row, Terms, kind, refuse


@dataclass(frozen=True, kw_only=True)
class Number:
    """One column: offset + factor * (x capped between low and high - centre), or `filled` where x is missing."""

    field: str
    low: float = -math.inf
    high: float = math.inf
    centre: float = 0.0  # kept apart from `offset`: it may be a million times the distances from it
    factor: float = 1.0
    offset: float = 0.0
    filled: float | None = None  # None: a missing number is an error
    steps: tuple[tuple[str, float], ...] = ()  # the same one by one, as scikit-learn does it: to the last bit
    average: float | None = None  # of the training rows, as far as a step knows it: the mean, or what fills gaps

    def scaled(self, centre: float, scale: float) -> Number:
        """With (x - centre) / scale after all else."""
        filled = None if self.filled is None else (self.filled - centre) / scale
        if _untouched(self):
            return replace(self, centre=centre, factor=1.0 / scale, filled=filled)
        return replace(self, offset=(self.offset - centre) / scale, factor=self.factor / scale, filled=filled)

    def capped(self, low: float, high: float) -> Number:
        """With x drawn between two fences after all else."""
        if not _untouched(self):
            raise NotCompiled("caps after a scale are not compiled")
        filled = None if self.filled is None else min(max(self.filled, low), high)
        steps = (*self.steps, ("at least", low), ("at most", high))
        return replace(self, low=max(self.low, low), high=min(self.high, high), filled=filled, steps=steps)


def after(step: Any, numbers: Sequence[Number]) -> list[Number]:
    """The columns after one more step. Raises `NotCompiled`."""
    match kind(step):
        case "SimpleImputer":
            return _imputed(step, numbers)
        case "CapOutliers":
            fences = zip(numbers, step.lower_.tolist(), step.upper_.tolist(), strict=True)
            return [number.capped(low, high) for number, low, high in fences]
        case "StandardScaler":
            centres = step.mean_ if step.with_mean else None
            return _scaled(numbers, centres, step.scale_, {"minus": centres, "over": step.scale_}, step.mean_)
        case "RobustScaler":
            parts = {"minus": step.center_, "over": step.scale_}
            return _scaled(numbers, step.center_, step.scale_, parts, step.center_)
        case "MaxAbsScaler":
            return _scaled(numbers, None, step.scale_, {"over": step.scale_})
        case "MinMaxScaler" if not step.clip:
            parts = {"times": step.scale_, "plus": step.min_}
            return _scaled(numbers, -step.min_ / step.scale_, 1.0 / step.scale_, parts)
    raise refuse(step, "on numbers is not compiled")


def _imputed(step: Any, numbers: Sequence[Number]) -> list[Number]:
    missing = step.missing_values
    if step.add_indicator or not (isinstance(missing, float) and math.isnan(missing)):
        raise refuse(step, "with an indicator, or for other than NaN, is not compiled")
    values = [float(value) for value in step.statistics_]
    if any(map(math.isnan, values)):
        raise refuse(step, "that leaves out columns is not compiled")
    found = []
    for number, value in zip(numbers, values, strict=True):
        average = value if number.average is None and _untouched(number) else number.average
        filled = value if number.filled is None else number.filled
        found.append(replace(number, filled=filled, average=average, steps=(*number.steps, ("filled", value))))
    return found


def _untouched(number: Number) -> bool:
    """Whether nothing has been scaled yet."""
    return number.factor == 1.0 and number.offset == 0.0 and number.centre == 0.0


def _scaled(numbers: Sequence[Number], centres: Any, scales: Any, parts: Mapping[str, Any], means: Any = None) -> list[Number]:
    """(x - centre) / scale; `parts` is the order in which scikit-learn calculates it."""
    found = []
    for place, number in enumerate(numbers):
        centre = 0.0 if centres is None else float(centres[place])
        scale = 1.0 if scales is None else float(scales[place])
        average = float(means[place]) if means is not None and _untouched(number) else number.average
        steps = tuple((name, float(values[place])) for name, values in parts.items() if values is not None)
        found.append(replace(number.scaled(centre, scale), average=average, steps=(*number.steps, *steps)))
    return found


@dataclass(frozen=True, eq=False)
class NumberBlock:
    """`Block` of numbers."""

    numbers: Sequence[Number]

    @property
    def width(self) -> int:
        return len(self.numbers)

    def dense(self, rows: Sequence[Row]) -> np.ndarray:
        cells = np.array([[_cell(row[number.field], number) for number in self.numbers] for row in rows])
        for steps in zip(*(number.steps for number in self.numbers), strict=True):  # all went through the same
            cells = _STEPS[steps[0][0]](cells, np.array([value for _, value in steps]))
        return cells

    def weighted(self, coefficients: np.ndarray) -> WeightedNumbers:
        return WeightedNumbers(self.numbers, coefficients)


class WeightedNumbers:
    """`Weighted` numbers: the sum of slope * (x - centre)."""

    def __init__(self, numbers: Sequence[Number], coefficients: np.ndarray) -> None:
        self._numbers = numbers
        self._fields = [number.field for number in numbers]
        self._pick = itemgetter(*self._fields) if len(numbers) > 1 else lambda row, field=self._fields[0]: (row[field],)
        self._centres = [number.centre for number in numbers]
        self._lows = [number.low for number in numbers]
        self._highs = [number.high for number in numbers]
        self._capped = any(math.isfinite(number.low) or math.isfinite(number.high) for number in numbers)
        factors = np.array([number.factor for number in numbers])
        self._slopes = [list(map(float, head * factors)) for head in coefficients]
        self._constants = [
            float(sum(weight * number.offset for weight, number in zip(head, numbers, strict=True))) for head in coefficients
        ]
        averages = [number.centre if number.average is None else number.average for number in numbers]
        self._from_average = [average - centre for average, centre in zip(averages, self._centres, strict=True)]
        self._uncentred = any(self._from_average)

    def scores(self, rows: Sequence[Row], *, traced: bool) -> tuple[list[list[float]], Sequence[Any]]:  # noqa: ARG002
        traces = [self._distances(row) for row in rows]
        one = self._slopes[0]
        if len(self._slopes) == 1:
            constant = self._constants[0]
            return [[sum(map(mul, trace, one), constant)] for trace in traces], traces
        heads = list(zip(self._slopes, self._constants, strict=True))
        return [[sum(map(mul, trace, slopes), constant) for slopes, constant in heads] for trace in traces], traces

    def terms(self, trace: Any, direction: Sequence[float]) -> Terms:
        if self._uncentred:
            trace = map(sub, trace, self._from_average)
        if len(direction) == 1:
            turn = direction[0]
            return [(field, turn * d * slope) for field, d, slope in zip(self._fields, trace, self._slopes[0], strict=True)]
        slopes = [sum(map(mul, direction, of_field)) for of_field in zip(*self._slopes, strict=True)]
        return [(field, d * slope) for field, d, slope in zip(self._fields, trace, slopes, strict=True)]

    def _distances(self, row: Row) -> list[float]:
        """x - centre of every column, capped and filled in."""
        values: Any = self._pick(row)
        try:
            if self._capped:
                distances = list(map(sub, map(min, map(max, values, self._lows), self._highs), self._centres))
            else:
                distances = list(map(sub, values, self._centres))
            if sum(distances) - sum(distances) == 0.0:  # neither NaN nor infinite
                return distances
        except (TypeError, OverflowError):  # None, or a whole number beyond any float
            pass
        return [self._distance(value, number) for value, number in zip(values, self._numbers, strict=True)]

    @staticmethod
    def _distance(value: Any, number: Number) -> float:
        if value is None or value != value:
            return (_filled(number) - number.offset) / number.factor
        return min(max(_float(value, number), number.low), number.high) - number.centre


_STEPS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "filled": lambda cells, values: np.where(np.isnan(cells), values, cells),
    "at least": np.maximum,
    "at most": np.minimum,
    "minus": np.subtract,
    "over": np.divide,
    "times": np.multiply,
    "plus": np.add,
}


def _cell(value: Any, number: Number) -> float:
    return math.nan if value is None else _float(value, number)  # whether it takes empty numbers, the end says


def _filled(number: Number) -> float:
    if number.filled is None:
        raise DataError(f"{number.field} is empty, and this model takes no empty {number.field}.")
    return number.filled


def _float(value: Any, number: Number) -> float:
    try:
        return float(value)
    except (OverflowError, TypeError, ValueError) as error:
        raise DataError(f"{number.field}: expected a number.") from error
