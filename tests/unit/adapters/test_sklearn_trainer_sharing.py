"""What options do alike is done once a fold, and every score is what it would be alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC, LinearSVC

from keepfit.adapters.sklearn_trainer import SklearnTrainer
from keepfit.adapters.sklearn_trainer.candidates import Option
from keepfit.adapters.sklearn_trainer.selection import folds
from keepfit.adapters.sklearn_trainer.sharing import alike, divided
from keepfit.adapters.sklearn_trainer.threads import disturb_each_other
from keepfit.config import Config
from keepfit.prepared import FILE, GROUP, HOLDOUT, TIME, TRUTH, groups_of
from keepfit.stats.metrics import builtin
from keepfit.stats.units import value

FITTED: list[int] = []  # rows that a counting step was fitted on


class Counting(TransformerMixin, BaseEstimator):
    """Does nothing, and says when it is fitted."""

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor

    def fit(self, X: Any, y: Any = None) -> Counting:  # noqa: N803
        FITTED.append(len(X))
        return self

    def transform(self, X: Any) -> Any:  # noqa: N803
        return np.asarray(X, dtype=float) * self.factor

    def __sklearn_is_fitted__(self) -> bool:
        return True


def rows(count: int = 120) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"x": draw.normal(size=count), "z": draw.normal(size=count)})
    frame[TRUTH] = np.where(frame["x"] + draw.normal(size=count) > 0, "yes", "no")
    return with_own(frame)


def with_own(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(**{GROUP: None, FILE: "f", HOLDOUT: False, TIME: pd.NaT})


def option(pipeline: Pipeline, **parameters: Any) -> Option:
    return Option(name="o", pipeline=pipeline, parameters=parameters)


def config(workers: int = 1, **sections: Any) -> Config:
    base = {"project": {"name": "d", "task": "classification"}, "data": {"target": "y"}, "engine": {"workers": workers}}
    return Config.of(base | sections)


def trainer(build: Any, candidates: list[dict[str, Any]], workers: int = 1, text: tuple[str, ...] = ()) -> SklearnTrainer:
    made = config(workers, train={"candidates": candidates, "folds": 3})
    return SklearnTrainer(made, builtin("log_loss", None), text, None, build)


def test_a_step_is_fitted_once_a_fold_and_once_for_the_model() -> None:
    def build(name: str) -> Pipeline:
        return Pipeline([("count", Counting()), ("model", LogisticRegression())])

    search = {"build": "m:build", "preprocess": False, "search": {"estimator__model__C": [0.1, 1.0, 10.0]}}
    FITTED.clear()
    trainer(build, [search, search | {"name": "again"}]).train(rows(), ["x", "z"])
    assert FITTED == [80, 80, 80, 120]


def test_a_step_that_is_searched_over_is_fitted_once_for_each_of_its_settings() -> None:
    def build(name: str) -> Pipeline:
        return Pipeline([("count", Counting()), ("model", LogisticRegression())])

    search = {"estimator__model__C": [0.1, 1.0], "estimator__count__factor": [1.0, 2.0]}
    FITTED.clear()
    trainer(build, [{"build": "m:build", "preprocess": False, "search": search}]).train(rows(), ["x", "z"])
    assert sorted(FITTED) == [80] * 6 + [120]


@pytest.mark.parametrize("workers", [1, 2])
def test_scores_are_those_of_whole_pipelines_fitted_one_by_one(workers: int) -> None:
    draw = np.random.default_rng(1)
    words = np.array(["cash", "prize", "home", "lunch", "late", "call", "win", "mum"])
    labels = draw.choice(["spam", "ham"], 150)
    texts = [" ".join(draw.choice(words[:5] if label == "spam" else words[3:], 6)) for label in labels]
    table = with_own(pd.DataFrame({"message": texts, TRUTH: labels}))

    def build(name: str) -> Pipeline:
        parts = [("words", TfidfVectorizer(), "message"), ("pieces", TfidfVectorizer(analyzer="char_wb"), "message")]
        ends = {"m:lr": LogisticRegression(), "m:nb": MultinomialNB()}
        return Pipeline([("texts", ColumnTransformer(parts)), ("model", ends[name])])

    candidates = [
        {"build": "m:lr", "preprocess": False, "search": {"estimator__model__C": [0.1, 1.0]}},
        {"build": "m:nb", "preprocess": False, "search": {"estimator__texts__words__min_df": [1, 9]}},
    ]
    found = trainer(build, candidates, workers).train(table, ["message"])
    metric, wanted = builtin("log_loss", None), config(train={"folds": 3})
    assert metric is not None
    for score, pipeline in zip(found.scores, _each(build), strict=True):
        alone = []
        for training, judging in folds(table, labels, wanted):
            from keepfit.fitted import FittedModel

            fitted = FittedModel(pipeline.fit(table.iloc[training][["message"]], labels[training]))
            told = metric.statistics(
                labels[judging], fitted.predict(table.iloc[judging][["message"]]), groups_of(table, wanted), None
            )
            alone.append(value(told))
        assert score.score == np.mean(alone)  # to the last bit


def _each(build: Any) -> list[Pipeline]:
    first = [build("m:lr").set_params(model__C=c) for c in (0.1, 1.0)]
    return [*first, *(build("m:nb").set_params(texts__words__min_df=n) for n in (1, 9))]


def test_one_that_cannot_be_fitted_spoils_nobody_elses_score() -> None:
    def build(name: str) -> Pipeline:
        return Pipeline([("count", Counting()), ("model", LogisticRegression())])

    search = {"build": "m:build", "preprocess": False, "search": {"estimator__model__C": [-1.0, 1.0]}}
    found = trainer(build, [search]).train(rows(), ["x", "z"])
    assert [score.score is None for score in found.scores] == [True, False]


def test_a_preparation_that_cannot_be_fitted_costs_its_own_options_their_scores() -> None:
    def build(name: str) -> Pipeline:
        words = TfidfVectorizer(min_df=10_000) if name == "m:bad" else TfidfVectorizer()
        return Pipeline([("texts", ColumnTransformer([("words", words, "message")])), ("model", MultinomialNB())])

    table = with_own(pd.DataFrame({"message": [f"word{i} and more" for i in range(30)], TRUTH: ["a", "b"] * 15}))
    candidates = [{"build": name, "preprocess": False} for name in ("m:bad", "m:good")]
    found = trainer(build, candidates).train(table, ["message"])
    assert [score.score is None for score in found.scores] == [True, False]


# ---------------------------------------------------------------------------------------------------------------- alike


def test_preparations_are_alike_by_value_whatever_their_names() -> None:
    one = Pipeline([("scale", StandardScaler()), ("model", LogisticRegression())])
    same = Pipeline([("s", StandardScaler()), ("m", Pipeline([("model", Ridge())]))])
    other = Pipeline([("scale", StandardScaler(with_mean=False)), ("model", LogisticRegression())])
    plain = Pipeline([("model", LogisticRegression())])
    assert alike([option(one), option(same), option(other), option(plain), option(one, model__C=3)]) == [[0, 1, 4], [2], [3]]


def test_who_writes_over_what_it_is_given_is_given_its_own() -> None:
    own = Pipeline([("scale", StandardScaler()), ("model", Ridge(copy_X=False))])
    other = Pipeline([("scale", StandardScaler()), ("model", Ridge())])
    assert alike([option(own), option(other), option(own)]) == [[0], [1], [2]]


def test_what_cannot_be_compared_is_not_shared() -> None:
    odd = Pipeline([("odd", FunctionTransformer(lambda x: x)), ("model", Ridge())])
    assert alike([option(odd), option(odd)]) in ([[0], [1]], [[0, 1]])  # a lambda here may or may not be known by value
    nested = FeatureUnion([("a", StandardScaler())])
    assert divided(Pipeline([("u", nested), ("m", Ridge())]))[0].steps[0][1] is nested


# ------------------------------------------------------------------------------------------------------------ equal rows


@pytest.mark.parametrize("texts", ["exact", "normalised"])
def test_folds_never_divide_equal_rows(texts: str) -> None:
    said = ["Win a prize", "win  A prize", "see you", "see you", "call me", "WIN", "late again", "ok"] * 3
    table = with_own(pd.DataFrame({"message": said, TRUTH: (["spam", "spam", "ham", "ham"] * 2) * 3}))
    wanted = config(data={"target": "y", "holdout": {"texts": texts}}, train={"folds": 2})
    divided_rows = folds(table, table[TRUTH].to_numpy(str), wanted)
    assert len(divided_rows) == 2
    key = table["message"].str.lower().str.split().str.join(" ") if texts == "normalised" else table["message"]
    for training, judging in divided_rows:
        assert not set(key.iloc[training]) & set(key.iloc[judging])
        assert sorted([*training, *judging]) == list(range(len(table)))


def test_where_too_few_rows_differ_equal_ones_are_divided() -> None:
    table = with_own(pd.DataFrame({"x": [1.0, 2.0] * 20, TRUTH: ["a", "b"] * 20}))
    assert len(folds(table, table[TRUTH].to_numpy(str), config(train={"folds": 4}))) == 4


def test_rows_that_all_differ_are_divided_as_ever() -> None:
    from sklearn.model_selection import StratifiedKFold

    table = rows()
    target = table[TRUTH].to_numpy(str)
    plain = StratifiedKFold(3, shuffle=True, random_state=0).split(table, target)
    for (training, judging), (first, second) in zip(folds(table, target, config(train={"folds": 3})), plain, strict=True):
        assert (training == first).all()
        assert (judging == second).all()


# -------------------------------------------------------------------------------------------------------------- threads


def test_models_that_draw_from_one_source_are_the_same_however_many_threads_there_are() -> None:
    draw = np.random.default_rng(2)
    words = np.array([f"w{n}" for n in range(400)])
    labels = draw.choice(["spam", "ham"], 400)
    texts = [" ".join(draw.choice(words[:300] if label == "spam" else words[100:], 12)) for label in labels]
    table = with_own(pd.DataFrame({"message": texts, TRUTH: labels}))

    def build(name: str) -> Pipeline:
        end = CalibratedClassifierCV(LinearSVC(tol=0.1), cv=5, ensemble=False)
        return Pipeline([("texts", ColumnTransformer([("words", TfidfVectorizer(), "message")])), ("model", end)])

    search = {"estimator__model__estimator__C": [0.1, 1.0, 10.0]}
    candidates = [{"build": "m:svm", "preprocess": False, "search": search}]
    made = [trainer(build, candidates, workers).train(table, ["message"]) for workers in (1, 4, 4, 4)]
    answers = [found.model.predict_proba(table[["message"]]) for found in made]
    assert all((each == answers[0]).all() for each in answers)
    assert all(found.scores == made[0].scores for found in made)


@pytest.mark.parametrize(
    ("end", "alone"),
    [
        (LinearSVC(), True),
        (CalibratedClassifierCV(LinearSVC()), True),
        (LogisticRegression(solver="liblinear"), True),
        (SVC(probability=False), True),
        (LogisticRegression(), False),
        (MultinomialNB(), False),
    ],
    ids=str,
)
def test_only_they_are_fitted_one_after_the_other(end: Any, alone: bool) -> None:
    pipeline = Pipeline([("scale", StandardScaler()), ("estimator", Pipeline([("model", end)]))])
    assert disturb_each_other([option(pipeline)]) is alone
