"""One runner at a time: take the lease, keep it alive while the work goes on, give it back.

A runner that is killed on this machine is noticed at once, by its process; on another machine when its lease expires.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from keepfit.config import Config
from keepfit.errors import KeepfitError, LeaseHeld, LeaseLost
from keepfit.ports import Leases, moves_of
from keepfit.records import Lease

LONGEST_MOVE = 10.0  # seconds after which who moves the alias, and is not heard of, may be replaced
PAUSE = 0.05  # seconds between two attempts


class HeldLease:
    """The current lease, renewed by a thread three times in its length."""

    def __init__(self, leases: Leases, lease: Lease, seconds: float) -> None:
        self._leases, self._seconds = leases, seconds
        self._stop = threading.Event()
        self.lease = lease
        self.lost: LeaseLost | None = None
        self._thread = threading.Thread(target=self._beat, name="keepfit-lease", daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        while not self._stop.wait(self._seconds / 3):
            try:
                self.lease = self._leases.renew(self.lease, self._seconds)
            except LeaseLost as error:
                self.lost = error
                return
            except KeepfitError:
                continue  # the ledger is away; the next write will say so, or the lease is still ours when it is back

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=10)


def held(leases: Leases, config: Config) -> contextlib.AbstractContextManager[HeldLease]:
    """Hold the project's lease. Raises `LeaseHeld` naming who has it."""
    return _held(leases, config.project.name, config.ledger.lease.total_seconds(), 0)


def held_for_move(leases: Leases, config: Config, patience: float) -> contextlib.AbstractContextManager[HeldLease]:
    """Hold the lease under which the alias is moved, which nobody holds for long: wait for it for so many seconds at most. Raises
    `LeaseHeld`."""
    seconds = min(LONGEST_MOVE, config.ledger.lease.total_seconds())
    return _held(leases, moves_of(config.project.name), seconds, patience)


@contextlib.contextmanager
def _held(leases: Leases, on: str, seconds: float, patience: float) -> Iterator[HeldLease]:
    holder, deadline = new_holder(), time.monotonic() + patience
    while True:
        try:
            acquired = leases.acquire(on, holder, seconds, is_dead=is_dead)
            break
        except LeaseHeld:
            if time.monotonic() >= deadline:
                raise
            time.sleep(PAUSE)
    lease = HeldLease(leases, acquired, seconds)
    _HOLDING.add(holder)
    try:
        yield lease
    finally:
        _HOLDING.discard(holder)
        lease.stop()
        with contextlib.suppress(KeepfitError):  # it expires by itself; an error of the work itself must not be hidden
            leases.release(lease.lease)


_HOLDING: set[str] = set()  # the holders that are at work in this very process
_COUNTER = itertools.count(1)


def new_holder() -> str:
    """This process as host:pid:nonce. The nonce is when it started, so that a reused number is not taken for it, and a count."""
    return f"{socket.gethostname()}:{os.getpid()}:{_started(os.getpid())}-{_namespace()}-{next(_COUNTER)}"


def is_dead(holder: str) -> bool:
    """Whether a holder ran on this machine and certainly works no more.

    >>> is_dead(new_holder()), is_dead("elsewhere:1:0-0-1")  # one that never began, and one that nobody here can know of
    (True, False)
    """
    process, _, nonce = holder.rpartition(":")
    host, _, pid = process.rpartition(":")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    started, namespace, _ = (*nonce.split("-"), "", "")[:3]
    if namespace != _namespace():
        return False  # another container of the same host name: its processes cannot be seen from here
    if int(pid) == os.getpid():
        return holder not in _HOLDING
    if not is_running(pid):
        return True
    return _started(int(pid)) not in (started, HIDDEN)


def is_running(pid: str) -> bool:
    """Whether a process of this number runs on this machine."""
    try:
        os.kill(int(pid), 0)
    except (ValueError, OverflowError, ProcessLookupError):
        return False
    except OSError:
        pass  # it runs and belongs to someone else
    return True


def _namespace() -> str:
    """Which process numbers this one knows; the same for all that can see each other."""
    try:
        return str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        return "0"


HIDDEN = "?"  # it lives, and this user may not see since when


def _started(pid: int) -> str | None:
    """When a process started; None when it only waits to be reaped.

    Linux counts it in ticks since the machine's start, which no change of the clock moves; elsewhere psutil knows.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]
    except OSError:
        return HIDDEN if Path("/proc/self/stat").exists() else _started_elsewhere(pid)


def _started_elsewhere(pid: int) -> str | None:
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.0f}"
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:
        return HIDDEN
