"""Remembers the hashes of objects, so that a bucket in which nothing has changed is not downloaded again at every run.

An object is known by its URL and by what the store tells of it (tag, time, size). Should a store tell the same of other bytes, the
one who reads them notices, and what was remembered is forgotten. Nothing depends on what is kept here: it may be deleted.
"""

from __future__ import annotations

import contextlib
import json
import os
from functools import cached_property
from pathlib import Path

MOST = 100_000  # objects that are remembered; the oldest are forgotten


class KnownObjects:
    """A file of one line for each object, and one more whenever something is learned of it; None keeps nothing from run to run."""

    def __init__(self, file: Path | None) -> None:
        self._file = file

    def find(self, url: str, mark: str | None) -> str | None:
        """The sha256 of an object of which the store tells this."""
        known, digest = self._entries.get(url, (None, ""))
        return digest if mark is not None and known == mark else None

    def keep(self, url: str, mark: str, digest: str) -> None:
        """Remember an object."""
        if self._entries.get(url) != (mark, digest):
            self._entries[url] = (mark, digest)
            self._append(url, mark, digest)

    def correct(self, url: str, digest: str) -> None:
        """Forget what is remembered of an object if its bytes turn out to be others."""
        if url in self._entries and self._entries[url][1] != digest:
            del self._entries[url]
            self._append(url, None, "")

    @cached_property
    def _entries(self) -> dict[str, tuple[str, str]]:
        found: dict[str, tuple[str, str]] = {}
        lines = self._lines()
        for line in lines:
            with contextlib.suppress(ValueError, TypeError):  # half a line, of a process that was killed
                url, mark, digest = json.loads(line)
                found.pop(url, None)
                if mark is not None:
                    found[url] = (mark, digest)
        while len(found) > MOST:
            del found[next(iter(found))]
        if len(lines) > 2 * len(found) + 1000:
            self._rewrite(found)
        return found

    def _lines(self) -> list[str]:
        if self._file is None:
            return []
        try:
            return [line for line in self._file.read_text(encoding="utf-8", errors="replace").splitlines() if line]
        except OSError:
            return []

    def _append(self, url: str, mark: str | None, digest: str) -> None:
        """The line break comes first: behind half a line, it would be lost with it."""
        if self._file is None:
            return
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a", encoding="utf-8") as file:
                file.write("\n" + json.dumps([url, mark, digest]))

    def _rewrite(self, entries: dict[str, tuple[str, str]]) -> None:
        assert self._file is not None  # noqa: S101 - there were lines in it
        temporary = self._file.with_name(f".{self._file.name}.{os.getpid()}.tmp")
        with contextlib.suppress(OSError):
            temporary.write_text("".join(f"{json.dumps([url, *seen])}\n" for url, seen in entries.items()), encoding="utf-8")
            temporary.replace(self._file)
