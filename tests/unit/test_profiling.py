"""Frames become profiles: kinds, exactness of large values, odd cells, and the same result whole or in pieces."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joblib import parallel_config
from joblib.externals.loky import get_reusable_executor

from keepfit.adapters.table_files import TableFiles
from keepfit.profiling import profile, profile_pieces
from keepfit.stats.profile import CategoryProfile, NumberProfile, UnreadProfile, aligned_categories, dumps, merge, mismatch
from keepfit.stats.text import TextProfile

CELLS = {
    "number": st.one_of(st.none(), st.floats(width=32), st.sampled_from([0.0, 0.0, math.nan, math.inf])),
    "big": st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
    "name": st.one_of(st.none(), st.text(max_size=2), st.sampled_from(["a", "b"])),
    "truth": st.one_of(st.none(), st.booleans()),
    "moment": st.one_of(st.none(), st.datetimes(dt.datetime.fromisoformat("1700-01-01"), dt.datetime.fromisoformat("2200-01-01"))),
    "text": st.one_of(st.none(), st.sampled_from(["free call now", "see you at home", "¡olé!", ""])),
}
SCHEMA: dict[str, Any] = {
    "number": pl.Float64,
    "big": pl.Int64,
    "name": pl.String,
    "truth": pl.Boolean,
    "moment": pl.Datetime("us"),
    "text": pl.String,
}
KINDS = {"name": "category", "text": "text"}
ROWS = st.lists(st.fixed_dictionaries(CELLS), max_size=20)


def column(values: Any, dtype: Any = None, **options: Any) -> Any:
    return profile(pl.DataFrame({"x": pl.Series(values, dtype=dtype)}), **options).columns["x"]


def same(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    for name, value in vars(one).items():
        expected = vars(other)[name]
        if name in ("sums", "squares"):
            np.testing.assert_allclose(value, expected, rtol=1e-7, atol=1e-3 * (1 + np.abs(expected).max(initial=0)))
        elif isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, expected)
        else:
            assert value == expected, name


@given(ROWS, ROWS, ROWS)
@settings(deadline=None, max_examples=60)
def test_the_profiles_of_two_pieces_merge_to_that_of_both(
    layout: list[dict[str, Any]], one: list[dict[str, Any]], other: list[dict[str, Any]]
) -> None:
    frames = [pl.DataFrame(rows, schema=SCHEMA) for rows in (layout, one, other)]
    like = profile(frames[0], KINDS)
    merged = merge(profile(frames[1], KINDS, like), profile(frames[2], KINDS, like))
    together = profile(pl.concat(frames[1:]), KINDS, like)
    assert merged.rows == together.rows
    for name in SCHEMA:
        same(merged.columns[name], together.columns[name])


def test_kinds_are_told_by_type_and_of_text_by_every_cell() -> None:
    rows = 60
    frame = pl.DataFrame(
        {
            "float": [0.5] * rows,
            "bool": [True] * rows,
            "date": [dt.date(2024, 1, 1)] * rows,
            "digits": ["1.5"] * rows,
            "iso": ["2024-01-31"] * rows,
            "day": [f"{1 + number % 28}.12.2024" for number in range(rows)],
            "code": ["00123"] * rows,
            "almost": ["1"] * (rows - 1) + ["one"],
            "said": [f"here are some words of message number {number}" for number in range(rows)],
        }
    )
    found = {name: made.kind for name, made in profile(frame).columns.items()}
    assert found == {
        "float": "number",
        "bool": "boolean",
        "date": "datetime",
        "digits": "number",
        "iso": "datetime",
        "day": "datetime",
        "code": "category",
        "almost": "category",
        "said": "text",
    }


def test_a_glance_that_was_wrong_is_mended_by_the_cells_behind_it() -> None:
    cells = ["1"] * 9_999
    assert column([*cells, "1"]).kind == "number"
    assert column([*cells, "one"]).kind == "category"


def test_numbers_beyond_two_to_the_53_keep_their_differences() -> None:
    reference = column(range(2**60, 2**60 + 100))
    like = profile(pl.DataFrame({"x": range(2**60, 2**60 + 100)}))
    assert int(reference.minimum) + reference.origin == 2**60
    assert reference.counts.max() == 1
    for cells in (range(2**60 + 50, 2**60 + 150), [str(2**60 + number) for number in range(50, 150)]):
        moved = column(cells, like=like)
        assert int(moved.maximum) + moved.origin == 2**60 + 149
        assert moved.unread == 0
    assert column([2**64 - 1, 2**64 - 2], pl.UInt64).counts.max() == 1
    assert column([-(2**63), 2**63 - 1]).filled == 2


@pytest.mark.parametrize(
    ("cells", "dtype", "rounded", "blurred"),
    [
        ([str(10**40 + number) for number in range(50)], pl.String, 50, True),
        ([str(10**40 + number * 10**30) for number in range(50)], pl.String, 50, False),
        ([str(10**37 + number) for number in range(50)], pl.String, 0, False),
        (["1e300", "1.5", "2"], pl.String, 0, False),
        ([Decimal(10**37 + number) for number in range(50)], pl.Decimal(38, 0), 0, False),
        ([Decimal(f"{10**23}.{number:07}") for number in range(50)], pl.Decimal(38, 7), 50, True),
        ([Decimal(f"{number}.5") for number in range(50)], pl.Decimal(38, 7), 0, False),
    ],
)
def test_numbers_of_too_many_digits_are_counted(cells: list[Any], dtype: Any, rounded: int, blurred: bool) -> None:
    found = column(cells, dtype)
    assert isinstance(found, NumberProfile)
    assert (found.filled, found.rounded, found.blurred) == (len(cells), rounded, blurred)
    assert found.merge(found).rounded == 2 * rounded


def test_moments_that_say_their_zone_are_counted() -> None:
    cells = ["2026-01-01 10:00:00", "2026-01-01T10:00:00Z", "2026-01-01 10:00:00+02:00", "2026-01-02"]
    found = column(cells)
    assert isinstance(found, NumberProfile)
    assert (found.kind, found.filled, found.zoned, found.merge(found).zoned) == ("datetime", 4, 2, 4)


def test_values_far_from_zero_and_close_together_keep_their_variance() -> None:
    made = column(1e12 + np.random.default_rng(0).normal(size=10_000))
    assert made.std == pytest.approx(1, rel=0.05)


def test_moments_are_in_utc_whatever_their_zone() -> None:
    hours = [dt.datetime.fromisoformat(f"2024-06-01 0{hour}:00") for hour in range(10)]
    reference = pl.DataFrame({"x": pl.Series(hours)})
    berlin = pl.Series([hour + dt.timedelta(hours=2) for hour in hours]).dt.replace_time_zone("Europe/Berlin")
    written = [f"2024-06-01T{hour + 2:02d}:00:00+02:00" for hour in range(10)]
    like = profile(reference)
    for cells in (berlin, berlin.cast(pl.Datetime("ns", "Europe/Berlin")), pl.Series(written)):
        np.testing.assert_array_equal(column(cells, like=like).counts, like.columns["x"].counts)  # type: ignore[union-attr]


def test_infinite_and_missing_numbers_are_counted_apart() -> None:
    made = column([1.0, math.inf, -math.inf, math.nan, None])
    assert (made.filled, made.infinite, made.missing) == (1, 2, 2)
    assert column(["1", "inf", "-inf", "NaN", None, "", " NA "]).missing == 4


def test_what_cannot_be_read_is_counted_and_shown_and_never_turned_into_something_else() -> None:
    like = profile(pl.DataFrame({"x": [1.0, 2.0]}))
    made = column(["1", "abc", "abc", "2", "", None], like=like)
    assert (made.filled, made.unread, made.missing, made.examples) == (2, 2, 2, ("abc",))
    assert column([True, False], like=like).unread == 2
    assert column([[1], [2]], like=like).unread == 2
    assert mismatch(like.columns["x"], column([dt.date(2024, 1, 1)], like=like)).startswith("expected numbers, found 1 of 1 cells")


@pytest.mark.parametrize("cells", [[[1, 2]], [{"a": 1}], [b"x"], [object()]])
def test_columns_that_cannot_be_compared_are_refused_one_by_one(cells: list[Any]) -> None:
    made = profile(pl.DataFrame({"odd": pl.Series(cells), "fine": [1.0]}))
    assert isinstance(made.columns["odd"], UnreadProfile)
    assert made.columns["fine"].filled == 1


@pytest.mark.parametrize(
    ("cells", "dtype", "kind"),
    [
        (["0.1", "2.5"], pl.Decimal(10, 2), "number"),
        ([dt.timedelta(seconds=1), dt.timedelta(days=1)], pl.Duration, "number"),
        ([dt.time(1), dt.time(2)], pl.Time, "number"),
        (["a", "b"], pl.Categorical, "category"),
        (["a", "b"], pl.Enum(["a", "b"]), "category"),
        ([None, None], pl.Null, "category"),
        ([None, None], pl.Float32, "number"),
        ([], pl.Int8, "number"),
        ([], pl.String, "category"),
    ],
)
def test_every_type_that_means_something_has_a_kind(cells: list[Any], dtype: Any, kind: str) -> None:
    values = pl.Series(cells).cast(dtype) if dtype == pl.Decimal else pl.Series(cells, dtype=dtype)
    made = column(values)
    assert made.kind == kind
    assert made.filled + made.missing == len(cells)


def test_a_column_that_was_empty_in_the_reference_takes_anything() -> None:
    like = profile(pl.DataFrame({"x": pl.Series([None], dtype=pl.Null)}))
    assert column([1, 2], like=like).filled == 2


def test_columns_that_the_reference_lacks_are_only_counted() -> None:
    made = column([1.0, None], like=profile(pl.DataFrame({"y": [1.0]})))
    assert isinstance(made, UnreadProfile)
    assert (made.kind, made.filled, made.missing) == ("number", 1, 1)


def test_names_like_patterns_are_names() -> None:
    frame = pl.DataFrame({"*": [1.0], "^a.*$": ["x"], "a": [True], "": [2**60]})
    assert [made.filled for made in profile(frame, like=profile(frame)).columns.values()] == [1, 1, 1, 1]


def test_a_million_names_are_held_in_bounds() -> None:
    frame = pl.DataFrame({"x": pl.Series(np.arange(200_000)).cast(pl.String)})
    like = profile(frame, {"x": "category"})
    made = profile(frame.reverse(), like=like).columns["x"]
    assert isinstance(made, CategoryProfile)
    assert made.filled == 200_000
    assert len(dumps(like)) < 50_000
    _, one, other = aligned_categories(like.columns["x"], made)  # type: ignore[arg-type]
    np.testing.assert_array_equal(one, other)


def test_ten_thousand_columns_give_a_document_of_bounded_size() -> None:
    frame = pl.DataFrame(np.random.default_rng(0).normal(size=(1000, 600)), orient="row")
    assert len(dumps(profile(frame))) / frame.width < 2_500  # 25 MB for ten thousand
    number = profile(frame).columns["column_0"]
    assert isinstance(number, NumberProfile)
    assert len(number.edges) < 80


# -------------------------------------------------------------------------------------------------------------- pieces


@pytest.fixture
def two_files(tmp_path: Path) -> TableFiles:
    for number in range(2):
        rng = np.random.default_rng(number)
        frame = pl.DataFrame({"x": rng.normal(size=150), "c": rng.choice(["a", "b"], 150), "t": [f"some words {number}"] * 150})
        frame.write_parquet(tmp_path / f"{number}.parquet")
    return TableFiles.at(f"{tmp_path}/*.parquet")


@pytest.mark.parametrize("backend", ["sequential", "threading", "loky"])
def test_pieces_are_profiled_by_whatever_joblib_is_told_to_use(backend: str, two_files: TableFiles) -> None:
    pieces = two_files.pieces()
    like = profile(pl.concat(frame for piece in pieces for frame in piece()), {"c": "category", "t": "text"})
    with parallel_config(backend=backend, n_jobs=2):
        made = profile_pieces(pieces, like)
    if backend == "loky":
        get_reusable_executor().shutdown()
    assert len(pieces) == 2
    assert made.rows == 300
    for name in ("x", "c"):
        same(made.columns[name], like.columns[name])
    assert isinstance(made.columns["t"], TextProfile)
    assert made.columns["t"] == like.columns["t"]


def test_no_pieces_are_no_rows() -> None:
    like = profile(pl.DataFrame({"x": [1.0]}))
    made = profile_pieces([], like)
    assert made.rows == 0


def test_threads_give_what_one_gives() -> None:
    frame = pl.DataFrame(np.random.default_rng(0).normal(size=(250_000, 9)), orient="row")
    one, two = profile(frame, workers=1), profile(frame, workers=2)
    for name in frame.columns:
        same(one.columns[name], two.columns[name])
