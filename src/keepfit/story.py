"""The life of an SMS filter behind its API, in a minute: a new kind of scam comes, its labels come late, and the loop learns it.

Everything is real but the messages: a server in processes of its own, requests over HTTP, the log, the loop, the registry.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from keepfit.errors import Unavailable
from keepfit.extras import require
from keepfit.project import Project
from keepfit.project import open as open_project
from keepfit.records import Cycle
from keepfit.templates import copy_template
from keepfit.verbs.api_client import ApiClient, Refused
from keepfit.verbs.traffic import Pace, Traffic

FIRST_DAY = date(2026, 1, 1)
HISTORY = 3  # days of files that the first model is trained on
SCAM_DAYS = 3  # for which nobody knows of the new scam
OPTIONS = {"new_scam": FIRST_DAY + timedelta(days=HISTORY + 1), "scam_share": 0.18}
RATE = 400.0  # requests a second at most
ATOMIC_FILES = {"data.settle": "0s"}  # the generator renames whole files into place, so there is nothing to wait for
SOON = {"KEEPFIT_SERVE__LOG__SEGMENT": "1s"}  # what was answered is in the log a second later
PATIENCE = 60.0  # seconds in which the server must have done something

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One step of the story."""

    title: str
    answers: int = 0
    right: float | None = None  # share of these answers that were right, which only the generator knows at once
    labels: int = 0  # that came back
    drift: bool | None = None  # whether the messages have drifted; None: nobody looked
    decision: str = ""
    champion: str = ""  # version that answers when it is over
    words: str = ""
    seconds: float = 0.0


def play(folder: Path | None, tell: Tell = lambda words: None) -> list[Scene]:
    """Make an sms-spam project and play the story; `tell` is told each scene's title as it begins. Without a folder the project is
    temporary.

    Raises `ConfigError` when the folder holds a project already, `MissingExtra` without the extra `serve`, `Unavailable` when the
    server does not do what it should.
    """
    require("uvicorn", extra="serve", why="the story's server")
    temporary = Path(tempfile.mkdtemp(prefix="keepfit-story-")) if folder is None else None
    place = temporary / "sms-spam" if temporary else folder
    assert place is not None  # noqa: S101 - one of the two is given
    copy_template("sms-spam", place)
    try:
        with _ended_by_signals(), open_project(place, flags=ATOMIC_FILES) as project:
            return list(_timed(_scenes(project, place), tell))
    finally:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)


Step = tuple[str, Callable[[], Scene]]


def _timed(steps: Iterator[Step], tell: Tell) -> Iterator[Scene]:
    began = time.monotonic()
    for title, act in steps:
        tell(title)
        scene = act()
        ended = time.monotonic()
        yield replace(scene, title=title, seconds=ended - began)
        began = ended


def _scenes(project: Project, place: Path) -> Iterator[Step]:
    yield f"{HISTORY} days of messages, a first model", lambda: _first_model(project)
    with _Server(place) as server:
        stage = _Stage(project, server)
        yield "it answers; an ordinary day", stage.quiet_day
        yield "a new scam; no label yet", stage.scam_without_labels
        yield "the labels come, late", stage.late_labels
        yield "the day after", stage.day_after


def _first_model(project: Project) -> Scene:
    project.simulate(FIRST_DAY.isoformat(), HISTORY)
    cycle = project.run()
    verdict = cycle.verdict
    words = f"accuracy {_figure(verdict.challenger)} on {verdict.n} held-out messages" if verdict else ""
    return Scene(title="", decision=_decision(cycle), champion=_champion(cycle, ""), words=words)


