"""Checks the decision trees of a loaded model.

scikit-learn follows the indices in a tree's nodes in compiled code without checking them, so a tree from a hostile file could
read foreign memory, or run in circles. Its own builders number children after their parent; a tree that does so ends, and
stays within its nodes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from keepfit.errors import ModelRefused

TREE = ("sklearn.tree._tree", "Tree")
PREDICTOR = ("sklearn.ensemble._hist_gradient_boosting.predictor", "TreePredictor")


def check_trees(model: Any) -> None:
    """Raises `ModelRefused` when a tree anywhere in the model points outside of itself or of its features."""
    for thing, width in _reachable(model):
        kind = (type(thing).__module__, type(thing).__name__)
        if kind == TREE:
            nodes = thing.__getstate__()["nodes"]
            sound = thing.n_features == width and _sound(
                nodes["left_child"], nodes["right_child"], nodes["feature"], nodes["left_child"] == -1, width
            )
        elif kind == PREDICTOR:
            sound = _sound_predictor(thing, width)
        else:
            continue
        if not sound:
            raise ModelRefused("The model holds a decision tree whose nodes point outside of it: the file is damaged or hostile.")


def _sound(left: Any, right: Any, feature: Any, leaf: Any, width: int | None) -> bool:
    if width is None or len(leaf) == 0:
        return False
    inner = np.flatnonzero(~leaf)
    children = np.stack([left[inner], right[inner]]).astype(np.int64)
    features = feature[inner].astype(np.int64)
    return bool((children > inner).all() and (children < len(leaf)).all() and (features >= 0).all() and (features < width).all())


def _sound_predictor(predictor: Any, width: int | None) -> bool:
    from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE

    nodes, bitsets = predictor.nodes, predictor.raw_left_cat_bitsets
    if nodes.dtype != PREDICTOR_RECORD_DTYPE or nodes.ndim != 1 or bitsets.ndim != 2:
        return False
    leaf = nodes["is_leaf"].astype(bool)
    categorical = ~leaf & nodes["is_categorical"].astype(bool)
    within = not categorical.any() or (bitsets.shape[1] == 8 and (nodes["bitset_idx"][categorical] < len(bitsets)).all())
    return bool(within and _sound(nodes["left"], nodes["right"], nodes["feature_idx"], leaf, width))


def _reachable(model: Any) -> Iterator[tuple[Any, int | None]]:
    """Every object in the model, with the number of features of the estimator that it belongs to.

    A forest or a boosting model hands its rows to its trees unchecked, so its number counts for all beneath it.
    """
    seen: set[tuple[int, int | None]] = set()
    stack: list[tuple[Any, int | None, bool]] = [(model, None, False)]
    while stack:
        thing, width, fixed = stack.pop()
        if isinstance(thing, str | bytes | int | float | type(None)) or (id(thing), width) in seen:
            continue
        seen.add((id(thing), width))
        yield thing, width
        if not fixed:
            width = getattr(thing, "n_features_in_", width) if hasattr(thing, "get_params") else width
            fixed = type(thing).__module__.startswith("sklearn.ensemble._") and _passes_rows_on(thing)
        stack.extend((part, width, fixed) for part in _parts(thing))


def _passes_rows_on(thing: Any) -> bool:
    return type(thing).__module__.rpartition(".")[2] in {"_forest", "_gb", "_iforest", "gradient_boosting"}


def _parts(thing: Any) -> list[Any]:
    if isinstance(thing, dict):
        return list(thing.values())
    if isinstance(thing, list | tuple | set):
        return list(thing)
    if isinstance(thing, np.ndarray):
        return list(thing.flat) if thing.dtype == object else []
    return list(getattr(thing, "__dict__", {}).values())
