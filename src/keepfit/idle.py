"""Remembers that there was nothing to do, so that a cron line every minute costs a look at the folder and no more.

The answer `waiting` depends on the settings, on what lies in the inbox and on the ledger. As long as none of them has changed by
name, size or time of change, it is given again without opening anything. It is only remembered for a ledger in a file, with a
champion and with every file settled; whatever else, the loop itself answers.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from datetime import datetime
from pathlib import Path

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


def remember(cycle: Cycle, arrivals: list[Arrival], config: Config, folder: Path) -> None:
    """Keep a waiting cycle, once the ledger is closed. Nothing depends on it, so nothing is said when it cannot be kept."""
    key = _key(config)
    lasting = cycle.outcome is Outcome.WAITING and not cycle.duplicates and cycle.finished_at is not None
    if key is None or not lasting or not all(arrival.settled for arrival in arrivals):
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


def _key(config: Config) -> str | None:
    """Hash of all that the answer depends on; None where that cannot be seen from outside."""
    url = config.url(config.ledger.url)
    if not url.startswith("sqlite:///"):
        return None
    digest = hashlib.sha256(config.fingerprint().encode())
    database = Path(url.removeprefix("sqlite:///"))
    for path in (database, database.with_name(database.name + "-wal")):
        digest.update(_seen(path).encode())
    inbox = config.path(config.data.inbox)
    for parent, folders, names in os.walk(inbox):
        folders.sort()
        digest.update(f"{parent}\n".encode(errors="surrogateescape"))
        for name in sorted(names):
            digest.update(f"{name} {_seen(Path(parent, name))}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _seen(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return "-"
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino} {status.st_mode}"
