"""What people are told of, what not, and when."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.stages.world import FakeTrainer, World

from keepfit import alerting, courier
from keepfit import cycle as loop
from keepfit.adapters.no_release import NoRelease
from keepfit.alerting import TAKEN_BACK, after_failure, after_quiet_hours, announced, happened, judged, over
from keepfit.config import Config
from keepfit.errors import ConfigError, Unavailable
from keepfit.promotion import move_alias, notice_hand, promote_by_hand, roll_back, settle
from keepfit.records import (
    Action,
    Alert,
    Announcement,
    BatchValidation,
    ColumnDrift,
    Cycle,
    Decision,
    Delivery,
    DriftReport,
    Event,
    Finding,
    Lease,
    Outcome,
    Promotion,
    Severity,
    Signal,
    Validation,
)
from keepfit.settings import Alerts
from keepfit.testing import MemoryLedger, SetClock

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def cycle(stage: str, **parts: Any) -> Cycle:
    return Cycle(**{"id": "c1", "project": "demo", "started_at": NOW, "stage": stage, "timings": {stage: 0.1}, **parts})


def told(stage: str, **parts: Any) -> list[tuple[str, str]]:
    """What a stage gives rise to, with its severity."""
    return [(alert.event.value, alert.severity.value) for alert in happened(cycle(stage, **parts), NOW)]


def validation(quarantined: int, passed: int = 1) -> Validation:
    finding = Finding(
        check="type", column="age", expected="numbers", found="text in 3 cells", rows=3, examples=("row 1: 'secret'",)
    )
    broken = tuple(
        BatchValidation(
            batch=f"{number}", name=f"day-{number}.csv", passed=False, quality=0, rows=9, labelled=9, findings=(finding,)
        )
        for number in range(quarantined)
    )
    return Validation(passed=passed, quarantined=quarantined, quality=None, batches=broken)


def signal(name: str, fired: bool = True, **parts: Any) -> Signal:
    return Signal(name=name, fired=fired, reason=f"{name} says so", **parts)


def decision(action: Action, *signals: Signal) -> Decision:
    return Decision(action=action, reasons=tuple(each.reason for each in signals), signals=signals)


def drift(detected: bool | None) -> DriftReport:
    column = ColumnDrift(
        name="age", kind="number", method="ks", score=0.31, threshold=0.1, p_value=0.001, drifted=True, reference=900, current=90
    )
    return DriftReport(detected=detected, columns=(column,) if detected else (), reference_rows=900, rows=90, champion="3")


# ------------------------------------------------------------------------------------------------------------ happened


@pytest.mark.parametrize("stage", ["collect", "validate", "prepare", "monitor", "decide", "train", "compare", "release", "archive"])
def test_a_cycle_in_which_all_is_well_tells_nothing(stage: str) -> None:
    quiet = decision(Action.NO_ACTION, signal("floor", False), signal("degradation", False))
    outcome = Outcome.HEALTHY if stage == "decide" else None
    assert told(stage, validation=validation(0), drift=drift(False), decision=quiet, outcome=outcome) == []


def test_broken_data_warns_while_the_rest_goes_on_and_is_critical_when_nothing_is_left() -> None:
    assert told("validate", validation=validation(1)) == [("data_fault", "warning")]
    assert told("validate", validation=validation(1, 0), outcome=Outcome.QUARANTINED) == [("data_fault", "critical")]


def test_no_value_out_of_the_data_is_told() -> None:
    (alert,) = happened(cycle("validate", validation=validation(7)), NOW)
    assert "day-0.csv: age: expected numbers, found text in 3 cells" in alert.text
    assert "secret" not in alert.text
    assert "and 2 more" in alert.text


def test_drift_names_its_columns() -> None:
    (alert,) = happened(cycle("monitor", drift=drift(True)), NOW)
    assert (alert.event, alert.severity, alert.title) == (Event.DRIFT, Severity.WARNING, "demo: new data has drifted: age")
    assert "age: ks 0.31" in alert.text
    assert told("monitor", drift=drift(None)) == []


@pytest.mark.parametrize("name", ["floor", "degradation", "unjudged"])
def test_a_fall_of_performance_warns_and_is_critical_when_it_is_not_retrained(name: str) -> None:
    assert told("decide", decision=decision(Action.RETRAIN, signal(name))) == [
        ("performance_fell", "warning"),
        ("retraining", "info"),
    ]
    blocked = decision(Action.ALERT, signal(name), signal("budget"))
    (alert,) = happened(cycle("decide", decision=blocked, outcome=Outcome.ALERTED), NOW)
    assert (alert.event, alert.severity) == (Event.PERFORMANCE_FELL, Severity.CRITICAL)
    assert alert.text.splitlines()[:3] == [f"{name} says so", "It is not retrained:", "budget says so"]


def test_a_data_fault_found_by_the_decision_is_told() -> None:
    found = decision(Action.ALERT, signal("data_fault"))
    assert told("decide", decision=found, outcome=Outcome.ALERTED) == [("data_fault", "critical")]


def test_a_retraining_is_told_when_it_is_decided() -> None:
    assert told("decide", decision=decision(Action.RETRAIN, signal("new_rows"))) == [("retraining", "info")]


@pytest.mark.parametrize("outcome", [Outcome.KEPT_CHAMPION, Outcome.INCONCLUSIVE])
def test_that_the_champion_stays_is_told(outcome: Outcome) -> None:
    assert told("compare", outcome=outcome, reason="no better") == [("kept", "info")]


def test_an_alert_without_another_event_calls_a_person() -> None:
    assert told("promote", outcome=Outcome.ALERTED, reason="the alias was moved") == [("failed", "critical")]


@pytest.mark.parametrize(("kind", "event"), [("promotion", "promoted"), ("registration", "promoted"), ("rollback", "rolled_back")])
def test_every_move_of_the_alias_is_an_event_of_its_own(kind: str, event: str) -> None:
    move = Promotion(alias="champion", from_version="1", to_version="2", reason="better", kind=kind)
    first, second = (alerting.moved(move, id, None, "demo", NOW) for id in ("j1", "j2"))
    assert first.event.value == event
    assert first.subject != second.subject
    assert first.key != second.key


def test_a_failure_is_told_by_its_stage() -> None:
    alert = alerting.failed(cycle("prepare"), "train", "boom at postgresql://me:secret@host/db", NOW)
    assert (alert.event, alert.severity, alert.subject, alert.key) == (Event.FAILED, Severity.CRITICAL, "train", "c1/failed/train")
    assert "secret" not in alert.text
    assert alerting.failed(cycle("prepare"), "train", "away", NOW, passing=True).severity is Severity.WARNING


def test_the_key_is_the_same_when_a_stage_is_done_again() -> None:
    first, second = (happened(cycle("monitor", drift=drift(True)), NOW + timedelta(hours=hour))[0] for hour in (0, 1))
    assert first.key == second.key == "c1/drift"


def test_names_from_outside_break_neither_headers_nor_lines() -> None:
    faulty = validation(1)
    evil = replace(faulty.batches[0], name="a\nBcc: all@example.org\x00\x1b[31m.csv")
    (alert,) = happened(cycle("validate", project="de\r\nmo", validation=replace(faulty, batches=(evil,))), NOW)
    assert alert.title.isprintable()
    assert "\x00" not in alert.text
    assert "\x1b" not in alert.text


def test_long_reasons_are_shortened() -> None:
    alert = alerting.failed(cycle("prepare"), "train", "x" * 100_000, NOW)
    assert len(alert.text) <= alerting.LONGEST_TEXT


# ---------------------------------------------------------------------------------------------------------------- over


def test_what_a_later_cycle_shows_well_is_over() -> None:
    good = decision(Action.NO_ACTION, signal("floor", False), signal("degradation", False, enough=False))
    assert over(cycle("monitor", drift=drift(False))) == [(Event.DRIFT, "")]
    assert over(cycle("decide", decision=good, validation=validation(0))) == [(Event.DATA_FAULT, ""), (Event.PERFORMANCE_FELL, "")]


def test_what_a_later_cycle_leaves_open_is_not_over() -> None:
    unsure = decision(Action.NO_ACTION, signal("floor", False, enough=False), signal("new_rows", False))
    beyond = decision(Action.NO_ACTION, signal("floor", False, beyond=True))
    fault = decision(Action.NO_ACTION, signal("data_fault"))
    assert over(cycle("monitor", drift=drift(None))) == []
    for open_yet in (unsure, beyond, fault):
        assert over(cycle("decide", decision=open_yet, validation=validation(1))) == []
    assert (Event.DATA_FAULT, "") not in over(cycle("decide", decision=fault, validation=validation(0)))


def test_a_failure_is_over_when_its_stage_has_been_done() -> None:
    done = {"collect": 0.1, "decide": 0.1}
    ended = cycle("decide", outcome=Outcome.HEALTHY, timings=done)
    assert over(ended, ["decide", "train"]) == [(Event.FAILED, "decide")]
    assert over(replace(ended, outcome=Outcome.FAILED), ["decide"]) == []
    assert over(replace(ended, outcome=Outcome.ALERTED), ["decide", "collect"]) == [(Event.FAILED, "collect")]
    assert over(cycle("collect", outcome=Outcome.WAITING), ["collect", "train"]) == [(Event.FAILED, "collect")]


@pytest.mark.parametrize(
    ("kind", "id", "cycle", "source"),
    [
        ("promotion", "c1", "c1", "promotion"),
        ("promotion", "m1", None, "promotion_by_hand"),
        ("rollback", "m1", None, "rollback"),
        ("rollback", "c1-taken-back", None, "probation"),
        ("registration", "c1", None, "registration"),
        ("by_hand", "c1-hand-3", None, "moved_by_hand"),
    ],
)
def test_what_is_to_be_delivered_says_who_made_it_champion(kind: str, id: str, cycle: str | None, source: str) -> None:
    move = Promotion(alias="champion", from_version="1", to_version="3", reason="better", at=NOW, kind=kind)
    told = announced(move, id, cycle, ("accuracy", 0.9), "demo", NOW)
    assert told.announcement == Announcement(move=id, version="3", source=source, metric="accuracy", value=0.9)
    assert (told.event, told.key, told.cycle) == (Event.RELEASE, f"{id}/release/3", cycle)


def test_what_is_to_be_delivered_is_not_held_back_by_quiet_hours() -> None:
    settings = Alerts(quiet_hours="00:00-23:59")
    told = announced(Promotion(alias="champion", from_version=None, to_version="3"), "c1", "c1", (None, None), "demo", NOW)
    put_off = after_failure(Delivery(alert=told, receiver="GitHub Actions", status="pending", attempts=1), "away", NOW, settings)
    assert put_off.not_before == NOW + timedelta(seconds=1)
    patient = after_failure(put_off, "busy", NOW, settings, patience=90)
    assert patient.not_before == NOW + timedelta(seconds=90)


# -------------------------------------------------------------------------------------------------------------- policy


def alert(severity: Severity = Severity.WARNING, at: datetime = NOW, event: Event = Event.DRIFT) -> Alert:
    return Alert(key="k", project="demo", event=event, severity=severity, title="t", text="x", at=at)


def sent(severity: Severity = Severity.WARNING, ago: timedelta = timedelta(hours=1), event: Event = Event.DRIFT) -> Delivery:
    return Delivery(alert=alert(severity, NOW - ago, event), receiver="mail", status="sent")


def status(new: Alert, *, before: Delivery | None = None, ended: Delivery | None = None, **settings: Any) -> tuple[str, str]:
    (delivery,) = judged(new, before, ended, ["mail"], Alerts(**settings))
    return delivery.status, delivery.reason


def test_by_default_everything_is_sent_to_everybody() -> None:
    for event in Alerts().events:
        found = judged(alert(Severity.INFO, event=event), None, None, ["mail", "slack"], Alerts())
        assert [(each.receiver, each.status, each.not_before) for each in found] == [
            ("mail", "pending", None),
            ("slack", "pending", None),
        ]


def test_what_nobody_wants_is_kept_with_the_reason() -> None:
    assert status(alert(), events=["failed"]) == ("suppressed", "drift is not among alerts.events")
    assert status(alert(), min_severity="critical") == ("suppressed", "warning is less than alerts.min_severity = critical")
    assert [each.reason for each in judged(alert(), None, None, [], Alerts())] == ["nobody is set up to be told"]


def test_the_same_is_not_told_again_within_the_cooldown() -> None:
    again = status(alert(), before=sent())
    assert again == ("suppressed", "told at 2026-03-01 11:00 UTC, within alerts.cooldown")
    assert status(alert(), before=sent(ago=timedelta(hours=12)))[0] == "pending"


def test_what_has_become_more_severe_or_was_over_meanwhile_is_told_again() -> None:
    assert status(alert(Severity.CRITICAL), before=sent())[0] == "pending"
    assert status(alert(Severity.INFO), before=sent())[0] == "suppressed"
    ended = sent(Severity.INFO, timedelta(minutes=5), Event.RECOVERED)
    assert status(alert(), before=sent(), ended=ended)[0] == "pending"
    assert status(alert(), before=sent(ago=timedelta(minutes=1)), ended=ended)[0] == "suppressed"


@pytest.mark.parametrize(
    ("hours", "now", "until"),
    [
        ("22:00-07:00", "2026-03-01T21:59:59+00:00", None),
        ("22:00-07:00", "2026-03-01T22:00:00+00:00", "2026-03-02T07:00:00+00:00"),
        ("22:00-07:00", "2026-03-01T03:00:00+00:00", "2026-03-01T07:00:00+00:00"),
        ("22:00-07:00", "2026-03-01T07:00:00+00:00", None),
        ("12:00-13:30", "2026-03-01T12:10:00+00:00", "2026-03-01T13:30:00+00:00"),
        ("12:00-12:00", "2026-03-01T12:00:00+00:00", None),
        ("", "2026-03-01T12:00:00+00:00", None),
    ],
)
def test_quiet_hours_put_off(hours: str, now: str, until: str | None) -> None:
    moment = datetime.fromisoformat(now)
    expected = datetime.fromisoformat(until or now)
    assert after_quiet_hours(alert(), moment, Alerts(quiet_hours=hours)) == expected
    assert after_quiet_hours(alert(Severity.CRITICAL), moment, Alerts(quiet_hours=hours)) == moment


def test_quiet_hours_are_those_of_the_clock_on_the_wall() -> None:
    berlin = Alerts(quiet_hours="22:00-07:00", time_zone="Europe/Berlin")
    before_summer_time = datetime(2026, 3, 28, 22, 30, tzinfo=UTC)  # the night in which the clock goes forward
    assert after_quiet_hours(alert(), before_summer_time, berlin) == datetime(2026, 3, 29, 5, 0, tzinfo=UTC)
    (held,) = judged(alert(at=before_summer_time), None, None, ["mail"], berlin)
    assert (held.status, held.reason) == ("pending", "quiet hours until 07:00 Europe/Berlin")


def test_an_alias_that_is_gone_is_told_with_what_answers_and_how_to_set_it_again() -> None:
    alert = alerting.alias_gone("champion", "7", "demo", NOW)
    assert (alert.event, alert.severity, alert.subject) == (Event.FAILED, Severity.WARNING, "alias")
    assert "version 7 goes on answering" in alert.text
    assert "keepfit promote 7" in alert.text
    assert alerting.alias_gone("champion", "7", "demo", NOW + timedelta(days=1)).key != alert.key, "another time it is news again"


def test_a_time_zone_that_does_not_exist_is_refused() -> None:
    tree = {"project": {"name": "demo", "task": "regression"}, "data": {"target": "y"}, "alerts": {"time_zone": "Europe/Atlantis"}}
    with pytest.raises(ConfigError, match=r"alerts\.time_zone.*there is no such time zone"):
        Config.of(tree)


def test_a_receiver_that_does_not_answer_is_tried_less_and_less_often() -> None:
    waits = []
    for attempt in range(1, 9):
        put_off = after_failure(replace(sent(), status="pending", attempts=attempt), "away", NOW, Alerts())
        assert (put_off.status, put_off.reason) == ("pending", "away")
        assert put_off.not_before is not None
        waits.append((put_off.not_before - NOW).total_seconds())
    assert waits == [1, 1, 2, 5, 60, 600, 3600, 3600]


def test_an_attempt_that_failed_is_not_repeated_in_quiet_hours() -> None:
    quiet = Alerts(quiet_hours="12:00-13:00")
    put_off = after_failure(replace(sent(), status="pending", attempts=1), "away", NOW, quiet)
    assert put_off.not_before == NOW + timedelta(hours=1)


# ------------------------------------------------------------------------------------------------------------- courier


class Told:
    """The port `Notifier`: remembers what was sent, and may be away."""

    def __init__(self, *receivers: str) -> None:
        self.receivers = receivers or ("mail",)
        self.got: list[tuple[str, str]] = []
        self.away: set[str] = set()

    def send(self, alert: Alert, receiver: str) -> None:
        if receiver in self.away:
            raise Unavailable("away")
        self.got.append((receiver, alert.event.value))

    def check(self) -> None:
        """All is well."""


class Pipeline:
    """The port `Releaser`: remembers what was started."""

    receivers = ("the pipeline",)

    def __init__(self) -> None:
        self.started: list[Announcement] = []

    def release(self, announcement: Announcement, receiver: str) -> None:
        self.started.append(announcement)

    def check(self) -> None:
        """All is well."""


class Scene:
    """A ledger, a clock and somebody who is told."""

    def __init__(self, *receivers: str, **settings: Any) -> None:
        self.clock, self.notifier, self.releaser = SetClock(NOW), Told(*receivers), NoRelease()
        self.ledger = MemoryLedger(self.clock)
        tree = {"project": {"name": "demo", "task": "regression"}, "data": {"target": "y"}, "alerts": settings}
        self.config = Config.of(tree)

    def ends(self, stage: str, id: str, **parts: Any) -> list[str]:
        """A stage of a cycle ends an hour later; the statuses of what is new in the outbox."""
        self.clock.advance(3600)
        before = len(self.rows)
        courier.tell_of(cycle(stage, id=id, **parts), self, self.config)  # type: ignore[arg-type]
        return [f"{each.alert.event.value} {each.status}" for each in reversed(self.rows[: len(self.rows) - before])]

    @property
    def rows(self) -> list[Delivery]:
        return list(self.ledger.outbox.recent("demo", 1000))

    def deliver(self) -> list[str]:
        carrier = courier.Courier(self, self.config)  # type: ignore[arg-type]
        carrier.finish()
        return [f"{event} {receiver}" for receiver, event in self.notifier.got]


def test_an_event_its_repetition_and_its_end() -> None:
    scene = Scene()
    assert scene.ends("monitor", "c1", drift=drift(True)) == ["drift pending"]
    assert scene.ends("monitor", "c1", drift=drift(True)) == [], "the stage was done again after a crash"
    assert scene.ends("monitor", "c2", drift=drift(True)) == ["drift suppressed"]
    assert scene.ends("monitor", "c3", drift=drift(False)) == ["recovered pending"]
    assert scene.ends("monitor", "c3", drift=drift(False)) == []
    assert scene.ends("monitor", "c4", drift=drift(False)) == []
    assert scene.ends("monitor", "c5", drift=drift(True)) == ["drift pending"]
    assert scene.deliver() == ["drift mail", "recovered mail", "drift mail"]


def test_a_failure_that_repeats_for_days_is_found_to_be_over() -> None:
    scene = Scene(cooldown="30d")
    for number in range(100):
        now = scene.clock.advance(60)
        failure = alerting.failed(cycle("prepare", id=f"c{number}"), "train", "boom", now)
        courier.tell([failure], scene, scene.config)  # type: ignore[arg-type]
    assert [each.status for each in scene.rows].count("suppressed") == 99
    assert scene.ends("archive", "d", outcome=Outcome.PROMOTED, timings={"train": 1.0}) == ["recovered pending"]


def test_what_was_not_told_has_no_end_to_tell() -> None:
    scene = Scene(events=["recovered"])
    assert scene.ends("monitor", "c1", drift=drift(True)) == ["drift suppressed"]
    assert scene.ends("monitor", "c2", drift=drift(False)) == []


def test_a_receiver_that_is_away_keeps_nobody_else_from_being_told() -> None:
    scene = Scene("mail", "slack")
    scene.notifier.away = {"mail"}
    scene.ends("monitor", "c1", drift=drift(True))
    assert scene.deliver() == ["drift slack"]
    assert [(each.receiver, each.status, each.reason) for each in scene.rows] == [
        ("slack", "sent", ""),
        ("mail", "pending", "away"),
    ]
    scene.notifier.away = set()
    scene.clock.advance(1)
    assert scene.deliver() == ["drift slack", "drift mail"]
    assert scene.deliver() == ["drift slack", "drift mail"]


def test_what_waits_for_its_time_is_sent_by_hand_at_once() -> None:
    scene = Scene(quiet_hours="12:00-23:00")
    assert scene.ends("monitor", "c1", drift=drift(True)) == ["drift pending"]
    assert scene.deliver() == []
    assert [each.status for each in courier.deliver(scene, scene.config)] == ["sent"]  # type: ignore[arg-type]
    assert courier.deliver(scene, scene.config) == []  # type: ignore[arg-type]
    scene.clock.advance(86400)
    assert scene.deliver() == ["drift mail"]


@pytest.mark.parametrize("receivers", [("mail",), ("another",)])
def test_what_could_not_be_sent_for_a_week_is_given_up(receivers: tuple[str, ...]) -> None:
    scene = Scene()
    scene.notifier.away = {"mail"}
    scene.ends("monitor", "c1", drift=drift(True))
    scene.deliver()
    scene.notifier.away, scene.notifier.receivers = set(), receivers
    scene.clock.advance(7 * 86400 + 1)
    assert scene.deliver() == []
    assert [(each.status, each.reason) for each in scene.rows] == [("suppressed", "given up after 7 days: away")]


def test_nobody_is_told_later_of_what_happened_before_somebody_was_set_up() -> None:
    scene = Scene()
    scene.notifier.receivers = ()
    assert scene.ends("monitor", "c1", drift=drift(True)) == ["drift suppressed"]
    scene.notifier.receivers = ("mail",)
    assert scene.deliver() == []
    assert scene.ends("monitor", "c2", drift=drift(True)) == ["drift pending"]


def test_a_notifier_that_cannot_even_be_opened_fails_no_cycle() -> None:
    scene = Scene()
    del scene.notifier
    assert scene.ends("monitor", "c1", drift=drift(True)) == ["drift suppressed"]


def test_an_error_that_nobody_foresaw_in_sending_is_kept_as_the_reason() -> None:
    scene = Scene()
    scene.notifier.send = lambda alert, receiver: 1 / 0  # type: ignore[method-assign,assignment,return-value]
    scene.ends("monitor", "c1", drift=drift(True))
    scene.deliver()
    assert [(each.status, each.reason) for each in scene.rows] == [("pending", "ZeroDivisionError: division by zero")]


# ---------------------------------------------------------------------------------------------------------------- loop


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A project with one file, from which a first champion comes."""
    columns = {"x": {"type": "number"}, "y": {"type": "category"}}
    world = World(tmp_path, {"data": {"columns": columns}, "promote": {"resamples": 200, "gate": "greater"}})
    world.ports.notifier = Told()
    world.arrive("a.csv", {"x": [float(number) for number in range(200)], "y": ["a"] * 200})
    return world


