"""Drift is found where it is, and alarms come as often as stated where it is not."""

import dataclasses
import json
import math
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepfit.profiling import profile
from keepfit.stats.categories import category_profile
from keepfit.stats.drift import Rule, Rules, drift_of, holm, spent
from keepfit.stats.numbers import lay_out, number_profile
from keepfit.stats.profile import TableProfile

SURE = Rules(default=Rule(effect=0.0))  # the calibration alone must hold the rate


def look(reference, current, rules=None, **more):
    """The drift of two frames, by column; every number is finite or None."""
    before = profile(pl.DataFrame(reference))
    found = drift_of(before, profile(pl.DataFrame(current), like=before), rules or Rules(), **more)
    for drift in found:
        json.dumps(dataclasses.asdict(drift), allow_nan=False)
    return {drift.name: drift for drift in found}


def one(reference, current, rule=None, **more):
    return look({"x": reference}, {"x": current}, Rules(default=rule or Rule()), **more)["x"]


# ------------------------------------------------------------------------------------------------------ the stated rate

COLUMNS = {
    "normal": lambda generator, n: generator.normal(size=n),
    "lognormal": lambda generator, n: generator.lognormal(0, 2, n),
    "cauchy": lambda generator, n: generator.standard_cauchy(n),
    "counts": lambda generator, n: generator.poisson(3, n).astype(float),
    "mostly zero": lambda generator, n: np.where(generator.random(n) < 0.9, 0.0, generator.exponential(size=n)),
    "flag": lambda generator, n: (generator.random(n) < 0.2).astype(float),
    "with gaps": lambda generator, n: np.where(generator.random(n) < 0.1, np.nan, generator.normal(size=n)),
}
SHARES = {"six": np.array([0.5, 0.25, 0.15, 0.06, 0.03, 0.01]), "many": 1 / np.arange(1, 5_001)}
NAMES = {name: [f"{name} {place}" for place in range(len(share))] for name, share in SHARES.items()}


def drawn(generator, n, like=None, *, repeat=2):
    """Profiles of rows from distributions that never change; sixteen columns."""
    columns = {}
    for name, values in COLUMNS.items():
        for number in range(repeat):
            ordered = np.sort(values(generator, n))
            edges = like.columns[f"{name} {number}"].edges if like else lay_out(ordered[~np.isnan(ordered)])
            columns[f"{name} {number}"] = number_profile(ordered, edges)
    for name, share in SHARES.items():
        counts = generator.multinomial(n, share / share.sum())
        held = np.flatnonzero(counts)
        first = [place for place in np.argsort(-counts, kind="stable")[:1_000] if counts[place]]
        names = like.columns[name].names if like else [NAMES[name][place] for place in first]
        columns[name] = category_profile([NAMES[name][place] for place in held], counts[held], names=names)
    return TableProfile(rows=n, columns=columns)


def alarms(generator, n, m, tables, rules):
    """How many tables were found to have drifted."""
    found = 0
    for _ in range(tables):
        reference = drawn(generator, n)
        found += any(drift.drifted for drift in drift_of(reference, drawn(generator, m, reference), rules))
    return found


@pytest.mark.parametrize(("n", "m", "tables"), [(100, 100, 80), (1_000, 1_000, 40), (100, 3_000, 40), (3_000, 100, 40)])
def test_tables_without_drift_alarm_no_more_often_than_stated(n, m, tables):
    rules = dataclasses.replace(SURE, false_alarms=0.05)
    found = alarms(np.random.default_rng(n + m), n, m, tables, rules)
    assert found <= 0.05 * tables + 3 * math.sqrt(0.05 * tables)


