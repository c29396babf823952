"""What a cell becomes: every promise against text (CSV), typed columns (Parquet) and JSON Lines. Nothing is guessed or bent."""

# ruff: noqa: DTZ001  # keepfit keeps moments in UTC without a zone in the type

from __future__ import annotations

import io
import json
import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepfit.adapters.inbox_files.parsing import parse
from keepfit.contract import NULL_WORDS, conform, examples, infer, without_blank_rows
from keepfit.errors import KeepfitError
from keepfit.settings import Column, Data

NAN, INF = float("nan"), float("inf")


def cells(series: pl.Series, type: str, **promises: Any) -> tuple[list[Any], int]:
    """What a column becomes, and how many of its cells are a finding."""
    typed, findings = conform(pl.DataFrame({"a": series}), {"a": Column(type=type, **promises)})
    assert all((finding.column, finding.check) == ("a", "type") for finding in findings)
    assert typed["a"].null_count() >= sum(finding.rows for finding in findings)  # what cannot be read is never a value
    return typed["a"].to_list(), sum(finding.rows for finding in findings)


def from_text(*values: str | None) -> pl.Series:
    return pl.Series("a", values, dtype=pl.String)


def from_json(*values: Any) -> pl.Series:
    lines = "".join(json.dumps({"a": value}) + "\n" for value in values)
    return parse("x.jsonl", lines.encode(), Data(target="y"))["a"]


def from_parquet(series: pl.Series) -> pl.Series:
    file = io.BytesIO()
    pl.DataFrame({"a": series}).write_parquet(file)
    return parse("x.parquet", file.getvalue(), Data(target="y"))["a"]


# ------------------------------------------------------------------------------------------------------------------- text


@pytest.mark.parametrize(
    ("type", "text", "value"),
    [
        ("number", "1.5", 1.5),
        ("number", " -2e3 ", -2000.0),
        ("number", "7", 7.0),
        ("integer", "7", 7),
        ("integer", "7.0", 7),
        ("integer", "1e3", 1000),
        ("integer", "9223372036854775807", 2**63 - 1),
        ("boolean", "True", True),
        ("boolean", "no", False),
        ("boolean", "1", True),
        ("boolean", " F ", False),
        ("category", " north ", "north"),
        ("category", "None", "None"),
        ("category", "0", "0"),
        ("text", " as it is ", " as it is "),
        ("text", "null", "null"),
        ("datetime", "2026-03-01", datetime(2026, 3, 1)),
        ("datetime", "2026-03-01 12:30", datetime(2026, 3, 1, 12, 30)),
        ("datetime", "2026-03-01T12:30:15.5", datetime(2026, 3, 1, 12, 30, 15, 500_000)),
        ("datetime", "2026-03-01T12:30:15Z", datetime(2026, 3, 1, 12, 30, 15)),
        ("datetime", "2026-03-01T12:30:15+02:00", datetime(2026, 3, 1, 10, 30, 15)),
        ("datetime", "2026-03-01 00:30:00-0500", datetime(2026, 3, 1, 5, 30)),
    ],
)
def test_text_that_can_be_read_as_promised(type, text, value) -> None:
    assert cells(from_text(text, None), type) == ([value, None], 0)


@pytest.mark.parametrize(
    ("type", "text"),
    [
        ("number", "1,5"),
        ("number", "12 EUR"),
        ("number", "inf"),
        ("number", "-Infinity"),
        ("number", "1e999"),
        ("number", "0x10"),
        ("number", "true"),
        ("integer", "1.5"),
        ("integer", "inf"),
        ("integer", "9223372036854775808"),
        ("integer", "1e30"),
        ("integer", "north"),
        ("boolean", "2"),
        ("boolean", "ja"),
        ("boolean", "0.5"),
        ("datetime", "01.03.2026 12"),
        ("datetime", "2026-13-01"),
        ("datetime", "2026-02-30"),
        ("datetime", "soon"),
    ],
)
def test_text_that_cannot_is_a_finding_and_no_value(type, text) -> None:
    assert cells(from_text(text), type) == ([None], 1)


