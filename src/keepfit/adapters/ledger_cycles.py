"""The checkpoints: every cycle as JSON, with the columns by which it is looked for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, and_, func, select

from keepfit.adapters.ledger_batches import save_batches
from keepfit.adapters.ledger_database import Database, upsert
from keepfit.adapters.ledger_leases import check_held
from keepfit.adapters.ledger_rules import check_project, compared_with, training
from keepfit.adapters.ledger_schema import cycles
from keepfit.codec import dumps, loads, read_time, time_text
from keepfit.errors import NotFound, Unavailable
from keepfit.records import Conclusion, Cycle, Lease, Outcome, Training

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection


class SqlCycles:
    """The port `Cycles`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, cycle: Cycle, lease: Lease) -> None:
        check_project(cycle.project, lease)
        values = _values(replace(cycle, fence=lease.fence))
        with self._database.write() as connection:
            check_held(connection, lease)
            upsert(connection, cycles, [values])
            save_batches(connection, cycle)
            if cycle.outcome is Outcome.WAITING:
                _forget_wait_before(connection, values)

    def load(self, project: str, id: str) -> Cycle | None:
        prefix = and_(cycles.c.project == project, cycles.c.id >= id, cycles.c.id < id + "\U0010ffff")
        with self._database.read() as connection:
            found = connection.execute(select(cycles.c.id, cycles.c.record).where(prefix).order_by(cycles.c.id).limit(2)).all()
            if len(found) > 1 and found[0].id != id:
                number = connection.execute(select(func.count()).select_from(cycles).where(prefix)).scalar_one()
                raise NotFound(f"{number} cycles begin with {id!r}. Give more of the id.")
        return self._read(found[0]) if found else None

    def recent(self, project: str, limit: int = 20, *, unfinished: bool = False) -> Sequence[Cycle]:
        wanted = select(cycles.c.id, cycles.c.record).where(cycles.c.project == project)
        if unfinished:
            wanted = wanted.where(cycles.c.outcome.is_(None))
        with self._database.read() as connection:
            found = connection.execute(wanted.order_by(*_NEWEST_FIRST).limit(limit)).all()
        return [self._read(row) for row in found]

    def trainings(
        self, project: str, *, since: datetime | None = None, champion: str | None = None, trained_on: str | None = None
    ) -> Sequence[Training]:
        columns = cycles.c
        wanted = select(
            columns.id, columns.started_at, columns.trained_on, columns.champion, columns.gate, columns.conclusion
        ).where(columns.project == project, columns.trained_on.is_not(None))
        if since is not None:
            wanted = wanted.where(columns.started_at >= time_text(since))
        if champion is not None:
            wanted = wanted.where(columns.champion == champion)
        if trained_on is not None:
            wanted = wanted.where(columns.trained_on == trained_on)
        with self._database.read() as connection:
            return [_training(row) for row in connection.execute(wanted.order_by(*_NEWEST_FIRST))]

    def ids(self, project: str) -> Sequence[str]:
        wanted = select(cycles.c.id).where(cycles.c.project == project).order_by(*_NEWEST_FIRST)
        with self._database.read() as connection:
            return list(connection.execute(wanted).scalars())

    def _read(self, row: Any) -> Cycle:
        try:
            return loads(Cycle, row.record)
        except ValueError as error:
            raise Unavailable(
                f"Cycle {row.id} in the ledger {self._database.shown_url} cannot be read. "
                "It may have been written by a newer keepfit: upgrade keepfit."
            ) from error


_NEWEST_FIRST = (cycles.c.started_at.desc(), cycles.c.id.desc())


def _forget_wait_before(connection: Connection, values: dict[str, Any]) -> None:
    """A wait that follows a wait replaces it: see `ledger_rules.replaces`."""
    columns = cycles.c
    others = select(columns.id, columns.outcome, columns.started_at).where(
        columns.project == values["project"], columns.id != values["id"]
    )
    newest = connection.execute(others.order_by(*_NEWEST_FIRST).limit(1)).first()
    if newest is None or newest.outcome != Outcome.WAITING:
        return
    if (newest.started_at, newest.id) < (values["started_at"], values["id"]):
        connection.execute(cycles.delete().where(_is(values["project"], newest.id)))


def _is(project: str, id: str) -> ColumnElement[bool]:
    return and_(cycles.c.project == project, cycles.c.id == id)


def _values(cycle: Cycle) -> dict[str, Any]:
    trained = training(cycle)
    return {
        "project": cycle.project,
        "id": cycle.id,
        "started_at": time_text(cycle.started_at),
        "finished_at": time_text(cycle.finished_at) if cycle.finished_at else None,
        "stage": cycle.stage,
        "outcome": cycle.outcome.value if cycle.outcome else None,
        "action": cycle.decision.action.value if cycle.decision else None,
        "trained_on": trained.trained_on if trained else None,
        "champion": compared_with(cycle),
        "gate": trained.gate if trained else None,
        "conclusion": trained.conclusion.value if trained and trained.conclusion else None,
        "fence": cycle.fence,
        "record": dumps(cycle),
    }


def _training(row: Any) -> Training:
    return Training(
        cycle=row.id,
        at=read_time(row.started_at),
        trained_on=row.trained_on,
        champion=row.champion,
        gate=row.gate,
        conclusion=Conclusion(row.conclusion) if row.conclusion else None,
    )