def outbox(world: World) -> list[str]:
    return [each.alert.event.value for each in world.ports.ledger.outbox.recent("demo")]


def test_a_cycle_tells_of_its_retraining_and_its_promotion_as_they_happen(world: World) -> None:
    cycle = world.run(until="decide")
    assert outbox(world) == ["retraining"]
    world.run(until="promote")
    assert outbox(world) == ["promoted", "retraining"]
    assert {each.alert.cycle for each in world.ports.ledger.outbox.recent("demo")} == {cycle.id}
    assert world.run().outcome is Outcome.PROMOTED
    assert outbox(world) == ["promoted", "retraining"]


def test_whoever_sends_is_told_of_news_and_of_nothing_else(world: World) -> None:
    world.clock.advance(1)
    seen: list[str] = []
    now = [""]
    loop.run(world.ports, world.config, watch=lambda stage, _: now.__setitem__(0, stage), told=lambda: seen.append(now[0]))
    assert seen == ["decide", "promote"]


def test_an_alert_that_was_put_before_a_kill_is_not_put_again(world: World) -> None:
    save = world.ports.ledger.cycles.save

    def killed(cycle: Cycle, lease: Lease) -> None:
        if cycle.stage == "decide":
            raise KeyboardInterrupt
        save(cycle, lease)

    world.ports.ledger.cycles.save = killed
    with pytest.raises(KeyboardInterrupt):
        world.run()
    assert outbox(world) == ["retraining"]
    world.ports.ledger.cycles.save = save
    assert world.run().outcome is Outcome.PROMOTED
    assert outbox(world) == ["promoted", "retraining"]


