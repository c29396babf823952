"""Where the log's files are: a folder here, or a prefix in object storage. A file is there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Protocol

from keepfit.addresses import is_remote, local_path
from keepfit.errors import KeepfitError, Unavailable
from keepfit.object_storage import is_of_a_store
from keepfit.object_storage.store import ObjectStore

TEMPORARY = ".tmp"
_WITHOUT_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK)

Fill = Callable[[IO[bytes]], Any]  # writes the file


class Place(Protocol):
    """Files by names with forward slashes. Everything raises `Unavailable` but for `sources`, whose files may be gone."""

    def folders(self, under: str) -> list[str]:
        """The names of the folders in a folder; none where that is not there."""
        ...

    def names(self, under: str) -> list[str]:
        """All files below a folder, sorted; what is still being written does not count."""
        ...

    def sizes(self, under: str) -> dict[str, int]:
        """The same, each with its bytes."""
        ...

    def write(self, name: str, fill: Fill) -> None:
        """In place of what goes by that name, whole. FileNotFoundError from within `fill` is let through."""
        ...

    def write_new(self, name: str, fill: Fill) -> bool:
        """The same where nothing goes by that name yet; returns whether that was so. Of several who try at once one alone succeeds,
        but in a store that knows no conditional writes and on a disk without hard links."""
        ...

    def sources(self, names: Sequence[str]) -> list[Any]:
        """What polars reads these files from. Raises FileNotFoundError now or when it reads."""
        ...

    def remove(self, names: Sequence[str]) -> None:
        """Those that are there."""
        ...

    def sweep(self) -> None:
        """Remove what was begun more than a day ago and never finished, by a writer that was killed."""
        ...


def place_at(url: str, folder: Path) -> Place:
    """The place of a URL, or of a path below `folder`. Raises `ConfigError`, `MissingExtra`."""
    return StorePlace(url) if is_remote(url) else FolderPlace(folder / local_path(url))


class FolderPlace:
    """A folder on this machine, or one that is mounted here. Where it has to be made, it is its owner's alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def folders(self, under: str) -> list[str]:
        with _asked(self._folder), contextlib.suppress(FileNotFoundError):
            return sorted(each.name for each in os.scandir(self._folder / under) if each.is_dir())
        return []

    def names(self, under: str) -> list[str]:
        with _asked(self._folder):
            walked = os.walk(self._folder / under)  # quick, and content with folders that vanish
            found = [
                Path(folder, name).relative_to(self._folder) for folder, _, names in walked for name in names if name[0] != "."
            ]
        return sorted(path.as_posix() for path in found)

    def sizes(self, under: str) -> dict[str, int]:
        found = {}
        for name in self.names(under):
            with _asked(self._folder / name), contextlib.suppress(FileNotFoundError):  # merged meanwhile
                found[name] = (self._folder / name).stat().st_size
        return found

    def write(self, name: str, fill: Fill) -> None:
        self._put(name, fill, _replace)

    def write_new(self, name: str, fill: Fill) -> bool:
        return self._put(name, fill, _link)

    def sources(self, names: Sequence[str]) -> list[str]:
        return [str(self._folder / name) for name in names]

    def remove(self, names: Sequence[str]) -> None:
        for name in names:
            with _asked(self._folder / name):
                (self._folder / name).unlink(missing_ok=True)

    def sweep(self) -> None:
        with _asked(self._folder):
            for path in self._folder.rglob(f".*{TEMPORARY}"):
                with contextlib.suppress(FileNotFoundError):
                    if path.stat().st_mtime < time.time() - 86_400:
                        path.unlink()

    def _put(self, name: str, fill: Fill, give: Callable[[Path, Path], bool]) -> bool:
        """Fill a file beside its place and give it its name."""
        target = self._folder / name
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}{TEMPORARY}")
        with _asked(target, missing=True):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with temporary.open("wb") as file:
                    fill(file)
                    file.flush()
                    os.fsync(file.fileno())
                given = give(temporary, target)
                _onto_the_disk(target.parent)
                return given
            finally:
                temporary.unlink(missing_ok=True)


class StorePlace:
    """A prefix in object storage. One put makes a file appear whole."""

    def __init__(self, url: str) -> None:
        self._store = ObjectStore(url, "The prediction log")

    def folders(self, under: str) -> list[str]:
        return self._store.folders(under)

    def names(self, under: str) -> list[str]:
        return list(self._store.listing(under))

    def sizes(self, under: str) -> dict[str, int]:
        return {name: found.size for name, found in self._store.listing(under).items()}

    def write(self, name: str, fill: Fill) -> None:
        self._store.write(name, _whole(fill))

    def write_new(self, name: str, fill: Fill) -> bool:
        return self._store.write_new(name, _whole(fill))

    def sources(self, names: Sequence[str]) -> list[IO[bytes]]:
        found = dict(zip(names, self._store.read_all(names), strict=True))
        gone = [name for name, content in found.items() if content is None]
        if gone:
            raise FileNotFoundError(errno.ENOENT, "there is no such object", gone[0])
        return [BytesIO(content) for content in found.values() if content is not None]

    def remove(self, names: Sequence[str]) -> None:
        for name in names:
            self._store.remove(name)

    def sweep(self) -> None:
        """Nothing: what is not whole is not there."""


def _whole(fill: Fill) -> bytes:
    content = BytesIO()
    fill(content)
    return content.getvalue()


def _replace(temporary: Path, target: Path) -> bool:
    temporary.replace(target)
    return True


def _link(temporary: Path, target: Path) -> bool:
    try:
        target.hardlink_to(temporary)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _WITHOUT_LINKS:
            raise
        return not target.exists() and _replace(temporary, target)
    return True


def _onto_the_disk(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _asked(what: object, missing: bool = False) -> Iterator[None]:
    """Errors of disks and stores in keepfit's words; `missing` lets FileNotFoundError through."""
    try:
        yield
    except KeepfitError:
        raise
    except Exception as error:
        if missing and isinstance(error, FileNotFoundError):
            raise
        if not isinstance(error, OSError) and not is_of_a_store(error):
            raise
        said = getattr(error, "strerror", None) or error or type(error).__name__
        raise Unavailable(f"The prediction log at {what} cannot be used: {said}. Nothing is lost; it is tried again.") from error
