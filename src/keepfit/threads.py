"""Heavy work in threads of this machine: what `[engine] url = "local"` means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Threads:
    """See `keepfit.ports.Engine` and `keepfit.ports.Workers`. `count` as joblib takes it: -1 is one for each core."""

    address = "local"

    def __init__(self, count: int | None) -> None:
        self._count = count

    @contextmanager
    def entered(self) -> Iterator[Threads]:
        yield self

    def each(self, work: Callable[[T], R], items: Iterable[T], *, alone: bool = False) -> Iterator[R]:
        return each(work, items, 1 if alone else self._count)

    def check(self) -> str:
        return "threads of this machine"


def each(work: Callable[[T], R], items: Iterable[T], count: int | None) -> Iterator[R]:
    """The results in order, as they are made; threads, unless a surrounding `joblib.parallel_config` knows better."""
    if count == 1:
        return map(work, items)
    from joblib import Parallel, delayed

    return iter(Parallel(n_jobs=count, prefer="threads", return_as="generator")(delayed(work)(item) for item in items))
