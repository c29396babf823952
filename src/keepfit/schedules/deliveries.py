"""Sends what earlier cycles and people could not: alerts whose receiver was away, or whose quiet hours are over."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from keepfit.config import Config
from keepfit.courier import MOST, PENDING, Courier
from keepfit.errors import KeepfitError
from keepfit.idle import glance_at_ledger
from keepfit.opened_ports import is_missing_file
from keepfit.project import open
from keepfit.records import Delivery
from keepfit.telling import tell

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
PAUSE = 60.0  # seconds from one look at what waits to the next


class Deliveries:
    """What waits in one project's outbox. A ledger in a file is only opened when the file has changed, or a time has come."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._due = 0.0  # when to look again, by the monotonic clock
        self._seen: str | None = None  # what the ledger's file looked like then
        self._next: datetime | None = None  # when something that waits may be sent; None: nothing waits
        self.opened = False  # whether a ledger was opened before, and with it what is needed to

    def send(self, config: Config) -> None:
        """Send what is due, if it is time to look. A ledger that is away is looked at again later: the cycles tell of it."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + PAUSE
        if is_missing_file(config.url(config.ledger.url)) or not self._may_be_due(config):
            return
        with contextlib.suppress(KeepfitError):
            self._open_and_send(config)
        self._seen = glance_at_ledger(config)

    def _may_be_due(self, config: Config) -> bool:
        seen = glance_at_ledger(config)
        return seen is None or seen != self._seen or (self._next is not None and self._next <= datetime.now(UTC))

    def _open_and_send(self, config: Config) -> None:
        with open(self._folder) as project:
            self.opened = True
            outbox, name = project.ports.ledger.outbox, config.project.name
            waiting = outbox.recent(name, MOST, status=PENDING)
            if (next_one := _earliest(waiting)) is not None and next_one <= datetime.now(UTC):
                Courier(project.ports, config).finish()
                left = outbox.recent(name, MOST, status=PENDING)
                tell("delivered", project=name, done=len(waiting) - len(left), left=len(left))
                waiting = left
            self._next = _earliest(waiting)


def _earliest(waiting: Sequence[Delivery]) -> datetime | None:
    return min((each.not_before or LONG_AGO for each in waiting), default=None)
