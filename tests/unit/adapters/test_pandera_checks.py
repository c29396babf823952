"""Every promise of the contract: a finding exactly when it is broken, with the rows that break it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepfit.adapters.pandera_checks import PanderaChecks
from keepfit.ports import Fault, Look
from keepfit.records import Finding
from keepfit.settings import Column

NOW = datetime(2026, 1, 10, tzinfo=UTC)
DTYPES = {
    "number": pl.Float64,
    "integer": pl.Int64,
    "boolean": pl.Boolean,
    "category": pl.String,
    "text": pl.String,
    "datetime": pl.Datetime("us"),
}


def check(frame: pl.DataFrame, columns: dict[str, Column]) -> list[Fault]:
    return list(PanderaChecks().check(frame, columns, Look(name="a.csv", now=NOW)).faults)


def faults(cells: list[Any], type: str = "number", **promises: Any) -> list[Fault]:
    return check(pl.DataFrame({"a": pl.Series(cells, dtype=DTYPES[type])}), {"a": Column(type=type, **promises)})


def findings(cells: list[Any], type: str = "number", **promises: Any) -> list[Finding]:
    return [fault.finding for fault in faults(cells, type, **promises)]


def day(number: int) -> datetime:
    return datetime(2026, 1, number)  # noqa: DTZ001 - typed columns are UTC without a zone


@pytest.mark.parametrize(
    ("type", "values", "promises", "check", "rows"),
    [
        ("number", [1, 2, -1, None], {"minimum": 0}, "minimum", 1),
        ("number", [1, 2, 9, None], {"maximum": 2}, "maximum", 1),
        ("integer", [1, 1, 2, None, None], {"unique": True}, "unique", 2),
        ("category", ["a", "b", "c", None], {"values": ["a", "b"]}, "values", 1),
        ("boolean", [True, False, None], {"values": ["true"]}, "values", 1),
        ("text", ["ab", "abc", "b", None], {"pattern": "ab?"}, "pattern", 2),
        ("text", ["ab", "xab", "abx"], {"pattern": "a|ab"}, "pattern", 2),
        ("text", ["ab", "b", "ab\n"], {"pattern": "(?=a).b"}, "pattern", 2),
        ("integer", [12, 123, None], {"pattern": r"\d\d"}, "pattern", 1),
        ("number", [1, 2.5, None], {"values": ["1", "2"]}, "values", 1),
        ("integer", [1, 3, 2, None, 2, 5, 4], {"increasing": True}, "increasing", 2),
        ("datetime", [day(2), None, day(1)], {"increasing": True}, "increasing", 1),
        ("text", ["", "a", "ab", None], {"min_length": 1}, "min_length", 1),
        ("text", ["äöü", "äöüß", None], {"max_length": 3}, "max_length", 1),
        ("number", [1, None, None, None], {"max_null_share": 0.5}, "null_share", 3),
        ("number", [1, None], {"max_null_share": 0}, "null_share", 1),
    ],
)
def test_a_broken_promise_is_one_finding_with_its_rows(type, values, promises, check, rows) -> None:
    [finding] = findings(values, type, **promises)
    assert (finding.check, finding.column, finding.rows) == (check, "a", rows)
    assert finding.expected
    assert len(finding.examples) == min(3, rows)


@pytest.mark.parametrize(
    ("type", "values", "promises"),
    [
        ("number", [0, 2, None], {"minimum": 0, "maximum": 2}),
        ("integer", [1, 2, None, None], {"unique": True}),
        ("category", ["a", None], {"values": ["a"]}),
        ("text", ["a(b", None], {"pattern": r"a\(b"}),
        ("number", [1, None], {"max_null_share": 0.5}),
        ("number", [], {"minimum": 0, "max_null_share": 0, "unique": True}),
        ("number", [None, None], {"minimum": 0, "unique": True}),
        ("text", ["a"], {}),
        ("number", [1, 1, None, 2], {"increasing": True}),
        ("datetime", [day(7), day(1)], {"max_age": "3d"}),
        ("datetime", [day(1), day(20)], {"max_age": "3d"}),
        ("datetime", [day(1)], {"max_age": "99999999w"}),
    ],
)
def test_a_promise_that_is_kept_is_no_finding(type, values, promises) -> None:
    assert findings(values, type, **promises) == []


numbers = st.lists(st.none() | st.floats(-10, 10), max_size=20)


@settings(max_examples=40, deadline=None)
@given(numbers, st.floats(-5, 5), st.floats(-5, 5), st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.booleans())
def test_findings_count_exactly_the_cells_that_break_a_promise(values, low, high, share, unique) -> None:
    low, high = sorted((low, high))
    found = {
        finding.check: finding.rows for finding in findings(values, minimum=low, maximum=high, max_null_share=share, unique=unique)
    }
    filled = [value for value in values if value is not None]
    nulls = len(values) - len(filled)
    expected = {
        "minimum": sum(value < low for value in filled),
        "maximum": sum(value > high for value in filled),
        "null_share": nulls if values and nulls / len(values) > share else 0,
        "unique": sum(filled.count(value) > 1 for value in filled) if unique else 0,
    }
    assert found == {check: count for check, count in expected.items() if count}


def test_all_columns_are_checked_and_only_those_of_the_contract() -> None:
    frame = pl.DataFrame({"a": [1.0], "b": [-1.0], "other": [-9.0]})
    columns = {name: Column(type="number", minimum=0) for name in ("a", "b", "missing")}
    assert [fault.finding.column for fault in check(frame, columns)] == ["b"]


def test_column_names_are_taken_as_they_are() -> None:
    names = ["^.*$", "a b", "a.b", "*", "ü", "col('x')"]
    frame = pl.DataFrame({name: [-1.0, 1.0] for name in names})
    found = check(frame, {name: Column(type="number", minimum=0) for name in names})
    assert [(fault.finding.column, fault.finding.rows) for fault in found] == [(name, 1) for name in names]


def test_a_finding_reads_well() -> None:
    [finding] = findings([1.0, None, None, None], max_null_share=0.25)
    assert str(finding) == "a: expected at most 25% empty cells, found 3 of 4 (75%) (row 2; row 3; row 4)"


@pytest.mark.parametrize(("moments", "found"), [([day(1), day(6)], "2026-01-06 00:00:00"), ([None], "no moment at all")])
def test_a_file_whose_latest_moment_is_too_old_is_a_fault_of_the_file_and_of_no_cell(moments, found) -> None:
    [fault] = faults(moments, "datetime", max_age="3d")
    assert (fault.finding.check, fault.finding.found) == ("max_age", found)
    assert "2026-01-07 00:00:00 UTC or later (max_age 3 days)" in fault.finding.expected
    assert (fault.cells, fault.apart) == (None, False)


@pytest.mark.parametrize(
    ("type", "values", "promises", "cells", "apart"),
    [
        ("number", [1, -1], {"minimum": 0}, [False, True], True),
        ("integer", [1, 2, 1], {"unique": True}, [True, False, True], True),
        ("number", [1, None], {"max_null_share": 0}, [False, True], True),
        ("number", [1, None, None], {"max_null_share": 0.5}, [False, True, True], False),
        ("number", [2, 1], {"increasing": True}, [False, True], False),
    ],
)
def test_a_fault_says_which_rows_it_is_about_and_whether_the_rest_is_sound_without_them(type, values, promises, cells, apart):
    [fault] = faults(values, type, **promises)
    assert (fault.cells.to_list(), fault.apart) == (cells, apart)


@pytest.mark.parametrize(
    ("type", "promises", "said"),
    [
        ("text", {"minimum": 0}, "minimum goes with a column of type number or integer, found text"),
        ("number", {"pattern": "a"}, "pattern goes with a column of type text"),
        ("number", {"max_age": "1d"}, "max_age goes with a column of type datetime, found number"),
        ("text", {"increasing": True}, "increasing goes with"),
        ("text", {"min_length": 3, "max_length": 2}, "no text is allowed"),
    ],
)
def test_a_promise_that_means_nothing_for_a_type_is_refused_where_it_is_written(type, promises, said) -> None:
    with pytest.raises(ValueError, match=said):
        Column(type=type, **promises)
