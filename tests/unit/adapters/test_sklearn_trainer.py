"""Training: the same model from the same rows, everything chosen inside them, nothing fitted outside the pipeline."""

from __future__ import annotations

import random
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepfit.adapters.sklearn_trainer import SklearnTrainer
from keepfit.adapters.sklearn_trainer.selection import folds
from keepfit.config import Config
from keepfit.errors import ConfigError, DataError
from keepfit.prepared import FILE, GROUP, HOLDOUT, TIME, TRUTH
from keepfit.stats.metrics import MeanOverGroups, builtin

LOGISTIC = {"estimator": "sklearn.linear_model.LogisticRegression"}
TREE = {"estimator": "sklearn.tree.DecisionTreeClassifier"}


def config(**sections: Any) -> Config:
    project = {"name": "d", "task": "classification"} | sections.pop("project", {})
    data = {"target": "y"} | sections.pop("data", {})
    return Config.of({"project": project, "data": data, "engine": {"workers": 1}, **sections})


def trainer(metric: Any = None, text: tuple[str, ...] = (), own: Any = None, build: Any = None, **sections: Any) -> SklearnTrainer:
    made = config(**sections)
    fallback = "accuracy" if made.project.task == "classification" else "root_mean_squared_error"
    return SklearnTrainer(made, metric or builtin(fallback, None), text, own, build)


def rows(
    count: int = 120, seed: int = 0, *, flipped: bool = False, file: str = "f0", classes: tuple[str, ...] = ("no", "yes")
) -> Any:
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": draw.normal(size=count), "z": draw.normal(size=count), "c": draw.choice(list("abc"), count)})
    frame[TRUTH] = np.where((frame["x"] > 0) ^ flipped, *classes[::-1])
    frame[GROUP] = [f"g{i % 12}" for i in range(count)]
    frame[FILE], frame[HOLDOUT] = file, False
    frame[TIME] = pd.Timestamp("2026-01-01") + pd.to_timedelta(draw.permutation(count), unit="h")
    return frame


FEATURES = ["x", "z", "c"]

# --------------------------------------------------------------------------------------------------------- reproducible


@pytest.mark.parametrize(
    "candidates",
    [
        [LOGISTIC],
        [{"estimator": "sklearn.ensemble.RandomForestClassifier", "parameters": {"n_estimators": 5}}],
        [
            LOGISTIC | {"search": {"estimator__C": [0.01, 0.1, 1, 10]}},
            TREE | {"search": {"estimator__max_depth": list(range(1, 20))}},
        ],
        [],
    ],
)
def test_the_same_rows_and_seed_make_the_same_model(candidates) -> None:
    made = [trainer(train={"candidates": candidates, "folds": 2}).train(rows(), FEATURES) for _ in range(2)]
    assert joblib.hash(made[0].model) == joblib.hash(made[1].model)
    assert (made[0].name, made[0].parameters, made[0].scores) == (made[1].name, made[1].parameters, made[1].scores)


def test_what_the_process_drew_before_does_not_matter_to_functions_of_the_projects_that_draw() -> None:
    drawn = []

    def own(features: Any, target: Any) -> Any:
        from sklearn.linear_model import LogisticRegression

        drawn.append((random.random(), np.random.rand()))  # noqa: S311 - as user code draws
        return LogisticRegression().fit(features[["x"]], target)

    for _ in range(2):
        np.random.rand(7)
        trainer(own=own, train={"function": "features:train"}).train(rows(), FEATURES)
    assert drawn[0] == drawn[1]


def test_estimators_that_the_project_builds_are_seeded() -> None:
    def build(name: str) -> Any:
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(n_estimators=3)

    settings = {"candidates": [{"build": "mine:forest"}], "seed": 5}
    assert trainer(build=build, train=settings).train(rows(), FEATURES).model.named_steps["estimator"].random_state == 5


def test_another_seed_makes_another_model() -> None:
    forest = [{"estimator": "sklearn.ensemble.RandomForestClassifier", "parameters": {"n_estimators": 3}}]
    made = {joblib.hash(trainer(train={"candidates": forest, "seed": seed}).train(rows(), FEATURES).model) for seed in (0, 1)}
    assert len(made) == 2


def test_a_seed_that_the_user_gave_stays() -> None:
    forest = {"estimator": "sklearn.ensemble.RandomForestClassifier", "parameters": {"n_estimators": 2, "random_state": 99}}
    model = trainer(train={"candidates": [forest]}).train(rows(), FEATURES).model
    assert model.named_steps["estimator"].random_state == 99


# -------------------------------------------------------------------------------------------------------------- choosing


