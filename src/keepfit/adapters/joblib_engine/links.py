"""What a connection to a cluster is, whatever the tool; and whether there is anything to connect to."""

from __future__ import annotations

import logging
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, TypeVar, cast

from keepfit.errors import ConfigError, Unavailable

T = TypeVar("T")

AWAY = "Nothing is lost: run again when it is back, or with [engine] url = 'local'."


@dataclass(frozen=True, kw_only=True)
class Link:
    """A connection, as joblib sees it."""

    backend: Callable[[], Any]  # makes what joblib takes for one: a name, or a backend
    slots: Callable[[], int]  # how many tasks it does at once; 0 while nobody is there; may raise when it is gone
    options: Mapping[str, Any] = field(default_factory=dict)  # of the backend
    share: Callable[[Any], Any] = lambda value: value  # makes of a large object what may be given to many tasks
    one_by_one: bool = False  # whether the backend gives each result as it is made
    lasting: bool = False  # whether its processes are worth keeping from one call to the next
    least: int = 2  # of n_jobs: with one, joblib would do the work here


def host_and_port(url: str, example: str) -> tuple[str, int]:
    """Of 'dask://HOST:PORT'. Raises `ConfigError`."""
    found = re.fullmatch(r"\w+://(?:\[([0-9a-fA-F:.]+)\]|([^:/@\[\]]+)):(\d{1,5})/?", url)
    if found is None or not 0 < int(found[3]) < 65536:
        raise ConfigError(f"[engine] url = {shown(url)!r}: expected {example}, and nothing else in it.")
    return found[1] or found[2], int(found[3])


def shown(url: str) -> str:
    """The URL without the user and password that somebody may have put into it.

    >>> shown("dask://me:secret@cluster:8786")
    'dask://***@cluster:8786'
    """
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}***@{rest.rpartition('@')[2]}" if "@" in rest else url


def knock(host: str, port: int, address: str, seconds: float, advice: str) -> None:
    """Raises `Unavailable` when nobody listens there: the tools themselves would try for long, or start other things first."""
    try:
        socket.create_connection((host, port), timeout=seconds).close()
    except OSError as error:
        raise Unavailable(f"{address} does not answer: {error.strerror or error}. {advice} {AWAY}") from None


def within(seconds: float, connect: Callable[[], T], address: str, tool: str) -> T:
    """What `connect` returns. Raises `Unavailable` when it fails, or takes longer: the tools may wait for ever for somebody who
    listens and says nothing, so it runs in a thread that is left behind then."""
    found: SimpleQueue[tuple[T | None, Exception | None]] = SimpleQueue()

    def run() -> None:
        try:
            found.put((connect(), None))
        except (Exception, SystemExit) as error:  # each tool's own, Python's and their RPC libraries', by what is wrong
            found.put((None, error if isinstance(error, Exception) else OSError("it ended")))

    threading.Thread(target=run, name="keepfit-connect", daemon=True).start()
    try:
        connection, error = found.get(timeout=seconds)
    except Empty:
        raise Unavailable(f"{address} did not answer as {tool} does within {seconds:g} seconds. {AWAY}") from None
    if error is not None:
        reason = str(error).strip().partition("\n")[0].rstrip(".:")
        raise Unavailable(f"{address} does not answer as {tool} does: {type(error).__name__}: {reason}. {AWAY}") from error
    return cast("T", connection)


@contextmanager
def quiet(name: str) -> Iterator[None]:
    """What a tool has to say is raised, or of no use to whoever reads keepfit's lines."""
    log = logging.getLogger(name)
    before = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(before)


@contextmanager
def signals_kept() -> Iterator[None]:
    """Whoever starts or asks this process to end is heard as before: Ray and Spark put their own handlers in place."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
