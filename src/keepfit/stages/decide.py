"""Decide, on the evidence alone, whether the champion is to be replaced. No side effects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

from keepfit import signals
from keepfit.config import Config
from keepfit.drifting import earlier_looks
from keepfit.ports import Ports
from keepfit.prepared import training_set
from keepfit.promotion import withdrawn
from keepfit.records import Action, Change, Cycle, Decision, ModelVersion, Outcome, Preparation, Signal, Training
from keepfit.stages import Stop

FAULT = "data_fault"
HARM = ("floor", "degradation", "no_champion", "unjudged", "drift", "estimate")  # what goes on doing harm while nothing is trained


def decide(cycle: Cycle, ports: Ports, config: Config) -> Cycle:
    """Fill in `decision`. Goes on only with RETRAIN; stops as `healthy` for NO_ACTION and as `alerted` for ALERT."""
    champion = ports.registry.champion()
    found = [*_must(cycle, champion), *_evidence(cycle, champion, ports, config), *_calendar(cycle, champion, ports, config)]
    calls = {signal.name for signal in found if signal.fired and signal.name != FAULT}
    obstacles = [] if cycle.forced else list(_obstacles(cycle, calls, champion, ports, config))
    decision = replace(conclude(found, obstacles), change=change_of(cycle, found))
    cycle = replace(cycle, decision=decision)
    if decision.action is Action.RETRAIN:
        return cycle
    outcome = Outcome.ALERTED if decision.action is Action.ALERT else Outcome.HEALTHY
    raise Stop(outcome, "; ".join(decision.reasons), cycle)


def recommend(cycle: Cycle, champion: ModelVersion, ports: Ports, config: Config) -> Decision:
    """What the rules say to the evidence of a look that is no cycle: `performance` and `drift` alone, with the calendar. What is
    known only once the data have come as batches (cool-down, budget, what there is to learn from) is left to the loop."""
    found = [*_evidence(cycle, champion, ports, config), *_calendar(cycle, champion, ports, config)]
    return replace(conclude(found, list(_broken(cycle))), change=change_of(cycle, found))


def conclude(found: Sequence[Signal], obstacles: Sequence[Signal]) -> Decision:
    """The decision from its signals: any that fired calls for a retraining, unless an obstacle forbids it.

    A data fault calls for a person instead, and so does a harm that goes on because an obstacle forbids the retraining. Without a
    signal the reasons are the closest ones, those that had too little evidence first.
    """
    faults = [signal for signal in found if signal.fired and signal.name == FAULT]
    fired = [signal for signal in found if signal.fired and signal.name != FAULT]
    blocked = [signal for signal in obstacles if signal.fired]
    everything = (*found, *obstacles)
    if fired and not blocked:
        return Decision(action=Action.RETRAIN, reasons=tuple(signal.reason for signal in fired), signals=everything)
    if fired:
        harm = faults or any(signal.name in HARM for signal in fired)
        reasons = tuple(signal.reason for signal in (*faults, *fired, *blocked))
        return Decision(action=Action.ALERT if harm else Action.NO_ACTION, reasons=reasons, signals=everything)
    if faults:
        return Decision(action=Action.ALERT, reasons=tuple(signal.reason for signal in faults), signals=everything)
    quiet = sorted((signal for signal in found if signal.name not in ("forced", "no_champion")), key=lambda signal: signal.enough)
    reasons = tuple(signal.reason for signal in quiet) or ("no trigger is set, so nothing calls for a retraining",)
    return Decision(action=Action.NO_ACTION, reasons=reasons, signals=everything)


def _must(cycle: Cycle, champion: ModelVersion | None) -> Iterator[Signal]:
    if champion is None:
        yield Signal(name="no_champion", fired=True, reason="there is no champion yet")
    if cycle.forced:
        yield Signal(name="forced", fired=True, reason="a retraining was asked for with --force")


def _evidence(cycle: Cycle, champion: ModelVersion | None, ports: Ports, config: Config) -> Iterator[Signal]:
    performance, triggers = cycle.performance, config.retrain.triggers
    if fault := signals.data_faults(cycle):
        yield fault
    found: list[Signal] = []
    if performance is not None and signals.cannot_be_judged(performance):
        yield Signal(name="unjudged", fired=True, reason=performance.note)
    elif performance is not None:
        if "floor" in triggers and config.retrain.floor is not None:
            found.append(signals.floor(performance, config))
        if "degradation" in triggers:
            found.append(signals.degradation(performance, config))
        if "estimate" in triggers and performance.estimate is not None:
            found.append(signals.estimated(performance.estimate, performance, config))
    if "drift" in triggers and cycle.drift is not None:
        found.append(signals.drift(cycle.drift, performance, config))
    if champion is not None and any(signal.fired for signal in found):
        earlier = earlier_looks(champion, cycle, ports, config)
        found = [signals.confirmed(signal, earlier, config) for signal in found]
    yield from found
    if "new_rows" in triggers and config.retrain.new_rows is not None and cycle.prepared is not None:
        yield signals.new_rows(cycle.prepared.labelled, config)


def change_of(cycle: Cycle, found: Sequence[Signal]) -> Change | None:
    """What kind of change the evidence shows, the most telling first; None where it shows none."""
    fell = any(signal.beyond and signal.name in ("floor", "degradation") for signal in found)
    drift = cycle.drift
    if any(signal.name == "data_fault" and signal.fired for signal in found):
        return Change.DATA_FAULT
    if drift is not None and drift.drifted:
        return Change.COVARIATE
    if drift is not None and drift.label is not None and drift.label.drifted:
        return Change.LABEL
    return Change.CONCEPT if fell and drift is not None and drift.detected is not None else None


def _calendar(cycle: Cycle, champion: ModelVersion | None, ports: Ports, config: Config) -> Iterator[Signal]:
    retrain = config.retrain
    if champion is None:
        return
    if "age" in retrain.triggers and retrain.age is not None and champion.trained_at is not None:
        yield _elapsed("age", cycle.started_at - champion.trained_at, retrain.age, "the champion was trained", config)
    if "schedule" in retrain.triggers and retrain.schedule is not None:
        last = _last_training(cycle, ports, config)
        since = last.at if last else champion.trained_at
        if since is not None:
            yield _elapsed("schedule", cycle.started_at - since, retrain.schedule, "the last training was", config)


def _elapsed(name: str, elapsed: timedelta, limit: timedelta, what: str, config: Config) -> Signal:
    fired = elapsed >= limit
    return Signal(
        name=name,
        fired=fired,
        value=elapsed.total_seconds(),
        threshold=limit.total_seconds(),
        reason=f"{what} {words(elapsed)} ago, the limit is {words(limit)}",
        source=config.source(f"retrain.{name}"),
        would_change=f"a limit above {words(elapsed)}" if fired else f"another {words(limit - elapsed)}",
    )


def words(span: timedelta) -> str:
    """A time span as a person says it.

    >>> words(timedelta(hours=49)), words(timedelta(seconds=90))
    ('2.0 days', '1.5 minutes')
    """
    seconds = span.total_seconds()
    for name, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if abs(seconds) >= size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.0f} seconds"


def _last_training(cycle: Cycle, ports: Ports, config: Config) -> Training | None:
    return next(_concluded(ports.ledger.cycles.trainings(config.project.name), cycle), None)


def _concluded(trainings: Iterable[Training], cycle: Cycle) -> Iterator[Training]:
    """The trainings of other cycles that came to a verdict; one that failed half-way has to be done again."""
    return (training for training in trainings if training.cycle != cycle.id and training.conclusion is not None)


def _nothing_to_learn(cycle: Cycle, prepared: Preparation, calls: set[str]) -> bool:
    """Whether no label has come; where drift alone calls, none of the rows that have drifted."""
    own = sum(prepared.labels.get(batch.id, 0) for batch in cycle.batches)
    if calls and calls <= {"drift", "estimate"}:
        return own == 0
    return not (prepared.labelled or any(prepared.labels.values()))


def _broken(cycle: Cycle) -> Iterator[Signal]:
    broken = [column.name for column in cycle.drift.columns if signals.is_broken(column)] if cycle.drift else []
    if broken:
        reason = f"nothing is trained on data that are broken upstream: {', '.join(broken[:3])}"
        yield Signal(name="broken_data", fired=True, reason=reason, would_change="sound data, or --force")


def _obstacles(cycle: Cycle, calls: set[str], champion: ModelVersion | None, ports: Ports, config: Config) -> Iterator[Signal]:
    """What forbids a training that the signals call for: the same data as before, too soon, or too often."""
    cycles, project, retrain = ports.ledger.cycles, config.project.name, config.retrain
    yield from _broken(cycle)
    if cycle.performance is not None and signals.cannot_be_judged(cycle.performance):
        yield Signal(
            name="nothing_to_compare_with",
            fired=True,
            reason="a challenger could not be compared with it",
            would_change="the champion's columns, or --force and `keepfit promote`",
        )
    if reason := withdrawn(champion, ports, config):
        yield Signal(name="withdrawn", fired=True, reason=reason, would_change="`keepfit promote VERSION`, or --force")
    if champion is not None and cycle.prepared is not None and _nothing_to_learn(cycle, cycle.prepared, calls):
        reason = "no new row has a label, so there is nothing new to learn from"
        yield Signal(name="no_labels", fired=True, reason=reason, would_change="labels")
    _, wanted = training_set(cycle, ports, config)
    same = list(_concluded(cycles.trainings(project, trained_on=wanted), cycle))
    if same:
        reason = f"cycle {same[0].cycle} has trained on this very data, code and seed ({same[0].conclusion})"
        yield Signal(name="same_training_set", fired=True, reason=reason, would_change="new data or --force")
    last = _last_training(cycle, ports, config)
    if champion is not None and last is not None and retrain.cooldown:
        rest = retrain.cooldown - (cycle.started_at - last.at)
        if rest > timedelta(0):
            reason = f"the last training was {words(cycle.started_at - last.at)} ago and the cool-down is {words(retrain.cooldown)}"
            source = config.source("retrain.cooldown")
            yield Signal(name="cooldown", fired=True, reason=reason, source=source, would_change=f"another {words(rest)}")
    if champion is not None and retrain.budget is not None:
        since = cycle.started_at - retrain.budget.period
        done = list(_concluded(cycles.trainings(project, since=since), cycle))
        if len(done) >= retrain.budget.trainings:
            reason = f"the budget of {retrain.budget.trainings} trainings in {words(retrain.budget.period)} is used up"
            source = config.source("retrain.budget.trainings")
            yield Signal(
                name="budget",
                fired=True,
                value=float(len(done)),
                threshold=float(retrain.budget.trainings),
                reason=reason,
                source=source,
                would_change="a larger budget or --force",
            )
