"""Gates keep their promises: equal models are promoted no more often than stated, better ones as often as planned."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from keepfit.errors import ConfigError
from keepfit.ports import Predictions
from keepfit.records import Conclusion
from keepfit.stats.compare import Flips, compare, compare_slices, flips, mcnemar, meets, spent_alpha
from keepfit.stats.metrics import FunctionStatistics, SumStatistics, builtin

ACCURACY = builtin("accuracy")
MAE = builtin("mean_absolute_error")


def at_most(count, runs, rate):
    """Whether `count` of `runs` is no evidence that the rate is above `rate`: exact, wrong once in ten thousand."""
    return stats.binomtest(int(count), int(runs), rate, "greater").pvalue > 1e-4


def near(count, runs, low, high):
    """Whether the exact 99.99 % interval of the rate meets `low` to `high`."""
    found = stats.binomtest(int(count), int(runs)).proportion_ci(0.9999)
    return found.low <= high and found.high >= low


def flipped(negative, positive, n, groups=None):
    """Accuracies of two models that differ on so many rows, and their flips."""
    truth, champion, challenger = np.full((3, n), "a")
    challenger[:negative] = "b"
    champion[negative : negative + positive] = "b"
    both = [ACCURACY.statistics(truth, Predictions(values), groups) for values in (champion, challenger)]
    return {
        "champion": both[0],
        "challenger": both[1],
        "flips": None if groups is not None else flips(truth, champion, challenger),
    }


def judge(gate, negative, positive, n, **settings):
    return compare(gate=gate, **flipped(negative, positive, n), greater_is_better=True, **{"resamples": 1_000} | settings)


def p_values(negative, positive):
    """McNemar's, many at once, through the function under test."""
    pairs, place = np.unique(np.stack([negative, positive], axis=-1).reshape(-1, 2), axis=0, return_inverse=True)
    return np.array([mcnemar(int(a), int(b)) for a, b in pairs])[place].reshape(negative.shape)


# ------------------------------------------------------------------------------------------------------ McNemar and alpha


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_exact_binomial_test(negative, positive):
    n = negative + positive
    assert mcnemar(negative, positive) == pytest.approx(stats.binomtest(positive, n, 0.5, "greater").pvalue if n else 1.0)


def test_flips_count_both_ways_and_not_rows_that_are_wrong_twice():
    truth, champion, challenger = np.array(list("aaab")), np.array(list("aabc")), np.array(list("abac"))
    assert flips(truth, champion, challenger) == Flips(negative=1, positive=1, n=4)


def test_spent_alpha_adds_up_to_alpha():
    assert sum(spent_alpha(0.05, k) for k in range(1, 10_000)) == pytest.approx(0.05, rel=1e-3)
    assert sum(spent_alpha(0.05, k) for k in range(1, 10_000)) <= 0.05


def test_equal_models_are_promoted_no_more_often_than_stated_by_mcnemar_and_every_other_time_without_a_test():
    generator, runs = np.random.default_rng(1), 50_000
    disagree = generator.binomial(2_000, 0.1, runs)
    positive = generator.binomial(disagree, 0.5)
    passed = (p_values(disagree - positive, positive) <= 0.05).sum()
    assert at_most(passed, runs, 0.05)
    assert passed / runs > 0.03  # and not because nothing ever passes
    assert near((positive > disagree - positive).sum(), runs, 0.47, 0.5)


def test_over_a_year_of_weekly_challengers_few_champions_are_ever_replaced_wrongly():
    generator, lives, weeks = np.random.default_rng(2), 10_000, 52
    disagree = generator.binomial(2_000, 0.1, (lives, weeks))
    positive = generator.binomial(disagree, 0.5)
    p = p_values(disagree - positive, positive)
    allowed = np.array([spent_alpha(0.05, week) for week in range(1, weeks + 1)])
    assert at_most((p <= allowed).any(axis=1).sum(), lives, 0.05)
    assert (p <= 0.05).any(axis=1).mean() > 0.85  # what the spending is for


def test_a_true_gain_of_half_a_point_is_found_with_5300_rows_four_times_in_five():
    generator, runs = np.random.default_rng(3), 20_000
    counts = generator.multinomial(5_300, [0.0075, 0.0125, 0.98], runs)
    assert near((p_values(counts[:, 0], counts[:, 1]) <= 0.05).sum(), runs, 0.78, 0.82)


