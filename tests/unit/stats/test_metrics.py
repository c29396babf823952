"""Metrics agree with scikit-learn, with the sums they are made of, and say where they are undefined."""

import doctest

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st

from keepfit.errors import ConfigError, UserCodeError
from keepfit.ports import Predictions
from keepfit.stats import compare, metrics, resample, slices, units
from keepfit.stats.metrics import FunctionStatistics, MeanOverGroups, builtin, names, value

LABELS = st.lists(st.tuples(*[st.sampled_from("abc")] * 2), min_size=1, max_size=40)
NUMBERS = st.lists(st.tuples(*[st.integers(-20, 20)] * 2), min_size=2, max_size=40)
CLASSIFICATION = {
    "accuracy": sk.accuracy_score,
    **{
        f"{name}_{mean}": (lambda t, p, f=function, mean=mean: f(t, p, average=mean, zero_division=0.0))
        for name, function in (("precision", sk.precision_score), ("recall", sk.recall_score), ("f1", sk.f1_score))
        for mean in ("macro", "weighted")
    },
}
REGRESSION = {
    "mean_absolute_error": sk.mean_absolute_error,
    "mean_squared_error": sk.mean_squared_error,
    "root_mean_squared_error": sk.root_mean_squared_error,
    "neg_mean_absolute_error": lambda t, p: -sk.mean_absolute_error(t, p),
    "neg_root_mean_squared_error": lambda t, p: -sk.root_mean_squared_error(t, p),
    "r2": sk.r2_score,
}


def pair(rows, dtype=object):
    """Truth and predictions of a list of pairs."""
    return np.array([row[0] for row in rows], dtype=dtype), Predictions(np.array([row[1] for row in rows], dtype=dtype))


def measure(name, truth, predictions, groups=None, positive="a"):
    return builtin(name, positive).statistics(truth, predictions, groups)


@pytest.mark.parametrize("module", [compare, metrics, resample, slices, units], ids=lambda module: module.__name__)
def test_the_examples_in_the_docstrings_hold(module):
    assert doctest.testmod(module).failed == 0


@settings(deadline=None, max_examples=60)
@given(LABELS)
def test_metrics_of_labels_are_scikit_learns(rows):
    truth, predictions = pair(rows)
    for name, expected in CLASSIFICATION.items():
        assert value(measure(name, truth, predictions)) == pytest.approx(expected(truth, predictions.values)), name
    present = sk.recall_score(truth, predictions.values, average=None, labels=sorted(set(truth)), zero_division=0.0)
    assert value(measure("balanced_accuracy", truth, predictions)) == pytest.approx(present.mean())


@settings(deadline=None, max_examples=60)
@given(LABELS)
def test_metrics_of_one_class_are_scikit_learns_and_undefined_where_zero_is_divided_by_zero(rows):
    truth, predictions = pair(rows)
    true, predicted = truth == "a", predictions.values == "a"
    for name, function in (("precision", sk.precision_score), ("recall", sk.recall_score), ("f1", sk.f1_score)):
        expected = function(true, predicted, zero_division=np.nan)
        found = value(measure(name, truth, predictions))
        assert found is None if np.isnan(expected) else found == pytest.approx(expected), name


@settings(deadline=None, max_examples=60)
@given(NUMBERS)
def test_metrics_of_numbers_are_scikit_learns(rows):
    truth, predictions = pair(rows, float)
    for name, expected in REGRESSION.items():
        found = value(measure(name, truth, predictions))
        if name == "r2" and len(set(truth)) == 1:
            assert found is None
        else:
            assert found == pytest.approx(expected(truth, predictions.values), abs=1e-9), name
    found = value(measure("mean_absolute_percentage_error", truth, predictions))
    if (truth == 0).any():
        assert found is None
    else:
        assert found == pytest.approx(sk.mean_absolute_percentage_error(truth, predictions.values))


@pytest.mark.parametrize("classes", [("a", "b"), ("a", "b", "c")])
def test_metrics_of_probabilities_are_scikit_learns(classes):
    generator = np.random.default_rng(3)
    truth = generator.choice(np.array(classes, dtype=object), 200)
    probabilities = generator.dirichlet(np.ones(len(classes)), 200)
    predictions = Predictions(np.array(classes)[probabilities.argmax(axis=1)], probabilities, classes)
    binary = len(classes) == 2
    brier = sk.brier_score_loss(truth, probabilities[:, 0], pos_label="a") if binary else sk.brier_score_loss(truth, probabilities)
    assert value(measure("log_loss", truth, predictions)) == pytest.approx(sk.log_loss(truth, probabilities))
    assert value(measure("neg_log_loss", truth, predictions)) == pytest.approx(-sk.log_loss(truth, probabilities))
    assert value(measure("brier_score", truth, predictions)) == pytest.approx(brier)


def test_a_class_that_the_model_does_not_know_has_probability_zero():
    predictions = Predictions(np.array(["a"]), np.array([[1.0, 0.0]]), ("a", "b"))
    assert value(measure("log_loss", np.array(["z"]), predictions)) == pytest.approx(-np.log(np.finfo(float).eps))
    assert value(measure("brier_score", np.array(["z"]), predictions)) == 1.0


def test_probabilities_that_are_missing_are_said_to_be():
    with pytest.raises(ConfigError, match="probabilities"):
        measure("log_loss", np.array(["a"]), Predictions(np.array(["a"])))