def test_a_failure_is_told_and_the_error_goes_on(world: World) -> None:
    world.ports.trainer.train = lambda rows, features: 1 / 0
    with pytest.raises(ZeroDivisionError):
        world.run()
    (failure, _) = world.ports.ledger.outbox.recent("demo")
    assert (failure.alert.event, failure.alert.subject, failure.status) == (Event.FAILED, "train", "pending")
    assert "ZeroDivisionError: division by zero" in failure.alert.text


def test_what_does_not_answer_is_told_as_passing(world: World) -> None:
    def away(*_: object) -> None:
        raise Unavailable("MLflow does not answer")

    world.ports.registry.register = away
    with pytest.raises(Unavailable):
        world.run()
    (failure, _) = world.ports.ledger.outbox.recent("demo")
    assert (failure.alert.subject, failure.alert.severity) == ("train", Severity.WARNING)
    del world.ports.registry.register
    world.run()
    assert outbox(world) == ["recovered", "promoted", "failed", "retraining"]


def test_a_rollback_by_hand_is_told(world: World) -> None:
    world.run()
    version = world.version(FakeTrainer().model)
    promote_by_hand(version, "", world.ports, world.config)
    roll_back("it was better", world.ports, world.config)
    assert outbox(world) == ["rolled_back", "promoted", "promoted", "retraining"]
    (told, *_) = world.ports.ledger.outbox.recent("demo")
    assert (told.alert.event, told.alert.cycle) == (Event.ROLLED_BACK, None)
    assert f"before it was {version}" in told.alert.title
    assert told.alert.text == "it was better"