# ------------------------------------------------------------------------------------------------------- the bootstrap


def test_equal_models_pass_non_inferiority_at_one_point_with_1240_rows_four_times_in_five():
    generator, runs = np.random.default_rng(4), 1_500
    counts = generator.multinomial(1_240, [0.01, 0.01, 0.98], runs)[:, :2]
    pairs, times = np.unique(counts, axis=0, return_counts=True)
    passed = [judge("non_inferior", a, b, 1_240, margin=0.01, resamples=500, seed=a * 99 + b).passed for a, b in pairs]
    assert near(times @ np.array(passed), runs, 0.78, 0.82)


@pytest.mark.parametrize(("groups", "size", "runs"), [(8, 25, 3_000), (100, 20, 1_500)])
def test_equal_models_are_promoted_no_more_often_than_stated_when_rows_come_in_groups(groups, size, runs):
    """10 % of rows differ; in each group they lean to one side together, as the rows of one patient do."""
    generator, number = np.random.default_rng(groups), np.repeat(np.arange(groups), size)
    truth, passed, naive = np.full(groups * size, "a"), 0, 0
    for run in range(runs):
        lean = generator.beta(0.5, 0.5, groups)[number]
        differ, positive = generator.random((2, groups * size)) < np.stack([np.full(groups * size, 0.1), lean])
        champion, challenger = np.where(differ & positive, "b", "a"), np.where(differ & ~positive, "b", "a")
        both = [ACCURACY.statistics(truth, Predictions(values), number) for values in (champion, challenger)]
        found = compare(gate="superior", champion=both[0], challenger=both[1], greater_is_better=True, resamples=1_000, seed=run)
        assert found.test in ("bootstrap", None)
        passed += found.passed
        naive += mcnemar(int((differ & ~positive).sum()), int((differ & positive).sum())) <= 0.05
    assert at_most(passed, runs, 0.05)
    assert passed / runs > 0.02
    assert not at_most(naive, runs, 0.05)  # rows taken for independent: what the groups are for


def test_equal_models_are_promoted_no_more_often_than_stated_by_absolute_error():
    generator, runs, passed = np.random.default_rng(5), 2_000, 0
    for run in range(runs):
        truth = generator.normal(size=100)
        both = [MAE.statistics(truth, Predictions(truth + generator.standard_t(5, 100)), None) for _ in range(2)]
        passed += compare(
            gate="superior", champion=both[0], challenger=both[1], greater_is_better=False, resamples=500, seed=run
        ).passed
    assert at_most(passed, runs, 0.05)
    assert passed / runs > 0.03


def test_a_model_that_is_worse_by_the_margin_rarely_passes_non_inferiority():
    generator, runs = np.random.default_rng(6), 1_000
    counts = generator.multinomial(1_000, [0.06, 0.04, 0.9], runs)[:, :2]  # two points worse
    pairs, times = np.unique(counts, axis=0, return_counts=True)
    passed = [judge("non_inferior", a, b, 1_000, margin=0.02, resamples=500, seed=a * 99 + b).passed for a, b in pairs]
    assert at_most(times @ np.array(passed), runs, 0.05)


def test_the_interval_of_the_difference_holds_the_true_difference():
    generator, runs, held = np.random.default_rng(7), 1_500, 0
    for run in range(runs):
        truth = generator.normal(size=60)
        one = MAE.statistics(truth, Predictions(truth + generator.choice([-2.0, 2.0], 60)), None)
        other = MAE.statistics(truth, Predictions(truth + generator.exponential(size=60)), None)
        found = compare(gate="greater", champion=one, challenger=other, greater_is_better=False, resamples=500, seed=run)
        held += found.interval.low <= 1.0 <= found.interval.high
    assert near(held, runs, 0.94, 0.96)


# ------------------------------------------------------------------------------------------------------------ verdicts


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 25), st.integers(0, 25), st.sampled_from(["greater", "min_gain", "superior", "non_inferior"]))
def test_a_difference_is_the_challengers_gain_whichever_way_the_metric_points(negative, positive, gate):
    pair = flipped(negative, positive, 100)
    up = compare(gate=gate, **pair, greater_is_better=True, margin=0.02, resamples=300)
    for name in ("champion", "challenger"):
        pair[name] = SumStatistics(pair[name].sums, lambda sums: 1 - sums[:, 1] / sums[:, 0], 100)
    down = compare(gate=gate, **pair, greater_is_better=False, margin=0.02, resamples=300)
    assert up.difference == pytest.approx((positive - negative) / 100)
    assert down.difference == pytest.approx(up.difference)
    assert down.conclusion == up.conclusion
    assert down.p_value == pytest.approx(up.p_value)


