"""Decide, on the evidence alone, whether the champion is to be replaced. No side effects."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from statistics import NormalDist

from keepfit.config import Config
from keepfit.ports import Ports
from keepfit.prepared import training_set
from keepfit.promotion import withdrawn
from keepfit.records import Action, Cycle, Decision, Interval, ModelVersion, Outcome, PerformanceReport, Signal, Training
from keepfit.stages import Stop


def decide(cycle: Cycle, ports: Ports, config: Config) -> Cycle:
    """Fill in `decision`. Goes on only with RETRAIN; stops as `healthy` for NO_ACTION and as `alerted` for ALERT."""
    champion = ports.registry.champion()
    signals = [*_must(cycle, champion), *_evidence(cycle, config), *_calendar(cycle, champion, ports, config)]
    obstacles = [] if cycle.forced else list(_obstacles(cycle, champion, ports, config))
    decision = conclude(signals, obstacles)
    cycle = replace(cycle, decision=decision)
    if decision.action is Action.RETRAIN:
        return cycle
    outcome = Outcome.ALERTED if decision.action is Action.ALERT else Outcome.HEALTHY
    raise Stop(outcome, "; ".join(decision.reasons), cycle)


def conclude(signals: Sequence[Signal], obstacles: Sequence[Signal]) -> Decision:
    """The decision from its signals: any that fired calls for a retraining, unless an obstacle forbids it.

    A retraining that performance calls for and an obstacle forbids is an ALERT: the harm goes on and a person must know.
    Without a signal the reasons are the closest ones, those that had too little evidence first.
    """
    fired = [signal for signal in signals if signal.fired]
    blocked = [signal for signal in obstacles if signal.fired]
    everything = (*signals, *obstacles)
    if fired and not blocked:
        return Decision(action=Action.RETRAIN, reasons=tuple(signal.reason for signal in fired), signals=everything)
    if fired:
        harm = any(signal.name in ("floor", "degradation", "no_champion", "unjudged") for signal in fired)
        reasons = tuple(signal.reason for signal in (*fired, *blocked))
        return Decision(action=Action.ALERT if harm else Action.NO_ACTION, reasons=reasons, signals=everything)
    quiet = sorted((signal for signal in signals if signal.name not in ("forced", "no_champion")), key=lambda signal: signal.enough)
    reasons = tuple(signal.reason for signal in quiet) or ("no trigger is set, so nothing calls for a retraining",)
    return Decision(action=Action.NO_ACTION, reasons=reasons, signals=everything)


def _must(cycle: Cycle, champion: ModelVersion | None) -> Iterator[Signal]:
    if champion is None:
        yield Signal(name="no_champion", fired=True, reason="there is no champion yet")
    if cycle.forced:
        yield Signal(name="forced", fired=True, reason="a retraining was asked for with --force")


def _evidence(cycle: Cycle, config: Config) -> Iterator[Signal]:
    performance, triggers = cycle.performance, config.retrain.triggers
    if performance is not None and _cannot_be_judged(performance):
        yield Signal(name="unjudged", fired=True, reason=performance.note)
    elif performance is not None:
        if "floor" in triggers and config.retrain.floor is not None:
            yield _floor(performance, config)
        if "degradation" in triggers:
            yield _degradation(performance, config)
    if "new_rows" in triggers and config.retrain.new_rows is not None and cycle.prepared is not None:
        yield _new_rows(cycle.prepared.labelled, config)


def _cannot_be_judged(performance: PerformanceReport) -> bool:
    return performance.value is None and bool(performance.note) and performance.n > 0


def _too_little(name: str, performance: PerformanceReport, config: Config) -> Signal | None:
    """A signal that says there is not enough to go by; None when there is."""
    needed = config.monitor.min_labels
    if performance.value is not None and performance.n >= needed and performance.interval is not None:
        return None
    if performance.n < needed:
        found, wanted = f"{performance.n} labelled rows, {needed} are needed", f"{needed - performance.n} more labelled rows"
    elif performance.value is None:
        found, wanted = f"{performance.metric} is undefined on the new rows", "rows on which it is defined"
    else:
        found, wanted = "all new rows are of one file or group, two are needed", "another file or group"
    return Signal(
        name=name,
        fired=False,
        enough=False,
        value=performance.value,
        interval=performance.interval,
        n=performance.n,
        reason=f"too little evidence about {name}: {found}",
        source=config.source("monitor.min_labels"),
        would_change=wanted,
    )


def _floor(performance: PerformanceReport, config: Config) -> Signal:
    lacking = _too_little("floor", performance, config)
    floor = config.retrain.floor
    if lacking or performance.value is None or floor is None:
        return lacking or Signal(name="floor", fired=False, reason="no floor is set")
    value = performance.value
    fired = value < floor if performance.greater_is_better else value > floor
    side = "below" if performance.greater_is_better else "above"
    other = "above" if performance.greater_is_better else "below"
    words = f"{performance.metric} {value:.4g} is {side if fired else 'not ' + side} the floor of {floor:g}"
    return Signal(
        name="floor",
        fired=fired,
        value=value,
        threshold=floor,
        interval=performance.interval,
        n=performance.n,
        reason=f"{words} on {performance.n} new labelled rows",
        source=config.source("retrain.floor"),
        would_change=f"{performance.metric} {other if fired else side} {floor:g}",
    )


def _degradation(performance: PerformanceReport, config: Config) -> Signal:
    """Worse than the champion's own holdout value, by more than the tolerance and by more than chance.

    The two samples are independent, so the standard errors behind their intervals add in squares; chance is ruled out at
    retrain.confidence, one-sided.
    """
    lacking = _too_little("degradation", performance, config)
    reference, tolerance = performance.reference, config.retrain.degradation
    if performance.outside:
        reason = f"version {performance.champion} was registered from a file: the value it came with may flatter it"
        return Signal(name="degradation", fired=False, enough=False, reason=reason, would_change="[retrain] floor")
    if reference is None:
        reason = f"version {performance.champion} has no value that it was accepted with, so nothing says whether it became worse"
        return Signal(name="degradation", fired=False, enough=False, reason=reason, would_change="[retrain] floor")
    if lacking or performance.value is None:
        return lacking or Signal(name="degradation", fired=False, reason="the champion was not judged")
    sign = 1 if performance.greater_is_better else -1
    loss = sign * (reference - performance.value)
    error = math.hypot(_standard_error(performance.interval), _standard_error(performance.reference_interval))
    needed = max(tolerance, NormalDist().inv_cdf(config.retrain.confidence) * error)
    fired = loss > needed
    limit = reference - sign * needed
    verb = "is worse than" if fired else "is not clearly worse than"
    return Signal(
        name="degradation",
        fired=fired,
        value=performance.value,
        threshold=limit,
        interval=performance.interval,
        n=performance.n,
        reason=f"{performance.metric} {performance.value:.4g} {verb} the {reference:.4g} it was accepted with "
        f"(limit {limit:.4g} at {config.retrain.confidence:.0%} confidence, {performance.n} rows)",
        source=config.source("retrain.degradation"),
        would_change=f"{performance.metric} {'above' if fired == (sign > 0) else 'below'} {limit:.4g}",
    )


def _standard_error(interval: Interval | None) -> float:
    if interval is None:
        return 0.0
    return (interval.high - interval.low) / (2 * NormalDist().inv_cdf((1 + interval.level) / 2))


def _new_rows(rows: int, config: Config) -> Signal:
    wanted = config.retrain.new_rows or 0
    fired = rows >= wanted
    return Signal(
        name="new_rows",
        fired=fired,
        value=float(rows),
        threshold=float(wanted),
        n=rows,
        reason=f"{rows} new labelled training rows, {wanted} call for a retraining",
        source=config.source("retrain.new_rows"),
        would_change=f"fewer than {wanted} rows" if fired else f"{wanted - rows} more rows",
    )


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


def _obstacles(cycle: Cycle, champion: ModelVersion | None, ports: Ports, config: Config) -> Iterator[Signal]:
    """What forbids a training that the signals call for: the same data as before, too soon, or too often."""
    cycles, project, retrain = ports.ledger.cycles, config.project.name, config.retrain
    if cycle.performance is not None and _cannot_be_judged(cycle.performance):
        yield Signal(
            name="nothing_to_compare_with",
            fired=True,
            reason="a challenger could not be compared with it",
            would_change="the champion's columns, or --force and `keepfit promote`",
        )
    if reason := withdrawn(champion, ports, config):
        yield Signal(name="withdrawn", fired=True, reason=reason, would_change="`keepfit promote VERSION`, or --force")
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
