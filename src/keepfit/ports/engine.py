"""Where heavy work is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Workers(Protocol):
    """Those who do heavy work, as long as their engine is entered."""

    def each(self, work: Callable[[T], R], items: Iterable[T], *, alone: bool = False) -> Iterator[R]:
        """What `work` makes of each item, in the items' order.

        `work` goes to a worker once, so what is large belongs into it; items go one by one. With `alone` no two of them run beside
        each other in one process. What the work raises is raised here. Raises `Unavailable` when the workers have gone, or end
        again and again; `ConfigError` for work that cannot be sent, and for workers with other libraries.
        """
        ...


class Engine(Protocol):
    """Where heavy work is done: in threads of this machine, or by the workers of a cluster."""

    @property
    def address(self) -> str:
        """'local', or the cluster's URL without secrets."""
        ...

    def entered(self) -> AbstractContextManager[Workers]:
        """Connect for as long as there is work. Raises `Unavailable`, `ConfigError`, `MissingExtra`."""
        ...

    def check(self) -> str:
        """Have the workers do something small; says what is there. Raises as `entered` and `Workers.each` do."""
        ...
