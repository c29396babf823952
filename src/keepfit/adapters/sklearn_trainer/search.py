"""The search among candidates as it is shared out: every part fits some options on the rows of one split and judges them on others.

It holds all that the parts have in common, so that it travels to a worker once, and nothing of the settings, which may hold
passwords.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from keepfit.adapters.sklearn_trainer.candidates import Option
from keepfit.adapters.sklearn_trainer.selection import Fold
from keepfit.adapters.sklearn_trainer.sharing import divided
from keepfit.fitted import FittedModel
from keepfit.ports import Metric
from keepfit.prepared import TRUTH, for_metric
from keepfit.stats.units import value

if TYPE_CHECKING:
    import pandas as pd

Part = tuple[Sequence[int], int]  # which options, of which the preparation is alike, on which split


@dataclass(frozen=True, kw_only=True, eq=False)
class Search:
    """What to fit and to judge. Called with a part, it returns the metric of each of its options."""

    rows: pd.DataFrame
    features: Sequence[str]
    target: np.ndarray  # (n,) as the estimators take it
    groups: np.ndarray | None  # (n,) what an interval may resample; None where rows are independent
    splits: Sequence[Fold]  # positions of the rows to fit on, and of those to judge on
    options: Sequence[Option]
    metric: Metric
    seed: int
    threads: int | None  # within a fit

    def __call__(self, part: Part) -> list[float]:
        positions, split = part
        seed_everything(self.seed)
        with threadpool_limits(self.threads):
            return self._judged([self.options[position] for position in positions], *self.splits[split])

    def _judged(self, options: Sequence[Option], training: np.ndarray, judging: np.ndarray) -> list[float]:
        """The metric of options that prepare alike on rows that no fit has seen; NaN where one cannot be fitted or scored."""
        target = self.target[training]
        preparation, _ = divided(options[0].built())
        given = self.rows.iloc[training][list(self.features)]
        judged = self.rows.iloc[judging].reset_index(drop=True)
        asked = judged[list(self.features)]
        groups = None if self.groups is None else self.groups[judging]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # convergence and rare classes show in the score
            if preparation is not None:
                try:
                    given = preparation.fit_transform(given, target)
                except (ValueError, TypeError):
                    return [float("nan")] * len(options)
                asked = preparation.transform(asked)
            return [self._score(divided(option.built())[1], given, target, asked, judged, groups) for option in options]

    def _score(
        self, estimator: Any, given: Any, target: np.ndarray, asked: Any, judged: pd.DataFrame, groups: np.ndarray | None
    ) -> float:
        try:
            model = FittedModel(estimator.fit(given, target))
        except (ValueError, TypeError):
            return float("nan")
        score = value(self.metric.statistics(judged[TRUTH].to_numpy(), model.predict(asked), groups, for_metric(judged)))
        return float("nan") if score is None else score


def seed_everything(seed: int) -> None:
    """For functions and estimators that draw from the whole process' sources."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
