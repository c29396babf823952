"""Admin acts, one row each, written once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from keepfit.adapters.ledger_database import Database
from keepfit.adapters.ledger_schema import audit
from keepfit.codec import dumps, loads, time_text
from keepfit.live_records import AuditEntry

if TYPE_CHECKING:
    from collections.abc import Sequence


class SqlAudit:
    """The port `Audit`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, project: str, entry: AuditEntry) -> None:
        searched = {"at": time_text(entry.at), "actor": entry.actor, "act": entry.act}
        with self._database.write() as connection:
            connection.execute(audit.insert().inline(), {"project": project, **searched, "entry": dumps(entry)})

    def recent(self, project: str, limit: int = 50) -> Sequence[AuditEntry]:
        wanted = select(audit.c.entry).where(audit.c.project == project).order_by(audit.c.number.desc()).limit(limit)
        with self._database.read() as connection:
            return [loads(AuditEntry, text) for text in connection.execute(wanted).scalars()]
