"""Looking at any time must stay honest: equal models are told apart at most as often as stated, however often anybody looks."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp

from keepfit.stats import sequential
from keepfit.stats.sequential import difference_bounds, lower_bound, mean_bounds

NUMBERS = st.lists(st.floats(-1, 1), min_size=1, max_size=60)
ALPHAS = st.sampled_from([0.001, 0.01, 0.05, 0.2])


# ---------------------------------------------------------------------------------------------- another implementation


def slow_lower(numbers: list[float], alpha: float) -> float:
    """The lower bound of a mean from 0 to 1, by the definition: one bettor at a time, one number at a time, a search from below."""
    bets = [0.99 / math.sqrt(2) ** step for step in range(20)]
    total = sum(math.sqrt(bet) for bet in bets)
    refuted = 0.0
    width = 0.5
    for _ in range(20):
        mean = refuted + width
        wealth = 0.0
        for bet in bets:
            own = math.sqrt(bet) / total
            for number in numbers:
                own *= 1 + bet * (number / mean - 1)
            wealth += own
        if wealth >= 1 / alpha:
            refuted = mean
        width /= 2
    return refuted


@given(st.lists(st.integers(0, 64), min_size=1, max_size=40), ALPHAS)
def test_agrees_with_betting_one_number_at_a_time(numbers: list[int], alpha: float) -> None:
    values = [number / 64 for number in numbers]  # exactly on the cells
    assert lower_bound(np.array(values), alpha, 0.0, 1.0) == pytest.approx(slow_lower(values, alpha), abs=2e-6)


# ------------------------------------------------------------------------------------------------------------- honesty


def alarms(draw: np.ndarray, alpha: float) -> float:
    """The share of samples (samples, n) of mean 0 in -1 to 1 in which some of the n looks finds a difference."""
    found = 0
    for sample in draw:
        scaled = (sample + 1) / 2
        found += any(_ever(side, alpha / 2) for side in (scaled, 1 - scaled))
    return found / len(draw)


def _ever(scaled: np.ndarray, alpha: float) -> bool:
    """Whether the bound lies beyond one half after any of the numbers: the wealth of every moment, in one go."""
    cells = np.floor(scaled * sequential.CELLS) / sequential.CELLS
    growth = np.cumsum(np.log1p(sequential._BETS[:, None] * (2 * cells[None, :] - 1)), axis=1)
    wealth = logsumexp(sequential._WEIGHTS[:, None] + growth, axis=0)
    return bool(wealth.max() >= -np.log(alpha))


def choices(values: list[float], chances: list[float], size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(7).choice(values, size, p=chances)


@pytest.mark.parametrize(
    ("values", "chances"),
    [
        ([-1.0, 0.0, 1.0], [0.05, 0.9, 0.05]),  # equal models that disagree on a tenth
        ([-1.0, 0.0, 1.0], [0.002, 0.996, 0.002]),  # and hardly ever
        ([-1.0, 1.0], [0.5, 0.5]),
        ([-0.98, 0.02], [0.02, 0.98]),  # skewed, either way
        ([0.98, -0.02], [0.02, 0.98]),
        ([1.0, -0.001], [0.001 / 1.001, 1 / 1.001]),  # a large loss that is next to never met
    ],
)
def test_equal_models_are_told_apart_no_more_often_than_stated_though_every_label_is_looked_at(
    values: list[float], chances: list[float]
) -> None:
    rate = alarms(choices(values, chances, (400, 2000)), alpha=0.1)
    assert rate <= 0.1 + 3 * math.sqrt(0.1 * 0.9 / 400)
    assert rate <= 0.1  # it is careful: the looks of these samples are finite


def test_a_plain_interval_would_be_fooled_by_as_many_looks() -> None:
    """So that the test before is known to be able to fail."""
    samples = choices([-1.0, 0.0, 1.0], [0.05, 0.9, 0.05], (400, 2000))
    n = np.arange(1, 2001)
    z = np.abs(np.cumsum(samples, axis=1)) / np.sqrt(np.maximum(np.cumsum(samples**2, axis=1), 1))
    assert np.mean(np.any((z > 1.96) & (n > 50), axis=1)) > 0.2


def test_a_difference_of_five_points_is_found_with_some_hundred_labels() -> None:
    """With 10 % disagreement, alpha 0.05 and a look at every label: half of the time within 330 labels, mostly within 640."""
    samples = choices([-1.0, 0.0, 1.0], [0.025, 0.9, 0.075], (300, 640))
    assert np.mean([_ever((sample + 1) / 2, 0.025) for sample in samples]) > 0.85
    assert np.mean([_ever((sample[:330] + 1) / 2, 0.025) for sample in samples]) > 0.48


def test_the_bounds_hold_the_mean_of_two_separate_samples() -> None:
    generator = np.random.default_rng(3)
    missed = 0
    for _ in range(300):
        first, second = generator.random(300) < 0.3, generator.random(900) < 0.2
        bounds = difference_bounds(first.astype(float), second.astype(float), 0.1)
        missed += not bounds.low <= 0.1 <= bounds.high
    assert missed <= 30


def test_each_of_two_samples_has_half_of_the_alpha() -> None:
    first, second = np.repeat([0.0, 1.0], [60, 40]), np.repeat([0.0, 1.0], [150, 50])
    one, other = (mean_bounds(sample, 0.05, 0.0, 1.0) for sample in (first, second))
    bounds = difference_bounds(first, second, 0.1)
    assert (bounds.low, bounds.high) == (one.low - other.high, one.high - other.low)
    assert (bounds.mean, bounds.n) == (pytest.approx(0.15), 300)


# ---------------------------------------------------------------------------------------------------------- properties


@given(NUMBERS, ALPHAS)
def test_the_interval_holds_the_samples_mean_and_stays_within_the_range(numbers: list[float], alpha: float) -> None:
    bounds = mean_bounds(np.array(numbers), alpha)
    assert bounds.mean is not None
    assert -1 <= bounds.low <= bounds.mean + 1e-9
    assert bounds.mean - 1e-9 <= bounds.high <= 1


@given(NUMBERS, ALPHAS, st.randoms(use_true_random=False))
def test_the_order_of_the_labels_does_not_matter(numbers: list[float], alpha: float, chance: object) -> None:
    shuffled = list(numbers)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = mean_bounds(np.array(numbers), alpha), mean_bounds(np.array(shuffled), alpha)
    assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=1e-9)


@given(NUMBERS, ALPHAS)
def test_turning_the_models_round_turns_the_interval_round(numbers: list[float], alpha: float) -> None:
    one, other = mean_bounds(np.array(numbers), alpha), mean_bounds(-np.array(numbers), alpha)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low), abs=3 / sequential.CELLS)


@given(NUMBERS, st.floats(0.001, 0.4))
def test_who_accepts_more_errors_gets_a_narrower_interval(numbers: list[float], alpha: float) -> None:
    strict, lax = mean_bounds(np.array(numbers), alpha / 2), mean_bounds(np.array(numbers), alpha)
    assert strict.low <= lax.low + 1e-9
    assert lax.high <= strict.high + 1e-9


@given(NUMBERS)
def test_the_one_sided_bound_is_that_of_the_interval_with_twice_the_alpha(numbers: list[float]) -> None:
    assert lower_bound(np.array(numbers), 0.05) == pytest.approx(mean_bounds(np.array(numbers), 0.1).low)


def test_rounding_only_makes_it_more_careful() -> None:
    fine = np.random.default_rng(1).beta(2, 5, 500) * 0.999
    assert lower_bound(fine, 0.05, 0.0, 1.0) <= slow_lower(list(fine), 0.05) + 2e-6


# ----------------------------------------------------------------------------------------------------- undefined cases


def test_of_no_numbers_nothing_is_known() -> None:
    bounds = mean_bounds(np.array([]), 0.05)
    assert (bounds.low, bounds.high, bounds.mean, bounds.n) == (-1.0, 1.0, None, 0)
    assert lower_bound(np.array([]), 0.05) == -1.0
    nothing = difference_bounds(np.array([]), np.zeros(10_000), 0.05)
    assert nothing.mean is None
    assert nothing.low <= 0 < nothing.high


@pytest.mark.parametrize("wrong", [1.1, -1.5, float("nan"), float("inf")])
def test_numbers_outside_the_range_are_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="expected numbers from"):
        mean_bounds(np.array([0.0, wrong]), 0.05)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, float("nan")])
def test_an_alpha_that_is_no_probability_is_refused(alpha: float) -> None:
    for bound in (mean_bounds, lower_bound):
        with pytest.raises(ValueError, match="alpha"):
            bound(np.array([0.0]), alpha)


def test_a_million_numbers_take_a_fraction_of_a_second() -> None:
    generator = np.random.default_rng(0)
    values = generator.beta(2, 5, 1_000_000) - generator.beta(2, 5, 1_000_000)
    began = time.process_time()
    mean_bounds(values, 0.05)
    assert time.process_time() - began < 2
