"""An Airflow in its own environment with a database of its own, and the command `keepfit` as its tasks find it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.acceptance.runs import Done, Runs
from tests.postgres import _end_with_parent

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".airflow/bin/python"
DRIVER = Path(__file__).with_name("airflow_days.py")

# Stands for the command: has it run in a process that need not import anything, and answers as that did.
MESSENGER = """
import json, socket, sys
line = socket.socket(socket.AF_UNIX)
line.connect(sys.argv[1])
line.sendall(json.dumps(sys.argv[2:]).encode() + b"\\n")
code, out, err = json.loads(line.makefile().readline())
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
"""


class Airflow:
    """One AIRFLOW_HOME."""

    def __init__(self, home: Path, dags: Path) -> None:
        self.home = home
        home.mkdir()
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "KEEPFIT", "PYTHONHOME"))}
        self.environment = ours | {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
            "DO_NOT_TRACK": "1",
            "HOME": str(home),
        }

    def command(self, *arguments: str, **environment: str) -> Done:
        """`airflow ARGUMENTS`, to its end."""
        done = subprocess.run(
            [PYTHON, "-m", "airflow", *arguments],
            capture_output=True,
            text=True,
            env=self.environment | environment,
            cwd=self.home,
            preexec_fn=_end_with_parent,
            timeout=120,
        )
        return Done(done.returncode, done.stdout, done.stderr)


class Days:
    """The driver, which runs DAGs for dates."""

    def __init__(self, airflow: Airflow, keepfit: str) -> None:
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by `close`
        self._process = subprocess.Popen(
            [PYTHON, DRIVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            env=airflow.environment | {"KEEPFIT_COMMAND": keepfit},
            cwd=airflow.home,
            start_new_session=True,
            preexec_fn=_end_with_parent,  # noqa: PLW1509 - the other thread waits for this process to ask
        )

    def ask(self, **request: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, self.said
        return json.loads(line)

    @property
    def said(self) -> str:
        self._said.seek(0)
        return self._said.read()

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, 9)
        self._process.wait()
        for file in (self._process.stdin, self._process.stdout, self._said):
            assert file is not None
            file.close()


@contextlib.contextmanager
def quick_keepfit(runs: Runs, folder: Path, place: Path) -> Iterator[str]:
    """A command that does what `keepfit` does in the project in `folder`, in processes that need not import anything."""
    messenger, address = place / "messenger.py", place / "line"
    messenger.write_text(MESSENGER)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(address))
        server.listen()
        threading.Thread(target=_serve, args=(server, runs, folder), daemon=True).start()
        yield f"{sys.executable} -I -S {messenger} {address}"


def _serve(server: socket.socket, runs: Runs, folder: Path) -> None:
    while True:
        try:
            line, _ = server.accept()
        except OSError:
            return  # closed
        with line, line.makefile() as asked:
            done = runs.learn(*json.loads(asked.readline()), folder=folder)
            line.sendall(json.dumps([done.code, done.out, done.err]).encode() + b"\n")
