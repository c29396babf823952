"""Servers that go away and come back."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from tests import postgres
from tests.acceptance.runs import eventually


class MlflowServer:
    """A real `mlflow server` on a free port of this machine."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir()

    def start(self) -> None:
        """Start, and wait until it answers."""
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        places = {"--backend-store-uri": f"sqlite:///{self._folder}/mlflow.db", "--artifacts-destination": f"{self._folder}/files"}
        command += [word for place in places.items() for word in place]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,
                preexec_fn=postgres._end_with_parent,  # noqa: PLW1509 - no other thread runs yet that could hold a lock
            )
        eventually(self._answers, "the MLflow server answering", 120)

    def kill(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "log").read_text()
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except OSError:
            return False


class PostgresServer:
    """A Postgres of one's own, in a temporary folder."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="keepfit-pg-", dir="/tmp"))
        self.url = f"postgresql://postgres@/postgres?host={self._folder}"
        self._account = postgres._account()
        if self._account:
            os.chown(self._folder, self._account["user"], self._account["group"])
        postgres._run("initdb", "--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "-D", self._folder / "data")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it answers."""
        command = [postgres._program("postgres"), "-D", self._folder / "data", "-k", self._folder, "-clisten_addresses="]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "-cfsync=off"],
                stdout=log,
                stderr=log,
                preexec_fn=postgres._end_with_parent,  # noqa: PLW1509 - no other thread runs yet that could hold a lock
                **self._account,
            )
        postgres._wait(self._process, self.url, self._folder / "log")

    def crash(self) -> None:
        """End it without a word to its clients."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()
            self._process = None

    def shut_down(self) -> None:
        """End it as an administrator does who is in a hurry: whoever is connected is told, and what they had begun is undone."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.crash()
        shutil.rmtree(self._folder)
