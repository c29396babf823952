"""Estimates without labels: intervals hold the realised metric as often as they say, while the truth depends on the inputs as it
did; and they do not see it when that changes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from scipy.stats import binomtest
from sklearn.isotonic import IsotonicRegression

from keepfit.ports import Predictions
from keepfit.stats.estimate import calibrate, codes, errors_of, expectation, log_odds, scored
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


def estimated(metric, held, truth, new, *, groups=(None, None), level=0.9, draws=100, seed=0):
    calibration = calibrate(held, truth, groups[0], draws=draws, seed=seed)
    values = [value(metric.statistics(drawn, new, None)) for drawn in calibration.truths(new, groups[1], seed)]
    return expectation(values, level=level, units=calibration.units)


def coverage(metric, world, *, held=400, new=300, runs=100, level=0.9, **changed):
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


# ---------------------------------------------------------------------------------------------------------------- classes


@pytest.mark.parametrize("name", ["accuracy", "f1", "log_loss", "balanced_accuracy"])
def test_the_interval_holds_the_realised_metric_as_often_as_it_says(name):
    inside, gap = coverage(builtin(name, "b"), two_classes)
    assert binomtest(inside, 100, 0.9, "less").pvalue > 1e-3
    assert inside < 100
    assert abs(gap) < 0.02


@pytest.mark.parametrize("wrong", [{"sharp": 0.3, "shift": 1.0}, {"sharp": 3.0}, {"shift": -2.0}])
def test_a_champion_that_is_too_sure_or_not_sure_enough_is_recalibrated(wrong):
    inside, gap = coverage(builtin("accuracy"), two_classes, runs=60, **wrong)
    assert binomtest(inside, 60, 0.9, "less").pvalue > 1e-3
    assert abs(gap) < 0.015


@pytest.mark.parametrize("sharp", [1.0, 0.3])
def test_several_classes_are_calibrated_together(sharp):
    inside, gap = coverage(builtin("f1_macro"), many_classes, held=1_000, runs=60, sharp=sharp)
    assert binomtest(inside, 60, 0.9, "less").pvalue > 1e-3
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
    generator = np.random.default_rng(2)
    held, truth = two_classes(30, generator)
    new, _ = two_classes(2_000, generator, mean=4.0)
    said = new.probabilities[:, 1]
    assert calibrate(held, truth, draws=2).probabilities(new)[:, 1] == pytest.approx(said, abs=0.1)


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
    for run in range(60):
        held, truth, groups = grouped_rows(60, 20, generator)
        new, realised, members = grouped_rows(15, 20, generator)
        real = value(metric.statistics(realised, new, None))
        for known in inside:
            pair = (groups, members) if known else (None, None)
            found = estimated(metric, held, truth, new, groups=pair, seed=run)
            inside[known] += found.interval.low <= real <= found.interval.high
    assert binomtest(inside[True], 60, 0.9, "less").pvalue > 1e-3
    assert inside[False] < inside[True]


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


# ---------------------------------------------------------------------------------------------------------------- numbers


def numbers(n, generator, *, hard=0.5, bias=0.0):
    """Truth, prediction and the size of its error, of which a loss model knows the proportions; `hard` is the share of hard rows."""
    sizes = np.where(generator.random(n) < hard, 3.0, 0.5)
    predicted = generator.normal(10, 4, n)
    return predicted + sizes * (generator.standard_t(6, n) + bias), predicted, 0.4 * sizes


def estimated_number(metric, held, new, *, groups=(None, None), power=1, draws=100, seed=0):
    truth, predicted, sizes = held
    errors = errors_of(predicted, truth, sizes, groups[0], power=power)
    drawn = errors.truths(new[1], new[2][None], groups[1], draws=draws, seed=seed)
    values = [value(metric.statistics(each, Predictions(new[1]), None)) for each in drawn]
    return expectation(values, level=0.9, units=errors.units.independent)


@pytest.mark.parametrize(
    ("name", "power"), [("mean_absolute_error", 1), ("root_mean_squared_error", 2), ("r2", 2), ("mean_absolute_error", 2)]
)
def test_the_interval_holds_the_realised_error_as_often_as_it_says(name, power):
    generator, metric, inside, gaps = np.random.default_rng(11), builtin(name), 0, []
    for run in range(100):
        held, new = numbers(400, generator, bias=0.3), numbers(300, generator, hard=0.2, bias=0.3)
        found = estimated_number(metric, held, new, power=power, seed=run)
        real = value(metric.statistics(new[0], Predictions(new[1]), None))
        inside += found.interval.low <= real <= found.interval.high
        gaps.append((found.value - real) / real)
    assert binomtest(inside, 100, 0.9, "less").pvalue > 1e-3
    assert abs(np.mean(gaps)) < 0.03


def test_the_estimate_follows_a_shift_to_harder_rows():
    generator, metric = np.random.default_rng(12), builtin("mean_absolute_error")
    held = numbers(3_000, generator, hard=0.2)
    for hard in (0.0, 0.9):
        new = numbers(3_000, generator, hard=hard)
        real = float(np.abs(new[0] - new[1]).mean())
        assert estimated_number(metric, held, new).value == pytest.approx(real, rel=0.08)


def test_a_loss_model_that_is_wrong_by_a_factor_does_no_harm():
    generator, metric = np.random.default_rng(13), builtin("mean_absolute_error")
    truth, predicted, sizes = numbers(500, generator)
    noisy = sizes * np.exp(generator.normal(0, 0.5, 500))
    right = float(np.abs(truth - predicted).mean())
    for factor in (1, 1_000):
        held = (truth, predicted, factor * noisy)
        assert estimated_number(metric, held, held).value == pytest.approx(right, rel=0.03)


def test_several_loss_models_take_turns():
    errors = errors_of(np.zeros(50), np.ones(50), np.ones(50))
    drawn = list(errors.truths(np.zeros(3), np.array([[1.0] * 3, [5.0] * 3]), draws=4))
    assert [float(each[0]) for each in drawn] == pytest.approx([1, 5, 1, 5])


def test_errors_of_one_group_are_drawn_alike():
    generator = np.random.default_rng(14)
    groups = np.repeat(np.arange(60), 20)
    truth = generator.normal(0, 2, 60)[groups] + generator.normal(0, 1, 1_200)
    held = (truth, np.zeros(1_200), np.ones(1_200))
    assert errors_of(held[1], truth, held[2], groups).together == pytest.approx(0.8, abs=0.1)
    metric = builtin("mean_absolute_error")
    widths = []
    for pair in ((None, None), (groups, groups)):
        found = estimated_number(metric, held, held, groups=pair).interval
        widths.append(found.high - found.low)
    assert widths[1] > 2 * widths[0]


@pytest.mark.parametrize("sizes", [np.ones(20), np.zeros(20), np.full(20, -1.0)])
def test_a_champion_without_errors_is_expected_to_make_none(sizes):
    held = (np.arange(20.0), np.arange(20.0), sizes)
    assert estimated_number(builtin("mean_absolute_error"), held, held).value == 0.0


# --------------------------------------------------------------------------------------------------------------- the result


def test_a_metric_that_is_undefined_in_more_than_one_draw_of_a_hundred_has_no_estimate():
    assert expectation([0.5] * 198 + [None, float("nan")], level=0.9, units=50).value == 0.5
    found = expectation([0.5] * 197 + [None] * 3, level=0.9, units=50)
    assert (found.value, found.interval, found.undefined) == (None, None, 3)


def test_the_interval_keeps_within_the_metrics_limits():
    values = np.random.default_rng(15).normal(0.99, 0.02, 200)
    found = expectation(list(values), level=0.95, units=100, limits=(0.0, 1.0))
    assert found.interval.high == 1.0
    assert found.interval.low < 0.96


@pytest.mark.parametrize("values", [[], [None], [float("nan")] * 5])
def test_without_a_defined_draw_there_is_nothing(values):
    assert expectation(values, level=0.9, units=10).value is None


def test_a_single_draw_has_no_interval():
    found = expectation([0.5], level=0.9, units=10)
    assert (found.value, found.interval) == (0.5, None)
