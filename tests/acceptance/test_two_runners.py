"""Runners that start at once, sleep past their lease, or die with it."""

from __future__ import annotations

import os
import re
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.project import champion, make_project, state, tree, write_day
from tests.acceptance.runs import Run, Runs, eventually

import keepfit
from keepfit.records import Lease

SHORT = {"KEEPFIT_LEDGER__LEASE": "2s"}  # renewed every 0.7 seconds while its runner is awake


def stopped_before(name: str, runs: Runs, project: Path, at: int = 1, **options: Any) -> Run:
    """A run that has stopped itself before its n-th effect of this name."""
    run = runs.start("run", folder=project, effects={"name": name, "at": at, "send": signal.SIGSTOP}, **options)
    run.wait_until_stopped()
    return run


def lease(project: Path) -> Lease | None:
    with keepfit.open(project) as opened:
        return opened.status()["lease"]


def wait_until_expired(project: Path) -> None:
    def expired() -> bool:
        held = lease(project)
        return held is None or held.expires_at <= datetime.now(UTC)

    eventually(expired, "the lease expiring")


def test_a_second_run_is_told_who_works_and_changes_nothing(runs: Runs, project: Path, undisturbed: dict[str, Any]) -> None:
    first = stopped_before("registry.register", runs, project)
    before = tree(project)
    second = runs.run(folder=project)
    assert second.code == 3
    assert second.out == ""
    held = lease(project)
    assert f"process {first.pid}, since {held.since:%Y-%m-%d %H:%M:%S} UTC" in second.err
    assert str(os.uname().nodename) in second.err
    assert len(second.err.splitlines()) == 1
    assert tree(project) == before
    first.wake()
    assert first.wait().code == 0
    runs.finish(project)
    assert state(project) == undisturbed


@pytest.mark.parametrize("verb", [("run", "--resume"), ("run", "--until", "collect")])
def test_no_verb_that_writes_gets_in_beside_a_runner(runs: Runs, project: Path, verb: tuple[str, ...]) -> None:
    first = stopped_before("registry.register", runs, project)
    before = tree(project)
    assert runs.start(*verb, folder=project).wait().code == 3
    assert tree(project) == before
    first.kill()


def test_a_person_takes_a_champion_back_while_a_cycle_trains(runs: Runs, project: Path) -> None:
    """Nobody waits an hour for a search to end; the cycle finds that its verdict is about another champion, and says so."""
    runs.finish(project)
    assert champion(project) == "2"
    write_day(project, 6, "x", 400)
    write_day(project, 7, "x", 400)
    training = stopped_before("leases.acquire", runs, project, 2)  # its own to work, then the one to move the alias
    done = runs.start("rollback", folder=project).wait()
    assert done.code == 0, done.err
    assert champion(project) == "1"
    training.wake()
    ended = training.wait()
    assert ended.code == 0, ended.err
    assert ended.out.startswith("alerted"), ended.out
    assert champion(project) == "1"


@pytest.mark.parametrize("verb", [("status",), ("history",), ("explain",), ("config",), ("run", "--dry-run")])
def test_looking_is_possible_beside_a_runner(runs: Runs, project: Path, verb: tuple[str, ...]) -> None:
    first = stopped_before("registry.register", runs, project)
    done = runs.start(*verb, folder=project).wait()
    assert done.code == 0, done.err
    assert done.out
    first.kill()


@pytest.mark.slow
def test_of_six_runs_started_together_each_works_or_is_refused(runs: Runs, project: Path, undisturbed: dict[str, Any]) -> None:
    """Those that come when the first has finished find nothing to do."""
    started = [runs.start("run", folder=project) for _ in range(6)]
    ended = [run.wait() for run in started]
    assert {done.code for done in ended} <= {0, 3}, ended
    said = [done.out.split(":")[0] for done in ended if done.code == 0]
    assert said.count("promoted") == 1
    assert set(said) <= {"promoted", "waiting"}
    runs.finish(project)
    assert state(project) == undisturbed


