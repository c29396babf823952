"""Every promise of the contract: a finding exactly when it is broken, with the rows that break it."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepfit.adapters.pandera_checks import PanderaChecks
from keepfit.records import Finding
from keepfit.settings import Column


def findings(cells: list[Any], type: str = "number", **promises: Any) -> list[Finding]:
    dtypes = {"number": pl.Float64, "integer": pl.Int64, "boolean": pl.Boolean, "category": pl.String, "text": pl.String}
    frame = pl.DataFrame({"a": pl.Series(cells, dtype=dtypes[type])})
    return list(PanderaChecks().check(frame, {"a": Column(type=type, **promises)}))


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
    assert [finding.column for finding in PanderaChecks().check(frame, columns)] == ["b"]


def test_column_names_are_taken_as_they_are() -> None:
    names = ["^.*$", "a b", "a.b", "*", "ü", "col('x')"]
    frame = pl.DataFrame({name: [-1.0, 1.0] for name in names})
    found = PanderaChecks().check(frame, {name: Column(type="number", minimum=0) for name in names})
    assert [(finding.column, finding.rows) for finding in found] == [(name, 1) for name in names]


def test_a_finding_reads_well() -> None:
    [finding] = findings([1.0, None, None, None], max_null_share=0.25)
    assert str(finding) == "a: expected at most 25% empty cells, found 3 of 4 (75%) (row 2; row 3; row 4)"
