"""What is tried: the pipelines that keepfit.toml names, each with the settings of its search.

All that is fitted (imputers, scalers, encoders, vocabularies) is inside the pipeline, so it travels with the model.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import ParameterGrid, ParameterSampler
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from keepfit.config import Config
from keepfit.errors import ConfigError
from keepfit.settings import CandidateSettings
from keepfit.steps import CapOutliers, OneText

if TYPE_CHECKING:
    import pandas as pd

DEFAULTS = {
    "classification": ("sklearn.linear_model.LogisticRegression", "sklearn.ensemble.HistGradientBoostingClassifier"),
    "regression": ("sklearn.linear_model.Ridge", "sklearn.ensemble.HistGradientBoostingRegressor"),
}
PATIENCE = {"max_iter": 1000}  # for the linear default: scikit-learn's own 100 is too few for one-hot and text columns
ENOUGH_TO_STOP = 200  # rows of which a fifth can tell when a boosting has learnt enough


@dataclass(frozen=True, kw_only=True)
class Option:
    """One candidate with one setting of its search."""

    name: str
    pipeline: Any
    parameters: dict[str, Any]

    def built(self) -> Any:
        return clone(self.pipeline).set_params(**self.parameters)

    def described(self) -> dict[str, str]:
        return {name: str(setting) for name, setting in self.parameters.items()}


class Candidates:
    """The options of a project. `text` names the columns that hold text; `build` finds the project's own estimators."""

    def __init__(self, config: Config, text: Collection[str], build: Callable[[str], Any] | None) -> None:
        self._config, self._text, self._build = config, set(text), build

    def options(self, frame: pd.DataFrame) -> Iterator[Option]:
        for settings in self._candidates():
            estimator = self._estimator(settings)
            name = settings.name or type(estimator).__name__
            steps = (
                [("columns", self._columns(frame)), ("estimator", estimator)] if settings.preprocess else [("estimator", estimator)]
            )
            pipeline = Pipeline(steps)
            for parameters in self._searched(settings):
                _check_parameters(name, pipeline, parameters)
                yield Option(name=name, pipeline=pipeline, parameters=parameters)

    def loss_pipeline(self, frame: pd.DataFrame) -> Any:
        """A small boosting for losses, behind the same preparation; text columns are left out. None where no column remains."""
        from sklearn.ensemble import HistGradientBoostingRegressor

        plain = frame.drop(columns=[name for name in frame.columns if name in self._text])
        if plain.empty:
            return None
        boosting = HistGradientBoostingRegressor(
            loss="poisson",  # losses are not negative, and the mean is kept
            max_iter=60,
            max_leaf_nodes=8,
            early_stopping=len(plain) >= ENOUGH_TO_STOP,
            n_iter_no_change=5,
            validation_fraction=0.2,
            random_state=self._config.train.seed,
        )
        return Pipeline([("columns", self._columns(plain)), ("estimator", boosting)])

    def _candidates(self) -> Sequence[CandidateSettings]:
        if self._config.train.candidates:
            return self._config.train.candidates
        linear, boosting = DEFAULTS[self._config.project.task]
        patience = PATIENCE if (self._config.project.task == "classification") else {}
        first = CandidateSettings(estimator=linear, parameters=patience)
        return (first,) if self._text else (first, CandidateSettings(estimator=boosting))

    def _estimator(self, settings: CandidateSettings) -> Any:
        if settings.build is not None and self._build is not None:
            estimator = self._build(settings.build)
        else:
            estimator = _constructed(settings)
        if not all(hasattr(estimator, method) for method in ("fit", "predict", "get_params")):
            kind = type(estimator).__name__
            raise ConfigError(f"[[train.candidates]] {settings.estimator or settings.build} gives a {kind}, which cannot predict")
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
        parts += [(_text_step(number, texts), _text_pipeline(), [name]) for number, name in enumerate(texts, 1)]
        return ColumnTransformer(parts, sparse_threshold=1.0 if texts else 0.0)

    def _number_steps(self) -> Pipeline:
        factor = self._config.train.cap_outliers
        caps = [("cap", CapOutliers(factor=factor))] if factor is not None else []
        median = SimpleImputer(strategy="median", keep_empty_features=True)
        return Pipeline([*caps, ("impute", median), ("scale", StandardScaler())])


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


def _is_seed(name: str) -> bool:
    return name == "random_state" or name.endswith("__random_state")


def _text_step(number: int, texts: Sequence[str]) -> str:
    """What the step of a text column is called in a search: text, or text_1, text_2, ... in the columns' order."""
    return "text" if len(texts) == 1 else f"text_{number}"


def _text_pipeline() -> Pipeline:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return Pipeline([("column", OneText()), ("tfidf", TfidfVectorizer(sublinear_tf=True))])
