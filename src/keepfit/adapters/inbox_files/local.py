"""A folder of data files on a local or mounted disk."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from keepfit.adapters.inbox_files.folder import Folder
from keepfit.adapters.inbox_files.names import is_data, is_temporary
from keepfit.errors import DataError, Unavailable
from keepfit.ports import Arrival

CLOCKS_APART = 60.0  # seconds by which a file server's clock may be ahead
LONGEST_PAUSE = 5.0  # seconds that listing may wait for a fresh file to settle
_WITHOUT_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK)


class LocalFolder:
    """See `Folder`. A file that changed within the settle time is still being written."""

    def __init__(self, folder: Path, settle: timedelta) -> None:
        self._folder, self._settle = folder, settle.total_seconds()

    @property
    def address(self) -> str:
        return str(self._folder)

    def list(self, *, wait: bool) -> Sequence[Arrival]:
        found = self._scan()
        if wait and 0 < self._settle <= LONGEST_PAUSE and any(self._is_fresh(*item) for item in found):
            time.sleep(self._settle)  # somebody has just copied a file in: look again rather than send them away
            found = self._scan()
        return [
            Arrival(name=name, size=status.st_size, settled=not is_temporary(name) and not self._is_fresh(name, status))
            for name, status in found
        ]

    def digest(self, name: str) -> tuple[str, int]:
        with (self._folder / name).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
            return digest.hexdigest(), file.tell()

    def known(self, name: str) -> tuple[str, int]:
        return self.digest(name)

    def read(self, name: str) -> bytes:
        return (self._folder / name).read_bytes()

    def write(self, name: str, content: bytes, at: datetime | None = None) -> None:
        """Under another name first, always the same, so that a killed run leaves nothing behind for good."""
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.tmp")
        with temporary.open("wb") as file:
            file.write(content)
            _flush(file.fileno())
        if at is not None:
            os.utime(temporary, (at.timestamp(), at.timestamp()))
        temporary.replace(path)

    def put(self, name: str, file: Path, digest: str) -> None:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.moving")
        shutil.copy2(file, temporary)
        with temporary.open("rb+") as copy:
            if hashlib.file_digest(copy, "sha256").hexdigest() != digest:
                temporary.unlink()
                raise DataError(f"{name} was changed after this cycle took it in, so it was left in place. Run again.")
            _flush(copy.fileno())
        _give(temporary, path)

    def move_from(self, other: Folder, old: str, name: str, digest: str) -> bool:
        """Within a file system one rename, so that the file is never in two places; across them copy, make durable, remove."""
        if not isinstance(other, LocalFolder):
            return False
        source, target = other._folder / old, self._folder / name
        if other.digest(old)[0] != digest:
            raise DataError(f"{old} was changed after this cycle took it in, so it was left in place. Run again.")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            source.rename(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            self.put(name, source, digest)
            other.remove(old, digest)
        return True

    @contextmanager
    def as_local(self, name: str) -> Iterator[Path]:
        path = self._folder / name
        path.stat()  # raises FileNotFoundError
        yield path

    def remove(self, name: str, digest: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            if self.digest(name)[0] != digest:
                raise DataError(f"{name} was changed after this cycle took it in, so it was left in place. Run again.")
            (self._folder / name).unlink()

    def _scan(self) -> Sequence[tuple[str, os.stat_result]]:
        found: list[tuple[str, os.stat_result]] = []
        try:
            for parent, folders, names in os.walk(self._folder, onerror=_raise):
                folders[:] = sorted(name for name in folders if not name.startswith("."))
                for name in names:
                    path = Path(parent, name)
                    if is_data(name):
                        try:
                            status = path.stat()
                        except FileNotFoundError:
                            continue  # moved away while we looked
                        if stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
                            found.append((path.relative_to(self._folder).as_posix(), status))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise Unavailable(
                f"The folder {self._folder} cannot be read: {error.strerror}. Give this user the right to read it."
            ) from error
        return sorted(found)

    def _is_fresh(self, name: str, status: os.stat_result) -> bool:
        age = time.time() - status.st_mtime  # negative where another clock is ahead; far ahead, it would never settle
        return not is_temporary(name) and -CLOCKS_APART < age < self._settle


def _raise(error: OSError) -> None:
    raise error


def _flush(descriptor: int) -> None:
    os.fsync(descriptor)


def _give(temporary: Path, path: Path) -> None:
    """Give a file its name unless something has it."""
    try:
        path.hardlink_to(temporary)
    except OSError as error:
        if error.errno not in _WITHOUT_LINKS:
            temporary.unlink()
            raise
        if path.exists():
            temporary.unlink()
            raise FileExistsError(errno.EEXIST, "something else goes by that name", str(path)) from None
        temporary.rename(path)
    else:
        temporary.unlink()
