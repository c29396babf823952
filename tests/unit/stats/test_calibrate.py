"""What no drift shows: deals are right, bounds hold, and curves follow the tail further than counting can."""

import numpy as np
import pytest
from scipy import stats

from keepfit.stats.calibrate import (
    Deck,
    Sizes,
    calibrated,
    gamma_tail,
    hypergeometric_tail,
    ks_expected,
    ks_tail,
    more_decks,
    share_expected,
    share_tail,
    unseen_by_chance,
    wasserstein_calibrated,
)
from keepfit.stats.distances import cramers_v, jensen_shannon, ks, psi, wasserstein


def sizes(n, m):
    return Sizes(reference=n, current=m)


@pytest.mark.parametrize("pooled", [[3, 5, 12], [900, 60, 2, 1, 37], [10_000, 4_000, 300], [5], [700]])
def test_dealt_rows_have_the_means_and_spreads_of_drawing_without_putting_back(pooled):
    pooled = np.array(pooled)
    total = int(pooled.sum())
    m = max(total // 4, 1)
    reference, current = Deck(1, deals=4_000).deal(pooled, sizes(total - m, m))
    assert (reference + current == pooled).all()
    assert current.sum(axis=1) == pytest.approx(np.full(4_000, m), rel=1e-2)
    law = stats.multivariate_hypergeom(pooled, m)
    assert current.mean(axis=0) == pytest.approx(law.mean(), abs=5 * np.sqrt(np.diag(law.cov()).max() / 4_000) + 1e-9)
    assert np.atleast_2d(np.cov(current.T)) == pytest.approx(law.cov(), abs=0.12 * np.diag(law.cov()).max() + 1e-9)


def test_deals_repeat_with_the_seed_and_fit_more_rows_than_numpy_deals():
    pooled = np.array([6 * 10**9, 10**9, 40])
    one, two = (Deck(7).deal(pooled, sizes(7 * 10**9 - 1_000, 1_040))[1] for _ in range(2))
    assert (one == two).all()
    assert one.sum(axis=1) == pytest.approx(np.full(300, 1_040), abs=1e-3)
    assert one.mean(axis=0) == pytest.approx([1_040 * 6 / 7, 1_040 / 7, 0], abs=3)


def test_groups_are_dealt_as_so_many_rows():
    reference, current = Deck(1).deal(np.array([400, 400, 200]), sizes(30, 20))
    assert (reference.sum(axis=1) == 30).all()
    assert (current.sum(axis=1) == 20).all()


def test_units_that_are_not_whole_are_rounded_to_their_part_and_whole_ones_stay():
    pooled = np.array([0.3, 0.7, 1.0, 12.5, 25.5])
    reference, current = Deck(1, deals=5_000).deal(pooled, sizes(30, 10))
    dealt = reference + current
    assert (dealt.sum(axis=1) == 40).all()
    assert (dealt[:, 2] == 1).all()
    assert dealt.mean(axis=0) == pytest.approx(pooled, abs=0.2)
    assert np.unique(dealt[:, 0]).tolist() == [0, 1]


def test_a_value_of_one_group_lies_on_one_side():
    """Thirty groups of forty rows, each with a value of its own, against ten such."""
    one, other = (np.repeat([40, 0], counts) for counts in ((30, 10), (10, 30)))
    found = calibrated(jensen_shannon, 2, one, other[::-1], sizes(30, 10), [Deck(1)])
    assert (found.expected, found.p_value) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("n", "m", "a", "b"), [(100, 100, 5, 25), (1000, 50, 20, 8), (100_000, 100, 2000, 40), (30, 30, 30, 0), (9, 40, 0, 1)]
)
def test_the_bound_for_shares_is_hardly_above_fishers_exact_test(n, m, a, b):
    marked = np.arange(a + b + 1)
    chances = stats.hypergeom.pmf(marked, n + m, a + b, n)
    exact = chances[np.abs(marked / n - (a + b - marked) / m) >= abs(a / n - b / m) - 1e-12].sum()
    assert exact * (1 - 1e-6) <= share_tail(a, b, sizes(n, m)) <= min(1.15 * exact + 1e-300, 1) or exact > 0.2
    assert share_tail(a, b, sizes(n, m)) >= exact * (1 - 1e-6)


def test_equal_shares_are_certain_and_every_bound_is_a_probability():
    assert share_tail(10, 20, sizes(100, 200)) == 1
    assert share_tail(0, 0, sizes(5, 5)) == 1
    tails = hypergeometric_tail(np.arange(0, 31), sizes(20, 10), 0.4)
    assert ((tails >= 0) & (tails <= 1)).all()


@pytest.mark.parametrize("n", [10, 30, 100, 300, 457])
def test_the_bound_for_ks_holds_at_equal_sizes_where_the_proof_with_constant_two_does_not_reach(n):
    for steps in range(1, n + 1):
        exact = stats.kstwobign.sf(np.inf) if steps == 0 else _equal_sizes(n, steps)
        assert min(1.0, 2.1 * np.exp(-(steps**2) / n)) >= exact * (1 - 1e-9)