class _Stage:
    """The scenes before a running server."""

    def __init__(self, project: Project, server: _Server) -> None:
        self._project, self._server = project, server
        self._day = HISTORY
        self._champion = server.version()
        self._labels = project.config.root / "late-labels.csv"

    def quiet_day(self) -> Scene:
        traffic = self._traffic(1, Pace(rate=RATE, labels=0.9))
        cycle = self._run(traffic.labelled)
        return self._scene(traffic, cycle, words="nine of ten labels come back")

    def scam_without_labels(self) -> Scene:
        began = time.time()
        traffic = self._traffic(SCAM_DAYS, Pace(rate=RATE, labels=0.9, labels_to=self._labels))
        look = self._server.drift(since=began, rows=traffic.answered)
        cycle = self._project.run()
        measured = f"{look['method']} {look['score']:.2f} where {look['threshold']:g} counts" if look["score"] is not None else ""
        return Scene(
            title="",
            answers=traffic.answered,
            right=traffic.accuracy,
            drift=bool(look["drifted"]),
            decision=cycle.outcome.value if cycle.outcome else "",
            champion=self._champion,
            words=f"drift is seen: {measured}" if look["drifted"] else "nothing is seen",
        )

    def late_labels(self) -> Scene:
        told = self._project.feedback(self._labels)
        cycle = self._project.run()
        before, self._champion = self._champion, _champion(cycle, self._champion)
        swapped = self._server.follows(self._champion) if self._champion != before else 0.0
        words = ""
        if cycle.verdict is not None and cycle.performance is not None and cycle.performance.value is not None:
            words = (
                f"{cycle.performance.value:.4f} on {cycle.performance.n} labels; held out {_figure(cycle.verdict.champion)} -> "
                f"{_figure(cycle.verdict.challenger)}; the server swapped {swapped:.1f} s after"
            )
        return self._scene(Traffic(labelled=told.added), cycle, words=words)

    def day_after(self) -> Scene:
        traffic = self._traffic(1, Pace(rate=RATE, labels=0.9))
        cycle = self._run(traffic.labelled)
        cleared = cycle.drift is not None and cycle.drift.detected is False
        return self._scene(traffic, cycle, words="the scam goes on; the drift has cleared" if cleared else "the scam goes on")

    def _traffic(self, days: int, pace: Pace) -> Traffic:
        start = FIRST_DAY + timedelta(days=self._day)
        self._day += days
        return self._project.send_traffic(self._server.url, start.isoformat(), days, OPTIONS, pace)

    def _run(self, labels: int) -> Cycle:
        """A cycle, once the log holds so many labels that the loop has not taken."""
        log, taken = self._project.ports.log, self._project.ports.spans.taken().height

        def there() -> bool:
            log.drain()
            return log.rows(labelled=True, inputs=False).height >= taken + labels

        _until(there, f"{labels} labels reaching the log")
        return self._project.run()

    def _scene(self, traffic: Traffic, cycle: Cycle, *, words: str) -> Scene:
        return Scene(
            title="",
            answers=traffic.answered,
            right=traffic.accuracy,
            labels=traffic.labelled,
            drift=cycle.drift.detected if cycle.drift else None,
            decision=_decision(cycle),
            champion=self._champion,
            words=words,
        )


def _decision(cycle: Cycle) -> str:
    action = cycle.decision.action.value if cycle.decision else ""
    outcome = cycle.outcome.value if cycle.outcome else ""
    return f"{action}, {outcome}" if action and outcome != "healthy" else action or outcome


def _champion(cycle: Cycle, before: str) -> str:
    return cycle.promotion.to_version if cycle.promotion else before


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


# ---------------------------------------------------------------------------------------------------------------- server


class _Server:
    """`keepfit serve` in a process of its own; a context that ends it."""

    def __init__(self, folder: Path) -> None:
        self._said = Path(tempfile.mkdtemp(prefix="keepfit-served-"))
        command = [sys.executable, "-m", "keepfit.cli.main", "serve", "--project", str(folder), "--port", "0"]
        with (self._said / "out").open("wb") as out, (self._said / "err").open("wb") as err:
            self._process = subprocess.Popen(command, stdout=out, stderr=err, stdin=subprocess.DEVNULL, env=os.environ | SOON)
        try:
            self.url = self._line("listening on ").split()[-1]
            self._line("ready with ")
            self._api = ApiClient(self.url)
        except BaseException:
            self.close()
            raise

    def _line(self, start: str) -> str:
        def said() -> str:
            if self._process.poll() is not None:
                raise Unavailable(f"`keepfit serve` has ended: {(self._said / 'err').read_text().strip()[-2000:]}")
            lines = (self._said / "out").read_text().splitlines()
            return next((line for line in lines if line.startswith(start)), "")

        return str(_until(said, f"`keepfit serve` saying {start.strip()!r}"))

    def version(self) -> str:
        """The version that answers."""
        return str(self._api.get("/models/current")["model_version"])

    def follows(self, version: str) -> float:
        """Wait until this version answers; returns the seconds it took."""
        began = time.monotonic()
        _until(lambda: self.version() == version, f"the server following to version {version}")
        return time.monotonic() - began

    def drift(self, *, since: float, rows: int) -> Any:
        """The messages' part of a look at what was asked since then, once all of it is in the log."""

        def report() -> Any:
            window = math.ceil(time.time() - since)
            try:
                found = self._api.get(f"/drift/calculate?window={window}s")
            except Refused:  # nothing has reached the log yet
                return None
            return found if found["of"] >= rows else None

        columns = _until(report, f"{rows} rows in the log")["columns"]
        return next(column for column in columns if column["name"] == "message")

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._said, ignore_errors=True)

    def __enter__(self) -> _Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _until(happened: Callable[[], Any], what: str) -> Any:
    """Look until it has happened; returns what `happened` returned. Raises `Unavailable` when that takes too long."""
    deadline = time.monotonic() + PATIENCE
    while not (found := happened()):
        if time.monotonic() > deadline:
            raise Unavailable(f"{what} did not happen within {PATIENCE:g} seconds.")
        time.sleep(0.05)
    return found


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """A signal that asks this process to end is an exception, so that the server is ended too."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _: Any) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
