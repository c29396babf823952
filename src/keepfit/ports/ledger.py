"""The database of leases, cycles, batches, promotions and alerts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Protocol

from keepfit.live_ports import Audit, Documents
from keepfit.records import Batch, BatchState, Cycle, Delivery, Event, JournalEntry, Lease, Promotion, Training


def moves_of(project: str) -> str:
    """What the lease is on under which a project's alias is moved: a person need not wait for a cycle to end."""
    return f"{project}/alias"  # no project has a / in its name


class Leases(Protocol):
    """One runner at a time: on a project, or on `moves_of` it."""

    def acquire(self, project: str, holder: str, seconds: float, *, is_dead: Callable[[str], bool] | None = None) -> Lease:
        """Take the lease with the next fence. Raises `LeaseHeld` saying who holds it and since when.

        A lease that has not expired is taken over when `is_dead(its holder)` says that the holder is certainly gone. It is
        asked inside the transaction: it answers at once and does not touch the ledger.
        """
        ...

    def renew(self, lease: Lease, seconds: float) -> Lease:
        """Raises `LeaseLost` when someone else has it."""
        ...

    def release(self, lease: Lease) -> None:
        """Give it back; nothing happens when it is someone else's by now."""
        ...

    def current(self, project: str) -> Lease | None:
        """Who holds it, expired or not."""
        ...


class Cycles(Protocol):
    """The checkpoints."""

    def save(self, cycle: Cycle, lease: Lease) -> None:
        """Store the cycle, its batches' states and its duplicates in one transaction. Raises `LeaseLost` for an old fence."""
        ...

    def load(self, project: str, id: str) -> Cycle | None:
        """One cycle; a prefix of its id is enough when it is the only such."""
        ...

    def recent(self, project: str, limit: int = 20, *, unfinished: bool = False) -> Sequence[Cycle]:
        """The latest cycles, newest first."""
        ...

    def trainings(
        self, project: str, *, since: datetime | None = None, champion: str | None = None, trained_on: str | None = None
    ) -> Sequence[Training]:
        """The cycles that trained, newest first, narrowed by what is given."""
        ...

    def ids(self, project: str) -> Sequence[str]:
        """The ids of all cycles, newest first."""
        ...


class Batches(Protocol):
    """What is known of the data files."""

    def known(self, project: str, ids: Iterable[str]) -> dict[str, Batch]:
        """Those of these ids that were seen before."""
        ...

    def in_state(self, project: str, *states: BatchState) -> Sequence[Batch]:
        """All batches in these states, by arrival and name."""
        ...

    def count(self, project: str) -> dict[BatchState, int]:
        """How many there are of each."""
        ...


class Journal(Protocol):
    """Promotions, written before the alias moves, under the project's lease or that on `moves_of` it."""

    def intend(self, project: str, id: str, promotion: Promotion, lease: Lease) -> JournalEntry:
        """Write the row `intended`, or find it. Raises `LeaseLost`."""
        ...

    def note(self, project: str, id: str, promotion: Promotion, lease: Lease) -> JournalEntry:
        """Write a row that is `done` from the start, or find it: a move that was seen, not made. Raises `LeaseLost`."""
        ...

    def settle(self, project: str, id: str, status: str, lease: Lease) -> None:
        """Mark the row `done` or `abandoned`. Raises `LeaseLost`."""
        ...

    def unsettled(self, project: str) -> Sequence[JournalEntry]:
        """Rows still `intended`, oldest first."""
        ...

    def entries(self, project: str, limit: int = 50) -> Sequence[JournalEntry]:
        """The rows, newest first."""
        ...


class Outbox(Protocol):
    """Alerts on their way, each to one receiver. Nothing here needs the lease: an alert is of use even after the runner lost it."""

    def put(self, delivery: Delivery) -> bool:
        """Keep an alert to a receiver, or find it kept by its key; returns whether it is new."""
        ...

    def take(self, project: str, receiver: str, seconds: float, *, key: str | None = None) -> Delivery | None:
        """The receiver's oldest pending alert whose time has come, claimed for `seconds`: nobody else gets it meanwhile.

        With `key` that one, whatever its time. Its `attempts` count this one.
        """
        ...

    def settle(self, delivery: Delivery) -> None:
        """Write down what has become of a claimed alert: sent, suppressed, or pending with another time to try. Nothing happens
        when somebody else has claimed it since."""
        ...

    def recent(
        self, project: str, limit: int = 50, *, status: Sequence[str] = (), event: Event | None = None, subject: str | None = None
    ) -> Sequence[Delivery]:
        """The latest, newest first, narrowed by what is given."""
        ...

    def forget(self, project: str, settled: Iterable[Delivery]) -> int:
        """Remove these, as far as they are there and not pending; returns how many went."""
        ...


class Ledger(Protocol):
    """The database of leases, cycles, batches, promotions and alerts."""

    @property
    def leases(self) -> Leases: ...

    @property
    def cycles(self) -> Cycles: ...

    @property
    def batches(self) -> Batches: ...

    @property
    def journal(self) -> Journal: ...

    @property
    def outbox(self) -> Outbox: ...

    @property
    def documents(self) -> Documents: ...

    @property
    def audit(self) -> Audit: ...

    def close(self) -> None: ...
