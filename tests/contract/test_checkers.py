"""Every checker finds the same in the same rows: pandera and Great Expectations on the same hostile frames."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from keepfit.adapters.gx_checks import GxChecks
from keepfit.adapters.gx_checks.rendering import mostly
from keepfit.adapters.pandera_checks import PanderaChecks
from keepfit.ports import Checker, Look
from keepfit.settings import Column

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
ENGINES: dict[str, Callable[[Path], Checker]] = {
    "pandera": lambda folder: PanderaChecks(),
    "great_expectations": lambda folder: GxChecks(folder / "gx", "data_quality_suite", folder),
}


def day(number: int) -> datetime:
    return datetime(2026, 1, number)  # noqa: DTZ001 - typed columns are UTC without a zone


FRAMES: dict[str, tuple[dict[str, Any], dict[str, dict[str, Any]], set[tuple[str, str, int]]]] = {
    "everything broken": (
        {
            "x": [1.0, 2.0, None, -1.0],
            "i": [1, 1, None, 3],
            "t": [day(1), day(3), day(2), None],
            "s": ["a", "bb", None, "c\n"],
            "b": [True, False, None, True],
            "c": ["north", "south", "North", None],
        },
        {
            "x": {"type": "number", "minimum": 0, "maximum": 1.5, "max_null_share": 0.2},
            "i": {"type": "integer", "unique": True, "increasing": True, "values": ("1",), "pattern": "1"},
            "t": {"type": "datetime", "max_age": "3d", "increasing": True},
            "s": {"type": "text", "pattern": "(?i)[A-Z]", "max_length": 1, "max_null_share": 0},
            "b": {"type": "boolean", "values": ("true",)},
            "c": {"type": "category", "values": ("north", "south"), "min_length": 6},
            "gone": {"type": "number", "required": False, "minimum": 0, "max_null_share": 0},
        },
        {
            ("x", "minimum", 1),
            ("x", "maximum", 1),
            ("x", "null_share", 1),
            ("i", "unique", 2),
            ("i", "values", 1),
            ("i", "pattern", 1),
            ("t", "max_age", 4),
            ("t", "increasing", 1),
            ("s", "pattern", 2),
            ("s", "max_length", 2),
            ("s", "null_share", 1),
            ("b", "values", 1),
            ("c", "values", 1),
            ("c", "min_length", 3),
        },
    ),
    "everything kept": (
        {"x": [0.0, None, 1.0], "i": [2**60, 2**60 + 1, None], "t": [day(9), None, day(20)], "s": ["a", None, "a"]},
        {
            "x": {"type": "number", "minimum": 0, "maximum": 1, "max_null_share": 0.34},
            "i": {"type": "integer", "unique": True, "increasing": True},
            "t": {"type": "datetime", "max_age": "3d", "increasing": True},
            "s": {"type": "text", "pattern": "a", "values": ("a",), "min_length": 1},
        },
        set(),
    ),
    "strange names": (
        {"*": [1.0, -1.0], "a b": [-1.0, 1.0], "^.*$": [-1.0, -2.0], "$x": [-1.0, 1.0], "ü'\"": [1.0, -1.0]},
        {name: {"type": "number", "minimum": 0} for name in ("*", "a b", "^.*$", "$x", "ü'\"")},
        {("*", "minimum", 1), ("a b", "minimum", 1), ("^.*$", "minimum", 2), ("$x", "minimum", 1), ("ü'\"", "minimum", 1)},
    ),
    "one row of nothing": (
        {"x": [None], "s": [None], "t": [None]},
        {
            "x": {"type": "number", "minimum": 0, "unique": True},
            "s": {"type": "text", "pattern": "a", "max_null_share": 0},
            "t": {"type": "datetime", "max_age": "1d"},
        },
        {("s", "null_share", 1), ("t", "max_age", 1)},
    ),
}
DTYPES = {"number": pl.Float64, "integer": pl.Int64, "boolean": pl.Boolean, "datetime": pl.Datetime("us")}


def typed(cells: dict[str, Any], columns: dict[str, Column]) -> pl.DataFrame:
    return pl.DataFrame({name: pl.Series(cells[name], dtype=DTYPES.get(columns[name].type, pl.String)) for name in cells})


@pytest.fixture(scope="module", params=list(ENGINES))
def checker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Checker:
    return ENGINES[request.param](tmp_path_factory.mktemp("checks"))


@pytest.mark.parametrize("name", list(FRAMES))
def test_the_same_rows_break_the_same_promises(checker: Checker, name: str) -> None:
    cells, promised, expected = FRAMES[name]
    columns = {column: Column(**settings) for column, settings in promised.items()}
    frame = typed(cells, columns)
    checked = checker.check(frame, columns, Look(name=f"{name}.csv", now=NOW))
    reference = PanderaChecks().check(frame, columns, Look(name=name, now=NOW))
    assert {(fault.finding.column, fault.finding.check, fault.finding.rows) for fault in checked.faults} == expected
    assert all(note.startswith("Data Docs: ") for note in checked.notes), "an expectation could not be judged"
    assert [fault.finding for fault in checked.faults] == [fault.finding for fault in reference.faults]
    for mine, theirs in zip(checked.faults, reference.faults, strict=True):
        assert mine.apart == theirs.apart
        assert (mine.cells is None) == (theirs.cells is None)
        assert mine.cells is None or mine.cells.to_list() == theirs.cells.to_list()  # type: ignore[union-attr] - as asserted


@pytest.mark.parametrize("share", [0.05, 0.1, 0.29, 1 / 3, 0.7])
def test_a_share_that_is_just_allowed_is_allowed(share: float) -> None:
    """Great Expectations is told the share that must be sound, keepfit the share that need not be."""
    for rows in range(1, 400):
        for empty in {int(share * rows), int(share * rows) + 1} & set(range(rows + 1)):
            assert (empty / rows <= share) == ((rows - empty) / rows >= mostly(share)), (rows, empty)
