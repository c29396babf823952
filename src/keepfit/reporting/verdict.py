"""A cycle, or a comparison of two tables, in one sentence and a colour."""

from __future__ import annotations

from dataclasses import dataclass

from keepfit.records import Action, Change, Cycle, DriftReport, Outcome
from keepfit.reporting.figures import count

CHANGES = {
    Change.DATA_FAULT: "A broken pipe: the data do not keep their contract.",
    Change.COVARIATE: "The inputs look different.",
    Change.LABEL: "The labels are distributed differently.",
    Change.CONCEPT: "The inputs look the same, and the model does worse on them.",
}
_ENDS = {
    Outcome.PROMOTED: "a new champion is in place",
    Outcome.KEPT_CHAMPION: "the challenger was not better and the champion stays",
    Outcome.INCONCLUSIVE: "challenger and champion cannot be told apart and the champion stays",
}
_CALLS = {
    Action.RETRAIN: "a retraining is called for",
    Action.NO_ACTION: "there is nothing to do",
    Action.ALERT: "a person must look",
}
_HARM = ("floor", "degradation", "unjudged")


@dataclass(frozen=True, kw_only=True)
class Headline:
    """The first thing to read."""

    sentence: str
    tone: str  # good, watch, bad or quiet


def of_drift(report: DriftReport) -> Headline:
    """The verdict on two tables."""
    if report.detected is None:
        return Headline(sentence=_because("Drift was not measured", report.note), tone="quiet")
    if report.detected:
        return Headline(sentence=f"{_where(report)}.", tone="watch")
    return Headline(sentence=f"No drift in {count(judged(report), 'column')}.", tone="good")


def judged(report: DriftReport) -> int:
    """How many of the columns could be judged."""
    return sum(column.judged for column in report.columns)


def of_cycle(cycle: Cycle) -> Headline:
    """Drift or not, healthy or not, and what is done about it."""
    if cycle.outcome is Outcome.FAILED:
        return Headline(sentence=_because("The cycle failed", cycle.reason), tone="bad")
    if cycle.outcome is Outcome.WAITING:
        return Headline(sentence=_because("Waiting for data", cycle.reason), tone="quiet")
    if cycle.outcome is Outcome.QUARANTINED:
        batches = cycle.validation.quarantined if cycle.validation else len(cycle.batches)
        went = count(batches, "batch", "batches")
        return Headline(sentence=f"The new data is broken: {went} went to quarantine and nothing was trained.", tone="bad")
    ended = _ENDS.get(cycle.outcome) if cycle.outcome else None
    done = ended or (_CALLS[cycle.decision.action] if cycle.decision else "nothing is decided yet")
    return Headline(sentence=f"{_seen(cycle)}, and {_health(cycle)}: {done}.", tone=_tone(cycle))


def _seen(cycle: Cycle) -> str:
    report = cycle.drift
    if report is None or report.detected is None:
        return "Drift was not measured"
    return _where(report) if report.detected else "No drift"


def _where(report: DriftReport) -> str:
    places = [f"{len(report.drifted):,} of {count(judged(report), 'column')}"] if report.drifted else []
    places += ["the model's answers"] if any(column.drifted for column in report.output) else []
    places += ["the labels"] if report.label is not None and report.label.drifted else []
    if not places:
        return "Drift of the whole, though of no column by itself"
    return "Drift in " + (", ".join(places[:-1]) + " and " if places[:-1] else "") + places[-1]


def _health(cycle: Cycle) -> str:
    if _fired(cycle, "no_champion"):
        return "there is no champion yet"
    if _fired(cycle, *_HARM) and cycle.performance is not None and cycle.performance.value is not None:
        return "the champion does worse than it should"
    if _beyond(cycle, *_HARM):
        return "the champion seems to do worse than it should, which is to be confirmed"
    if _fired(cycle, "estimate"):
        return "the champion probably does worse than it should"
    if cycle.performance is None or cycle.performance.value is None:
        return "the champion could not be judged"
    signals = cycle.decision.signals if cycle.decision else ()
    if any(signal.name in _HARM and not signal.enough for signal in signals):
        return "there are too few labels to judge the champion"
    return "the champion does well"


def _tone(cycle: Cycle) -> str:
    if cycle.decision is not None and cycle.decision.action is Action.ALERT:
        return "bad"
    if _fired(cycle, *_HARM):
        return "good" if cycle.outcome is Outcome.PROMOTED else "bad"
    if (cycle.drift is not None and cycle.drift.detected) or _fired(cycle, "estimate") or _beyond(cycle, *_HARM):
        return "watch"
    return "good" if cycle.decision is not None else "quiet"


def _fired(cycle: Cycle, *names: str) -> bool:
    return cycle.decision is not None and any(signal.fired and signal.name in names for signal in cycle.decision.signals)


def _beyond(cycle: Cycle, *names: str) -> bool:
    return cycle.decision is not None and any(signal.beyond and signal.name in names for signal in cycle.decision.signals)


def _because(what: str, why: str) -> str:
    return f"{what}: {why.rstrip('.')}." if why else f"{what}."
