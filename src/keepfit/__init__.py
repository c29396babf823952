"""keepfit keeps production models fit: one file, one command, a whole retraining loop.

    import keepfit
    cycle = keepfit.open("my-model").run()
    print(cycle.outcome, cycle.reason)

Importing does nothing else; the names below are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keepfit.project import Project as Project
    from keepfit.project import open as open
    from keepfit.records import Cycle as Cycle

__version__ = "0.1.0"
__all__ = ["Cycle", "Project", "__version__", "open"]

_HOMES = {"Cycle": "keepfit.records", "Project": "keepfit.project", "open": "keepfit.project"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'keepfit' has no attribute {name!r}")
