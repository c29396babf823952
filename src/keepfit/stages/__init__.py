"""The ten stages of the loop, one a file. `keepfit.cycle.STAGES` says in which order.

stage(cycle, ports, config) -> the cycle with its own part filled in
                               or raises Stop(outcome, reason, cycle)
"""

from __future__ import annotations

from keepfit.records import Cycle, Outcome


class Stop(Exception):
    """Ends the cycle with an outcome and a reason; carries the cycle as far as the stage has filled it."""

    def __init__(self, outcome: Outcome, reason: str, cycle: Cycle) -> None:
        super().__init__(reason)
        self.outcome, self.reason, self.cycle = outcome, reason, cycle
