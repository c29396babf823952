"""A bad champion is taken back by itself, once, whoever looks and whenever somebody is killed; a good one stays."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.live.in_service import Service
from tests.unit.stages.world import Echo

from keepfit.alerting import TAKEN_BACK
from keepfit.errors import LeaseHeld, Unavailable
from keepfit.live import probation
from keepfit.live_records import Standing
from keepfit.promotion import rolled_back_twin
from keepfit.records import Outcome, Severity

BAD, GOOD = "b", "a"  # what version 2 says, and what is right
LIMITS = {"serve": {"probation": {"labels": 60}}}


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """Version 2 was just promoted in place of version 1."""
    made = Service(tmp_path, LIMITS)
    made.promote("2")
    return made


def answer(service: Service, n: int, *, new: str = BAD, old: str = GOOD, label: str | None = GOOD) -> None:
    service.serve([new] * n, [label] * n, silent={"1": [old] * n})


def taken_back(service: Service, move: str) -> None:
    """Exactly once, and all of it."""
    assert service.champion == "1"
    assert service.moves[1:] == [("promotion", "1", "2", "done"), ("rollback", "2", "1", "done")]
    kept = service.live.oversee()
    assert kept is not None
    assert (kept.standing, kept.move) == (Standing.ROLLED_BACK, move)
    audited = [entry for entry in service.ledger.audit.recent("demo") if entry.act == "rollback"]
    assert [(entry.actor, entry.outcome) for entry in audited] == [("keepfit", "done")]
    assert [alert.severity for alert in service.alerts] == [Severity.CRITICAL]


def test_a_promotion_begins_a_probation_in_which_the_version_before_answers_silently(service: Service) -> None:
    began = service.live.oversee()
    assert began is not None
    assert (began.champion, began.before, began.standing) == ("2", "1", Standing.RUNNING)
    assert service.live.routes().shadows == ("1",)


def test_a_champion_that_is_worse_is_taken_back_with_its_reason_in_journal_audit_and_alert(service: Service) -> None:
    service.live.oversee()
    answer(service, 20)
    found = service.live.oversee()
    assert found is not None
    assert found.standing is Standing.ROLLED_BACK
    assert "version 2 is worse than version 1" in found.reason
    assert "20 labelled answers" in found.reason
    assert found.comparison is not None
    assert found.comparison.difference == 1.0
    assert service.alerts[0].text.startswith("taken back on probation: version 2 is worse")
    assert service.live.routes().shadows == ()
    taken_back(service, found.move)


def test_a_champion_that_is_as_good_passes_after_enough_labels(service: Service) -> None:
    answer(service, 59, new=GOOD)
    assert service.live.oversee().standing is Standing.RUNNING  # type: ignore[union-attr]
    answer(service, 1, new=GOOD)
    passed = service.live.oversee()
    assert passed is not None
    assert (passed.standing, service.champion) == (Standing.PASSED, "2")
    answer(service, 60)  # too late to be taken back by itself
    assert service.live.oversee().standing is Standing.PASSED  # type: ignore[union-attr]


def test_probation_passes_when_its_time_is_over_and_says_how_little_it_rests_on(service: Service) -> None:
    service.live.oversee()
    answer(service, 3)
    service.world.clock.advance(7 * 86400)
    passed = service.live.oversee()
    assert passed is not None
    assert passed.standing is Standing.PASSED
    assert "3 labels came back" in passed.reason


def test_a_loss_within_the_margin_is_borne(tmp_path: Path) -> None:
    service = Service(tmp_path, {"serve": {"probation": {"labels": 1000, "margin": 0.5}}})
    service.promote("2")
    labels = [GOOD] * 400
    service.serve([BAD] * 120 + [GOOD] * 280, labels, silent={"1": labels})
    assert service.live.oversee().standing is Standing.RUNNING  # type: ignore[union-attr]


def test_only_answers_of_both_since_the_move_count(service: Service) -> None:
    service.serve([BAD] * 40, [GOOD] * 40)  # the version before was not asked
    service.serve([BAD] * 40, [GOOD] * 40, silent={"3": [GOOD] * 40})  # somebody else was
    service.serve([BAD] * 40, [None] * 40, silent={"1": [GOOD] * 40})  # no label
    found = service.live.oversee()
    assert found is not None
    assert found.standing is Standing.RUNNING
    assert found.comparison is not None
    assert (found.comparison.n, found.comparison.excluded) == (0, 80)


def test_labels_that_were_corrected_count_as_they_are_now(service: Service) -> None:
    ids = service.serve([BAD] * 20, [BAD] * 20, silent={"1": [GOOD] * 20})
    assert service.live.oversee().standing is Standing.RUNNING  # type: ignore[union-attr]
    service.relabel(ids, [GOOD] * 20)
    assert service.live.oversee().standing is Standing.ROLLED_BACK  # type: ignore[union-attr]


# ------------------------------------------------------------------------------------------------- which moves begin one


def test_going_back_begins_none(service: Service) -> None:
    service.live.oversee()
    service.promote("1", kind="rollback")
    ended = service.live.oversee()
    assert ended is not None
    assert (ended.standing, ended.champion) == (Standing.ENDED, "2")
    assert service.live.routes().shadows == ()


def test_who_insists_on_a_version_that_was_taken_back_keeps_it(service: Service) -> None:
    answer(service, 20)
    service.live.oversee()
    assert service.champion == "1"
    service.promote("2")
    answer(service, 60)
    service.live.oversee()
    assert service.champion == "2"


def test_a_move_in_mlflow_that_was_noticed_begins_one(service: Service) -> None:
    service.promote("3", kind="by_hand")
    began = service.live.oversee()
    assert began is not None
    assert (began.champion, began.standing) == ("3", Standing.RUNNING)


def test_the_first_champion_begins_none(tmp_path: Path) -> None:
    assert Service(tmp_path).live.oversee() is None


def test_an_old_promotion_begins_none(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.promote("2")
    service.world.clock.advance(8 * 86400)
    assert service.live.oversee() is None


def test_switched_off_it_ends(service: Service) -> None:
    service.live.oversee()
    service.world.change(serve={"probation": {"enabled": False}})
    ended = service.office().oversee()
    assert ended is not None
    assert ended.standing is Standing.ENDED


def test_a_second_promotion_takes_its_place(service: Service) -> None:
    service.live.oversee()
    service.promote("3")
    began = service.live.oversee()
    assert began is not None
    assert (began.champion, began.before, began.standing) == ("3", "2", Standing.RUNNING)


def test_a_hand_in_mlflow_ends_it_and_is_respected(service: Service) -> None:
    service.live.oversee()
    service.world.ports.registry.aliases["champion"] = "3"
    answer(service, 20)
    ended = service.live.oversee()
    assert ended is not None
    assert (ended.standing, service.champion) == (Standing.ENDED, "3")


def test_a_registry_that_is_away_ends_nothing(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    service.live.oversee()
    with monkeypatch.context() as away:
        away.setattr(service.world.ports.registry, "champion", lambda: _raise(Unavailable("away")))
        with pytest.raises(Unavailable):
            service.live.oversee()
    assert service.live.oversee().standing is Standing.RUNNING  # type: ignore[union-attr]


def test_a_version_before_that_cannot_be_loaded_is_told_of_and_the_new_one_stays(service: Service) -> None:
    service.live.oversee()
    answer(service, 20)
    del service.world.ports.registry.versions["1"]
    ended = service.live.oversee()
    assert ended is not None
    assert (ended.standing, service.champion) == (Standing.ENDED, "2")
    assert [alert.severity for alert in service.alerts] == [Severity.CRITICAL]
    assert "could not be taken back" in service.alerts[0].title


def test_a_damaged_document_is_replaced_by_the_next_move(service: Service) -> None:
    service.live.oversee()
    document = service.ledger.documents.get("demo", probation.KEY)
    service.ledger.documents.put("demo", probation.KEY, '{"champion": 7}', document.revision)
    assert service.live.oversee().standing is Standing.RUNNING  # type: ignore[union-attr]


# ------------------------------------------------------------------------------------------------------- exactly once


class Killed(BaseException):
    """Nothing catches it, as nothing catches SIGKILL."""


def _raise(error: BaseException) -> Any:
    raise error


STEPS = ("intend", "point", "tell", "settle", "record", "put")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_killed_between_any_two_steps_it_is_taken_back_once(
    service: Service, monkeypatch: pytest.MonkeyPatch, step: str, after: bool
) -> None:
    began = service.live.oversee()
    assert began is not None
    answer(service, 20)
    ledger, registry = service.ledger, service.world.ports.registry
    homes = {"intend": ledger.journal, "point": registry, "tell": ledger.outbox, "settle": ledger.journal}
    home = {**homes, "record": ledger.audit, "put": ledger.documents}[step]
    name = "put" if step == "tell" else step
    real = getattr(home, name)

    def dying(*arguments: Any, **named: Any) -> Any:
        if after:
            real(*arguments, **named)
        raise Killed

    with monkeypatch.context() as kill:
        kill.setattr(home, name, dying)
        with pytest.raises(Killed):
            service.office().oversee()
    assert service.office().oversee() is not None
    taken_back(service, began.move)


def test_while_another_runner_works_it_waits_for_the_next_look(service: Service) -> None:
    service.live.oversee()
    answer(service, 20)
    lease = service.ledger.leases.acquire("demo", "elsewhere:1:0.0", 60)
    with pytest.raises(LeaseHeld):
        service.ledger.leases.acquire("demo", "me:1:0.0", 60)
    waiting = service.live.oversee()
    assert waiting is not None
    assert (waiting.standing, service.champion) == (Standing.RUNNING, "2")
    service.ledger.leases.release(lease)
    service.live.oversee()
    taken_back(service, waiting.move)


def test_a_look_in_the_middle_of_anothers_move_does_not_take_it_for_a_hand_in_mlflow(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = service.live.oversee()
    assert began is not None
    answer(service, 20)
    real, other = service.world.ports.registry.point, service.office()
    seen: list[Any] = []

    def point(*arguments: Any) -> None:
        real(*arguments)
        seen.append(other.oversee())

    monkeypatch.setattr(service.world.ports.registry, "point", point)
    service.live.oversee()
    assert [each.standing for each in seen] == [Standing.RUNNING]
    taken_back(service, began.move)


def test_an_office_that_is_killed_under_anothers_eyes_is_not_taken_for_a_hand_in_mlflow(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One has seen that the journal is at rest; before it looks at the alias, the other begins to move it and is killed."""
    began = service.live.oversee()
    assert began is not None
    answer(service, 20)
    registry, other = service.world.ports.registry, service.office()
    champion, point = registry.champion, registry.point

    def killed(*arguments: Any) -> None:
        point(*arguments)
        raise Killed

    def look() -> Any:
        monkeypatch.setattr(registry, "champion", champion)
        monkeypatch.setattr(registry, "point", killed)
        with pytest.raises(Killed):
            other.oversee()
        monkeypatch.setattr(registry, "point", point)
        return champion()

    monkeypatch.setattr(registry, "champion", look)
    assert service.live.oversee().standing is Standing.RUNNING  # type: ignore[union-attr]
    service.live.oversee()
    taken_back(service, began.move)