def test_two_first_runs_open_a_new_project_together(runs: Runs, prepared: tuple[Path, Path], tmp_path: Path) -> None:
    folder = make_project(tmp_path / "new")
    write_day(folder, 1, "x")
    ended = [run.wait() for run in [runs.start("run", folder=folder) for _ in range(3)]]
    assert {done.code for done in ended} <= {0, 3}, ended
    assert [done.out.split(":")[0] for done in ended].count("promoted") == 1
    assert len(state(folder)["versions"]) == 1


def test_a_killed_runners_lease_is_taken_over_at_once(runs: Runs, project: Path, undisturbed: dict[str, Any]) -> None:
    first = runs.start("run", folder=project, effects={"name": "registry.register", "at": 1, "send": signal.SIGKILL})
    assert first.wait().code == -signal.SIGKILL
    held = lease(project)
    assert held is not None
    assert f":{first.pid}:" in held.holder
    assert (held.expires_at - datetime.now(UTC)).total_seconds() > 20, "not because it has expired"
    runs.finish(project)
    assert state(project) == undisturbed


SLEEPS = [
    ("inbox.move", 1),  # collect: the duplicate
    ("inbox.move", 2),  # validate: the broken file
    ("store.save", 2),  # prepare: between two splits
    ("tracker.record", 1),
    ("registry.register", 1),
    ("registry.annotate", 1),
    ("journal.intend", 1),
    ("registry.point", 1),  # between the intention and the move
    ("journal.settle", 1),  # between the move and its record
    ("inbox.move", 3),  # archive
    ("inbox.move", 4),
    ("inbox.move", 5),
    ("cycles.save", 10),  # the last checkpoint
    ("leases.release", 2),  # the first is that of the move
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "at"), SLEEPS)
def test_a_runner_that_slept_past_its_lease_changes_nothing_when_it_wakes(
    runs: Runs, project: Path, undisturbed: dict[str, Any], name: str, at: int
) -> None:
    sleeper = stopped_before(name, runs, project, at, environment=SHORT)
    wait_until_expired(project)
    runs.finish(project)
    before = state(project)
    sleeper.wake()
    done = sleeper.wait()
    assert state(project) == before == undisturbed
    if name == "leases.release":  # everything was done before it fell asleep
        assert done.code == 0, done
    else:
        assert (done.code, done.out) == (3, ""), done
        assert re.search(r"no longer holds walk \(lease \d+\)", done.err), done.err


@pytest.mark.slow
def test_a_runner_that_slept_past_its_lease_on_postgres_changes_nothing_when_it_wakes(
    runs: Runs, postgres_project: Path, undisturbed: dict[str, Any]
) -> None:
    sleeper = stopped_before("registry.point", runs, postgres_project, environment=SHORT)
    wait_until_expired(postgres_project)
    runs.finish(postgres_project)
    sleeper.wake()
    assert sleeper.wait().code == 3
    assert state(postgres_project) == undisturbed


INSIDE_MLFLOW = (
    "create_run",
    "create_logged_model",
    "log_outputs",
    "set_terminated",
    "create_model_version",
    "set_registered_model_alias",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", INSIDE_MLFLOW)
def test_a_runner_that_slept_inside_mlflow_adds_no_version_when_it_wakes(
    runs: Runs, project: Path, undisturbed: dict[str, Any], name: str
) -> None:
    effects = {"layers": ["mlflow"], "name": f"mlflow.{name}", "at": 2 if name in ("create_run", "set_terminated") else 1}
    sleeper = runs.start("run", folder=project, effects={**effects, "send": signal.SIGSTOP}, environment=SHORT)
    sleeper.wait_until_stopped()
    wait_until_expired(project)
    runs.finish(project)
    before = state(project)
    sleeper.wake()
    done = sleeper.wait()
    assert done.code == 3, done
    assert state(project) == before == undisturbed


@pytest.mark.slow
def test_a_sleeper_that_wakes_after_a_later_promotion_leaves_it(runs: Runs, project: Path) -> None:
    """It fell asleep before it moved the alias; meanwhile its move was made for it, and undone by a person."""
    sleeper = stopped_before("registry.point", runs, project, environment=SHORT)
    wait_until_expired(project)
    runs.finish(project)
    assert runs.start("rollback", folder=project).wait().code == 0
    before = state(project)
    assert before["aliases"] == [("champion", 1)]
    sleeper.wake()
    assert sleeper.wait().code == 3
    assert state(project) == before
