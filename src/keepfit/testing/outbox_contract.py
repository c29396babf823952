"""What every ledger does with alerts on their way; a part of `LedgerContract`."""
# ruff: noqa: S101  # these are tests, shipped so that other people's ledgers can run them

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from keepfit.records import Alert, Announcement, Delivery, Event, Severity

if TYPE_CHECKING:
    from keepfit.ports import Ledger
    from keepfit.testing.clock import SetClock

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
PROJECT = "churn"
MAIL = "mail to ops@example.org"


class OutboxContract:
    """`ledger` is empty, and tells the time by `clock`, which stands at `START`."""

    def test_an_alert_is_kept_as_it_is_once_for_each_receiver(self, ledger: Ledger) -> None:
        first = delivery("k", not_before=START + timedelta(hours=1), reason="quiet hours\nand 'quotes'")
        assert ledger.outbox.put(first)
        assert not ledger.outbox.put(replace(first, status="suppressed", reason="another"))
        assert ledger.outbox.put(replace(first, receiver="slack"))
        assert list(ledger.outbox.recent(PROJECT)) == [replace(first, receiver="slack"), first]
        assert list(ledger.outbox.recent("another")) == []

    def test_the_same_key_in_another_project_is_another_alert(self, ledger: Ledger) -> None:
        assert ledger.outbox.put(delivery("k"))
        assert ledger.outbox.put(delivery("k", project="another"))

    def test_what_is_to_be_delivered_of_a_new_champion_comes_back_as_it_was(self, ledger: Ledger) -> None:
        news = Announcement(move="c1", version="2", source="promotion", metric="accuracy", value=0.1 + 0.2)
        announced = delivery("c1/release/2", event=Event.RELEASE, announcement=news)
        assert ledger.outbox.put(announced)
        assert not ledger.outbox.put(announced)
        assert ledger.outbox.take(PROJECT, MAIL, 60) == replace(announced, attempts=1)

    def test_the_latest_are_read_first_and_narrowed(self, ledger: Ledger) -> None:
        for number, (event, subject, status) in enumerate(
            [
                (Event.DRIFT, "", "sent"),
                (Event.FAILED, "train", "pending"),
                (Event.FAILED, "collect", "suppressed"),
                (Event.DRIFT, "", "pending"),
            ]
        ):
            ledger.outbox.put(delivery(f"k{number}", event=event, subject=subject, status=status))

        def keys(*arguments: Any, **narrowed: Any) -> str:
            return "".join(each.alert.key[1] for each in ledger.outbox.recent(PROJECT, *arguments, **narrowed))

        assert keys() == "3210"
        assert keys(2) == "32"
        assert keys(event=Event.DRIFT) == "30"
        assert keys(event=Event.FAILED, subject="train") == "1"
        assert keys(subject="") == "30"
        assert keys(status=("pending",)) == "31"
        assert keys(1, status=("pending", "sent"), event=Event.DRIFT) == "3"

    def test_the_oldest_pending_alert_of_the_receiver_is_taken_once(self, ledger: Ledger) -> None:
        ledger.outbox.put(delivery("old", status="sent"))
        ledger.outbox.put(delivery("other", receiver="slack"))
        ledger.outbox.put(delivery("b"))
        ledger.outbox.put(delivery("a"))
        assert ledger.outbox.take(PROJECT, MAIL, 60) == delivery("b", attempts=1)
        assert ledger.outbox.take(PROJECT, MAIL, 60) == delivery("a", attempts=1)
        assert ledger.outbox.take(PROJECT, MAIL, 60) is None
        assert ledger.outbox.take("another", MAIL, 60) is None

    def test_an_alert_waits_for_its_time_unless_it_is_asked_for(self, ledger: Ledger, clock: SetClock) -> None:
        later = delivery("k", not_before=START + timedelta(seconds=10))
        ledger.outbox.put(later)
        assert ledger.outbox.take(PROJECT, MAIL, 5) is None
        assert ledger.outbox.take(PROJECT, MAIL, 5, key="another") is None
        assert ledger.outbox.take(PROJECT, MAIL, 5, key="k") == replace(later, attempts=1)
        assert ledger.outbox.take(PROJECT, MAIL, 5, key="k") is None, "it is claimed"
        clock.advance(10)
        assert ledger.outbox.take(PROJECT, MAIL, 5) == replace(later, attempts=2)

    def test_a_claim_that_has_run_out_is_anybodys_and_its_holder_settles_nothing(self, ledger: Ledger, clock: SetClock) -> None:
        ledger.outbox.put(delivery("k"))
        slept = ledger.outbox.take(PROJECT, MAIL, 5)
        clock.advance(4.9)
        assert ledger.outbox.take(PROJECT, MAIL, 5) is None
        clock.advance(0.1)
        taken = ledger.outbox.take(PROJECT, MAIL, 5)
        assert slept is not None
        assert taken == replace(slept, attempts=2)
        ledger.outbox.settle(replace(slept, reason="not reached"))
        assert ledger.outbox.take(PROJECT, MAIL, 5) is None, "it is still the other's"
        sent = replace(taken, status="sent", sent_at=clock.now())
        ledger.outbox.settle(sent)
        ledger.outbox.settle(replace(taken, status="pending"))
        assert list(ledger.outbox.recent(PROJECT)) == [sent]

    def test_what_is_settled_as_pending_is_tried_again_at_its_time(self, ledger: Ledger, clock: SetClock) -> None:
        ledger.outbox.put(delivery("k"))
        taken = ledger.outbox.take(PROJECT, MAIL, 3600)
        assert taken is not None
        put_off = replace(taken, not_before=clock.now() + timedelta(seconds=1), reason="not reached")
        ledger.outbox.settle(put_off)
        assert list(ledger.outbox.recent(PROJECT, status=("pending",))) == [put_off]
        assert ledger.outbox.take(PROJECT, MAIL, 5) is None
        clock.advance(1)
        assert ledger.outbox.take(PROJECT, MAIL, 5) == replace(put_off, attempts=2)

    @pytest.mark.parametrize("status", ["sent", "suppressed"])
    def test_what_is_done_with_is_never_taken(self, ledger: Ledger, status: str) -> None:
        ledger.outbox.put(delivery("k"))
        taken = ledger.outbox.take(PROJECT, MAIL, 0)
        assert taken is not None
        ledger.outbox.settle(replace(taken, status=status))
        assert ledger.outbox.take(PROJECT, MAIL, 5) is None
        assert ledger.outbox.take(PROJECT, MAIL, 5, key="k") is None

    def test_settling_what_nobody_put_keeps_nothing(self, ledger: Ledger) -> None:
        ledger.outbox.settle(delivery("k", status="sent"))
        assert list(ledger.outbox.recent(PROJECT)) == []

    def test_an_unknown_status_is_refused(self, ledger: Ledger) -> None:
        with pytest.raises(ValueError, match="'lost' is not one of pending, sent, suppressed"):
            ledger.outbox.put(delivery("k", status="lost"))
        with pytest.raises(ValueError, match="'lost' is not one of"):
            ledger.outbox.settle(delivery("k", status="lost"))

    def test_of_threads_that_take_at_once_each_alert_goes_to_one(self, ledger: Ledger) -> None:
        for number in range(12):
            ledger.outbox.put(delivery(f"k{number}"))
        taken: list[str] = []

        def take_all() -> None:
            while (found := ledger.outbox.take(PROJECT, MAIL, 60)) is not None:
                taken.append(found.alert.key)

        threads = [Thread(target=take_all) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(taken) == sorted(f"k{number}" for number in range(12))

    def test_what_is_settled_can_be_forgotten_and_what_is_pending_cannot(self, ledger: Ledger) -> None:
        sent, suppressed, pending = delivery("k0", status="sent"), delivery("k1", status="suppressed"), delivery("k2")
        elsewhere = delivery("k0", status="sent", project="another")
        for each in (sent, suppressed, pending, elsewhere, replace(sent, receiver="slack")):
            ledger.outbox.put(each)
        assert ledger.outbox.forget(PROJECT, [sent, suppressed, suppressed, pending, elsewhere, delivery("unknown")]) == 2
        assert [(each.alert.key, each.receiver) for each in ledger.outbox.recent(PROJECT)] == [("k0", "slack"), ("k2", MAIL)]
        assert list(ledger.outbox.recent("another")) == [elsewhere]
        assert ledger.outbox.forget(PROJECT, [sent]) == 0


def delivery(key: str, **parts: Any) -> Delivery:
    """An alert of the contract's project to its mail receiver."""
    of_alert: dict[str, Any] = {name: parts.pop(name) for name in ("event", "subject", "project", "announcement") if name in parts}
    alert: dict[str, Any] = {"key": key, "project": PROJECT, "event": Event.DRIFT, "severity": Severity.WARNING, "at": START}
    alert |= {"title": "churn: drift", "text": "age has drifted\n→ `keepfit explain`", "cycle": "c1", **of_alert}
    return Delivery(**{"alert": Alert(**alert), "receiver": MAIL, "status": "pending", **parts})
