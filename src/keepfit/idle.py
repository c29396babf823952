"""Remembers that there was nothing to do, so that a cron line every minute costs a look at the folder and no more.

The answer `waiting` depends on the settings, on what lies in the inbox, on the labels in the prediction log and on the ledger. As
long as none of them has changed by name, size or time of change, it is given again without opening anything. It is only remembered
for a ledger and a log in files, with a champion and with every file settled; whatever else, the loop itself answers.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from keepfit.addresses import is_remote
from keepfit.config import Config
from keepfit.ports import Arrival
from keepfit.records import Cycle, Outcome

NAME = "idle.json"


def recall(config: Config, folder: Path) -> Cycle | None:
    """The waiting cycle that still holds, or None."""
    try:
        kept = json.loads((folder / NAME).read_text(encoding="utf-8"))
        if kept["key"] != _key(config):
            return None
        return Cycle(
            id=kept["id"],
            project=config.project.name,
            started_at=datetime.fromisoformat(kept["started_at"]),
            finished_at=datetime.fromisoformat(kept["finished_at"]),
            stage="collect",
            outcome=Outcome.WAITING,
            reason=kept["reason"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember(cycle: Cycle, arrivals: list[Arrival], before: str | None, config: Config, folder: Path) -> None:
    """Keep a waiting cycle, once the ledger is closed. `before` is the `glance` from before it began: what came meanwhile it may
    not have seen. Nothing depends on it, so nothing is said when it cannot be kept."""
    key = _key(config)
    lasting = cycle.outcome is Outcome.WAITING and not (cycle.duplicates or cycle.notes) and cycle.finished_at is not None
    if key is None or not lasting or not all(arrival.settled for arrival in arrivals) or before != glance(config):
        return
    kept = {
        "key": key,
        "id": cycle.id,
        "started_at": cycle.started_at.isoformat(),
        "finished_at": cycle.finished_at.isoformat() if cycle.finished_at else "",
        "reason": cycle.reason,
    }
    temporary = folder / f".{NAME}.{os.getpid()}.tmp"
    with contextlib.suppress(OSError):
        temporary.write_text(json.dumps(kept), encoding="utf-8")
        temporary.replace(folder / NAME)


def takes_in(config: Config) -> bool:
    """Whether there may be labels to take into the loop: the log or its spool is there, or lies where a look is not cheap."""
    log = config.serve.log
    return log.intake and (is_remote(log.url) or any(config.path(place).exists() for place in (log.url, log.spool)))


def glance(config: Config) -> str | None:
    """Hash of what has come to the inbox and of the labels in the log; None where that cannot be seen from outside."""
    labels = glance_at_labels(config)
    if labels is None or is_remote(config.data.inbox):
        return None
    digest = hashlib.sha256(labels.encode())
    for path in _below(config.path(config.data.inbox)):
        digest.update(f"{path} {_seen(Path(path))}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def glance_at_labels(config: Config) -> str | None:
    """Hash of the labels in the log, by the names of its files, which never change under their names; None where they lie where a
    look is not cheap."""
    log = config.serve.log
    if log.intake and is_remote(log.url):
        return None
    digest = hashlib.sha256()
    if log.intake:
        for path in (*_below(config.path(log.url) / "labels"), *spools_let_go(config)):
            digest.update(f"{path}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def spools_let_go(config: Config) -> Iterator[str]:
    """The spools that no worker writes to any more; the others will be segments soon."""
    return (path for path in _below(config.path(config.serve.log.spool)) if _is_let_go(path))


def glance_at_ledger(config: Config) -> str | None:
    """What the ledger's file looks like from outside; None where it is no file."""
    url = config.url(config.ledger.url)
    if not url.startswith("sqlite:///"):
        return None
    database = Path(url.removeprefix("sqlite:///"))
    return " ".join(_seen(path) for path in (database, database.with_name(database.name + "-wal")))


def _key(config: Config) -> str | None:
    """Hash of all that the answer depends on; None where that cannot be seen from outside."""
    ledger, arrived = glance_at_ledger(config), glance(config)
    if ledger is None or arrived is None:
        return None
    return hashlib.sha256(f"{config.fingerprint()} {arrived} {ledger}".encode()).hexdigest()


def _below(folder: Path) -> Iterator[str]:
    """The paths of all files below a folder, and of the folders, in order."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        yield parent
        yield from (os.path.join(parent, name) for name in sorted(names))  # noqa: PTH118 - a Path for each takes long


def _is_let_go(path: str) -> bool:
    """Whether nobody writes to a spool any more: a worker holds its file's lock as long as it does, and death lets go of it."""
    import fcntl

    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return True
    except OSError:
        return False
    finally:
        os.close(file)


def _seen(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return "-"
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino} {status.st_mode}"
