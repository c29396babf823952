"""A look at how things stand: the last judgement with those before it, or one made now that changes nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter, ValidationError

from keepfit.config import Config
from keepfit.errors import ConfigError, DataError, NotFound
from keepfit.records import Cycle, Outcome
from keepfit.reporting.status import FILE_NAME, DriftStatus, read_status
from keepfit.settings import Duration
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


def read_report(cycle: str | None, max_age: str | None, ports: Any, config: Config) -> DriftStatus:
    """drift_status.json, read as any other program would. Raises `DataError` where it is missing, broken, not of this project or
    this cycle, or older than `max_age` (such as "26h"), `ConfigError` for what is no duration."""
    try:
        age: timedelta | None = TypeAdapter(Duration | None).validate_python(max_age)
    except ValidationError:
        raise ConfigError(f"{max_age!r} is no duration: expected one such as '26h' or '2d'") from None
    path = config.path(config.reports.folder) / FILE_NAME
    status = read_status(path, max_age=age, now=ports.clock.now())
    project = config.project.name
    if status.project != project or (cycle is not None and status.cycle != cycle):
        wanted = f"cycle {cycle}" if cycle is not None else f"project {project}"
        raise DataError(f"{path} is stale: it was written by cycle {status.cycle} of {status.project}, not by {wanted}.")
    return status
