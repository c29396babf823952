"""Servers under load: keepfit's and its peers', on free ports of the loopback, each ended by its id."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psutil

from benchmarks import measure
from benchmarks.measure import KEEPFIT, Failed, Skipped

BARE = Path(__file__).with_name("bare_endpoint.py")
PATIENCE = 120.0  # seconds that a server may take to get ready
OFFICE = "keepfit.serving.office"
LEAVE = 60.0  # seconds that it may take to end


@dataclass(frozen=True, kw_only=True)
class Server:
    """One that answers."""

    process: subprocess.Popen[bytes]
    port: int
    ready_after: float  # seconds from the start of the process

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    @property
    def processes(self) -> list[psutil.Process]:
        """It and all that it started."""
        first = psutil.Process(self.process.pid)
        return [first, *first.children(recursive=True)]

    @property
    def office(self) -> psutil.Process:
        """keepfit's process for what takes time."""
        return next(process for process in self.processes if OFFICE in process.cmdline())

    @property
    def workers(self) -> list[psutil.Process]:
        """keepfit's processes that answer."""
        return [process for process in self.processes[1:] if OFFICE not in process.cmdline()]


Start = Callable[[], AbstractContextManager[Server]]


def need_serving(*peers: str) -> None:
    """Raises `Skipped` where keepfit, what it serves with, or a peer is not installed."""
    measure.need_keepfit()
    missing = [name for name in ("fastapi", "uvicorn", "httptools", "uvloop", *peers) if find_spec(name) is None]
    if missing:
        raise Skipped(f"{', '.join(missing)} not installed: use `make bench`")


def keepfit(project: Path, workers: int = 1, environment: Mapping[str, str] | None = None) -> AbstractContextManager[Server]:
    """`keepfit serve`, as it is by default but for the port."""
    port = free_port()
    arguments = [KEEPFIT, "serve", "--port", str(port), "--workers", str(workers)]
    return running(arguments, project, port, "/ready", environment)


def mlflow(project: Path, model: str, version: str = "1") -> AbstractContextManager[Server]:
    """`mlflow models serve` on a version that keepfit registered."""
    port = free_port()
    arguments = [str(Path(sys.executable).with_name("mlflow")), "models", "serve", "-m", f"models:/{model}/{version}"]
    arguments += ["--env-manager", "local", "--workers", "1", "--host", "127.0.0.1", "--port", str(port)]
    paths = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}  # it starts uvicorn by its name
    places = {"MLFLOW_TRACKING_URI": f"sqlite:///{project / '.keepfit' / 'mlflow.db'}"}
    return running(arguments, project, port, "/ping", {**paths, **places})


def bare(folder: Path, kind: str) -> AbstractContextManager[Server]:
    """An endpoint that does nothing; see `bare_endpoint.py`."""
    port = free_port()
    return running([sys.executable, str(BARE), str(port), kind], folder, port, "/ready")


@contextmanager
def running(
    arguments: Sequence[str], folder: Path, port: int, ready: str, environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Start a server, wait until it answers, and end it and its children whatever happens. Raises `Failed`."""
    log = folder / f"server-{port}.log"
    with log.open("wb") as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            list(arguments),
            cwd=folder,
            env={**measure.environment_of(folder), **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches the benchmark, which ends its servers itself
        )
    try:
        wait_for(process, port, ready, log)
        yield Server(process=process, port=port, ready_after=time.perf_counter() - began)
    finally:
        end(process)


def wait_for(process: subprocess.Popen[bytes], port: int, path: str, log: Path) -> None:
    until = time.monotonic() + PATIENCE
    while not answers(port, path):
        if process.poll() is not None or time.monotonic() > until:
            last = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
            why = f"ended with {process.returncode}" if process.poll() is not None else f"was not ready after {PATIENCE:g} s"
            raise Failed(f"a server {why}:\n{last}")
        time.sleep(0.02)


def answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end; what is left of it after a while is killed."""
    try:
        children = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        children = []
    process.terminate()
    try:
        process.wait(LEAVE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _, left = psutil.wait_procs(children, timeout=5)
    for child in left:
        child.kill()
    psutil.wait_procs(left, timeout=5)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
