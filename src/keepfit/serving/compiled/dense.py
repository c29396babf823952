"""Blocks and any end: its columns as one array, without the tables in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keepfit.serving.compiled.blocks import NotCompiled, Row, kind
from keepfit.serving.compiled.columns import Columns
from keepfit.serving.compiled.linear import Said

_LARGEST = (  # ends whose class is always that of the largest probability
    "HistGradientBoostingClassifier",
    "RandomForestClassifier",
    "ExtraTreesClassifier",
    "DecisionTreeClassifier",
    "ExtraTreeClassifier",
    "KNeighborsClassifier",
)


class Dense:
    """A compiled model whose end predicts from an array. It cannot be taken apart into what features added."""

    def __init__(self, columns: Columns, end: Any) -> None:
        if not all(hasattr(block, "numbers") or hasattr(block, "categories") for block in columns.blocks):
            raise NotCompiled(f"texts before {type(end).__name__}")
        if columns.kept is not None or columns.factors is not None:
            raise NotCompiled(f"a step between columns and {type(end).__name__}")
        if hasattr(end, "feature_names_in_"):
            raise NotCompiled(f"{type(end).__name__} was fitted on a table, and wants one")
        self.blocks, self._end = columns.blocks, end
        known = getattr(end, "classes_", None)
        self.classes = () if known is None else tuple(str(name) for name in np.asarray(known).tolist())
        self._places = {name: place for place, name in enumerate(self.classes)}
        self._probable = bool(self.classes) and hasattr(end, "predict_proba")
        self._by_largest = self._probable and kind(end) in _LARGEST

    def say(self, rows: Sequence[Row], *, traced: bool = False) -> list[Said]:  # noqa: ARG002
        """What the model says of each row. Raises `DataError`."""
        parts = [block.dense(rows) for block in self.blocks]
        cells = parts[0] if len(parts) == 1 else np.hstack(parts)
        if not self.classes:
            return [(0, None, value, []) for value in np.asarray(self._end.predict(cells), dtype=float).reshape(-1).tolist()]
        told = np.asarray(self._end.predict_proba(cells), dtype=float) if self._probable else None
        if self._by_largest and told is not None:
            places = told.argmax(axis=1).tolist()
        else:
            places = [self._places[str(name)] for name in np.asarray(self._end.predict(cells)).tolist()]
        probabilities = [None] * len(rows) if told is None else told.tolist()
        return [(place, one, None, []) for place, one in zip(places, probabilities, strict=True)]
