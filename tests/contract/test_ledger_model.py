"""Whatever runners do in whatever order, the database and the ledger in memory say the same."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from keepfit.adapters.ledger_sql import open_ledger
from keepfit.errors import KeepfitError, LeaseHeld, LeaseLost
from keepfit.records import BatchState, Lease, Outcome
from keepfit.testing import MemoryLedger, SetClock
from keepfit.testing.ledger_contract import PROJECT, PROMOTION, START, batch, cycle, everything, trained

if TYPE_CHECKING:
    from collections.abc import Callable

    from keepfit.ports import Ledger

cycles = st.sampled_from(["c1", "c2", "c3", "c4"])
batches = st.builds(
    batch,
    st.sampled_from(["a", "b", "c"]),
    state=st.sampled_from(BatchState),
    rows=st.sampled_from([None, 5]),
    arrived_at=st.sampled_from([None, START, START + timedelta(hours=1)]),
)


class Runners(RuleBasedStateMachine):
    """Each step is done on both ledgers; `fence` is the only other thing the test itself remembers."""

    @initialize()
    def open(self) -> None:
        self.clock = SetClock()
        self.folder = tempfile.TemporaryDirectory()
        self.ledgers: list[Ledger] = [MemoryLedger(self.clock), open_ledger(f"sqlite:///{self.folder.name}/l.db", self.clock)]
        self.leases: list[Lease] = []

    def both(self, do: Callable[[Ledger], Any]) -> Any:
        first, second = (outcome(do, ledger) for ledger in self.ledgers)
        assert first == second
        return first

    @rule(seconds=st.sampled_from([0, 1, 10]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(seconds=st.sampled_from([1, 10]), dead=st.booleans())
    def acquire(self, seconds: float, dead: bool) -> None:
        current = self.ledgers[0].leases.current(PROJECT)
        taken = self.both(lambda ledger: ledger.leases.acquire(PROJECT, "box:1:a", seconds, is_dead=lambda _: dead))
        if isinstance(taken, Lease):
            assert taken.fence == len(self.leases) + 1
            self.leases.append(taken)
        else:
            assert taken[0] is LeaseHeld
            assert current is not None
            assert current.expires_at > self.clock.now()

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), what=st.sampled_from(["renew", "release", "intend", "done", "abandoned"]), id=cycles)
    def use(self, data: st.DataObject, what: str, id: str) -> None:
        lease = data.draw(st.sampled_from(self.leases))
        steps: dict[str, Callable[[Ledger], Any]] = {
            "renew": lambda ledger: ledger.leases.renew(lease, 10),
            "release": lambda ledger: ledger.leases.release(lease),
            "intend": lambda ledger: ledger.journal.intend(PROJECT, id, PROMOTION, lease),
        }
        settle: Callable[[Ledger], Any] = lambda ledger: ledger.journal.settle(PROJECT, id, what, lease)  # noqa: E731
        self.refused_unless_current(lease, self.both(steps.get(what, settle)), quiet=what == "release")

    @precondition(lambda self: self.leases)
    @rule(
        data=st.data(),
        id=cycles,
        outcome=st.sampled_from([None, Outcome.WAITING, Outcome.WAITING, Outcome.HEALTHY]),
        known=st.lists(batches, max_size=2, unique_by=lambda item: item.id),
        trains=st.booleans(),
    )
    def save(self, data: st.DataObject, id: str, outcome: Outcome | None, known: list[Any], trains: bool) -> None:
        lease = data.draw(st.sampled_from(self.leases))
        at = START + timedelta(minutes=int(id[1:]) % 3)
        saved = (trained if trains else cycle)(id, outcome=outcome, started_at=at, batches=tuple(known))
        self.refused_unless_current(lease, self.both(lambda ledger: ledger.cycles.save(saved, lease)))

    @rule(revision=st.integers(0, 3), text=st.sampled_from(["1", "[2]", "{"]))
    def put_document(self, revision: int, text: str) -> None:
        self.both(lambda ledger: ledger.documents.put(PROJECT, "keys", text, revision))

    def refused_unless_current(self, lease: Lease, answer: Any, quiet: bool = False) -> None:
        lost = isinstance(answer, tuple) and answer[0] is LeaseLost
        if lease.fence < len(self.leases):
            assert lost or quiet

    @invariant()
    def the_same_is_read(self) -> None:
        if hasattr(self, "ledgers"):
            self.both(everything)
            self.both(lambda ledger: ledger.cycles.trainings(PROJECT, trained_on="x"))
            self.both(lambda ledger: ledger.cycles.recent(PROJECT, 2, unfinished=True))
            self.both(lambda ledger: ledger.cycles.load(PROJECT, "c"))

    def teardown(self) -> None:
        if hasattr(self, "ledgers"):
            self.ledgers[1].close()
            self.folder.cleanup()


def outcome(do: Callable[[Ledger], Any], ledger: Ledger) -> Any:
    try:
        return do(ledger)
    except (KeepfitError, ValueError) as error:
        return type(error), str(error)


TestRunners = Runners.TestCase
TestRunners.settings = settings(
    max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
