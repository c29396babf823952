"""A ledger that lasts as long as the process. It keeps records as text, as a database does, so that it refuses the same."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import RLock
from typing import TYPE_CHECKING

from keepfit.adapters import ledger_rules as rules
from keepfit.codec import dumps, loads, time_text
from keepfit.errors import NotFound
from keepfit.live_records import AuditEntry, Document
from keepfit.records import Batch, BatchState, Cycle, Delivery, Event, JournalEntry, Lease, Outcome, Promotion, Training

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from keepfit.ports import Clock


class MemoryLedger:
    """The port `Ledger`. Safe to use from several threads."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.leases = MemoryLeases(clock)
        self.batches = MemoryBatches()
        self.cycles = MemoryCycles(self.leases, self.batches)
        self.journal = MemoryJournal(self.leases)
        self.outbox = MemoryOutbox(self.leases)
        self.documents = MemoryDocuments()
        self.audit = MemoryAudit()

    def close(self) -> None:
        """Nothing is held open."""


class MemoryLeases:
    """The port `Leases`."""

    def __init__(self, clock: Clock | None) -> None:
        self._clock = clock
        self._lock = RLock()
        self._fences: dict[str, int] = {}
        self._held: dict[str, Lease] = {}

    def acquire(self, project: str, holder: str, seconds: float, *, is_dead: Callable[[str], bool] | None = None) -> Lease:
        with self._lock:
            before, now = self._held.get(project), self.now()
            if before and before.expires_at > now and not (is_dead and is_dead(before.holder)):
                raise rules.lease_held(before)
            fence = self._fences[project] = self._fences.get(project, 0) + 1
            end = now + timedelta(seconds=seconds)
            lease = self._held[project] = Lease(project=project, holder=holder, fence=fence, since=now, expires_at=end)
            return lease

    def renew(self, lease: Lease, seconds: float) -> Lease:
        with self.held(lease):
            renewed = replace(self._held[lease.project], expires_at=self.now() + timedelta(seconds=seconds))
            self._held[lease.project] = renewed
            return renewed

    def release(self, lease: Lease) -> None:
        with self._lock:
            if self._is_current(lease):
                del self._held[lease.project]

    def current(self, project: str) -> Lease | None:
        return self._held.get(project)

    @contextmanager
    def held(self, lease: Lease) -> Iterator[None]:
        """Let a write go on only under the current lease. Raises `LeaseLost`."""
        with self._lock:
            if not self._is_current(lease):
                raise rules.lease_lost(lease, self._held.get(lease.project))
            yield

    def now(self) -> datetime:
        return self._clock.now() if self._clock else datetime.now(UTC)

    def _is_current(self, lease: Lease) -> bool:
        current = self._held.get(lease.project)
        return current is not None and (current.holder, current.fence) == (lease.holder, lease.fence)


