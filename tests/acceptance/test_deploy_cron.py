"""`keepfit deploy cron`: the line is run as cron runs it, in / and with next to no environment; the project has an awkward name."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from apscheduler.triggers.cron import CronTrigger
from tests.acceptance.project import make_project
from tests.acceptance.runs import Runs

from keepfit.config import Config, load
from keepfit.errors import ConfigError
from keepfit.schedules.cron import LOG, line

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LOGNAME": "somebody", "SHELL": "/bin/sh"}


def unescaped(command: str) -> str:
    """What cron makes of the command: \\% is a percent sign, and what follows a bare one would be its standard input."""
    assert not re.search(r"(?<!\\)%", command)
    return command.replace(r"\%", "%")


Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a command as cron does; nobody outlives the test."""
    with contextlib.ExitStack() as everybody:

        def start(command: str) -> subprocess.Popen[str]:
            both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "start_new_session": True}
            run = subprocess.Popen(["/bin/sh", "-c", unescaped(command)], cwd="/", env=ENVIRONMENT, **both)  # type: ignore[call-overload]
            everybody.enter_context(run)
            everybody.callback(_end, run)
            return run

        yield start


def _end(run: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(run.pid, signal.SIGKILL)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "my model's 100% (new)")


def test_the_line_runs_from_anywhere_twice_at_once_and_says_everything_in_its_log(runs: Runs, project: Path, start: Start) -> None:
    told = runs.start("deploy", "cron", folder=project).wait()
    *fields, command = told.out.rstrip("\n").split(" ", 5)
    assert CronTrigger.from_crontab(" ".join(fields), timezone="UTC")
    assert fields == ["0", "6", "*", "*", "*"]
    both = [start(command), start(command)]
    assert [run.communicate(timeout=60)[0] for run in both] == ["", ""], "cron has nothing to mail"
    log = (project / LOG).read_text()
    assert len(re.findall(r"(?m)^\w.* UTC \d{4}$", log)) == 2, "each run under its time"
    assert "waiting: " in log
    assert sorted(re.findall(r"exit code (\d)", log)) in (["0", "0"], ["0", "3"])
    assert (project / ".keepfit/ledger.db").exists()
    assert {path.name for path in project.parent.iterdir()} == {project.name}


def test_a_project_that_is_not_there_is_complained_of_and_not_made(project: Path, start: Start) -> None:
    command = line(load(project)).split(" ", 5)[5]
    gone = project.rename(project.with_name("elsewhere"))
    run = start(command)
    assert "my model's 100% (new)" in run.communicate(timeout=60)[0]
    assert run.returncode != 0
    assert [path.name for path in gone.parent.iterdir()] == ["elsewhere"]


def test_the_log_does_not_grow_for_ever(project: Path, start: Start) -> None:
    log = project / LOG
    log.parent.mkdir()
    log.write_text("x" * 10_000_001)
    (project / "keepfit.toml").unlink()  # the run itself is of no interest
    assert start(line(Config.of(TREE, project)).split(" ", 5)[5]).communicate(timeout=60)[0] == ""
    assert log.with_name("cron.log.1").stat().st_size == 10_000_001
    assert "There is no keepfit.toml" in log.read_text()
    assert "exit code 2" in log.read_text()


TREE = {"project": {"name": "demo", "task": "regression"}, "data": {"target": "y"}}


def test_the_schedule_is_that_of_the_settings() -> None:
    assert line(Config.of({**TREE, "schedule": {"weekly": "mon 06:30"}}, Path("/p"))).startswith("30 6 * * mon cd /p && ")
    with pytest.raises(ConfigError, match="cannot be said in cron's five fields"):
        line(Config.of({**TREE, "schedule": {"every": "7m"}}, Path("/p")))


@pytest.mark.parametrize("name", ["a\nb", "a\\b"])
def test_a_name_that_no_crontab_can_hold_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="a line for crontab cannot hold"):
        line(Config.of(TREE, Path("/") / name))
