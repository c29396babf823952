"""Thirty days of a churn model's life: a concept drift, a broken day, and one cycle each evening."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from keepfit.project import open as open_project
from keepfit.records import Cycle
from keepfit.templates import copy_template

FIRST_DAY = date(2026, 1, 1)
ATOMIC_FILES = {"data.settle": "0s"}  # the generator renames whole files into place, so there is nothing to wait for
DRIFT_AFTER, BROKEN_AFTER = 0.4, 0.7  # shares of the days before the concept changes, and before the broken day


@dataclass(frozen=True, kw_only=True)
class Day:
    """What one evening's cycle made of the day."""

    day: date
    event: str  # what the generator did to that day's customers; the loop does not know
    cycle: Cycle
    champion: str  # version that is champion after it
    seconds: float

    def record(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {"day": self.day.isoformat(), "event": self.event, "champion": self.champion, "cycle": self.cycle}


class _Evening:
    """A clock that stands at nine in the evening of the day that is played."""

    def __init__(self) -> None:
        self.day = FIRST_DAY

    def now(self) -> datetime:
        return datetime(self.day.year, self.day.month, self.day.day, 21, tzinfo=UTC)


def play(folder: Path | None, days: int) -> list[Day]:
    """Make a churn project and play it; shows progress on stderr. Without a folder the project is temporary.

    Raises `ConfigError` when the folder holds a project already.
    """
    temporary = Path(tempfile.mkdtemp(prefix="keepfit-demo-")) if folder is None else None
    place = temporary / "churn" if temporary else folder
    assert place is not None  # noqa: S101 - one of the two is given
    copy_template("churn", place)
    try:
        return _with_progress(_days(place, days), days)
    finally:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)


def _days(place: Path, days: int) -> Iterator[Day]:
    import time

    drift = FIRST_DAY + timedelta(days=int(days * DRIFT_AFTER))
    broken = FIRST_DAY + timedelta(days=int(days * BROKEN_AFTER))
    options = {"concept_drift": drift, "broken": broken}
    clock = _Evening()
    champion = "none"
    with open_project(place, clock=clock, flags=ATOMIC_FILES) as project:
        for offset in range(days):
            began = time.perf_counter()
            clock.day = FIRST_DAY + timedelta(days=offset)
            project.simulate(clock.day.isoformat(), 1, options)
            cycle = project.run()
            champion = cycle.promotion.to_version if cycle.promotion else champion
            event = {drift: "concept drift begins", broken: "broken upstream"}.get(clock.day, "")
            yield Day(day=clock.day, event=event, cycle=cycle, champion=champion, seconds=time.perf_counter() - began)


def _with_progress(days: Iterator[Day], count: int) -> list[Day]:
    """A bar on a terminal, a line a day elsewhere."""
    if not sys.stderr.isatty():
        played = []
        for day in days:
            played.append(day)
            print(f"{day.day} {day.cycle.outcome}", file=sys.stderr)  # noqa: T201 - progress, for whoever watches
        return played
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return list(track(days, description="thirty days of churn" if count == 30 else "days of churn", total=count, console=console))
