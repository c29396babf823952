"""Ports in memory, and the contract that every adapter passes: for your adapters' tests, and for trying keepfit out.

    class TestMyLedger(LedgerContract):
        @pytest.fixture
        def ledger(self, clock):
            return MyLedger(clock)

Importing does nothing else; the names are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keepfit.testing.clock import SetClock as SetClock
    from keepfit.testing.inbox_contract import InboxContract as InboxContract
    from keepfit.testing.ledger_contract import LedgerContract as LedgerContract
    from keepfit.testing.log_contract import LogContract as LogContract
    from keepfit.testing.memory_data import MemoryInbox as MemoryInbox
    from keepfit.testing.memory_data import MemoryStore as MemoryStore
    from keepfit.testing.memory_ledger import MemoryLedger as MemoryLedger
    from keepfit.testing.memory_log import MemoryLog as MemoryLog
    from keepfit.testing.memory_log import MemorySpans as MemorySpans
    from keepfit.testing.memory_registry import MemoryRegistry as MemoryRegistry
    from keepfit.testing.memory_registry import MemoryTracker as MemoryTracker
    from keepfit.testing.registry_contract import ReferencesContract as ReferencesContract
    from keepfit.testing.registry_contract import RegistryContract as RegistryContract
    from keepfit.testing.registry_contract import TrackerContract as TrackerContract
    from keepfit.testing.store_contract import StoreContract as StoreContract
    from keepfit.testing.versions_contract import VersionsContract as VersionsContract

__all__ = [
    "InboxContract",
    "LedgerContract",
    "LogContract",
    "MemoryInbox",
    "MemoryLedger",
    "MemoryLog",
    "MemoryRegistry",
    "MemorySpans",
    "MemoryStore",
    "MemoryTracker",
    "ReferencesContract",
    "RegistryContract",
    "SetClock",
    "StoreContract",
    "TrackerContract",
    "VersionsContract",
]

_HOMES = {  # loaded when first used: the contract needs pytest, the rest does not
    "InboxContract": "keepfit.testing.inbox_contract",
    "LedgerContract": "keepfit.testing.ledger_contract",
    "LogContract": "keepfit.testing.log_contract",
    "MemoryInbox": "keepfit.testing.memory_data",
    "MemoryLedger": "keepfit.testing.memory_ledger",
    "MemoryLog": "keepfit.testing.memory_log",
    "MemorySpans": "keepfit.testing.memory_log",
    "MemoryStore": "keepfit.testing.memory_data",
    "MemoryRegistry": "keepfit.testing.memory_registry",
    "MemoryTracker": "keepfit.testing.memory_registry",
    "ReferencesContract": "keepfit.testing.registry_contract",
    "RegistryContract": "keepfit.testing.registry_contract",
    "StoreContract": "keepfit.testing.store_contract",
    "SetClock": "keepfit.testing.clock",
    "TrackerContract": "keepfit.testing.registry_contract",
    "VersionsContract": "keepfit.testing.versions_contract",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'keepfit.testing' has no attribute {name!r}")
