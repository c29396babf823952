"""Trains scikit-learn estimators, or whatever the project's own function returns.

All that is fitted (imputers, scalers, encoders, vocabularies) is inside one pipeline, fitted on training rows only. Candidates
and their settings are chosen by cross-validation inside those rows, with folds that keep together what belongs together.
"""

from __future__ import annotations

import importlib
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.impute import SimpleImputer
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    ParameterGrid,
    ParameterSampler,
    StratifiedGroupKFold,
    StratifiedKFold,
    TimeSeriesSplit,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from keepfit.config import CandidateSettings, Config
from keepfit.errors import ConfigError, DataError
from keepfit.fitted import FittedModel
from keepfit.ports import Metric, Model, Trained
from keepfit.records import CandidateScore
from keepfit.rows import FILE, TIME, TRUTH, for_metric, groups_of, held_out_by
from keepfit.stats.units import value
from keepfit.steps import CapOutliers, OneText

if TYPE_CHECKING:
    import pandas as pd

DEFAULTS = {
    "classification": ("sklearn.linear_model.LogisticRegression", "sklearn.ensemble.HistGradientBoostingClassifier"),
    "regression": ("sklearn.linear_model.Ridge", "sklearn.ensemble.HistGradientBoostingRegressor"),
}
PATIENCE = {"max_iter": 1000}  # for the linear default: scikit-learn's own 100 is too few for one-hot and text columns


@dataclass(frozen=True, kw_only=True)
class _Option:
    """One candidate with one setting of its search."""

    name: str
    pipeline: Any
    parameters: dict[str, Any]

    def built(self) -> Any:
        return clone(self.pipeline).set_params(**self.parameters)

    def described(self) -> dict[str, str]:
        return {name: str(setting) for name, setting in self.parameters.items()}


