"""A cycle that is stopped after a stage, resumed, or only rehearsed comes to what one run comes to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.conftest import restored
from tests.acceptance.project import decided, make_project, state, tree, write_day
from tests.acceptance.runs import Runs

import keepfit
from keepfit.cycle import NAMES


@pytest.mark.parametrize("stage", NAMES)
def test_stopping_after_a_stage_and_resuming_gives_what_one_run_gives(
    runs: Runs, project: Path, undisturbed: dict[str, Any], stage: str
) -> None:
    stopped = runs.run("--until", stage, folder=project)
    assert stopped.code == 0, stopped.err
    if stage != NAMES[-1]:
        assert stopped.out.startswith(f"stopped after {stage};")
        resumed = runs.run("--resume", folder=project)
        assert resumed.out.startswith("promoted"), resumed
    runs.finish(project)
    assert state(project) == undisturbed


@pytest.mark.slow
def test_a_run_for_every_stage_gives_what_one_run_gives(runs: Runs, project: Path, undisturbed: dict[str, Any]) -> None:
    for stage in NAMES:
        assert runs.run("--until", stage, folder=project).code == 0
    runs.finish(project)
    assert state(project) == undisturbed


@pytest.mark.parametrize(("reached", "until"), [("prepare", "prepare"), ("prepare", "collect"), ("compare", "train")])
def test_until_a_stage_that_is_behind_goes_no_further(runs: Runs, project: Path, reached: str, until: str) -> None:
    """So that a scheduler may try its task again."""
    assert runs.run("--until", reached, folder=project).code == 0
    before = state(project)
    again = runs.run("--until", until, folder=project)
    assert again.code == 0, again.err
    with keepfit.open(project) as opened:
        assert opened.cycle().stage == reached
    assert state(project) == before


def test_resume_with_nothing_to_resume_is_refused_and_changes_nothing(runs: Runs, project: Path) -> None:
    before = state(project)
    done = runs.run("--resume", folder=project)
    assert (done.code, done.out) == (2, "")
    assert "nothing to resume" in done.err
    assert state(project) == before


@pytest.mark.parametrize("arguments", [(), ("--force",)])
def test_a_dry_run_leaves_every_byte_and_says_what_the_run_then_decides(
    runs: Runs, project: Path, undisturbed: dict[str, Any], arguments: tuple[str, ...]
) -> None:
    before = tree(project)
    dry = runs.run("--dry-run", "--json", *arguments, folder=project)
    assert dry.code == 0, dry.err
    assert tree(project) == before
    done = runs.run("--json", *arguments, folder=project)
    assert done.code == 0, done.err
    for part in ("action", "reasons"):
        assert dry.facts["decision"][part] == done.facts["decision"][part]
    assert dry.facts["performance"] == done.facts["performance"]
    assert dry.facts["validation"] == done.facts["validation"]
    assert dry.facts["prepared"] == done.facts["prepared"]
    if not arguments:
        runs.finish(project)
        assert state(project) == undisturbed


def test_a_dry_run_of_a_project_that_never_ran_leaves_nothing_behind(runs: Runs, prepared: Any, tmp_path: Path) -> None:
    folder = make_project(tmp_path / "new")
    write_day(folder, 1, "x")
    before = tree(folder)
    done = runs.run("--dry-run", folder=folder)
    assert done.code == 0, done.err
    assert done.out.startswith("would decide RETRAIN: there is no champion")
    assert tree(folder) == before


def test_a_dry_run_in_mid_cycle_leaves_every_byte(runs: Runs, project: Path) -> None:
    assert runs.run("--until", "compare", folder=project).code == 0
    before = tree(project)
    done = runs.run("--dry-run", folder=project)
    assert done.code == 0, done.err
    assert tree(project) == before


def test_rows_stay_on_their_side_when_a_cycle_failed_and_more_files_came(runs: Runs, project: Path) -> None:
    """A cycle fails after it has divided its rows; the next one has a further file that repeats some of them."""
    features = project / "features.py"
    sound = features.read_text()
    features.write_text("def prepare(frame):\n    raise ValueError('a mistake')\n")
    assert runs.run(folder=project).code == 1
    features.write_text(sound)
    header, *rows = (project / "data/inbox/day-3.csv").read_text().splitlines()
    extra = (write_day(project, 6, "y", 100)).read_text().splitlines()[1:]
    (project / "data/inbox/day-6.csv").write_text("\n".join([header, *rows[:200], *extra]) + "\n")
    assert runs.run(folder=project).out.startswith("promoted")
    sides: dict[tuple[Any, ...], set[bool]] = {}
    for row in prepared_rows(project):
        sides.setdefault((row["x"], row["y"]), set()).add(row["__holdout"])
    assert not [key for key, found in sides.items() if len(found) > 1]


def prepared_rows(project: Path) -> list[dict[str, Any]]:
    import polars as pl

    return pl.read_parquet(project / ".keepfit/prepared/rows-*.parquet").to_dicts()


def test_a_cycle_tells_the_same_story_however_often_it_was_stopped(runs: Runs, prepared: tuple[Path, Path]) -> None:
    """All that a person may ask about later: what was found, decided and compared."""
    told = []
    for stops in ((), ("prepare", "train"), ("collect", "decide", "compare", "promote", "release")):
        folder = restored(prepared)
        for stage in stops:
            assert runs.run("--until", stage, folder=folder).code == 0
        record = runs.run("--json", folder=folder).facts
        told.append({name: record[name] for name in ("validation", "prepared", "performance", "decision", "verdict", "archived")})
        assert decided(folder)["lease"] is None
    assert json.dumps(told[0]) == json.dumps(told[1]) == json.dumps(told[2])
