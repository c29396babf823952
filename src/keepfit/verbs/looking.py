"""A look at how things stand: the last judgement with those before it, or one made now that changes nothing."""

from __future__ import annotations

from typing import Any

from keepfit.config import Config
from keepfit.errors import NotFound
from keepfit.records import Cycle, Outcome
from keepfit.verbs.rehearsal import QuietPorts, rehearse_on


def look(ports: Any, config: Config, *, check_now: bool, limit: int) -> tuple[Cycle, list[Cycle]]:
    """The latest judgement, and up to `limit` before it, the oldest first. Raises `NotFound` when there is none."""
    recent = ports.ledger.cycles.recent(config.project.name, max(50, limit + 1))
    judged = [cycle for cycle in recent if cycle.decision is not None]
    if check_now:
        return _judged_now(ports, config), _with_champion(judged)[:limit][::-1]
    if not judged:
        raise NotFound("Nothing was judged yet. `keepfit monitor --check-now` looks at what lies in the inbox.")
    return judged[0], _with_champion(judged[1:])[:limit][::-1]


def _with_champion(cycles: list[Cycle]) -> list[Cycle]:
    """Those that looked at a champion."""
    return [cycle for cycle in cycles if cycle.performance is not None]


def _judged_now(ports: Any, config: Config) -> Cycle:
    """What a run would find in the inbox now, if it did not wait for more files; with its reports."""
    from keepfit.publishing import publish

    eager = config.model_copy(update={"data": config.data.model_copy(update={"min_batches": 1, "min_rows": 1})})
    quiet: Any = QuietPorts(ports)
    cycle = rehearse_on(quiet, ports, eager, forced=False, watch=lambda stage, cycle: None)
    if cycle.outcome is Outcome.WAITING:
        raise NotFound(f"There is nothing to look at: {cycle.reason}. `keepfit monitor` shows the last judgement.")
    return publish(cycle, quiet, config, drawn=True)