@pytest.mark.parametrize("type", ["number", "integer", "boolean", "datetime"])
@pytest.mark.parametrize("word", [*NULL_WORDS, "  ", "NaN", "NULL", "N/A"])
def test_words_for_nothing_are_empty_cells_where_no_text_is_promised(type, word) -> None:
    assert cells(from_text(word), type) == ([None], 0)


@pytest.mark.parametrize("type", ["category", "text"])
def test_only_blank_is_empty_where_text_is_promised(type) -> None:
    assert cells(from_text("", "   ", "NA", None), type) == ([None, None, "NA", None], 0)


def test_dates_in_a_format_of_their_own() -> None:
    german = "%d-%m-%Y %H.%M"
    found, bad = cells(from_text("31-12-2025 23.59", "2025-12-31", ""), "datetime", format=german)
    assert (found, bad) == ([datetime(2025, 12, 31, 23, 59), None, None], 1)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_a_finite_number_is_read_exactly(numbers) -> None:
    assert cells(from_text(*map(repr, numbers)), "number") == (numbers, 0)


@given(st.lists(st.integers(-(2**70), 2**70), min_size=1, max_size=20))
def test_a_whole_number_is_read_exactly_or_not_at_all(numbers) -> None:
    fits = [-(2**63) <= number < 2**63 for number in numbers]
    found, bad = cells(from_text(*map(str, numbers)), "integer")
    assert found == [number if fit else None for number, fit in zip(numbers, fits, strict=True)]
    assert bad == fits.count(False)


@given(st.lists(st.text(max_size=12), min_size=1, max_size=8), st.sampled_from(["number", "integer", "boolean", "datetime"]))
def test_any_text_is_a_value_or_empty_or_a_finding(texts, type) -> None:
    found, bad = cells(from_text(*texts), type)
    empty = sum(text.strip(" \t\r\n").lower() in NULL_WORDS for text in texts)
    assert found.count(None) <= bad + sum(not text.strip() or text.strip().lower() in NULL_WORDS for text in texts)
    assert found.count(None) >= max(bad, empty)


moments = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)).map(lambda moment: moment.replace(microsecond=0))
offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(moments, offsets)
def test_a_moment_with_a_zone_is_the_same_moment_in_utc(moment, zone) -> None:
    there = moment.replace(tzinfo=UTC).astimezone(zone)
    assert cells(from_text(there.isoformat()), "datetime") == ([moment], 0)
    assert cells(from_text(there.isoformat(" "), moment.isoformat()), "datetime") == ([moment, moment], 0)


# ------------------------------------------------------------------------------------------------------------ typed files


@pytest.mark.parametrize(
    ("type", "series", "value", "bad"),
    [
        ("number", pl.Series([1.5, NAN, None]), [1.5, None, None], 0),
        ("number", pl.Series([1.5, INF, -INF]), [1.5, None, None], 2),
        ("number", pl.Series([1, 2], dtype=pl.Int8), [1.0, 2.0], 0),
        ("number", pl.Series([0.5], dtype=pl.Float32), [0.5], 0),
        ("number", pl.Series([Decimal("1.25"), None]), [1.25, None], 0),
        ("number", pl.Series([2**64 - 1], dtype=pl.UInt64), [float(2**64 - 1)], 0),
        ("number", pl.Series(["1.5", "x"]), [1.5, None], 1),
        ("number", pl.Series([True, None]), [None, None], 1),
        ("integer", pl.Series([1, None], dtype=pl.UInt32), [1, None], 0),
        ("integer", pl.Series([1.0, NAN, None, 1.5, INF, 1e300]), [1, None, None, None, None, None], 3),
        ("integer", pl.Series([2**64 - 1, 5], dtype=pl.UInt64), [None, 5], 1),
        ("boolean", pl.Series([True, None]), [True, None], 0),
        ("boolean", pl.Series([1, 0]), [None, None], 2),
        ("category", pl.Series(["a", None], dtype=pl.Categorical), ["a", None], 0),
        ("category", pl.Series([True, False]), None, 0),
        ("category", pl.Series([1, None], dtype=pl.UInt32), ["1", None], 0),
        ("category", pl.Series([[1], None]), [None, None], 1),
        ("text", pl.Series(["a", ""]), ["a", None], 0),
        ("text", pl.Series([1]), [None], 1),
        ("datetime", pl.Series([date(2026, 3, 1), None]), [datetime(2026, 3, 1), None], 0),
        ("datetime", pl.Series([datetime(2026, 3, 1, 12)], dtype=pl.Datetime("ns")), [datetime(2026, 3, 1, 12)], 0),
        (
            "datetime",
            pl.Series([datetime(2026, 3, 1, 12)]).dt.replace_time_zone("Europe/Berlin"),
            [datetime(2026, 3, 1, 11)],
            0,
        ),
        ("datetime", pl.Series([20260301]), [None], 1),
        ("number", pl.Series([None, None], dtype=pl.Null), [None, None], 0),
        ("category", pl.Series([None, None], dtype=pl.Null), [None, None], 0),
    ],
)
def test_typed_columns_keep_their_values_or_are_a_finding(type, series, value, bad) -> None:
    found = cells(from_parquet(series), type)
    assert found[1] == bad
    if value is not None:
        assert found[0] == value


