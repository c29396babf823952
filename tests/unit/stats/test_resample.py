"""Intervals hold the truth as often as they say, and the p-value says the same as the interval."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from keepfit.ports import Predictions
from keepfit.records import Interval
from keepfit.stats.metrics import FunctionStatistics, SumStatistics, builtin, value
from keepfit.stats.resample import difference, distribution, interval, weights


def mean_of(numbers, **more):
    """The plain mean, each number its own unit."""
    sums = np.column_stack([np.ones(len(numbers)), numbers])
    return SumStatistics(sums, lambda sums: sums[:, 1] / np.maximum(sums[:, 0], 1), len(numbers), **more)


def shares(right, n):
    """An accuracy of `right` in `n`."""
    return mean_of(np.arange(n) < right, limits=(0.0, 1.0))


@given(st.integers(1, 50), st.integers(1, 30), st.integers(0, 9))
def test_every_resample_draws_as_many_units_as_there_are(units, resamples, seed):
    drawn = np.concatenate(list(weights(units, resamples, seed)))
    assert drawn.shape == (resamples, units)
    assert (drawn.sum(axis=1) == units).all()
    assert (drawn == np.concatenate(list(weights(units, resamples, seed)))).all()


def test_weights_come_in_pieces_that_fit_in_memory_and_are_multinomial():
    pieces = list(weights(2_000, 1_200, seed=1))
    assert [len(piece) for piece in pieces] == [500, 500, 200]
    counts = np.bincount(np.concatenate(pieces).astype(int).ravel(), minlength=4)[:4] / 2_400_000
    assert counts == pytest.approx(stats.binom.pmf(range(4), 2_000, 1 / 2_000), abs=2e-3)


def test_the_interval_of_a_mean_is_that_of_scipys_bootstrap():
    numbers = np.random.default_rng(1).exponential(size=400)
    expected = stats.bootstrap((numbers,), np.mean, n_resamples=5_000, method="percentile", rng=np.random.default_rng(2))
    found = interval(mean_of(numbers), resamples=5_000)
    width = expected.confidence_interval.high - expected.confidence_interval.low
    assert found.low == pytest.approx(expected.confidence_interval.low, abs=0.05 * width)
    assert found.high == pytest.approx(expected.confidence_interval.high, abs=0.05 * width)
    assert isinstance(found.low, float)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_the_interval_of_very_few_numbers_is_students(n):
    numbers = np.random.default_rng(n).normal(size=n)
    found = interval(mean_of(numbers), resamples=20_000)
    half = stats.t.ppf(0.975, n - 1) * numbers.std(ddof=1) / np.sqrt(n)
    assert (found.low, found.high) == pytest.approx((numbers.mean() - half, numbers.mean() + half), abs=0.06 * half)


@pytest.mark.parametrize("n", [5, 8, 20])
def test_the_interval_of_a_normal_mean_holds_the_truth_as_often_as_it_says(n):
    generator = np.random.default_rng(n)
    runs, held = 2_000, 0
    for run in range(runs):
        found = interval(mean_of(generator.normal(size=n)), level=0.9, resamples=1_000, seed=run)
        held += found.low <= 0 <= found.high
    assert stats.binomtest(held, runs, 0.9, "less").pvalue > 1e-4
    assert held / runs < 0.94


@pytest.mark.parametrize(("n", "share"), [(60, 0.9), (100, 0.98), (300, 0.995)])
def test_the_interval_of_an_accuracy_holds_the_truth_even_with_few_errors(n, share):
    likely = [right for right in range(n + 1) if stats.binom.pmf(right, n, share) > 1e-5]
    found = {right: interval(shares(right, n), resamples=2_000) for right in likely}
    held = sum(stats.binom.pmf(right, n, share) for right in likely if found[right].low <= share <= found[right].high)
    assert held > 0.93  # the exact coverage


def test_without_an_error_the_interval_is_the_exact_binomial_one():
    expected = stats.binomtest(100, 100).proportion_ci(0.9).low  # two-sided 0.9 has 0.05 in this tail
    assert interval(shares(100, 100)).low == pytest.approx(expected)
    assert interval(shares(100, 100)).high == 1.0
    assert interval(shares(0, 100)).high == pytest.approx(1 - expected)


def test_an_interval_stays_within_the_limits_of_the_metric():
    found = interval(shares(1, 2))
    assert (found.low, found.high) == (0.0, 1.0)


def test_there_is_no_interval_with_one_unit_or_an_undefined_metric():
    assert interval(shares(1, 1)) is None
    assert interval(shares(0, 0)) is None
    assert interval(FunctionStatistics(lambda _: None, rows=9)) is None


def test_a_few_undefined_resamples_are_left_out_and_many_are_not():
    def mean_with(rare):  # undefined without any of the `rare` first rows
        return FunctionStatistics(lambda rows: float(rows.mean()) if (rows < rare).any() else None, rows=40)

    few, many = distribution(mean_with(8), 1_000, seed=1), distribution(mean_with(2), 1_000, seed=1)
    assert 0 <= few.undefined <= 10
    assert len(few.values) + few.undefined == 1_000
    assert many is None
    assert interval(mean_with(2), resamples=1_000) is None


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(-9, 9), min_size=2, max_size=30).filter(lambda numbers: len(set(numbers)) > 1),
    st.floats(0.001, 0.4),
    st.integers(-5, 5),
)
def test_the_p_value_is_below_alpha_exactly_when_the_interval_lies_above(numbers, alpha, bound):
    found = distribution(mean_of(np.array(numbers, dtype=float)), 500, seed=2)
    p, low = found.p_value(bound), found.low(alpha)
    if abs(p - alpha) > 1e-6 and abs(low - bound) > 1e-9:
        assert (p < alpha) == (low > bound)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(-9, 9), min_size=2, max_size=30).filter(lambda numbers: len(set(numbers)) > 1))
def test_a_higher_level_never_gives_a_narrower_interval(numbers):
    found = distribution(mean_of(np.array(numbers, dtype=float)), 500, seed=2)
    ends = [found.interval(level) for level in (0.5, 0.8, 0.9, 0.95, 0.99, 0.999)]
    assert all(a.low >= b.low and a.high <= b.high for a, b in pairwise(ends))


@pytest.mark.parametrize("alpha", [0.05, 0.001, 1e-5])
def test_small_p_values_of_few_numbers_are_students_though_no_resample_shows_them(alpha):
    numbers = np.random.default_rng(4).normal(size=12)
    numbers += stats.t.isf(alpha, 11) * numbers.std(ddof=1) / np.sqrt(12) - numbers.mean()
    found = distribution(mean_of(numbers), 4_000, seed=1).p_value(0.0)
    assert found == pytest.approx(alpha, rel=0.25)


def test_units_on_which_models_agree_say_nothing_of_how_they_differ():
    zeros, three = np.zeros(500), np.r_[np.ones(3), np.zeros(497)]
    found = difference(mean_of(zeros), mean_of(three), 4_000, seed=1)
    assert found.p_value(0.0) == pytest.approx(1 / 8, rel=0.1)  # three signs alike; the plain bootstrap says 1/20
    assert difference(mean_of(three), mean_of(three), 100, seed=1) is None


def test_models_on_different_units_cannot_be_paired():
    with pytest.raises(ValueError, match="different units"):
        difference(mean_of(np.ones(3)), mean_of(np.ones(4)), 100, seed=1)


def test_equal_arguments_give_equal_intervals_and_a_million_rows_are_affordable():
    truth = np.zeros(1_000_000)
    statistics = builtin("mean_absolute_error").statistics(truth, Predictions(np.linspace(0, 1, 1_000_000)), None)
    first = interval(statistics, resamples=1_000, seed=3)
    assert first == interval(statistics, resamples=1_000, seed=3)
    assert isinstance(first, Interval)
    assert first.low < value(statistics) < first.high
