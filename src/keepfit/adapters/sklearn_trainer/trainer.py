"""Trains scikit-learn estimators, or whatever the project's own function returns; all is chosen inside the training rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
from sklearn.dummy import DummyClassifier, DummyRegressor
from threadpoolctl import threadpool_limits

from keepfit.adapters.sklearn_trainer.candidates import Candidates, Option
from keepfit.adapters.sklearn_trainer.search import Search, seed_everything
from keepfit.adapters.sklearn_trainer.selection import Fold, fixed_window, folds, hold_back_latest, last, positions, window_name
from keepfit.adapters.sklearn_trainer.sharing import alike
from keepfit.adapters.sklearn_trainer.threads import disturb_each_other, within_a_fit
from keepfit.config import Config
from keepfit.errors import DataError
from keepfit.fitted import FittedModel
from keepfit.ports import Engine, Metric, Model, Predictions, Trained
from keepfit.prepared import FILE, TRUTH, groups_of
from keepfit.records import CandidateScore
from keepfit.threads import Threads

if TYPE_CHECKING:
    import pandas as pd


class SklearnTrainer:
    """See `keepfit.ports.Trainer`.

    `text` names the columns that hold text; `own` is the project's train function and `build` finds its estimators, both None
    where the project has none. Candidates are tried on `engine`; the one that is chosen is fitted here, on all rows.
    """

    def __init__(
        self,
        config: Config,
        metric: Metric,
        text: Sequence[str],
        own: Callable[[Any, Any], Any] | None = None,
        build: Callable[[str], Any] | None = None,
        engine: Engine | None = None,
    ) -> None:
        self._config, self._metric, self._own = config, metric, own
        self._engine = engine or Threads(config.engine.workers)
        self._candidates = Candidates(config, text, build)
        self._classes = config.project.task == "classification"

    def train(self, rows: pd.DataFrame, features: Sequence[str]) -> Trained:
        self._check(rows, features)
        seed_everything(self._config.train.seed)
        options = [] if self._own is not None else list(self._candidates.options(rows[list(features)]))
        workers = 1 if disturb_each_other(options) else self._config.engine.workers
        with joblib.parallel_config("threading", n_jobs=workers), threadpool_limits(within_a_fit(rows, features)):
            if self._own is not None:
                return self._train_own(rows, features)
            choosing = self._config.retrain.window == "choose"
            best, window, scores = (self._choose_window if choosing else self._choose)(options, rows, features)
            chosen = last(rows, window)
            return Trained(
                model=self._fit(best, chosen, features),
                name=best.name,
                parameters=best.described(),
                window=window_name(window),
                rows=len(chosen),
                files=tuple(dict.fromkeys(chosen[FILE])),
                scores=scores,
            )

    def baseline(self, rows: pd.DataFrame) -> Model:
        dummy = DummyClassifier(strategy="most_frequent") if self._classes else DummyRegressor()
        return FittedModel(dummy.fit(np.zeros((len(rows), 1)), self._target(rows)))

    def loss_model(self, rows: pd.DataFrame, features: Sequence[str], losses: np.ndarray) -> Model:
        frame = rows[list(features)]
        pipeline = self._candidates.loss_pipeline(frame) if np.any(losses > 0) else None
        with threadpool_limits(within_a_fit(rows, features)):
            if pipeline is None:
                return FittedModel(DummyRegressor().fit(frame, losses))
            try:
                return _LossModel(pipeline.fit(frame, losses))
            except (ValueError, TypeError) as error:
                raise DataError(f"no model of the losses could be fitted: {error}") from error

    def _choose(
        self, options: Sequence[Option], rows: pd.DataFrame, features: Sequence[str]
    ) -> tuple[Option, int | None, tuple[CandidateScore, ...]]:
        """The option with the best mean over the folds of the window; a single option needs no comparison."""
        window = fixed_window(self._config)
        within = last(rows, window).reset_index(drop=True)
        divided = folds(within, self._target(within), self._config) if len(options) > 1 else ()
        found = self._scores(options, within, divided, features)
        means = [float(mean) for mean in found.mean(axis=1)] if len(divided) else [np.nan] * len(options)
        return options[self._best(means)], window, _described(options, [window] * len(options), means)

    def _choose_window(
        self, options: Sequence[Option], rows: pd.DataFrame, features: Sequence[str]
    ) -> tuple[Option, int | None, tuple[CandidateScore, ...]]:
        """The option and the window that together predict the latest batches best from those before them."""
        before, latest = hold_back_latest(rows)
        if before.empty:
            return self._choose(options, rows, features)
        windows = [None, *(size for size in self._config.retrain.windows if size < before[FILE].nunique())]
        pairs = [(option, window) for window in windows for option in options]
        splits = [(positions(rows, last(before, window)), positions(rows, latest)) for window in windows]
        scores = self._scores(options, rows, splits, features).T.ravel().tolist()
        best, window = pairs[self._best(scores)]
        return best, window, _described([option for option, _ in pairs], [window for _, window in pairs], scores)

    def _scores(self, options: Sequence[Option], rows: pd.DataFrame, splits: Sequence[Fold], features: Sequence[str]) -> np.ndarray:
        """The metric of every option (a row each) on the judging rows of every split (a column each)."""
        found = np.full((len(options), len(splits)), np.nan)
        if not splits:
            return found
        search = Search(
            rows=rows,
            features=features,
            target=self._target(rows),
            groups=groups_of(rows, self._config),
            splits=splits,
            options=options,
            metric=self._metric,
            seed=self._config.train.seed,
            threads=within_a_fit(rows, features),
        )
        parts = [(group, split) for split in range(len(splits)) for group in alike(options)]
        with self._engine.entered() as workers:
            scores = workers.each(search, parts, alone=disturb_each_other(options))
            for (group, split), of_group in zip(parts, scores, strict=True):
                found[group, split] = of_group
        return found

    def _best(self, scores: Sequence[float]) -> int:
        """Index of the best score; the first of equals, and the first candidate where nothing could be scored."""
        sign = 1 if self._metric.greater_is_better else -1
        return max(range(len(scores)), key=lambda i: (sign * scores[i] if np.isfinite(scores[i]) else -np.inf, -i))

    def _fit(self, option: Option, rows: pd.DataFrame, features: Sequence[str]) -> Any:
        pipeline = option.built()
        seed_everything(self._config.train.seed)  # whatever the search has drawn, and wherever
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # convergence and rare classes show in the score
                return pipeline.fit(rows[list(features)], self._target(rows))
        except (ValueError, TypeError) as error:
            raise DataError(f"{option.name} could not be trained: {error}") from error

    def _train_own(self, rows: pd.DataFrame, features: Sequence[str]) -> Trained:
        assert self._own is not None  # noqa: S101 - the caller has looked
        window = fixed_window(self._config)
        chosen = last(rows, window)
        model = self._own(chosen[list(features)].reset_index(drop=True), self._target(chosen))
        if not hasattr(model, "predict"):
            raise DataError(f"{self._config.train.function} returned {type(model).__name__}: expected a fitted model with predict")
        return Trained(
            model=model,
            name=self._config.train.function or "",
            parameters={},
            window=window_name(window),
            rows=len(chosen),
            files=tuple(dict.fromkeys(chosen[FILE])),
            scores=(),
        )

    def _target(self, rows: pd.DataFrame) -> np.ndarray:
        return rows[TRUTH].to_numpy(dtype=str if self._classes else float)

    def _check(self, rows: pd.DataFrame, features: Sequence[str]) -> None:
        if not features:
            raise DataError("There is no feature column to train on: the contract marks none as a feature.")
        if self._classes and rows[TRUTH].nunique() < 2:
            only = rows[TRUTH].iloc[0]
            raise DataError(f"All {len(rows)} labelled training rows are of one class, {only!r}: expected two or more classes.")


class _LossModel(FittedModel):
    """Predicts with as few threads as it was fitted with: waiting for each other costs several times the work here too."""

    def predict(self, features: pd.DataFrame) -> Predictions:
        with threadpool_limits(within_a_fit(features, list(features.columns))):
            return super().predict(features)


def _described(options: Sequence[Option], windows: Sequence[int | None], scores: Sequence[float]) -> tuple[CandidateScore, ...]:
    return tuple(
        CandidateScore(
            name=option.name,
            parameters=option.described(),
            window=window_name(window),
            score=float(score) if np.isfinite(score) else None,
        )
        for option, window, score in zip(options, windows, scores, strict=True)
    )
