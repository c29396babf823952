"""Nothing follows a promotion."""

from __future__ import annotations

from collections.abc import Sequence

from keepfit.errors import ConfigError
from keepfit.records import Announcement


class NoRelease:
    """See `keepfit.ports.Releaser`."""

    receivers: Sequence[str] = ()

    def release(self, announcement: Announcement, receiver: str) -> None:  # noqa: ARG002 - part of the port
        raise ConfigError(f"{receiver} is not set up here")

    def check(self) -> None:
        """There is nothing to check."""
