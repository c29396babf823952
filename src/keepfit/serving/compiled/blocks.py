"""What the parts of a compiled model have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np

Row = dict[str, Any]
Terms = list[tuple[str, float]]  # feature -> what it added


class NotCompiled(Exception):
    """The model holds something that is not known here; the message says what."""


class Block(Protocol):
    """Some columns that are made of some fields, in the order in which the model has them."""

    @property
    def width(self) -> int:
        """How many columns."""
        ...

    def dense(self, rows: Sequence[Row]) -> np.ndarray:
        """The columns themselves, (rows, width). Raises `NotCompiled` where there are far too many, `DataError`."""
        ...

    def weighted(self, coefficients: np.ndarray) -> Weighted:
        """This block times coefficients (heads, width)."""
        ...


class Weighted(Protocol):
    """A block times the coefficients of one or several linear models ("heads")."""

    def scores(self, rows: Sequence[Row], *, traced: bool) -> tuple[list[list[float]], Sequence[Any]]:
        """What the block adds to each head's score of each row, and, where `traced`, what `terms` wants to know of each row.
        Raises `DataError` for a row that the model cannot take."""
        ...

    def terms(self, trace: Any, direction: Sequence[float]) -> Terms:
        """What each feature of a row added to the sum of the heads' scores times `direction` (heads,)."""
        ...


def kind(thing: Any) -> str:
    """The name of the class where it is scikit-learn's or keepfit's own; else empty, so that a class that only has the name of
    one is not taken for it."""
    package = type(thing).__module__.partition(".")[0]
    return type(thing).__name__ if package in ("sklearn", "keepfit") else ""


def refuse(thing: Any, why: str = "") -> NotCompiled:
    """The error for a part that is not known."""
    return NotCompiled(f"{type(thing).__name__} {why or 'is not one of the steps that are compiled'}")
