"""What can be seen of a project from outside, without opening a database: data files, labels, and the project's own files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from keepfit.addresses import is_remote
from keepfit.config import FILE_NAME, Config
from keepfit.idle import glance_at_labels, spools_let_go
from keepfit.ports import Inbox
from keepfit.records import Place


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One look. Equal texts: nothing has come."""

    files: str  # hash of the data files in the inbox that are whole
    settings: str  # of keepfit.toml, by its size and time of change
    labels: str  # hash of the label files in the prediction log, by their names
    code: str  # hash of the project's Python files, by their size and time of change

    def news(self, before: Seen | None) -> str:
        """What has come since, in a word: files, settings, code, labels; empty where nothing has."""
        if before is None:
            return "start"
        return next((name for name in ("files", "settings", "code", "labels") if getattr(self, name) != getattr(before, name)), "")


def look_at_files(config: Config, inbox: Inbox) -> str:
    """For `Seen.files`. Raises `Unavailable` where the inbox cannot be read."""
    whole = (arrival for arrival in inbox.list(Place.INBOX) if arrival.settled)  # what is still being written comes later
    folder = None if is_remote(config.data.inbox) else config.path(config.data.inbox)
    return _hash(f"{arrival} {stamp(folder / arrival.name) if folder else ''}" for arrival in whole)


def look_at_labels(config: Config, stored: Callable[[], Iterable[str]]) -> str:
    """For `Seen.labels`; `stored` names the label files of a log in object storage. Raises `Unavailable`."""
    local = glance_at_labels(config)
    return _hash((*stored(), *spools_let_go(config))) if local is None else local


def look_at_code(config: Config) -> str:
    """For `Seen.code`."""
    return _hash(map(stamp, _code(config)))


def settings_stamp(root: Path) -> str:
    """Changes when keepfit.toml does."""
    return stamp(root / FILE_NAME)


def stamp(path: Path) -> str:
    """Changes when the file does; empty for one that is not there."""
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{path.name} {status.st_size} {status.st_mtime_ns} {status.st_ino}"


def _code(config: Config) -> list[Path]:
    """The Python files beside keepfit.toml, and those it names in folders below."""
    train = config.train
    named = [config.data.prepare, train.function, train.metric, *(each.build for each in train.candidates)]
    modules = {name.partition(":")[0] for name in named if name and ":" in name}
    return sorted({*config.root.glob("*.py"), *(config.path(module.replace(".", "/") + ".py") for module in modules)})


def _hash(parts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{part}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()