def test_a_move_that_was_killed_half_way_is_told_once(world: World) -> None:
    world.run()
    promote_by_hand(world.version(FakeTrainer().model), "", world.ports, world.config)
    settle_row, world.ports.ledger.journal.settle = world.ports.ledger.journal.settle, None
    with pytest.raises(TypeError):
        roll_back("", world.ports, world.config)
    world.ports.ledger.journal.settle = settle_row
    settle(world.ports, world.config)
    assert outbox(world).count("rolled_back") == 1


def test_every_move_of_the_alias_is_put_to_be_delivered_once(world: World) -> None:
    world.ports.releaser = Pipeline()
    world.run()
    second = world.version(FakeTrainer().model)
    promote_by_hand(second, "", world.ports, world.config)
    back = Promotion(alias="champion", from_version=second, to_version="1", reason="worse", at=NOW, kind="rollback")
    for _ in range(2):
        move_alias(f"m1{TAKEN_BACK}", back, world.ports, world.config)
    world.ports.registry.point("champion", "1", second)  # in MLflow, by a person
    for _ in range(2):
        notice_hand(world.ports.registry.champion(), "c9", world.ports, world.config)
    put = [each.alert.announcement for each in reversed(world.ports.ledger.outbox.recent("demo", event=Event.RELEASE))]
    assert [(each.version, each.source) for each in put if each] == [
        ("1", "promotion"),
        (second, "promotion_by_hand"),
        ("1", "probation"),
        (second, "moved_by_hand"),
    ]
    done = courier.deliver(world.ports, world.config)
    assert [(each.status, each.reason) for each in done if each.alert.event is Event.RELEASE] == [
        *[("suppressed", f"version {second} has become champion since")] * 3,
        ("sent", ""),
    ]
    assert world.ports.releaser.started == [put[-1]]