@pytest.mark.parametrize(("n", "m"), [(1_000_000, 1_000_000), (100_000, 100), (1_000_000, 2_000)])
def test_large_tables_without_drift_alarm_no_more_often_than_stated(n, m):
    generator = np.random.default_rng(n + m)
    pilot = drawn(generator, 20_000, repeat=1)
    found = 0
    for _ in range(40):
        reference, current = (_recounted(generator, pilot, size) for size in (n, m))
        found += any(drift.drifted for drift in drift_of(reference, current, dataclasses.replace(SURE, false_alarms=0.05)))
    assert found <= 2 + 3 * math.sqrt(2)


def _recounted(generator, pilot, rows):
    """As if `rows` rows had been drawn from the pilot's shares, without drawing them."""
    columns = {}
    for name, column in pilot.columns.items():
        if name in SHARES:
            counts = generator.multinomial(rows, column.counts / column.counts.sum())
            columns[name] = dataclasses.replace(column, counts=counts, others={}, others_complete=True, buckets=0 * column.buckets)
            continue
        missing = int(generator.binomial(rows, column.missing / pilot.rows))
        counts = generator.multinomial(rows - missing, column.counts / column.filled)
        columns[name] = dataclasses.replace(column, counts=counts, sums=counts * column.centres, missing=missing)
    return TableProfile(rows=rows, columns=columns)


@pytest.mark.parametrize("method", ["wasserstein", "psi", "jensen_shannon", "chi_square"])
def test_p_values_of_every_method_are_as_rare_as_they_say(method):
    rules = Rules(false_alarms=1e-12, default=Rule(method=method))  # so that none is near the decision and dealt again
    generator = np.random.default_rng(8)
    p_values = []
    for _ in range(30):
        reference = drawn(generator, 300)
        found = drift_of(reference, drawn(generator, 200, reference), rules)
        p_values += [drift.measures[0].p_value for drift in found]
    for level in (0.05, 0.01):
        usual = level * len(p_values)
        assert sum(p_value <= level for p_value in p_values) <= usual + 4 * math.sqrt(usual)


@pytest.mark.parametrize("method", ["auto", "wasserstein", "psi", "jensen_shannon", "chi_square"])
def test_half_a_standard_deviation_in_one_column_of_twenty_is_found(method):
    generator = np.random.default_rng(3)
    found, others = 0, 0
    for _ in range(40):
        ordered = np.sort(generator.normal(size=(2, 20, 1_000)), axis=-1)
        ordered[1, 0] += 0.5
        edges = [lay_out(column) for column in ordered[0]]
        reference, current = (
            TableProfile(rows=1_000, columns={str(place): number_profile(side[place], edges[place]) for place in range(20)})
            for side in ordered
        )
        drifted = [drift.name for drift in drift_of(reference, current, Rules(default=Rule(method=method))) if drift.drifted]
        found += "0" in drifted
        others += bool(set(drifted) - {"0"})
    assert found >= 39
    assert others <= 2


def test_the_score_means_nothing_at_any_size_when_nothing_has_drifted():
    generator = np.random.default_rng(5)
    for n in (100, 1_000, 10_000):
        scores = [one(generator.normal(size=n), generator.normal(size=n)).score for _ in range(30)]
        assert abs(np.mean(scores)) < 0.35 / math.sqrt(n)


def test_significance_without_an_effect_is_no_drift():
    generator = np.random.default_rng(1)
    drift = one(generator.normal(size=100_000), generator.normal(size=100_000) + 0.05)
    assert drift.p_value < 1e-10
    assert 0 < drift.score < drift.threshold
    assert not drift.drifted
    assert one(generator.normal(size=100_000), generator.normal(size=100_000) + 0.05, Rule(effect=0.01)).drifted


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_lies_between_the_p_value_and_bonferroni(p_values):
    adjusted = holm(p_values)
    assert all(p <= a <= min(1.0, p * len(p_values)) + 1e-12 for p, a in zip(p_values, adjusted, strict=True))
    assert min(adjusted) == pytest.approx(min(1.0, min(p_values) * len(p_values)))


def test_all_looks_together_spend_no_more_than_the_rate():
    assert sum(spent(0.01, look) for look in range(1, 10_000)) <= 0.01
    assert spent(0.01, 1) > spent(0.01, 2) > spent(0.01, 50) > 0