def test_the_best_candidate_by_validation_is_taken_and_every_score_told() -> None:
    guess = {"name": "guess", "estimator": "sklearn.dummy.DummyClassifier"}
    found = trainer(train={"candidates": [guess, LOGISTIC]}).train(rows(), FEATURES)
    assert found.name == "LogisticRegression"
    assert [score.name for score in found.scores] == ["guess", "LogisticRegression"]
    assert found.scores[0].score < 0.7 < found.scores[1].score


def test_where_a_smaller_metric_is_better_the_smallest_is_taken() -> None:
    guess = {"name": "guess", "estimator": "sklearn.dummy.DummyRegressor"}
    ridge = {"estimator": "sklearn.linear_model.Ridge"}
    table = rows().assign(**{TRUTH: lambda frame: frame["x"] * 3})
    found = trainer(project={"task": "regression"}, train={"candidates": [guess, ridge]}).train(table, FEATURES)
    assert found.name == "Ridge"
    assert found.scores[0].score > found.scores[1].score


def test_a_search_tries_every_setting_when_they_are_few_and_a_sample_when_they_are_many() -> None:
    few = LOGISTIC | {"search": {"estimator__C": [0.001, 1.0, 10.0]}}
    found = trainer(train={"candidates": [few]}).train(rows(), FEATURES)
    assert [score.parameters for score in found.scores] == [{"estimator__C": str(value)} for value in (0.001, 1.0, 10.0)]
    best = max(found.scores, key=lambda score: score.score)
    assert found.parameters == next(score.parameters for score in found.scores if score.score == best.score)
    assert float(found.parameters["estimator__C"]) == found.model.named_steps["estimator"].C
    many = TREE | {"search": {"estimator__max_depth": list(range(1, 20)), "estimator__min_samples_leaf": list(range(1, 20))}}
    assert len(trainer(train={"candidates": [many], "search_iterations": 5}).train(rows(), FEATURES).scores) == 5


def test_a_search_reaches_into_the_preparation_of_texts() -> None:
    words = [["win", "prize"][i % 2] + f" word{i}" for i in range(60)]
    table = rows(60).assign(message=words, **{TRUTH: ["spam" if i % 2 else "ham" for i in range(60)]})
    searched = LOGISTIC | {"search": {"columns__text__tfidf__min_df": [1, 2]}}
    found = trainer(text=("message",), train={"candidates": [searched]}).train(table, ["message", "x"])
    assert len(found.scores) == 2
    assert (found.model.predict(table[["message", "x"]]) == table[TRUTH]).mean() > 0.95


def test_several_texts_each_have_a_vocabulary_and_missing_texts_are_empty_ones() -> None:
    table = rows(60).assign(a=["good", None, "bad"] * 20, b=["one two", "", "three"] * 20)
    model = trainer(text=("a", "b"), train={"candidates": [LOGISTIC]}).train(table, ["a", "b"]).model
    assert len(model.predict(pd.DataFrame({"a": [None, "new"], "b": ["", None]}))) == 2


def test_the_metric_of_the_users_own_is_averaged_over_groups() -> None:
    seen = []

    def error(group: pd.DataFrame) -> float:
        seen.append((len(group), {"truth", "predicted", "x"} <= set(group.columns)))
        return float((group["truth"] != group["predicted"]).mean())

    metric = MeanOverGroups("error", False, error)
    guess = {"name": "guess", "estimator": "sklearn.dummy.DummyClassifier"}
    settings = {"data": {"group": "g"}, "train": {"candidates": [guess, LOGISTIC], "folds": 3, "per": "group"}}
    found = trainer(metric, **settings).train(rows(), FEATURES)
    assert found.name == "LogisticRegression"
    assert set(seen) == {(10, True)}  # 12 groups of ten rows, whole


def test_one_candidate_needs_no_validation() -> None:
    found = trainer(train={"candidates": [LOGISTIC]}).train(rows(), FEATURES)
    assert [score.score for score in found.scores] == [None]


def test_a_candidate_that_cannot_be_fitted_loses_to_one_that_can() -> None:
    broken = LOGISTIC | {"name": "broken", "parameters": {"C": -1.0}}
    found = trainer(train={"candidates": [broken, LOGISTIC]}).train(rows(), FEATURES)
    assert (found.name, found.scores[0].score) == ("LogisticRegression", None)
    with pytest.raises(DataError, match="broken could not be trained"):
        trainer(train={"candidates": [broken]}).train(rows(), FEATURES)


# ----------------------------------------------------------------------------------------------------------------- folds


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 60), st.integers(1, 9), st.integers(2, 6), st.sampled_from(["classification", "regression"]), st.data())
def test_folds_never_divide_a_group_and_judge_every_row_at_most_once(count, groups, wanted, task, data) -> None:
    table = rows(count)
    table[GROUP] = [f"g{data.draw(st.integers(0, groups))}" for _ in range(count)]
    target = table[TRUTH].to_numpy(str) if task == "classification" else table["x"].to_numpy()
    judged: list[int] = []
    for training, judging in folds(table, target, config(project={"task": task}, data={"group": "g"}, train={"folds": wanted})):
        assert not set(table[GROUP].iloc[training]) & set(table[GROUP].iloc[judging])
        judged.extend(judging)
    assert len(judged) == len(set(judged))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(2, 6), st.integers(0, 5))
