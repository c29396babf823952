"""Estimates from confidence: intervals hold the realised metric as often as they say, while the truth depends on the inputs as it
did; and they do not see it when that changes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from scipy.stats import binomtest
from sklearn.isotonic import IsotonicRegression

from keepfit.ports import Predictions
from keepfit.stats.confidence import calibrate, codes, log_odds, scored
from keepfit.stats.estimate import expectation
from keepfit.stats.metrics import builtin, value

NAMES = np.array(list("abcdefgh"), dtype=object)


def labels(places):
    return NAMES[np.asarray(places, dtype=int)]


def two_classes(n, generator, *, mean=0.0, sharp=1.0, shift=0.0, concept=0.0):
    """A champion's word and the truth. `sharp` 1 and `shift` 0: it is calibrated; `concept` moves the truth alone."""
    x = generator.normal(mean, 1.5, n)
    truth = labels(generator.random(n) < expit(x - 0.5 + concept))
    said = expit(sharp * (x - 0.5) + shift)
    return Predictions(labels(said > 0.5), np.column_stack([1 - said, said]), ("a", "b")), truth


def many_classes(n, generator, *, kinds=4, sharp=1.0):
    logs = generator.normal(0, 1.5, (n, kinds)) - 0.4 * np.arange(kinds)
    true = np.exp(logs) / np.exp(logs).sum(axis=1, keepdims=True)
    said = np.exp(sharp * logs) / np.exp(sharp * logs).sum(axis=1, keepdims=True)
    truth = labels((true.cumsum(axis=1) < generator.random(n)[:, None]).sum(axis=1))
    return Predictions(labels(said.argmax(axis=1)), said, tuple(NAMES[:kinds])), truth


def estimated(metric, held, truth, new, *, groups=(None, None), level=0.9, draws=80, seed=0):
    calibration = calibrate(held, truth, groups[0], draws=draws, seed=seed)
    values = [value(metric.statistics(drawn, new, None)) for drawn in calibration.truths(new, groups[1], seed)]
    return expectation(values, level=level, units=calibration.units)


def coverage(metric, world, *, held=400, new=300, runs=80, level=0.9, **changed):
    """Share of runs whose interval held the realised metric, and the mean of estimate - realised."""
    generator, inside, gaps = np.random.default_rng(7), 0, []
    for run in range(runs):
        known, truth = world(held, generator, **changed)
        predictions, realised = world(new, generator, **changed)
        found = estimated(metric, known, truth, predictions, level=level, seed=run)
        real = value(metric.statistics(realised, predictions, None))
        inside += found.interval.low <= real <= found.interval.high
        gaps.append(found.value - real)
    return inside, float(np.mean(gaps))


@pytest.mark.parametrize("name", ["accuracy", "f1", "log_loss", "balanced_accuracy"])
def test_the_interval_holds_the_realised_metric_as_often_as_it_says(name):
    inside, gap = coverage(builtin(name, "b"), two_classes)
    assert binomtest(inside, 80, 0.9, "less").pvalue > 1e-3
    assert inside < 80
    assert abs(gap) < 0.02


@pytest.mark.parametrize("wrong", [{"sharp": 0.3, "shift": 1.0}, {"sharp": 3.0}, {"shift": -2.0}])
def test_a_champion_that_is_too_sure_or_not_sure_enough_is_recalibrated(wrong):
    inside, gap = coverage(builtin("accuracy"), two_classes, runs=60, **wrong)
    assert binomtest(inside, 60, 0.9, "less").pvalue > 1e-3
    assert abs(gap) < 0.015


@pytest.mark.parametrize("sharp", [1.0, 0.3])
def test_several_classes_are_calibrated_together(sharp):
    inside, gap = coverage(builtin("f1_macro"), many_classes, held=600, runs=40, sharp=sharp)
    assert binomtest(inside, 40, 0.9, "less").pvalue > 1e-3
    assert abs(gap) < 0.015


