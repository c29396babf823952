"""What `keepfit doctor` looks at where data lie: the folders or stores, the disk, and the files that wait."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from keepfit.addresses import is_remote
from keepfit.config import Config
from keepfit.errors import KeepfitError
from keepfit.ports import Arrival
from keepfit.records import Place

if TYPE_CHECKING:
    from keepfit.opened_ports import OpenedPorts

Finding = tuple[str, bool, str]  # what, whether it is well, in words

LEAST_FREE = 1_000_000_000  # bytes of disk
LONG_UNFINISHED = 3600  # seconds after which a file with a temporary name was probably given up
TABLES = (
    ".tsv",
    ".tab",
    ".txt",
    ".dat",
    ".xls",
    ".xlsx",
    ".json",
    ".gz",
    ".zip",
    ".bz2",
    ".xz",
    ".feather",
    ".arrow",
    ".orc",
    ".avro",
)


def places_of(config: Config) -> dict[str, str]:
    """Where the project's data lie, by the names of the settings."""
    data = config.data
    return {"inbox": data.inbox, "archive": data.archive, "quarantine": data.quarantine, "prepared": data.prepared}


def folders_found(ports: OpenedPorts, config: Config) -> Iterator[Finding]:
    """Whether the folders can be used, and whether the stores answer; nothing is written."""
    for name, address in {**places_of(config), "state": ".keepfit"}.items():
        yield _store(name, address, ports) if is_remote(address) else _folder(name, config.path(address))


def _store(name: str, address: str, ports: OpenedPorts) -> Finding:
    try:
        words = f"{len(ports.store.kept())} frames" if name == "prepared" else f"{len(ports.inbox.list(Place(name)))} files"
    except KeepfitError as error:
        return name, False, str(error)
    return name, True, f"{address} can be read and holds {words}; whether it can be written is seen by the first run"


def _folder(name: str, folder: Path) -> Finding:
    if folder.exists() and not folder.is_dir():
        return name, False, f"{folder} is a file: move it away, or name another folder"
    if not folder.exists():
        parent = next(parent for parent in folder.parents if parent.exists())
        if name == "inbox":
            return name, False, f"{folder} does not exist: make it, or correct [data] inbox"
        if os.access(parent, os.W_OK):
            return name, True, f"{folder} is made when it is needed"
        return name, False, f"{folder} does not exist and cannot be made: give this user the right to write to {parent}"
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return name, False, f"{folder} cannot be read and written: give this user the right to"
    return name, True, str(folder)


def disk_found(ports: OpenedPorts, config: Config) -> Iterator[Finding]:
    """Whether the disk has room for a cycle."""
    free = shutil.disk_usage(config.root).free
    waiting = sum(arrival.size for arrival in _arrivals(ports, config))
    needed = max(LEAST_FREE, 5 * waiting)  # prepared rows, models and their database beside the data
    words = f"{free / 1e9:.1f} GB are free"
    yield "disk", free >= needed, words if free >= needed else f"{words}: a cycle may need {needed / 1e9:.1f} GB. Free some space."


def files_found(ports: OpenedPorts, config: Config) -> Iterator[Finding]:
    """What waits in the inbox, and what lies there that no run takes in."""
    if is_remote(config.data.inbox):
        yield "files", True, f"{sum(arrival.settled for arrival in _arrivals(ports, config))} files are ready"
        return
    folder = config.path(config.data.inbox)
    if not os.access(folder, os.R_OK | os.X_OK):  # said already
        return
    arrivals = ports.inbox.list(Place.INBOX)
    settled = sum(arrival.settled for arrival in arrivals)
    fresh = len(arrivals) - settled
    given_up = [arrival.name for arrival in arrivals if not arrival.settled and _age(folder / arrival.name) > LONG_UNFINISHED]
    words = f"{settled} files are ready" + (f", {fresh} still being written: a run leaves them for later" if fresh else "")
    if given_up:
        words += f". {_shown(given_up)} did not change for an hour: rename or remove what is not being written any more"
    yield "files", not given_up, words
    yield from _strays(folder, {arrival.name for arrival in arrivals})


def _arrivals(ports: OpenedPorts, config: Config) -> Sequence[Arrival]:
    """What is in the inbox; nothing where its store does not answer or the folder is gone, which was said already."""
    try:
        return ports.inbox.list(Place.INBOX)
    except KeepfitError:
        if not is_remote(config.data.inbox) and config.path(config.data.inbox).exists():
            raise
        return ()


def _strays(folder: Path, taken: set[str]) -> Iterator[Finding]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    strays = [path.relative_to(folder).as_posix() for path in files if path.relative_to(folder).as_posix() not in taken]
    tables = [name for name in strays if name.lower().endswith(TABLES) and not name.endswith((".quality.json", ".reason.json"))]
    if tables:
        yield (
            "ignored files",
            False,
            f"{_shown(tables)}: rename or convert to .csv, .parquet or .jsonl, or no run will take them in",
        )
    elif strays:
        yield "ignored files", True, f"{_shown(strays)}: no data by their names"


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:  # it has been moved meanwhile
        return 0.0


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
