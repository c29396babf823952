"""Great Expectations in a folder of the project: what it writes, whose suite it runs, and what happens when it fails."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from keepfit.adapters.gx_checks import GxChecks, context
from keepfit.adapters.gx_checks.old_results import GxResults
from keepfit.errors import ConfigError, MissingExtra
from keepfit.ports import Checked, Fault, Look
from keepfit.records import Finding
from keepfit.settings import Column

NOW = datetime(2026, 1, 10, tzinfo=UTC)
SUITE = "data_quality_suite"
FRAME = pl.DataFrame({"x": [1.0, 2.0, None, -1.0], "y": ["a"] * 4})
COLUMNS = {"x": Column(type="number", minimum=0)}


def check(project: Path, name: str = "day=1/a.csv", writes: bool = True, **changes: Any) -> Checked:
    given: dict[str, Any] = {"frame": FRAME, "columns": COLUMNS, "now": NOW, "found": ()} | changes
    checks = GxChecks(project / "gx", SUITE, project, writes=writes)
    return checks.check(given["frame"], given["columns"], Look(name=name, now=given["now"], found=given["found"]))


def write_suite(project: Path, *expectations: Any, **settings: Any) -> Path:
    """A suite as somebody writes it with Great Expectations."""
    import great_expectations as gx

    opened = gx.get_context(mode="file", context_root_dir=str(project / "gx"))
    opened.suites.add(gx.ExpectationSuite(name=SUITE, expectations=list(expectations), **settings))
    return project / f"gx/expectations/{SUITE}.json"


@pytest.fixture(scope="module")
def gxe() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Great Expectations warns of what it uses itself
        import great_expectations.expectations as gxe
    return gxe


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def pages(project: Path) -> list[Path]:
    return sorted((project / "gx/uncommitted/data_docs/local_site/validations").rglob("*.html"))


def test_there_are_data_docs_of_what_failed_and_of_what_succeeded_and_the_note_says_where(tmp_path) -> None:
    failed = check(tmp_path)
    succeeded = check(tmp_path, "b.csv", frame=FRAME.head(3))
    assert ([str(fault) for fault in failed.faults], list(succeeded.faults)) == (
        ["x: expected at least 0, found 1 of 4 rows that are not (row 4: -1.0)"],
        [],
    )
    for checked, word in ((failed, "Failed"), (succeeded, "Succeeded")):
        [note] = checked.notes
        page = tmp_path / note.removeprefix("Data Docs: ")
        assert word in page.read_text()
    index = (tmp_path / "gx/uncommitted/data_docs/local_site/index.html").read_text()
    assert "day=1_a.csv" in index
    assert "b.csv" in index


def test_what_was_found_before_is_in_the_data_docs_too_and_is_not_told_twice(tmp_path) -> None:
    cells = Finding(check="type", column="x", expected="finite numbers", found="1 cells that are not", rows=1)
    whole = Finding(check="row_count", column=None, expected="9 rows", found="4", rows=4)
    found = (Fault(finding=cells, cells=pl.Series([True, False, False, False]), apart=True), Fault(finding=whole))
    checked = check(tmp_path, frame=FRAME.head(3), found=(Fault(finding=cells, cells=pl.Series([True, False, False])),))
    assert list(checked.faults) == []
    [page] = pages(tmp_path)
    assert "x: expected finite numbers" in page.read_text()
    assert "Failed" in page.read_text()
    check(tmp_path, "b.csv", found=found)
    assert "file: expected 9 rows" in pages(tmp_path)[0].read_text()


def test_nothing_is_written_outside_the_folder_nor_an_absolute_path_into_it(tmp_path) -> None:
    """In a process of its own, with a home of its own."""
    project, home, work = tmp_path / "project", tmp_path / "home", tmp_path / "work"
    for folder in (project, home, work):
        folder.mkdir()
    code = (
        "import os, socket, pathlib, tests.unit.adapters.test_gx_checks as here\n"
        "def refuse(*_): raise AssertionError('something is sent')\n"
        "socket.socket.connect = refuse\n"
        f"print(len(here.check(pathlib.Path({str(project)!r})).faults), os.environ['GX_ANALYTICS_ENABLED'])\n"
    )
    root = Path(__file__).parents[3]
    environment = os.environ | {"HOME": str(home), "PYTHONPATH": str(root), "PYTHONWARNINGS": "error"}
    environment.pop("GX_ANALYTICS_ENABLED", None)
    done = subprocess.run([sys.executable, "-c", code], cwd=work, env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr, done.returncode) == ("1 false\n", "", 0)
    assert (files(home), files(work), [path.name for path in project.iterdir()]) == ({}, {}, ["gx"])
    kept = {name: content for name, content in files(project).items() if not name.endswith((".html", ".css", ".png", ".svg"))}
    assert [name for name, content in kept.items() if str(tmp_path).encode() in content] == []
    assert b"analytics_enabled: false" in kept["gx/great_expectations.yml"]


def test_the_project_can_be_moved(tmp_path) -> None:
    check(tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    assert len(check(tmp_path / "there", "b.csv").faults) == 1
    assert len(pages(tmp_path / "there")) == 2
    assert not (tmp_path / "here").exists()


def test_a_folder_that_came_by_git_lacks_what_is_not_committed_and_works(tmp_path) -> None:
    check(tmp_path)
    shutil.rmtree(tmp_path / "gx/uncommitted")
    assert check(tmp_path).notes[0].startswith("Data Docs: ")


def test_the_suite_follows_the_contract(tmp_path) -> None:
    suite = tmp_path / f"gx/expectations/{SUITE}.json"
    check(tmp_path)
    first = suite.read_bytes()
    check(tmp_path, "b.csv")
    assert suite.read_bytes() == first
    assert list(check(tmp_path, "c.csv", columns={"x": Column(type="number", minimum=-5)}).faults) == []
    assert json.loads(suite.read_bytes())["id"] == json.loads(first)["id"]
    assert -5 in [each["kwargs"].get("min_value") for each in json.loads(suite.read_bytes())["expectations"]]


def test_only_the_latest_runs_are_kept(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(context, "KEPT", 3)
    for number in range(5):
        check(tmp_path, f"{number}.csv", now=NOW + timedelta(days=number))
    assert [path.parts[-3] for path in pages(tmp_path)] == ["2.csv", "3.csv", "4.csv"]
    results = (tmp_path / "gx/uncommitted/validations").rglob("*.json")
    assert sorted(path.parts[-3] for path in results) == ["2.csv", "3.csv", "4.csv"]


def test_housekeeping_finds_the_results_with_their_pages_and_removes_one_without_the_others(tmp_path) -> None:
    results = GxResults(tmp_path / "gx")
    assert results.kept() == []
    for name in ("a.csv", "b.csv"):
        check(tmp_path, name)
    first, second = results.kept()
    [page] = [path for path in pages(tmp_path) if path.parts[-3] == "a.csv"]
    assert first.name.split("/")[1] == "a.csv"
    assert first.size == page.stat().st_size + (tmp_path / "gx/uncommitted/validations" / first.name).stat().st_size
    for _ in range(2):  # gone already is fine
        results.remove(first.name)
        assert [path.parts[-3] for path in pages(tmp_path)] == ["b.csv"]
        assert results.kept() == [second]
    check(tmp_path, "c.csv")
    assert len(pages(tmp_path)) == 2, "Great Expectations goes on"


def test_a_dry_run_writes_nothing_and_finds_the_same(tmp_path) -> None:
    assert [str(each) for each in check(tmp_path, writes=False).faults] == [str(each) for each in check(tmp_path).faults]
    before = files(tmp_path)
    assert check(tmp_path, "b.csv", writes=False).notes == []
    assert files(tmp_path) == before


# ------------------------------------------------------------------------------------------------------- other people's


def test_a_suite_that_somebody_wrote_is_used_as_it_is(tmp_path, gxe) -> None:
    path = write_suite(
        tmp_path,
        gxe.ExpectColumnMeanToBeBetween(column="x", min_value=5),
        gxe.ExpectColumnValuesToBeBetween(column="x", min_value=1.5, mostly=0.9),
        gxe.ExpectColumnValuesToBeInSet(column="y", value_set=["b"]),
        gxe.ExpectColumnValuesToNotBeNull(column="y"),
        gxe.ExpectTableRowCountToBeBetween(min_value=10, severity="warning"),
        gxe.ExpectColumnToExist(column="z"),
    )
    before = path.read_bytes()
    for writes in (True, False):
        checked = check(tmp_path, writes=writes)
        assert {(each.finding.check, each.finding.column, each.finding.rows, each.apart) for each in checked.faults} == {
            ("column_mean_to_be_between", "x", 4, False),
            ("column_values_to_be_between", "x", 2, False),  # it may be so in a tenth of the rows
            ("column_values_to_be_in_set", "y", 4, True),
            ("column_to_exist", "z", 4, False),
        }
        assert "expected table row count to be between (min_value 10), found 4" in checked.notes
    assert path.read_bytes() == before
    assert len(pages(tmp_path)) == 1


def test_a_suite_written_by_hand_without_ids_works_without_data_docs(tmp_path, gxe) -> None:
    path = write_suite(tmp_path, gxe.ExpectColumnValuesToBeInSet(column="y", value_set=["b"]))
    suite = json.loads(path.read_text())
    path.write_text(json.dumps({**suite, "id": None, "expectations": [each | {"id": None} for each in suite["expectations"]]}))
    checked = check(tmp_path)
    assert [each.finding.rows for each in checked.faults] == [4]
    assert "no Data Docs: the suite 'data_quality_suite' has no ids" in checked.notes[0]


@pytest.mark.parametrize("fault", ["text", "type", "regex", "context"])
def test_a_suite_that_cannot_be_used_is_an_error_of_whoever_wrote_it(tmp_path, gxe, fault) -> None:
    path = write_suite(tmp_path, gxe.ExpectColumnValuesToMatchRegex(column="y", regex="(" if fault == "regex" else "a"))
    if fault == "text":
        path.write_text("{ not json")
    if fault == "type":
        path.write_text(path.read_text().replace("expect_column_values_to_match_regex", "expect_nonsense"))
    if fault == "context":
        (tmp_path / "gx/great_expectations.yml").write_text("a: [")
    said = {"text": "double quotes", "type": "expect_nonsense", "regex": "unterminated subpattern", "context": "not a valid yml"}
    with pytest.raises(ConfigError, match=said[fault]):
        check(tmp_path)


# -------------------------------------------------------------------------------------------------------------- failing


def test_data_docs_that_cannot_be_written_lose_nothing_but_themselves(tmp_path) -> None:
    check(tmp_path)
    site = tmp_path / "gx/uncommitted/data_docs"
    shutil.rmtree(site)
    site.write_text("in the way")
    checked = check(tmp_path, "b.csv")
    assert len(checked.faults) == 1
    assert checked.notes[0].startswith("no Data Docs: ")


def test_a_folder_that_cannot_be_written_loses_nothing_but_the_data_docs(tmp_path) -> None:
    (tmp_path / "gx").write_text("in the way")
    checked = check(tmp_path)
    assert len(checked.faults) == 1
    assert "cannot be written" in checked.notes[0]


def test_when_great_expectations_itself_fails_keepfit_holds_the_rows_against_the_contract(tmp_path, monkeypatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("out of order")

    monkeypatch.setattr(context.Home, "run", fail)
    checked = check(tmp_path)
    assert [str(each) for each in checked.faults] == ["x: expected at least 0, found 1 of 4 rows that are not (row 4: -1.0)"]
    assert "Great Expectations failed (out of order)" in checked.notes[0]


def test_without_the_library_keepfit_checks_itself_and_says_how_to_install_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "great_expectations", None)
    checked = check(tmp_path)
    assert [str(each) for each in checked.faults] == ["x: expected at least 0, found 1 of 4 rows that are not (row 4: -1.0)"]
    assert "needs great_expectations: pip install 'keepfit[great-expectations]'" in checked.notes[0]
    assert "no Data Docs" in checked.notes[0]


def test_a_suite_of_the_users_cannot_be_held_without_the_library(tmp_path, monkeypatch, gxe) -> None:
    write_suite(tmp_path, gxe.ExpectColumnValuesToBeBetween(column="x", min_value=0))
    monkeypatch.setitem(sys.modules, "great_expectations", None)
    with pytest.raises(MissingExtra, match=r"engine = 'great_expectations' needs great_expectations: pip install"):
        check(tmp_path)
