"""Frames that keepfit made, as Parquet files with their facts in JSON beside them, in a folder or in object storage.

The facts are written first and the frame last, each whole or not at all, so that a frame that is there has its facts. What is there
already is never written again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from keepfit.errors import DataError, Unavailable
from keepfit.object_storage.store import ObjectStore
from keepfit.ports import Kept

FRAME, FACTS = ".parquet", ".json"
AT_ONCE = 16  # objects that are fetched side by side


class ParquetStore:
    """Prepared data in a folder or in a store; see `keepfit.ports.Store`."""

    def __init__(self, place: Path | ObjectStore) -> None:
        self._files: _Files = _Folder(place) if isinstance(place, Path) else _Bucket(place)

    def save(self, name: str, frame: pl.DataFrame, facts: Mapping[str, Any]) -> None:
        if not self._files.holds(name + FRAME):
            self._files.write(name + FACTS, json.dumps(facts, indent=1).encode())
            self._files.write(name + FRAME, frame)

    def facts(self, name: str) -> dict[str, Any] | None:
        if not self._files.holds(name + FRAME):
            return None
        try:
            facts: dict[str, Any] = json.loads(self._files.read(name + FACTS))
        except (OSError, ValueError) as error:
            raise DataError(
                f"{self._files.address(name + FACTS)} is damaged ({error}): delete it and {name + FRAME}, and run again"
            ) from error
        return facts

    def load(self, names: Iterable[str], columns: Sequence[str] | None = None) -> pl.DataFrame:
        frames = [self._frame(name, source, columns) for name, source in self._files.sources([name + FRAME for name in names])]
        return pl.concat(frames, how="diagonal_relaxed") if frames else pl.DataFrame()

    def fetch(self, name: str, to: Path) -> None:
        """See `keepfit.ports.Frames`."""
        try:
            content = self._files.read(name + FRAME)
        except FileNotFoundError:
            raise _missing(self._files.address(name + FRAME)) from None
        temporary = to.with_name(f".{to.name}.{os.getpid()}.tmp")
        try:
            temporary.write_bytes(content)
            temporary.replace(to)
        except OSError as error:
            raise Unavailable(f"{to} cannot be written: {error.strerror or error}. Nothing is lost; run again.") from error

    def kept(self) -> Sequence[Kept]:
        found = self._files.list()
        frames = sorted(name.removesuffix(FRAME) for name in found if name.endswith(FRAME))
        return [
            Kept(name=name, size=found[name + FRAME][0] + found.get(name + FACTS, (0, 0.0))[0], at=_moment(found[name + FRAME][1]))
            for name in frames
        ]

    def remove(self, name: str) -> None:
        """The frame first: facts without it are nothing."""
        for ending in (FRAME, FACTS):
            self._files.remove(name + ending)

    def _frame(self, name: str, source: Path | BytesIO | None, columns: Sequence[str] | None) -> pl.DataFrame:
        address = self._files.address(name)
        if source is None:
            raise _missing(address)
        try:
            return pl.read_parquet(source, columns=list(columns) if columns else None)
        except FileNotFoundError:
            raise _missing(address) from None
        except PermissionError as error:
            raise _not_allowed(address) from error
        except (OSError, pl.exceptions.PolarsError) as error:
            raise DataError(f"{address} is damaged ({error}): delete it, and run again to prepare it anew") from error


class _Files(Protocol):
    """Files by name. What cannot be reached raises `Unavailable`."""

    def address(self, name: str) -> str: ...

    def holds(self, name: str) -> bool: ...

    def read(self, name: str) -> bytes: ...

    def sources(self, names: Sequence[str]) -> Iterator[tuple[str, Path | BytesIO | None]]:
        """Each with what polars reads it from, or None where it is known to be missing."""
        ...

    def write(self, name: str, content: bytes | pl.DataFrame) -> None: ...

    def list(self) -> dict[str, tuple[int, float]]:
        """Bytes, and when it was written, seconds since 1970."""
        ...

    def remove(self, name: str) -> None: ...


class _Folder:
    """Files in a folder, each written under a temporary name that is then renamed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def address(self, name: str) -> str:
        return str(self._folder / name)

    def holds(self, name: str) -> bool:
        with self._asked(name):
            return (self._folder / name).exists()

    def read(self, name: str) -> bytes:
        try:
            return (self._folder / name).read_bytes()
        except PermissionError as error:
            raise _not_allowed(self.address(name)) from error

    def sources(self, names: Sequence[str]) -> Iterator[tuple[str, Path]]:
        yield from ((name, self._folder / name) for name in names)

    def write(self, name: str, content: bytes | pl.DataFrame) -> None:
        target = self._folder / name
        temporary = target.with_name(f".{name}.{os.getpid()}.tmp")  # its own: a suspended runner may still hold another
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                if isinstance(content, bytes):
                    temporary.write_bytes(content)
                else:
                    content.write_parquet(temporary, compression="zstd")
                with temporary.open("rb+") as file:
                    os.fsync(file.fileno())
                temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise Unavailable(f"{target} cannot be written: {error.strerror or error}. Nothing is lost; run again.") from error

    def list(self) -> dict[str, tuple[int, float]]:
        found = {}
        with self._asked(""):
            for path in self._folder.glob("[!.]*"):
                status = path.stat()
                found[path.name] = (status.st_size, status.st_mtime)
        return found

    def remove(self, name: str) -> None:
        with self._asked(name):
            (self._folder / name).unlink(missing_ok=True)

    @contextmanager
    def _asked(self, name: str) -> Iterator[None]:
        try:
            yield
        except PermissionError as error:
            raise _not_allowed(self.address(name)) from error
        except OSError as error:
            raise Unavailable(f"{self.address(name)} cannot be used: {error.strerror}. Mend that, and run again.") from error


