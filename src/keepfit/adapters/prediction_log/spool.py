"""A worker's spool: where an answer is written down before it leaves.

One file a worker and span of time. The worker holds the file's lock as long as it writes to it; the system lets go of it when the
worker dies, however it dies, and then the file is the drainer's.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from keepfit.adapters.prediction_log import SPOOL
from keepfit.adapters.prediction_log.lines import Row, encode
from keepfit.errors import ConfigError, Unavailable
from keepfit.serve_settings import LogSettings

KEY = "KEEPFIT_LOG_KEY"
LARGEST = 32 * 2**20  # bytes; so a drainer needs little memory, however long the span
_BLANK = b"\n" * 65536  # more than the rest of a disk's last block
_sync = getattr(os, "fdatasync", os.fsync)


class FileSpool:
    """The port `Spool`."""

    def __init__(self, folder: Path, worker: str, settings: LogSettings, environment: Mapping[str, str]) -> None:
        """Raises `ConfigError` where fields are to be hashed and there is no key. The file is made with the first row."""
        self._folder, self._worker = folder, re.sub(r"[^A-Za-z0-9_-]", "-", worker)
        self._seconds, self._durable = settings.segment.total_seconds(), settings.durable
        self._shown = shown(settings, environment)
        self._file, self._path = -1, folder
        self._end = 0  # of what is whole in the file
        self._until = 0.0  # by the monotonic clock: the other one may jump

    def write(self, rows: Sequence[Row]) -> None:
        """See the port. Without rows it only lets go of a file whose time is over."""
        if self._file >= 0 and (time.monotonic() >= self._until or self._end >= LARGEST):
            self.close()
        if rows:
            self._put(encode(rows, self._shown))

    def check(self) -> None:
        """Lines without rows are written and taken back."""
        end = self._put(_BLANK)
        self._take_back(end)

    def close(self) -> None:
        if self._file < 0:
            return
        if not self._end:
            self._path.unlink(missing_ok=True)  # while the lock is held, so nobody else's
        file, self._file = self._file, -1
        os.close(file)

    def _put(self, data: bytes, again: bool = True) -> int:
        """One write; returns where it begins."""
        if self._file < 0:
            self._open()
        begin = self._end
        try:
            written = os.write(self._file, data)
            if written < len(data):
                raise OSError(None, f"only {written} of {len(data)} bytes found room")
            if self._durable:
                _sync(self._file)
            removed = os.fstat(self._file).st_nlink == 0
        except OSError as error:
            self._take_back(begin)
            raise Unavailable(self._cannot("written", error)) from error
        except BaseException:
            self._take_back(begin)
            raise
        self._end = begin + written
        return self._put_elsewhere(again) if removed else begin

    def _put_elsewhere(self, again: bool) -> int:
        """The file was removed by hand: what stands in it would reach nobody, so all of it goes into another."""
        all_of_it = os.pread(self._file, self._end, 0)
        self.close()
        if not again:
            raise Unavailable(f"{self._path} was removed while it was written to. Leave what is in {self._folder} to keepfit.")
        return self._put(all_of_it, again=False)

    def _take_back(self, end: int) -> None:
        """Cut what was written behind `end`; where that fails, nothing more is put behind it."""
        try:
            os.ftruncate(self._file, end)
            self._end = end
        except OSError:
            file, self._file = self._file, -1
            os.close(file)

    def _open(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            while not self._opened():
                pass
            if self._durable:
                _sync_folder(self._folder)
        except OSError as error:
            raise Unavailable(self._cannot("made", error)) from error

    def _opened(self) -> bool:
        """Make a file and lock it. A drainer that came in between took it for an orphan; then it is not ours."""
        name = f"{time.time_ns() // 1_000_000:013d}-{self._worker}-{secrets.token_hex(6)}{SPOOL}"
        self._path = self._folder / name
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(file).st_nlink:
                self._file, self._end, self._until = file, 0, time.monotonic() + self._seconds
        except BlockingIOError:
            pass
        finally:
            if self._file != file:
                os.close(file)
        return self._file == file

    def _cannot(self, done: str, error: OSError) -> str:
        return f"{self._path} cannot be {done}: {error.strerror or error}. Answers cannot be written down until that is put right."


def shown(settings: LogSettings, environment: Mapping[str, str]) -> Callable[[Mapping[str, Any]], Mapping[str, Any]] | None:
    """What the log may show of a request's inputs; None: all. Raises `ConfigError` without the key that hashing needs."""
    omitted, hashed = frozenset(settings.omit), frozenset(settings.hash)
    if not omitted and not hashed:
        return None
    secret = environment.get(KEY, "")
    if hashed and not secret:
        raise ConfigError(
            f"serve.log.hash names {', '.join(sorted(hashed))}, and {KEY} is not set: put a long secret into that environment "
            "variable, the same on every replica, so that nobody without it can try values until a hash fits."
        )
    key = hashlib.blake2b(secret.encode(), digest_size=32).digest()

    def show(inputs: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: _hashed(value, key) if name in hashed and value is not None else value
            for name, value in inputs.items()
            if name not in omitted
        }

    return show


def _hashed(value: Any, key: bytes) -> str:
    text = value if isinstance(value, str) else repr(value)
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16, key=key).hexdigest()


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
