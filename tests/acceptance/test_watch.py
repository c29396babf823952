"""`keepfit watch` in a real process: it runs cycles when it should, stops where it can go on, and nothing ends it but a signal."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.acceptance.lives import DAYS, churn_project, end_of
from tests.acceptance.project import NAME, make_project, registered, state, write_day
from tests.acceptance.runs import Done, Run, Runs, eventually

import keepfit
from keepfit.lease import held
from keepfit.records import Cycle

QUICK = {"KEEPFIT_WATCH__LOOK": "0.05s", "KEEPFIT_WATCH__PORT": "0"}
SLOW = """
from pathlib import Path
import time

HERE = Path(__file__).parent

def prepare(frame):
    if not (HERE / "go").exists():
        (HERE / "began").touch()
        while not (HERE / "go").exists():
            time.sleep(0.01)
    return frame.assign(together=frame["x"] + frame["y"])
"""
BROKEN = "def prepare(frame):\n    raise ValueError('not today')\n"


class Watch:
    """A watcher under way."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def lines(self, action: str, **facts: str) -> list[str]:
        """What it has said of this kind."""
        wanted = [f"{name}={value}" for name, value in facts.items()]
        return [
            line for line in self.run.err.splitlines() if line.startswith(f"action={action} ") and all(w in line for w in wanted)
        ]

    def wait(self, action: str, count: int = 1, **facts: str) -> str:
        """Wait until it has said so; returns the line."""
        try:
            eventually(lambda: len(self.lines(action, **facts)) >= count, f"{action} {facts}")
        except AssertionError as error:
            raise AssertionError(f"{error}:\n{self.run.err}") from None
        return self.lines(action, **facts)[count - 1]

    def health(self) -> tuple[int, Any]:
        address = eventually(lambda: re.search(r"^health at (http://127\.0\.0\.1:\d+/health)$", self.run.out, re.M), "its address")
        answer = httpx.get(address[1], timeout=30)
        return answer.status_code, answer.json()

    def signal(self, number: int = signal.SIGTERM) -> None:
        os.kill(self.run.pid, number)

    def stop(self) -> Done:
        self.signal()
        done = self.run.wait()
        assert done.code == 0, done.err
        assert "Traceback" not in done.err
        return done


@pytest.fixture
def start(runs: Runs) -> Callable[..., Watch]:
    def started(*folders: Path, **environment: str) -> Watch:
        projects = [word for folder in folders for word in ("--project", str(folder))]
        return Watch(runs.start("watch", *projects, folder=folders[0].parent, environment=QUICK | environment))

    return started


@pytest.fixture
def new(prepared: tuple[Path, Path], tmp_path: Path) -> Path:
    """A project that has never run; the first file has come. (The one that was prepared made others start quickly.)"""
    folder = make_project(tmp_path / "new")
    write_day(folder, 1, "x")
    return folder


def cycles(folder: Path) -> list[Cycle]:
    """Those that did not only wait, the newest first."""
    with keepfit.open(folder) as project:
        return [cycle for cycle in project.history(100) if cycle.outcome != "waiting"]


def versions(folder: Path) -> int:
    return len(registered(folder)["versions"])


def finished(watch: Watch, folder: Path) -> None:
    """There is one version, the champion, and nothing left to do."""
    watch.wait("cycle_ended", outcome="waiting")
    watch.stop()
    assert [cycle.outcome for cycle in cycles(folder)] == ["promoted"]
    assert versions(folder) == 1


def test_what_lies_there_and_what_arrives_is_worked_on_as_by_single_runs(
    start: Callable[..., Watch], project: Path, undisturbed: dict[str, Any]
) -> None:
    watch = start(project)
    began = watch.wait("cycle_began", why="start")
    ended = watch.wait("cycle_ended", outcome="promoted")
    assert re.search("cycle=([^ ]+)", began)[1] == re.search("cycle=([^ ]+)", ended)[1]  # type: ignore[index]
    watch.wait("cycle_ended", outcome="waiting")
    assert state(project) == undisturbed
    part = project / "data/inbox/day-6.csv.part"
    write_day(project, 6, "y").rename(part)
    write_day(project, 7, "y")
    watch.wait("cycle_ended", outcome="healthy", project=NAME)
    part.rename(part.with_suffix(""))
    watch.wait("cycle_ended", 2, outcome="healthy")
    assert [[batch.name for batch in cycle.batches] for cycle in cycles(project)[:2]] == [["day-6.csv"], ["day-7.csv"]]
    code, facts = watch.health()
    assert (code, facts["status"], facts["projects"][0]["last"]["outcome"] in ("healthy", "waiting")) == (200, "ok", True)
    watch.stop()


