from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event, exc

from keepfit.adapters import ledger_database, ledger_schema
from keepfit.adapters.ledger_database import Database
from keepfit.adapters.ledger_schema import MIGRATIONS
from keepfit.adapters.ledger_sql import SqlLedger, open_ledger
from keepfit.errors import ConfigError, LeaseHeld, MissingExtra, SchemaTooNew, Unavailable
from keepfit.records import BatchState, Outcome
from keepfit.testing.ledger_contract import PROJECT, PROMOTION, batch, cycle, everything, trained

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NEXT = (
    *MIGRATIONS,
    ("alter table keepfit_batches add column note {text}", "update keepfit_batches set note = name"),
    ("create table keepfit_outbox (number {number}, text {text} not null)",),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[SqlLedger]:
    ledger = open_ledger(f"sqlite:///{path}")
    yield ledger
    ledger.close()


def query(path: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def change(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(sql)


# ---------------------------------------------------------------------------------------------------------------- schema


def test_the_tables_for_queries_are_those_that_the_migrations_make(ledger: SqlLedger, path: Path) -> None:
    for table in ledger_schema._metadata.tables.values():
        made = [(name, bool(key)) for _, name, _, _, _, key in query(path, f"pragma table_info({table.name})")]
        assert made == [(column.name, column.primary_key) for column in table.columns]


def test_an_upgrade_keeps_every_row(path: Path) -> None:
    url = f"sqlite:///{path}"
    before = fill(open_ledger(url))
    upgraded = open_ledger(url, migrations=NEXT)
    assert everything(upgraded) == before
    assert query(path, "select note from keepfit_batches order by id") == [("a.csv",), ("b.csv",)]
    assert query(path, "select version from keepfit_schema") == [(len(NEXT),)]
    lease = upgraded.leases.acquire(PROJECT, "box:2:b", 60, is_dead=lambda holder: holder == "box:1:a")
    upgraded.cycles.save(cycle("c3", batches=(batch("c"),)), lease)
    assert upgraded.batches.count(PROJECT)[BatchState.NEW] == 2
    upgraded.close()


def test_an_upgrade_that_fails_leaves_the_version_it_came_to(path: Path) -> None:
    url = f"sqlite:///{path}"
    before = fill(open_ledger(url))
    broken = (*NEXT[:-1], ("create table keepfit_outbox (number {number})", "drop table keepfit_batches", "select broken"))
    with pytest.raises(Unavailable):
        open_ledger(url, migrations=broken)
    assert query(path, "select version from keepfit_schema") == [(len(NEXT) - 1,)]
    assert query(path, "select name from sqlite_master where name = 'keepfit_outbox'") == []
    upgraded = open_ledger(url, migrations=NEXT)
    assert everything(upgraded) == before
    upgraded.close()


def test_a_ledger_of_a_newer_keepfit_is_left_alone(path: Path) -> None:
    open_ledger(f"sqlite:///{path}", migrations=NEXT).close()
    before = path.read_bytes()
    with pytest.raises(SchemaTooNew, match=f"version {len(NEXT)}.*up to {len(MIGRATIONS)}"):
        open_ledger(f"sqlite:///{path}")
    assert path.read_bytes() == before
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_a_database_with_other_tables_is_shared(path: Path) -> None:
    change(path, "create table cycles (id); insert into cycles values (1)")
    before = fill(open_ledger(f"sqlite:///{path}"))
    assert before
    assert query(path, "select * from cycles") == [(1,)]


def fill(ledger: SqlLedger) -> tuple[object, ...]:
    """Put rows into every table; returns all that can be read, and closes the ledger."""
    lease = ledger.leases.acquire(PROJECT, "box:1:a", 60)
    ledger.cycles.save(cycle("c1", outcome=Outcome.HEALTHY, batches=(batch("a"),)), lease)
    ledger.cycles.save(trained("c2", champion="1", batches=(batch("b", state=BatchState.JUDGED),)), lease)
    ledger.journal.intend(PROJECT, "c2", PROMOTION, lease)
    kept = everything(ledger)
    ledger.close()
    return kept


# ------------------------------------------------------------------------------------------------------------------ files


def test_a_commit_survives_a_power_cut(ledger: SqlLedger, path: Path) -> None:
    assert query(path, "pragma journal_mode") == [("wal",)]
    with ledger._database.read() as connection:
        settings = [connection.exec_driver_sql(f"pragma {name}").scalar() for name in ("synchronous", "foreign_keys")]
    assert settings == [2, 1], "full, on"


def test_the_folder_is_made(tmp_path: Path) -> None:
    open_ledger(f"sqlite:///{tmp_path}/.keepfit/ledger.db").close()
    assert (tmp_path / ".keepfit" / "ledger.db").exists()


def test_a_file_that_is_no_database_is_left_alone(path: Path) -> None:
    path.write_text("id,name\n1,Ada\n" * 100)
    with pytest.raises(Unavailable, match=r"ledger\.db cannot be used: the file is not a ledger"):
        open_ledger(f"sqlite:///{path}")
    assert path.read_text() == "id,name\n1,Ada\n" * 100


def test_a_damaged_ledger_is_unavailable(path: Path) -> None:
    fill(open_ledger(f"sqlite:///{path}"))
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    with pytest.raises(Unavailable, match="Restore a copy"), closing(open_ledger(f"sqlite:///{path}")) as ledger:
        ledger.cycles.recent(PROJECT)


def test_a_folder_in_the_place_of_the_file_is_unavailable(path: Path) -> None:
    path.mkdir()
    with pytest.raises(Unavailable, match="cannot be opened"):
        open_ledger(f"sqlite:///{path}")
    with pytest.raises(Unavailable, match=r"folder .* cannot be made"):
        (path / "file").touch()
        open_ledger(f"sqlite:///{path}/file/ledger.db")


def test_a_ledger_that_may_only_be_read_can_be_read(path: Path) -> None:
    before = fill(open_ledger(f"sqlite:///{path}"))
    ledger = open_ledger(f"sqlite:///file:{path}?mode=ro&uri=true")
    assert everything(ledger) == before
    with pytest.raises(Unavailable, match="may only be read"):
        ledger.leases.acquire("another", "box:1:a", 60)
    ledger.close()


def test_a_ledger_that_stays_locked_is_unavailable_for_writers_only(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_database, "BUSY_SECONDS", 0.05)
    ledger = open_ledger(f"sqlite:///{path}")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin immediate")
        assert ledger.cycles.recent(PROJECT) == []
        with pytest.raises(Unavailable, match="another process has been writing"):
            ledger.leases.acquire(PROJECT, "box:1:a", 60)
    assert ledger.leases.acquire(PROJECT, "box:1:a", 60).fence == 1
    with pytest.raises(LeaseHeld):
        ledger.leases.acquire(PROJECT, "box:1:a", 60)
    ledger.close()


def test_a_cycle_that_cannot_be_read_is_named(ledger: SqlLedger, path: Path) -> None:
    lease = ledger.leases.acquire(PROJECT, "box:1:a", 60)
    ledger.cycles.save(cycle("c1", outcome=Outcome.HEALTHY), lease)
    change(path, """update keepfit_cycles set record = replace(record, '"healthy"', '"splendid"')""")
    with pytest.raises(Unavailable, match=r"Cycle c1 .* newer keepfit"):
        ledger.cycles.recent(PROJECT)


# ------------------------------------------------------------------------------------------------------------------- URLs


@pytest.mark.parametrize("url", ["postgresql://u:hush@h:1/d", "postgres://u:hush@h:1/d", "postgresql+psycopg://u:hush@h:1/d"])
def test_a_postgres_url_means_psycopg(url: str) -> None:
    assert Database(url).shown_url == "postgresql+psycopg://u:***@h:1/d"


@pytest.mark.parametrize("url", ["mysql://u:hush@h/d", "ledger.db", "", "postgresql://u:hush@h:port/d"])
def test_another_url_is_a_configuration_error_that_keeps_the_password(url: str) -> None:
    with pytest.raises(ConfigError, match="sqlite:///") as caught:
        open_ledger(url)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_ledger_that_would_be_forgotten_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="forgets everything"):
        open_ledger(url)


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtra, match=r"pip install 'keepfit\[postgres\]'"):
        open_ledger("postgresql://h/d")


def test_a_server_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"u:\*\*\*@") as caught:
        open_ledger(f"postgresql://u:hush@/d?host={tmp_path}&password=hush")
    assert "hush" not in str(caught.value)