@pytest.mark.parametrize(
    ("type", "values", "found", "bad"),
    [
        ("number", [1, 2.5, None], [1.0, 2.5, None], 0),
        ("number", [1, NAN, INF], [1.0, None, None], 1),
        ("number", [1, "x"], [1.0, None], 1),
        ("integer", [1, None, 3], [1, None, 3], 0),
        ("integer", [1, 1.5], [1, None], 1),
        ("integer", [1, 10**30], [1, None], 1),
        ("boolean", [True, None], [True, None], 0),
        ("category", ["a", ""], ["a", None], 0),
        ("text", ["ü\U0001f600", None], ["ü\U0001f600", None], 0),
        ("datetime", ["2026-03-01T00:00:00Z", "no"], [datetime(2026, 3, 1), None], 1),
        ("number", [{"b": 1}], [None], 1),
        ("text", [[1, 2]], [None], 1),
    ],
)
def test_json_lines(type, values, found, bad) -> None:
    assert cells(from_json(*values), type) == (found, bad)


@given(st.lists(st.one_of(st.none(), st.floats(allow_infinity=False)), min_size=1, max_size=20))
def test_a_number_is_the_same_whatever_file_it_came_in(numbers) -> None:
    wanted = [None if number is None or math.isnan(number) else number for number in numbers]
    as_text = from_text(*("" if number is None else repr(number) for number in numbers))
    typed = from_parquet(pl.Series(numbers, dtype=pl.Float64))
    assert cells(as_text, "number") == cells(typed, "number") == (wanted, 0)
    assert cells(from_json(*numbers), "number") == (wanted, 0)


# --------------------------------------------------------------------------------------------------------------- columns


CONTRACT = {"a": Column(type="number"), "b": Column(type="category"), "c": Column(type="integer", required=False)}


def test_columns_come_in_the_contracts_order_and_no_others() -> None:
    frame = pl.DataFrame({"c": ["3"], "z": ["extra"], "b": ["x"], "a": ["1"]})
    typed, findings = conform(frame, CONTRACT)
    assert findings == []
    assert typed.columns == ["a", "b", "c"]
    assert typed.rows() == [(1.0, "x", 3)]


def test_a_missing_column_is_a_finding_that_shows_what_is_there() -> None:
    typed, [finding] = conform(pl.DataFrame({"a": ["1"], "bb": ["x"]}), CONTRACT)
    assert (finding.check, finding.column, finding.rows) == ("column", "b", 1)
    assert "'bb'" in finding.found
    assert typed["b"].to_list() == typed["c"].to_list() == [None]
    assert typed.schema == {"a": pl.Float64, "b": pl.String, "c": pl.Int64}


def test_a_missing_column_among_thousands_is_told_in_a_line() -> None:
    _, [finding] = conform(pl.DataFrame({f"column-{i}": ["1"] for i in range(2000)}), {"a": Column(type="number")})
    assert len(str(finding)) < 400


def test_a_finding_says_what_was_expected_and_shows_three_examples() -> None:
    _, [finding] = conform(pl.DataFrame({"a": ["1", "x", "y", "z", "w" * 500]}), {"a": Column(type="number")})
    assert str(finding) == "a: expected finite numbers, found 4 cells that are not (row 2: 'x'; row 3: 'y'; row 4: 'z')"


