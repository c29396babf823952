from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepfit.contract import read_cells
from keepfit.errors import ConfigError
from keepfit.inputs import Inputs
from keepfit.serve_settings import Serve
from keepfit.serving.problems import Invalid, NotJson
from keepfit.serving.schemas import Schema
from keepfit.settings import Column


def schema(
    optional: tuple[str, ...] = (), *, task: str = "classification", classes: tuple[str, ...] = (), **columns: Column
) -> Schema:
    return Schema(
        Inputs(task=task, target="y", columns=columns, optional=optional, classes=classes), Serve(max_batch=3, max_text=50)
    )


def read(column: Column, value: Any) -> Any:
    """What becomes of one cell."""
    return schema(x=column).row(json.dumps({"x": value}).encode())["x"]


def refuses(column: Column, value: Any) -> str:
    """Why one cell is refused."""
    with pytest.raises(Invalid) as error:
        read(column, value)
    ((pointer, why),) = error.value.problems
    assert pointer == "/x"
    return why


NUMBER, WHOLE, TRUTH = Column(type="number"), Column(type="integer"), Column(type="boolean")
TEXT, KIND, MOMENT = Column(type="text"), Column(type="category"), Column(type="datetime")


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        (NUMBER, 3, 3.0),
        (NUMBER, -0.5, -0.5),
        (WHOLE, 3, 3),
        (WHOLE, 3.0, 3),
        (WHOLE, 2**63 - 1, 2**63 - 1),
        (TRUTH, True, True),
        (TEXT, " a b ", " a b "),
        (TEXT, "  ", None),
        (KIND, " a ", "a"),
        (KIND, "", None),
        (MOMENT, "2026-03-01", datetime(2026, 3, 1)),  # noqa: DTZ001 - columns hold UTC without a zone
        (MOMENT, "2026-03-01T12:30", datetime(2026, 3, 1, 12, 30)),  # noqa: DTZ001
        (MOMENT, "2026-03-01 12:30:15.25", datetime(2026, 3, 1, 12, 30, 15, 250_000)),  # noqa: DTZ001
        (MOMENT, "2026-03-01T12:30:00+02:00", datetime(2026, 3, 1, 10, 30)),  # noqa: DTZ001
        (MOMENT, "2026-03-01T12:30:00Z", datetime(2026, 3, 1, 12, 30)),  # noqa: DTZ001
        (Column(type="datetime", format="%d.%m.%Y"), "31.12.2026", datetime(2026, 12, 31)),  # noqa: DTZ001
        (Column(type="integer", values=("1", "2")), 2, 2),
        (Column(type="boolean", values=("true",)), True, True),
    ],
)
def test_a_cell_becomes_what_training_would_see(column: Column, value: Any, expected: Any) -> None:
    found = read(column, value)
    assert found == expected
    assert type(found) is type(expected)
    cell = pl.DataFrame({"x": [value if isinstance(value, str) else json.dumps(value)]})
    assert read_cells(cell, {"x": column})[0]["x"][0] == expected


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *((NUMBER, value) for value in ("3", True, [], {}, float("nan"), float("inf"), 10**400)),
        *((WHOLE, value) for value in ("3", False, 2.5, 2**63, -(2**63) - 1, 1e300, float("nan"))),
        *((TRUTH, value) for value in ("true", 1, 0, "")),
        *((TEXT, value) for value in (3, True, [], "x" * 51)),
        *((KIND, value) for value in (3, True, "two\nlines", "x" * 51)),
        *(
            (MOMENT, value)
            for value in (20260301, "20260301", "2026-13-01", "yesterday", "1700000000", "2026-W10-1", "2026-03-01T25:00")
        ),
        *((MOMENT, value) for value in ("0001-01-01T00:00:00+05:00", "9" * 65, "٢٠٢٦-٠٣-٠١")),
        (Column(type="datetime", format="%d.%m.%Y"), "2026-12-31"),
        (Column(type="number", minimum=0), -1),
        (Column(type="number", maximum=0), 0.1),
        (Column(type="integer", minimum=0.5), 0),
        (Column(type="integer", maximum=9.5), 10),
        (Column(type="integer", pattern=r"\d{2}"), 123),
        (Column(type="integer", values=("1", "2")), 3),
        (Column(type="number", values=("1", "2")), 1.5),
        (Column(type="category", values=("a", "b")), "c"),
        (Column(type="text", values=("a", "b")), "a "),
        (Column(type="text", pattern="a+"), "aab"),
        (Column(type="text", pattern="a+"), "aa\n"),
        (Column(type="text", min_length=3), "ab"),
        (Column(type="text", max_length=3), "abcd"),
    ],
)
def test_nothing_is_turned_into_something_else(column: Column, value: Any) -> None:
    assert refuses(column, value).startswith("expected ")


