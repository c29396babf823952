"""Nothing is told of a promotion: the place where a CD pipeline will be triggered."""

from __future__ import annotations

from keepfit.records import Promotion


class NoRelease:
    """See `keepfit.ports.Releaser`."""

    def release(self, promotion: Promotion, cycle: str) -> str:  # noqa: ARG002 - part of the port
        return "nothing is configured to follow a promotion"
