"""Folds and windows: which rows judge a candidate inside the training rows, and how far back it looks."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold, TimeSeriesSplit

from keepfit.config import Config
from keepfit.prepared import FILE, TIME, features_of, groups_of, held_out_by, normalised

if TYPE_CHECKING:
    import pandas as pd

Fold = tuple[np.ndarray, np.ndarray]  # positions of the rows that train and of those that judge
ENOUGH = 500  # rows of the latest batches that are enough to choose a window by


def folds(rows: pd.DataFrame, target: np.ndarray, config: Config) -> Sequence[Fold]:
    """Folds that keep groups and equal rows whole and, where rows have a time, never judge the past by the future.

    Empty where there are too few rows, groups or members of a class to divide.
    """
    wanted, seed = config.train.folds, config.train.seed
    classes = config.project.task == "classification"
    groups = groups_of(rows, config)
    if groups is not None:
        largest = int(np.unique(target, return_counts=True)[1].max()) if classes else len(rows)
        count = min(wanted, len(set(groups)), largest)
        if count < 2:
            return ()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a class with fewer members than folds shows in the score
            return list((StratifiedGroupKFold if classes else GroupKFold)(count).split(rows, target, groups))
    if held_out_by(config) == "time":
        return _forward(rows, wanted)
    target = target if classes else np.zeros(len(rows))
    kind = StratifiedKFold if classes else KFold
    for belongs in (_same_rows(rows, config), np.arange(len(rows))):  # where too few rows differ, equal ones are divided too
        first = np.unique(belongs)
        count = min(wanted, _rarest(target[first], target))
        if count >= 2:
            divided = kind(count, shuffle=True, random_state=seed).split(first, target[first])
            return [_with_their_likes(first[judging], belongs) for _, judging in divided]
    return ()


def _same_rows(rows: pd.DataFrame, config: Config) -> np.ndarray:
    """For each row the position of the first one with the same features, texts compared as for the holdout."""
    import polars as pl

    features = pl.from_pandas(rows[features_of(rows)].reset_index(drop=True))
    if config.data.holdout.texts == "normalised":
        features = features.with_columns(normalised(series) for series in features if series.dtype == pl.String)
    if not features.width:
        return np.arange(len(rows))
    numbered = features.with_columns(pl.int_range(pl.len()).alias("__row"))
    return numbered.select(pl.col("__row").first().over(features.columns)).to_series().to_numpy()


def _rarest(some: np.ndarray, every: np.ndarray) -> int:
    """How many of `some` are of the class that the fewest are of, of all classes there are."""
    return min(int((some == kind).sum()) for kind in np.unique(every))


def _with_their_likes(judging: np.ndarray, belongs: np.ndarray) -> Fold:
    """The rows that judge, and all others, where of those that belong together the first is given."""
    judges = np.isin(belongs, judging)
    return np.flatnonzero(~judges), np.flatnonzero(judges)


def _forward(rows: pd.DataFrame, wanted: int) -> Sequence[Fold]:
    if len(rows) < 3:
        return ()
    order = rows[TIME].to_numpy().argsort(kind="stable")  # rows without a time come last
    return [(order[before], order[after]) for before, after in TimeSeriesSplit(min(wanted, len(rows) - 1)).split(rows)]


def last(rows: pd.DataFrame, batches: int | None) -> pd.DataFrame:
    """The rows of the latest batches, all for None; rows come in order of arrival."""
    if batches is None:
        return rows
    latest = list(dict.fromkeys(rows[FILE]))[-batches:]
    return rows[rows[FILE].isin(latest)]


def hold_back_latest(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All rows before the latest batches, and those: as few batches as make a fifth of the rows, or `ENOUGH`."""
    sizes = rows.groupby(FILE, sort=False).size()
    from_end = sizes[::-1].cumsum()
    count = int((from_end < min(0.2 * len(rows), ENOUGH)).sum()) + 1
    if count >= len(sizes):
        return rows[:0], rows
    inside = rows[FILE].isin(set(sizes.index[-count:]))
    return rows[~inside], rows[inside]


def positions(rows: pd.DataFrame, some: pd.DataFrame) -> np.ndarray:
    """Where the rows of some of the batches stand among all."""
    return np.flatnonzero(rows[FILE].isin(set(some[FILE])))


def fixed_window(config: Config) -> int | None:
    """N of the window "last N"; None where it is another."""
    window = config.retrain.window
    return int(window.split()[1]) if window.startswith("last") else None


def window_name(batches: int | None) -> str:
    """What a window is called: "all" or "last N"."""
    return "all" if batches is None else f"last {batches}"
