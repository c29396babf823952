"""A real `keepfit serve` on a free port of this machine, and somebody who asks it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from tests import postgres
from tests.acceptance.runs import PATIENCE, eventually


class Served:
    """A server under way. Use it as a context: nobody outlives it.

    >>> with Served(folder) as server:  # doctest: +SKIP
    ...     server.predict({"x": 0.5, "y": 0.1})["prediction"]
    """

    def __init__(self, folder: Path, *arguments: str, environment: Mapping[str, str] | None = None, ready: bool = True) -> None:
        """Start `keepfit serve ARGUMENTS` in a project, and wait until it listens and (with `ready`) every worker can answer."""
        self._left: list[int] = []  # whom a killed front left behind; they are about to end
        self._place = Path(tempfile.mkdtemp(prefix="keepfit-served-"))
        command = [sys.executable, "-m", "keepfit.cli.main", "serve", "--project", str(folder), "--port", "0", *arguments]
        self.began = time.monotonic()
        with (self._place / "out").open("wb") as out, (self._place / "err").open("wb") as err:
            self.process = subprocess.Popen(
                command,
                stdout=out,
                stderr=err,
                env=os.environ | {"TMPDIR": str(self._place)} | dict(environment or {}),
                start_new_session=True,
                preexec_fn=postgres._end_with_parent,  # noqa: PLW1509 - no other thread runs yet that could hold a lock
            )
        self.client = httpx.Client(timeout=PATIENCE)
        try:
            self.url = self._line("listening on ").split()[-1]
            self.client.base_url = httpx.URL(self.url)
            if ready:
                self._line("ready with ")
        except BaseException:
            self.close()
            raise
        self.ready_after = time.monotonic() - self.began

    def _line(self, start: str) -> str:
        def found() -> str | None:
            assert self.process.poll() is None, self.err
            return next((line for line in self.out.splitlines() if line.startswith(start)), None)

        try:
            return str(eventually(found, f"{start!r} on standard output"))
        except AssertionError as error:
            raise AssertionError(f"{error}:\n{self.err}") from None

    @property
    def out(self) -> str:
        return (self._place / "out").read_text()

    @property
    def err(self) -> str:
        """What it said for whoever looks after it."""
        return (self._place / "err").read_text()

    def said(self, action: str) -> list[dict[str, str]]:
        """The lines of this action, as their ids."""
        lines = [line.split() for line in self.err.splitlines() if line.startswith(f"action={action} ")]
        return [dict(word.split("=", 1) for word in line if "=" in word) for line in lines]

    def wait_until_it_follows(self) -> None:
        """The registry is looked at a second or two after the cached champion answers."""
        eventually(lambda: self.said("following"), "the office following the alias")

    # ------------------------------------------------------------------------------------------------------------ asking

    def predict(self, row: Mapping[str, Any]) -> Any:
        """The answer to one row."""
        answer = self.client.post("/predict", json=row)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def get(self, path: str) -> Any:
        """What is there, as JSON, whatever the status."""
        return self.client.get(path).json()

    @property
    def version(self) -> str | None:
        """The version that answers now, of whichever worker is asked."""
        answer = self.client.get("/models/current")
        return str(answer.json()["model_version"]) if answer.status_code == 200 else None

    @property
    def is_ready(self) -> bool:
        return self.client.get("/ready").status_code == 200

    # --------------------------------------------------------------------------------------------------------- processes

    @property
    def processes(self) -> list[int]:
        """The front's children: office and workers."""
        return children(self.process.pid)

    @property
    def workers(self) -> list[int]:
        return [pid for pid in self.processes if is_alive(pid) and "keepfit.serving.office" not in command_line(pid)]

    @property
    def office(self) -> int:
        return next(pid for pid in self.processes if "keepfit.serving.office" in command_line(pid))

    def stop(self, seconds: float = PATIENCE) -> int:
        """Ask it to end, as `kill` does; returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def kill(self) -> None:
        """End the front, and nobody else, as `kill -9` does."""
        self._left = self.processes
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """End all of them."""
        self.client.close()
        everybody = [*self.processes, self.process.pid] if self.process.poll() is None else self._left
        for pid in everybody:
            if not is_alive(pid):
                continue
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        shutil.rmtree(self._place, ignore_errors=True)

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def is_alive(pid: int) -> bool:
    """Whether it runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


# ------------------------------------------------------------------------------------------------------------------ load


