"""Profiles: what they keep of numbers and names, that they merge exactly, and that their JSON is them again."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepfit.errors import DataError
from keepfit.stats import categories
from keepfit.stats.categories import CategoryProfile, aligned_categories, category_label, category_profile
from keepfit.stats.numbers import NumberProfile, lay_out, number_profile, only_finite
from keepfit.stats.profile import TableProfile, UnreadProfile, dumps, loads, merge, mismatch

NUMBERS = st.lists(
    st.one_of(st.floats(width=32), st.sampled_from([0.0, 1.0, -1.0, 1e300, math.nan, math.inf, -math.inf])), max_size=60
)
NAMES = st.lists(st.text(max_size=3), max_size=60)


def numbers(values: Any, edges: np.ndarray) -> NumberProfile:
    return number_profile(np.sort(np.array(values, dtype=float)), edges)


def names(values: list[str], tracked: tuple[str, ...] = ()) -> CategoryProfile:
    counted = Counter(values)
    return category_profile(list(counted), np.array(list(counted.values()), dtype=np.int64), names=tracked)


def same(a: Any, b: Any) -> None:
    """Equal in everything that is counted, and close in what is summed."""
    assert type(a) is type(b)
    for name, value in vars(a).items():
        other = vars(b)[name]
        if name in ("sums", "squares"):
            np.testing.assert_allclose(value, other, rtol=1e-9, atol=1e-9)
        elif isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, other)
        else:
            assert value == other, name


# ------------------------------------------------------------------------------------------------------------- numbers


@given(NUMBERS, NUMBERS, NUMBERS)
@settings(deadline=None)
def test_number_profiles_merge_to_the_profile_of_both(layout: list[float], one: list[float], other: list[float]) -> None:
    edges = lay_out(only_finite(np.sort(np.array(layout, dtype=float))))
    same(numbers(one, edges).merge(numbers(other, edges)), numbers(one + other, edges))


@given(NUMBERS)
@settings(deadline=None)
def test_every_number_is_counted_once(values: list[float]) -> None:
    profile = numbers(values, lay_out(only_finite(np.sort(np.array(values, dtype=float)))))
    assert profile.filled == sum(map(math.isfinite, values))
    assert profile.infinite == sum(map(math.isinf, values))
    assert profile.missing == sum(map(math.isnan, values))
    assert np.all(np.diff(profile.edges) > 0)
    assert len(profile.centres) == len(profile.counts) == len(profile.edges) + 1
    inside = np.clip(profile.centres, np.append(-np.inf, profile.edges), np.append(profile.edges, np.inf))
    np.testing.assert_array_equal(profile.centres, inside)


def test_mean_and_deviation_are_those_of_the_values() -> None:
    values = np.random.default_rng(1).gamma(2, 3, 5000)
    profile = numbers(values, lay_out(np.sort(values)))
    assert profile.mean == pytest.approx(values.mean())
    assert profile.std == pytest.approx(values.std())
    assert (profile.minimum, profile.maximum) == (values.min(), values.max())


def test_the_distribution_function_is_exact_at_every_edge_and_fine_between_them() -> None:
    values = np.sort(np.random.default_rng(2).standard_cauchy(20_000))
    profile = numbers(values, lay_out(values))
    below = np.cumsum(profile.counts)[:-1]
    np.testing.assert_array_equal(below, np.searchsorted(values, profile.edges))
    assert profile.counts.max() <= len(values) / 128 + 1


def test_a_frequent_value_has_its_own_bin() -> None:
    values = np.sort(np.concatenate([np.zeros(500), np.random.default_rng(3).normal(size=5000)]))
    profile = numbers(values, lay_out(values))
    assert profile.counts[np.searchsorted(profile.edges, 0.0, side="right")] == 500


def test_few_values_have_a_bin_each_and_new_ones_between_them_are_told_apart() -> None:
    edges = lay_out(np.sort(np.repeat(np.arange(150.0), 10)))
    profile = numbers(np.concatenate([np.arange(150.0), np.arange(150) + 0.5]), edges)
    assert profile.counts.max() == 1


def test_what_lies_beyond_the_reference_is_told_apart_by_how_far() -> None:
    values = np.sort(np.random.default_rng(4).uniform(10, 11, 1000))
    edges = lay_out(values)
    far = numbers([11.2, 14, 40, 300, 1e9, 9.8, 7, -20, -300, -1e9], edges)
    assert far.counts.max() == 1
    assert numbers(values, edges).counts[: int(np.searchsorted(edges, values[0], side="right"))].sum() == 0


@pytest.mark.parametrize("values", [[], [5.0], [5.0] * 100, [-1.7e308, 1.7e308], [5e-324], [0.0, -0.0]])
def test_an_odd_reference_still_gives_a_layout(values: list[float]) -> None:
    edges = lay_out(np.sort(np.array(values)))
    assert np.all(np.isfinite(edges))
    assert numbers(values, edges).filled == len(values)


# ---------------------------------------------------------------------------------------------------------- categories


@given(NAMES, NAMES, NAMES)
@settings(deadline=None)
def test_category_profiles_merge_to_the_profile_of_both(layout: list[str], one: list[str], other: list[str]) -> None:
    tracked = tuple(dict.fromkeys(layout))
    same(names(one, tracked).merge(names(other, tracked)), names(one + other, tracked))


@given(st.lists(st.lists(st.integers(0, 3000), max_size=300), min_size=2, max_size=4))
@settings(deadline=None, max_examples=30)
def test_names_beyond_the_bounds_merge_exactly_too(pieces: list[list[int]]) -> None:
    made = [
        names([f"name {number}" for number in [*piece, *range(part * 400, part * 400 + 700)]]) for part, piece in enumerate(pieces)
    ]
    together = names(
        [f"name {n}" for part, piece in enumerate(pieces) for n in [*piece, *range(part * 400, part * 400 + 700)]],
    )
    merged = made[0]
    for piece in made[1:]:
        merged = merged.merge(piece)
    same(merged, together)
    assert not merged.others_complete
    assert len(merged.others) == categories.KEPT


def test_two_pieces_that_each_kept_all_names_may_together_not_have() -> None:
    one, other = (names([f"{part} {number}" for number in range(400)]) for part in "ab")
    assert one.others_complete
    assert not one.merge(other).others_complete


def test_names_are_compared_one_by_one_where_both_sides_know_them() -> None:
    reference, current = names(["a"] * 3 + ["b"], ("a",)), names(["a", "b", "b", "c"], ("a",))
    labels, one, other = aligned_categories(reference, current)
    assert dict(zip(labels, zip(one.tolist(), other.tolist(), strict=True), strict=True)) == {"a": (3, 1), "b": (1, 2), "c": (0, 1)}


def test_nothing_is_lost_or_counted_twice_when_names_are_aligned() -> None:
    reference = names([f"r{number % 900}" for number in range(5000)], ("r1",))
    current = names([f"r{number % 1800}" for number in range(7000)], ("r1",))
    labels, one, other = aligned_categories(reference, current)
    assert (one.sum(), other.sum()) == (5000, 7000)
    assert len(set(labels)) == len(labels)
    assert (one >= 0).all()
    assert (other >= 0).all()


def test_names_of_different_layouts_are_not_compared() -> None:
    with pytest.raises(ValueError, match="like=reference"):
        aligned_categories(names(["a"], ("a",)), names(["a"], ("b",)))


def test_very_long_names_are_shortened_and_stay_different() -> None:
    one, other = category_label("x" * 100_000 + "1"), category_label("x" * 100_000 + "2")
    assert one != other
    assert len(one) < 250
    assert category_label("short") == "short"


# -------------------------------------------------------------------------------------------------------------- tables


def table() -> TableProfile:
    edges = np.array([0.0, 0.1, 2.0])
    moment = number_profile(np.array([1.0, 2.5]), edges, origin=1_700_000_000_000_000, kind="datetime", format="%d.%m.%Y", unread=1)
    return TableProfile(
        rows=4,
        columns={
            "number": numbers([0.05, 1.0, math.inf, math.nan], edges),
            "moment": moment,
            "ünïcode\n": names(["a", "b", "b", "\ud800"], ("a",)),
            "list": UnreadProfile(kind="List(Int64)", why="columns of this type are not compared", filled=4),
        },
    )


def test_a_profile_survives_its_json() -> None:
    before, after = table(), loads(dumps(table()))
    assert after.rows == before.rows
    assert list(after.columns) == list(before.columns)
    for name, column in before.columns.items():
        same(column, after.columns[name])
    json.loads(dumps(before), parse_constant=pytest.fail)  # no NaN, no Infinity


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"schema_version":2,"rows":1,"columns":{}}',
        '{"schema_version":1,"rows":1,"columns":{"x":{"is":"z"}}}',
    ]
    + [dumps(table())[:cut] for cut in (10, 100, 400)]
    + [dumps(table()).replace('"counts":[', '"counts":[1,'), dumps(table()).replace('"edges":"', '"edges":"AAAA')],
)
def test_a_broken_or_foreign_document_is_refused(text: str) -> None:
    with pytest.raises(DataError):
        loads(text)


def test_a_column_that_one_piece_lacks_is_missing_there() -> None:
    edges = np.array([0.0])
    one = TableProfile(rows=2, columns={"x": numbers([1, 2], edges), "c": names(["a", "b"], ("a",))})
    other = TableProfile(rows=3, columns={"x": numbers([3, 4, 5], edges)})
    for both in (merge(one, other), merge(other, one)):
        category = both.columns["c"]
        assert isinstance(category, CategoryProfile)
        assert (both.rows, category.missing, category.filled) == (5, 3, 2)


def test_profiles_of_different_layouts_do_not_merge() -> None:
    one, other = (TableProfile(rows=1, columns={"x": numbers([1], np.array([edge]))}) for edge in (0.0, 1.0))
    with pytest.raises(ValueError, match="same `like`"):
        merge(one, other)


def test_a_column_is_of_another_kind_when_more_than_a_hundredth_of_it_cannot_be_read() -> None:
    edges = np.array([0.0])
    reference = number_profile(np.arange(99.0), edges)
    assert mismatch(reference, number_profile(np.arange(99.0), edges, unread=1)) == ""
    assert "3 of 102 cells that are none ('x')" in mismatch(
        reference, number_profile(np.arange(99.0), edges, unread=3, examples=("x",))
    )
    assert mismatch(number_profile(np.arange(99.0), edges, unread=9), number_profile(np.arange(99.0), edges, unread=9)) == ""
    assert mismatch(reference, names(["a"])) == "expected numbers, found categories"


def test_the_squares_of_very_large_numbers_are_no_infinity_in_the_document() -> None:
    whole = TableProfile(rows=2, columns={"x": number_profile(np.array([1e200, 2e200]), np.array([1.5e200]))})
    text = dumps(whole)
    assert "Infinity" not in text
    assert loads(text).columns["x"].squares == np.inf
