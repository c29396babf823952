"""What is known of the data files: one row a batch, as the last cycle that looked at it left it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from keepfit.adapters.ledger_database import Database, upsert
from keepfit.adapters.ledger_schema import batches, duplicates
from keepfit.codec import read_time, time_text
from keepfit.records import Batch, BatchState, Cycle, Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection

_AT_ONCE = 1_000  # ids in one question; SQLite and Postgres take 32,000 and more

# Once known, these stay: see `ledger_rules.remembered`.
_KEPT = {
    "arrived_at": "case when keepfit_batches.arrived_at = '' then excluded.arrived_at else keepfit_batches.arrived_at end",
    "row_count": "coalesce(excluded.row_count, keepfit_batches.row_count)",
}


class SqlBatches:
    """The port `Batches`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def known(self, project: str, ids: Iterable[str]) -> dict[str, Batch]:
        wanted = list(dict.fromkeys(ids))
        found: dict[str, Batch] = {}
        with self._database.read() as connection:
            for start in range(0, len(wanted), _AT_ONCE):
                some = batches.c.id.in_(wanted[start : start + _AT_ONCE])
                rows = connection.execute(select(batches).where(batches.c.project == project, some))
                found |= {row.id: _batch(row) for row in rows}
        return found

    def in_state(self, project: str, *states: BatchState) -> Sequence[Batch]:
        columns = batches.c
        with self._database.read() as connection:
            rows = connection.execute(
                select(batches)
                .where(columns.project == project, columns.state.in_([state.value for state in states]))
                .order_by(columns.arrived_at, columns.name, columns.id)
            )
            return [_batch(row) for row in rows]

    def count(self, project: str) -> dict[BatchState, int]:
        number = func.count().label("number")
        counted = select(batches.c.state, number).where(batches.c.project == project).group_by(batches.c.state)
        with self._database.read() as connection:
            found = {row.state: row.number for row in connection.execute(counted)}
        return {state: found.get(state.value, 0) for state in BatchState}


def save_batches(connection: Connection, cycle: Cycle) -> None:
    """Store what the cycle knows of its batches and of those before it, and which files repeat one."""
    upsert(connection, batches, [_values(batch, cycle) for batch in (*cycle.earlier, *cycle.batches)], kept=_KEPT)
    repeated = [
        {"project": cycle.project, "batch": duplicate.batch, "name": duplicate.name, "original": duplicate.original}
        for duplicate in cycle.duplicates
    ]
    upsert(connection, duplicates, repeated)


def _values(batch: Batch, cycle: Cycle) -> dict[str, Any]:
    return {
        "project": cycle.project,
        "id": batch.id,
        "state": batch.state.value,
        "name": batch.name,
        "place": batch.place.value,
        "size": batch.size,
        "row_count": batch.rows,
        "arrived_at": time_text(batch.arrived_at) if batch.arrived_at else "",  # the databases sort null differently
        "cycle": cycle.id,
    }


def _batch(row: Any) -> Batch:
    return Batch(
        id=row.id,
        name=row.name,
        size=row.size,
        rows=row.row_count,
        state=BatchState(row.state),
        place=Place(row.place),
        arrived_at=read_time(row.arrived_at) if row.arrived_at else None,
    )
