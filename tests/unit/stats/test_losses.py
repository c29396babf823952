"""Estimates from a model of losses: intervals hold the realised error as often as they say, and follow rows that are harder."""

import numpy as np
import pytest
from scipy.stats import binomtest

from keepfit.ports import Predictions
from keepfit.stats.estimate import expectation
from keepfit.stats.losses import errors_of
from keepfit.stats.metrics import builtin, value


def numbers(n, generator, *, hard=0.5, bias=0.0):
    """Truth, prediction and, but for a factor, the size of its error. A share `hard` of the rows is hard."""
    sizes = np.where(generator.random(n) < hard, 3.0, 0.5)
    predicted = generator.normal(10, 4, n)
    return predicted + sizes * (generator.standard_t(6, n) + bias), predicted, 0.4 * sizes


def estimated_number(metric, held, new, *, groups=(None, None), power=1, draws=80, seed=0):
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
    for run in range(80):
        held, new = numbers(400, generator, bias=0.3), numbers(300, generator, hard=0.2, bias=0.3)
        found = estimated_number(metric, held, new, power=power, seed=run)
        real = value(metric.statistics(new[0], Predictions(new[1]), None))
        inside += found.interval.low <= real <= found.interval.high
        gaps.append((found.value - real) / real)
    assert binomtest(inside, 80, 0.9, "less").pvalue > 1e-3
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
