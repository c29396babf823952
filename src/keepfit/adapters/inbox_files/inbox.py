"""The inbox, the archive and the quarantine, each a folder here or a prefix in object storage."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from keepfit.adapters.inbox_files.folder import Folder
from keepfit.adapters.inbox_files.known import KnownObjects
from keepfit.adapters.inbox_files.local import LocalFolder
from keepfit.adapters.inbox_files.names import check_name, holds_rows, names_of, names_of_note, names_of_rows
from keepfit.adapters.inbox_files.parsing import parse
from keepfit.addresses import is_remote, local_path
from keepfit.errors import DataError, Unavailable
from keepfit.ports import Arrival
from keepfit.records import Batch, Place
from keepfit.settings import Data

if TYPE_CHECKING:
    import polars as pl


class InboxFiles:
    """`Inbox` and `Originals` of data files.

    `data` holds the places, the settle time and how CSV files are written; `root` is the project's folder. `known` is the file in
    which the hashes of objects are remembered from run to run. `expected` says whether there must be an inbox: one that has
    vanished is not an empty one.
    """

    def __init__(self, data: Data, root: Path, known: Path | None = None, *, expected: Callable[[], bool] = lambda: False) -> None:
        self._data, self._expected = data, expected
        addresses = {Place.INBOX: data.inbox, Place.ARCHIVE: data.archive, Place.QUARANTINE: data.quarantine}
        remembered = KnownObjects(known)
        self._folders = {place: _folder(place, address, root, data.settle, remembered) for place, address in addresses.items()}

    def list(self, place: Place) -> Sequence[Arrival]:
        found = self._folders[place].list(wait=place is Place.INBOX)
        if not found and place is Place.INBOX:
            self._see_that_it_is_there()
        return [arrival for arrival in found if not (place is Place.QUARANTINE and holds_rows(arrival.name))]

    def _see_that_it_is_there(self) -> None:
        folder = self._folders[Place.INBOX].address
        if not is_remote(self._data.inbox) and not Path(folder).exists() and self._expected():
            raise Unavailable(
                f"The inbox {folder} is not there any more. Mount its disk or bring the folder back, and run again. "
                "Make it anew if it is meant to be empty."
            )

    def identify(self, arrival: Arrival, place: Place) -> Batch | None:
        check_name(arrival.name)
        try:
            digest, size = self._folders[place].known(arrival.name)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DataError(f"{arrival.name} cannot be read: {error.strerror}. Give this user the right to read it.") from error
        return Batch(id=digest, name=arrival.name, size=size, place=place)

    def read(self, batch: Batch) -> pl.DataFrame:
        return parse(batch.name, self._content(batch), self._data)

    def move(self, batch: Batch, to: Place, note: str = "") -> Batch:
        try:
            moved = batch if batch.place is to else self._move(batch, to)
            if note and to is Place.QUARANTINE:
                _write_first(self._folders[to], names_of_note(moved), _note(batch, note))
        except OSError as error:
            raise Unavailable(
                f"{batch.name} could not be moved to {self._folders[to].address}: {error.strerror}. "
                "It was left whole; mend that and run again."
            ) from error
        return moved

    def set_aside(self, batch: Batch, rows: pl.DataFrame) -> str:
        folder, names = self._folders[Place.QUARANTINE], names_of_rows(batch)
        content = _as_csv(rows, self._data.delimiter) if names[0].endswith(".csv") else _as_parquet(rows)
        try:
            for name in names:
                there = _read(folder, name)
                if there == content or (there is None and _write_first(folder, [name], content)):
                    return name
        except OSError as error:
            raise Unavailable(
                f"{folder.address}/{name} cannot be written: {error.strerror}. Nothing is lost; run again."
            ) from error
        return names[-1]  # it was mended by hand meanwhile

    # ---------------------------------------------------------------------------------------------------------- originals

    def fetch(self, batch: Batch, to: Path) -> None:
        temporary = to.with_name(f".{to.name}.{os.getpid()}.tmp")
        try:
            if to.exists() and _hash(to) == batch.id:
                return
            to.parent.mkdir(parents=True, exist_ok=True)
            for folder, name in self._places(batch):
                if self._copied(folder, name, batch, temporary):
                    temporary.replace(to)
                    return
        except OSError as error:
            raise Unavailable(f"{batch.name} could not be copied to {to}: {error.strerror}. Mend that, and run again.") from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
        raise DataError(f"{batch.name} (sha256 {batch.id}) lies in none of inbox, archive and quarantine as it was taken in.")

    def add(self, name: str, content: bytes, at: datetime | None = None) -> None:
        check_name(name)
        inbox = self._folders[Place.INBOX]
        try:
            inbox.write(name, content, at)
        except OSError as error:
            raise Unavailable(f"{inbox.address}/{name} cannot be written: {error.strerror}. Mend that, and run again.") from error

    def _copied(self, folder: Folder, name: str, batch: Batch, to: Path) -> bool:
        """Whether a file has the batch's bytes, which are then in `to`."""
        try:
            with folder.as_local(name) as path:
                shutil.copyfile(path, to)
        except FileNotFoundError:
            return False
        return _hash(to) == batch.id

    # ------------------------------------------------------------------------------------------------------------- moving

    def _move(self, batch: Batch, to: Place) -> Batch:
        """Find it moved, or move it to the first of its names that is free there."""
        source, target = self._folders[batch.place], self._folders[to]
        for name in names_of(batch):
            there = _digest(target, name)
            if there is None:
                try:
                    _transfer(source, batch.name, target, name, batch.id)
                except FileExistsError:  # it was put there this instant, perhaps by ourselves: an answer may be lost on its way
                    there = _digest(target, name)
                except FileNotFoundError:
                    return replace(batch, name=self._moved_before(batch, target, source), place=to)
                else:
                    return replace(batch, name=name, place=to)
            if there == batch.id:
                _remove_copy(source, batch)
                return replace(batch, name=name, place=to)
        raise DataError(f"{batch.name} was left in {source.address}: every name that it may have in {target.address} is taken.")

    def _moved_before(self, batch: Batch, target: Folder, source: Folder) -> str:
        """The name that a batch got when it was moved before, under which it lies there."""
        for name in names_of(batch):
            if _digest(target, name) == batch.id:
                return name
        raise DataError(f"{batch.name} is neither in {source.address} nor in {target.address}: was it deleted?")

    # ------------------------------------------------------------------------------------------------------------ reading

    def _content(self, batch: Batch) -> bytes:
        """The batch's bytes: from its place or, after a kill between a move and its record, from another."""
        changed = False
        for folder, name in self._places(batch):
            try:
                content = _read(folder, name)
            except OSError as error:  # the file may be sound, so it is no reason for quarantine
                raise Unavailable(f"{batch.name} cannot be read: {error.strerror}. Mend that, and run again.") from error
            if content is not None and hashlib.sha256(content).hexdigest() == batch.id:
                return content
            changed |= content is not None and (folder, name) == (self._folders[batch.place], batch.name)
        if changed:
            raise DataError(f"{batch.name} was changed after this cycle took it in. Run again; the new content is a new batch.")
        raise DataError(
            f"{batch.name} has vanished from {self._folders[batch.place].address}. It is left out; put it back to have it used."
        )

    def _places(self, batch: Batch) -> Iterator[tuple[Folder, str]]:
        """Where a batch may lie, the likeliest first."""
        for place in dict.fromkeys((batch.place, *Place)):
            for name in names_of(batch):
                yield self._folders[place], name