# -------------------------------------------------------------------------------------------------------- what is found


def test_groups_count_as_so_many_rows():
    generator = np.random.default_rng(2)
    reference, current = (np.repeat(generator.normal(size=20), 50) for _ in range(2))
    assert one(reference, current).drifted  # as if all rows were independent
    assert not one(reference, current, units=(20, 20)).drifted
    assert one(reference, current + 9, units=(20, 20)).drifted


GROUPED = {
    "its own": lambda generator, name, size: [name] * size,
    "many of its own": lambda generator, name, size: [f"{name} {number}" for number in range(size)],
    "some have many of their own": lambda generator, name, size: (
        [f"{name} {number}" for number in range(size)] if generator.random() < 0.1 else ["common"] * size
    ),
    "one of six": lambda generator, name, size: [str(min(int(generator.exponential(1.5)), 5))] * size,
    "within groups": lambda generator, name, size: generator.choice(["a", "b", "c"], size).tolist(),
    "empty": lambda generator, name, size: [None if generator.random() < 0.2 else "a"] * size,
}


@pytest.mark.parametrize("sizes", ["equal", "unequal"])
@pytest.mark.parametrize("kind", list(GROUPED))
def test_values_that_belong_to_groups_alarm_no_more_often_than_stated(kind, sizes):
    generator = np.random.default_rng(4)
    p_values = []
    for number in range(40):
        sides, units = [], []
        for side, groups in enumerate([(30, 10), (20, 20), (100, 30)][number % 3]):
            rows = np.full(groups, 40) if sizes == "equal" else generator.integers(5, 80, groups)
            cells = [GROUPED[kind](generator, f"{side} {group}", size) for group, size in enumerate(rows)]
            sides.append(pl.Series([cell for group in cells for cell in group], dtype=pl.String))
            units.append(round(rows.sum() ** 2 / (rows**2).sum()))
        drift = one(*sides, Rule(effect=0.0), units=tuple(units))
        p_values += [measure.p_value for measure in drift.measures]
    assert min(p_values) > 1e-3
    assert sum(p_value <= 0.05 for p_value in p_values) <= 0.05 * len(p_values) + 4 * math.sqrt(0.05 * len(p_values))


def test_a_value_that_new_groups_share_is_found():
    reference = np.repeat([f"kind {number % 5}" for number in range(60)], 40)
    current = np.repeat([f"kind {number % 5}" if number % 2 else "new" for number in range(40)], 40)
    drift = one(reference, current, units=(60, 40))
    assert drift.drifted
    assert drift.findings[0].startswith("1 new category in 50 % of rows")


def test_columns_are_ranked_by_drift_then_importance_then_score():
    generator = np.random.default_rng(2)
    reference = {name: generator.normal(size=500) for name in "abcd"}
    current = {"a": reference["a"], "b": reference["b"] + 1, "c": reference["c"] + 2, "d": reference["d"] + 3}
    found = look(reference, current, importance={"b": 0.9, "c": 0.1, "d": 0.1, "a": 1.0})
    assert list(found) == ["b", "d", "c", "a"]
    assert found["b"].importance == 0.9
    assert list(look(reference, current)) == ["d", "c", "b", "a"]


def test_a_fixed_threshold_is_held_against_the_distance_itself():
    generator = np.random.default_rng(2)
    reference, current = generator.normal(size=2_000), generator.normal(size=2_000) + 0.2
    drift = one(reference, current, Rule(method="psi", threshold=0.01))
    assert (drift.method, drift.threshold, drift.p_value, drift.drifted) == ("psi", 0.01, None, True)
    assert drift.score == drift.measures[0].value
    assert not one(reference, current, Rule(method="psi", threshold=0.25)).drifted


