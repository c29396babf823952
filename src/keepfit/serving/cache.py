"""Model versions on this machine's disk, so that a server starts and goes on while the registry is away.

A version is put in place whole, by a rename; several offices may share the folder. Nothing in it is ever changed.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Collection
from pathlib import Path

from keepfit.codec import dumps
from keepfit.errors import Unavailable
from keepfit.live_ports import Shelf, Shelved
from keepfit.serving.plan import Placed

KEPT = 8  # versions, the latest used, beside those that somebody serves
UNFINISHED = 3600.0  # seconds after which a copy that was begun was left behind by who was killed
RECORD = "placed.json"
_MAKING, _GONE = ".making-", ".gone-"


class Cache:
    """The folder .keepfit/serving/versions."""

    def __init__(self, folder: Path, shelf: Shelf) -> None:
        self._folder, self._shelf = folder, shelf

    def place(self, shelved: Shelved) -> Placed:
        """The version in the cache, fetched if it is not there yet. Raises `Unavailable`, `NotFound`."""
        target = self._target(shelved)
        try:
            os.utime(target)
        except (FileNotFoundError, NotADirectoryError):
            self._put(self._fetched(shelved), target)
        return _placed(shelved, target)

    def replace(self, shelved: Shelved) -> Placed:
        """The same with files fetched anew, should those in the cache be damaged."""
        target = self._target(shelved)
        fetched = self._fetched(shelved)
        with contextlib.suppress(FileNotFoundError):
            self._remove(target)
        self._put(fetched, target)
        return _placed(shelved, target)

    def tidy(self, used: Collection[str]) -> list[str]:
        """Remove versions that nobody used lately, but not those in the folders `used`; returns the names of the removed."""
        if not self._folder.is_dir():
            return []
        versions, left = [], []
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another office is tidying too
                moment = path.stat().st_mtime
                if not path.name.startswith("."):
                    versions.append((moment, path))
                elif moment < time.time() - UNFINISHED or path.name.startswith(_GONE):
                    left.append(path)
        old = [path for _, path in sorted(versions, reverse=True)[KEPT:] if str(path) not in used]
        for path in old:
            with contextlib.suppress(FileNotFoundError):
                self._remove(path)
        for path in left:
            shutil.rmtree(path, ignore_errors=True)
        return [path.name for path in old]

    def _target(self, shelved: Shelved) -> Path:
        if not re.fullmatch(r"[0-9]+", shelved.version) or not re.fullmatch(r"[0-9a-f]+", shelved.mark):
            raise ValueError(f"{shelved.version}-{shelved.mark} cannot name a folder")
        return self._folder / f"{shelved.version}-{shelved.mark}"

    def _fetched(self, shelved: Shelved) -> Path:
        """Its files in a folder beside the others."""
        making = self._folder / f"{_MAKING}{shelved.version}-{secrets.token_hex(4)}"
        try:
            making.mkdir(parents=True)
            self._shelf.fetch(shelved, making)
            record = _placed(shelved, self._target(shelved))
            (making / RECORD).write_text(dumps(record), encoding="utf-8")
        except BaseException as error:
            shutil.rmtree(making, ignore_errors=True)
            if isinstance(error, OSError):
                raise Unavailable(f"Version {shelved.version} cannot be kept in {self._folder}: {error.strerror}.") from error
            raise
        return making

    def _put(self, fetched: Path, target: Path) -> None:
        try:
            fetched.rename(target)
        except OSError:  # another office was faster
            shutil.rmtree(fetched, ignore_errors=True)
            if not target.is_dir():
                raise

    def _remove(self, target: Path) -> None:
        """First out of the way in one step, so that nobody finds half of it."""
        gone = target.with_name(f"{_GONE}{target.name}-{secrets.token_hex(4)}")
        target.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def _placed(shelved: Shelved, target: Path) -> Placed:
    return Placed(
        model=shelved.model,
        version=shelved.version,
        folder=str(target),
        content_hash=shelved.content_hash,
        served=shelved.served,
        code=shelved.code,
    )