def _equal_sizes(n, steps):
    """P(D >= steps / n) of two continuous samples of n: Gnedenko and Korolyuk (1951)."""
    terms = range(1, n // steps + 1)
    from scipy.special import gammaln

    choose = [np.exp(2 * gammaln(n + 1) - gammaln(n + j * steps + 1) - gammaln(n - j * steps + 1)) for j in terms]
    return 2 * sum((-1) ** (j - 1) * chance for j, chance in zip(terms, choose, strict=True))


@pytest.mark.parametrize(
    "pooled", [np.full(200, 10), np.array([1800, 200]), np.array([1900, 50, 30, 20]), np.array([400, 700, 500, 400])]
)
def test_the_bound_for_ks_holds_with_ties_and_is_not_far_above_where_there_are_few_values(pooled):
    reference, current = Deck(3, deals=20_000, many=10**9).deal(pooled, sizes(1_000, 1_000))
    found = ks(reference, current)
    for level in (0.01, 0.001):
        observed = np.quantile(found, 1 - level)
        place = int(np.argmin(np.abs(found - observed)))
        chance = (found >= found[place] - 1e-12).mean()
        bound = ks_tail(reference[place].astype(int), current[place].astype(int), sizes(1_000, 1_000))
        assert 0.8 * chance <= bound <= 4 * chance


def test_expected_ks_is_the_mean_of_ks_between_samples_of_one_distribution():
    generator = np.random.default_rng(1)
    for share in (np.full(150, 1 / 150), np.array([0.9, 0.1])):
        reference, current = generator.multinomial(2_000, share, 2_000), generator.multinomial(500, share, 2_000)
        expected = ks_expected(reference[0], current[0], sizes(2_000, 500), Deck())
        assert expected == pytest.approx(ks(reference, current).mean(), rel=0.06)
    assert share_expected(200, 50, sizes(2_000, 500)) == pytest.approx(ks(reference, current).mean(), rel=0.06)


@pytest.mark.parametrize(("distance", "power"), [(jensen_shannon, 2), (cramers_v, 2), (psi, 1)])
@pytest.mark.parametrize("sides", [(1_000, 1_000), (5_000, 200)])
def test_the_curve_through_few_deals_follows_the_tail_of_very_many(distance, power, sides):
    share = np.array([0.3, 0.25, 0.2, 0.1, 0.08, 0.07])
    pooled = np.round(share * sum(sides)).astype(int)
    dealt = np.concatenate([distance(*Deck(seed, 25_000, many=200).deal(pooled, sizes(*sides))) for seed in range(4)]) ** power
    few = distance(*Deck(99).deal(pooled, sizes(*sides))) ** power
    for level, factor in ((1e-2, 1.6), (1e-4, 4)):
        assert 1 / factor < gamma_tail(few, float(np.quantile(dealt, 1 - level))) / level < factor


def test_more_deals_are_counted_where_few_are_only_fitted():
    pooled = np.array([990, 10])  # two cells, few rows in one: no curve fits that
    reference, current = np.array([500, 0]), np.array([490, 10])
    exact = share_tail(0, 10, sizes(500, 500))
    found = calibrated(psi, 1, reference, current, sizes(500, 500), more_decks(seed=1))
    assert found.p_value == pytest.approx(exact, rel=0.4)
    assert (reference + current == pooled).all()


@pytest.mark.parametrize("kind", ["standard_normal", "standard_cauchy"])
def test_wasserstein_is_calibrated_for_light_and_heavy_tails(kind):
    generator = np.random.default_rng(4)
    chances = []
    for _ in range(250):
        values = np.sort(getattr(generator, kind)(700))
        side = generator.permutation(700) < 500
        reference, current = side.astype(int), (~side).astype(int)
        found = wasserstein_calibrated(reference, current, values, 1.0, sizes(500, 200), [Deck()])
        chances.append(found.p_value)
        assert found.expected == pytest.approx(float(wasserstein(reference, current, values)), rel=4)
    chances = np.array(chances)
    assert (chances <= 0.01).mean() <= 0.03
    assert (chances <= 0.3).mean() == pytest.approx(0.27, abs=0.1)


def test_unseen_names_are_bounded_and_told_from_those_that_chance_brings():
    generator = np.random.default_rng(6)
    share = 1 / np.arange(1, 301)
    chances, rows, expected = [], [], []
    for _ in range(300):
        r, c = generator.multinomial(400, share / share.sum()), generator.multinomial(100, share / share.sum())
        found = unseen_by_chance(r + c, r == 0, sizes(400, 100))
        chances.append(found.p_value)
        rows.append(c[r == 0].sum())
        expected.append(found.expected)
    assert (np.array(chances) <= 0.05).mean() <= 0.05
    assert np.mean(rows) == pytest.approx(np.mean(expected), rel=0.1)
    halves = unseen_by_chance(np.full(80, 0.5), np.arange(80) < 8, sizes(30, 10))
    assert halves.expected == pytest.approx(80 * 0.5 * 0.25)
    few = unseen_by_chance(np.append(np.full(40, 1 / 40), 39.0), np.append(np.full(40, True), False), sizes(30, 10))
    assert 0.25 <= few.p_value <= 1  # forty names that make up one unit are no surer than one name
    foreign = unseen_by_chance(np.array([200, 170, 100, 30]), np.array([False, False, False, True]), sizes(400, 100))
    assert foreign.p_value == pytest.approx(0.2**30, rel=1e-6)


def test_values_that_do_not_vary_prove_nothing():
    assert gamma_tail(np.zeros(10), 0.0) == 1
    assert gamma_tail(np.zeros(10), 0.5) == 0
    one = np.array([30])
    assert calibrated(jensen_shannon, 2, one, one, sizes(30, 30), [Deck()]).p_value == 1
