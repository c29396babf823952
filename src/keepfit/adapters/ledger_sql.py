"""The ledger in a database: SQLite by default, Postgres by URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keepfit.adapters.ledger_audit import SqlAudit
from keepfit.adapters.ledger_batches import SqlBatches
from keepfit.adapters.ledger_cycles import SqlCycles
from keepfit.adapters.ledger_database import Database
from keepfit.adapters.ledger_documents import SqlDocuments
from keepfit.adapters.ledger_journal import SqlJournal
from keepfit.adapters.ledger_leases import SqlLeases
from keepfit.adapters.ledger_outbox import SqlOutbox
from keepfit.adapters.ledger_schema import MIGRATIONS, Migration, migrate

if TYPE_CHECKING:
    from keepfit.ports import Clock


class SqlLedger:
    """The port `Ledger`. Safe to use from several threads and processes at once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.leases = SqlLeases(database)
        self.cycles = SqlCycles(database)
        self.batches = SqlBatches(database)
        self.journal = SqlJournal(database)
        self.outbox = SqlOutbox(database)
        self.documents = SqlDocuments(database)
        self.audit = SqlAudit(database)

    def close(self) -> None:
        """Give the connections back."""
        self._database.close()


def open_ledger(url: str, clock: Clock | None = None, *, migrations: tuple[Migration, ...] = MIGRATIONS) -> SqlLedger:
    """Open the ledger, making or upgrading its tables when needed.

    `url` is sqlite:///path or postgresql://user@host/name. `clock` replaces the database's own, for tests and simulations.
    Raises `ConfigError` for another kind of URL, `MissingExtra` without the driver, `Unavailable` when the database does
    not answer or is none, `SchemaTooNew` when a newer keepfit has upgraded it.
    """
    database = Database(url, clock)
    try:
        migrate(database, migrations)
    except BaseException:
        database.close()
        raise
    return SqlLedger(database)
