"""What people are told of: from a cycle to alerts, and from alerts to whether they are sent. Pure functions.

An alert's key is made of the cycle (or the move of the alias), the event and its subject, so that a cycle that is killed and gone
on with gives rise to the same alert. `courier` keeps the alerts in the ledger's outbox and sends them.

An event and its subject name a condition: all drift is one, a failure of each stage is one, every promotion is one of its own.
While a condition lasts people are told again only after `alerts.cooldown`, or when it has become more severe. Once it is over
they are told so, if they were told of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from keepfit.records import Action, Alert, Announcement, Cycle, Decision, Delivery, Event, Outcome, Promotion, Severity, Signal
from keepfit.settings import Alerts

TAKEN_BACK = "-taken-back"  # ends the journal's id of a move back that probation made, which no person has asked for
HARM = ("floor", "degradation", "unjudged", "estimate")  # signals that say that performance fell
RANK = {severity: rank for rank, severity in enumerate(Severity)}
Known = tuple[str | None, float | None]  # the metric that a version was accepted with, and its value
SHOWN = 5  # faults and columns named in one alert; `keepfit explain` has them all
LONGEST_TITLE, LONGEST_TEXT = 150, 2_000  # characters


# ------------------------------------------------------------------------------------------------------------ happened


def happened(cycle: Cycle, at: datetime) -> list[Alert]:
    """What the stage that the cycle has just finished gives rise to; empty while all is well."""
    found: list[Alert | None] = []
    if cycle.stage == "validate":
        found.append(_data_fault(cycle, at))
    if cycle.stage == "monitor":
        found.append(_drift(cycle, at))
    if cycle.stage == "decide" and cycle.decision is not None:
        found += [*_decided(cycle, cycle.decision, at)]
    if cycle.outcome in (Outcome.KEPT_CHAMPION, Outcome.INCONCLUSIVE):
        found.append(_alert(cycle, Event.KEPT, Severity.INFO, "the champion stays", [cycle.reason], at))
    alerts = [alert for alert in found if alert is not None]
    if cycle.outcome is Outcome.ALERTED and not alerts:
        title = f"a person must look: {cycle.stage}"
        return [_alert(cycle, Event.FAILED, Severity.CRITICAL, title, [cycle.reason], at, subject=cycle.stage or "")]
    return alerts


def failed(cycle: Cycle, stage: str, reason: str, at: datetime, *, passing: bool = False) -> Alert:
    """That a stage could not be finished. `passing`: something does not answer, and the next run tries again by itself."""
    severity = Severity.WARNING if passing else Severity.CRITICAL
    advice = "Nothing is lost: the next run goes on from there." if passing else "The new files wait until it is mended."
    return _alert(cycle, Event.FAILED, severity, f"{stage} failed", [reason, advice], at, subject=stage)


def moved(promotion: Promotion, id: str, cycle: str | None, project: str, at: datetime) -> Alert:
    """That the alias has moved; `id` is the journal's."""
    back = promotion.kind == "rollback"
    event, severity = (Event.ROLLED_BACK, Severity.WARNING) if back else (Event.PROMOTED, Severity.INFO)
    if back and id.endswith(TAKEN_BACK):
        severity = Severity.CRITICAL
    before = f", before it was {promotion.from_version}" if promotion.from_version else ""
    title = f"{'back to version' if back else 'version'} {promotion.to_version}{'' if back else ' is the champion'}{before}"
    return _new(project, event, severity, title, [promotion.reason], at, key=id, cycle=cycle, subject=id)


def announced(promotion: Promotion, id: str, cycle: str | None, known: Known, project: str, at: datetime) -> Alert:
    """That a new champion is to be delivered: `moved`, for pipelines and not for people."""
    version, (metric, value) = promotion.to_version, known
    announcement = Announcement(move=id, version=version, source=_source(promotion, id, cycle), metric=metric, value=value)
    title = f"version {version} is to be delivered"
    alert = _new(project, Event.RELEASE, Severity.INFO, title, [promotion.reason], at, key=id, cycle=cycle, subject=id)
    return replace(alert, key=f"{alert.key}/{version}", announcement=announcement)


def _source(promotion: Promotion, id: str, cycle: str | None) -> str:
    """Who made the version champion, in one word."""
    if promotion.kind == "rollback":
        return "probation" if id.endswith(TAKEN_BACK) else "rollback"
    if promotion.kind == "promotion":
        return "promotion" if cycle else "promotion_by_hand"
    return "moved_by_hand" if promotion.kind == "by_hand" else promotion.kind


