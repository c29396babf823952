"""Tell the world that there is a new champion. A failure here is reported and never undoes or repeats the promotion."""

from __future__ import annotations

from dataclasses import replace

from keepfit.config import Config
from keepfit.errors import KeepfitError
from keepfit.ports import Ports
from keepfit.records import Cycle


def release(cycle: Cycle, ports: Ports, config: Config) -> Cycle:  # noqa: ARG001 - every stage takes the same three
    """Fill in `released`."""
    if cycle.promotion is None:
        return cycle
    try:
        done = ports.releaser.release(cycle.promotion, cycle.id)
    except Exception as error:
        done = f"failed: {error}" if isinstance(error, KeepfitError) else f"failed: {type(error).__name__}: {error}"
    return replace(cycle, released=done)
