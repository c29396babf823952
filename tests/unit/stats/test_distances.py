"""Distances are distances, and agree with scipy's to the resolution that they promise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats
from scipy.spatial.distance import jensenshannon

from keepfit.stats.cells import held_bins, held_centres
from keepfit.stats.distances import chi_square, cramers_v, jensen_shannon, ks, psi, wasserstein
from keepfit.stats.numbers import lay_out, number_profile


def by_position(one, other):
    return wasserstein(one, other, np.arange(one.shape[-1], dtype=float))


ALL = (ks, by_position, psi, jensen_shannon, cramers_v)
counts = st.integers(1, 12).flatmap(
    lambda cells: st.tuples(*[arrays.arrays(np.int64, cells, elements=st.integers(0, 10_000)).filter(np.any) for _ in range(3)])
)


@pytest.mark.parametrize("distance", ALL)
@given(samples=counts)
def test_equal_samples_are_at_no_distance_and_others_as_far_either_way(distance, samples):
    one, other, _ = samples
    assert distance(one, one) == 0
    assert distance(one, other) == pytest.approx(distance(other, one), abs=1e-12)
    assert 0 <= distance(one, other) < np.inf


@pytest.mark.parametrize("distance", [ks, jensen_shannon, cramers_v])
@given(samples=counts)
def test_bounded_distances_reach_one_exactly_where_nothing_is_shared(distance, samples):
    one, other, _ = samples
    assert distance(one, other) <= 1
    assert distance(np.append(one, 0 * other), np.append(0 * one, other)) == pytest.approx(1)


@pytest.mark.parametrize("distance", [ks, by_position, jensen_shannon, cramers_v])
@given(samples=counts)
def test_a_detour_is_never_shorter(distance, samples):
    one, other, third = samples
    assert distance(one, other) <= distance(one, third) + distance(third, other) + 1e-9


@pytest.mark.parametrize("distance", [*ALL, chi_square])
def test_a_matrix_of_samples_is_measured_row_by_row(distance):
    generator = np.random.default_rng(1)
    one, other = generator.poisson(5, (7, 6)), generator.poisson(5, (7, 6))
    together = distance(one, other)
    assert together.shape == (7,)
    assert together == pytest.approx([float(distance(one[row], other[row])) for row in range(7)], rel=1e-12)
    assert distance(one[0], other) == pytest.approx([float(distance(one[0], other[row])) for row in range(7)], rel=1e-12)


KINDS = {
    "continuous": lambda generator, n: generator.normal(size=n),
    "tied": lambda generator, n: generator.normal(size=n).round(1),
    "heavy tails": lambda generator, n: generator.standard_cauchy(n),
    "discrete": lambda generator, n: generator.poisson(3, n).astype(float),
    "mostly zero": lambda generator, n: np.where(generator.random(n) < 0.8, 0.0, generator.lognormal(size=n)),
}


@pytest.mark.parametrize("shift", [0.0, 0.3, 3.0])
@pytest.mark.parametrize("kind", KINDS)
def test_ks_and_wasserstein_of_bins_agree_with_scipys_of_values(kind, shift):
    generator = np.random.default_rng(5)
    one, other = np.sort(KINDS[kind](generator, 4_000)), np.sort(KINDS[kind](generator, 2_500) + shift)
    edges = lay_out(one)
    reference, current = number_profile(one, edges), number_profile(other, edges)
    r, c = held_bins(reference, current)
    exact = stats.ks_2samp(one, other).statistic
    differing = (r / r.sum() != c / c.sum()) & ~_one_value_each(one, other, edges)
    largest = max((np.maximum(r / r.sum(), c / c.sum())[differing]).max(initial=0.0), 0.0)
    assert exact - largest - 1e-12 <= ks(r, c) <= exact + 1e-12

    centres = held_centres(reference, current)
    scale = one.std()
    apart = sum(np.abs(side - centres[_bin(side, edges, reference, current)]).mean() for side in (one, other))
    found = wasserstein(r, c, centres, scale)
    assert found == pytest.approx(stats.wasserstein_distance(one, other) / scale, abs=(apart + 1e-9) / scale)


def _bin(values, edges, reference, current):
    held = (reference.counts + current.counts) > 0
    return (np.cumsum(held) - 1)[np.searchsorted(edges, values, side="right")]


def _one_value_each(one, other, edges):
    """Bins of either that hold a single value, where nothing is lost."""
    both = np.unique(np.concatenate([one, other]))
    values = np.bincount(np.searchsorted(edges, both, side="right"), minlength=len(edges) + 1)
    return values[values > 0] == 1


def test_jensen_shannon_and_chi_square_agree_with_scipy():
    generator = np.random.default_rng(2)
    for cells in (2, 5, 40):
        one, other = generator.poisson(20, cells) + 1, generator.poisson(30, cells)
        assert jensen_shannon(one, other) == pytest.approx(jensenshannon(one, other, base=2), rel=1e-9)
        assert chi_square(one, other) == pytest.approx(stats.chi2_contingency([one, other], correction=False).statistic, rel=1e-9)
    same = np.array([[30, 20, 50], [50, 20, 30]])
    assert cramers_v(*same) == pytest.approx(stats.contingency.association(same, method="cramer"), rel=1e-9)


def test_psi_is_its_textbook_sum_where_no_cell_is_nearly_empty():
    one, other = np.array([50_000, 30_000, 20_000]), np.array([40_000, 30_000, 30_000])
    p, q = one / one.sum(), other / other.sum()
    assert psi(one, other) == pytest.approx(((q - p) * np.log(q / p)).sum(), rel=1e-3)
    assert np.isfinite(psi(np.array([10, 0]), np.array([0, 10])))