def not_released(release: Alert, why: str, at: datetime) -> Alert:
    """That what delivers new champions could not be started."""
    version = release.announcement.version if release.announcement else "?"
    lines = [why, "The champion stays. It is tried again by every later run for a week; `keepfit alerts --deliver` tries at once."]
    title = f"the delivery of version {version} could not be started"
    key, subject = release.subject, f"release {release.subject}"
    return _new(release.project, Event.FAILED, Severity.WARNING, title, lines, at, key=key, cycle=release.cycle, subject=subject)


def refused(version: str, mark: str, why: str, project: str, at: datetime) -> Alert:
    """That a version which should answer requests cannot be loaded; `mark` differs where its files do."""
    lines = [why, "Whoever answered before goes on answering. Promote another version, or put its files right."]
    key = f"serving-{version}-{mark}"
    return _new(
        project,
        Event.FAILED,
        Severity.CRITICAL,
        f"version {version} cannot be served",
        lines,
        at,
        key=key,
        subject=f"serving {version}",
    )


def alias_gone(alias: str, version: str, project: str, at: datetime) -> Alert:
    """That the alias was taken away while its version answered requests."""
    text = (
        f"The alias {alias!r} is gone since {at:%Y-%m-%d %H:%M:%S} UTC: version {version} goes on answering. "
        f"`keepfit promote {version}` or MLflow sets it again."
    )
    key = f"serving-{version}-{at:%Y%m%dT%H%M%S}"
    return _new(project, Event.FAILED, Severity.WARNING, "the champion's alias is gone", [text], at, key=key, subject="alias")


def not_taken_back(version: str, id: str, lines: Iterable[str], project: str, at: datetime) -> Alert:
    """That a champion was shown to be worse than the one before, and could not be taken back; `id` is the journal's."""
    title = f"version {version} is worse than the one before and could not be taken back"
    lines = [*lines, "`keepfit promote VERSION` makes another one the champion."]
    return _new(project, Event.FAILED, Severity.CRITICAL, title, lines, at, key=id, subject="rollback")


def over(cycle: Cycle, failures: Iterable[str] = ()) -> list[tuple[Event, str]]:
    """The conditions, as event and subject, that the stage just finished shows to be over if they were there before.

    `failures` are the stages whose failure people were told of; it is over when that stage has been done.
    """
    well: list[tuple[Event, str]] = []
    validation, drift, decision = cycle.validation, cycle.drift, cycle.decision
    if cycle.stage == "monitor" and drift is not None and drift.detected is False:
        well.append((Event.DRIFT, ""))
    if cycle.stage == "decide" and decision is not None:
        if validation is not None and validation.passed and not validation.quarantined and not _fired(decision, "data_fault"):
            well.append((Event.DATA_FAULT, ""))
        if _performs_well(decision):
            well.append((Event.PERFORMANCE_FELL, ""))
    if cycle.outcome is not None and cycle.outcome is not Outcome.FAILED:
        stopped_at = cycle.stage if cycle.outcome is Outcome.ALERTED else None
        well += [(Event.FAILED, stage) for stage in failures if stage in cycle.timings and stage != stopped_at]
    return well


def recovered(told: Alert, cycle: Cycle, at: datetime) -> Alert:
    """That what an earlier alert told of is over."""
    lines = [f"Told at {told.at:%Y-%m-%d %H:%M} UTC: {told.title}"]
    return _alert(cycle, Event.RECOVERED, Severity.INFO, f"over: {_WORDS[told.event]}", lines, at, subject=condition(told))


def condition(alert: Alert) -> str:
    """The subject of a recovery: the event and subject that are over.

    >>> from datetime import UTC
    >>> condition(trial("demo", datetime(2026, 3, 1, tzinfo=UTC)))
    'failed:trial'
    """
    return f"{alert.event.value}:{alert.subject}".rstrip(":")


def trial(project: str, at: datetime) -> Alert:
    """A message by which a person sees that alerts arrive."""
    lines = ["Somebody has asked for it with `keepfit alerts --test`. Nothing has happened."]
    return _new(project, Event.FAILED, Severity.INFO, "this is a test", lines, at, key=f"{at:%Y%m%dT%H%M%S%f}", subject="trial")


_WORDS = {
    Event.DATA_FAULT: "new data was broken",
    Event.DRIFT: "new data had drifted",
    Event.PERFORMANCE_FELL: "the champion's performance had fallen",
    Event.FAILED: "runs failed",
}