@pytest.mark.parametrize("column", [NUMBER, WHOLE, TRUTH, TEXT, KIND, MOMENT], ids=lambda column: column.type)
def test_a_cell_may_be_empty_where_the_contract_allows_it(column: Column) -> None:
    assert read(column, None) is None
    full = column.model_copy(update={"max_null_share": 0.0})
    refuses(full, None)
    assert schema(("x",), x=full).row(b'{"x": null}') == {"x": None}
    assert schema(("x",), x=full).row(b"{}") == {"x": None}


@pytest.mark.parametrize("kind", ["text", "category", "integer"])
@pytest.mark.parametrize("pattern", [r"(?!x)(a+)+b", r"(?<=a)b", r"(a)\1"])
def test_a_pattern_that_may_take_hours_is_not_served(kind: Any, pattern: str) -> None:
    with pytest.raises(ConfigError, match="cannot be served"):
        schema(x=Column(type=kind, pattern=pattern))


def test_patterns_take_no_longer_than_the_text_is_long() -> None:
    made = Schema(Inputs(task="classification", target="y", columns={"x": Column(type="text", pattern="(a+)+b")}), Serve())
    started = time.process_time()
    with pytest.raises(Invalid):
        made.row(b'{"x": "' + b"a" * 10_000 + b'"}')
    assert time.process_time() - started < 0.5


def test_a_blank_text_is_an_empty_cell() -> None:
    assert refuses(Column(type="text", max_null_share=0), " \t") == "expected more than blanks"


def test_names_of_any_kind_are_fields() -> None:
    names = ["class", "a b", "a/b", "~", "", "é", "__init__", "1", "x" * 300]
    made = schema(**dict.fromkeys(names, NUMBER))
    assert made.row(json.dumps(dict.fromkeys(names, 1)).encode()) == dict.fromkeys(names, 1.0)
    with pytest.raises(Invalid) as error:
        made.row(json.dumps(dict.fromkeys(names, "x")).encode())
    assert {pointer for pointer, _ in error.value.problems} >= {"/a~1b", "/~0", "/", "/é", "/" + "x" * 100 + "..."}


def test_of_a_name_that_is_given_twice_the_last_counts() -> None:
    assert schema(x=NUMBER).row(b'{"x": 1, "x": 2}') == {"x": 2.0}


@pytest.mark.parametrize("body", [b"", b"{", b"nul", b'{"x": "\xff"}', b'{"x": "\\ud800"}', b"\xef\xbb\xbf{}", b"[" * 5000, b"{}x"])
def test_what_is_no_json_is_told_apart_from_what_is_wrong(body: bytes) -> None:
    for read in (schema(x=TEXT).row, schema(x=TEXT).rows):
        with pytest.raises(NotJson):
            read(body)


def test_rows_have_a_limit_and_are_named_by_their_number() -> None:
    made = schema(x=NUMBER)
    assert made.rows(b'{"rows": [{"x": 1}, {"x": 2}]}') == [{"x": 1.0}, {"x": 2.0}]
    for body, pointer in (
        (b'{"rows": []}', "/rows"),
        (b'{"rows": [{"x":1},{"x":1},{"x":1},{"x":1}]}', "/rows"),
        (b'{"rows": [{"x":1},{"x":"1"}]}', "/rows/1/x"),
        (b'{"rows": [{"x":1},7]}', "/rows/1"),
        (b'{"rows": {}}', "/rows"),
        (b'{"rows": [{"x":1}], "more": 1}', "/more"),
        (b"{}", "/rows"),
        (b"[]", ""),
    ):
        with pytest.raises(Invalid) as error:
            made.rows(body)
        assert [found for found, _ in error.value.problems] == [pointer]


