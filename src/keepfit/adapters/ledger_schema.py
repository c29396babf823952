"""The ledger's tables, for queries, and the migrations that made them, for databases.

A migration is DDL that both SQLite and Postgres understand and is never changed once released: a later form of a table is
a later migration. `{text}` is text that sorts by code point, `{number}` a key that counts up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, func, inspect, select, text

from keepfit.errors import SchemaTooNew

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from keepfit.adapters.ledger_database import Database

Migration = tuple[str, ...]

MIGRATIONS: tuple[Migration, ...] = (
    (
        """create table keepfit_leases (
            project {text} primary key, holder {text}, fence bigint not null, since {text}, expires_at {text})""",
        """create table keepfit_cycles (
            project {text} not null, id {text} not null, started_at {text} not null, finished_at {text}, stage {text},
            outcome {text}, action {text}, trained_on {text}, champion {text}, gate {text}, conclusion {text},
            fence bigint not null, record text not null, primary key (project, id))""",
        "create index keepfit_cycles_by_time on keepfit_cycles (project, started_at, id)",
        "create index keepfit_cycles_unfinished on keepfit_cycles (project, started_at, id) where outcome is null",
        "create index keepfit_trainings_by_time on keepfit_cycles (project, started_at, id) where trained_on is not null",
        """create index keepfit_trainings_by_set on keepfit_cycles (project, trained_on, started_at, id)
            where trained_on is not null""",
        """create index keepfit_trainings_by_champion on keepfit_cycles (project, champion, started_at, id)
            where trained_on is not null""",
        """create table keepfit_batches (
            project {text} not null, id {text} not null, state {text} not null, name {text} not null, place {text} not null,
            size bigint not null, row_count bigint, arrived_at {text} not null, cycle {text} not null,
            primary key (project, id))""",
        "create index keepfit_batches_by_state on keepfit_batches (project, state, arrived_at, name)",
        """create table keepfit_duplicates (
            project {text} not null, batch {text} not null, name {text} not null, original {text} not null,
            primary key (project, batch, name))""",
        """create table keepfit_promotions (
            number {number}, project {text} not null, id {text} not null, status {text} not null, at {text} not null,
            promotion text not null, unique (project, id))""",
        "create index keepfit_promotions_by_number on keepfit_promotions (project, number)",
        "create index keepfit_promotions_unsettled on keepfit_promotions (project, number) where status = 'intended'",
    ),
    (
        """create table keepfit_alerts (
            number {number}, project {text} not null, key {text} not null, receiver {text} not null, event {text} not null,
            subject {text} not null, status {text} not null, attempts bigint not null, not_before {text}, claimed_until {text},
            sent_at {text}, reason {text} not null, alert text not null, unique (project, key, receiver))""",
        "create index keepfit_alerts_by_number on keepfit_alerts (project, number)",
        "create index keepfit_alerts_by_event on keepfit_alerts (project, event, subject, number)",
        "create index keepfit_alerts_pending on keepfit_alerts (project, receiver, number) where status = 'pending'",
    ),
    (
        """create table keepfit_documents (
            project {text} not null, key {text} not null, revision bigint not null, text text not null,
            primary key (project, key))""",
        """create table keepfit_audit (
            number {number}, project {text} not null, at {text} not null, actor {text} not null, act {text} not null,
            entry text not null)""",
        "create index keepfit_audit_by_number on keepfit_audit (project, number)",
    ),
)

_metadata = MetaData()


def _table(name: str, *columns: str, keys: tuple[str, ...]) -> Table:
    integers = {"fence", "size", "row_count", "revision"}
    return Table(
        f"keepfit_{name}",
        _metadata,
        *(Column(key, BigInteger if key in integers else String, primary_key=key in keys) for key in columns),
    )


leases = _table("leases", "project", "holder", "fence", "since", "expires_at", keys=("project",))
cycles = _table(
    "cycles",
    *("project", "id", "started_at", "finished_at", "stage", "outcome", "action"),
    *("trained_on", "champion", "gate", "conclusion", "fence", "record"),
    keys=("project", "id"),
)
batches = _table(
    "batches",
    *("project", "id", "state", "name", "place", "size", "row_count", "arrived_at", "cycle"),
    keys=("project", "id"),
)
duplicates = _table("duplicates", "project", "batch", "name", "original", keys=("project", "batch", "name"))
promotions = Table(
    "keepfit_promotions",
    _metadata,
    Column("number", Integer, primary_key=True),
    *(Column(key, String) for key in ("project", "id", "status", "at", "promotion")),
)
alerts = Table(
    "keepfit_alerts",
    _metadata,
    Column("number", Integer, primary_key=True),
    *(Column(key, String) for key in ("project", "key", "receiver", "event", "subject", "status")),
    Column("attempts", BigInteger),
    *(Column(key, String) for key in ("not_before", "claimed_until", "sent_at", "reason", "alert")),
)
documents = _table("documents", "project", "key", "revision", "text", keys=("project", "key"))
audit = Table(
    "keepfit_audit",
    _metadata,
    Column("number", Integer, primary_key=True),
    *(Column(key, String) for key in ("project", "at", "actor", "act", "entry")),
)
schema = Table("keepfit_schema", MetaData(), Column("version", Integer))


def migrate(database: Database, migrations: tuple[Migration, ...] = MIGRATIONS) -> None:
    """Bring the database to the newest version, one transaction a step. Raises `SchemaTooNew` and touches nothing then."""
    with database.read() as connection:
        found = _version(connection)
    if found > len(migrations):
        raise SchemaTooNew(
            f"The ledger {database.shown_url} has schema version {found}; this keepfit knows versions up to "
            f"{len(migrations)}. Upgrade keepfit; the ledger was not touched."
        )
    if database.is_sqlite:
        database.use_write_ahead_log()
    while found < len(migrations):
        found = _step(database, migrations)


def _version(connection: Connection) -> int:
    """0 for a database that has no ledger yet, whatever else is in it."""
    if not inspect(connection).has_table(schema.name):
        return 0
    return connection.execute(select(schema.c.version)).scalar() or 0


def _step(database: Database, migrations: tuple[Migration, ...]) -> int:
    """Apply the next migration unless another process did meanwhile; returns the version there is now."""
    with database.write() as connection:
        if not database.is_sqlite:  # on SQLite the write transaction itself lets nobody else in
            connection.execute(select(func.pg_advisory_xact_lock(0x6B656570666974)))  # "keepfit"
        found = _version(connection)
        if found >= len(migrations):
            return found
        for statement in migrations[found]:
            connection.execute(text(_in_dialect(statement, database.is_sqlite)))
        if found == 0:
            connection.execute(text("create table keepfit_schema (version integer not null)"))
            connection.execute(schema.insert().values(version=1))
        else:
            connection.execute(schema.update().values(version=found + 1))
        return found + 1


def _in_dialect(statement: str, is_sqlite: bool) -> str:
    words = ("text", "integer primary key") if is_sqlite else ('text collate "C"', "bigserial primary key")
    return statement.replace("{text}", words[0]).replace("{number}", words[1])
