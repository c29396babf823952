"""The retraining decision: a pure function of its evidence, which says what it lacked and what would have changed it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.stages.world import Always, World

from keepfit.prepared import training_set
from keepfit.records import (
    Action,
    Batch,
    Candidate,
    Change,
    ColumnDrift,
    Conclusion,
    Cycle,
    Decision,
    DriftReport,
    Interval,
    Outcome,
    PerformanceReport,
    Preparation,
    Signal,
    Verdict,
)
from keepfit.stages.decide import _nothing_to_learn, change_of, conclude, words
from keepfit.testing import SetClock

NAMES = ("no_champion", "forced", "floor", "degradation", "new_rows", "age", "schedule")
OBSTACLES = ("same_training_set", "cooldown", "budget")
HARM = {"no_champion", "floor", "degradation"}

# ------------------------------------------------------------------------------------------------------ the truth table


def signal(name: str, fired: bool, enough: bool = True) -> Signal:
    return Signal(name=name, fired=fired, enough=enough, reason=f"{name} said {fired}")


@given(st.dictionaries(st.sampled_from(NAMES), st.booleans()), st.dictionaries(st.sampled_from(OBSTACLES), st.booleans()))
def test_any_signal_retrains_unless_an_obstacle_forbids_it_and_harm_that_goes_on_is_an_alert(said, forbidden) -> None:
    decision = conclude([signal(*each) for each in said.items()], [signal(*each) for each in forbidden.items()])
    fired = {name for name, yes in said.items() if yes}
    blocked = {name for name, yes in forbidden.items() if yes}
    if not fired:
        assert decision.action is Action.NO_ACTION
    elif not blocked:
        assert decision.action is Action.RETRAIN
        assert {reason.split()[0] for reason in decision.reasons} == fired
    else:
        assert decision.action is (Action.ALERT if fired & HARM else Action.NO_ACTION)
        assert {reason.split()[0] for reason in decision.reasons} == fired | blocked
    assert decision.reasons
    assert [each.name for each in decision.signals] == [*said, *forbidden]


def test_without_a_signal_the_reasons_begin_with_those_that_lacked_evidence() -> None:
    decision = conclude([signal("floor", False), signal("degradation", False, enough=False), signal("age", False)], [])
    assert decision.reasons[0].startswith("degradation")
    assert len(decision.reasons) == 3


def test_with_no_trigger_set_the_reason_says_so() -> None:
    assert conclude([], []).reasons == ("no trigger is set, so nothing calls for a retraining",)


# ------------------------------------------------------------------------------------------------------- performance


def report(value: float | None, *, greater: bool = True, n: int = 100, reference: float | None = None, width: float = 0.02) -> Any:
    spread = None if value is None else Interval(low=value - width, high=value + width)
    accepted = None if reference is None else Interval(low=reference - width, high=reference + width)
    return PerformanceReport(
        champion="1",
        metric="accuracy" if greater else "mean_absolute_error",
        greater_is_better=greater,
        value=value,
        interval=spread,
        n=n,
        units=n,
        rows=n + 10,
        reference=reference,
        reference_interval=accepted,
    )


def decided(folder: Path, performance: Any = None, *, cycle: dict[str, Any] | None = None, **settings: Any) -> Decision:
    """The decision about a champion that is there, without data."""
    world = World(folder, settings)
    world.champion(Always("a"))
    world.clock.advance(1)
    found = world.through("decide", cycle=replace(world.begin(), performance=performance, **(cycle or {})))
    assert (
        found.outcome
        is {Action.ALERT: Outcome.ALERTED, Action.NO_ACTION: Outcome.HEALTHY, Action.RETRAIN: None}[found.decision.action]
    )
    return found.decision


def only(decision: Decision, name: str) -> Signal:
    [found] = [each for each in decision.signals if each.name == name]
    return found


@pytest.mark.parametrize(
    ("greater", "value", "fired"),
    [(True, 0.74, True), (True, 0.75, False), (True, 0.76, False), (False, 0.76, True), (False, 0.75, False), (False, 0.74, False)],
)
def test_the_floor_fires_on_the_worse_side_of_it_whichever_way_the_metric_points(tmp_path, greater, value, fired) -> None:
    found = only(decided(tmp_path, report(value, greater=greater), retrain={"floor": 0.75}), "floor")
    assert (found.fired, found.enough, found.threshold, found.n) == (fired, True, 0.75, 100)
    assert "0.75" in found.reason
    better = "above" if greater else "below"
    worse = "below" if greater else "above"
    assert (better if fired else worse) in found.would_change


@pytest.mark.parametrize("greater", [True, False])
@pytest.mark.parametrize(
    ("loss", "width", "tolerance", "fired"),
    [
        (0.10, 0.01, 0.0, True),
        (0.10, 0.01, 0.05, True),
        (0.10, 0.01, 0.12, False),  # within the tolerance
        (0.10, 0.10, 0.0, False),  # could be chance
        (0.01, 0.001, 0.0, True),
        (-0.10, 0.01, 0.0, False),  # it became better
    ],
)
def test_degradation_fires_beyond_the_tolerance_and_beyond_chance(tmp_path, greater, loss, width, tolerance, fired) -> None:
    value = 0.9 - loss if greater else 0.9 + loss
    performance = report(value, greater=greater, reference=0.9, width=width)
    found = only(decided(tmp_path, performance, retrain={"degradation": tolerance}), "degradation")
    assert found.fired is fired
    assert (found.value < found.threshold if greater else found.value > found.threshold) is fired
    assert ("above" if fired == greater else "below") in found.would_change


@given(st.floats(0, 1), st.floats(0.001, 0.3), st.floats(0, 0.2), st.sampled_from([0.9, 0.99, 0.999]))
def test_degradation_is_the_same_seen_in_a_mirror(value, width, tolerance, confidence) -> None:
    from keepfit.config import Config
    from keepfit.signals import degradation

    tree = {"project": {"name": "d", "task": "regression"}, "data": {"target": "y"}}
    config = Config.of({**tree, "retrain": {"degradation": tolerance, "confidence": confidence}})
    up = degradation(report(value, reference=0.5, width=width), config)
    down = degradation(report(1 - value, reference=0.5, width=width, greater=False), config)
    assert up.fired == down.fired or value == pytest.approx(up.threshold)
    assert up.threshold == pytest.approx(1 - down.threshold)


def test_a_surer_degradation_needs_more(tmp_path) -> None:
    limits = [
        only(decided(tmp_path / str(sure), report(0.8, reference=0.9), retrain={"confidence": sure}), "degradation").threshold
        for sure in (0.9, 0.99, 0.999)
    ]
    assert limits == sorted(limits, reverse=True)
    assert len(set(limits)) == 3


@pytest.mark.parametrize("name", ["floor", "degradation"])
@pytest.mark.parametrize(("value", "n"), [(0.1, 29), (None, 0), (None, 100)])
def test_too_little_evidence_is_said_and_fires_nothing(tmp_path, name, value, n) -> None:
    decision = decided(tmp_path, report(value, n=n, reference=0.9), retrain={"floor": 0.75})
    found = only(decision, name)
    assert (found.fired, found.enough) == (False, False)
    assert found.reason.startswith(f"too little evidence about {name}")
    assert decision.action is Action.NO_ACTION
    assert decision.reasons[0].startswith("too little evidence")


def test_how_many_labels_are_enough_is_a_setting(tmp_path) -> None:
    few = decided(tmp_path, report(0.1, n=29), retrain={"floor": 0.75}, monitor={"min_labels": 29})
    assert few.action is Action.RETRAIN


def test_one_row_below_the_floor_is_not_enough_and_says_how_many_are_missing(tmp_path) -> None:
    found = only(decided(tmp_path, report(0.1, n=12), retrain={"floor": 0.75}), "floor")
    assert "12 labelled rows, 30 are needed" in found.reason
    assert found.would_change == "18 more labelled rows"


def test_a_trigger_that_is_not_named_stays_silent(tmp_path) -> None:
    decision = decided(tmp_path, report(0.1, reference=0.9), retrain={"floor": 0.75, "triggers": ["age"]})
    assert (decision.action, decision.signals) == (Action.NO_ACTION, ())


def test_a_signal_names_the_source_of_its_threshold(tmp_path) -> None:
    assert only(decided(tmp_path, report(0.5), retrain={"floor": 0.75}), "floor").source == "given"
    assert only(decided(tmp_path / "b", report(0.5, reference=0.9)), "degradation").source == "default"


@pytest.mark.parametrize(("rows", "fired"), [(99, False), (100, True), (101, True)])
def test_new_rows(tmp_path, rows, fired) -> None:
    prepared = Preparation(fingerprint="f", rows=1, training=1, holdout=0, columns=(), labelled=rows)
    decision = decided(tmp_path, cycle={"prepared": prepared}, retrain={"new_rows": 100})
    assert only(decision, "new_rows").fired is fired
    assert decision.action is (Action.RETRAIN if fired else Action.NO_ACTION)


# ---------------------------------------------------------------------------------------------------------- the calendar

DAY = 86_400


@pytest.mark.parametrize(("days", "fired"), [(6.9, False), (7.1, True)])
@pytest.mark.parametrize("trigger", ["age", "schedule"])
def test_age_and_schedule_fire_when_their_time_has_come(tmp_path, trigger, days, fired) -> None:
    world = World(tmp_path, {"retrain": {trigger: "7d"}})
    world.champion(Always("a"))
    world.clock.advance(days * DAY)
    found = only(world.through("decide").decision, trigger)
    assert found.fired is fired
    assert "7.0 days" in found.reason


def test_the_schedule_counts_from_the_last_training_even_if_it_was_rejected_and_age_from_the_champions_own(tmp_path) -> None:
    world = World(tmp_path, {"retrain": {"age": "7d", "schedule": "7d"}})
    world.champion(Always("a"))
    world.clock.advance(5 * DAY)
    trained(world, Conclusion.REJECTED)
    world.clock.advance(5 * DAY)
    decision = world.through("decide").decision
    assert (only(decision, "age").fired, only(decision, "schedule").fired) == (True, False)


def trained(world: World, conclusion: Conclusion | None, *, trained_on: str = "other", champion: str = "1") -> Cycle:
    """A cycle that trained and came to this conclusion; None: it died before it came to one."""
    candidate = Candidate(
        name="m", parameters={}, version="9", run_id="", uri="", content_hash="", rows=1, batches=(), trained_on=trained_on, seed=0
    )
    verdict = None if conclusion is None else a_verdict(conclusion, champion)
    outcome = Outcome.FAILED if conclusion is None else Outcome.KEPT_CHAMPION
    cycle = replace(world.begin(), stage="compare", outcome=outcome, candidate=candidate, verdict=verdict)
    world.ports.ledger.cycles.save(cycle, world.ports.lease)
    return cycle


def a_verdict(conclusion: Conclusion, champion: str = "1") -> Verdict:
    return Verdict(
        gate="superior",
        passed=conclusion is Conclusion.PASSED,
        conclusion=conclusion,
        reason="r",
        metric="accuracy",
        greater_is_better=True,
        champion=0.5,
        challenger=0.5,
        difference=0.0,
        interval=None,
        test=None,
        p_value=None,
        alpha=None,
        comparison=1,
        n=100,
        units=100,
        negative_flips=0,
        champion_version=champion,
    )


# -------------------------------------------------------------------------------------------------------------- obstacles


@pytest.mark.parametrize(
    ("performance", "cycle", "action"),
    [
        (report(0.5), {}, Action.ALERT),  # the harm goes on
        (
            None,
            {"prepared": Preparation(fingerprint="f", rows=1, training=1, holdout=0, columns=(), labelled=50)},
            Action.NO_ACTION,
        ),
        (None, {}, Action.NO_ACTION),
    ],
)
def test_the_same_rows_are_not_trained_on_twice(tmp_path, performance, cycle, action) -> None:
    world = World(tmp_path, {"retrain": {"floor": 0.75, "new_rows": 10}})
    world.champion(Always("a"))
    begun = replace(world.begin(), performance=performance, **cycle)
    before = trained(world, Conclusion.REJECTED, trained_on=training_set(begun, world.ports, world.config)[1])
    found = world.through("decide", cycle=begun)
    assert found.decision.action is action
    assert before.id in only(found.decision, "same_training_set").reason
    assert "--force" in only(found.decision, "same_training_set").would_change


@pytest.mark.parametrize("change", [{"train": {"seed": 5}}, {"retrain": {"window": "last 3"}}, {"train": {"folds": 9}}])
def test_other_settings_make_another_training_of_the_same_rows(tmp_path, change) -> None:
    world = World(tmp_path, {"retrain": {"floor": 0.75}})
    world.champion(Always("a"))
    trained(world, Conclusion.REJECTED, trained_on=training_set(world.begin(), world.ports, world.config)[1])
    world.change(**change)
    assert world.through("decide", cycle=replace(world.begin(), performance=report(0.5))).decision.action is Action.RETRAIN


def test_a_training_that_came_to_no_verdict_is_done_again(tmp_path) -> None:
    world = World(tmp_path, {"retrain": {"floor": 0.75, "cooldown": "7d", "budget": {"trainings": 1}}})
    world.champion(Always("a"))
    trained(world, None, trained_on=training_set(world.begin(), world.ports, world.config)[1])
    assert world.through("decide", cycle=replace(world.begin(), performance=report(0.5))).decision.action is Action.RETRAIN


@pytest.mark.parametrize(("days", "action"), [(2, Action.ALERT), (3.1, Action.RETRAIN)])
def test_the_cool_down_forbids_and_then_allows(tmp_path, days, action) -> None:
    world = World(tmp_path, {"retrain": {"floor": 0.75, "cooldown": "3d"}})
    world.champion(Always("a"))
    trained(world, Conclusion.REJECTED)
    world.clock.advance(days * DAY)
    decision = world.through("decide", cycle=replace(world.begin(), performance=report(0.5))).decision
    assert decision.action is action
    if action is Action.ALERT:
        assert "cool-down is 3.0 days" in only(decision, "cooldown").reason


@pytest.mark.parametrize(
    ("trainings", "days", "action"), [(1, 1, Action.RETRAIN), (2, 1, Action.ALERT), (3, 1, Action.ALERT), (2, 8, Action.RETRAIN)]
)
def test_the_budget_counts_the_trainings_of_its_period(tmp_path, trainings, days, action) -> None:
    world = World(tmp_path, {"retrain": {"floor": 0.75, "budget": {"trainings": 2, "period": "7d"}}})
    world.champion(Always("a"))
    for n in range(trainings):
        trained(world, Conclusion.INCONCLUSIVE, trained_on=f"other-{n}")
    world.clock.advance(days * DAY)
    decision = world.through("decide", cycle=replace(world.begin(), performance=report(0.5))).decision
    assert decision.action is action


def test_force_retrains_whatever_forbids_it(tmp_path) -> None:
    world = World(tmp_path, {"retrain": {"cooldown": "30d", "budget": {"trainings": 1}}})
    world.champion(Always("a"))
    trained(world, Conclusion.REJECTED, trained_on=training_set(world.begin(), world.ports, world.config)[1])
    decision = world.through("decide", forced=True).decision
    assert decision.action is Action.RETRAIN
    assert decision.reasons == ("a retraining was asked for with --force",)


def test_without_a_champion_cool_down_and_budget_do_not_hold(tmp_path) -> None:
    world = World(tmp_path, {"retrain": {"cooldown": "30d", "budget": {"trainings": 1}}})
    trained(world, Conclusion.INCONCLUSIVE)
    decision = world.through("decide").decision
    assert (decision.action, decision.reasons) == (Action.RETRAIN, ("there is no champion yet",))


def test_without_a_champion_the_same_rows_are_an_alert(tmp_path) -> None:
    world = World(tmp_path)
    trained(world, Conclusion.INCONCLUSIVE, trained_on=training_set(world.begin(), world.ports, world.config)[1])
    assert world.through("decide").decision.action is Action.ALERT


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 seconds"), (59, "59 seconds"), (60, "1.0 minutes"), (3600, "1.0 hours"), (90_000, "1.0 days"), (-90_000, "-1.0 days")],
)
def test_a_time_span_in_words(seconds, said) -> None:
    assert words(timedelta(seconds=seconds)) == said


# -------------------------------------------------------------------------------------------- faults, and kinds of change


def test_a_data_fault_alone_is_an_alert_and_beside_a_retraining_it_stays_in_the_record() -> None:
    fault = signal("data_fault", True)
    alone = conclude([fault, signal("floor", False)], [])
    assert alone.action is Action.ALERT
    assert alone.reasons == (fault.reason,)
    beside = conclude([fault, signal("floor", True)], [])
    assert beside.action is Action.RETRAIN
    assert fault in beside.signals


def test_drift_that_nothing_can_be_learnt_from_is_an_alert() -> None:
    decision = conclude([signal("drift", True)], [signal("no_labels", True)])
    assert decision.action is Action.ALERT


def drifted(*columns: str, label: bool = False, method: str = "ks", current: int = 100) -> DriftReport:
    def of(name: str, yes: bool = True) -> ColumnDrift:
        return ColumnDrift(
            name=name,
            kind="number",
            method=method,
            score=None if method == "type" else 0.5,
            threshold=0.1,
            p_value=1e-9,
            drifted=yes,
            reference=100,
            current=current,
        )

    found = tuple(map(of, columns))
    return DriftReport(detected=bool(columns) or label, columns=found, label=of("label", label), champion="1", rows=100)


FELL = Signal(name="floor", fired=True, beyond=True, reason="fell")


@pytest.mark.parametrize(
    ("drift", "found", "change"),
    [
        (drifted("age"), [], Change.COVARIATE),
        (drifted("age"), [FELL], Change.COVARIATE),
        (drifted(label=True), [], Change.LABEL),
        (drifted(), [FELL], Change.CONCEPT),
        (drifted(), [], None),
        (None, [FELL], None),  # the inputs were not looked at, so nobody can say that they are the same
        (DriftReport(note="no reference"), [FELL], None),
        (drifted("age"), [Signal(name="data_fault", fired=True, reason="")], Change.DATA_FAULT),
    ],
)
def test_kinds_of_change_are_told_apart(drift: DriftReport | None, found: list[Signal], change: Change | None) -> None:
    cycle = Cycle(id="c", project="demo", started_at=SetClock().now(), drift=drift)
    assert change_of(cycle, found) is change


def test_nothing_is_trained_on_a_column_that_broke_upstream(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.champion(Always("no"))
    cycle = replace(world.begin(), drift=drifted("age", method="type"))
    decision = world.through("decide", cycle=cycle).decision
    assert decision is not None
    assert decision.action is Action.ALERT
    assert decision.change is Change.DATA_FAULT
    assert any(signal.name == "broken_data" and signal.fired for signal in decision.signals)


@pytest.mark.parametrize(("names", "own", "learns"), [({"drift"}, 0, False), ({"drift"}, 3, True), ({"drift", "floor"}, 0, True)])
def test_drift_alone_retrains_only_on_labels_of_what_has_drifted(names: set[str], own: int, learns: bool) -> None:
    """Labels of earlier batches, from before the drift, teach nothing about it."""
    prepared = Preparation(
        fingerprint="", rows=9, training=9, holdout=0, columns=(), labelled=50, labels={"new": own, "earlier": 50}
    )
    cycle = Cycle(id="c", project="d", started_at=SetClock().now(), batches=(Batch(id="new", name="new.csv", size=1),))
    assert _nothing_to_learn(cycle, prepared, names) is not learns


def test_drift_is_confirmed_by_earlier_looks_at_the_same_champion(tmp_path: Path) -> None:
    world = World(tmp_path, {"retrain": {"confirm": "2 of 2"}})
    world.champion(Always("no"))
    looked = replace(report(None, n=0), champion="1")
    prepared = Preparation(fingerprint="", rows=1, training=1, holdout=0, columns=(), labelled=1, labels={"b": 1})
    batch = Batch(id="b", name="b.csv", size=1)
    actions = []
    for _ in range(2):
        cycle = replace(world.begin(), batches=(batch,), performance=looked, prepared=prepared, drift=drifted("age"))
        cycle = world.through("decide", cycle=cycle)
        world.ports.ledger.cycles.save(replace(cycle, outcome=Outcome.HEALTHY), world.ports.lease)
        actions.append(cycle.decision.action)
    assert actions == [Action.NO_ACTION, Action.RETRAIN]