@settings(deadline=None, max_examples=40)
@given(LABELS, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows, random):
    shuffled = random.sample(rows, len(rows))
    for name in CLASSIFICATION:
        assert value(measure(name, *pair(rows))) == pytest.approx(value(measure(name, *pair(shuffled)))), name


@settings(deadline=None, max_examples=40)
@given(LABELS, st.data())
def test_weighting_is_the_same_as_repeating_rows(rows, data):
    weights = data.draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows)))
    repeated = [row for row, weight in zip(rows, weights, strict=True) for _ in range(weight)]
    for name in [*CLASSIFICATION, "precision", "balanced_accuracy"]:
        weighted = measure(name, *pair(rows)).values(np.array([weights]))[0]
        again = value(measure(name, *pair(repeated)))
        assert np.isnan(weighted) if again is None else weighted == pytest.approx(again), name


@settings(deadline=None, max_examples=40)
@given(LABELS, st.data())
def test_groups_sum_their_rows_and_leave_the_value_alone(rows, data):
    groups = np.array(data.draw(st.lists(st.sampled_from("xyz"), min_size=len(rows), max_size=len(rows))))
    for name in CLASSIFICATION:
        grouped, single = measure(name, *pair(rows), groups), measure(name, *pair(rows))
        assert grouped.units == len(set(groups))
        assert value(grouped) == pytest.approx(value(single)), name
        assert grouped.sums.sum(axis=0) == pytest.approx(single.sums.sum(axis=0))


@pytest.mark.parametrize("n", [1, 3, 7, 10, 1_000])
def test_r2_of_equal_truths_is_undefined_though_rounding_leaves_a_little(n):
    assert value(measure("r2", np.full(n, 0.1), Predictions(np.linspace(0, 1, n)))) is None
    resampled = measure("r2", np.r_[np.full(n, 0.1), 7.3], Predictions(np.zeros(n + 1)))
    assert np.isnan(resampled.values(np.r_[np.full(n, 3.0), 0.0][None, :])).all()


def test_no_rows_have_no_metric():
    for name in names():
        predictions = Predictions(np.array([], dtype=object), np.empty((0, 2)), ("a", "b"))
        assert value(measure(name, np.array([], dtype=object), predictions)) is None, name


def test_names_that_are_not_ours_are_left_to_others():
    assert builtin("roc_auc") is None
    assert builtin("neg_accuracy") is None
    assert builtin("neg_mean_squared_error").greater_is_better
    assert not builtin("mean_squared_error").greater_is_better
    with pytest.raises(ConfigError, match="positive"):
        builtin("recall")


def test_many_rows_are_bagged_alike_for_both_models_and_keep_value_and_standard_error():
    generator = np.random.default_rng(5)
    truth = generator.exponential(size=50_000)
    one, other = Predictions(generator.exponential(size=50_000)), Predictions(generator.exponential(size=50_000))
    first, second = measure("mean_absolute_error", truth, one), measure("mean_absolute_error", truth, other)
    assert first.units == 2_000
    assert first.independent == 50_000
    assert (first.sums[:, 0] == second.sums[:, 0]).all()
    assert units.divide(50_000).of_row.tolist() == units.divide(50_000).of_row.tolist()
    errors = np.abs(truth - one.values)
    assert value(first) == pytest.approx(errors.mean())
    found = resample.distribution(first, 2_000, seed=1)
    assert found.error == pytest.approx(errors.std() / np.sqrt(50_000), rel=0.1)


def test_a_function_of_rows_is_resampled_by_repeating_them():
    numbers = np.array([1.0, 2.0, 3.0, 10.0])
    groups = np.array(["x", "x", "y", "y"])
    statistics = FunctionStatistics(lambda rows: float(numbers[rows].mean()), rows=4, groups=groups)
    assert statistics.units == 2
    assert statistics.values(np.array([[1, 1], [2, 0], [1, 3]])) == pytest.approx([4.0, 1.5, 42 / 8])
    assert np.isnan(statistics.values(np.array([[0, 0]]))).all()
    assert value(FunctionStatistics(lambda _: None, rows=3)) is None


def test_a_metric_by_groups_leaves_out_groups_where_it_is_undefined():
    frame = pd.DataFrame({"x": [1, 2, 3, 4, 5]}, index=[9, 9, 9, 9, 9])
    groups = np.array(["p", "q", "p", "q", "r"])
    seen = []

    def right(rows):
        seen.append(rows["x"].tolist())
        return None if len(rows) < 2 else (rows["truth"] == rows["predicted"]).mean()

    metric = MeanOverGroups("right", True, right)
    statistics = metric.statistics(np.array(list("aabbb")), Predictions(np.array(list("aaabb"))), groups, frame)
    assert seen == [[1, 3], [2, 4], [5]]
    assert (statistics.units, statistics.left_out, value(statistics)) == (3, 1, 0.75)
    assert statistics.values(np.array([[3, 0, 0], [0, 1, 2], [0, 0, 3]])) == pytest.approx([0.5, 1.0, np.nan], nan_ok=True)


def test_a_metric_by_groups_says_what_is_wrong():
    frame, truth = pd.DataFrame({"x": [1]}), np.array(["a"])
    with pytest.raises(ConfigError, match=r"data\.group"):
        MeanOverGroups("m", True, len).statistics(truth, Predictions(truth), None, frame)
    with pytest.raises(UserCodeError, match="m failed"):
        MeanOverGroups("m", True, lambda rows: rows["no"]).statistics(truth, Predictions(truth), truth, frame)