def test_the_accuracy_is_that_of_plain_confidence_based_estimation():
    generator = np.random.default_rng(1)
    held, truth = two_classes(5_000, generator, sharp=0.5, shift=0.4)
    new, _ = two_classes(5_000, generator, sharp=0.5, shift=0.4, mean=1.0)
    isotonic = IsotonicRegression(out_of_bounds="clip").fit(held.probabilities[:, 1], truth == "b")
    second = isotonic.predict(new.probabilities[:, 1])
    plain = float(np.where(new.values == "b", second, 1 - second).mean())
    assert estimated(builtin("accuracy"), held, truth, new).value == pytest.approx(plain, abs=0.01)


def test_what_held_out_rows_do_not_speak_of_is_left_as_the_champion_says_it():
    said = np.full(100, 0.6)
    held = Predictions(labels(np.ones(100)), np.column_stack([1 - said, said]), ("a", "b"))
    new, _ = two_classes(500, np.random.default_rng(2))
    found = calibrate(held, labels(np.arange(100) < 60), draws=2).probabilities(new)
    assert found == pytest.approx(new.probabilities, abs=0.01)


def test_the_estimate_follows_a_shift_of_the_inputs_and_does_not_see_a_change_of_concept():
    generator, metric = np.random.default_rng(3), builtin("accuracy")
    held, truth = two_classes(4_000, generator)
    before = value(metric.statistics(truth, held, None))

    shifted, realised = two_classes(4_000, generator, mean=3.0)
    found, real = estimated(metric, held, truth, shifted), value(metric.statistics(realised, shifted, None))
    assert abs(real - before) > 0.08
    assert found.interval.low <= real <= found.interval.high

    turned, realised = two_classes(4_000, generator, concept=2.0)
    found, real = estimated(metric, held, truth, turned), value(metric.statistics(realised, turned, None))
    assert real < before - 0.08
    assert found.value == pytest.approx(before, abs=0.03)  # the limit that the documentation states
    assert real < found.interval.low


def grouped_rows(count, size, generator):
    """Groups of rows that have a tendency of their own, which the champion does not know."""
    groups = np.repeat(np.arange(count), size)
    x = generator.normal(0, 1.5, len(groups))
    tendency = generator.normal(0, 1.5, count)[groups]
    said = expit(0.7 * x)
    predictions = Predictions(labels(said > 0.5), np.column_stack([1 - said, said]), ("a", "b"))
    return predictions, labels(generator.random(len(groups)) < expit(x + tendency)), groups


def test_rows_that_belong_together_widen_the_interval_to_what_is_true():
    generator, metric = np.random.default_rng(4), builtin("recall", "b")
    inside = {True: 0, False: 0}
    for run in range(50):
        held, truth, groups = grouped_rows(60, 20, generator)
        new, realised, members = grouped_rows(15, 20, generator)
        real = value(metric.statistics(realised, new, None))
        for known in inside:
            pair = (groups, members) if known else (None, None)
            found = estimated(metric, held, truth, new, groups=pair, seed=run)
            inside[known] += found.interval.low <= real <= found.interval.high
    assert binomtest(inside[True], 50, 0.9, "less").pvalue > 1e-3
    assert inside[False] < inside[True]


def test_rows_of_a_group_are_drawn_as_alike_as_they_are():
    generator = np.random.default_rng(16)
    held, truth, groups = grouped_rows(150, 20, generator)
    calibration = calibrate(held, truth, groups, draws=30)
    assert calibration.by_class
    shares = [np.bincount(groups, weights=drawn == "b").std() for drawn in calibration.truths(held, groups)]
    assert np.mean(shares) == pytest.approx(np.bincount(groups, weights=truth == "b").std(), rel=0.1)


def test_groups_in_which_the_champion_is_right_or_wrong_as_a_whole():
    generator = np.random.default_rng(17)
    held, truth = two_classes(3_000, generator)
    groups = np.repeat(np.arange(150), 20)
    turned = (generator.random(150) < 0.3)[groups]
    truth = np.where(turned, np.where(held.values == "b", "a", "b"), held.values)
    calibration = calibrate(held, truth, groups, draws=30)
    assert not calibration.by_class
    right = [np.bincount(groups, weights=drawn == held.values).std() for drawn in calibration.truths(held, groups)]
    assert np.mean(right) == pytest.approx(np.bincount(groups, weights=truth == held.values).std(), rel=0.2)


