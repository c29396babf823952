"""What every ledger does with shared documents and the audit; a part of `LedgerContract`."""
# ruff: noqa: S101  # these are tests, shipped so that other people's ledgers can run them

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from threading import Barrier, Thread
from typing import TYPE_CHECKING, Any

import pytest

from keepfit.errors import Conflict
from keepfit.live_records import AuditEntry, Document

if TYPE_CHECKING:
    from keepfit.ports import Ledger

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
PROJECT = "churn"


class SharedStateContract:
    """`ledger` is empty."""

    # ---------------------------------------------------------------------------------------------------- documents

    def test_a_document_is_read_as_it_was_put_with_the_number_of_its_change(self, ledger: Ledger) -> None:
        assert ledger.documents.get(PROJECT, "keys") is None
        text = '{"a": "\'quotes\', ü, \\u0000 and\\n"}'
        first = ledger.documents.put(PROJECT, "keys", text, 0)
        assert first == Document(key="keys", text=text, revision=1)
        assert ledger.documents.get(PROJECT, "keys") == first
        assert ledger.documents.put(PROJECT, "keys", "[]", 1) == Document(key="keys", text="[]", revision=2)
        assert ledger.documents.get(PROJECT, "keys") == Document(key="keys", text="[]", revision=2)

    def test_documents_of_other_names_and_projects_are_others(self, ledger: Ledger) -> None:
        ledger.documents.put(PROJECT, "keys", "1", 0)
        ledger.documents.put(PROJECT, "routing", "2", 0)
        ledger.documents.put("another", "keys", "3", 0)
        ledger.documents.put(PROJECT, "keys", "4", 1)
        found = [ledger.documents.get(*each) for each in ((PROJECT, "keys"), (PROJECT, "routing"), ("another", "keys"))]
        assert [(each.text, each.revision) for each in found if each] == [("4", 2), ("2", 1), ("3", 1)]

    @pytest.mark.parametrize("revision", [0, 1, 3])
    def test_who_was_overtaken_stores_nothing(self, ledger: Ledger, revision: int) -> None:
        ledger.documents.put(PROJECT, "keys", "1", 0)
        kept = ledger.documents.put(PROJECT, "keys", "2", 1)
        with pytest.raises(Conflict, match="'keys' of churn"):
            ledger.documents.put(PROJECT, "keys", "9", revision)
        assert ledger.documents.get(PROJECT, "keys") == kept

    def test_what_is_not_there_has_no_revision(self, ledger: Ledger) -> None:
        with pytest.raises(Conflict):
            ledger.documents.put(PROJECT, "keys", "1", 1)
        assert ledger.documents.get(PROJECT, "keys") is None

    @pytest.mark.parametrize(("text", "revision"), [("{", 0), ("", 0), ('"\ud800"', 0), ("1", -1)])
    def test_what_is_no_document_is_refused(self, ledger: Ledger, text: str, revision: int) -> None:
        with pytest.raises(ValueError):  # in the words of whatever reads JSON
            ledger.documents.put(PROJECT, "keys", text, revision)
        assert ledger.documents.get(PROJECT, "keys") is None

    @pytest.mark.parametrize("revision", [0, 1])
    def test_of_threads_that_put_at_once_exactly_one_wins(self, ledger: Ledger, revision: int) -> None:
        rounds, threads = 5, 4
        for number in range(rounds):
            key = f"document {number}"
            for before in range(revision):
                ledger.documents.put(PROJECT, key, "0", before)
            answers = self._put_at_once(ledger, key, revision, threads)
            won = [answer for answer in answers if isinstance(answer, Document)]
            assert [type(answer) for answer in answers].count(Conflict) == threads - 1
            assert won == [ledger.documents.get(PROJECT, key)]
            assert won[0].revision == revision + 1

    def _put_at_once(self, ledger: Ledger, key: str, revision: int, count: int) -> list[object]:
        answers: list[object] = []
        start = Barrier(count)

        def put(number: int) -> None:
            start.wait()
            try:
                answers.append(ledger.documents.put(PROJECT, key, str(number), revision))
            except Exception as error:  # whatever it is, it is the answer
                answers.append(error)

        threads = [Thread(target=put, args=(number,)) for number in range(1, count + 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return answers

    # -------------------------------------------------------------------------------------------------------- audit

    def test_admin_acts_are_kept_as_they_are_newest_first(self, ledger: Ledger) -> None:
        first = entry(detail="a line\nand 'another', \x00 and ü", outcome="refused: no such version", address="10.0.0.1")
        second, third = entry(act="routing"), entry(at=START - timedelta(days=1))
        for each in (first, second, third):
            ledger.audit.record(PROJECT, each)
        assert list(ledger.audit.recent(PROJECT)) == [third, second, first], "in the order they were recorded, whatever the clock"
        assert list(ledger.audit.recent(PROJECT, 2)) == [third, second]
        assert list(ledger.audit.recent("another")) == []

    def test_the_same_act_twice_is_two_acts(self, ledger: Ledger) -> None:
        ledger.audit.record(PROJECT, entry())
        ledger.audit.record(PROJECT, entry())
        assert list(ledger.audit.recent(PROJECT)) == [entry(), entry()]

    def test_the_time_of_an_act_is_kept_in_utc_and_needs_a_zone(self, ledger: Ledger) -> None:
        ledger.audit.record(PROJECT, entry(at=START.astimezone(timezone(timedelta(hours=5)))))
        assert ledger.audit.recent(PROJECT)[0].at.utcoffset() == timedelta(0)
        with pytest.raises(ValueError, match="no time zone"):
            ledger.audit.record(PROJECT, entry(at=START.replace(tzinfo=None)))
        assert len(ledger.audit.recent(PROJECT)) == 1


def entry(**parts: Any) -> AuditEntry:
    """A rollback by somebody with a key."""
    return AuditEntry(**{"at": START, "actor": "ops", "act": "rollback", "detail": "version 4 -> 3: worse", **parts})