def _folder(place: Place, address: str, root: Path, settle: timedelta, known: KnownObjects) -> Folder:
    if not is_remote(address):
        return LocalFolder(root / local_path(address), settle)
    from keepfit.adapters.inbox_files.store import StoreFolder  # what lies here needs none of it
    from keepfit.object_storage.store import ObjectStore

    return StoreFolder(ObjectStore(address, f"[data] {place.value}"), settle, known)


def _transfer(source: Folder, old: str, target: Folder, name: str, digest: str) -> None:
    """Move a file from folder to folder. Raises FileNotFoundError, FileExistsError, and `DataError` when it was changed."""
    if not target.move_from(source, old, name, digest):
        with source.as_local(old) as path:
            target.put(name, path, digest)
        source.remove(old, digest)


def _remove_copy(source: Folder, batch: Batch) -> None:
    """The same bytes are at their destination; what else goes by the name by now stays."""
    if _digest(source, batch.name) == batch.id:
        source.remove(batch.name, batch.id)


def _digest(folder: Folder, name: str) -> str | None:
    try:
        return folder.digest(name)[0]
    except FileNotFoundError:
        return None


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(folder: Folder, name: str) -> bytes | None:
    try:
        return folder.read(name)
    except FileNotFoundError:
        return None


def _write_first(folder: Folder, names: Sequence[str], content: bytes) -> bool:
    """Write under the first of the names that the folder takes; returns whether there is one."""
    for name in names:
        with contextlib.suppress(FileExistsError):
            folder.write(name, content)
            return True
    return False


def _note(batch: Batch, note: str) -> bytes:
    text = json.dumps({"file": batch.name, "batch": batch.id, "reason": note.splitlines()}, indent=2, ensure_ascii=False)
    return (text + "\n").encode()


def _as_csv(rows: pl.DataFrame, delimiter: str) -> bytes:
    """With a byte order mark, so that it is read as UTF-8 whatever the settings say of other files."""
    return b"\xef\xbb\xbf" + rows.write_csv(separator=delimiter).encode()


def _as_parquet(rows: pl.DataFrame) -> bytes:
    content = io.BytesIO()
    rows.write_parquet(content)
    return content.getvalue()