def test_rules_of_single_columns_are_kept():
    generator = np.random.default_rng(2)
    reference = {name: generator.normal(size=500) for name in "abc"}
    rules = Rules(columns={"a": Rule(ignore=True), "b": Rule(method="wasserstein"), "c": Rule(effect=2.0)})
    found = look(reference, {name: values + 1 for name, values in reference.items()}, rules)
    assert set(found) == {"b", "c"}
    assert (found["b"].method, found["b"].drifted) == ("wasserstein", True)
    assert (found["c"].threshold, found["c"].drifted) == (2.0, False)


def test_a_method_for_numbers_leaves_categories_their_own():
    drift = look({"x": ["a", "b"] * 50}, {"x": ["a"] * 100}, Rules(default=Rule(method="wasserstein")))["x"]
    assert (drift.method, drift.drifted) == ("jensen_shannon", True)


def test_new_and_vanished_categories_are_named():
    reference = ["a"] * 500 + ["b"] * 380 + ["z"] * 120
    current = ["a"] * 550 + ["b"] * 419 + ["x"] * 22 + ["y"] * 9
    findings = one(reference, current).findings
    assert findings == ("2 new categories in 3.1 % of rows: 'x' (22), 'y' (9)", "category 'z' vanished (was 12 %)")


def test_names_that_are_all_rare_and_all_new_are_drift():
    before, after = [f"user {number}" for number in range(400)], [f"other {number}" for number in range(400)]
    generator = np.random.default_rng(1)
    reference, same, new = generator.choice(before, 1_500), generator.choice(before, 1_500), generator.choice(after, 1_500)
    assert not one(reference, same).drifted
    drift = one(reference, new)
    assert (drift.method, drift.drifted) == ("unseen", True)


def test_rare_names_that_a_reference_happens_to_lack_are_no_drift():
    generator = np.random.default_rng(1)
    names = [f"city {number}" for number in range(30_000)]
    drift = one(generator.choice(names, 20_000), generator.choice(names, 20_000))
    assert not drift.drifted
    assert drift.findings == ()


MANY = [f"name {number}" for number in range(20_000)]


