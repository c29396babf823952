"""A model in service, seen through its log: performance, drift, comparison, probation, and labelled rows for the loop.

Importing does nothing else: workers look at API keys through this package and stay light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keepfit.live.overview import Live as Live

__all__ = ["Live"]


def __getattr__(name: str) -> Any:
    if name == "Live":
        from keepfit.live.overview import Live

        return Live
    raise AttributeError(f"module 'keepfit.live' has no attribute {name!r}")