def test_independent_rows_in_groups_are_no_more_alike_than_others():
    generator = np.random.default_rng(5)
    held, truth = two_classes(2_000, generator)
    assert calibrate(held, truth, np.repeat(np.arange(100), 20), draws=2).together < 0.1


def test_decision_values_serve_where_there_are_no_probabilities():
    generator = np.random.default_rng(6)
    sure, truth = two_classes(2_000, generator)
    margins = 0.2 * log_odds(sure, ("a", "b"))[:, 1]
    metric = builtin("accuracy")
    plain = estimated(metric, sure, truth, sure)
    for decision in (margins, np.column_stack([-margins, margins]) / 2):
        held = Predictions(sure.values, classes=("a", "b"), decision=decision)
        assert estimated(metric, held, truth, held).value == pytest.approx(plain.value, abs=0.01)


def test_whether_a_champion_says_how_sure_it_is():
    values = labels([0, 1])
    assert not scored(Predictions(values, classes=("a", "b")))
    assert not scored(Predictions(values, np.ones((2, 1)), ("a",)))
    assert scored(Predictions(values, np.full((2, 2), 0.5), ("a", "b")))
    assert scored(Predictions(values, classes=("a", "b"), decision=np.zeros(2)))


def test_labels_that_the_champion_does_not_know_are_drawn_too():
    generator = np.random.default_rng(8)
    held, truth = two_classes(3_000, generator)
    truth[generator.random(3_000) < 0.2] = "h"
    drawn = np.concatenate(list(calibrate(held, truth, draws=20).truths(held)))
    assert np.mean(drawn == "h") == pytest.approx(np.mean(truth == "h"), abs=0.02)


def test_an_answer_that_is_no_class_is_always_wrong():
    generator = np.random.default_rng(9)
    held, truth = two_classes(300, generator)
    odd = Predictions(np.full(300, "other", dtype=object), held.probabilities, held.classes)
    assert estimated(builtin("accuracy"), held, truth, odd).value == 0.0
    drawn = np.concatenate(list(calibrate(held, truth, draws=20).truths(odd)))
    assert np.mean(drawn == "b") == pytest.approx(np.mean(truth == "b"), abs=0.05)
    assert codes(np.array(["b", "other"]), ("a", "b")).tolist() == [1, -1]


def test_equal_arguments_give_equal_estimates():
    found = [
        estimated(builtin("f1", "b"), *two_classes(300, np.random.default_rng(1)), held)
        for held in [two_classes(90, np.random.default_rng(2))[0]] * 2
    ]
    assert found[0] == found[1]


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 5), st.integers(5, 60), st.integers(0, 99), st.sampled_from([0.0, 0.5, 1.0]))
def test_calibrated_probabilities_are_probabilities_whatever_the_champion_says(kinds, n, seed, certain):
    generator = np.random.default_rng(seed)
    said = generator.dirichlet(np.full(kinds, 0.3), n)
    said = np.where(generator.random((n, 1)) < certain, np.eye(kinds)[said.argmax(axis=1)], said)
    predictions = Predictions(labels(said.argmax(axis=1)), said, tuple(NAMES[:kinds]))
    truth = labels(generator.integers(0, kinds, n))
    calibration = calibrate(predictions, truth, generator.integers(0, 4, n), draws=3)
    found = calibration.probabilities(predictions)
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert found.sum(axis=1) == pytest.approx(1)
    for drawn in calibration.truths(predictions, np.zeros(n)):
        assert set(drawn) <= set(calibration.classes)


@pytest.mark.parametrize("sure", [0.01, 6.0])
def test_the_calibration_has_converged_even_at_the_edge_of_certainty(sure):
    generator = np.random.default_rng(10)
    odds = np.where(generator.random(5_000) < 0.5, -9.0, generator.normal(2, sure, 5_000))
    truth = labels(generator.random(5_000) < expit(3 * odds + 2))
    said = expit(odds)
    held = Predictions(labels(said > 0.5), np.column_stack([1 - said, said]), ("a", "b"))
    probable = calibrate(held, truth, draws=2).probabilities(held)[:, 1]
    for part in (odds < -8, odds > -8):
        assert probable[part].mean() == pytest.approx(np.mean(truth[part] == "b"), abs=0.01)