def test_a_promotion_that_comes_first_is_not_undone_by_what_its_forerunner_did(service: Service) -> None:
    service.live.oversee()
    answer(service, 20)
    office = service.office()
    real = office._alone

    def after_another() -> Any:
        service.promote("3")
        return real()

    monkeypatched: Any = office
    monkeypatched._alone = after_another
    ended = office.oversee()
    assert ended is not None
    assert (ended.standing, service.champion) == (Standing.ENDED, "3")
    assert ended.reason.endswith("the alias was moved meanwhile")
    began = service.live.oversee()
    assert began is not None
    assert (began.champion, began.before, began.standing) == ("3", "2", Standing.RUNNING)


def test_several_offices_that_look_at_once_take_it_back_once(service: Service) -> None:
    began = service.live.oversee()
    assert began is not None
    answer(service, 20)
    together, failures = threading.Barrier(6), []

    def look(office: Any) -> None:
        together.wait()
        try:
            for _ in range(5):
                office.oversee()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=look, args=(service.office(),)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    taken_back(service, began.move)


def test_several_offices_begin_one(service: Service) -> None:
    first, second = service.office(), service.office()
    assert first.oversee() == second.oversee()
    assert service.ledger.documents.get("demo", probation.KEY).revision == 1


# ------------------------------------------------------------------------------------------------------ it stays away


