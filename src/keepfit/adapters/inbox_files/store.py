"""A folder of data files in object storage.

A store shows whole objects only, so one is settled as soon as it is there. It knows no rename: a move copies within the store,
holds the copy against the batch's hash, and only then removes the original, if that is still what was copied. Who is killed in
between leaves both, and the next move finds the copy done.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from keepfit.adapters.inbox_files.folder import Folder
from keepfit.adapters.inbox_files.known import KnownObjects
from keepfit.adapters.inbox_files.names import OF_A_VERSION, is_data, is_temporary
from keepfit.errors import DataError
from keepfit.object_storage import WHOLE
from keepfit.object_storage.store import Object, ObjectStore
from keepfit.ports import Arrival


class StoreFolder:
    """See `Folder`. `known` remembers hashes from run to run."""

    def __init__(self, store: ObjectStore, settle: timedelta, known: KnownObjects) -> None:
        self.store = store
        self._settle, self._known = settle.total_seconds(), known
        self._listed: dict[str, Object] = {}
        self._verified: dict[str, tuple[str, str]] = {}  # by name: the mark of what this process has hashed, and its sha256

    @property
    def address(self) -> str:
        return self.store.url

    def list(self, *, wait: bool) -> Sequence[Arrival]:  # noqa: ARG002 - nothing here has to settle
        found = {name: each for name, each in self.store.listing().items() if is_data(name)}
        self._listed = found
        return [
            Arrival(name=name, size=each.size, settled=not is_temporary(name) and not self._is_fresh(each), mark=each.mark)
            for name, each in found.items()
        ]

    def digest(self, name: str) -> tuple[str, int]:
        found = self._there(name)
        return self._digest_of(name, found), found.size

    def known(self, name: str) -> tuple[str, int]:
        listed = self._listed.get(name)
        if listed is not None and (digest := self._known.find(f"{self.address}/{name}", listed.mark)) is not None:
            return digest, listed.size
        return self.digest(name)

    def read(self, name: str) -> bytes:
        if OF_A_VERSION in name:
            raise _gone(self.address, name)
        content = self.store.read(name)
        self._known.correct(f"{self.address}/{name}", hashlib.sha256(content).hexdigest())
        return content

    def write(self, name: str, content: bytes, at: datetime | None = None) -> None:  # noqa: ARG002 - stores date objects themselves
        self.store.write(name, content)

    def put(self, name: str, file: Path, digest: str) -> None:
        """Under a hidden name first: nothing goes by its own before it was verified."""
        hidden = _hidden(name)
        self.store.upload(hidden, file)
        self._name(hidden, name, digest)

    def move_from(self, other: Folder, old: str, name: str, digest: str) -> bool:
        if not isinstance(other, StoreFolder) or other.store.scheme != self.store.scheme:
            return False
        source = other._sound(old, digest)
        if self.store.guards(source):
            self._copy(other, old, source, name, digest)
        else:
            hidden = _hidden(name)
            self.store.remove(hidden)  # as a mover who was killed has left it
            other.store.copy_new(old, source, self.store, hidden)
            self._name(hidden, name, digest)
        other.remove(old, digest)
        return True

    def _name(self, hidden: str, name: str, digest: str) -> None:
        """Give a copy its name, once it is verified. Raises FileExistsError, and `DataError` when it is not of that sha256."""
        try:
            self._copy(self, hidden, self._sound(hidden, digest), name, digest)
        finally:
            self.store.remove(hidden)

    def _copy(self, other: StoreFolder, old: str, source: Object, name: str, digest: str) -> None:
        """Copy an object and hold the copy against the sha256 that it should have: by the store's own checksum where both have the
        same, else by its bytes."""
        if not other.store.copy_new(old, source, self.store, name):
            raise FileExistsError(errno.EEXIST, "something goes by that name", f"{self.address}/{name}")
        copy = self._there(name)
        if _alike(source, copy):
            self._remember(name, copy, digest)
        elif self._digest_of(name, copy) != digest:
            self._take_back(name, copy, other, old)
            raise _changed(old)

    def _take_back(self, name: str, copy: Object, other: StoreFolder, old: str) -> None:
        """Where a store has copied what was written anew this instant: remove the copy, if that is still at its origin. Anything
        else is left, for nobody knows whose it is."""
        with contextlib.suppress(FileNotFoundError):
            now = other._there(old)
            if _alike(now, copy) or other._digest_of(old, now) == self._digest_of(name, copy):
                self.store.remove(name, copy)

    @contextmanager
    def as_local(self, name: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="keepfit-") as place:
            path = Path(place, "copy")
            with path.open("wb") as file:
                file.writelines(self.store.pieces(name, self._there(name).size))
            yield path

    def remove(self, name: str, digest: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            if not self.store.remove(name, self._sound(name, digest)):
                raise _changed(name)

    def _sound(self, name: str, digest: str) -> Object:
        """What there is of a name, once its bytes are known to be of this sha256."""
        found = self._there(name)
        if self._digest_of(name, found) != digest:
            raise _changed(name)
        return found

    def _digest_of(self, name: str, seen: Object) -> str:
        mark, digest = self._verified.get(name, ("", ""))
        if seen.mark is not None and mark == seen.mark:
            return digest
        hashed = hashlib.sha256()
        for piece in self.store.pieces(name, seen.size):
            hashed.update(piece)
        if self.store.look(name) == seen:  # nobody has written it while it was read
            self._remember(name, seen, hashed.hexdigest())
        return hashed.hexdigest()

    def _remember(self, name: str, seen: Object, digest: str) -> None:
        if seen.mark is not None:
            self._verified[name] = (seen.mark, digest)
            self._known.keep(f"{self.address}/{name}", seen.mark, digest)

    def _there(self, name: str) -> Object:
        found = None if OF_A_VERSION in name else self.store.look(name)
        if found is None:
            raise _gone(self.address, name)
        return found

    def _is_fresh(self, seen: Object) -> bool:
        """Whether it may still be being written: never in a store that shows whole objects only."""
        return self.store.scheme not in WHOLE and seen.modified is not None and time.time() - seen.modified < self._settle


def _alike(one: Object, other: Object) -> bool:
    """Whether the store says itself that both have the same bytes."""
    return one.checksum is not None and (one.checksum, one.size) == (other.checksum, other.size)


def _hidden(name: str) -> str:
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}.{last}.moving"


def _gone(address: str, name: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, "there is no such object", f"{address}/{name}")


def _changed(name: str) -> DataError:
    return DataError(f"{name} was changed after this cycle took it in, so it was left in place. Run again.")
