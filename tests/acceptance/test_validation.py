"""Great Expectations in real cycles, and bad rows that go to quarantine while the others are trained on."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.project import files, make_project, write_day

import keepfit
from keepfit.clock import SystemClock
from keepfit.records import Cycle, Outcome
from keepfit.testing.memory_registry import MemoryRegistry, MemoryTracker

pytestmark = pytest.mark.slow

GX = '\n[validate]\nengine = "great_expectations"\n'


def project(folder: Path, settings: str) -> Path:
    made = make_project(folder)
    with (made / "keepfit.toml").open("a") as file:
        file.write(settings)
    return made


@pytest.fixture
def run() -> Callable[..., Cycle]:
    """Runs a cycle; everything is real but for the registry, which is not what this is about."""
    ports = {"registry": MemoryRegistry(alias="champion", now=SystemClock().now), "tracker": MemoryTracker()}

    def run(folder: Path, **options: Any) -> Cycle:
        with keepfit.open(folder, **ports) as opened:
            return opened.run(**options)

    return run


def pages(folder: Path) -> dict[str, str]:
    """The Data Docs of each run, by the batch's name."""
    found = (folder / "gx/uncommitted/data_docs/local_site/validations/data_quality_suite").rglob("*.html")
    return {page.parts[-3]: page.read_text() for page in found}


def test_great_expectations_holds_the_contract_in_real_cycles(tmp_path, run) -> None:
    folder = project(tmp_path / "walk", GX)
    bad = folder / "data/inbox/bad.csv"
    bad.write_text("x,y,answer\n" + "0.5,north,yes\n" * 10 + ",0.5,no\n" * 10)

    rehearsed = run(folder, dry_run=True)
    assert rehearsed.outcome is Outcome.QUARANTINED
    assert not (folder / "gx").exists()

    broken = run(folder)
    assert broken.outcome is Outcome.QUARANTINED
    assert "y: expected finite numbers, found 10 cells" in broken.reason
    assert {finding.check for finding in broken.validation.batches[0].findings} == {"type", "null_share"}
    reason = (folder / "data/quarantine/bad.csv.reason.json").read_text()
    assert "x: expected no empty cells, found 10 of 20" in reason
    assert not bad.exists()
    assert "Failed" in pages(folder)["bad.csv"]
    assert "y: expected finite numbers" in pages(folder)["bad.csv"]

    write_day(folder, 1, "x")
    sound = run(folder)
    assert sound.outcome is Outcome.PROMOTED, sound.reason
    assert "Succeeded" in pages(folder)["day-1.csv"]
    [note] = sound.validation.batches[0].notes
    assert (folder / note.removeprefix("Data Docs: ")).is_file()
    assert (folder / "gx/uncommitted/data_docs/local_site/index.html").is_file()


def test_a_suite_of_ones_own_is_used_in_a_real_cycle(tmp_path, run) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Great Expectations warns of what it uses itself
        import great_expectations as gx
        import great_expectations.expectations as gxe

    folder = project(tmp_path / "walk", GX)
    context = gx.get_context(mode="file", context_root_dir=str(folder / "gx"))
    mean = gxe.ExpectColumnMeanToBeBetween(column="x", min_value=-0.2, max_value=0.2)
    labels = gxe.ExpectColumnDistinctValuesToEqualSet(column="answer", value_set=["yes", "no"])
    context.suites.add(gx.ExpectationSuite(name="data_quality_suite", expectations=[mean, labels]))
    suite = (folder / "gx/expectations/data_quality_suite.json").read_bytes()

    (folder / "data/inbox/high.csv").write_text("x,y,answer\n" + "0.9,0.5,yes\n" * 10 + "0.8,0.5,no\n" * 10)
    cycle = run(folder)
    assert cycle.outcome is Outcome.QUARANTINED
    [finding] = cycle.validation.batches[0].findings
    assert str(finding) == "x: expected column mean to be between (min_value -0.2, max_value 0.2), found 0.85"
    write_day(folder, 1, "x")
    [batch] = run(folder, until="validate").validation.batches
    assert batch.passed
    assert (folder / "gx/expectations/data_quality_suite.json").read_bytes() == suite


def test_bad_rows_are_left_out_of_everything_that_follows(tmp_path, run) -> None:
    folder = project(tmp_path / "walk", '\n[validate]\nquarantine = "rows"\n')
    day = write_day(folder, 1, "x", 200)
    day.write_text(day.read_text() + "north,0.5,yes\n0.5,0.5,perhaps\n0.5,,no\n")
    content = day.read_bytes()

    rehearsed = run(folder, dry_run=True)
    assert (rehearsed.validation.batches[0].dropped, rehearsed.prepared.rows) == (3, 200)
    assert not (folder / "data/quarantine").exists()

    assert run(folder, until="validate").outcome is None  # as if killed here
    cycle = run(folder)
    assert cycle.outcome is Outcome.PROMOTED, cycle.reason
    assert cycle.prepared.rows == 200
    assert cycle.candidate.rows == cycle.prepared.training
    assert cycle.verdict.n == cycle.prepared.holdout
    assert sorted(files(folder)) == ["archive/day-1.csv", "quarantine/day-1.csv.rows.csv"]
    assert (folder / "data/archive/day-1.csv").read_bytes() == content
    with keepfit.open(folder) as opened:
        told = opened.explain()
    assert "day-1.csv: 3 rows of 203 went to quarantine" in told
    assert "day-1.csv: answer: expected one of yes, no, found 1 rows with another label (row 202: 'perhaps')" in told
