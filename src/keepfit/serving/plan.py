"""Who answers: what the office tells the workers, as one small file that is replaced whole."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from keepfit.codec import dumps, loads
from keepfit.live_records import ApiKey


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A model version in the local cache."""

    model: str  # registered name
    version: str
    folder: str  # of the cache, absolute; see `serving.cache`
    content_hash: str | None = None
    served: str | None = None  # what the registry says of the files beside the model; see `keepfit.live_ports.Shelved`
    code: str | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What every worker of one server is to do."""

    number: int = 0  # counts changes
    champion: Placed | None = None  # None: there is none yet
    challenger: Placed | None = None  # answers `share` of the traffic
    share: float = 0.0
    sticky: str | None = None  # field by which traffic is divided
    salt: str = ""  # so that two experiments divide differently
    shadows: tuple[Placed, ...] = ()  # answer silently
    standby: Placed | None = None  # may be the next champion: it is loaded, and not asked
    keys: tuple[ApiKey, ...] = ()
    notes: dict[str, str] = field(default_factory=dict)  # what is away and since when, for /ready: {"registry": "..."}


def write_plan(plan: Plan, path: Path) -> None:
    """Replace the file, which nobody but its owner may read; readers see the old one or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(dumps(plan))
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)  # half a file on a full disk
        raise


def read_plan(path: Path) -> Plan | None:
    """The plan; None where there is none yet. Raises ValueError for a file that is none."""
    try:
        return loads(Plan, path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
