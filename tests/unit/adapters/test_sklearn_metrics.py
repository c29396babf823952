"""scikit-learn's scorers, resampled without predicting again: the same numbers as scikit-learn itself gives."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import get_scorer, get_scorer_names

from keepfit.adapters.sklearn_metrics import FunctionMetric, sklearn_metric
from keepfit.errors import ConfigError
from keepfit.fitted import FittedModel
from keepfit.ports import Predictions
from keepfit.stats.units import value

draw = np.random.default_rng(3)
FEATURES = pd.DataFrame(draw.normal(size=(80, 3)), columns=list("abc"))
LABELS = np.where(FEATURES["a"] + draw.normal(size=80) > 0, "yes", "no").astype(object)
NUMBERS = (FEATURES["a"] + draw.normal(size=80)).abs().to_numpy() + 0.1

CLASSIFYING = ["balanced_accuracy", "f1_macro", "f1_weighted", "precision_macro", "roc_auc", "neg_log_loss", "matthews_corrcoef"]
REGRESSING = ["neg_median_absolute_error", "explained_variance", "max_error", "neg_mean_absolute_percentage_error"]


@pytest.mark.parametrize("name", [name for name in CLASSIFYING if name in get_scorer_names()])
def test_a_classification_scorer_gives_what_scikit_learn_gives(name) -> None:
    model = LogisticRegression().fit(FEATURES, LABELS.astype(str))
    statistics = sklearn_metric(name).statistics(LABELS, FittedModel(model).predict(FEATURES), None)
    assert value(statistics) == pytest.approx(get_scorer(name)(model, FEATURES, LABELS.astype(str)))
    assert statistics.units == 80


@pytest.mark.parametrize("name", [name for name in REGRESSING if name in get_scorer_names()])
def test_a_regression_scorer_gives_what_scikit_learn_gives(name) -> None:
    model = Ridge().fit(FEATURES, NUMBERS)
    statistics = sklearn_metric(name).statistics(NUMBERS, FittedModel(model).predict(FEATURES), None)
    assert value(statistics) == pytest.approx(get_scorer(name)(model, FEATURES, NUMBERS))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=12, max_size=12))
def test_a_weighted_unit_counts_as_often_as_it_was_drawn(counts) -> None:
    predictions = Predictions(LABELS[::-1][:12].copy())
    statistics = sklearn_metric("balanced_accuracy").statistics(LABELS[:12], predictions, None)
    [found] = statistics.values(np.array([counts]))
    chosen = np.repeat(np.arange(12), counts)
    if len(set(LABELS[chosen])) == 2:
        alone = sklearn_metric("balanced_accuracy").statistics(LABELS[chosen], Predictions(predictions.values[chosen]), None)
        assert found == pytest.approx(value(alone))


def test_groups_are_drawn_whole() -> None:
    groups = np.array([f"g{i % 8}" for i in range(80)], dtype=object)
    model = LogisticRegression().fit(FEATURES, LABELS.astype(str))
    statistics = sklearn_metric("f1_macro").statistics(LABELS, FittedModel(model).predict(FEATURES), groups)
    assert statistics.units == 8


def test_one_class_among_the_rows_leaves_an_undefined_metric_undefined() -> None:
    predictions = Predictions(np.array(["yes"] * 5, dtype=object), np.tile([0.1, 0.9], (5, 1)), ("no", "yes"))
    statistics = sklearn_metric("roc_auc").statistics(np.array(["yes"] * 5, dtype=object), predictions, None)
    assert value(statistics) is None


def test_a_metric_that_needs_probabilities_of_a_model_without_any_says_so() -> None:
    statistics = sklearn_metric("neg_log_loss").statistics(LABELS, Predictions(LABELS), None)
    with pytest.raises(ConfigError, match=r"neg_log_loss.*needs predict_proba, which the model does not have"):
        value(statistics)


def test_a_ranking_metric_takes_decision_values_where_there_are_no_probabilities() -> None:
    truth = np.array(["ham", "ham", "spam", "spam"], dtype=object)
    decision = np.array([-2.0, 0.5, 0.1, 3.0])
    predictions = Predictions(truth, classes=("ham", "spam"), decision=decision)
    for positive in (None, "spam"):
        assert value(sklearn_metric("roc_auc", positive).statistics(truth, predictions, None)) == 0.75
    assert value(sklearn_metric("roc_auc", "ham").statistics(truth, predictions, None)) == 0.75


def test_an_unknown_name_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="niceness"):
        sklearn_metric("niceness")


def test_a_function_of_the_users_sees_truth_prediction_and_the_rows() -> None:
    seen = []

    def mean_gap(rows: pd.DataFrame) -> float:
        seen.append(sorted(rows.columns))
        return float((rows["truth"] - rows["predicted"] + rows["a"] * 0).mean())

    metric = FunctionMetric("mean_gap", False, mean_gap)
    frame = FEATURES[::-1]  # another index than 0, 1, 2, ...
    statistics = metric.statistics(NUMBERS, Predictions(NUMBERS - 2), None, frame)
    assert value(statistics) == pytest.approx(2)
    assert seen[0] == ["a", "b", "c", "predicted", "truth"]
    assert (metric.name, metric.greater_is_better) == ("mean_gap", False)


@pytest.mark.parametrize("result", [None, float("nan"), float("inf")])
def test_a_function_that_has_no_answer_is_undefined(result) -> None:
    statistics = FunctionMetric("m", True, lambda rows: result).statistics(NUMBERS, Predictions(NUMBERS), None)
    assert value(statistics) is None
