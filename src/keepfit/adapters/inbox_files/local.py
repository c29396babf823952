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
from keepfit.adapters.inbox_files.names import is_data, is_plain, is_temporary
from keepfit.errors import DataError, Unavailable
from keepfit.ports import Arrival

CLOCKS_APART = 60.0  # seconds by which a file server's clock may be ahead
LONGEST_PAUSE = 5.0  # seconds that listing may wait for a fresh file to settle
_WITHOUT_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK)
_NO_NAME = (errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EEXIST)  # no file can have this name


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
        with self._looked_for(name) as path, path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
            return digest.hexdigest(), file.tell()

    def known(self, name: str) -> tuple[str, int]:
        return self.digest(name)

    def read(self, name: str) -> bytes:
        with self._looked_for(name) as path:
            return path.read_bytes()

    def write(self, name: str, content: bytes, at: datetime | None = None) -> None:
        """Under another name first, always the same, so that a killed run leaves nothing behind for good."""
        with self._named(name) as path:
            temporary = path.with_name(f".{path.name}.tmp")
            with temporary.open("wb") as file:
                file.write(content)
                _flush(file.fileno())
            if at is not None:
                os.utime(temporary, (at.timestamp(), at.timestamp()))
            temporary.replace(path)

    def put(self, name: str, file: Path, digest: str) -> None:
        with self._named(name) as path:
            temporary = path.with_name(f".{path.name}.moving")
            shutil.copy2(file, temporary)
            with temporary.open("rb+") as copy:
                if hashlib.file_digest(copy, "sha256").hexdigest() != digest:
                    temporary.unlink()
                    raise _changed(name)
                _flush(copy.fileno())
            try:
                _rename_new(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)

    def move_from(self, other: Folder, old: str, name: str, digest: str) -> bool:
        """Within a file system by a second name and the removal of the first, so that nothing is copied and nothing overwritten;
        across them copy, make durable, remove."""
        if not isinstance(other, LocalFolder):
            return False
        with other._looked_for(old) as source:
            before = source.stat()
        if other.digest(old)[0] != digest:
            raise _changed(old)
        with self._named(name) as target:
            try:
                if source.is_symlink():  # from elsewhere it may lead elsewhere
                    raise OSError(errno.EXDEV, "it is a link")
                _rename_new(source, target)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                self.put(name, source, digest)
                other.remove(old, digest)
                return True
        if _mark(target.stat()) != _mark(before):  # somebody wrote between our look and the move
            with contextlib.suppress(FileExistsError):
                _rename_new(target, source)
            raise _changed(old)
        return True

    @contextmanager
    def as_local(self, name: str) -> Iterator[Path]:
        with self._looked_for(name) as path:
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
            path.stat()  # raises FileNotFoundError
        yield path

    def remove(self, name: str, digest: str) -> None:
        with contextlib.suppress(FileNotFoundError), self._looked_for(name) as path:
            if self.digest(name)[0] != digest:
                raise _changed(name)
            path.unlink()

    @contextmanager
    def _looked_for(self, name: str) -> Iterator[Path]:
        """Where a file of that name lies, or FileNotFoundError where none can."""
        if not is_plain(name):
            raise FileNotFoundError(errno.ENOENT, "it is not in this folder", name)
        try:
            yield self._folder / name
        except OSError as error:
            if self._can_be_no_name(error):
                raise FileNotFoundError(errno.ENOENT, error.strerror, name) from error
            raise

    @contextmanager
    def _named(self, name: str) -> Iterator[Path]:
        """Where to write a file of that name, its folder made; or FileExistsError where none can be."""
        if not is_plain(name):
            raise FileExistsError(errno.EEXIST, "it is no name in this folder", name)
        path = self._folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield path
        except OSError as error:
            if self._can_be_no_name(error):
                raise FileExistsError(errno.EEXIST, error.strerror, name) from error
            raise

    def _can_be_no_name(self, error: OSError) -> bool:
        """Whether an error means the name and not the folder, under which a file is."""
        if error.errno in _NO_NAME and self._folder.exists() and not self._folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "it is a file, and a folder was expected", str(self._folder)) from error
        return error.errno in _NO_NAME

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


def _rename_new(old: Path, new: Path) -> None:
    """Rename a file to what nothing goes by. Raises FileExistsError."""
    try:
        new.hardlink_to(old)
    except OSError as error:
        if error.errno not in _WITHOUT_LINKS:
            raise
        if new.exists():
            raise FileExistsError(errno.EEXIST, "something else goes by that name", str(new)) from None
        old.rename(new)
    else:
        if os.path.samestat(old.lstat(), new.lstat()):  # or somebody has given the old name to another file this instant
            old.unlink()


def _mark(status: os.stat_result) -> tuple[int, ...]:
    """What another file has differently, and one that was written."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _changed(name: str) -> DataError:
    return DataError(f"{name} was changed after this cycle took it in, so it was left in place. Run again.")
