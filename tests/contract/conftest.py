from __future__ import annotations

import pytest
from tests.postgres import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]

pytest.register_assert_rewrite("keepfit.testing.ledger_contract", "keepfit.testing.outbox_contract")