FOREIGN = [kind for kind in vars(exc).values() if isinstance(kind, type) and issubclass(kind, exc.DBAPIError)]


@pytest.mark.parametrize("kind", [*FOREIGN, exc.TimeoutError], ids=lambda kind: str(kind.__name__))
def test_no_exception_of_the_database_gets_through(ledger: SqlLedger, kind: type[Exception]) -> None:
    def fail(*_: object) -> None:
        raise kind("select 1", {}, Exception("database or disk is full")) if kind in FOREIGN else kind("waited")

    event.listen(ledger._database._engine, "before_cursor_execute", fail)
    with pytest.raises(Unavailable) as caught:
        ledger.cycles.recent(PROJECT)
    assert kind not in FOREIGN or "Free some space" in str(caught.value)


# ------------------------------------------------------------------------------------------------------------------ speed


def test_every_question_has_its_index(ledger: SqlLedger, path: Path) -> None:
    seen: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        seen.append((statement, parameters))

    event.listen(ledger._database._engine, "before_cursor_execute", note)
    ledger.cycles.recent(PROJECT)
    ledger.cycles.recent(PROJECT, unfinished=True)
    ledger.cycles.load(PROJECT, "c")
    ledger.cycles.trainings(PROJECT, since=cycle("1").started_at)
    ledger.cycles.trainings(PROJECT, champion="1")
    ledger.cycles.trainings(PROJECT, trained_on="x")
    ledger.batches.known(PROJECT, ["a", "b"])
    ledger.batches.in_state(PROJECT, BatchState.NEW)
    ledger.batches.count(PROJECT)
    ledger.journal.unsettled(PROJECT)
    ledger.journal.entries(PROJECT)
    with closing(sqlite3.connect(path)) as connection:
        plans = [
            " / ".join(row[3] for row in connection.execute(f"explain query plan {sql}", values))
            for sql, values in seen
            if sql.startswith("SELECT")
        ]
    expected = (
        "keepfit_cycles_by_time",
        "keepfit_cycles_unfinished",
        "autoindex_keepfit_cycles_1 (project=? AND id>? AND id<?)",
        "keepfit_trainings_by_time",
        "keepfit_trainings_by_champion",
        "keepfit_trainings_by_set",
        "autoindex_keepfit_batches_1 (project=? AND id=?)",
        "keepfit_batches_by_state (project=? AND state=?)",
        "COVERING INDEX keepfit_batches_by_state",
        "keepfit_promotions_unsettled",
        "keepfit_promotions_by_number",
    )
    assert len(plans) == len(expected)
    for plan, index in zip(plans, expected, strict=True):
        assert index in plan
        assert "SCAN" not in plan


def test_opening_and_writing_load_neither_pydantic_nor_a_driver_that_is_not_used(path: Path) -> None:
    program = f"""
import sys
from keepfit.adapters.ledger_sql import open_ledger
ledger = open_ledger("sqlite:///{path}")
ledger.leases.acquire("churn", "box:1:a", 60)
ledger.batches.count("churn")
for name in ("pydantic", "psycopg", "sqlalchemy.orm", "sqlalchemy.dialects.postgresql", "numpy", "pandas", "polars", "mlflow"):
    assert name not in sys.modules, name
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
