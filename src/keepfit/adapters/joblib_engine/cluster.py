"""Work shared out among the workers of a cluster, some rounds of it, each tried again on what is left when workers are lost."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from keepfit.adapters.joblib_engine.calls import Call, Found, leave
from keepfit.adapters.joblib_engine.carrying import Answer, Carried, packed, versions
from keepfit.adapters.joblib_engine.links import AWAY, Link, shown
from keepfit.errors import ConfigError, Unavailable

T = TypeVar("T")
R = TypeVar("R")

ATTEMPTS = 4  # at the same items; a single lost worker costs one
LOOK = 1.0  # seconds without an answer after which it is asked whether anybody is there


class ClusterEngine:
    """See `keepfit.ports.Engine`.

    `count` is how many tasks may be under way, as joblib takes it; `patience` the seconds that a cluster may take to answer, or
    be without any worker; `modules` names the project's own modules, whose classes and functions travel by value.
    """

    def __init__(self, url: str, count: int, patience: float, modules: Callable[[], Collection[str]] = tuple) -> None:
        self._url, self._count, self._patience, self._modules = url, count, patience, modules

    @property
    def address(self) -> str:
        return shown(self._url)

    @contextmanager
    def entered(self) -> Iterator[ClusterWorkers]:
        with self._connected() as link:
            workers = ClusterWorkers(link, self.address, self._count, self._patience, self._modules)
            workers.wait()
            try:
                yield workers
            finally:
                workers.leave()

    def check(self) -> str:
        with self.entered() as workers:
            slots = workers.wait()
            list(workers.each(_nothing, range(slots)))
        return f"{self.address} answers, with room for {slots} task{'' if slots == 1 else 's'} at a time and the libraries of here"

    def _connected(self) -> AbstractContextManager[Link]:
        tool = self._url.partition("://")[0]
        connected = import_module(f"keepfit.adapters.joblib_engine.{tool}_link").connected
        found: AbstractContextManager[Link] = connected(self._url, self._count, self._patience)
        return found


class ClusterWorkers:
    """See `keepfit.ports.Workers`."""

    def __init__(
        self, link: Link, address: str, count: int, patience: float, modules: Callable[[], Collection[str]] = tuple
    ) -> None:
        self._link, self._address, self._count, self._patience, self._modules = link, address, count, patience, modules
        self._pool: list[Any] = []

    def each(self, work: Callable[[T], R], items: Iterable[T], *, alone: bool = False) -> Iterator[R]:
        carried = packed(work, self._modules(), alone=alone)
        waiting = iter(items)
        at_once = self._at_once(self.wait())
        room = max(128, 8 * at_once) if self._link.one_by_one else max(32, 4 * at_once)
        while some := list(islice(waiting, room)):
            yield from self._answers(carried, some, at_once)

    def wait(self) -> int:
        """How many tasks can be done at once. Raises `Unavailable` when nobody comes."""
        since = time.monotonic()
        while not (slots := self._slots()):
            if time.monotonic() - since > self._patience:
                raise Unavailable(f"No worker of {self._address} answers. See whether it runs and has any. {AWAY}")
            time.sleep(0.1)
        return slots

    def leave(self) -> None:
        """Let the cluster have its workers back."""
        while self._pool:
            leave(self._pool.pop())

    def _at_once(self, slots: int) -> int:
        return min(self._count, slots) if self._count > 0 else max(1, slots + 1 + self._count)

    def _answers(self, carried: Carried, items: Sequence[Any], at_once: int) -> Iterator[Any]:
        """Of all items, in order. What is left when workers were lost is tried again."""
        left, ready, turn = dict(enumerate(items)), {}, 0
        lost: Exception | None = None
        for _ in range(ATTEMPTS):
            for answer in self._arriving(carried, dict(left), at_once):
                if isinstance(answer, Exception):
                    lost = answer
                    break
                ready[answer.number] = answer.result()  # what the work raises ends it at once
                del left[answer.number]
                while turn in ready:
                    yield ready.pop(turn)
                    turn += 1
            if not left:
                return
            if lacking := re.search(r"No module named '[^']+'", str(lost)):
                raise ConfigError(
                    f"The workers of {self._address} cannot begin: {lacking[0]}. Install there what is installed here"
                    " (and tell Spark which Python to use: PYSPARK_PYTHON)."
                ) from lost
            self.wait()
        raise Unavailable(
            f"{self._address} lost the work {ATTEMPTS} times: {_brief(lost)} Workers that end at it mostly lack memory. {AWAY}"
        ) from lost

    def _arriving(self, carried: Carried, items: Mapping[int, Any], at_once: int) -> Iterator[Answer | Exception]:
        """Answers as they come, at the end what stopped them. joblib is called in a thread, since some tools wait for ever for a
        cluster that is gone."""
        found: Found = SimpleQueue()
        limited = self._count > 0  # Dask would take all that is handed out
        call = Call(self._link, carried, items, (at_once, at_once if limited else 2 * at_once), found, self._pool)
        threading.Thread(target=call.run, name="keepfit-engine", daemon=True).start()
        heard = time.monotonic()
        try:
            while True:
                try:
                    answer = found.get(timeout=LOOK)
                except Empty:
                    heard = time.monotonic() if self._slots() else heard
                    if time.monotonic() - heard > self._patience:
                        raise Unavailable(f"{self._address} has gone: no worker answers any more. {AWAY}") from None
                    continue
                if answer is None:
                    return
                heard = time.monotonic()
                yield answer
        finally:
            call.stop()

    def _slots(self) -> int:
        try:
            return self._link.slots()
        except Exception:  # each tool has errors of its own for being gone
            return 0


def _brief(error: BaseException | None) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:300]}."


def _nothing(number: int) -> int:
    """What a check has done."""
    return len(versions()) + number
