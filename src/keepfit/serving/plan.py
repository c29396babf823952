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
    """Replace the file; readers see the old one or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(dumps(plan), encoding="utf-8")
    temporary.chmod(0o600)
    temporary.replace(path)


def read_plan(path: Path) -> Plan | None:
    """The plan; None where there is none yet. Raises ValueError for a file that is none."""
    try:
        return loads(Plan, path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
