"""What only a server can do to a ledger."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING

import psycopg
import pytest

from keepfit.adapters import ledger_database
from keepfit.adapters.ledger_leases import check_held
from keepfit.adapters.ledger_schema import MIGRATIONS
from keepfit.adapters.ledger_sql import SqlLedger, open_ledger
from keepfit.errors import SchemaTooNew, Unavailable
from keepfit.records import BatchState
from keepfit.testing.ledger_contract import PROJECT, batch, cycle, everything

if TYPE_CHECKING:
    from collections.abc import Iterator

NEXT = (*MIGRATIONS, ("alter table keepfit_batches add column note {text}", "update keepfit_batches set note = name"))


@pytest.fixture
def ledger(postgres_url: str) -> Iterator[SqlLedger]:
    ledger = open_ledger(postgres_url)
    yield ledger
    ledger.close()


def test_time_is_the_servers(ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    before = datetime.now(UTC)

    class Wrong(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Wrong:
            return cls(2001, 1, 1, tzinfo=tz)

    monkeypatch.setattr(ledger_database, "datetime", Wrong)
    lease = ledger.leases.acquire(PROJECT, "box:1:a", 60)
    assert before - timedelta(seconds=5) < lease.since < datetime.now(UTC) + timedelta(seconds=5)


TERMINATE = """select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()"""


def test_a_connection_that_died_is_replaced(ledger: SqlLedger, postgres_url: str) -> None:
    lease = ledger.leases.acquire(PROJECT, "box:1:a", 60)
    with psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute(TERMINATE)
    ledger.cycles.save(cycle("c1"), lease)
    assert len(ledger.cycles.recent(PROJECT)) == 1


def test_a_connection_that_dies_inside_a_save_leaves_nothing(ledger: SqlLedger, postgres_url: str) -> None:
    lease = ledger.leases.acquire(PROJECT, "box:1:a", 60)
    before = everything(ledger)
    with pytest.raises(Unavailable), ledger._database.write() as connection:
        connection.exec_driver_sql("update keepfit_leases set fence = 99")
        with psycopg.connect(postgres_url, autocommit=True) as other:
            other.execute(TERMINATE)
        connection.exec_driver_sql("select 1")
    assert everything(ledger) == before
    ledger.cycles.save(cycle("c1"), lease)


def test_a_runner_that_sleeps_inside_a_save_does_not_keep_the_project(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_database, "BUSY_SECONDS", 1)
    ledger = open_ledger(postgres_url)
    lease = ledger.leases.acquire(PROJECT, "box:1:a", 0)
    began = time.monotonic()
    with pytest.raises(Unavailable), ledger._database.write() as connection:
        check_held(connection, lease)  # from here on nobody takes the lease, though it has expired
        with pytest.raises(Unavailable, match="another process has been writing"):
            ledger.leases.acquire(PROJECT, "box:2:b", 60)
        time.sleep(1.5)  # by now the server has ended the sleeping transaction
        assert ledger.leases.acquire(PROJECT, "box:2:b", 60).fence == lease.fence + 1
        connection.exec_driver_sql("update keepfit_leases set fence = 99")
    assert time.monotonic() - began < 10
    ledger.close()


def test_an_upgrade_keeps_every_row(ledger: SqlLedger, postgres_url: str) -> None:
    lease = ledger.leases.acquire(PROJECT, "box:1:a", 60)
    ledger.cycles.save(cycle("c1", batches=(batch("a"),)), lease)
    before = everything(ledger)
    upgraded = open_ledger(postgres_url, migrations=NEXT)
    assert everything(upgraded) == before
    assert upgraded.batches.count(PROJECT)[BatchState.NEW] == 1
    upgraded.close()
    with pytest.raises(SchemaTooNew, match=f"version {len(NEXT)}.*up to {len(MIGRATIONS)}"):
        open_ledger(postgres_url)


def test_text_sorts_by_code_point_whatever_the_servers_language(postgres_url: str) -> None:
    open_ledger(postgres_url).close()
    with psycopg.connect(postgres_url) as connection:
        found = connection.execute(
            "select table_name, column_name from information_schema.columns where table_name like 'keepfit_%' "
            "and data_type = 'text' and collation_name is distinct from 'C'"
        ).fetchall()
    records = {"alerts": "alert", "audit": "entry", "cycles": "record", "documents": "text", "promotions": "promotion"}
    assert sorted(found) == [(f"keepfit_{table}", column) for table, column in records.items()]