def test_folds_never_judge_the_past_by_the_future(count, wanted, missing) -> None:
    table = rows(count)
    table.loc[: missing - 1, TIME] = pd.NaT
    for training, judging in folds(table, table[TRUTH].to_numpy(str), config(data={"time": "t"}, train={"folds": wanted})):
        assert not set(training) & set(judging)
        known = table[TIME].iloc[training].dropna(), table[TIME].iloc[judging].dropna()
        assert known[0].empty or known[1].empty or known[0].max() <= known[1].min()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=30), st.integers(2, 6))
def test_folds_of_independent_rows_have_every_class_on_both_sides_or_are_none(labels, wanted) -> None:
    table = rows(len(labels)).assign(**{TRUTH: labels})
    for training, judging in folds(table, table[TRUTH].to_numpy(str), config(train={"folds": wanted})):
        assert set(np.array(labels)[training]) == set(np.array(labels)[judging]) == set(labels)


def test_too_few_rows_for_folds_still_train_the_first_candidate() -> None:
    table = rows(4).assign(**{TRUTH: ["a", "b", "b", "b"]})
    found = trainer(train={"candidates": [LOGISTIC, TREE]}).train(table, FEATURES)
    assert (found.name, [score.score for score in found.scores]) == ("LogisticRegression", [None, None])


# --------------------------------------------------------------------------------------------------------------- windows


def drifting(batches: int = 10, turn: int = 7) -> Any:
    """Batches in order of arrival whose relation turns round after the first `turn`."""
    return pd.concat([rows(80, n, flipped=n < turn, file=f"f{n}") for n in range(batches)], ignore_index=True)


def test_under_a_changed_relation_the_window_that_begins_after_it_is_chosen() -> None:
    settings = {"retrain": {"window": "choose", "windows": [1, 5]}, "train": {"candidates": [LOGISTIC]}}
    found = trainer(**settings).train(drifting(), FEATURES)
    assert found.window == "last 1"
    assert {score.window for score in found.scores} == {"all", "last 1", "last 5"}
    assert found.files == ("f9",)
    assert found.rows == 80


def test_without_a_change_all_history_is_kept() -> None:
    settings = {"retrain": {"window": "choose", "windows": [1, 2]}, "train": {"candidates": [LOGISTIC]}}
    noisy = drifting(turn=0)
    noisy[TRUTH] = np.where(np.random.default_rng(1).random(len(noisy)) < 0.3, "yes", noisy[TRUTH])
    found = trainer(**settings).train(noisy, FEATURES)
    best = max(score.score for score in found.scores)
    assert found.window == next(score.window for score in found.scores if score.score == best)


@pytest.mark.parametrize(("window", "used"), [("all", 10), ("last 3", 3), ("last 99", 10)])
def test_a_fixed_window(window, used) -> None:
    found = trainer(retrain={"window": window}, train={"candidates": [LOGISTIC]}).train(drifting(), FEATURES)
    assert (found.window, found.rows, found.files) == (window, used * 80, tuple(f"f{n}" for n in range(10 - used, 10)))


def test_the_window_holds_for_the_projects_own_training_too() -> None:
    seen: list[int] = []

    def own(features: Any, target: Any) -> Any:
        from sklearn.linear_model import LogisticRegression

        seen.append(len(features))
        return LogisticRegression().fit(features[["x"]], target)

    found = trainer(own=own, retrain={"window": "last 2"}, train={"function": "features:train"}).train(drifting(), FEATURES)
    assert (seen, found.window, found.name, found.rows) == ([160], "last 2", "features:train", 160)


# -------------------------------------------------------------------------------------------------------- the pipeline


def test_missing_values_categories_and_scales_are_learned_from_training_rows_and_travel_with_the_model() -> None:
    table = rows(200)
    table.loc[::5, "x"] = np.nan
    table.loc[::7, "c"] = None
    model = trainer(train={"candidates": [LOGISTIC], "cap_outliers": 1.5}).train(table, FEATURES).model
    unseen = pd.DataFrame({"x": [np.nan, 1e9, -1.0], "z": [0.0, np.nan, 1.0], "c": ["new", None, "a"]})
    answers = model.predict_proba(unseen)
    assert np.isfinite(answers).all()
    assert (model.predict_proba(unseen.iloc[[1]]) == answers[1]).all()  # one row alone is prepared as in company