def _data_fault(cycle: Cycle, at: datetime) -> Alert | None:
    validation = cycle.validation
    if validation is None or not validation.quarantined:
        return None
    stopped = cycle.outcome is Outcome.QUARANTINED
    faults = [
        f"{batch.name}: {finding.column or 'the file'}: expected {finding.expected}, found {finding.found}"
        for batch in validation.batches
        for finding in batch.findings
        if not batch.passed
    ]  # without the examples: what stands in the data goes to nobody's mail
    count = validation.quarantined + validation.passed
    title = f"{validation.quarantined} of {count} new batches {'is' if validation.quarantined == 1 else 'are'} broken"
    goes_on = "Nothing was left to go on with." if stopped else "The others go on."
    lines = [*_some(faults), f"They lie in quarantine, each with the reason beside it. {goes_on}"]
    return _alert(cycle, Event.DATA_FAULT, Severity.CRITICAL if stopped else Severity.WARNING, title, lines, at)


def _drift(cycle: Cycle, at: datetime) -> Alert | None:
    drift = cycle.drift
    if drift is None or not drift.detected:
        return None
    lines = [f"{column.name}: {column.method} {_number(column.score)}" for column in drift.columns if column.drifted]
    lines += [f"the model's {column.name}: {column.method} {_number(column.score)}" for column in drift.output if column.drifted]
    if drift.label is not None and drift.label.drifted:
        lines.append(f"the labels: {drift.label.method} {_number(drift.label.score)}")
    against = f"{drift.rows} new rows against {drift.reference_rows} that version {drift.champion or '?'} was trained on."
    names = f": {', '.join(drift.drifted[:SHOWN])}" if drift.drifted else ""
    return _alert(cycle, Event.DRIFT, Severity.WARNING, f"new data has drifted{names}", [*_some(lines), against], at)


def _decided(cycle: Cycle, decision: Decision, at: datetime) -> Iterable[Alert | None]:
    forbidden = decision.action is Action.ALERT
    harm = _fired(decision, *HARM)
    if harm:
        severity = Severity.CRITICAL if forbidden else Severity.WARNING
        yield _alert(cycle, Event.PERFORMANCE_FELL, severity, "the champion's performance has fallen", [*_harm(decision, harm)], at)
    if faults := [signal.reason for signal in _fired(decision, "data_fault")]:
        yield _alert(
            cycle, Event.DATA_FAULT, Severity.CRITICAL if forbidden else Severity.WARNING, "new data is broken", faults, at
        )
    if decision.action is Action.RETRAIN:
        yield _alert(cycle, Event.RETRAINING, Severity.INFO, "a retraining has begun", decision.reasons, at)


def _fired(decision: Decision, *names: str) -> list[Signal]:
    return [signal for signal in decision.signals if signal.fired and signal.name in names]


def _harm(decision: Decision, harm: Sequence[Signal]) -> Iterable[str]:
    yield from (signal.reason for signal in harm)
    if decision.action is Action.ALERT:
        yield "It is not retrained:"
        yield from (reason for reason in decision.reasons if reason not in {signal.reason for signal in harm})


def _performs_well(decision: Decision) -> bool:
    judged = [signal for signal in decision.signals if signal.name in HARM]
    return not any(signal.fired or signal.beyond for signal in judged) and any(signal.enough for signal in judged)


def _alert(
    cycle: Cycle, event: Event, severity: Severity, title: str, lines: Iterable[str], at: datetime, *, subject: str = ""
) -> Alert:
    lines = [*lines, f"`keepfit explain {cycle.id}` tells the whole story."]
    return _new(cycle.project, event, severity, title, lines, at, key=cycle.id, cycle=cycle.id, subject=subject)


def _new(
    project: str,
    event: Event,
    severity: Severity,
    title: str,
    lines: Iterable[str],
    at: datetime,
    *,
    key: str,
    cycle: str | None = None,
    subject: str = "",
) -> Alert:
    return Alert(
        key="/".join(part for part in (key, event.value, subject if subject != key else "") if part),
        project=project,
        event=event,
        severity=severity,
        title=_shortened(" ".join(_printable(f"{project}: {title}").split()), LONGEST_TITLE),
        text=_shortened("\n".join(_printable(line) for line in lines if line), LONGEST_TEXT),
        at=at,
        cycle=cycle,
        subject=subject,
    )


def _some(lines: Sequence[str]) -> list[str]:
    return [*lines[:SHOWN], f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else list(lines)


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:.3g}"