@pytest.mark.parametrize(
    ("gate", "negative", "positive", "conclusion", "test"),
    [
        ("greater", 4, 5, Conclusion.PASSED, None),
        ("greater", 5, 5, Conclusion.REJECTED, None),
        ("min_gain", 10, 30, Conclusion.REJECTED, None),  # exactly the margin of 0.02
        ("min_gain", 10, 31, Conclusion.PASSED, None),
        ("superior", 10, 60, Conclusion.PASSED, "bootstrap"),  # beyond a margin McNemar has no answer
        ("superior", 10, 40, Conclusion.INCONCLUSIVE, "bootstrap"),
        ("superior", 40, 10, Conclusion.REJECTED, "bootstrap"),
        ("non_inferior", 20, 20, Conclusion.PASSED, "bootstrap"),
        ("non_inferior", 35, 20, Conclusion.INCONCLUSIVE, "bootstrap"),
        ("non_inferior", 90, 20, Conclusion.REJECTED, "bootstrap"),
        ("non_inferior", 4, 0, Conclusion.PASSED, "binomial"),
    ],
)
def test_verdicts_with_a_margin_of_two_points(gate, negative, positive, conclusion, test):
    found = judge(gate, negative, positive, 1_000, margin=0.02)
    assert (found.conclusion, found.test, found.passed) == (conclusion, test, conclusion is Conclusion.PASSED), found.reason
    assert (found.p_value is None) == (test is None)


@pytest.mark.parametrize(
    ("negative", "positive", "conclusion"),
    [(10, 30, Conclusion.PASSED), (18, 30, Conclusion.INCONCLUSIVE), (30, 10, Conclusion.REJECTED), (0, 4, "inconclusive")],
)
def test_superior_without_margin_is_mcnemar(negative, positive, conclusion):
    found = judge("superior", negative, positive, 1_000)
    assert (found.test, found.p_value) == ("mcnemar", mcnemar(negative, positive))
    assert found.conclusion == conclusion


def test_an_inconclusive_verdict_says_how_much_data_would_settle_it():
    assert "about 5,100 rows would settle it (an estimate)" in judge("superior", 22, 30, 1_000, resamples=20_000).reason
    assert "Only 4 rows differ" in judge("superior", 0, 4, 1_000).reason
    assert "fewer than 5 no test can reach 0.05" in judge("superior", 0, 4, 1_000).reason
    assert "no number of rows" in judge("superior", 25, 25, 1_000).reason
    assert "do the same on all 100 rows" in judge("superior", 0, 0, 100).reason
    assert "at least 299 rows" in judge("non_inferior", 0, 0, 200, margin=0.01).reason


def test_two_models_that_agree_on_a_few_rows_are_not_thereby_equally_good():
    assert judge("non_inferior", 0, 0, 100, margin=0.01).conclusion is Conclusion.INCONCLUSIVE
    assert judge("non_inferior", 0, 0, 300, margin=0.01).conclusion is Conclusion.PASSED
    assert judge("non_inferior", 0, 0, 10_000, margin=0.0).conclusion is Conclusion.INCONCLUSIVE


def test_few_groups_cannot_reach_a_small_alpha_however_alike_they_are():
    pair = flipped(0, 100, 500, groups=np.arange(500) % 5)
    found = compare(gate="superior", **pair, greater_is_better=True, alpha=0.01, unit="groups")
    assert (found.conclusion, found.p_value, found.units) == (Conclusion.INCONCLUSIVE, 1 / 32, 5)
    assert "Only 5 groups differ between the two; with fewer than 7" in found.reason
    assert compare(gate="superior", **pair, greater_is_better=True, alpha=0.05).passed