@pytest.mark.parametrize("rows", [500, 5_000, 50_000])
@pytest.mark.parametrize("names", [2_000, 20_000])
def test_one_new_name_in_half_of_the_rows_is_found_among_very_many(rows, names):
    generator = np.random.default_rng(rows)
    share = 1 / np.arange(1, names + 1)
    reference, current = generator.choice(MANY[:names], (2, rows), p=share / share.sum())
    assert not one(reference, current).drifted
    drift = one(reference, np.where(np.arange(rows) < rows // 2, "new", current))
    assert drift.drifted
    assert drift.score > 0.3
    assert any("50 % of rows" in said or "'new'" in said for said in drift.findings)


def test_ids_tell_nothing_until_one_of_them_is_everywhere():
    generator = np.random.default_rng(1)
    reference, current = (generator.integers(0, 2**62, 5_000).astype(str) for _ in range(2))
    for before, after in ((reference, current), (reference, reference)):
        drift = one([f"id {number}" for number in before], [f"id {number}" for number in after])
        assert (drift.drifted, drift.score, drift.p_value) == (False, None, None)
        assert drift.note == "not judged: nearly every cell is different, as in a column of ids"
    drift = one([f"id {number}" for number in reference], ["none"] * 2_500 + [f"id {number}" for number in current[2_500:]])
    assert (drift.drifted, drift.note) == (True, "")
    assert drift.score > 0.4


def test_decimal_commas_are_not_said_to_be_without_drift():
    generator = np.random.default_rng(1)
    reference, current = ([f"{number:.3f}".replace(".", ",") for number in generator.normal(mean, size=500)] for mean in (5e6, 9e6))
    drift = one(reference, current)
    assert (drift.kind, drift.drifted, drift.score) == ("category", False, None)
    assert "not judged" in drift.note


def test_rare_names_of_which_half_vanish_are_drift():
    generator = np.random.default_rng(2)
    reference, same, half = generator.choice(MANY, 60_000), generator.choice(MANY, 60_000), generator.choice(MANY[:10_000], 60_000)
    assert not one(reference, same).drifted
    drift = one(reference, half)
    assert (drift.method, drift.drifted) == ("vanished", True)
    assert drift.score == pytest.approx(0.5, abs=0.1)


POPULATIONS = {
    "steep": 1 / np.arange(1, 5_001),
    "long": 1 / np.arange(1, 20_001),
    "flat": np.ones(5_000),
    "one and many": np.append(5_000, np.ones(5_000)),
}


@pytest.mark.parametrize("glance", [1, 10])  # the part of the reference's rows by which names are tracked
@pytest.mark.parametrize(("n", "m"), [(300, 300), (10_000, 10_000), (10_000, 500), (500, 10_000), (100_000, 3_000)])
def test_very_many_names_alarm_no_more_often_than_stated(n, m, glance):
    generator = np.random.default_rng(n + m + glance)
    p_values = []
    for _ in range(4):
        for share in POPULATIONS.values():
            before, after = (generator.multinomial(size, share / share.sum()) for size in (n, m))
            seen = before if glance == 1 else generator.multivariate_hypergeometric(before, n // glance, method="marginals")
            first = [MANY[place] for place in np.argsort(-seen, kind="stable")[:1_000] if seen[place] > 1]
            sides = []
            for counts in (before, after):
                held = np.flatnonzero(counts)
                column = category_profile([MANY[place] for place in held], counts[held], names=first)
                sides.append(TableProfile(rows=int(counts.sum()), columns={"x": column}))
            p_values += [measure.p_value for drift in drift_of(*sides, SURE) for measure in drift.measures]
    assert min(p_values) > 1e-4
    assert sum(p_value <= 0.05 for p_value in p_values) <= 0.05 * len(p_values) + 4 * math.sqrt(0.05 * len(p_values))


@pytest.mark.parametrize(
    ("before", "after", "said"), [(0.02, 0.4, "empty cells 2 % -> 40 %"), (0.3, 0.0, "empty cells 30 % -> 0 %")]
)
def test_empty_cells_that_come_or_go_are_drift(before, after, said):
    values = np.random.default_rng(1).normal(size=1_000)
    reference, current = (np.where(np.arange(1_000) < share * 1_000, np.nan, values) for share in (before, after))
    drift = one(reference, current)
    assert (drift.method, drift.drifted, drift.threshold) == ("missing", True, 0.05)
    assert drift.findings[0] == said
    assert (drift.missing_reference, drift.missing_current) == (before, after)


def test_infinite_values_that_come_are_drift():
    values = np.random.default_rng(1).normal(size=1_000)
    drift = one(values, np.where(np.arange(1_000) < 200, np.inf, values))
    assert (drift.method, drift.drifted) == ("infinite", True)
    assert drift.findings == ("infinite values 0 % -> 20 %",)


def test_values_outside_the_reference_range_are_named_when_chance_would_not_bring_them():
    reference = np.arange(1_000) / 100
    assert one(reference, np.append(reference, [11.5] * 17 + [12.1])).findings == (
        "18 rows above the reference's largest 9.99 (largest now 12.1)",
    )
    assert one(reference, np.append(reference, [11.5])).findings == ()  # one of two samples has the largest value
    assert one(np.arange(100), np.append(np.arange(100), [-7] * 20)).findings == (
        "20 rows below the reference's smallest 0 (smallest now -7)",
    )


def test_few_cells_of_another_kind_are_told_and_are_no_drift():
    numbers = np.random.default_rng(1).normal(size=3_000).round(3).astype(str)
    reference, some = numbers.tolist(), ["abc…" if place % 150 == 0 else cell for place, cell in enumerate(numbers)]
    drift = one(reference, some)
    assert (drift.kind, drift.drifted) == ("number", False)
    assert drift.findings == ("20 of 3,000 cells are no numbers ('abc…')",)
    assert one(reference, reference).findings == ()


@pytest.mark.parametrize("far", [10**40, 10**37])
def test_whole_numbers_are_told_apart_or_said_not_to_be(far):
    generator = np.random.default_rng(1)
    reference, current = ([str(far + int(number) + more) for number in generator.integers(0, 1_000, 500)] for more in (0, 5_000))
    drift = one(reference, current)
    if far > 2**127:
        assert (drift.kind, drift.drifted, drift.score) == ("number", False, None)
        assert "digits beyond the 16" in drift.note
    else:
        assert (drift.drifted, drift.note) == (True, "")


def test_moments_with_and_without_a_time_zone_are_told_apart():
    first = datetime(2026, 1, 1)  # noqa: DTZ001 - without a zone is what this is about
    naive = [first + timedelta(minutes=minute) for minute in range(500)]
    for aware, plain in (
        ([moment.replace(tzinfo=UTC) for moment in naive], naive),
        ([f"{moment.isoformat()}+00:00" for moment in naive], [moment.isoformat() for moment in naive]),
    ):
        assert one(plain, aware).findings == (
            "moments of the new rows have a time zone, those of the reference have none and are taken to be in UTC",
        )
        assert "those of the new rows have none" in one(aware, plain).findings[0]
        assert one(plain, plain).findings == one(aware, aware).findings == ()


def test_numbers_at_the_end_of_floating_point_are_shown_in_few_digits():
    generator = np.random.default_rng(1)
    reference = generator.uniform(-1, 1, 500) * 1e308
    drift = one(reference, np.append(reference, [1.7e308] * 50))
    assert "largest now 1.7e+308" in drift.findings[0]
    assert len(drift.findings[0]) < 100


def test_dates_out_of_range_are_shown_as_dates():
    first = datetime(2026, 1, 1, tzinfo=UTC)
    days = [first + timedelta(hours=hour) for hour in range(500)]
    drift = one(days, [moment + timedelta(days=30) for moment in days])
    assert (drift.kind, drift.method, drift.drifted) == ("datetime", "ks", True)
    assert "the reference's largest 2026-01-21 19:00:00 (largest now 2026-02-20 19:00:00)" in drift.findings[0]


def test_texts_are_judged_by_their_own_measures():
    generator = np.random.default_rng(1)
    words, foreign = [f"word{number}" for number in range(200)], [f"mot{number}" for number in range(200)]
    texts = [[" ".join(generator.choice(vocabulary, 12)) for _ in range(400)] for vocabulary in (words, words, foreign)]
    before = profile(pl.DataFrame({"x": texts[0]}), {"x": "text"})
    same, other = (
        drift_of(before, profile(pl.DataFrame({"x": rows}), {"x": "text"}, like=before), Rules())[0] for rows in texts[1:]
    )
    assert (same.kind, same.drifted) == ("text", False)
    assert (other.method, other.drifted) == ("vocabulary", True)


# ----------------------------------------------------------------------------------------------------- what must not break


@pytest.mark.parametrize("method", ["auto", "wasserstein", "psi", "jensen_shannon", "chi_square"])
def test_constant_columns_are_judged(method):
    assert not one([5.0] * 100, [5.0] * 80, Rule(method=method)).drifted
    assert one([5.0] * 100, [6.0] * 80, Rule(method=method)).drifted
    assert one([5.0] * 100, list(range(80)), Rule(method=method)).drifted
    assert not one(["a"] * 100, ["a"] * 80, Rule(method=method)).drifted
    assert one(["a"] * 100, ["b"] * 80, Rule(method=method)).drifted


def test_columns_without_any_value_are_judged_by_that():
    values, empty = [1.0, 2.0] * 50, pl.Series([None] * 100, dtype=pl.Float64)
    assert one(values, empty).method == "missing"
    assert one(values, empty).drifted
    assert one(empty, values).drifted
    both = one(empty, empty)
    assert (both.drifted, both.score, both.p_value) == (False, None, None)
    assert both.note == "no values in the reference and the new rows"
    assert not one([None] * 100, [None] * 100).drifted


@pytest.mark.parametrize("rows", [0, 1, 29])
def test_too_few_rows_are_too_little_evidence(rows):
    drift = one(list(range(100)), pl.Series([10.0**9] * rows, dtype=pl.Float64))
    assert (drift.drifted, drift.score, drift.p_value) == (False, None, None)
    assert drift.note == f"too little evidence: {rows} new rows, 30 are needed"


def test_a_reference_of_one_row_is_too_little_evidence():
    drift = one([1.0], list(range(100)))
    assert (drift.drifted, drift.note) == (False, "too little evidence: 1 values in the reference, 30 are needed")


def test_a_few_values_in_many_rows_are_judged_by_the_empty_cells_only():
    drift = one(list(range(100)), [1.0] * 5 + [None] * 200)
    assert (drift.method, drift.drifted) == ("missing", True)
    assert drift.note == "too little evidence: 5 new values, 30 are needed"
    assert drift.score == pytest.approx(200 / 205, abs=0.1)


def test_a_column_of_another_kind_has_drifted():
    drift = one([1.0, 2.0] * 50, ["one", "two"] * 50)
    assert (drift.method, drift.drifted, drift.score, drift.p_value) == ("type", True, None, None)
    assert drift.findings[0].startswith("expected numbers, found")


def test_a_column_on_one_side_only_is_said_to_be():
    found = look({"x": [1.0] * 50, "gone": [1.0] * 50}, {"x": [1.0] * 50, "new": [1.0] * 50})
    assert (found["gone"].method, found["gone"].drifted) == ("type", True)
    assert found["gone"].findings == ("the column is not in the new rows",)
    assert (found["new"].drifted, found["new"].note) == (False, "not in the reference: there is nothing to compare it with")


@pytest.mark.parametrize("method", ["auto", "wasserstein", "psi"])
def test_enormous_numbers_are_judged_or_said_not_to_be(method):
    values = np.array([1e308, -1e308, 5e307, 1.0] * 25)
    drift = one(values, values / 2, Rule(method=method))
    assert drift.score is not None or drift.note
    assert not one(values, values, Rule(method=method)).drifted


def test_equal_arguments_give_equal_results():
    generator = np.random.default_rng(2)
    rows = {"x": generator.normal(size=200), "y": generator.choice(["a", "b", "c"], 200)}
    later = {"x": generator.normal(size=200), "y": generator.choice(["a", "b", "c"], 200)}
    assert look(rows, later, SURE, seed=3) == look(rows, later, SURE, seed=3)


def test_what_could_not_be_dealt_again_is_judged_with_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """A p-value from few deals may be ten times too small; where there is no time for more it must not decide."""
    from keepfit.records import Measure
    from keepfit.stats import drift as module
    from keepfit.stats.calibrate import NoDrift
    from keepfit.stats.column_tests import ColumnTest

    def near() -> ColumnTest:
        measure = Measure(name="psi", value=0.5, expected=0.1, score=0.4, p_value=0.004)
        return ColumnTest(measure=measure, effect=0.1, again=lambda: NoDrift(expected=0.1, p_value=0.005), cells=10)

    assert module._settled([near()], 0.01)[0].drifted
    monkeypatch.setattr(module, "DEALT_AGAIN", 5)
    assert not module._settled([near()], 0.01)[0].drifted


def test_a_handful_of_groups_is_too_little_evidence_and_not_no_drift() -> None:
    rng = np.random.default_rng(3)
    before = profile(pl.DataFrame({"x": rng.normal(size=1200)}))
    after = profile(pl.DataFrame({"x": rng.normal(10, 1, size=120)}), like=before)
    few = drift_of(before, after, Rules(), units=(30, 3))[0]
    assert not few.judged
    assert "3 groups on a side, 5 are needed" in few.note
    assert drift_of(before, after, Rules(), units=(30, 12))[0].drifted