class MemoryBatches:
    """The port `Batches`."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], Batch] = {}

    def known(self, project: str, ids: Iterable[str]) -> dict[str, Batch]:
        return {id: self._kept[project, id] for id in ids if (project, id) in self._kept}

    def in_state(self, project: str, *states: BatchState) -> Sequence[Batch]:
        return sorted((batch for batch in self._of(project) if batch.state in states), key=_by_arrival)

    def count(self, project: str) -> dict[BatchState, int]:
        counts = dict.fromkeys(BatchState, 0)
        for batch in self._of(project):
            counts[batch.state] += 1
        return counts

    def keep(self, project: str, batches: Iterable[Batch]) -> None:
        for batch in batches:
            self._kept[project, batch.id] = rules.remembered(self._kept.get((project, batch.id)), batch)

    def _of(self, project: str) -> list[Batch]:
        return [batch for (owner, _), batch in list(self._kept.items()) if owner == project]


class MemoryCycles:
    """The port `Cycles`."""

    def __init__(self, leases: MemoryLeases, batches: MemoryBatches) -> None:
        self._leases = leases
        self._batches = batches
        self._kept: dict[tuple[str, str], str] = {}

    def save(self, cycle: Cycle, lease: Lease) -> None:
        rules.check_project(cycle.project, lease)
        text = dumps(replace(cycle, fence=lease.fence))
        with self._leases.held(lease):
            self._kept[cycle.project, cycle.id] = text
            self._batches.keep(cycle.project, (*cycle.earlier, *cycle.batches))
            if cycle.outcome is Outcome.WAITING:
                self._forget_wait_before(cycle)

    def load(self, project: str, id: str) -> Cycle | None:
        found = [cycle for cycle in self._newest_first(project) if cycle.id.startswith(id)]
        exact = [cycle for cycle in found if cycle.id == id]
        if len(found) > 1 and not exact:
            raise NotFound(f"{len(found)} cycles begin with {id!r}. Give more of the id.")
        return next(iter(exact or found), None)

    def recent(self, project: str, limit: int = 20, *, unfinished: bool = False) -> Sequence[Cycle]:
        found = [cycle for cycle in self._newest_first(project) if not unfinished or cycle.outcome is None]
        return found[:limit]

    def trainings(
        self, project: str, *, since: datetime | None = None, champion: str | None = None, trained_on: str | None = None
    ) -> Sequence[Training]:
        found = [made for cycle in self._newest_first(project) if (made := rules.training(cycle))]
        return [
            made
            for made in found
            if (since is None or made.at >= since)
            and (champion is None or made.champion == champion)
            and (trained_on is None or made.trained_on == trained_on)
        ]

    def ids(self, project: str) -> Sequence[str]:
        return [cycle.id for cycle in self._newest_first(project)]

    def _forget_wait_before(self, cycle: Cycle) -> None:
        before = next((other for other in self._newest_first(cycle.project) if other.id != cycle.id), None)
        if before and rules.replaces(cycle, before):
            del self._kept[cycle.project, before.id]

    def _newest_first(self, project: str) -> list[Cycle]:
        cycles = [loads(Cycle, text) for (owner, _), text in list(self._kept.items()) if owner == project]
        return sorted(cycles, key=lambda cycle: (cycle.started_at, cycle.id), reverse=True)


class MemoryJournal:
    """The port `Journal`."""

    def __init__(self, leases: MemoryLeases) -> None:
        self._leases = leases
        self._kept: dict[tuple[str, str], JournalEntry] = {}  # in the order they were written

    def intend(self, project: str, id: str, promotion: Promotion, lease: Lease) -> JournalEntry:
        return self._write(project, id, promotion, "intended", lease)

    def note(self, project: str, id: str, promotion: Promotion, lease: Lease) -> JournalEntry:
        return self._write(project, id, promotion, "done", lease)

    def _write(self, project: str, id: str, promotion: Promotion, status: str, lease: Lease) -> JournalEntry:
        rules.check_mover(project, lease)
        promotion = loads(Promotion, dumps(promotion))
        with self._leases.held(lease):
            entry = JournalEntry(id=id, promotion=promotion, status=status, at=self._leases.now())
            return self._kept.setdefault((project, id), entry)

    def settle(self, project: str, id: str, status: str, lease: Lease) -> None:
        rules.check_mover(project, lease)
        with self._leases.held(lease):
            if (project, id) not in self._kept:
                raise NotFound(f"The journal of {project} has no promotion {id!r}.")
            entry = self._kept[project, id]
            rules.check_status(id, entry.status, status)
            self._kept[project, id] = replace(entry, status=status)

    def unsettled(self, project: str) -> Sequence[JournalEntry]:
        return [entry for entry in self._of(project) if entry.status == "intended"]

    def entries(self, project: str, limit: int = 50) -> Sequence[JournalEntry]:
        return self._of(project)[::-1][:limit]

    def _of(self, project: str) -> list[JournalEntry]:
        return [entry for (owner, _), entry in list(self._kept.items()) if owner == project]


class MemoryOutbox:
    """The port `Outbox`."""

    def __init__(self, leases: MemoryLeases) -> None:
        self._leases = leases  # for its clock
        self._lock = RLock()
        self._kept: dict[tuple[str, str, str], Delivery] = {}  # in the order they were put
        self._claimed: dict[tuple[str, str, str], datetime] = {}  # until when

    def put(self, delivery: Delivery) -> bool:
        rules.check_delivery(delivery)
        delivery = loads(Delivery, dumps(delivery))
        with self._lock:
            return self._kept.setdefault(_name(delivery), delivery) is delivery

    def take(self, project: str, receiver: str, seconds: float, *, key: str | None = None) -> Delivery | None:
        with self._lock:
            now = self._leases.now()
            for name, kept in self._kept.items():
                ready = kept.alert.key == key if key else kept.not_before is None or kept.not_before <= now
                claimed = self._claimed.get(name)
                if (
                    (name[0], name[2]) == (project, receiver)
                    and kept.status == "pending"
                    and ready
                    and not (claimed and claimed > now)
                ):
                    self._claimed[name] = now + timedelta(seconds=seconds)
                    self._kept[name] = replace(kept, attempts=kept.attempts + 1)
                    return self._kept[name]
            return None

    def settle(self, delivery: Delivery) -> None:
        rules.check_delivery(delivery)
        with self._lock:
            kept = self._kept.get(_name(delivery))
            if kept and (kept.status, kept.attempts) == ("pending", delivery.attempts):
                self._kept[_name(delivery)] = replace(delivery, alert=kept.alert)
                self._claimed.pop(_name(delivery), None)

    def recent(
        self, project: str, limit: int = 50, *, status: Sequence[str] = (), event: Event | None = None, subject: str | None = None
    ) -> Sequence[Delivery]:
        found = [
            kept
            for kept in reversed(list(self._kept.values()))
            if kept.alert.project == project
            and (not status or kept.status in status)
            and (event is None or kept.alert.event == event)
            and (subject is None or kept.alert.subject == subject)
        ]
        return found[:limit]

    def forget(self, project: str, settled: Iterable[Delivery]) -> int:
        with self._lock:
            known = {name for delivery in settled if (name := _name(delivery)) in self._kept and name[0] == project}
            gone = [name for name in known if self._kept[name].status != "pending"]
            for name in gone:
                del self._kept[name]
            return len(gone)


class MemoryDocuments:
    """The port `Documents`."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._kept: dict[tuple[str, str], Document] = {}

    def get(self, project: str, key: str) -> Document | None:
        return self._kept.get((project, key))

    def put(self, project: str, key: str, text: str, revision: int) -> Document:
        rules.check_document(text, revision)
        with self._lock:
            before = self._kept.get((project, key))
            if (before.revision if before else 0) != revision:
                raise rules.document_changed(project, key, revision)
            document = self._kept[project, key] = Document(key=key, text=text, revision=revision + 1)
            return document


class MemoryAudit:
    """The port `Audit`."""

    def __init__(self) -> None:
        self._kept: list[tuple[str, str]] = []  # project and entry, in the order they were recorded

    def record(self, project: str, entry: AuditEntry) -> None:
        self._kept.append((project, dumps(entry)))

    def recent(self, project: str, limit: int = 50) -> Sequence[AuditEntry]:
        mine = [text for owner, text in reversed(self._kept) if owner == project]
        return [loads(AuditEntry, text) for text in mine[:limit]]


def _name(delivery: Delivery) -> tuple[str, str, str]:
    return delivery.alert.project, delivery.alert.key, delivery.receiver


def _by_arrival(batch: Batch) -> tuple[str, str, str]:
    return (time_text(batch.arrived_at) if batch.arrived_at else "", batch.name, batch.id)
