"""The connection to the ledger's database: transactions, the clock, and every foreign exception as one of keepfit's.

SQLite runs with a write-ahead log, so that readers never wait, and takes the write lock when a transaction begins, so that
two writers queue and never deadlock. `synchronous` is FULL: with NORMAL a power cut may take back the last transactions,
and a promotion that is noted `intended` must not be forgotten once the alias has moved. It costs one flush a checkpoint.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from keepfit.errors import ConfigError, MissingExtra, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection, Engine, Table

    from keepfit.ports import Clock

BUSY_SECONDS = 30  # how long a writer waits for another one
CONNECT_SECONDS = 5
_BEGIN = "keepfit_begin"  # execution option: how a transaction on SQLite begins


class Database:
    """Where the ledger is kept.

    Time is `clock`'s when one is given, for tests and simulations. Otherwise it is the database's own, because several
    hosts compare their leases there and their clocks differ; a SQLite file belongs to one host, whose clock that is.
    """

    def __init__(self, url: str, clock: Clock | None = None) -> None:
        address = _address(url)
        self.is_sqlite = address.get_backend_name() == "sqlite"
        self.shown_url = _without_secrets(address)
        self._clock = clock
        self._engine = _sqlite(address) if self.is_sqlite else _postgres(address)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that changes nothing."""
        with self._translated(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is kept whole when the block ends and leaves nothing when it raises."""
        with (
            self._translated(),
            self._engine.connect() as connection,
            connection.execution_options(**{_BEGIN: "begin immediate"}).begin(),
        ):
            yield connection

    def now(self, connection: Connection) -> datetime:
        """UTC."""
        if self._clock:
            return self._clock.now()
        if self.is_sqlite:
            return datetime.now(UTC)
        passed = connection.execute(text("select (extract(epoch from clock_timestamp()) * 1000000)::bigint")).scalar_one()
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=passed)

    def use_write_ahead_log(self) -> None:
        """Switch the file over, once: the mode is kept in it. SQLite does not queue for this lock, so it is asked again."""
        deadline = time.monotonic() + BUSY_SECONDS
        with self._translated(), self._engine.connect() as connection:
            connection = connection.execution_options(**{_BEGIN: None})
            while connection.exec_driver_sql("pragma journal_mode").scalar() != "wal":
                try:
                    connection.exec_driver_sql("pragma journal_mode = wal")
                    return
                except OperationalError as error:
                    if "locked" not in str(error.orig) or time.monotonic() > deadline:
                        raise
                    time.sleep(0.02)

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise Unavailable(f"The ledger {self.shown_url} cannot be used: {_advice(error)}") from error
        except PoolTimeout as error:
            raise Unavailable(f"The ledger {self.shown_url} has no connection free. Try again.") from error


def upsert(connection: Connection, table: Table, rows: Sequence[dict[str, Any]], kept: dict[str, str] | None = None) -> None:
    """Insert the rows, or overwrite those with the same primary key. `kept` gives the SQL of columns that merge old and new."""
    if not rows:
        return
    keys = [column.name for column in table.primary_key]
    insert = _inserter(connection)(table)
    changes = {name: insert.excluded[name] for name in rows[0] if name not in keys}
    changes |= {name: text(sql) for name, sql in (kept or {}).items()}
    connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=changes), rows)


def insert_missing(connection: Connection, table: Table, row: dict[str, Any]) -> bool:
    """Insert the row unless its key is there, and return whether it was; waits for another process that is about to insert it."""
    insert = _inserter(connection)(table).on_conflict_do_nothing().inline()
    return connection.execute(insert, row, execution_options={"preserve_rowcount": True}).rowcount > 0


def _inserter(connection: Connection) -> Any:
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert
    from sqlalchemy.dialects import postgresql

    return postgresql.insert


def _address(url: str) -> URL:
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigError("The ledger's URL cannot be read. Use sqlite:///path/to/ledger.db or postgresql://host/name.") from None
    name = address.drivername
    if name in ("postgresql", "postgres"):
        address = address.set(drivername="postgresql+psycopg")
    elif name not in ("sqlite", "sqlite+pysqlite", "postgresql+psycopg"):
        raise ConfigError(f"A ledger is kept at sqlite:///path or postgresql://host/name, not at {name}://")
    if name.startswith("sqlite") and address.database in (None, "", ":memory:"):
        raise ConfigError("A ledger in memory forgets everything. Name a file: sqlite:///path/to/ledger.db")
    return address


def _without_secrets(address: URL) -> str:
    return address.difference_update_query(["password", "sslpassword"]).render_as_string(hide_password=True)


def _sqlite(address: URL) -> Engine:
    path = address.database or ""
    if not path.startswith("file:"):
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable(f"The ledger's folder {Path(path).parent} cannot be made: {error.strerror}.") from error
    engine = create_engine(address, hide_parameters=True, connect_args={"timeout": BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver must not begin transactions of its own
        connection.execute("pragma foreign_keys = on")
        connection.execute("pragma synchronous = full")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        statement = connection.get_execution_options().get(_BEGIN, "begin")
        if statement:
            connection.exec_driver_sql(statement)

    return engine


def _postgres(address: URL) -> Engine:
    arguments: dict[str, Any] = {"connect_timeout": CONNECT_SECONDS}
    # A runner that is suspended inside a transaction would keep the project's row locked: the server ends it.
    # Nothing that was said to be stored may be forgotten in a crash, whatever the server's default.
    arguments["options"] = (
        f"-c lock_timeout={BUSY_SECONDS}s -c idle_in_transaction_session_timeout={2 * BUSY_SECONDS}s -c synchronous_commit=on"
    )
    arguments = {name: value for name, value in arguments.items() if name not in address.query}
    try:
        return create_engine(
            address,
            hide_parameters=True,
            pool_pre_ping=True,  # a connection that died while the runner slept is replaced
            isolation_level="READ COMMITTED",
            connect_args=arguments,
        )
    except (ImportError, NoSuchModuleError) as error:
        raise MissingExtra("A ledger on Postgres needs its driver: pip install 'keepfit[postgres]'") from error


_ADVICE = (  # what the database's words contain, and what to do
    ("database is locked", f"another process has been writing to it for {BUSY_SECONDS} seconds. Try again."),
    ("lock timeout", f"another process has been writing to it for {BUSY_SECONDS} seconds. Try again."),
    ("disk is full", "the disk is full. Free some space and run again."),
    ("no space left", "the disk is full. Free some space and run again."),
    ("readonly", "it may only be read. Let this user write to it, to the files beside it (-wal, -shm) and to its folder."),
    ("read-only", "it may only be read. Give this user the right to write to it."),
    ("not a database", "the file is not a ledger. Name another file, or move this one away."),
    ("malformed", "the file is damaged. Restore a copy of it, or move it away to begin a new ledger."),
    ("unable to open", "the file cannot be opened. See that its folder exists and may be read and written."),
    ("authentication failed", "the user or the password is wrong."),
    ("permission denied", "its user lacks a right that keepfit needs: to make tables, to read and to write them."),
    ("does not exist", "make it first, or mend the URL."),
)


def _advice(error: DBAPIError) -> str:
    said = " ".join(str(error.orig).split())
    for words, advice in _ADVICE:
        if words in said.lower():
            return f"{advice} ({said})"
    return f"{said}. Nothing is lost: run again when it answers."
