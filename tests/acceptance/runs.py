"""Starts keepfit in processes of their own, forked from one that has imported everything (`warm.py`)."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATIENCE = 60.0  # seconds after which a process that should have done something is said to hang


def eventually(happened: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Look until it has happened; returns what `happened` returned."""
    deadline = time.monotonic() + seconds
    while not (found := happened()):
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds:g} seconds"
        time.sleep(0.01)
    return found


@dataclass(frozen=True)
class Done:
    """A process that has ended."""

    code: int  # exit code, or minus the signal
    out: str
    err: str

    @property
    def facts(self) -> Any:
        """The JSON document it printed."""
        return json.loads(self.out)


class Run:
    """A process under way."""

    def __init__(self, pid: int, answers: socket.socket, place: Path) -> None:
        self.pid, self._answers, self._place = pid, answers, place
        self.ended = False

    def wait(self, seconds: float = PATIENCE) -> Done:
        """Wait for its end."""
        self._answers.settimeout(seconds)
        try:
            code = int(_line(self._answers))
        except TimeoutError:
            os.kill(self.pid, signal.SIGUSR1)
            eventually(lambda: "most recent call first" in self.err, "the process saying where it is", 5)
            raise AssertionError(f"process {self.pid} did not end within {seconds:g} seconds:\n{self.err}") from None
        self._answers.close()
        self.ended = True
        return Done(code, self.out, self.err)

    @property
    def out(self) -> str:
        return (self._place / "out").read_text()

    @property
    def err(self) -> str:
        return (self._place / "err").read_text()

    @property
    def effects(self) -> list[str]:
        """What it has changed so far (where it was told to watch)."""
        log = self._place / "effects"
        return log.read_text().splitlines() if log.exists() else []

    def wait_until_stopped(self) -> None:
        """Wait until it has stopped itself."""
        status = Path(f"/proc/{self.pid}/stat")
        eventually(lambda: status.read_text().rpartition(")")[2].split()[0] == "T", f"process {self.pid} stopping itself")

    def wake(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End it as kill -9 does."""
        with contextlib.suppress(ProcessLookupError):  # it may have ended
            os.kill(self.pid, signal.SIGKILL)
        self.wait()


class Runs:
    """Starts processes; `close` ends all of them."""

    def __init__(self) -> None:
        self._place = Path(tempfile.mkdtemp(prefix="keepfit-runs-"))
        self._channel, inherited = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, str(Path(__file__).with_name("warm.py")), str(inherited.fileno())]
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
        environment["TMPDIR"] = str(self._place)  # who is killed leaves temporary files behind
        self._server = subprocess.Popen(command, pass_fds=[inherited.fileno()], env=environment, start_new_session=True)
        inherited.close()
        self._channel.settimeout(PATIENCE)
        assert self._channel.recv(100) == b"ready"
        self._count = 0
        self._started: list[Run] = []

    def start(
        self,
        *arguments: str,
        folder: Path,
        environment: dict[str, str] | None = None,
        effects: dict[str, Any] | None = None,
        user: int | None = None,
        call: list[str] | None = None,
        modules: Path | None = None,
    ) -> Run:
        """Start `keepfit ARGUMENTS` in a project; `effects` are the arguments of `effects.Effects` beside its log."""
        self._count += 1
        place = self._place / str(self._count)
        place.mkdir()
        request: dict[str, Any] = {"arguments": arguments, "folder": str(folder), "environment": environment or {}, "user": user}
        request |= {"out": str(place / "out"), "err": str(place / "err")}
        for name in ("out", "err"):
            (place / name).touch()
        if effects is not None:
            request["effects"] = {"layers": ["ports"], "log": str(place / "effects")} | effects
        if call is not None:
            request["call"] = call
        if modules is not None:
            request["modules"] = str(modules)
        answers = self._send(request)
        self._started.append(Run(int(_line(answers)), answers, place))
        return self._started[-1]

    def learn(self, *arguments: str, folder: Path) -> Done:
        """`keepfit ARGUMENTS`, to its end; from now on everybody begins with what it has imported."""
        modules = self._place / "modules"
        done = self.start(*arguments, folder=folder, modules=modules).wait()
        answers = self._send({"imports": str(modules)})
        assert _line(answers) == "done\n"
        answers.close()
        return done

    def _send(self, request: dict[str, Any]) -> socket.socket:
        answers, theirs = socket.socketpair()
        socket.send_fds(self._channel, [json.dumps(request).encode()], [theirs.fileno()])
        theirs.close()
        answers.settimeout(PATIENCE)
        return answers

    def run(self, *arguments: str, folder: Path, **options: Any) -> Done:
        """`keepfit run ARGUMENTS`, to its end."""
        return self.start("run", *arguments, folder=folder, **options).wait()

    def call(self, *call: str, folder: Path) -> None:
        """A "module:function" of this folder with its arguments, to its end."""
        done = self.start(folder=folder, call=list(call)).wait()
        assert done.code == 0, done.err

    def finish(self, folder: Path, **options: Any) -> list[Done]:
        """`keepfit run` until it says that it waits."""
        done: list[Done] = []
        while not done or not done[-1].out.startswith("waiting"):
            assert len(done) < 5, [each.out for each in done]
            done.append(self.run(folder=folder, **options))
            assert done[-1].code == 0, done[-1].err
        return done

    def end_all(self) -> None:
        """Kill whom a test has left behind."""
        for run in self._started:
            if not run.ended:
                run.kill()
        self._started.clear()

    def close(self) -> None:
        """Kill whoever still runs."""
        self._channel.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._server.pid, signal.SIGKILL)
        self._server.wait()
        shutil.rmtree(self._place, ignore_errors=True)


def _line(answers: socket.socket) -> str:
    """A line from the socket, byte by byte: they are few."""
    line = b""
    while not line.endswith(b"\n"):
        byte = answers.recv(1)
        assert byte, "the process that forks the others has gone"
        line += byte
    return line.decode()