def _printable(text: str) -> str:
    """Names of files and columns come from outside: no line breaks into headers, no passwords of URLs, nothing unprintable."""
    text = re.sub(r"(?<=://)[^/@\s]*@", "***@", text)
    return "".join(sign if sign.isprintable() or sign == "\n" else "\N{REPLACEMENT CHARACTER}" for sign in text)


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


# --------------------------------------------------------------------------------------------------------------- policy


def judged(
    alert: Alert, told: Delivery | None, ended: Delivery | None, receivers: Sequence[str], settings: Alerts
) -> list[Delivery]:
    """The alert as it enters the outbox: for each receiver to be sent, now or after the quiet hours, or suppressed with the reason.

    `told` is the latest that was sent, or is to be, of the same event and subject; `ended` the latest recovery from it.
    """
    reason = _why_not(alert, told, ended, settings) or ("" if receivers else "nobody is set up to be told")
    if reason:
        return [Delivery(alert=alert, receiver="", status="suppressed", reason=reason)]
    begin = after_quiet_hours(alert, alert.at, settings)
    wait = f"quiet hours until {begin.astimezone(zone(settings)):%H:%M} {settings.time_zone}" if begin > alert.at else ""
    whole = Delivery(alert=alert, receiver="", status="pending", not_before=begin if wait else None, reason=wait)
    return [replace(whole, receiver=receiver) for receiver in receivers]


def is_open(told: Delivery | None, ended: Delivery | None) -> bool:
    """Whether people were told of something and not yet that it is over."""
    return told is not None and (ended is None or ended.alert.at < told.alert.at)


def _why_not(alert: Alert, told: Delivery | None, ended: Delivery | None, settings: Alerts) -> str:
    if alert.event not in settings.events:
        return f"{alert.event.value} is not among alerts.events"
    if RANK[alert.severity] < RANK[settings.min_severity]:
        return f"{alert.severity.value} is less than alerts.min_severity = {settings.min_severity.value}"
    if told is None or not is_open(told, ended) or RANK[alert.severity] > RANK[told.alert.severity]:
        return ""
    if alert.at - told.alert.at < settings.cooldown:
        return f"told at {told.alert.at:%Y-%m-%d %H:%M} UTC, within alerts.cooldown"
    return ""


def zone(settings: Alerts) -> tzinfo:
    """The time zone of the quiet hours."""
    return ZoneInfo(settings.time_zone)


def after_quiet_hours(alert: Alert, moment: datetime, settings: Alerts) -> datetime:
    """The first moment from `moment` on at which the alert may be sent; what is critical, or for no person, may be at any time."""
    if not settings.quiet_hours or alert.severity is Severity.CRITICAL or alert.event is Event.RELEASE:
        return moment
    start, end = (timedelta(hours=int(text[:2]), minutes=int(text[3:])) for text in settings.quiet_hours.split("-"))
    local = moment.astimezone(zone(settings))
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    passed = timedelta(hours=local.hour, minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    over_midnight = start > end
    if not (start <= passed or passed < end if over_midnight else start <= passed < end):
        return moment
    # Wall-clock arithmetic: the day of a change of the clock is an hour shorter or longer, and 07:00 is 07:00.
    waited = midnight + end + (timedelta(days=1) if over_midnight and passed >= start else timedelta(0))
    return waited.astimezone(moment.tzinfo)


RETRIES = (1, 1, 2, 5, 60, 600, 3600)  # seconds after the first, second, ... attempt that failed; the last for all that follow
GIVEN_UP = timedelta(days=7)


def is_stale(delivery: Delivery, now: datetime) -> bool:
    """Whether it is too late to tell."""
    return now - delivery.alert.at > GIVEN_UP


def overtaken(delivery: Delivery, version: str) -> Delivery:
    """The announcement of a champion that is none any more."""
    return replace(delivery, status="suppressed", not_before=None, reason=f"version {version} has become champion since")


def given_up(delivery: Delivery) -> Delivery:
    """A delivery that is too late."""
    last = f": {delivery.reason}" if delivery.reason else ""
    return replace(delivery, status="suppressed", reason=f"given up after {GIVEN_UP.days} days{last}")


def after_failure(delivery: Delivery, why: str, now: datetime, settings: Alerts, *, patience: float = 0.0) -> Delivery:
    """A delivery whose attempt has just failed: put off, each time for longer, and for the `patience` in seconds that the receiver
    asks for."""
    wait = timedelta(seconds=max(patience, RETRIES[min(delivery.attempts, len(RETRIES)) - 1]))
    not_before = after_quiet_hours(delivery.alert, now + wait, settings)
    return replace(delivery, reason=_printable(why), not_before=not_before)
