"""What a loaded model version says, and what serving needs of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from keepfit.inputs import Inputs


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one feature, or one term of a text, added to the answer."""

    feature: str  # the field, or for texts the word(s) as they stand in the text, lower-cased
    contribution: float  # in log-odds (or the target's units) towards the answer; negative: against it


@dataclass(frozen=True, slots=True)
class Answer:
    """Of one row."""

    prediction: str | float  # class as text, or a number
    confidence: float | None  # how likely the prediction is right, 0 to 1; None for numbers and where the model cannot tell
    probabilities: dict[str, float] | None  # the model's own, of every class; None where it gives none
    top_features: tuple[Contribution, ...]  # the largest first; empty where the model cannot be taken apart


class Loaded(Protocol):
    """A model version in memory, ready to answer. Used by one thread at a time."""

    @property
    def inputs(self) -> Inputs: ...

    @property
    def quick(self) -> bool:
        """Whether a small batch takes well under a millisecond, so that it may be answered without leaving the event loop."""
        ...

    @property
    def together(self) -> bool:
        """Whether rows of different requests may be answered together; not where the project's own prepare makes their features."""
        ...

    def answer(self, rows: Sequence[dict[str, Any]], top: int = 0) -> list[Answer]:
        """One answer a row, with up to `top` features each. `rows` hold every field of `inputs.columns`, validated, None where
        empty. Raises `UserCodeError`, `DataError`."""
        ...
