"""What people are shown and told, and what is started for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from keepfit.records import Alert, Announcement

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd


class Drawing(Protocol):
    """Draws pictures of drift and performance for people, with an outside tool."""

    def draw(self, reference: pd.DataFrame, current: pd.DataFrame, folder: Path, stamp: str) -> Sequence[Path]:
        """Write the pages for these rows into `folder`; `stamp` is part of their names. Raises `MissingExtra`, `Unavailable`."""
        ...


class Notifier(Protocol):
    """Sends alerts to people."""

    @property
    def receivers(self) -> Sequence[str]:
        """Who is told, each by a name without secrets; empty when nobody is set up."""
        ...

    def send(self, alert: Alert, receiver: str) -> None:
        """Tell one of them. Raises `Unavailable` when it was not reached, `ConfigError` when it is set up wrongly or not at all,
        `MissingExtra` without the library."""
        ...

    def check(self) -> None:
        """Raises `ConfigError` naming all that is set up wrongly. Nobody is told anything."""
        ...


class Releaser(Protocol):
    """Starts what delivers a new champion: a pipeline that builds and rolls out. What is to be started goes through the ledger's
    outbox and may come twice; then it comes with the same version."""

    @property
    def receivers(self) -> Sequence[str]:
        """What is started, each by a name without secrets that stays the same; empty when nothing is set up."""
        ...

    def release(self, announcement: Announcement, receiver: str) -> None:
        """Start one of them. Raises `Unavailable` when it was not reached, `TooSoon` when it asks for patience, `ConfigError` for
        what a person must mend."""
        ...

    def check(self) -> None:
        """Raises `ConfigError` naming what is missing. Nothing is started."""
        ...
