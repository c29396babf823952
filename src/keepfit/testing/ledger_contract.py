"""What every ledger does. Subclass it in your tests and override the fixture `ledger`."""
# ruff: noqa: S101  # these are tests, shipped so that other people's ledgers can run them

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from keepfit.errors import LeaseHeld, LeaseLost, NotFound
from keepfit.records import (
    Action,
    Batch,
    BatchState,
    Candidate,
    Conclusion,
    Cycle,
    Decision,
    Duplicate,
    Lease,
    Outcome,
    PerformanceReport,
    Place,
    Promotion,
    Training,
    Verdict,
)
from keepfit.testing.clock import SetClock
from keepfit.testing.outbox_contract import OutboxContract
from keepfit.testing.shared_state_contract import SharedStateContract

if TYPE_CHECKING:
    from keepfit.ports import Ledger

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
PROJECT = "churn"
PROMOTION = Promotion(alias="champion", from_version="3", to_version="4", reason="better", at=START)


class LedgerContract(OutboxContract, SharedStateContract):
    """Run on every ledger. `ledger` is empty, and tells the time by `clock`."""

    @pytest.fixture
    def clock(self) -> SetClock:
        return SetClock(START)

    @pytest.fixture
    def ledger(self, clock: SetClock) -> Ledger:
        raise NotImplementedError("override the fixture `ledger`")

    @pytest.fixture
    def lease(self, ledger: Ledger) -> Lease:
        return ledger.leases.acquire(PROJECT, "box:1:a", 60)

    # ------------------------------------------------------------------------------------------------------- leases

    def test_a_lease_names_its_holder_and_its_end(self, ledger: Ledger) -> None:
        lease = ledger.leases.acquire(PROJECT, "box:1:a", 60)
        end = START + timedelta(seconds=60)
        assert lease == Lease(project=PROJECT, holder="box:1:a", fence=1, since=START, expires_at=end)
        assert ledger.leases.current(PROJECT) == lease
        assert ledger.leases.current("another") is None

    def test_a_held_lease_is_refused_with_who_and_since_when(self, ledger: Ledger, lease: Lease, clock: SetClock) -> None:
        clock.advance(59.9)
        with pytest.raises(LeaseHeld, match="held by box, process 1, since 2026-03-01 12:00:00 UTC"):
            ledger.leases.acquire(PROJECT, "other:2:b", 60)
        assert ledger.leases.current(PROJECT) == lease

    def test_a_held_lease_is_refused_to_its_own_holder(self, ledger: Ledger, lease: Lease) -> None:
        with pytest.raises(LeaseHeld):
            ledger.leases.acquire(PROJECT, lease.holder, 60)

    @pytest.mark.usefixtures("lease")
    def test_projects_do_not_wait_for_each_other(self, ledger: Ledger) -> None:
        assert ledger.leases.acquire("another", "other:2:b", 60).fence == 1

    def test_the_fence_grows_with_every_acquisition(self, ledger: Ledger, clock: SetClock) -> None:
        fences = []
        for number in range(4):
            taken = ledger.leases.acquire(PROJECT, f"box:{number}:a", 60)
            fences.append(taken.fence)
            if number % 2:
                ledger.leases.release(taken)
            else:
                clock.advance(60)
        assert fences == [1, 2, 3, 4]

    @pytest.mark.usefixtures("lease")
    def test_the_lease_of_a_dead_holder_is_taken_at_once(self, ledger: Ledger) -> None:
        asked: list[str] = []

        def is_dead(holder: str) -> bool:
            asked.append(holder)
            return True

        taken = ledger.leases.acquire(PROJECT, "other:2:b", 60, is_dead=is_dead)
        assert (taken.fence, asked) == (2, ["box:1:a"])
        with pytest.raises(LeaseHeld):
            ledger.leases.acquire(PROJECT, "third:3:c", 60, is_dead=lambda holder: holder == "box:1:a")

    def test_renewing_puts_the_end_off_and_nothing_else(self, ledger: Ledger, lease: Lease, clock: SetClock) -> None:
        now = clock.advance(30)
        renewed = ledger.leases.renew(lease, 60)
        assert renewed == replace(lease, expires_at=now + timedelta(seconds=60))
        assert ledger.leases.current(PROJECT) == renewed

    def test_an_expired_lease_that_nobody_took_still_holds(self, ledger: Ledger, lease: Lease, clock: SetClock) -> None:
        clock.advance(1000)
        ledger.cycles.save(cycle("1"), lease)
        assert ledger.leases.renew(lease, 60).fence == lease.fence
        with pytest.raises(LeaseHeld):
            ledger.leases.acquire(PROJECT, "other:2:b", 60)

    def test_a_lost_lease_cannot_be_renewed(self, ledger: Ledger, lease: Lease, clock: SetClock) -> None:
        clock.advance(60)
        taken = ledger.leases.acquire(PROJECT, "other:2:b", 60)
        with pytest.raises(LeaseLost, match="held by other, process 2"):
            ledger.leases.renew(lease, 60)
        assert ledger.leases.current(PROJECT) == taken

    def test_releasing_frees_only_ones_own_lease(self, ledger: Ledger, lease: Lease, clock: SetClock) -> None:
        clock.advance(60)
        taken = ledger.leases.acquire(PROJECT, "other:2:b", 60)
        ledger.leases.release(lease)
        assert ledger.leases.current(PROJECT) == taken
        ledger.leases.release(taken)
        ledger.leases.release(taken)
        assert ledger.leases.current(PROJECT) is None

    # ------------------------------------------------------------------------------------------------------ fencing

    @pytest.mark.parametrize("how", ["expired", "released", "same holder"])
    def test_an_old_lease_changes_nothing(self, ledger: Ledger, lease: Lease, clock: SetClock, how: str) -> None:
        ledger.cycles.save(cycle("1", batches=(batch("a"),)), lease)
        ledger.journal.intend(PROJECT, "1", PROMOTION, lease)
        if how == "released":
            ledger.leases.release(lease)
        else:
            clock.advance(60)
            ledger.leases.acquire(PROJECT, lease.holder if how == "same holder" else "other:2:b", 60)
        before = everything(ledger)
        changed = cycle("1", outcome=Outcome.FAILED, batches=(batch("a", state=BatchState.JUDGED), batch("b")))
        writes: list[Any] = [
            lambda: ledger.cycles.save(changed, lease),
            lambda: ledger.cycles.save(replace(changed, id="2"), lease),
            lambda: ledger.journal.intend(PROJECT, "2", PROMOTION, lease),
            lambda: ledger.journal.settle(PROJECT, "1", "done", lease),
        ]
        for write in writes:
            with pytest.raises(LeaseLost):
                write()
        assert everything(ledger) == before

    def test_a_lease_does_not_open_another_project(self, ledger: Ledger, lease: Lease) -> None:
        with pytest.raises(ValueError, match="does not allow"):
            ledger.cycles.save(replace(cycle("1"), project="another"), lease)
        with pytest.raises(ValueError, match="does not allow"):
            ledger.journal.intend("another", "1", PROMOTION, lease)

    # ------------------------------------------------------------------------------------------------------- cycles

    def test_a_cycle_comes_back_as_it_was_saved(self, ledger: Ledger, lease: Lease) -> None:
        saved = trained("1", outcome=Outcome.PROMOTED, timings={"collect": 0.25}, batches=(batch("a", arrived_at=START),))
        ledger.cycles.save(saved, lease)
        assert ledger.cycles.load(PROJECT, "1") == replace(saved, fence=lease.fence)

    def test_a_time_in_another_zone_is_the_same_time(self, ledger: Ledger, lease: Lease) -> None:
        ledger.cycles.save(cycle("1", started_at=START.astimezone(timezone(timedelta(hours=5)))), lease)
        loaded = ledger.cycles.load(PROJECT, "1")
        assert loaded is not None
        assert (loaded.started_at, loaded.started_at.utcoffset()) == (START, timedelta(0))

    def test_a_checkpoint_replaces_the_one_before(self, ledger: Ledger, lease: Lease) -> None:
        ledger.cycles.save(cycle("1", stage="collect"), lease)
        ledger.cycles.save(cycle("1", stage="validate"), lease)
        assert [saved.stage for saved in ledger.cycles.recent(PROJECT)] == ["validate"]

    @pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
    def test_an_undefined_number_is_refused(self, ledger: Ledger, lease: Lease, number: float) -> None:
        with pytest.raises(ValueError, match=r"Cycle\.timings\['collect'\] is .*: a number that is undefined is None"):
            ledger.cycles.save(cycle("1", timings={"collect": number}), lease)
        assert ledger.cycles.recent(PROJECT) == []

    def test_a_cycle_is_found_by_the_beginning_of_its_id(self, ledger: Ledger, lease: Lease) -> None:
        for id in ("2026-a1", "2026-a2", "2026-a", "2026_b", "2026-%"):
            ledger.cycles.save(cycle(id, outcome=Outcome.HEALTHY), lease)

        def found(prefix: str) -> str | None:
            loaded = ledger.cycles.load(PROJECT, prefix)
            return loaded.id if loaded else None

        assert [found(prefix) for prefix in ("2026-a1", "2026-a", "2026_", "2026-%", "2025", "2026-a11")] == [
            *("2026-a1", "2026-a", "2026_b", "2026-%"),
            *(None, None),
        ]
        with pytest.raises(NotFound, match="4 cycles begin with '2026-'"):
            ledger.cycles.load(PROJECT, "2026-")
        assert ledger.cycles.load("another", "2026-a1") is None

    def test_recent_cycles_are_newest_first(self, ledger: Ledger, lease: Lease) -> None:
        for number in (2, 0, 3, 1):
            at, outcome = START + timedelta(hours=number), None if number % 2 else Outcome.HEALTHY
            ledger.cycles.save(cycle(f"c{number}", started_at=at, outcome=outcome), lease)
        assert [saved.id for saved in ledger.cycles.recent(PROJECT)] == ["c3", "c2", "c1", "c0"]
        assert [saved.id for saved in ledger.cycles.recent(PROJECT, 1)] == ["c3"]
        assert [saved.id for saved in ledger.cycles.recent(PROJECT, unfinished=True)] == ["c3", "c1"]
        assert list(ledger.cycles.ids(PROJECT)) == ["c3", "c2", "c1", "c0"]
        assert ledger.cycles.recent("another") == []
        assert list(ledger.cycles.ids("another")) == []

    def test_a_wait_replaces_the_wait_before(self, ledger: Ledger, lease: Lease) -> None:
        for number, outcome in enumerate((Outcome.WAITING, Outcome.HEALTHY, Outcome.WAITING, None)):
            at = START + timedelta(minutes=number)
            ledger.cycles.save(cycle(f"c{number}", started_at=at, outcome=outcome, batches=(batch(f"b{number}"),)), lease)
        ids = [saved.id for saved in ledger.cycles.recent(PROJECT)]
        assert ids == ["c3", "c2", "c1", "c0"], "only neighbours are merged, and not before the later one has ended"
        ledger.cycles.save(cycle("c3", started_at=START + timedelta(minutes=3), outcome=Outcome.WAITING), lease)
        assert [saved.id for saved in ledger.cycles.recent(PROJECT)] == ["c3", "c1", "c0"]
        assert set(ledger.batches.known(PROJECT, ["b2", "b3"])) == {"b2", "b3"}, "the batches stay"

    def test_saving_an_old_wait_again_forgets_nothing(self, ledger: Ledger, lease: Lease) -> None:
        for number in (1, 0):
            at = START + timedelta(minutes=number)
            ledger.cycles.save(cycle(f"c{number}", started_at=at, outcome=Outcome.WAITING), lease)
        assert [saved.id for saved in ledger.cycles.recent(PROJECT)] == ["c1", "c0"]

    def test_trainings_are_the_cycles_with_a_challenger(self, ledger: Ledger, lease: Lease) -> None:
        ledger.cycles.save(cycle("c0", outcome=Outcome.HEALTHY), lease)
        for number, (data, version) in enumerate([("x", None), ("y", "1"), ("x", "1"), ("z", "2")], start=1):
            at = START + timedelta(hours=number)
            ledger.cycles.save(trained(f"c{number}", started_at=at, trained_on=data, champion=version), lease)

        def ids(**narrowed: Any) -> list[str]:
            return [training.cycle for training in ledger.cycles.trainings(PROJECT, **narrowed)]

        assert ids() == ["c4", "c3", "c2", "c1"]
        assert ids(since=START + timedelta(hours=3)) == ["c4", "c3"]
        assert ids(champion="1") == ["c3", "c2"]
        assert ids(trained_on="x") == ["c3", "c1"]
        assert ids(trained_on="x", champion="1", since=START) == ["c3"]
        assert ledger.cycles.trainings("another") == []
        assert ledger.cycles.trainings(PROJECT, champion="2") == [
            Training(
                cycle="c4",
                at=START + timedelta(hours=4),
                trained_on="z",
                champion="2",
                gate="greater",
                conclusion=Conclusion.REJECTED,
            )
        ]

    def test_a_challenger_that_was_not_compared_yet_is_a_training(self, ledger: Ledger, lease: Lease) -> None:
        ledger.cycles.save(replace(trained("c1", trained_on="x"), verdict=None), lease)
        assert ledger.cycles.trainings(PROJECT) == [
            Training(cycle="c1", at=START, trained_on="x", champion=None, gate=None, conclusion=None)
        ]

    # ------------------------------------------------------------------------------------------------------ batches

    def test_batches_are_known_by_their_content(self, ledger: Ledger, lease: Lease) -> None:
        first, second = batch("a", arrived_at=START), batch("b", place=Place.QUARANTINE, state=BatchState.QUARANTINED)
        ledger.cycles.save(cycle("1", batches=(first, second)), lease)
        assert ledger.batches.known(PROJECT, ["a", "b", "b", "c"]) == {"a": first, "b": second}
        assert ledger.batches.known(PROJECT, []) == {}
        assert ledger.batches.known("another", ["a"]) == {}

    def test_thousands_of_ids_can_be_asked_for(self, ledger: Ledger, lease: Lease) -> None:
        kept = tuple(batch(f"b{number}") for number in range(2_500))
        ledger.cycles.save(cycle("1", batches=kept), lease)
        assert ledger.batches.known(PROJECT, (f"b{number}" for number in range(5_000))) == {item.id: item for item in kept}

    def test_a_later_cycle_brings_a_batch_up_to_date(self, ledger: Ledger, lease: Lease) -> None:
        ledger.cycles.save(cycle("1", batches=(batch("a"), batch("b"))), lease)
        now = batch("a", name="later.csv", rows=7, state=BatchState.ARCHIVED, place=Place.ARCHIVE, arrived_at=START)
        ledger.cycles.save(cycle("2", batches=(now,)), lease)
        assert ledger.batches.known(PROJECT, ["a", "b"]) == {"a": now, "b": batch("b")}

    def test_the_batches_of_earlier_cycles_are_brought_up_to_date_too(self, ledger: Ledger, lease: Lease) -> None:
        ledger.cycles.save(cycle("1", batches=(batch("a", state=BatchState.JUDGED),)), lease)
        consumed = batch("a", state=BatchState.ARCHIVED, place=Place.ARCHIVE)
        ledger.cycles.save(cycle("2", earlier=(consumed,), batches=(batch("b"),)), lease)
        assert ledger.batches.known(PROJECT, ["a", "b"]) == {"a": consumed, "b": batch("b")}

    def test_arrival_and_rows_stay_once_they_are_known(self, ledger: Ledger, lease: Lease) -> None:
        ledger.cycles.save(cycle("1", batches=(batch("a", rows=7, arrived_at=START),)), lease)
        later = batch("a", state=BatchState.JUDGED, arrived_at=START + timedelta(days=1))
        ledger.cycles.save(cycle("2", batches=(later,)), lease)
        assert ledger.batches.known(PROJECT, ["a"])["a"] == replace(later, rows=7, arrived_at=START)

    def test_batches_are_listed_by_arrival_and_name(self, ledger: Ledger, lease: Lease) -> None:
        kept = (
            batch("1", name="b.csv", arrived_at=START + timedelta(hours=1)),
            batch("2", name="a.csv", arrived_at=START + timedelta(hours=1), state=BatchState.JUDGED),
            batch("3", name="c.csv", arrived_at=START),
            batch("4", name="z.csv"),
            batch("5", name="B.csv", arrived_at=START + timedelta(hours=1)),
            batch("6", state=BatchState.ARCHIVED),
        )
        ledger.cycles.save(cycle("1", batches=kept), lease)
        waiting = ledger.batches.in_state(PROJECT, BatchState.NEW, BatchState.JUDGED)
        assert [item.id for item in waiting] == ["4", "3", "5", "2", "1"]
        assert ledger.batches.in_state(PROJECT) == []
        assert ledger.batches.in_state("another", *BatchState) == []

    def test_batches_are_counted_by_state(self, ledger: Ledger, lease: Lease) -> None:
        states = (BatchState.NEW, BatchState.NEW, BatchState.ARCHIVED)
        kept = tuple(batch(str(number), state=state) for number, state in enumerate(states))
        repeated = (Duplicate(name="again.csv", batch="0", original="0.csv"),)
        ledger.cycles.save(cycle("1", batches=kept, duplicates=repeated), lease)
        ledger.cycles.save(cycle("1", batches=kept, duplicates=repeated), lease)
        expected = {BatchState.NEW: 2, BatchState.JUDGED: 0, BatchState.QUARANTINED: 0, BatchState.ARCHIVED: 1}
        assert ledger.batches.count(PROJECT) == expected
        assert ledger.batches.count("another") == dict.fromkeys(BatchState, 0)

    # ------------------------------------------------------------------------------------------------------ journal

    def test_a_promotion_is_intended_once(self, ledger: Ledger, lease: Lease, clock: SetClock) -> None:
        entry = ledger.journal.intend(PROJECT, "c1", PROMOTION, lease)
        assert (entry.id, entry.promotion, entry.status, entry.at) == ("c1", PROMOTION, "intended", START)
        clock.advance(5)
        assert ledger.journal.intend(PROJECT, "c1", PROMOTION, lease) == entry
        assert ledger.journal.unsettled(PROJECT) == ledger.journal.entries(PROJECT) == [entry]
        assert ledger.journal.entries("another") == []

    def test_a_settled_promotion_stays_as_it_was_settled(self, ledger: Ledger, lease: Lease) -> None:
        entry = ledger.journal.intend(PROJECT, "c1", PROMOTION, lease)
        ledger.journal.settle(PROJECT, "c1", "done", lease)
        ledger.journal.settle(PROJECT, "c1", "done", lease)
        done = replace(entry, status="done")
        assert ledger.journal.intend(PROJECT, "c1", PROMOTION, lease) == done
        with pytest.raises(ValueError, match="is done and cannot become abandoned"):
            ledger.journal.settle(PROJECT, "c1", "abandoned", lease)
        with pytest.raises(ValueError, match="'finished' is not one of"):
            ledger.journal.settle(PROJECT, "c1", "finished", lease)
        assert ledger.journal.unsettled(PROJECT) == []
        assert ledger.journal.entries(PROJECT) == [done]

    def test_settling_what_nobody_intended_is_an_error(self, ledger: Ledger, lease: Lease) -> None:
        with pytest.raises(NotFound, match="'c1'"):
            ledger.journal.settle(PROJECT, "c1", "done", lease)

    def test_the_journal_keeps_its_order(self, ledger: Ledger, lease: Lease) -> None:
        for id in ("c2", "c1", "c3", "c0"):
            ledger.journal.intend(PROJECT, id, PROMOTION, lease)
        ledger.journal.settle(PROJECT, "c1", "abandoned", lease)
        assert [entry.id for entry in ledger.journal.unsettled(PROJECT)] == ["c2", "c3", "c0"]
        assert [entry.id for entry in ledger.journal.entries(PROJECT)] == ["c0", "c3", "c1", "c2"]
        assert [entry.id for entry in ledger.journal.entries(PROJECT, 1)] == ["c0"]


