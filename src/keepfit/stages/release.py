"""Have the new champion delivered: what is to be started is put into the ledger's outbox, and sent from there beside the work.

A pipeline that does not answer is tried again by later runs. Nothing here undoes or repeats the promotion.
"""

from __future__ import annotations

from dataclasses import replace

from keepfit.config import Config
from keepfit.courier import announce
from keepfit.ports import Ports
from keepfit.records import Cycle


def release(cycle: Cycle, ports: Ports, config: Config) -> Cycle:
    """Fill in `released`."""
    if cycle.promotion is None:
        return cycle
    verdict, version = cycle.verdict, cycle.promotion.to_version
    known = (verdict.metric, verdict.challenger) if verdict is not None else (None, None)
    if not announce(cycle.id, cycle.promotion, known, ports, config, cycle=cycle.id):
        return replace(cycle, released="nothing is configured to follow a promotion")
    started = ", ".join(ports.releaser.receivers)
    return replace(cycle, released=f"{started} is asked to deliver version {version}; `keepfit alerts` tells what came of it")