def test_by_the_clock_alone_files_wait_for_their_time(start: Callable[..., Watch], new: Path) -> None:
    clock = {"KEEPFIT_WATCH__ON_ARRIVAL": "false"}
    quiet = start(new, **clock, KEEPFIT_SCHEDULE__EVERY="52d")
    eventually((new / ".keepfit/ledger.db").exists, "its looking whether a cycle is unfinished")
    assert quiet.health()[1]["projects"][0]["next_run"].endswith("T00:00:00+00:00")
    assert quiet.stop().err.count("action=cycle") == 0
    watch = start(new, **clock, KEEPFIT_SCHEDULE__EVERY="1s")
    watch.wait("cycle_ended", outcome="promoted")
    write_day(new, 2, "x")
    watch.wait("cycle_ended", outcome="healthy")
    assert not [line for line in watch.lines("cycle_began") if "why=schedule" not in line]
    watch.stop()


def test_two_projects_with_modules_of_the_same_names_keep_to_their_own(start: Callable[..., Watch], new: Path) -> None:
    other = make_project(new.parent / "other")
    (other / "keepfit.toml").write_text((other / "keepfit.toml").read_text().replace('"walk"', '"stroll"'))
    (other / "features.py").write_text("from words import add\n\ndef prepare(frame):\n    return add(frame)\n")
    (other / "words.py").write_text("def add(frame):\n    return frame.assign(apart=frame['x'] - frame['y'])\n")
    write_day(other, 1, "x")
    watch = start(new, other)
    for outcome in ("promoted", "healthy"):
        for name in ("walk", "stroll"):
            watch.wait("cycle_ended", project=name, outcome=outcome)
        for folder in (new, other):
            write_day(folder, 2, "x")
    for folder, made in ((new, "together"), (other, "apart")):
        done = [cycle for cycle in cycles(folder) if cycle.prepared]
        assert len(done) == 2
        assert {cycle.prepared.columns for cycle in done if cycle.prepared} == {("x", "y", made)}
        assert versions(folder) == 1
    code, facts = watch.health()
    assert (code, [each["project"] for each in facts["projects"]]) == (200, ["walk", "stroll"])
    watch.stop()


def test_a_stage_is_finished_and_kept_before_it_stops_and_the_next_start_goes_on(start: Callable[..., Watch], new: Path) -> None:
    (new / "features.py").write_text(SLOW)
    watch = start(new)
    eventually((new / "began").exists, "the slow stage")
    assert watch.health()[1]["projects"][0]["running"]["stage"] == "prepare"
    watch.signal()
    watch.wait("stopping", stage="prepare")
    assert watch.health()[0] == 503
    (new / "go").touch()
    done = watch.run.wait()
    assert done.code == 0, done.err
    assert watch.lines("cycle_left", after="prepare")
    left = cycles(new)[0]
    assert (left.stage, left.outcome) == ("prepare", None)
    again = start(new, KEEPFIT_WATCH__ON_ARRIVAL="false", KEEPFIT_SCHEDULE__EVERY="52d")  # at once, whatever the schedule says
    again.wait("cycle_began", cycle=left.id, after="prepare")
    again.wait("cycle_ended", cycle=left.id, outcome="promoted")
    again.stop()
    assert [cycle.outcome for cycle in cycles(new)] == ["promoted"]
    assert versions(new) == 1


@pytest.mark.parametrize(
    ("ends", "code"),
    [("second signal", 130), ("patience", 0), ("kill", -signal.SIGKILL)],
    ids=["second signal", "patience", "kill"],
)
def test_one_that_is_ended_in_the_middle_of_a_stage_goes_on_at_the_next_start(
    start: Callable[..., Watch], new: Path, ends: str, code: int
) -> None:
    (new / "features.py").write_text(SLOW)
    watch = start(new, **({"KEEPFIT_WATCH__PATIENCE": "0.1s"} if ends == "patience" else {}))
    eventually((new / "began").exists, "the slow stage")
    watch.signal(signal.SIGKILL if ends == "kill" else signal.SIGTERM)
    if ends == "second signal":
        watch.wait("stopping")
        watch.signal(signal.SIGTERM)
    done = watch.run.wait()
    assert done.code == code, done.err
    assert cycles(new)[0].stage == "validate"
    (new / "go").touch()
    finished(start(new), new)


