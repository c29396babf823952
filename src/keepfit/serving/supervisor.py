"""The front of a server: opens the socket, starts the office and the workers, replaces who dies, and ends them all.

Connections wait in the socket's queue while a worker is replaced. What workers need is imported, and the champion opened, once,
here, before they are forked; nothing here starts a thread, for a fork copies only the one that forks.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keepfit.config import Config, load
from keepfit.errors import ConfigError, KeepfitError
from keepfit.extras import require
from keepfit.lease import new_holder
from keepfit.live.servers import RUN_PREFIX, SERVING, Server, announce, sweep
from keepfit.serving import lifeline
from keepfit.serving.plan import Plan, read_plan, write_plan
from keepfit.serving.planning import LAST
from keepfit.telling import place_of, tell

if TYPE_CHECKING:
    from keepfit.project import Project
    from keepfit.serving.answers import Loaded

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")
NEEDED = ("uvicorn", "orjson", "prometheus_client", "fastapi", "fastapi_swagger")  # of the extra
BACKLOG = 2048  # connections that wait to be accepted
SOON = 1.0  # seconds; who dies sooner is not replaced at once each time
LONGEST_PAUSE = 10.0
MARGIN = 5.0  # seconds beyond serve.drain after which a worker is ended
LONGEST_SOCKET = 103  # bytes of a Unix socket's path on every system
OFFICE_END = 25.0  # seconds that the office may take to end
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def serve(folder: Path, flags: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Serve the project until a signal says stop; `say` is told when it listens and when it is ready.

    Raises `ConfigError`, also where the port is taken.
    """
    config = load(folder, flags)
    for name in THREADS:
        os.environ.setdefault(name, "1")  # before anything is imported that reads it
    run = Path(tempfile.mkdtemp(prefix=RUN_PREFIX))
    try:
        _prepare(run)
        plan = _last_plan(config)
        _check_keys(config, plan, flags)
        with _listen(config) as listening:
            _Front(config, dict(flags), run, listening, say).work(plan)
    finally:
        shutil.rmtree(run, ignore_errors=True)


def _prepare(run: Path) -> None:
    """The figures' folder must be known before what counts is imported."""
    if (length := len(os.fsencode(run / "office"))) > LONGEST_SOCKET:
        raise ConfigError(
            f"The temporary folder {run.parent} has too long a name for the socket in it, whose path would have {length} bytes: "
            f"a system allows {LONGEST_SOCKET}. Set TMPDIR to a shorter one."
        )
    figures = run / "figures"
    figures.mkdir()
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(figures)
    for module in NEEDED:
        require(module, extra="serve", why="keepfit serve")


def _check_keys(config: Config, plan: Plan | None, flags: Mapping[str, Any]) -> None:
    """Where the server can be reached from elsewhere, nobody could be told apart from anybody without a key."""
    from keepfit.serving.admission import needs_keys

    if config.serve.authentication != "auto" or not needs_keys(config.serve) or (plan is not None and plan.keys):
        return
    from keepfit.project import open

    with open(config.root, flags=flags) as project:
        if not project.keys():
            raise ConfigError(
                f"Whoever reaches {config.serve.host} could use this server, and there is no API key yet. Make one with "
                '`keepfit keys add`, or say [serve] authentication = "off" where something in front of it does that.'
            )


def _listen(config: Config) -> socket.socket:
    host, port = config.serve.host, config.serve.port
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(f"{host}:{port} cannot be listened on: {reason}. Name another with [serve] host and port.") from error
    listening.setblocking(False)
    return listening


@dataclass
class _Slot:
    """A place for a process that is replaced when it dies."""

    number: int  # 0 is the office
    pid: int = 0  # 0: nobody is there
    began: float = 0.0
    failures: int = 0  # in a row, each soon after the start
    due: float = 0.0  # when the next may start


