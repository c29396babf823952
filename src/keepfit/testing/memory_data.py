"""Data files and prepared frames in memory."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keepfit.adapters.inbox_files.names import (
    NOTE_SUFFIX,
    check_name,
    holds_rows,
    is_data,
    is_temporary,
    names_of,
    names_of_rows,
)
from keepfit.adapters.inbox_files.parsing import parse
from keepfit.errors import DataError
from keepfit.ports import Arrival, Kept
from keepfit.records import Batch, Place
from keepfit.settings import Data

if TYPE_CHECKING:
    import polars as pl


class MemoryInbox:
    """`Inbox` and `Originals`. `files` holds the bytes by place and name; `data` says how CSV files are written."""

    def __init__(self, data: Data) -> None:
        self._data = data
        self.files: dict[Place, dict[str, bytes]] = {place: {} for place in Place}

    def list(self, place: Place) -> Sequence[Arrival]:
        shown = {name: content for name, content in sorted(self.files[place].items()) if is_data(name)}
        return [
            Arrival(name=name, size=len(content), settled=not is_temporary(name))
            for name, content in shown.items()
            if not (place is Place.QUARANTINE and holds_rows(name))
        ]

    def identify(self, arrival: Arrival, place: Place) -> Batch | None:
        check_name(arrival.name)
        content = self.files[place].get(arrival.name)
        return None if content is None else Batch(id=_digest(content), name=arrival.name, size=len(content), place=place)

    def read(self, batch: Batch) -> pl.DataFrame:
        return parse(batch.name, self._content(batch), self._data)

    def move(self, batch: Batch, to: Place, note: str = "") -> Batch:
        moved = batch if batch.place is to else self._move(batch, to)
        if note and to is Place.QUARANTINE:
            self.files[to][moved.name + NOTE_SUFFIX] = note.encode()
        return moved

    def set_aside(self, batch: Batch, rows: pl.DataFrame) -> str:
        file, names = io.BytesIO(), names_of_rows(batch)
        rows.write_csv(file) if names[0].endswith(".csv") else rows.write_parquet(file)
        for name in names:
            if self.files[Place.QUARANTINE].setdefault(name, file.getvalue()) == file.getvalue():
                return name
        return names[-1]

    def fetch(self, batch: Batch, to: Path) -> None:
        if not to.exists() or _digest(to.read_bytes()) != batch.id:
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(self._content(batch))

    def add(self, name: str, content: bytes, at: datetime | None = None) -> None:  # noqa: ARG002 - nothing here has a date
        check_name(name)
        self.files[Place.INBOX][name] = content

    def _move(self, batch: Batch, to: Place) -> Batch:
        source, target = self.files[batch.place], self.files[to]
        content = source.get(batch.name)
        ours = content is not None and _digest(content) == batch.id
        for name in names_of(batch):
            if name in target and _digest(target[name]) == batch.id:
                if ours:
                    del source[batch.name]
                return replace(batch, name=name, place=to)
        if content is None or not ours:
            raise DataError(f"{batch.name} was changed or has vanished from {batch.place.value} after this cycle took it in.")
        name = next((name for name in names_of(batch) if name not in target), "")
        if not name:
            raise DataError(f"{batch.name} was left in {batch.place.value}: every name that it may have in {to.value} is taken.")
        target[name] = source.pop(batch.name)
        return replace(batch, name=name, place=to)

    def _content(self, batch: Batch) -> bytes:
        for content in self._candidates(batch):
            if _digest(content) == batch.id:
                return content
        raise DataError(f"{batch.name} was changed or has vanished after this cycle took it in.")

    def _candidates(self, batch: Batch) -> Iterator[bytes]:
        for place in dict.fromkeys((batch.place, *Place)):
            yield from (self.files[place][name] for name in names_of(batch) if name in self.files[place])


class MemoryStore:
    """`Store`: frames with their facts. `now` dates what is saved."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._saved: dict[str, tuple[pl.DataFrame, dict[str, Any], datetime]] = {}

    def save(self, name: str, frame: pl.DataFrame, facts: Mapping[str, Any]) -> None:
        self._saved.setdefault(name, (frame.clone(), dict(facts), self._now()))

    def facts(self, name: str) -> dict[str, Any] | None:
        return dict(self._saved[name][1]) if name in self._saved else None

    def load(self, names: Iterable[str], columns: Sequence[str] | None = None) -> pl.DataFrame:
        import polars as pl

        frames = [self._frame(name, columns) for name in names]
        return pl.concat(frames, how="diagonal_relaxed") if frames else pl.DataFrame()

    def fetch(self, name: str, to: Path) -> None:
        """See `keepfit.ports.Frames`."""
        self._frame(name, None).write_parquet(to)

    def kept(self) -> Sequence[Kept]:
        return [Kept(name=name, size=int(frame.estimated_size()), at=at) for name, (frame, _, at) in sorted(self._saved.items())]

    def remove(self, name: str) -> None:
        self._saved.pop(name, None)

    def _frame(self, name: str, columns: Sequence[str] | None) -> pl.DataFrame:
        if name not in self._saved:
            raise DataError(f"{name} is missing: it was prepared before and has been deleted. Put it back, or the raw file.")
        frame = self._saved[name][0]
        return frame.select(columns) if columns else frame


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