def test_examples_are_short_and_show_control_characters_as_escapes() -> None:
    shown = examples(pl.Series(["\x1b[2J" + "x" * 500]), pl.Series([True]))
    assert len(shown[0]) < 80
    assert "\x1b" not in shown[0]


def test_blank_rows_are_left_out_and_others_stay() -> None:
    frame = pl.DataFrame({"a": ["1", "", "  ", None, "2"], "b": ["", "", None, "x", "y"]})
    assert without_blank_rows(frame).rows() == [("1", ""), (None, "x"), ("2", "y")]
    assert without_blank_rows(pl.DataFrame()).height == 0


# ------------------------------------------------------------------------------------------------------------- inference


@pytest.mark.parametrize(
    ("series", "type"),
    [
        (from_text("1", "2", ""), "integer"),
        (from_text("1", "2.5"), "number"),
        (from_text("true", "False", ""), "boolean"),
        (from_text("2026-03-01", "2026-03-02"), "datetime"),
        (from_text("north", "south"), "category"),
        (from_text("", ""), "category"),
        (from_text(*(f"a longer sentence about number {i} and more" for i in range(60))), "text"),
        (pl.Series([1, 2]), "integer"),
        (pl.Series([1.5, 2.0]), "number"),
        (pl.Series([Decimal("1.5")]), "number"),
        (pl.Series([True, False]), "boolean"),
        (pl.Series([date(2026, 3, 1)]), "datetime"),
        (pl.Series(["a", "b"], dtype=pl.Categorical), "category"),
        (pl.Series([None, None]), "category"),
    ],
)
def test_the_narrowest_type_that_every_cell_fits_is_inferred(series, type) -> None:
    assert infer(pl.DataFrame({"a": series}))["a"].type == type


@pytest.mark.parametrize(
    "series",
    [
        pl.Series([timedelta(1)]),
        pl.Series([[1, 2]]),
        pl.Series([{"b": 1}]),
        pl.Series([b"x"]),
        pl.Series([1], dtype=pl.Time),
        pl.Series([10**30], dtype=pl.Int128),
    ],
    ids=str,
)
def test_a_column_of_a_kind_that_no_promise_fits_is_said_or_read_but_never_a_crash(series) -> None:
    frame = pl.DataFrame({"a": series, "b": [1.0]})
    try:
        contract = infer(frame)
    except KeepfitError as error:
        assert "a" in str(error)
    else:
        typed, findings = conform(frame, contract)
        assert typed.height == 1
        assert findings == [] or findings[0].column == "a"


@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.integers(-(2**40), 2**40)),
            st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)),
            st.one_of(st.none(), st.text(max_size=8)),
            st.one_of(st.none(), st.booleans()),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_a_frame_keeps_the_contract_that_was_inferred_from_it(rows) -> None:
    schema = {"i": pl.Int64, "f": pl.Float64, "s": pl.String, "b": pl.Boolean}
    typed = pl.DataFrame(rows, schema=schema, orient="row")
    text = typed.select(pl.all().cast(pl.String))
    for frame in (typed, text):
        assert conform(frame, infer(frame))[1] == []


def test_the_target_is_no_feature_and_may_be_empty_everywhere() -> None:
    contract = infer(pl.DataFrame({"x": ["1", "2"], "y": ["a", ""]}), "y")
    assert (contract["y"].feature, contract["y"].max_null_share) == (False, 1.0)


def test_what_names_rows_and_what_never_changes_are_no_features() -> None:
    contract = infer(
        pl.DataFrame(
            {
                "name": [f"C-{i:05d}" for i in range(100)],
                "same": ["1"] * 100,
                "x": [str(i % 7) for i in range(100)],
                "n": [None] * 100,
            }
        )
    )
    assert {name for name, column in contract.items() if column.feature} == {"x"}


def test_an_inferred_contract_leaves_room_for_a_few_more_empty_cells() -> None:
    contract = infer(pl.DataFrame({"x": ["1"] * 90 + ["2"] + [None] * 9}))
    assert 0.09 < contract["x"].max_null_share < 0.5
