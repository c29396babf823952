"""Categories: filled in where they are missing, and one column of zeros and ones for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from keepfit.errors import DataError
from keepfit.serving.compiled.blocks import Row, Terms, kind, refuse

BLANKS = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
_REFUSED = -2  # a value that the encoder was told to refuse
_NOWHERE = -1  # a value that sets no column


@dataclass(frozen=True, kw_only=True)
class Category:
    """A field of categories, and what stands for a missing one."""

    field: str
    filled: Any = None
    written: bool = False  # a text by its contract, of which blanks at its ends are a part

    def of(self, row: Row) -> Any:
        """The category of a row, or what stands for a missing one."""
        value = row[self.field]
        if self.written and isinstance(value, str):
            return value if value.strip() else self.filled
        return clean(value) or self.filled


def clean(value: Any) -> str:
    """A category as the rows of training have it, without blanks around it; empty where there is nothing."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or value != value:
        return ""
    text = str(value).strip(BLANKS)
    return "" if "\n" in text else text  # a quote that was opened by mistake


def after(step: Any, categories: Sequence[Category]) -> list[Category]:
    """The fields after an imputer. Raises `NotCompiled`."""
    if kind(step) != "SimpleImputer" or step.add_indicator or step.missing_values is not None:
        raise refuse(step, "on categories is not compiled")
    if len(step.statistics_) != len(categories) or not all(isinstance(value, str) for value in step.statistics_):
        raise refuse(step, "of other than texts is not compiled")
    found = zip(categories, step.statistics_, strict=True)
    return [replace(category, filled=category.filled or str(value)) for category, value in found]


@dataclass(frozen=True, eq=False)
class CategoryBlock:
    """`Block` of one-hot columns."""

    categories: Sequence[Category]
    columns: Sequence[dict[Any, int]]  # of each field: category -> its column; `_NOWHERE`, `_REFUSED`
    unknown: Sequence[int]  # of each field: the column of any other category
    width: int

    def places(self, row: Row) -> list[int]:
        """The columns that are 1, one a field; `_NOWHERE` for a field that sets none."""
        found = []
        for category, columns, unknown in zip(self.categories, self.columns, self.unknown, strict=True):
            value = row[category.field]
            place = columns.get(value) if type(value) is str else None
            if place is None:
                value = category.of(row)
                place = columns.get(value, unknown)
            if place == _REFUSED:
                raise DataError(f"{category.field} is a category that this model does not know, and it takes none of these.")
            found.append(place)
        return found

    def dense(self, rows: Sequence[Row]) -> np.ndarray:
        found = np.zeros((len(rows), self.width))
        for line, row in enumerate(rows):
            found[line, [place for place in self.places(row) if place >= 0]] = 1.0
        return found

    def weighted(self, coefficients: np.ndarray) -> WeightedCategories:
        return WeightedCategories(self, coefficients)


class WeightedCategories:
    """`Weighted` categories: the sum of the coefficients of the columns that are 1."""

    def __init__(self, block: CategoryBlock, coefficients: np.ndarray) -> None:
        self._block = block
        self._fields = [category.field for category in block.categories]
        self._coefficients = [[*map(float, head), 0.0] for head in coefficients]  # `_NOWHERE` is the last

    def scores(self, rows: Sequence[Row], *, traced: bool) -> tuple[list[list[float]], Sequence[Any]]:  # noqa: ARG002
        traces = [self._block.places(row) for row in rows]
        return [[sum(map(head.__getitem__, places)) for head in self._coefficients] for places in traces], traces

    def terms(self, trace: Any, direction: Sequence[float]) -> Terms:
        heads = list(zip(direction, self._coefficients, strict=True))
        return [(field, sum(turn * head[place] for turn, head in heads)) for field, place in zip(self._fields, trace, strict=True)]


def one_hot(encoder: Any, categories: Sequence[Category]) -> CategoryBlock:
    """The columns of a fitted `OneHotEncoder`. Raises `NotCompiled`."""
    infrequent = getattr(encoder, "infrequent_categories_", None)
    columns: list[dict[Any, int]] = []
    unknown: list[int] = []
    start = 0
    for number, known in enumerate(encoder.categories_):
        names = [None if value != value else value for value in known.tolist()]
        rare = [] if infrequent is None or infrequent[number] is None else infrequent[number].tolist()
        dropped = None if encoder.drop_idx_ is None else encoder.drop_idx_[number]
        places, count, rare_place = _layout(names, rare, dropped)
        columns.append({name: _NOWHERE if place < 0 else start + place for name, place in places.items()})
        unknown.append(_unknown(encoder.handle_unknown, start, rare_place))
        start += count
    if start != len(encoder.get_feature_names_out()) or not all(_texts(known) for known in columns):
        raise refuse(encoder, "with these categories is not compiled")
    return CategoryBlock(categories, columns, unknown, start)


def _layout(names: Sequence[Any], rare: Sequence[Any], dropped: int | None) -> tuple[dict[Any, int], int, int | None]:
    """The column of each category of one field, how many there are, and that of the rare ones. Frequent categories come first, in
    their order; then one column for all rare ones. One may be left out."""
    order: list[Any] = [name for name in names if name not in rare]
    group = {name: place for place, name in enumerate(order)}
    count = len(order)
    rare_place = None
    if rare:
        rare_place, count = count, count + 1
        group |= dict.fromkeys(rare, rare_place)
    if dropped is None:
        return group, count, rare_place
    out = group[names[int(dropped)]]
    moved = {name: _NOWHERE if place == out else place - (place > out) for name, place in group.items()}
    rare_place = None if rare_place is None else (_NOWHERE if rare_place == out else rare_place - (rare_place > out))
    return moved, count - 1, rare_place


def _unknown(handle: str, start: int, rare: int | None) -> int:
    if handle == "error":
        return _REFUSED
    if handle == "ignore" or rare is None or rare < 0:
        return _NOWHERE
    return start + rare


def _texts(known: dict[Any, int]) -> bool:
    return all(name is None or isinstance(name, str) for name in known)
