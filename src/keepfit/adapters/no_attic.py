"""A registry that was never opened, or is somebody's own: housekeeping finds nothing there."""

from __future__ import annotations

from collections.abc import Sequence

from keepfit.ports import OldRun, OldVersion


class NoAttic:
    """`Attic` of nothing."""

    def versions(self) -> Sequence[OldVersion]:
        return ()

    def runs(self) -> Sequence[OldRun]:
        return ()

    def size(self, run: str) -> int:  # noqa: ARG002 - the port's arguments
        return 0

    def remove_version(self, version: str) -> None:
        """There is none."""

    def remove_run(self, run: str) -> None:
        """There is none."""
