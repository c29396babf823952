"""Every ledger passes the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from keepfit.adapters.ledger_sql import open_ledger
from keepfit.testing import LedgerContract, MemoryLedger, SetClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from keepfit.ports import Ledger


class TestMemory(LedgerContract):
    @pytest.fixture
    def ledger(self, clock: SetClock) -> Ledger:
        return MemoryLedger(clock)


class TestSqlite(LedgerContract):
    @pytest.fixture
    def ledger(self, clock: SetClock, tmp_path: Path) -> Iterator[Ledger]:
        ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db", clock)
        yield ledger
        ledger.close()


class TestPostgres(LedgerContract):
    @pytest.fixture
    def ledger(self, clock: SetClock, postgres_url: str) -> Iterator[Ledger]:
        ledger = open_ledger(postgres_url, clock)
        yield ledger
        ledger.close()
