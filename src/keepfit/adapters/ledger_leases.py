"""One runner at a time: a row a project, whose number grows with every new holder and is never reset."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, and_, select

from keepfit.adapters.ledger_database import Database, insert_missing
from keepfit.adapters.ledger_rules import lease_held, lease_lost
from keepfit.adapters.ledger_schema import leases
from keepfit.codec import read_time, time_text
from keepfit.records import Lease

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import ColumnElement, Connection


class SqlLeases:
    """The port `Leases`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def acquire(self, project: str, holder: str, seconds: float, *, is_dead: Callable[[str], bool] | None = None) -> Lease:
        with self._database.write() as connection:
            insert_missing(connection, leases, {"project": project, "fence": 0})
            row = connection.execute(_row(project).with_for_update()).one()
            before, now = _lease(row), self._database.now(connection)
            if before and before.expires_at > now and not (is_dead and is_dead(before.holder)):
                raise lease_held(before)
            end = now + timedelta(seconds=seconds)
            lease = Lease(project=project, holder=holder, fence=row.fence + 1, since=now, expires_at=end)
            connection.execute(leases.update().where(leases.c.project == project).values(**_values(lease)))
            return lease

    def renew(self, lease: Lease, seconds: float) -> Lease:
        with self._database.write() as connection:
            check_held(connection, lease)
            end = self._database.now(connection) + timedelta(seconds=seconds)
            connection.execute(leases.update().where(_is(lease)).values(expires_at=time_text(end)))
        return Lease(project=lease.project, holder=lease.holder, fence=lease.fence, since=lease.since, expires_at=end)

    def release(self, lease: Lease) -> None:
        with self._database.write() as connection:
            connection.execute(leases.update().where(_is(lease)).values(holder=None, since=None, expires_at=None))

    def current(self, project: str) -> Lease | None:
        with self._database.read() as connection:
            return _current(connection, project)


def check_held(connection: Connection, lease: Lease) -> None:
    """Let a write go on only under the current lease, and let nobody take the lease before the write is done.

    The condition and the lock are one statement: Postgres locks the row, and on SQLite the write transaction that has begun
    keeps everybody else out. Raises `LeaseLost`.
    """
    if connection.execute(select(leases.c.fence).where(_is(lease)).with_for_update()).first() is None:
        raise lease_lost(lease, _current(connection, lease.project))


def _current(connection: Connection, project: str) -> Lease | None:
    row = connection.execute(_row(project)).first()
    return _lease(row) if row else None


def _row(project: str) -> Select[Any]:
    return select(leases).where(leases.c.project == project)


def _is(lease: Lease) -> ColumnElement[bool]:
    return and_(leases.c.project == lease.project, leases.c.holder == lease.holder, leases.c.fence == lease.fence)


def _lease(row: Any) -> Lease | None:
    if row.holder is None:
        return None
    since, end = read_time(row.since), read_time(row.expires_at)
    return Lease(project=row.project, holder=row.holder, fence=row.fence, since=since, expires_at=end)


def _values(lease: Lease) -> dict[str, Any]:
    times = {"since": time_text(lease.since), "expires_at": time_text(lease.expires_at)}
    return {"holder": lease.holder, "fence": lease.fence, **times}
