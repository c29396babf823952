"""Floors, and both models on parts of the holdout: a better mean must not hide a part that became worse."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np

from keepfit.ports import Statistics
from keepfit.records import SliceVerdict
from keepfit.stats.units import value

MISSING = "(missing)"  # the value of rows where the column is None or NaN


def meets(value: float | None, floor: float, greater_is_better: bool) -> bool:
    """Whether a metric is no worse than its floor, which is a ceiling for errors. An undefined metric is not.

    >>> meets(0.9, 0.8, greater_is_better=True), meets(0.9, 0.8, greater_is_better=False), meets(None, 0.8, True)
    (True, False, False)
    """
    if value is None:
        return False
    return value >= floor if greater_is_better else value <= floor


def compare_slices(
    columns: Mapping[str, np.ndarray],
    statistics: Callable[[np.ndarray], tuple[Statistics, Statistics]],
    *,
    greater_is_better: bool,
    min_rows: int = 30,
    floor: float | None = None,
    max_loss: float | None = None,
) -> tuple[SliceVerdict, ...]:
    """Judge the challenger on the rows of every value of every column that has at least `min_rows` rows.

    Args:
        columns: name to values (n,), in the order of the holdout.
        statistics: champion's and challenger's statistics on the rows of a mask (n,).
        floor: the challenger fails where it is worse than this.
        max_loss: it fails where it is worse than the champion by more than this.

    Plain comparisons without a test: with few rows a limit is crossed by chance now and then, so choose `min_rows` with
    `max_loss` in mind. Where the metric is undefined for both models a slice is not judged and passes; where it is so for the
    challenger alone it fails. Verdicts come by column, then value; rows without a value are the slice "(missing)".
    """
    verdicts = []
    for column, values in columns.items():
        names = named(values)
        for name in sorted(set(names)):
            mask = names == name
            if mask.sum() >= min_rows:
                before, after = (value(each) for each in statistics(mask))
                reason, passed = _judge(before, after, 1 if greater_is_better else -1, floor, max_loss)
                verdict = SliceVerdict(
                    column=column,
                    value=name,
                    n=int(mask.sum()),
                    champion=before,
                    challenger=after,
                    passed=passed,
                    reason=reason,
                )
                verdicts.append(verdict)
    return tuple(verdicts)


def named(values: np.ndarray) -> np.ndarray:
    """The slice of each row (n,), by its value as text.

    >>> named(np.array(["a", None, 1.0], dtype=object)).tolist()
    ['a', '(missing)', '1.0']
    """
    return np.array([_name(value) for value in np.asarray(values).tolist()], dtype=object)


def quartered(values: np.ndarray, most: int = 6) -> tuple[np.ndarray, tuple[str, ...]]:
    """The slice of each row (n,) and the slices in their order: numbers by their quartiles, all else, and numbers of which there
    are at most `most` different ones, by value.

    A quartile's slice holds its upper end and not its lower. Where quartiles coincide, slices do.

    >>> slices, order = quartered(np.array([1.0, 2, 3, 4, 5, 6, 7, np.nan]))
    >>> slices.tolist()[:3], order
    (['up to 2', 'up to 2', '2 to 4'], ('up to 2', '2 to 4', '4 to 6', 'above 6', '(missing)'))
    """
    values = np.asarray(values)
    names = named(values)
    if values.dtype.kind not in "iuf":
        return names, (*sorted(set(names) - {MISSING}), *({MISSING} & set(names)))
    filled = names != MISSING
    different = np.unique(values[filled])
    if len(different) <= most:
        within = [f"{number:.15g}" for number in different]
        names[filled] = np.array(within, dtype=object)[np.searchsorted(different, values[filled])]
    else:
        edges = np.unique(np.quantile(values[filled], [0.25, 0.5, 0.75], method="inverted_cdf"))
        ends = _told_apart(edges)
        within = [f"up to {ends[0]}", *(f"{low} to {high}" for low, high in pairwise(ends)), f"above {ends[-1]}"]
        names[filled] = np.array(within, dtype=object)[np.searchsorted(edges, values[filled], side="left")]
    return names, tuple(name for name in (*within, MISSING) if (names == name).any())


def _told_apart(numbers: np.ndarray) -> list[str]:
    """Numbers as text, with as few digits as tell them apart, at least four."""
    texts = ([f"{number:.{digits}g}" for number in numbers] for digits in (4, 8, 17))
    return next(each for each in texts if len(set(each)) == len(each))


def _judge(before: float | None, after: float | None, sign: int, floor: float | None, max_loss: float | None) -> tuple[str, bool]:
    """Reason and whether the challenger passes; `sign` is -1 where less is better."""
    if after is None:
        known = before is not None
        return "undefined for the challenger" if known else "undefined here: not judged", not known
    if floor is not None and not meets(after, floor, sign > 0):
        return f"{after:.4g} is {'below the floor' if sign > 0 else 'above the ceiling'} of {floor:.4g}", False
    if max_loss is not None and before is not None and sign * (before - after) - max_loss > 1e-12:
        return f"{sign * (before - after):.4g} worse than the champion, more than {max_loss:.4g}", False
    return "", True


def _name(value: object) -> str:
    return MISSING if value is None or value != value else str(value)  # NaN alone differs from itself
