"""The status file says what the cycle found, or its reader hears why it cannot be relied on: never a false "no drift"."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.reporting.examples import CYCLE, NOW, QUIET, column
from tests.unit.test_story import of

from keepfit.errors import DataError
from keepfit.records import Cycle, DriftReport
from keepfit.reporting.status import FILE_NAME, read_status, schema, status_of, write_status

SCHEMA_FILE = Path(__file__).parents[3] / "docs" / "reference" / "drift_status.schema.json"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_status(tmp_path / FILE_NAME, CYCLE, NOW)


def changed(path: Path, **fields: Any) -> Path:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    return path


def test_what_was_written_is_read(path: Path) -> None:
    status = read_status(path, max_age=timedelta(hours=1), now=NOW + timedelta(minutes=59))
    assert status == status_of(CYCLE, NOW)
    assert status.drifted() is True
    assert (status.project, status.cycle, status.model_version, status.decision, status.change) == (
        "loans",
        CYCLE.id,
        "7",
        "RETRAIN",
        "covariate",
    )
    assert (status.window.batches, status.window.rows) == (2, 1200)  # the quarantined batch was not judged
    assert (status.window.first, status.window.last) == (NOW - timedelta(hours=26), NOW - timedelta(hours=2))
    assert [each.name for each in status.columns if each.drifted] == ["purpose", "income", "message", "asked_at"]
    assert status.performance is not None
    assert (status.performance.value, status.performance.reference, status.performance.n) == (0.841, 0.894, 412)


def test_no_drift_is_said_only_where_drift_was_measured(tmp_path: Path) -> None:
    quiet = read_status(write_status(tmp_path / "q.json", QUIET, NOW), max_age=None, now=NOW)
    assert quiet.drifted() is False
    unknown = replace(CYCLE, drift=DriftReport(note="the champion has no reference"))
    for cycle, why in ((unknown, "the champion has no reference"), (replace(CYCLE, drift=None), "did not come to it")):
        status = read_status(write_status(tmp_path / "u.json", cycle, NOW), max_age=None, now=NOW)
        assert status.drift_detected is None
        with pytest.raises(DataError, match=why):
            status.drifted()


@settings(max_examples=40, deadline=None)
@given(of(Cycle))
def test_the_status_of_any_cycle_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, cycle: Cycle) -> None:
    path = tmp_path_factory.getbasetemp() / FILE_NAME
    assert read_status(write_status(path, cycle, NOW), max_age=None, now=NOW) == status_of(cycle, NOW)


# ------------------------------------------------------------------------------------------------------------ refusals


def test_every_truncation_is_refused(path: Path) -> None:
    whole = path.read_bytes()
    for length in (*range(0, len(whole), 101), *range(len(whole) - 20, len(whole))):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match="damaged or was cut short"):
            read_status(path, max_age=None, now=NOW)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_truncated_or_overwritten_file_is_never_no_drift(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Whatever bytes are cut out or written over: an error, or a document that still says what was found."""
    path = tmp_path_factory.getbasetemp() / FILE_NAME
    whole = write_status(path, CYCLE, NOW).read_bytes()
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 400)))
    path.write_bytes(whole[:start] + data.draw(st.binary(max_size=8)) + whole[end:])
    try:
        status = read_status(path, max_age=timedelta(days=1), now=NOW)
    except DataError:
        return
    assert status.drifted() is True


@pytest.mark.parametrize("field", list(json.loads(json.dumps(schema()))["properties"]))
def test_a_missing_field_is_refused(path: Path, field: str) -> None:
    found = json.loads(path.read_text())
    del found[field]
    path.write_text(json.dumps(found))
    with pytest.raises(DataError, match=field):
        read_status(path, max_age=None, now=NOW)


@pytest.mark.parametrize(
    "fields",
    [
        {"schema_version": 2},
        {"schema_version": "1"},
        {"schema_version": True},
        {"drift_detected": "no"},
        {"drift_detected": 0},
        {"drift_detected": ""},
        {"columns": None},
        {"columns": [{"name": "x"}]},
        {"written_at": "yesterday"},
        {"written_at": "2026-03-14T06:30:00"},
        {"written_at": None},
        {"window": {}},
        {
            "label": {
                "name": "y",
                "kind": "number",
                "method": "ks",
                "score": float("nan"),
                "threshold": 0,
                "p_value": 0,
                "drifted": False,
            }
        },
    ],
)
def test_another_meaning_is_refused(path: Path, fields: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"expected schema_version|is no drift status|expected a time zone"):
        read_status(changed(path, **fields), max_age=None, now=NOW)


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"true", b"{}", b"\xff\xfe", b"[" * 100_000, b'{"schema_version": 1}'])
def test_what_is_no_status_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(DataError):
        read_status(path, max_age=None, now=NOW)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not there, so nothing is known of drift"):
        read_status(tmp_path / FILE_NAME, max_age=None, now=NOW)
    with pytest.raises(DataError, match="cannot be read"):
        read_status(tmp_path, max_age=None, now=NOW)


@pytest.mark.parametrize(
    ("now", "max_age", "why"),
    [
        (NOW + timedelta(hours=2), timedelta(hours=1), "is stale: it was written 2:00:00 ago, 1:00:00 is the most"),
        (NOW + timedelta(days=400), timedelta(days=365), "is stale"),
        (NOW - timedelta(minutes=2), None, "0:02:00 ahead of now"),
        (NOW - timedelta(days=2), timedelta(days=9), "ahead of now"),
    ],
)
def test_a_stale_file_and_one_from_the_future_are_refused(path: Path, now: datetime, max_age: timedelta | None, why: str) -> None:
    with pytest.raises(DataError, match=why):
        read_status(path, max_age=max_age, now=now)


def test_another_machines_clock_may_be_a_little_ahead(path: Path) -> None:
    assert read_status(path, max_age=timedelta(hours=1), now=NOW - timedelta(seconds=30)).drifted()


def test_fields_of_a_later_keepfit_are_passed_over(path: Path) -> None:
    assert read_status(changed(path, more={"x": 1}), max_age=None, now=NOW).drifted()


# -------------------------------------------------------------------------------------------------------------- schema


def test_the_published_schema_is_that_of_the_file() -> None:
    """After a change of the fields: write `schema()` into the file with an indent of 2."""
    assert json.loads(SCHEMA_FILE.read_text()) == schema()


def test_the_file_is_of_the_published_schema(path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(json.loads(path.read_text()), schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"schema_version": 1}, schema())


def test_hostile_names_survive_the_way(tmp_path: Path) -> None:
    names = ("</script>", '"\\', "\u202e\x00\x1b", "x" * 10_000, "😀\u2028")
    assert CYCLE.drift is not None
    cycle = replace(CYCLE, drift=replace(CYCLE.drift, columns=tuple(map(column, names))))
    status = read_status(write_status(tmp_path / FILE_NAME, cycle, NOW), max_age=None, now=NOW)
    assert tuple(each.name for each in status.columns) == names
