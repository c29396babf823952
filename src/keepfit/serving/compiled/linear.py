"""Blocks and a linear end together: answers, and what each feature contributed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keepfit.serving.compiled.blocks import Block, NotCompiled, Row, Terms, Weighted
from keepfit.serving.compiled.columns import Columns
from keepfit.serving.compiled.ends import End
from keepfit.serving.compiled.texts import Text, present

Said = tuple[int, list[float] | None, float | None, Terms]  # class, probabilities, number, what each feature added


class Linear:
    """A compiled model whose end is linear. `classes` are empty for a regression."""

    def __init__(self, columns: Columns, end: End) -> None:
        blocks, coefficients, intercepts = _pulled_back(columns, end)
        self.classes, self.blocks = end.classes, blocks
        self._tell = end.tell
        self._intercepts = intercepts.tolist()
        self._directions = end.directions.tolist()
        self._parts: list[Weighted] = []
        start = 0
        for block in blocks:
            self._parts.append(block.weighted(coefficients[:, start : start + block.width]))
            start += block.width

    def say(self, rows: Sequence[Row], *, traced: bool = False) -> list[Said]:
        """What the model says of each row; with `traced` also what each feature added, in no order. Raises `DataError`."""
        found = [part.scores(rows, traced=traced) for part in self._parts]
        if len(found) == 1 and len(self._intercepts) == 1:
            intercept = self._intercepts[0]
            scores = [[score + intercept] for (score,) in found[0][0]]
        else:
            each = zip(*(scores for scores, _ in found), strict=True)
            scores = [list(map(sum, zip(self._intercepts, *parts, strict=True))) for parts in each]
        told = [self._told(score) for score in scores]
        if not traced:
            return told
        return [(*one[:3], self._terms([traces[line] for _, traces in found], one[0])) for line, one in enumerate(told)]

    def _told(self, scores: Sequence[float]) -> Said:
        if self._tell is None:
            return 0, None, scores[0], []
        place, probabilities = self._tell(scores)
        return place, probabilities, None, []

    def _terms(self, traces: Sequence[Any], place: int) -> Terms:
        direction = self._directions[place]
        if len(self._parts) == 1:
            return self._parts[0].terms(traces[0], direction)
        found: Terms = []
        for part, trace in zip(self._parts, traces, strict=True):
            found += part.terms(trace, direction)
        summed: dict[str, float] = {}  # a word may be told by its own column and by those of its characters
        for name, value in found:
            summed[name] = summed.get(name, 0.0) + value
        return list(summed.items())


def _pulled_back(columns: Columns, end: End) -> tuple[Sequence[Block], np.ndarray, np.ndarray]:
    """The blocks with the end's coefficients for them, through whatever stands in between."""
    blocks, coefficients, intercepts = columns.blocks, end.coefficients, np.array(end.intercepts, dtype=float)
    if end.presence:
        moved = columns.shifts is not None and columns.shifts.any()
        turned = columns.factors is not None and not (columns.factors > 0).all()
        if moved or turned or not all(isinstance(block, Text) for block in blocks):
            raise NotCompiled("a naive Bayes of yes and no, of other than texts")
        blocks = [present(block) for block in blocks if isinstance(block, Text)]
    elif columns.shifts is not None and columns.factors is not None:
        intercepts = intercepts + coefficients @ columns.shifts
        coefficients = coefficients * columns.factors
    if columns.kept is not None:
        whole = np.zeros((len(coefficients), columns.width))
        whole[:, columns.kept] = coefficients
        coefficients = whole
    if coefficients.shape[1] != columns.width:
        raise NotCompiled(f"an end of {coefficients.shape[1]} columns behind {columns.width}")
    return blocks, coefficients, intercepts
