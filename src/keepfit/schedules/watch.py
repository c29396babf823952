"""`keepfit watch`: one process that runs the cycles of one project or several, by the clock and when something has come.

APScheduler says when a cycle is due, a thread a project does what is due, and the main thread waits for signals. The heavy
libraries are imported by the first cycle that needs them, and stay.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any

from keepfit.errors import ConfigError
from keepfit.extras import require
from keepfit.schedules.health import Health
from keepfit.schedules.triggers import words_of
from keepfit.schedules.watched import Watched
from keepfit.telling import tell

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
INTERRUPTED = 130  # exit code after a second signal, as of a run that is interrupted
DEAF = 5.0  # seconds; how late the scheduler may notice that the machine slept
SET_BACK = 1.0  # seconds by which the computer's clock goes back at once when somebody sets it
ONCE = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}  # however often it was missed, and however late


def watch(folders: Sequence[Path], *, host: str | None = None, port: int | None = None, say: Callable[[str], None]) -> int:
    """Watch until a signal says stop; returns the exit code: 0 once the stage that ran is finished and kept, or [watch] patience is
    over; 130 after a second signal.

    `host` and `port` are of the health endpoint; the first project's [watch] where they are None. `say` is told what is watched and
    where the endpoint is. To be called in the main thread.

    Raises `ConfigError` for a project that cannot be read and a port that is taken, `MissingExtra` without APScheduler.
    """
    require("apscheduler", extra="watch", why="keepfit watch")
    with contextlib.closing(_Signals()) as signals:
        watcher = _Watcher(folders, signals)
        health = watcher.listen(host, port)
        signals.catch()
        for words in watcher.plan():
            say(words)
        if health is not None:
            say(f"health at {health.address}")
            health.start()
        try:
            return watcher.work()
        finally:
            if health is not None:
                health.close()


class _Watcher:
    def __init__(self, folders: Sequence[Path], signals: _Signals) -> None:
        from apscheduler.schedulers.background import BackgroundScheduler

        logging.getLogger("apscheduler").setLevel(logging.CRITICAL)  # what is to be said is said here
        self._signals, turn = signals, threading.Lock()
        self._scheduler = BackgroundScheduler(timezone=UTC, job_defaults=ONCE)
        self._ahead = time.time() - time.monotonic()  # the computer's clock, of one that nobody sets
        self.watched: list[Watched] = []
        for folder in folders:
            one = Watched(folder, turn, lambda: signals.asked > 0, signals.wake, rescheduled=self._reschedule)
            if any(one.folder.resolve() == other.folder.resolve() for other in self.watched):
                raise ConfigError(f"{one.folder} is named twice: expected each project once.")
            self.watched.append(one)

    def listen(self, host: str | None, port: int | None) -> Health | None:
        """The health endpoint, where there is to be one."""
        settings = self.watched[0].config.watch
        if not settings.health and port is None:
            return None
        return Health(settings.host if host is None else host, settings.port if port is None else port, self.told)

    def plan(self) -> list[str]:
        """What is watched for, a line a project."""
        lines = []
        for one in self.watched:
            what = [words_of(one.config.schedule), "when files or labels come" if one.config.watch.on_arrival else ""]
            lines.append(f"watching {one.name} in {one.folder}: {', and '.join(filter(None, what))}")
        return lines

    def work(self) -> int:
        """Until a signal says stop."""
        self._scheduler.start()
        for one in self.watched:
            self._reschedule(one)
            one.thread.start()
        while not self._signals.asked and not any(one.ended for one in self.watched):
            self._signals.wait(DEAF)
            self._scheduler.wakeup()  # its own wait does not count the time that the machine sleeps
            self.follow_clock()
        return self._stop()

    def follow_clock(self) -> None:
        """Reckon the next times anew where the clock was set back: those of before lie as far ahead as it was wrong."""
        ahead = time.time() - time.monotonic()
        if ahead < self._ahead - SET_BACK:
            tell("clock_set_back", seconds=f"{self._ahead - ahead:.0f}")
            for one in self.watched:
                self._reschedule(one)
        self._ahead = ahead

    def _stop(self) -> int:
        """Let the stage that runs finish, as long as there is patience."""
        crashed = not self._signals.asked
        self._signals.asked += crashed  # a thread died: nobody may believe that all is watched
        patience = max(one.config.watch.patience.total_seconds() for one in self.watched)
        tell("stopping", **self._running(), **({"reason": "a thread ended"} if crashed else {}))
        self._scheduler.shutdown(wait=False)
        for one in self.watched:
            one.wake()
        deadline = time.monotonic() + patience
        while not all(one.ended for one in self.watched):
            if self._signals.asked > 1:
                _leave("interrupted", INTERRUPTED, self._running())
            if time.monotonic() >= deadline:
                _leave("patience_over", 0, self._running())
            self._signals.wait(deadline - time.monotonic())
        tell("stopped")
        return int(crashed)

    def _running(self) -> dict[str, Any]:
        """Where the cycle that runs is, for a line."""
        found = next(((one.name, *running) for one in self.watched if (running := one.running)), ())
        return dict(zip(("project", "cycle", "stage"), found, strict=False))

    def _reschedule(self, one: Watched) -> None:
        job = str(one.folder)
        if one.trigger is not None:
            self._scheduler.add_job(one.due, one.trigger, id=job, replace_existing=True)
        elif self._scheduler.get_job(job) is not None:
            self._scheduler.remove_job(job)

    # -------------------------------------------------------------------------------------------------------------- health

    def told(self) -> tuple[bool, Mapping[str, Any]]:
        """Whether all is well, and the document that says so."""
        reasons = [f"{one.name}: {one.trouble}" for one in self.watched if one.trouble]
        reasons += [f"{one.name}: its thread has ended" for one in self.watched if one.ended]
        if not self._scheduler.running:
            reasons.append("the scheduler does not run")
        status = "stopping" if self._signals.asked else "failing" if reasons else "ok"
        document = {"status": status, "reason": "; ".join(reasons), "projects": [self._facts(one) for one in self.watched]}
        return status == "ok", document

    def _facts(self, one: Watched) -> dict[str, Any]:
        next_run = getattr(self._scheduler.get_job(str(one.folder)), "next_run_time", None)
        cycle, stage = one.running or (None, None)
        return {
            "project": one.name,
            "folder": str(one.folder),
            "next_run": next_run.isoformat() if next_run is not None else None,
            "on_arrival": one.config.watch.on_arrival,
            "running": {"cycle": cycle, "stage": stage} if cycle else None,
            "last": one.last.facts() if one.last else None,
            "error": one.trouble or None,
        }


class _Signals:
    """Counts the signals that say stop. The handlers themselves do nothing, so that none can come at a bad moment."""

    def __init__(self) -> None:
        self.asked = 0
        self._woken, self._wake = socket.socketpair()
        for end in (self._woken, self._wake):
            end.setblocking(False)

    def catch(self) -> None:
        """From now on; one that is ignored, as by nohup, stays so."""
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        for number in STOPPING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda *_: None)

    def wait(self, seconds: float) -> None:
        """For a signal or `wake`, so long at most."""
        select.select([self._woken], [], [], max(0.0, seconds))
        with contextlib.suppress(BlockingIOError):
            self.asked += sum(number in STOPPING for number in self._woken.recv(4096))

    def wake(self) -> None:
        """From another thread: look up."""
        with contextlib.suppress(OSError):  # full, or closed already
            self._wake.send(b"\0")

    def close(self) -> None:
        signal.set_wakeup_fd(-1)
        self._woken.close()
        self._wake.close()


def _leave(action: str, code: int, running: Mapping[str, Any]) -> None:
    """End at once, in the middle of a stage, as kill does: what was done is kept, and the next start goes on."""
    import psutil

    tell(action, **running)
    for child in psutil.Process().children(recursive=True):  # workers of a cluster of our own
        with contextlib.suppress(psutil.Error):
            child.kill()
    sys.stdout.flush()
    os._exit(code)