def test_a_rolled_back_model_has_a_twin_until_a_person_promotes_it_again(service: Service) -> None:
    ports, config = service.world.ports, service.world.config
    content = ports.registry.load("2")[0].content_hash
    assert rolled_back_twin(content, ports, config) is None
    answer(service, 20)
    service.live.oversee()
    assert rolled_back_twin(content, ports, config) == "2"
    assert rolled_back_twin(ports.registry.load("1")[0].content_hash, ports, config) is None
    assert rolled_back_twin("", ports, config) is None
    service.promote("2")
    assert rolled_back_twin(content, ports, config) is None


def test_the_loop_does_not_promote_a_model_again_that_was_rolled_back(tmp_path: Path) -> None:
    """Equal data, code and seed make the same model again, under another number."""
    columns = {name: {"type": "number"} for name in ("x", "z")} | {"y": {"type": "category", "values": ["no", "yes"]}}
    service = Service(tmp_path, {"data": {"columns": columns}, "promote": {"gate": "greater"}}, models=())

    def day(number: int) -> dict[str, Any]:
        draw = np.random.default_rng(number)
        x, z = draw.normal(size=300), draw.normal(size=300)
        return {"x": x, "z": z, "y": np.where(z > 0, "yes", "no")}

    assert service.learn("one.csv", day(1), Echo("x")).outcome is Outcome.PROMOTED
    second = service.learn("two.csv", day(2), Echo("z"), forced=True)
    assert (second.outcome, service.champion) == (Outcome.PROMOTED, "2")
    service.serve(["no"] * 30, ["yes"] * 30, silent={"1": ["yes"] * 30})
    service.live.oversee()
    assert service.champion == "1"
    third = service.learn("three.csv", day(3), Echo("z"), forced=True)
    assert (third.outcome, service.champion) == (Outcome.KEPT_CHAMPION, "1")
    assert third.reason.startswith("version 3 is the same model as version 2, which was rolled back; `keepfit promote 3`")
    other = service.learn("four.csv", day(4), Echo("z", ("no", "yes", "perhaps")), forced=True)  # another model, as good
    assert (other.outcome, service.champion) == (Outcome.PROMOTED, "4")


def test_the_journals_id_of_a_move_back_follows_from_the_move(service: Service) -> None:
    began = service.live.oversee()
    assert began is not None
    answer(service, 20)
    service.live.oversee()
    assert service.ledger.journal.entries("demo")[0].id == began.move + TAKEN_BACK
