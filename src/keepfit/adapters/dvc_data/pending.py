"""What is still to be done for data that are kept already: pushed to the remote, committed to git."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from pathlib import Path


class Pending:
    """Two lists in a file: the cycles that were not pushed yet, and the paths that were not committed yet."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @property
    def push(self) -> list[str]:
        return self._read()["push"]

    @property
    def commit(self) -> list[str]:
        return self._read()["commit"]

    def add(self, *, push: Iterable[str] = (), commit: Iterable[str] = ()) -> None:
        now = self._read()
        self._write(push=dict.fromkeys([*now["push"], *push]), commit=dict.fromkeys([*now["commit"], *commit]))

    def done(self, *, push: Iterable[str] = (), commit: Iterable[str] = ()) -> None:
        now = self._read()
        left = {name: [each for each in now[name] if each not in gone] for name, gone in (("push", {*push}), ("commit", {*commit}))}
        self._write(**left)

    def _read(self) -> dict[str, list[str]]:
        found: object = None
        with contextlib.suppress(OSError, ValueError):
            found = json.loads(self._file.read_text(encoding="utf-8"))
        lists = found if isinstance(found, dict) else {}
        return {name: [str(each) for each in lists.get(name, ())] for name in ("push", "commit")}

    def _write(self, *, push: Iterable[str], commit: Iterable[str]) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._file.with_name(f".{self._file.name}.{os.getpid()}.tmp")
        temporary.write_text(json.dumps({"push": list(push), "commit": list(commit)}, indent=1), encoding="utf-8")
        temporary.replace(self._file)
