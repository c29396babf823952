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
    from keepfit.testing.ledger_contract import LedgerContract as LedgerContract
    from keepfit.testing.log_contract import LogContract as LogContract
    from keepfit.testing.memory_ledger import MemoryLedger as MemoryLedger
    from keepfit.testing.memory_log import MemoryLog as MemoryLog
    from keepfit.testing.memory_log import MemorySpans as MemorySpans
    from keepfit.testing.memory_registry import MemoryRegistry as MemoryRegistry
    from keepfit.testing.memory_registry import MemoryTracker as MemoryTracker
    from keepfit.testing.registry_contract import ReferencesContract as ReferencesContract
    from keepfit.testing.registry_contract import RegistryContract as RegistryContract
    from keepfit.testing.registry_contract import TrackerContract as TrackerContract

__all__ = [
    "LedgerContract",
    "LogContract",
    "MemoryLedger",
    "MemoryLog",
    "MemoryRegistry",
    "MemorySpans",
    "MemoryTracker",
    "ReferencesContract",
    "RegistryContract",
    "SetClock",
    "TrackerContract",
]

_HOMES = {  # loaded when first used: the contract needs pytest, the rest does not
    "LedgerContract": "keepfit.testing.ledger_contract",
    "LogContract": "keepfit.testing.log_contract",
    "MemoryLedger": "keepfit.testing.memory_ledger",
    "MemoryLog": "keepfit.testing.memory_log",
    "MemorySpans": "keepfit.testing.memory_log",
    "MemoryRegistry": "keepfit.testing.memory_registry",
    "MemoryTracker": "keepfit.testing.memory_registry",
    "ReferencesContract": "keepfit.testing.registry_contract",
    "RegistryContract": "keepfit.testing.registry_contract",
    "SetClock": "keepfit.testing.clock",
    "TrackerContract": "keepfit.testing.registry_contract",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'keepfit.testing' has no attribute {name!r}")