class _Front:
    def __init__(
        self, config: Config, flags: dict[str, Any], run: Path, listening: socket.socket, say: Callable[[str], None]
    ) -> None:
        self._config, self._flags, self._run, self._listening, self._say = config, flags, run, listening, say
        self._office, self._workers = _Slot(0), [_Slot(number) for number in range(1, config.serve.workers + 1)]
        self._lifeline, self._held = os.pipe()  # whoever reads sees its end when this process is gone
        self._readiness, self._ready = os.pipe()
        self._woken, self._wake = socket.socketpair()
        self._asked = 0  # to stop, so often
        self._opened: dict[str, Loaded] = {}

    def work(self, plan: Plan | None) -> None:
        """Until a signal says stop. `plan` is what to begin with."""
        from keepfit.project import open

        config = self._config
        sweep(config.root)
        with open(config.root, flags=self._flags) as project:
            host, port = self._listening.getsockname()[:2]
            address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
            self._say(f"listening on {address}")
            mine = announce(Server(holder=new_holder(), address=address, folder=str(self._run)), config.root)
            try:
                self._catch_signals()
                self._start_office()
                if plan is not None:
                    write_plan(plan, self._run / "plan.json")
                self._opened = _import_and_open(plan, project)
                project.close()  # no connection is shared by a fork
                gc.collect()
                gc.freeze()  # so that collections do not touch, and so copy, what the workers share
                for slot in self._workers:
                    self._start_worker(slot, project)
                self._watch(project)
            finally:
                mine.unlink(missing_ok=True)
                self._end_all()

    # ------------------------------------------------------------------------------------------------------------ watching

    def _watch(self, project: Project) -> None:
        """Until everybody was asked to stop and has."""
        ready: set[str] = set()
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._woken, selectors.EVENT_READ)
            waiting.register(self._readiness, selectors.EVENT_READ)
            while not self._asked:
                for key, _ in waiting.select(self._pause()):
                    if key.fd == self._readiness:
                        self._note_ready(ready)
                    else:
                        self._note_signals()
                self._replace_dead(project)
            self._stop(waiting)

    def _note_ready(self, ready: set[str]) -> None:
        """Say so once every worker can answer."""
        before = len(ready)
        for line in os.read(self._readiness, 4096).decode().splitlines():
            number, version = line.split()
            ready.add(number)
        if before < len(ready) == len(self._workers):
            self._say(f"ready with version {version}")

    def _pause(self) -> float | None:
        """Seconds until somebody may be started again."""
        due = [slot.due for slot in (self._office, *self._workers) if not slot.pid]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _catch_signals(self) -> None:
        self._woken.setblocking(False)
        self._wake.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        for number in (*STOPPING, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)

    def _note_signals(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._asked += sum(number in STOPPING for number in self._woken.recv(4096))

    def _replace_dead(self, project: Project) -> None:
        now = time.monotonic()
        for slot in (self._office, *self._workers):
            if slot.pid and (code := _ended(slot.pid)) is not None:
                slot.pid = 0
                slot.failures = slot.failures + 1 if now - slot.began < SOON else 0
                slot.due = now + (min(LONGEST_PAUSE, 0.1 * 2**slot.failures) if slot.failures else 0.0)
                tell("ended", **_named(slot), code=code)
            if not slot.pid and now >= slot.due and not self._asked:
                if slot is self._office:
                    self._start_office()
                else:
                    self._start_worker(slot, project)

    # ------------------------------------------------------------------------------------------------------------ starting

    def _start_office(self) -> None:
        command = [sys.executable, "-m", "keepfit.serving.office", str(self._config.root), str(self._run), str(self._lifeline)]
        process = subprocess.Popen(
            [*command, json.dumps(self._flags)],
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
            pass_fds=[self._lifeline],
            start_new_session=True,  # a terminal's Ctrl-C is for the front
        )
        process.returncode = 0  # it is waited for here, by its number
        self._begun(self._office, process.pid)

    def _start_worker(self, slot: _Slot, project: Project) -> None:
        with _signals_held():
            pid = os.fork()
            if pid == 0:
                self._be_worker(slot, project)
        self._begun(slot, pid)

    def _begun(self, slot: _Slot, pid: int) -> None:
        again = slot.began > 0
        slot.pid, slot.began = pid, time.monotonic()
        if again:
            tell("started_again", **_named(slot), pid=pid)

    def _be_worker(self, slot: _Slot, project: Project) -> None:
        """In the child: signals are still held, so that none is lost between the front's handlers and the worker's."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (*STOPPING, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            for end in (self._held, self._readiness):
                os.close(end)
            self._woken.close()
            self._wake.close()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (*STOPPING, signal.SIGCHLD))
            lifeline.hold(self._lifeline, self._config.serve.drain.total_seconds() + MARGIN)
            from keepfit.serving.worker import Post, work

            work(
                Post(
                    number=slot.number,
                    project=project,
                    plan=self._run / "plan.json",
                    office=str(self._run / "office"),
                    listening=self._listening,
                    opened=self._opened,
                    ready=self._ready,
                )
            )
            code = 0
        except BaseException as error:
            tell("worker_failed", worker=slot.number, error=place_of(error))
            if isinstance(error, KeepfitError):
                tell("because", worker=slot.number, reason=error)
        finally:
            os._exit(code)

    # ------------------------------------------------------------------------------------------------------------- stopping

    def _stop(self, waiting: selectors.BaseSelector) -> None:
        """Workers first, so that the office can drain what they wrote."""
        tell("stopping")
        self._listening.close()
        for slots, seconds in ((self._workers, self._config.serve.drain.total_seconds() + MARGIN), ([self._office], OFFICE_END)):
            for slot in slots:
                _send(slot.pid, signal.SIGTERM)
            deadline = time.monotonic() + seconds
            while any(slot.pid for slot in slots) and time.monotonic() < deadline and self._asked < 2:
                waiting.select(min(0.5, max(0.0, deadline - time.monotonic())))
                self._note_signals()
                _reap(slots)

    def _end_all(self) -> None:
        """Whoever is left has had its time."""
        for slot in (self._office, *self._workers):
            if slot.pid:
                tell("killed", **_named(slot))
                _send(slot.pid, signal.SIGKILL)
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(slot.pid, 0)
        signal.set_wakeup_fd(-1)


def _last_plan(config: Config) -> Plan | None:
    """What any server of this project did last, if its champion is still in the cache."""
    try:
        plan = read_plan(config.root / SERVING / LAST)
    except (ValueError, OSError):
        return None
    return plan if plan is not None and plan.champion is not None and Path(plan.champion.folder).is_dir() else None


def _import_and_open(plan: Plan | None, project: Project) -> dict[str, Loaded]:
    """What every worker needs, in memory that they share. The project's own code is left to each: it may start threads."""
    for module in ("keepfit.serving.worker", "pandas", "sklearn.linear_model", "skops.io"):
        import_module(module)
    if plan is None or plan.champion is None:
        return {}
    from keepfit.inputs import read
    from keepfit.serving.model import open_model
    from keepfit.versions import INPUTS_PATH

    placed = plan.champion
    try:
        told = Path(placed.folder) / INPUTS_PATH
        if told.exists() and read(told.read_text(encoding="utf-8")).prepare is not None:
            return {}
        return {placed.folder: open_model(placed, project.ports.model_formats)}
    except Exception as error:  # the workers say what is wrong with it
        tell("not_opened", version=placed.version, error=place_of(error))
        return {}


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (*STOPPING, signal.SIGCHLD))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _ended(pid: int) -> int | None:
    """Its exit code, or minus the signal; None while it runs."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def _reap(slots: list[_Slot]) -> None:
    for slot in slots:
        if slot.pid and _ended(slot.pid) is not None:
            slot.pid = 0


def _send(pid: int, number: int) -> None:
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _named(slot: _Slot) -> dict[str, Any]:
    return {"worker": slot.number} if slot.number else {"office": 1}
