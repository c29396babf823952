"""Work on its way to a cluster: what is sent, what a worker does with it, and what comes back.

The work is pickled here, once, and the project's own classes and functions go by value: a worker needs keepfit and the libraries,
not the project's folder. What the work raises comes back as a value, so that any other failure is the cluster's.
"""

from __future__ import annotations

import platform
import sys
import threading
import traceback
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import cloudpickle
from joblib import parallel_config

from keepfit.errors import ConfigError, KeepfitError, NotFound, Unavailable

LIBRARIES = ("keepfit", "numpy", "scipy", "pandas", "polars", "pyarrow", "scikit-learn")  # equal results need equal ones
_ALONE = threading.Lock()  # one of those that disturb each other, in each process
_PACKING = threading.Lock()  # what goes by value is known to the whole process


@dataclass(frozen=True, eq=False)  # compared by identity: Dask and Ray keep one copy of what is the same
class Carried:
    """Work as it travels."""

    content: bytes  # the work, pickled
    versions: tuple[tuple[str, str], ...]  # of the libraries here
    alone: bool  # whether no two may run beside each other in one process

    @cached_property
    def work(self) -> Any:
        """Unpickled once in every process that it lies in."""
        return cloudpickle.loads(self.content)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "work"}

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + len(self.content)  # else it would be taken for a small thing, and sent each time


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of one item."""

    number: int  # of the item
    value: Any = None
    raised: bytes | None = None  # the pickled exception instead

    def result(self) -> Any:
        if self.raised is not None:
            raise cloudpickle.loads(self.raised)
        return self.value


def packed(work: Any, modules: Collection[str], *, alone: bool) -> Carried:
    """The work, with what it has of these modules (of the project) by value. Raises `ConfigError` for what cannot be pickled."""
    with _PACKING, _by_value(modules):
        try:
            content = cloudpickle.dumps(work)
        except Exception as error:  # whatever an object's own __reduce__ raises
            raise ConfigError(
                f"The work cannot be sent to the workers of [engine] url: {type(error).__name__}: {error}. Let the project's "
                "functions and estimators hold nothing that cannot be pickled, such as an open file, or set [engine] url = 'local'."
            ) from error
    return Carried(content, versions(), alone)


def carry_out(sent: Any, number: int, item: Any) -> Answer:
    """What a worker does. Parallel work inside runs one after the other: the items are what is shared out."""
    try:
        carried: Carried = sent if isinstance(sent, Carried) else sent.value  # Spark's broadcast holds it
        _check(carried.versions)
        work = _opened(carried)
        with parallel_config("sequential"), _ALONE if carried.alone else nullcontext():
            return Answer(number=number, value=work(item))
    except (Exception, SystemExit) as error:
        return Answer(number=number, raised=_portable(error))


@cache
def versions() -> tuple[tuple[str, str], ...]:
    """Python's and those of the libraries, as far as they are installed."""
    found = [("Python", ".".join(platform.python_version_tuple()[:2]))]
    for name in LIBRARIES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            found.append((name, "none"))
    return tuple(found)


def _check(theirs: tuple[tuple[str, str], ...]) -> None:
    mine = dict(versions())
    other = [f"{name} {mine.get(name)} where {number} is expected" for name, number in theirs if mine.get(name) != number]
    if other:
        raise ConfigError(
            f"The worker on {platform.node()} has {', '.join(other)}. Equal results need equal libraries: install the same there."
        )


def _opened(carried: Carried) -> Any:
    try:
        return carried.work
    except ImportError as error:
        raise ConfigError(
            f"The worker on {platform.node()} cannot read what it is to do: {error}. Install there what is installed here."
        ) from error


def _portable(error: BaseException) -> bytes:
    """The exception with its trace as a note, or its text where it cannot travel itself."""
    trace = "".join(traceback.format_exception(error))
    if isinstance(error, (Unavailable, NotFound)):  # what is at hand there need not be what is at hand here
        error = type(error)(f"{error} So finds the worker on {platform.node()}, with its own environment and disks.")
    error.add_note(f"On {platform.node()}:\n{trace}")
    content: bytes
    try:
        content = cloudpickle.dumps(error)
        cloudpickle.loads(content)
    except Exception:  # whatever its class does
        content = cloudpickle.dumps(KeepfitError(f"{type(error).__name__}: {error}"))
    return content


@contextmanager
def _by_value(modules: Collection[str]) -> Iterator[None]:
    known = [sys.modules[name] for name in modules if name in sys.modules]
    for module in known:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in known:
            cloudpickle.unregister_pickle_by_value(module)