def test_a_column_that_is_empty_everywhere_is_no_error() -> None:
    table = rows().assign(empty=np.nan, nothing=None)
    model = trainer(train={"candidates": [LOGISTIC]}).train(table, [*FEATURES, "empty", "nothing"]).model
    assert len(model.predict(table[[*FEATURES, "empty", "nothing"]])) == 120


def test_without_preparation_the_estimator_is_given_the_columns_as_they_are() -> None:
    model = trainer(train={"candidates": [TREE | {"preprocess": False}]}).train(rows(), ["x", "z"]).model
    assert list(model.named_steps) == ["estimator"]


def test_the_baseline_ignores_its_input() -> None:
    table = rows(30).assign(**{TRUTH: ["a"] * 20 + ["b"] * 10})
    assert set(trainer().baseline(table).predict(table[["x"]]).values) == {"a"}
    numbers = table.assign(**{TRUTH: [1.0] * 20 + [4.0] * 10})
    assert set(trainer(project={"task": "regression"}).baseline(numbers).predict(table[["x"]]).values) == {2.0}


# ----------------------------------------------------------------------------------------------------------------- errors


def test_one_class_only_is_said() -> None:
    with pytest.raises(DataError, match="All 120 labelled training rows are of one class, 'yes'"):
        trainer().train(rows().assign(**{TRUTH: "yes"}), FEATURES)


def test_no_feature_is_said() -> None:
    with pytest.raises(DataError, match="no feature column"):
        trainer().train(rows(), [])


@pytest.mark.parametrize(
    "candidate",
    [
        {"estimator": "sklearn.nowhere.Thing"},
        {"estimator": "nowhere.Thing"},
        {"estimator": "sklearn.linear_model.Thing"},
        {"estimator": "os.path.join"},
        {"estimator": "sklearn.preprocessing.StandardScaler"},
        LOGISTIC | {"parameters": {"nope": 1}},
        LOGISTIC | {"search": {"estimator__nope": [1]}},
        LOGISTIC | {"search": {"C": [1]}},
    ],
    ids=str,
)
def test_a_candidate_that_is_none_is_a_configuration_error(candidate) -> None:
    with pytest.raises(ConfigError, match=r"train.candidates"):
        trainer(train={"candidates": [candidate]}).train(rows(), FEATURES)


@pytest.mark.parametrize("made", [None, 3, "model", object()])
def test_a_function_of_the_projects_that_returns_no_model_is_told(made) -> None:
    with pytest.raises(DataError, match=r"features:train returned .*expected a fitted model"):
        trainer(own=lambda features, target: made, train={"function": "features:train"}).train(rows(), FEATURES)


# --------------------------------------------------------------------------------------------------------------- losses


def losses(count: int = 600) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows, with gaps, whose loss is larger where the category is "a" and x is high."""
    frame = rows(count, seed=3)
    size = np.where(frame["c"] == "a", 3.0, 0.5) * np.exp(0.5 * frame["x"])
    frame.loc[::7, ["z", "c"]] = [np.nan, None]
    return frame, np.abs(np.random.default_rng(4).normal(size=count)) * size.to_numpy()


def test_a_loss_model_knows_where_losses_are_large_and_keeps_their_mean() -> None:
    frame, found = losses()
    expected = trainer().loss_model(frame, FEATURES, found).predict(frame[FEATURES]).values
    large = (frame["c"] == "a") & (frame["x"] > 0)
    assert expected[large].mean() > 3 * expected[~large].mean()
    assert expected.mean() == pytest.approx(found.mean(), rel=0.1)
    assert (expected > 0).all()


def test_the_same_losses_and_seed_make_the_same_loss_model() -> None:
    frame, found = losses()
    made = [trainer(train={"seed": seed}).loss_model(frame, FEATURES, found) for seed in (1, 1, 2)]
    said = [model.predict(frame[FEATURES]).values for model in made]
    assert (said[0] == said[1]).all()
    assert (said[0] != said[2]).any()


def test_a_loss_model_leaves_texts_out() -> None:
    frame, found = losses()
    model = trainer(text=("c",)).loss_model(frame, FEATURES, found)
    others = frame.assign(c="never seen")
    assert (model.predict(frame[FEATURES]).values == model.predict(others[FEATURES]).values).all()


@pytest.mark.parametrize(("features", "factor"), [(["c"], 1.0), (FEATURES, 0.0)])
def test_with_nothing_to_learn_a_loss_model_says_the_mean(features: list[str], factor: float) -> None:
    frame, found = losses(50)
    model = trainer(text=("c",)).loss_model(frame, features, factor * found)
    assert model.predict(frame[features]).values == pytest.approx(factor * found.mean())


def test_losses_that_cannot_be_modelled_are_an_error_of_the_data() -> None:
    frame, found = losses(50)
    with pytest.raises(DataError, match="no model of the losses"):
        trainer().loss_model(frame.assign(c=[{"odd": 1}] * 50), FEATURES, found)
