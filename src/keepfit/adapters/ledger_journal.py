"""Promotions, each written down before the alias moves and settled after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, and_, literal_column, select

from keepfit.adapters.ledger_database import Database
from keepfit.adapters.ledger_leases import check_held
from keepfit.adapters.ledger_rules import check_mover, check_status
from keepfit.adapters.ledger_schema import promotions
from keepfit.codec import dumps, loads, read_time, time_text
from keepfit.errors import NotFound
from keepfit.records import JournalEntry, Lease, Promotion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement


_INTENDED: ColumnElement[str] = literal_column("'intended'")


class SqlJournal:
    """The port `Journal`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def intend(self, project: str, id: str, promotion: Promotion, lease: Lease) -> JournalEntry:
        return self._write(project, id, promotion, "intended", lease)

    def note(self, project: str, id: str, promotion: Promotion, lease: Lease) -> JournalEntry:
        return self._write(project, id, promotion, "done", lease)

    def _write(self, project: str, id: str, promotion: Promotion, status: str, lease: Lease) -> JournalEntry:
        check_mover(project, lease)
        with self._database.write() as connection:
            check_held(connection, lease)
            found = connection.execute(select(promotions).where(_is(project, id))).first()
            if found:
                return _entry(found)
            entry = JournalEntry(id=id, promotion=promotion, status=status, at=self._database.now(connection))
            connection.execute(promotions.insert().inline(), _values(project, entry))
            return entry

    def settle(self, project: str, id: str, status: str, lease: Lease) -> None:
        check_mover(project, lease)
        with self._database.write() as connection:
            check_held(connection, lease)
            before = connection.execute(select(promotions.c.status).where(_is(project, id))).scalar()
            if before is None:
                raise NotFound(f"The journal of {project} has no promotion {id!r}.")
            check_status(id, before, status)
            connection.execute(promotions.update().where(_is(project, id)).values(status=status))

    def unsettled(self, project: str) -> Sequence[JournalEntry]:
        # The status is written out, not a parameter: so the database sees that its index of unsettled rows will do.
        intended = promotions.c.status == _INTENDED
        return self._read(_all(project).where(intended).order_by(promotions.c.number))

    def entries(self, project: str, limit: int = 50) -> Sequence[JournalEntry]:
        return self._read(_all(project).order_by(promotions.c.number.desc()).limit(limit))

    def _read(self, wanted: Select[Any]) -> Sequence[JournalEntry]:
        with self._database.read() as connection:
            return [_entry(row) for row in connection.execute(wanted)]


def _all(project: str) -> Select[Any]:
    return select(promotions).where(promotions.c.project == project)


def _is(project: str, id: str) -> ColumnElement[bool]:
    return and_(promotions.c.project == project, promotions.c.id == id)


def _values(project: str, entry: JournalEntry) -> dict[str, Any]:
    promotion = dumps(entry.promotion)
    return {"project": project, "id": entry.id, "status": entry.status, "at": time_text(entry.at), "promotion": promotion}


def _entry(row: Any) -> JournalEntry:
    return JournalEntry(id=row.id, promotion=loads(Promotion, row.promotion), status=row.status, at=read_time(row.at))
