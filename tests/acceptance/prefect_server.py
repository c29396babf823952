"""A real Prefect server with a real worker, both on this machine only, and what a test asks of them."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import psutil
from tests import postgres
from tests.acceptance.runs import eventually

POOL = "keepfit"
PROGRAMS = Path(sys.executable).parent
STAGES = "keepfit.schedules.stage_process"
FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


class PrefectServer:
    """`prefect server start` on a free port, its SQLite in a temporary folder, and `prefect worker start` beside it."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._folder = folder
        self._server: subprocess.Popen[bytes] | None = None
        self._worker: subprocess.Popen[bytes] | None = None
        self.api = httpx.Client(base_url=f"http://127.0.0.1:{self.port}/api", timeout=30)
        (folder / "tmp").mkdir(parents=True)

    @property
    def environment(self) -> dict[str, str]:
        """Nothing of the person's who runs the tests reaches Prefect, and nobody reports home."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "KEEPFIT_", "MLFLOW_"))}
        return kept | {
            "HOME": str(self._folder),
            "TMPDIR": str(self._folder / "tmp"),
            "PREFECT_HOME": str(self._folder / "prefect"),
            "PREFECT_API_URL": f"http://127.0.0.1:{self.port}/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "DO_NOT_TRACK": "1",
            "PATH": f"{PROGRAMS}{os.pathsep}{os.environ.get('PATH', '')}",
        }

    def start(self) -> None:
        """Start, and wait until it answers."""
        self._server = self._begin("server", "start", "--host", "127.0.0.1", "--port", str(self.port))
        eventually(self._answers, "the Prefect server answering", 120)

    def start_worker(self) -> None:
        """A worker of the pool; it takes what is scheduled as soon as it is up."""
        self._worker = self._begin("worker", "start", "--pool", POOL)

    def kill_worker(self) -> None:
        """End it as kill -9 does, with the processes of the flow runs that it has started. What those have started is left."""
        if self._worker is not None:
            worker, self._worker = self._worker, None
            flows = [each for each in _below(worker.pid) if STAGES not in _command(each)]
            _kill(worker)
            for process in flows:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()

    def close(self) -> None:
        below = _below(self._worker.pid) if self._worker is not None else []
        self.kill_worker()
        for process in below:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if self._server is not None:
            _kill(self._server)
        self.api.close()

    def call(self, *command: str, folder: Path) -> str:
        """A command to its end; returns what it said."""
        done = subprocess.run(
            command, cwd=folder, env=self.environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def _begin(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{arguments[0]}.log").open("ab") as log:
            return subprocess.Popen(
                [PROGRAMS / "prefect", *arguments],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self._folder,
                env=self.environment,
                start_new_session=True,
                preexec_fn=postgres._end_with_parent,  # noqa: PLW1509 - no other thread runs yet that could hold a lock
            )

    def _answers(self) -> bool:
        assert self._server is not None
        assert self._server.poll() is None, self.log("server")
        try:
            return self.api.get("/health").status_code == 200
        except httpx.HTTPError:
            return False

    def log(self, name: str) -> str:
        path = self._folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    # ------------------------------------------------------------------------------------------------------ questions

    def deployment(self, flow: str, name: str) -> dict[str, Any]:
        return self._document("get", f"/deployments/name/{flow}/{name}")

    def begin_run(self, deployment: str, **parameters: Any) -> str:
        """Schedule a run for now; returns its id."""
        asked = {"parameters": parameters, "idempotency_key": uuid.uuid4().hex}
        return str(self._document("post", f"/deployments/{deployment}/create_flow_run", asked)["id"])

    def runs(self, deployment: str, state: str) -> list[dict[str, Any]]:
        """The runs of a deployment in a state of this type, the earliest first."""
        asked = {"deployments": {"id": {"any_": [deployment]}}, "flow_runs": {"state": {"type": {"any_": [state]}}}}
        found: list[dict[str, Any]] = self._document("post", "/flow_runs/filter", asked | {"sort": "EXPECTED_START_TIME_ASC"})
        return found

    def finished(self, run: str) -> dict[str, Any]:
        """The run when it has ended."""

        def ended() -> dict[str, Any] | None:
            found = self._document("get", f"/flow_runs/{run}")
            return found if found["state"]["type"] in FINAL else None

        try:
            found: dict[str, Any] = _gently(ended, "the flow run ending")
        except AssertionError:
            raise AssertionError(self.log("worker")) from None
        return found

    def run(self, deployment: str, **parameters: Any) -> dict[str, Any]:
        """A run from its beginning to its end."""
        return self.finished(self.begin_run(deployment, **parameters))

    def tasks(self, run: str, expected: int) -> dict[str, str]:
        """Name -> name of the state, in order, once the server knows of so many: it hears of them a little later."""
        asked = {"flow_runs": {"id": {"any_": [run]}}, "sort": "EXPECTED_START_TIME_ASC"}

        def known() -> dict[str, str] | None:
            found = self._document("post", "/task_runs/filter", asked)
            told = [each["state"] for each in found if each["state"] and each["state"]["type"] in FINAL]
            settled = len(told) == len(found) == expected
            return {each["name"]: state["name"] for each, state in zip(found, told, strict=True)} if settled else None

        states: dict[str, str] = _gently(known, f"{expected} task runs being known")
        return states

    def artifacts(self, run: str) -> dict[str, dict[str, Any]]:
        """Key -> artifact of the run."""
        found = self._document("post", "/artifacts/filter", {"flow_runs": {"id": {"any_": [run]}}})
        return {each["key"]: each for each in found}

    def give_up(self, run: str) -> None:
        """Say that a run has crashed, as an automation of Prefect's or a person does once nothing is heard of it."""
        crashed = {"state": {"type": "CRASHED", "name": "Crashed", "message": "nothing is heard of it"}, "force": True}
        self._document("post", f"/flow_runs/{run}/set_state", crashed)

    def _document(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """What the API answers. It says 503 while its SQLite is locked, and expects to be asked again, as its own clients do."""

        def answered() -> httpx.Response | None:
            answer = self.api.request(method, path, json=body)
            return None if answer.status_code == 503 else answer

        answer: httpx.Response = _gently(answered, f"an answer to {path}")
        assert answer.is_success, answer.text
        return answer.json()


def _gently(happened: Callable[[], Any], what: str) -> Any:
    """Ask less often than `eventually` does: the server has better things to do."""
    return eventually(lambda: happened() or time.sleep(0.1), what, 120)


def _below(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


def _command(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