def cycle(id: str, **parts: Any) -> Cycle:
    """A cycle of the contract's project."""
    return Cycle(**{"id": id, "project": PROJECT, "started_at": START, **parts})


def batch(id: str, **parts: Any) -> Batch:
    """A batch, called after its id."""
    return Batch(**{"id": id, "name": f"{id}.csv", "size": 10, **parts})


def trained(id: str, trained_on: str = "x", champion: str | None = None, **parts: Any) -> Cycle:
    """A cycle that made a challenger and held it against `champion`."""
    candidate = Candidate(
        name="logistic",
        parameters={"C": "1.0"},
        version="9",
        run_id="r",
        uri="models:/m/9",
        content_hash="h",
        rows=10,
        batches=("a",),
        trained_on=trained_on,
        seed=1,
    )
    measured = PerformanceReport(
        champion=champion or "", metric="f1", greater_is_better=True, value=0.5, interval=None, n=5, units=5, rows=9
    )
    verdict = Verdict(
        gate="greater",
        passed=False,
        conclusion=Conclusion.REJECTED,
        reason="not better",
        metric="f1",
        greater_is_better=True,
        champion=0.5,
        challenger=0.4,
        difference=-0.1,
        interval=None,
        test=None,
        p_value=None,
        alpha=None,
        comparison=1,
        n=5,
        units=5,
        negative_flips=1,
        champion_version=champion,
    )
    decision = Decision(action=Action.RETRAIN, reasons=("forced",))
    performance = measured if champion else None
    return cycle(id, candidate=candidate, verdict=verdict, decision=decision, performance=performance, **parts)


def everything(ledger: Ledger) -> tuple[object, ...]:
    """All that can be read."""
    return (
        ledger.cycles.recent(PROJECT, 100),
        ledger.batches.in_state(PROJECT, *BatchState),
        ledger.batches.count(PROJECT),
        ledger.journal.entries(PROJECT),
        ledger.leases.current(PROJECT),
        ledger.outbox.recent(PROJECT, 100),
        ledger.documents.get(PROJECT, "keys"),
        ledger.audit.recent(PROJECT, 100),
    )