class _Bucket:
    """Objects below a URL; one put makes each appear whole. A frame that was there stays what it was, and so do its facts: they are
    asked for once."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._there: set[str] = set()  # frames
        self._facts: dict[str, bytes] = {}

    def address(self, name: str) -> str:
        return f"{self._store.url}/{name}"

    def holds(self, name: str) -> bool:
        if name not in self._there and self._store.look(name) is not None:
            self._there.add(name)
        return name in self._there

    def read(self, name: str) -> bytes:
        if not name.endswith(FACTS):
            return self._store.read(name)
        if name not in self._facts:
            self._facts[name] = self._store.read(name)
        return self._facts[name]

    def sources(self, names: Sequence[str]) -> Iterator[tuple[str, BytesIO | None]]:
        for start in range(0, len(names), AT_ONCE):
            some = names[start : start + AT_ONCE]
            for name, content in zip(some, self._store.read_all(some), strict=True):
                if content is None:
                    self._forget(name)
                yield name, None if content is None else BytesIO(content)

    def write(self, name: str, content: bytes | pl.DataFrame) -> None:
        self._forget(name)
        if isinstance(content, bytes):
            self._store.write(name, content)
            return
        whole = BytesIO()
        content.write_parquet(whole, compression="zstd")
        self._store.write_new(name, whole.getvalue())

    def list(self) -> dict[str, tuple[int, float]]:
        return {name: (each.size, each.modified or 0.0) for name, each in self._store.listing().items() if "/" not in name}

    def remove(self, name: str) -> None:
        self._forget(name)
        self._store.remove(name)

    def _forget(self, name: str) -> None:
        """Somebody has removed it: it may be made anew."""
        self._there.discard(name)
        self._facts.pop(name.removesuffix(FRAME).removesuffix(FACTS) + FACTS, None)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _missing(address: str) -> DataError:
    return DataError(f"{address} is missing: it was prepared before and has been deleted. Put it back, or the raw file.")


def _not_allowed(address: str) -> Unavailable:
    return Unavailable(f"{address} may not be read. Give this user the right to read it and its folder, and run again.")