class SklearnTrainer:
    """See `keepfit.ports.Trainer`.

    `text` names the columns that hold text; `own` is the project's train function and `build` finds its estimators, both None
    where the project has none.
    """

    def __init__(
        self,
        config: Config,
        metric: Metric,
        text: Sequence[str],
        own: Callable[[Any, Any], Any] | None = None,
        build: Callable[[str], Any] | None = None,
    ) -> None:
        self._config, self._metric, self._text, self._own, self._build = config, metric, set(text), own, build
        self._classes = config.project.task == "classification"

    def train(self, rows: pd.DataFrame, features: Sequence[str]) -> Trained:
        self._check(rows, features)
        seed = self._config.train.seed
        random.seed(seed)
        np.random.seed(seed % 2**32)
        with joblib.parallel_config(n_jobs=self._config.engine.workers), threadpool_limits(_threads(rows, features)):
            if self._own is not None:
                return self._train_own(rows, features)
            options = list(self._options(rows[list(features)]))
            considered = _last(rows, size) if (size := self._fixed_window()) else rows
            scores = self._cross_validate(options, considered, features) if len(options) > 1 else [None]
            best = options[self._best(scores)]
            window, chosen, window_scores = self._window(best, rows, features)
            fitted = self._fit(best, chosen, features)
        described = tuple(
            CandidateScore(name=option.name, parameters=option.described(), window="all", score=score)
            for option, score in zip(options, scores, strict=True)
        )
        return Trained(
            model=fitted,
            name=best.name,
            parameters=best.described(),
            window=window,
            rows=len(chosen),
            scores=(*described, *window_scores),
        )

    def baseline(self, rows: pd.DataFrame) -> Model:
        dummy = DummyClassifier(strategy="most_frequent") if self._classes else DummyRegressor()
        return FittedModel(dummy.fit(np.zeros((len(rows), 1)), self._target(rows)))

    # ------------------------------------------------------------------------------------------------------ candidates

    def _options(self, frame: pd.DataFrame) -> Iterator[_Option]:
        for settings in self._candidates():
            estimator = self._estimator(settings)
            name = settings.name or type(estimator).__name__
            steps = (
                [("columns", self._columns(frame)), ("estimator", estimator)]
                if settings.preprocess
                else [("estimator", estimator)]
            )
            pipeline = Pipeline(steps)
            for parameters in self._searched(settings):
                _check_parameters(name, pipeline, parameters)
                yield _Option(name=name, pipeline=pipeline, parameters=parameters)

    def _candidates(self) -> Sequence[CandidateSettings]:
        if self._config.train.candidates:
            return self._config.train.candidates
        linear, boosting = DEFAULTS[self._config.project.task]
        patience = PATIENCE if self._classes else {}
        first = CandidateSettings(estimator=linear, parameters=patience)
        return (first,) if self._text else (first, CandidateSettings(estimator=boosting))

    def _estimator(self, settings: CandidateSettings) -> Any:
        if settings.build is not None and self._build is not None:
            estimator = self._build(settings.build)
        else:
            estimator = _constructed(settings)
        if not all(hasattr(estimator, method) for method in ("fit", "predict", "get_params")):
            kind = type(estimator).__name__
            raise ConfigError(
                f"[[train.candidates]] {settings.estimator or settings.build} gives a {kind}, which cannot predict"
            )
        seeded = {
            name: self._config.train.seed for name, given in estimator.get_params().items() if _is_seed(name) and given is None
        }
        return estimator.set_params(**seeded)

    def _searched(self, settings: CandidateSettings) -> Sequence[dict[str, Any]]:
        """All settings of the search when they are few, otherwise a seeded sample of them."""
        grid = {name: list(values) for name, values in settings.search.items()}
        if not grid:
            return [{}]
        if len(ParameterGrid(grid)) <= self._config.train.search_iterations:
            return list(ParameterGrid(grid))
        return list(ParameterSampler(grid, self._config.train.search_iterations, random_state=self._config.train.seed))

    def _columns(self, frame: pd.DataFrame) -> ColumnTransformer:
        """Numbers: median, caps where wanted, standard scale. Categories: mode, one-hot. Texts: tf-idf."""
        texts = [name for name in frame.columns if name in self._text]
        numbers = [name for name in frame.columns if frame[name].dtype.kind in "fiub"]
        categories = [name for name in frame.columns if name not in (*texts, *numbers)]
        parts: list[Any] = []
        if numbers:
            parts.append(("numbers", self._number_steps(), numbers))
        if categories:
            mode = SimpleImputer(strategy="most_frequent", missing_values=None, keep_empty_features=True)
            one_hot = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=5, sparse_output=bool(texts))
            parts.append(("categories", Pipeline([("impute", mode), ("encode", one_hot)]), categories))
        parts += [(_text_step(name, texts), _text_pipeline(), [name]) for name in texts]
        return ColumnTransformer(parts, sparse_threshold=1.0 if texts else 0.0)

    def _number_steps(self) -> Pipeline:
        factor = self._config.train.cap_outliers
        caps = [("cap", CapOutliers(factor=factor))] if factor is not None else []
        median = SimpleImputer(strategy="median", keep_empty_features=True)
        return Pipeline([*caps, ("impute", median), ("scale", StandardScaler())])

    # ------------------------------------------------------------------------------------------------------- selection

    def _cross_validate(self, options: Sequence[_Option], rows: pd.DataFrame, features: Sequence[str]) -> list[float | None]:
        folds = list(self._folds(rows))
        if not folds:
            return [None] * len(options)
        work = [(option, training, judging) for option in options for training, judging in folds]
        found = joblib.Parallel(prefer="threads")(
            joblib.delayed(self._score)(option, rows.iloc[training], rows.iloc[judging], features)
            for option, training, judging in work
        )
        by_option = np.array(found, dtype=float).reshape(len(options), len(folds))
        return [float(mean) if np.isfinite(mean) else None for mean in by_option.mean(axis=1)]

    def _score(self, option: _Option, training: pd.DataFrame, judging: pd.DataFrame, features: Sequence[str]) -> float:
        """The metric on rows that this fit has not seen; NaN where it cannot be fitted or scored."""
        try:
            model = FittedModel(self._fit(option, training, features))
        except DataError:
            return float("nan")
        judging = judging.reset_index(drop=True)
        predictions = model.predict(judging[list(features)])
        groups = groups_of(judging, self._config)
        score = value(self._metric.statistics(judging[TRUTH].to_numpy(), predictions, groups, for_metric(judging)))
        return float("nan") if score is None else score

    def _folds(self, rows: pd.DataFrame) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Folds that keep groups whole and, where rows have a time, never judge the past by the future."""
        wanted, seed = self._config.train.folds, self._config.train.seed
        groups, target = groups_of(rows, self._config), self._target(rows)
        if groups is not None:
            count = min(wanted, len(set(groups)))
            kind = StratifiedGroupKFold if self._classes else GroupKFold
            return iter(list(kind(count).split(rows, target, groups)) if count > 1 else ())
        if held_out_by(self._config) == "time":
            order = rows[TIME].argsort(kind="stable").to_numpy()
            ordered = TimeSeriesSplit(min(wanted, len(rows) - 1)).split(rows) if len(rows) > 2 else ()
            return iter([(order[training], order[judging]) for training, judging in ordered])
        rarest = int(np.unique(target, return_counts=True)[1].min()) if self._classes else len(rows)
        count = min(wanted, rarest)
        if count < 2:
            return iter(())
        kind = StratifiedKFold if self._classes else KFold
        return iter(list(kind(count, shuffle=True, random_state=seed).split(rows, target)))

    def _best(self, scores: Sequence[float | None]) -> int:
        """Index of the best score; the first of equals, and the first candidate where nothing could be scored."""
        sign = 1 if self._metric.greater_is_better else -1
        return max(range(len(scores)), key=lambda i: (-np.inf if scores[i] is None else sign * scores[i], -i))  # type: ignore[operator]

    def _window(
        self, option: _Option, rows: pd.DataFrame, features: Sequence[str]
    ) -> tuple[str, pd.DataFrame, tuple[CandidateScore, ...]]:
        """The rows to train on: all, those of the last batches, or whichever predicts the latest batches best."""
        window, size = self._config.retrain.window, self._fixed_window()
        if size is not None:
            return window, _last(rows, size), ()
        if window == "all":
            return "all", rows, ()
        before, latest = _hold_back_latest(rows)
        sizes = [None, *(size for size in self._config.retrain.windows if size < rows[FILE].nunique())]
        if before.empty:
            return "all", rows, ()
        scores = [self._score(option, before if size is None else _last(before, size), latest, features) for size in sizes]
        found = [None if np.isnan(score) else score for score in scores]
        names = ["all" if size is None else f"last {size}" for size in sizes]
        best = self._best(found)
        chosen = rows if sizes[best] is None else _last(rows, sizes[best])  # type: ignore[arg-type]
        tried = [
            CandidateScore(name=option.name, parameters=option.described(), window=name, score=score)
            for name, score in zip(names, found, strict=True)
        ]
        return names[best], chosen, tuple(tried)

    def _fixed_window(self) -> int | None:
        """N of the window "last N"; None where it is not one."""
        window = self._config.retrain.window
        return int(window.split()[1]) if window.startswith("last") else None

    # --------------------------------------------------------------------------------------------------------- fitting

    def _fit(self, option: _Option, rows: pd.DataFrame, features: Sequence[str]) -> Any:
        pipeline = option.built()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # convergence and rare classes show in the score
                return pipeline.fit(rows[list(features)], self._target(rows))
        except (ValueError, TypeError) as error:
            raise DataError(f"{option.name} could not be trained: {error}") from error

    def _train_own(self, rows: pd.DataFrame, features: Sequence[str]) -> Trained:
        assert self._own is not None  # noqa: S101 - the caller has looked
        size = self._fixed_window()
        window, chosen = (self._config.retrain.window, _last(rows, size)) if size else ("all", rows)
        model = self._own(chosen[list(features)].reset_index(drop=True), self._target(chosen))
        if not hasattr(model, "predict"):
            raise DataError(
                f"{self._config.train.function} returned {type(model).__name__}: expected a fitted model with predict"
            )
        return Trained(
            model=model, name=self._config.train.function or "", parameters={}, window=window, rows=len(chosen), scores=()
        )

    def _target(self, rows: pd.DataFrame) -> np.ndarray:
        return rows[TRUTH].to_numpy(dtype=str if self._classes else float)

    def _check(self, rows: pd.DataFrame, features: Sequence[str]) -> None:
        if not features:
            raise DataError("There is no feature column to train on: the contract marks none as a feature.")
        if self._classes and rows[TRUTH].nunique() < 2:
            only = rows[TRUTH].iloc[0]
            raise DataError(f"All {len(rows)} labelled training rows are of one class, {only!r}: expected two or more classes.")


def _constructed(settings: CandidateSettings) -> Any:
    name = settings.estimator or ""
    try:
        return _imported(name)(**settings.parameters)
    except TypeError as error:
        raise ConfigError(f"[[train.candidates]] {name} does not take these parameters: {error}") from None


def _imported(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise ConfigError(
            f"[[train.candidates]] estimator = {name!r} cannot be imported: {error}. Install it, or mend the name."
        ) from error
    except AttributeError:
        raise ConfigError(f"[[train.candidates]] estimator = {name!r}: {module} has no {attribute}") from None


def _check_parameters(name: str, pipeline: Pipeline, parameters: dict[str, Any]) -> None:
    known = pipeline.get_params()
    unknown = [parameter for parameter in parameters if parameter not in known]
    if unknown:
        near = sorted(parameter for parameter in known if parameter.startswith("estimator__"))
        raise ConfigError(f"[[train.candidates]] {name}: search names {unknown[0]!r}; known are {', '.join(near)}")


def _threads(rows: pd.DataFrame, features: Sequence[str]) -> int | None:
    """Threads for linear algebra and boosting inside one fit: one for small data, where several only wait for each other
    (fifteen times slower beside another busy process, measured), and the libraries' own choice for large."""
    return 1 if len(rows) * len(features) < 5_000_000 else None


def _is_seed(name: str) -> bool:
    return name == "random_state" or name.endswith("__random_state")


def _text_step(name: str, texts: Sequence[str]) -> str:
    return "text" if len(texts) == 1 else f"text_{name}"


def _text_pipeline() -> Pipeline:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return Pipeline([("column", OneText()), ("tfidf", TfidfVectorizer(sublinear_tf=True))])


def _last(rows: pd.DataFrame, batches: int) -> pd.DataFrame:
    """The rows of the latest batches; rows come in order of arrival."""
    latest = list(dict.fromkeys(rows[FILE]))[-batches:]
    return rows[rows[FILE].isin(latest)]


def _hold_back_latest(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Divide rows by batch: the latest batches with about a fifth of the rows, and all before them."""
    sizes = rows.groupby(FILE, sort=False).size()
    from_end = sizes[::-1].cumsum()
    count = int((from_end < 0.2 * len(rows)).sum()) + 1
    latest = set(sizes.index[-count:]) if count < len(sizes) else set()
    inside = rows[FILE].isin(latest)
    return (rows[~inside], rows[inside]) if latest else (rows[:0], rows)