def test_an_exception_in_a_cycle_is_said_and_survived(start: Callable[..., Watch], new: Path) -> None:
    sound = (new / "features.py").read_text()
    (new / "features.py").write_text(BROKEN)
    watch = start(new)
    told = watch.wait("cycle_failed", stage="prepare")
    assert "ValueError: not today" in told
    code, facts = eventually(lambda: (found := watch.health())[0] == 503 and found, "the endpoint saying so")
    assert (code, facts["status"]) == (503, "failing")
    assert "not today" in facts["reason"]
    (new / "features.py").write_text(sound)
    watch.wait("cycle_ended", outcome="promoted")
    eventually(lambda: watch.health()[0] == 200, "the endpoint saying that it is over")
    settings = (new / "keepfit.toml").read_text()
    (new / "keepfit.toml").write_text(settings + "\n[promote]\n")
    watch.wait("trouble", what="settings")
    assert watch.health()[0] == 503
    (new / "keepfit.toml").write_text(f"{settings}\n[schedule]\ndaily = '06:30'\n")
    watch.wait("settings_taken_up")
    eventually(lambda: "T06:30:00" in str(watch.health()[1]["projects"][0]["next_run"]), "the new schedule")
    assert watch.health()[0] == 200
    watch.stop()
    assert [cycle.outcome for cycle in cycles(new)] == ["promoted", "failed"]


def test_beside_another_runner_it_waits_for_its_turn(start: Callable[..., Watch], new: Path) -> None:
    with keepfit.open(new) as opened, held(opened.ports.ledger.leases, opened.config):
        first, second = start(new), start(new)
        for watch in (first, second):
            assert str(os.getpid()) in watch.wait("busy")
            assert watch.health()[0] == 200
        assert not cycles(new)
    eventually(lambda: first.lines("cycle_ended") or second.lines("cycle_ended"), "one of them going on")
    eventually(lambda: len(cycles(new)) == 1 and cycles(new)[0].outcome == "promoted", "the cycle's end")
    for watch in (first, second):
        watch.stop()
    assert versions(new) == 1


def test_a_start_that_cannot_watch_says_why_and_leaves_nothing(runs: Runs, new: Path) -> None:
    def refused(*arguments: str, **environment: str) -> str:
        done = runs.start("watch", *arguments, folder=new, environment=environment).wait()
        assert (done.code, done.out) == (2, ""), done
        assert "Traceback" not in done.err
        return done.err

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"127.0.0.1:{port} cannot be listened on" in refused("--port", str(port))
    assert "There is no keepfit.toml" in refused("--project", ".", "--project", str(new.parent))
    assert "named twice" in refused("--project", ".", "--project", str(new))
    assert "never comes" in refused(KEEPFIT_SCHEDULE__CRON="0 0 31 2 *")
    assert "nothing to watch for" in refused(KEEPFIT_WATCH__ON_ARRIVAL="false")
    assert not (new / ".keepfit").exists()


def test_a_project_that_vanishes_and_comes_back_is_gone_on_with(start: Callable[..., Watch], new: Path) -> None:
    watch = start(new)
    watch.wait("cycle_ended", outcome="waiting")
    away = new.with_name("away")
    shutil.move(new, away)
    watch.wait("trouble", what="settings")
    code, facts = watch.health()
    assert (code, "There is no keepfit.toml" in json.dumps(facts)) == (503, True)
    shutil.move(away, new)
    watch.wait("mended")
    write_day(new, 2, "x")
    watch.wait("cycle_ended", outcome="healthy")
    watch.stop()


def test_days_that_the_watcher_finds_end_as_they_do_by_hand(
    start: Callable[..., Watch], churn_by_hand: dict[str, Any], tmp_path: Path
) -> None:
    folder = churn_project(tmp_path / "customers")
    watch = start(folder)
    for number, outcome in enumerate(churn_by_hand["trainings"]):
        with keepfit.open(folder) as project:
            project.simulate(DAYS[number], 1)
        watch.wait("cycle_ended", churn_by_hand["trainings"][: number + 1].count(outcome), outcome=outcome)
    watch.stop()
    assert end_of(folder) == churn_by_hand
