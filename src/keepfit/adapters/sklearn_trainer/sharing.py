"""Options that prepare rows alike share the preparation: it is fitted once on the rows of a fold, whatever comes behind it.

On texts that is nearly all of the work: counting words and their pieces takes ten times as long as fitting a linear model on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import joblib
from sklearn.pipeline import Pipeline

from keepfit.adapters.sklearn_trainer.candidates import Option

_IN_PLACE = ("copy", "copy_X", "copy_x")  # parameters that let an estimator write over what it is given, when they are False


def alike(options: Sequence[Option]) -> list[list[int]]:
    """The positions of the options whose preparation is the same by value, together, in the order of the first of each."""
    groups: dict[object, list[int]] = {}
    for position, option in enumerate(options):
        preparation, last = divided(option.built())
        groups.setdefault(position if _writes_over(last) else _named(preparation, position), []).append(position)
    return list(groups.values())


def divided(pipeline: Pipeline) -> tuple[Pipeline | None, Any]:
    """All steps but the last, and the last; a pipeline that is the last step is opened. None where there is only one step."""
    steps = _opened(pipeline)
    numbered = [(str(number), step) for number, step in enumerate(steps[:-1])]
    return Pipeline(numbered) if numbered else None, steps[-1]


def _opened(pipeline: Pipeline) -> list[Any]:
    *before, last = (step for _, step in pipeline.steps)
    plain = type(last) is Pipeline and getattr(last, "transform_input", None) is None
    return [*before, *(_opened(last) if plain else [last])]


def _named(preparation: Pipeline | None, position: int) -> object:
    """What equal preparations have in common; the position, which nobody shares, where that cannot be told."""
    try:
        return joblib.hash(preparation)
    except Exception:  # what it raises for things that cannot be pickled, such as functions within functions, is their own
        return position


def _writes_over(estimator: Any) -> bool:
    return any(value is False and name.rpartition("__")[2] in _IN_PLACE for name, value in estimator.get_params().items())
