"""Stages in a process of their own: what comes back, and what is left when one does not come back."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.acceptance.project import make_project, write_day
from tests.acceptance.runs import eventually

import keepfit
from keepfit.errors import LeaseHeld, NotFound, UserCodeError
from keepfit.lease import held
from keepfit.records import Cycle
from keepfit.schedules.stage_process import Died, StageProcess, TooLong, Unforeseen, _answer, _understood

BEGUN = """
import os
from pathlib import Path
from time import sleep

def prepare(frame):
    (Path(__file__).parent / "begun").write_text(str(os.getpid()))
"""
DEAF = BEGUN + "    return sum(range(10**15))\n"  # counts in C for days, and looks at no signal
SLOW = BEGUN + "    sleep(1000)\n"
DYING = "import os, signal\n\ndef prepare(frame):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
SOUND = "def prepare(frame):\n    print('this is no answer')\n    return frame.assign(together=frame['x'] + frame['y'])\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    project = make_project(tmp_path / "project")
    write_day(project, 1, "x")
    return project


@pytest.fixture
def stages(folder: Path) -> Iterator[StageProcess]:
    with StageProcess(folder) as opened:
        yield opened


def as_far_as_prepare(stages: StageProcess, seconds: float = 60) -> Cycle:
    cycle = stages.run("validate", None, False, 60)
    return stages.run("prepare", cycle.id, False, seconds)


def unfinished(folder: Path) -> Cycle:
    """The cycle, which waits to be gone on with; nobody holds the lease."""
    with keepfit.open(folder) as project:
        assert project.status()["lease"] is None
        cycle = project.cycle()
    assert (cycle.stage, cycle.outcome) == ("validate", None)
    return cycle


def test_an_error_comes_back_as_what_it_is(folder: Path, stages: StageProcess) -> None:
    with pytest.raises(NotFound, match="no-such-cycle"):
        stages.run("validate", "no-such-cycle", False, 60)
    with keepfit.open(folder) as project, held(project.ports.ledger.leases, project.config), pytest.raises(LeaseHeld):
        stages.run("collect", None, False, 60)
    (folder / "features.py").write_text("def prepare(frame):\n    raise ValueError('the scales are broken')\n")
    with pytest.raises(UserCodeError, match="the scales are broken"):
        as_far_as_prepare(stages)


def test_an_error_that_nobody_foresaw_says_whether_it_has_ended_the_cycle(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> Cycle:
        raise ZeroDivisionError("nobody thought of that")

    monkeypatch.setattr("keepfit.stages.validate.validate", fails)
    monkeypatch.setattr(sys, "argv", ["stage_process", str(folder)])
    answer = _answer({"stage": "validate", "cycle": None, "force": False})
    assert "Traceback" in capsys.readouterr().err
    with pytest.raises(Unforeseen, match="ZeroDivisionError: nobody thought of that") as raised:
        _understood(answer)
    assert raised.value.ended


def test_a_stage_that_takes_too_long_is_ended_and_its_cycle_gone_on_with(folder: Path, stages: StageProcess) -> None:
    (folder / "features.py").write_text(SLOW)
    with pytest.raises(TooLong, match=r"prepare took longer than 0.4 s.*time_limit"):
        as_far_as_prepare(stages, seconds=0.4)
    cycle = unfinished(folder)
    (folder / "features.py").write_text(SOUND)
    cycle = stages.run("prepare", cycle.id, False, 60)
    assert cycle.stage == "prepare"
    with keepfit.open(folder) as project:
        assert cycle == project.cycle()


def test_a_stage_that_does_not_listen_is_ended_as_well(folder: Path, stages: StageProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keepfit.schedules.stage_process.GRACE", 0.2)
    (folder / "features.py").write_text(DEAF)
    with pytest.raises(TooLong):
        as_far_as_prepare(stages, seconds=1)
    with pytest.raises(ProcessLookupError):
        os.kill(int((folder / "begun").read_text()), 0)
    (folder / "features.py").write_text(SOUND)
    assert stages.run("prepare", None, False, 60).stage == "prepare"  # nobody had given the lease back


def test_a_process_that_is_killed_is_said_to_have_been(folder: Path, stages: StageProcess) -> None:
    (folder / "features.py").write_text(DYING)
    with pytest.raises(Died, match=re.escape("was ended by SIGKILL")):
        as_far_as_prepare(stages)
    (folder / "features.py").write_text(SOUND)
    assert stages.run("prepare", None, False, 60).stage == "prepare"


def test_a_killed_orchestrator_s_stage_ends_at_once_and_gives_the_lease_back(folder: Path) -> None:
    (folder / "features.py").write_text(SLOW)
    script = (
        f"from pathlib import Path\nfrom keepfit.schedules.stage_process import StageProcess\n"
        f"StageProcess(Path({str(folder)!r})).run('prepare', None, False, 1000)"
    )
    begun = folder / "begun"
    orchestrator = subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
    try:
        eventually(lambda: begun.exists() and begun.read_text(), "the stage being under way")
        orchestrator.kill()
        with keepfit.open(folder) as project:
            eventually(lambda: project.status()["lease"] is None, "the lease being given back")
        unfinished(folder)
    finally:
        orchestrator.kill()
        orchestrator.wait()
        if begun.exists():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(begun.read_text()), signal.SIGKILL)
