"""Confidence says how often a model is right: for models that are too sure, not sure enough or neither, few rows and many."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

from keepfit.inputs import Confidence
from keepfit.ports import Predictions
from keepfit.stats.confidence import SURE
from keepfit.stats.top_label import _increasing, calibration_error, confident, own_odds, top_label

NAMES = np.array(["a", "b", "c"], dtype=object)


def two_classes(n, generator, *, sharp=1.0, spread=2.0):
    """A model's word and the truth: its log-odds are `sharp` times the true ones."""
    true = generator.normal(0, spread, n)
    truth = NAMES[(generator.random(n) < expit(true)).astype(int)]
    second = expit(sharp * true)
    return Predictions(NAMES[(second > 0.5).astype(int)], np.column_stack([1 - second, second]), ("a", "b")), truth, np.abs(true)


def three_classes(n, generator, *, sharp=1.0):
    logs = generator.normal(0, 1.5, (n, 3))
    true = np.exp(logs) / np.exp(logs).sum(axis=1, keepdims=True)
    said = np.exp(sharp * logs) / np.exp(sharp * logs).sum(axis=1, keepdims=True)
    truth = NAMES[(true.cumsum(axis=1) < generator.random(n)[:, None]).sum(axis=1)]
    return (
        Predictions(NAMES[said.argmax(axis=1)], said, tuple(NAMES)),
        truth,
        logit(np.clip(true[np.arange(n), said.argmax(axis=1)], 1e-9, 1 - 1e-9)),
    )


def said(confidence, predictions):
    sure = confident(confidence)
    places = [predictions.classes.index(name) for name in predictions.values]
    return np.array([sure(float(row[place])) for row, place in zip(predictions.probabilities, places, strict=True)])


@pytest.mark.parametrize("world", [two_classes, three_classes])
@pytest.mark.parametrize("sharp", [0.3, 1.0, 3.0])
def test_confidence_is_how_often_it_is_right(world, sharp):
    generator = np.random.default_rng(1)
    held, truth, _ = world(4000, generator, sharp=sharp)
    new, realised, true_odds = world(20_000, generator, sharp=sharp)
    confidence = top_label(held, truth)
    found = said(confidence, new)
    assert np.abs(found - expit(true_odds)).mean() < (0.025 if world is two_classes else 0.04)  # of three, one odds do not say all
    assert calibration_error(found, new.values == realised) < 0.02
    assert confidence.error < 0.03
    if sharp != 1.0:
        own = expit(own_odds(new))
        assert calibration_error(own, new.values == realised) > 0.08, "what is mended here must be broken"


def test_few_rows_leave_the_models_own_word_nearly_as_it_is():
    generator = np.random.default_rng(2)
    gaps = []
    for _ in range(20):
        held, truth, _ = two_classes(40, generator)
        new, _, true_odds = two_classes(500, generator)
        gaps.append(np.abs(said(top_label(held, truth), new) - expit(true_odds)).mean())
    assert np.mean(gaps) < 0.06


def test_a_model_that_is_far_too_sure_is_mended_by_a_few_hundred_rows():
    generator = np.random.default_rng(3)
    held, truth, _ = two_classes(300, generator, sharp=8.0, spread=1.0)
    new, _, true_odds = two_classes(5000, generator, sharp=8.0, spread=1.0)
    assert np.abs(said(top_label(held, truth), new) - expit(true_odds)).mean() < 0.06


@pytest.mark.parametrize("rows", [30, 200, 5000])
def test_no_error_among_the_rows_does_not_make_an_error_impossible(rows):
    sure = np.full((rows, 2), [1e-12, 1 - 1e-12])
    confidence = top_label(Predictions(np.full(rows, "b", dtype=object), sure, ("a", "b")), np.full(rows, "b", dtype=object))
    assert 1 - 3 / rows < confident(confidence)(1.0) <= (rows + 1) / (rows + 2) + 1e-9


def test_nothing_but_errors_is_believed_too():
    probabilities = np.full((200, 2), [0.1, 0.9])
    confidence = top_label(Predictions(np.full(200, "b", dtype=object), probabilities, ("a", "b")), np.full(200, "a", dtype=object))
    assert 0 < confident(confidence)(0.9) < 0.05


