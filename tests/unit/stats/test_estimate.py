"""From the draws to the estimate: its mean, its interval, and when there is none; and how alike the rows of a group are."""

import numpy as np
import pytest

from keepfit.stats.estimate import correlation, expectation, fates


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


def test_fates_are_uniform_and_as_alike_within_groups_as_is_asked() -> None:
    generator = np.random.default_rng(16)
    members = (np.repeat(np.arange(4_000), 2), 4_000)
    for together in (0.0, 0.5, 0.9):
        drawn = fates(8_000, members, together, generator)
        assert (drawn >= 0).all()
        assert (drawn < 1).all()
        assert np.histogram(drawn, bins=4)[0] / 8_000 == pytest.approx(0.25, abs=0.03)
        first, second = drawn[::2], drawn[1::2]
        alike = 6 / np.pi * np.arcsin(together / 2)  # of uniform variables behind which are normal ones
        assert np.corrcoef(first, second)[0, 1] == pytest.approx(alike, abs=0.05)


def test_the_correlation_within_groups_is_that_of_pairs() -> None:
    generator = np.random.default_rng(17)
    groups = np.repeat(np.arange(2_000), 3)
    residuals = 0.6 * generator.normal(size=2_000)[groups] + 0.8 * generator.normal(size=6_000)
    assert correlation(residuals, np.ones(6_000), groups) == pytest.approx(0.36, abs=0.04)
    assert correlation(residuals, np.ones(6_000), np.arange(6_000)) == 0.0
    assert correlation(np.array([1.0, -1.0]), np.ones(2), np.zeros(2)) == 0.0  # never below