def test_many_faults_are_counted_and_the_first_of_them_told() -> None:
    made = schema(x=NUMBER)
    with pytest.raises(Invalid) as error:
        made.row(json.dumps({str(number): 1 for number in range(5000)}).encode())
    assert error.value.problems[:2] == [("/x", "is missing"), ("/0", "is not a field of this model")]
    assert len(error.value.problems) == 20
    assert "(5000 more)" in error.value.detail
    with pytest.raises(Invalid, match="20001 things"):
        made.row(json.dumps({str(number): 1 for number in range(20_000)}).encode())
    with pytest.raises(Invalid) as error:
        Schema(made.inputs, Serve()).rows(json.dumps({"rows": [{"x": "1"}] * 1000}).encode())
    assert error.value.problems[19] == ("/rows/19/x", "expected a number")
    assert "(999 more)" in error.value.detail


def test_what_was_sent_is_not_repeated() -> None:
    for value in ("secret-1", ["secret-2"], {"secret-3": 1}):
        for column in (NUMBER, WHOLE, TRUTH, MOMENT, Column(type="category", values=("a",)), Column(type="text", pattern="b")):
            assert "secret" not in refuses(column, value)


def test_a_label_is_a_class_or_a_number() -> None:
    classes = schema(x=NUMBER, classes=("1", "2", "True"))
    assert [classes.label(value) for value in ("1", 2, 1.0, " 2 ", True)] == ["1", "2", "1", "2", "True"]
    named = Schema(replace(classes.inputs, named=("2", "new")), Serve())
    assert [named.label(value) for value in ("1", "new")] == ["1", "new"]
    assert named.label_schema == {"type": "string", "enum": ["1", "2", "True", "new"]}
    anything = schema(x=NUMBER)
    assert anything.label("new") == "new"
    number = schema(x=NUMBER, task="regression")
    assert number.label(3) == 3.0
    for made, values in (
        (named, ("3",)),
        (classes, ("3", "", None, 1.5, [])),
        (anything, ("", " ", None, "x" * 1001)),
        (number, ("3", True, None, float("nan"), 10**400)),
    ):
        for value in values:
            with pytest.raises(Invalid, match="/label"):
                made.label(value)


def test_the_description_says_what_the_validator_does() -> None:
    made = schema(
        ("known",),
        age=Column(type="integer", minimum=0.5, maximum=120, max_null_share=0),
        known=TRUTH,
        kind=Column(type="category", values=("a", " b "), max_null_share=0),
        note=Column(type="text", pattern="a+", max_null_share=0.5),
        day=MOMENT,
    )
    row = made.row_schema
    assert row["required"] == ["age", "kind", "note", "day"]
    assert row["properties"]["age"] == {"type": "integer", "minimum": 1, "maximum": 120}
    assert row["properties"]["known"] == {"type": ["boolean", "null"]}
    assert row["properties"]["kind"]["enum"] == ["a", "b"]
    assert row["properties"]["note"]["pattern"] == "^(?:a+)$"
    assert row["properties"]["day"] == {"type": ["string", "null"], "format": "date-time"}
    assert made.rows_schema["properties"]["rows"]["maxItems"] == 3
    assert made.label_schema == {"type": "string", "minLength": 1}


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_arrives_as_it_was(value: float) -> None:
    assert read(NUMBER, value) == value


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_whole_number_arrives_as_it_was(value: int) -> None:
    assert read(WHOLE, value) == value


@given(st.text(max_size=50).filter(str.strip))
def test_every_text_arrives_as_it_was(value: str) -> None:
    assert read(TEXT, value) == value


@given(st.datetimes(timezones=st.timezones(), min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1)))  # noqa: DTZ001
def test_every_moment_is_read_as_files_are(value: datetime) -> None:
    text = value.isoformat(timespec="microseconds")
    if value.utcoffset() is not None and value.utcoffset().total_seconds() % 60:  # type: ignore[union-attr]
        return  # zones of before 1900 count seconds, which ISO 8601 cannot write
    frame, faults = read_cells(pl.DataFrame({"x": [text]}), {"x": MOMENT})
    assert not faults
    assert read(MOMENT, text) == frame["x"][0]