def test_too_few_rows_teach_nothing_and_the_models_own_word_is_held_off_certainty():
    held, truth, _ = two_classes(29, np.random.default_rng(4))
    assert top_label(held, truth) is None
    assert [confident(None)(own) for own in (0.7, 1.0, 0.0)] == [0.7, 1 - SURE, SURE]
    assert top_label(*two_classes(60, np.random.default_rng(4))[:2]).error is None, "60 rows do not tell a calibration error"


def test_groups_count_as_one_row_each():
    generator = np.random.default_rng(5)
    held, truth, _ = two_classes(400, generator)
    groups = np.repeat(np.arange(40), 10)
    assert top_label(held, truth, np.repeat(np.arange(20), 20)) is None
    assert max(top_label(held, truth, groups).probability) <= 41 / 42
    assert max(top_label(held, truth).probability) > 41 / 42


def test_the_error_is_measured_on_groups_that_the_curve_did_not_see():
    """Every group repeats one row thirty times, so that a curve that saw its group would know it by heart."""
    generator = np.random.default_rng(6)
    held, truth, _ = two_classes(60, generator, spread=0.01)
    many = held.of(np.repeat(np.arange(60), 30))
    apart = top_label(many, np.repeat(truth, 30), np.repeat(np.arange(60), 30)).error
    together = top_label(many, np.repeat(truth, 30)).error
    assert apart > together


def test_without_probabilities_there_is_no_confidence():
    values = np.array(["a"] * 50, dtype=object)
    assert top_label(Predictions(values, classes=("a", "b"), decision=np.zeros(50)), values) is None


def test_a_model_that_is_right_less_often_where_it_is_surer_gets_one_confidence_for_both():
    odds = np.repeat([0.5, 1.0, 2.0, 4.0], 500)
    right = np.arange(2000) % 20 < np.repeat([19, 19, 12, 12], 500)
    probabilities = np.column_stack([expit(-odds), expit(odds)])
    truth = np.where(right, "b", "a").astype(object)
    confidence = top_label(Predictions(np.full(2000, "b", dtype=object), probabilities, ("a", "b")), truth)
    assert np.all(np.diff(confidence.probability) >= 0)
    assert confident(confidence)(0.9) == pytest.approx(0.775, abs=0.03)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(30, 400), sharp=st.floats(-1, 6), spread=st.floats(0, 5))
def test_it_never_falls_and_never_reaches_0_or_1(seed, rows, sharp, spread):
    held, truth, _ = two_classes(rows, np.random.default_rng(seed), sharp=sharp, spread=spread)
    confidence = top_label(held, truth)
    assert np.all(np.diff(confidence.odds) > 0)
    assert np.all(np.diff(confidence.probability) >= 0)
    assert 1 / (rows + 2) - 1e-6 <= min(confidence.probability)
    assert max(confidence.probability) <= (rows + 1) / (rows + 2) + 1e-6
    sure = confident(confidence)
    found = [sure(own) for own in np.linspace(0, 1, 201)]
    assert np.all(np.diff(found) >= -1e-12)
    assert 0 < min(found) <= max(found) < 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.1, 10)), min_size=1, max_size=30))
def test_pooling_is_scikit_learns_isotonic_regression(pairs):
    values, weights = map(np.array, zip(*pairs, strict=True))
    expected = IsotonicRegression().fit_transform(np.arange(len(values)), values, sample_weight=weights)
    np.testing.assert_allclose(_increasing(values, weights), expected, atol=1e-9)


def test_between_two_points_it_is_a_line_and_beyond_them_flat():
    sure = confident(Confidence(odds=(-1.0, 1.0, 2.0), probability=(0.2, 0.6, 0.7), rows=10))
    assert sure(0.5) == pytest.approx(0.4)
    assert sure(float(expit(1.5))) == pytest.approx(0.65)
    assert (sure(0.001), sure(0.9999)) == (0.2, 0.7)
    assert confident(Confidence(odds=(0.5,), probability=(0.8,), rows=10))(0.3) == 0.8


def test_the_calibration_error_is_0_for_what_is_right_as_often_as_it_says():
    probability = np.repeat([0.5, 0.8], 1000)
    right = np.concatenate([np.arange(1000) % 10 < 5, np.arange(1000) % 10 < 8])
    assert calibration_error(probability, right) == pytest.approx(0)
    assert calibration_error(probability + 0.1, right) == pytest.approx(0.1)