@dataclass
class Answer:
    """One answer, or why there was none."""

    sent: float  # time.time()
    came: float
    status: int  # 0: no answer
    version: str = ""
    request_id: str = ""
    error: str = ""


@dataclass
class Load:
    """Clients that ask without pause until they are stopped; one that loses its connection asks anew."""

    urls: Sequence[str]
    row: Mapping[str, Any]
    clients: int = 2  # of each url
    pause: float = 0.005  # seconds between an answer and the next question: the machine is shared
    answers: list[Answer] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Load:
        wanted = [url for url in self.urls for _ in range(self.clients)]
        self._threads = [threading.Thread(target=self._ask, args=(url,), daemon=True) for url in wanted]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    def _ask(self, url: str) -> None:
        with httpx.Client(base_url=url, timeout=PATIENCE) as client:
            while not self._stop.is_set():
                self.answers.append(self._once(client))
                self._stop.wait(self.pause)

    def _once(self, client: httpx.Client) -> Answer:
        sent = time.time()
        try:
            answer = client.post("/predict", json=dict(self.row))
        except httpx.TransportError as error:
            return Answer(sent, time.time(), 0, error=type(error).__name__)
        if answer.status_code != 200:
            return Answer(sent, time.time(), answer.status_code, error=answer.text)
        told = answer.json()
        return Answer(sent, time.time(), 200, str(told["model_version"]), told["request_id"])

    @property
    def good(self) -> list[Answer]:
        return [answer for answer in list(self.answers) if answer.status == 200]

    @property
    def bad(self) -> list[Answer]:
        return [answer for answer in list(self.answers) if answer.status != 200]

    def wait_for(self, count: int) -> None:
        """Until so many more were answered."""
        wanted = len(self.good) + count
        eventually(lambda: len(self.good) >= wanted, f"{count} answers")


def stretched(seconds: float) -> float:
    """A bar on a machine that is busy with other things: as many times longer as work takes longer here and now. On one that is
    quiet it is the bar itself."""
    wall, worked = time.monotonic(), time.thread_time()
    while time.thread_time() - worked < 0.1:
        sum(range(1000))
    return seconds * max(1.0, (time.monotonic() - wall) / (time.thread_time() - worked))


def logged_ids(folder: Path) -> list[str]:
    """The request_ids in the files of the project's log, as often as they are there: the log's own reading takes each once."""
    import polars as pl

    import keepfit

    with keepfit.open(folder) as project:
        project.ports.log.drain()
    ids: list[str] = []
    files: list[Path] = []
    while files != (files := sorted((folder / ".keepfit/log/predictions").rglob("*.parquet"))):  # a running office may merge some
        with contextlib.suppress(FileNotFoundError):
            ids = [id for file in files for id in pl.read_parquet(file, columns=["request_id"])["request_id"]]
    return ids


@contextlib.contextmanager
def several(*starts: Callable[[], Served]) -> Iterator[list[Served]]:
    """Several servers at once."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(start()) for start in starts]


# --------------------------------------------------------------------------------------------------------------- project

ROW = {"x": 0.5, "y": 0.1}  # what the models of `make_served` are asked


def make_served(folder: Path, ledger: str = "sqlite:///.keepfit/ledger.db", tracking: str = "") -> Path:
    """A project with four versions, of which the first is the champion. Its requests are `ROW`'s fields."""
    from tests.acceptance.project import make_project, write_day

    import keepfit

    make_project(folder, ledger)
    place = folder / "keepfit.toml"
    text = place.read_text().replace('prepare = "features:prepare"\n', "")
    place.write_text(text + (f'\n[tracking]\nurl = "{tracking}"\n' if tracking else ""))
    write_day(folder, 1, "x")
    with keepfit.open(folder) as project:
        assert project.run().outcome == "promoted"
        for strength in (2, 3, 4):
            project.register(_another(folder, strength))
    return folder


def _another(folder: Path, strength: int) -> Path:
    """A model of the same columns, fitted on the same day's file, regularised otherwise."""
    import pandas as pd
    import skops.io
    from sklearn.linear_model import LogisticRegression

    file = next((folder / "data").rglob("day-1.csv"))
    rows = pd.read_csv(file)
    path = folder / f"model-{strength}.skops"
    skops.io.dump(LogisticRegression(C=strength).fit(rows[["x", "y"]], rows["answer"]), path)
    return path
