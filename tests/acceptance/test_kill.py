"""A run that is killed at any instant: the next ones end where it would have ended."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.conftest import restored
from tests.acceptance.project import data_files, decided, make_project, state, write_day
from tests.acceptance.runs import Runs, eventually

pytestmark = pytest.mark.slow

PARTS = 2  # the instants are dealt out, so that workers share them
INSIDE = {"layers": ["mlflow", "files", "commits"]}
SCHEMAS = 8  # how many instants of those at which tables are made
INSTANTS = int(os.environ.get("KEEPFIT_TEST_INSTANTS", "24"))  # how many of those inside the ports; 0: every one


def differences(runs: Runs, folder: Path, content: list[str], undisturbed: dict[str, Any]) -> list[str]:
    """What is different after as many more runs as it takes; `content` is that of the data files at the beginning."""
    found = [] if data_files(folder) == content else ["after the kill a data file is lost, doubled or changed"]
    runs.finish(folder)
    reached = state(folder)
    return found + [f"{name}: {reached[name]} != {undisturbed[name]}" for name in reached if reached[name] != undisturbed[name]]


@pytest.mark.parametrize("part", range(PARTS))
def test_a_kill_between_any_two_side_effects_changes_nothing_in_the_end(
    runs: Runs, prepared: tuple[Path, Path], undisturbed: dict[str, Any], part: int
) -> None:
    at, killed, wrong = 1 + part, True, {}
    while killed:
        folder = restored(prepared)
        content = data_files(folder)
        run = runs.start("run", folder=folder, effects={"at": at, "send": signal.SIGKILL})
        done = run.wait()
        killed = done.code == -signal.SIGKILL
        assert killed or done.code == 0, done.err
        if different := differences(runs, folder, content, undisturbed):
            wrong[at, run.effects[-1]] = different
        at += PARTS
    assert not wrong
    assert at > 25, "a cycle that promotes changes something at least so often"


@pytest.mark.parametrize("part", range(PARTS))
def test_a_kill_inside_a_side_effect_changes_nothing_in_the_end(
    runs: Runs, prepared: tuple[Path, Path], undisturbed: dict[str, Any], part: int
) -> None:
    run = runs.start("run", folder=restored(prepared), effects=INSIDE)
    assert run.wait().code == 0
    instants = list(range(1, len(run.effects) + 1))
    if INSTANTS:
        instants = random.Random(7).sample(instants, INSTANTS)  # noqa: S311
    wrong = {}
    for at in sorted(instants)[part::PARTS]:
        folder = restored(prepared)
        content = data_files(folder)
        run = runs.start("run", folder=folder, effects={**INSIDE, "at": at, "send": signal.SIGKILL})
        assert run.wait().code == -signal.SIGKILL
        if different := differences(runs, folder, content, undisturbed):
            wrong[at, run.effects[-1]] = different
    assert not wrong


@pytest.mark.parametrize("part", range(PARTS))
def test_a_first_run_killed_while_the_databases_are_made_is_begun_anew(
    runs: Runs, prepared: tuple[Path, Path], tmp_path: Path, part: int
) -> None:
    """MLflow takes most of a first run to make its tables, and cannot go on with half of them."""
    run = runs.start("run", folder=new_project(tmp_path / "whole"), effects={"layers": ["schema"]})
    assert run.wait().code == 0
    instants = range(1, len(run.effects) + 1)
    wrong = {}
    for at in sorted(random.Random(5).sample(instants, SCHEMAS))[part::PARTS]:  # noqa: S311
        folder = new_project(tmp_path / f"killed-{at}")
        effects = {"layers": ["schema"], "at": at, "send": signal.SIGKILL}
        run = runs.start("run", folder=folder, effects=effects)
        assert run.wait().code == -signal.SIGKILL
        done = runs.run(folder=folder)
        if not done.out.startswith("promoted"):
            wrong[at, run.effects[-1]] = done.out + done.err
    assert not wrong


def new_project(folder: Path) -> Path:
    write_day(make_project(folder), 1, "x")
    return folder


def test_a_cycle_of_which_every_run_is_killed_ends_the_same_on_postgres(
    runs: Runs, postgres_project: Path, undisturbed: dict[str, Any]
) -> None:
    content = data_files(postgres_project)
    for name in (
        "cycles.save",
        "outbox.put",
        "tracker.record",
        "registry.register",
        "journal.intend",
        "registry.point",
        "journal.settle",
        "inbox.move",
    ):
        effects = {"name": name, "at": 1, "send": signal.SIGKILL}
        assert runs.run(folder=postgres_project, effects=effects).code == -signal.SIGKILL, name
        assert data_files(postgres_project) == content
    assert not differences(runs, postgres_project, content, undisturbed)


@pytest.mark.parametrize("name", ["inbox.move", "store.save", "registry.register", "registry.point", "journal.settle"])
def test_an_interrupted_run_says_so_gives_its_lease_back_and_is_resumed(
    runs: Runs, project: Path, undisturbed: dict[str, Any], name: str
) -> None:
    content = data_files(project)
    done = runs.run(folder=project, effects={"name": name, "at": 1, "send": signal.SIGINT})
    assert done.code == 130, done
    assert "the next run goes on from there" in done.err
    assert "Traceback" not in done.err
    assert decided(project)["lease"] is None
    assert not differences(runs, project, content, undisturbed)


def test_runs_killed_at_random_times_one_after_another_change_nothing_in_the_end(
    runs: Runs, prepared: tuple[Path, Path], undisturbed: dict[str, Any]
) -> None:
    draw = random.Random(11)  # noqa: S311
    for _ in range(4):
        folder = restored(prepared)
        content = data_files(folder)
        for _ in range(4):
            run = runs.start("run", folder=folder)
            time.sleep(draw.uniform(0, 0.7))
            run.kill()
            assert data_files(folder) == content
        assert not differences(runs, folder, content, undisturbed)


def test_a_command_killed_at_a_random_time_changes_nothing_in_the_end(
    runs: Runs, project: Path, undisturbed: dict[str, Any]
) -> None:
    """As above, with the installed command and its cold start."""
    content = data_files(project)
    draw = random.Random(13)  # noqa: S311
    for _ in range(3):
        command_killed(project, after=draw.uniform(0, 4))
        assert data_files(project) == content
    assert not differences(runs, project, content, undisturbed)


def command_killed(project: Path, after: float) -> None:
    """Kill the command so many seconds after it has begun with a stage, unless it has ended by then."""
    said = project.parent / "said"
    with said.open("wb") as output:
        command = [Path(sys.executable).with_name("keepfit"), "run", "--project", project]
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    try:
        eventually(lambda: process.poll() is not None or said.stat().st_size, "the command saying something")
        time.sleep(after)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