def test_an_undefined_metric_or_a_single_unit_shows_nothing():
    undefined = FunctionStatistics(lambda _: None, rows=30)
    defined = FunctionStatistics(lambda rows: float(rows.mean()), rows=30)
    for gate in ("greater", "min_gain", "superior", "non_inferior"):
        found = compare(gate=gate, champion=undefined, challenger=defined, greater_is_better=True)
        assert (found.conclusion, found.champion, found.difference) == (Conclusion.INCONCLUSIVE, None, None)
        assert "undefined for the champion" in found.reason
    single = judge("superior", 0, 1, 1, alpha=0.6)
    assert (single.conclusion, single.interval) == (Conclusion.INCONCLUSIVE, None)
    assert "Fewer than two rows" in single.reason


def test_a_metric_undefined_in_many_resamples_is_inconclusive():
    rare = FunctionStatistics(lambda rows: float(rows.mean()) if 0 in rows else None, rows=30)
    found = compare(gate="superior", champion=rare, challenger=rare, greater_is_better=True, resamples=200)
    assert (found.conclusion, found.interval, found.p_value) == (Conclusion.INCONCLUSIVE, None, None)
    assert "undefined" in found.reason


def test_groups_left_out_are_counted_in_the_reason():
    sums = np.column_stack([np.ones(5), np.arange(5)])
    pair = [SumStatistics(sums + np.array([0, k]), lambda sums: sums[:, 1] / sums[:, 0], 5, left_out=k) for k in (0, 2)]
    found = compare(gate="greater", champion=pair[0], challenger=pair[1], greater_is_better=True, resamples=100)
    assert "0 groups for the champion, 2 for the challenger" in found.reason


def test_equal_seeds_give_equal_verdicts_and_other_gates_do_not_exist():
    assert judge("superior", 10, 20, 500, margin=0.001, seed=4) == judge("superior", 10, 20, 500, margin=0.001, seed=4)
    with pytest.raises(ConfigError, match="no gate 'better'"):
        judge("better", 1, 2, 10)


# -------------------------------------------------------------------------------------------------- floors and slices


@given(st.floats(-5, 5), st.floats(-5, 5))
def test_a_floor_is_a_ceiling_for_errors(value, floor):
    assert meets(value, floor, greater_is_better=True) == meets(-value, -floor, greater_is_better=False)
    assert meets(value, value, greater_is_better=True)
    assert not meets(None, floor, greater_is_better=True)


def sliced(column, champion, challenger, **settings):
    """Slices of two models whose absolute errors are given."""

    def both(mask):
        zeros = np.zeros(mask.sum())
        return tuple(MAE.statistics(zeros, Predictions(np.array(errors)[mask]), None) for errors in (champion, challenger))

    return compare_slices({"city": np.array(column, dtype=object)}, both, greater_is_better=False, **settings)


def test_a_slice_where_the_challenger_is_worse_fails_and_small_ones_are_not_judged():
    column = ["Oslo"] * 3 + ["Rome"] * 3 + ["Bern"] * 2 + [None] * 3
    errors = [1.0] * 3 + [1.0] * 3 + [0.0] * 2 + [2.0] * 3
    found = sliced(column, errors, [1.4] * 3 + [1.6] * 3 + [9.0] * 2 + [0.5] * 3, min_rows=3, max_loss=0.5)
    assert [(verdict.value, verdict.n, verdict.passed) for verdict in found] == [
        ("(missing)", 3, True),
        ("Oslo", 3, True),
        ("Rome", 3, False),
    ]
    assert "0.6 worse than the champion" in found[2].reason
    assert found[2].column == "city"


def test_a_slice_has_a_floor_of_its_own():
    found = sliced(["x", "y"], [1.0, 9.0], [1.0, 9.0], min_rows=1, floor=5.0)
    assert [verdict.passed for verdict in found] == [True, False]
    assert "above the ceiling" in found[1].reason


def test_a_slice_where_only_the_challenger_is_undefined_fails():
    precision = builtin("precision", "b")

    def both(champion, challenger):
        return lambda _: tuple(
            precision.statistics(np.array(["b"] * 4), Predictions(np.array(list(labels))), None)
            for labels in (champion, challenger)
        )

    columns = {"k": np.zeros(4)}
    lost = compare_slices(columns, both("abbb", "aaaa"), greater_is_better=True, min_rows=1)
    neither = compare_slices(columns, both("aaaa", "aaaa"), greater_is_better=True, min_rows=1)
    assert (lost[0].passed, lost[0].champion, lost[0].challenger) == (False, 1.0, None)
    assert (neither[0].passed, neither[0].reason) == (True, "undefined here: not judged")
