"""What lies in folders of the project: report pages, copies of code, versions that servers fetched, what the dead left behind."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from keepfit.config import Config
from keepfit.errors import Unavailable
from keepfit.lease import is_running
from keepfit.live.servers import SERVING
from keepfit.ports import Kept, Pile
from keepfit.verbs.cleaning.rule import Kind

STATE = ".keepfit"
GONE = ".gone-"  # begins the name of a folder that is being removed
ABANDONED = timedelta(days=1)  # after which what was begun without a process's number was left behind


@dataclass(frozen=True, kw_only=True)
class Folder:
    """Files, or folders with all that is in them, directly below a folder."""

    place: Path
    pattern: re.Pattern[str]  # of their names

    def kept(self) -> Sequence[Kept]:
        with _asked(self.place):
            return [_described(path) for path in _below(self.place) if self.pattern.fullmatch(path.name)]

    def remove(self, name: str) -> None:
        """In one step out of the way, so that nobody finds half of it."""
        with _asked(self.place / name), contextlib.suppress(FileNotFoundError):
            path = self.place / name
            if path.is_symlink() or not path.is_dir():
                path.unlink()
                return
            gone = path if name.startswith(GONE) else path.rename(path.with_name(f"{GONE}{name}-{secrets.token_hex(4)}"))
            shutil.rmtree(gone)


@dataclass(frozen=True, kw_only=True)
class LeftBehind:
    """What a process that was killed had begun, here and there below the project's folder."""

    root: Path
    folders: tuple[Path, ...]

    def kept(self) -> Sequence[Kept]:
        found = []
        for folder in self.folders:
            with _asked(folder):
                found += [(path, _described(path)) for path in _below(folder) if _is_left_behind(path)]
        return [Kept(name=os.path.relpath(path, self.root), size=each.size, at=each.at) for path, each in found]

    def remove(self, name: str) -> None:
        path = self.root / name
        Folder(place=path.parent, pattern=re.compile(re.escape(path.name))).remove(path.name)


def folders(config: Config) -> Mapping[Kind, Pile]:
    """The piles that are folders."""
    reports, versions = config.path(config.reports.folder), config.root / SERVING / "versions"
    pages, copies = reports / "evidently", config.root / STATE / "code"
    return {
        Kind.PAGE: Folder(place=pages, pattern=re.compile(r"(data_drift|classification|regression)_\d{8}T\d{6}\.html")),
        Kind.CODE: Folder(place=copies, pattern=re.compile(r"[0-9a-f]{16}")),
        Kind.SERVED: Folder(place=versions, pattern=re.compile(r"\d+-[0-9a-f]+")),
        Kind.SCRATCH: LeftBehind(root=config.root, folders=(config.root / STATE, copies, versions, reports, pages)),
    }


def _is_left_behind(path: Path) -> bool:
    if path.name.startswith(GONE):
        return True
    number = re.fullmatch(r"\..+\.(\d+)\.tmp", path.name)  # a file under way bears the number of its process
    if number is not None:
        return not is_running(number[1])
    begun = re.fullmatch(r"\.[0-9a-f]{16}\.tmp|\.making-\d+-[0-9a-f]+", path.name)
    return begun is not None and _described(path).at < datetime.now(UTC) - ABANDONED


def _below(folder: Path) -> list[Path]:
    """Nothing where the folder is not there."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return sorted(folder.iterdir())
    return []


def _described(path: Path) -> Kept:
    """By its last change; something that has vanished meanwhile is empty and new, so that it is left alone."""
    try:
        found = path.lstat()
        size = found.st_size if not path.is_dir() or path.is_symlink() else _size(path)
        return Kept(name=path.name, size=size, at=datetime.fromtimestamp(found.st_mtime, UTC))
    except FileNotFoundError:
        return Kept(name=path.name, size=0, at=datetime.now(UTC))


def _size(folder: Path) -> int:
    files = (Path(place, name) for place, _, names in os.walk(folder) for name in names)
    return sum(path.lstat().st_size for path in files)


@contextlib.contextmanager
def _asked(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"{error.filename or path} cannot be looked at or removed: {error.strerror or error}. Let this user write to its "
            "folder, and clean again; what has gone by now needs no second time."
        ) from error
