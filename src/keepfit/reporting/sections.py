"""What a cycle's page says beside drift and performance: its signals, its challenger, its data and where its numbers come from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from keepfit.records import BatchState, BatchValidation, Cycle, Decision, Signal, Validation, Verdict
from keepfit.reporting.charts import Scale, whisker
from keepfit.reporting.columns import pill
from keepfit.reporting.figures import MISSING, between, chance, count, moment, number, span
from keepfit.reporting.markup import Html, element, joined, name, within

SIGNALS = 30
SIGNALS_SIZE = 25_000  # bytes
BATCHES = 20
BATCHES_SIZE = 25_000
FINDINGS = 5  # of a batch
_TIMES = ("age", "schedule", "cooldown")  # signals whose values are seconds


def signals(decision: Decision) -> Html:
    """Every measured value beside its threshold, those that fired first, and what would have made it say the opposite."""
    ordered = sorted(decision.signals, key=lambda signal: (not signal.fired, not signal.beyond, signal.enough))
    shown = within((_signal(signal) for signal in ordered), SIGNALS, SIGNALS_SIZE)
    left = len(ordered) - len(shown)
    return joined(
        element("ul", *shown, class_="signals"),
        element("p", f"and {left:,} more", class_="small") if left else None,
    )


def challenger(cycle: Cycle) -> Html | None:
    """What was trained and how it compared; None where nothing was."""
    candidate, verdict, move = cycle.candidate, cycle.verdict, cycle.promotion
    if candidate is None and verdict is None and move is None:
        return None
    trained = (
        joined(
            "Version ",
            name(candidate.version),
            ", ",
            name(candidate.name),
            f", was trained on {count(candidate.rows, 'row')} of {count(len(candidate.batches), 'batch', 'batches')}.",
        )
        if candidate
        else None
    )
    moved = (
        joined("The alias ", name(move.alias), " moved ", *_from(move.from_version), "to version ", name(move.to_version), ".")
        if move
        else None
    )
    return joined(
        element("p", trained) if trained else None,
        *(_verdict(verdict) if verdict else ()),
        element("p", moved) if moved else None,
    )


def data(validation: Validation) -> Html:
    """The batches that came in, what was wrong with them and how good they are."""
    ordered = sorted(validation.batches, key=lambda batch: batch.passed)
    shown = within((_batch(batch) for batch in ordered), BATCHES, BATCHES_SIZE)
    left = len(ordered) - len(shown)
    quality = f" The lowest quality of those is {validation.quality:.1f} of 100." if validation.quality is not None else ""
    gone = f" {count(validation.quarantined, 'batch', 'batches')} went to quarantine." if validation.quarantined else ""
    return joined(
        element("p", f"{count(validation.passed, 'batch', 'batches')} passed.{quality}{gone}", class_="lead"),
        element("ul", *shown, class_="batches"),
        element("p", f"and {left:,} more", class_="small") if left else None,
    )


def notes(cycle: Cycle) -> Html | None:
    """What else is to be known of the cycle; None where there is nothing."""
    told = within((element("li", note) for note in cycle.notes), 10, 10_000)
    return element("ul", *told, class_="findings") if told else None


def origin(cycle: Cycle) -> Html:
    """Which cycle, version, window, settings and code the numbers come from."""
    return element("dl", *(joined(element("dt", term), element("dd", said)) for term, said in _facts(cycle)), class_="facts")


# ------------------------------------------------------------------------------------------------------------- signals


def _signal(signal: Signal) -> Html:
    words, tone = _state(signal)
    return element(
        "li",
        element("div", element("h3", name(signal.name.replace("_", " "))), pill(words, tone), class_="split"),
        element("p", signal.reason),
        _measured(signal),
        element("p", f"It would have taken: {signal.would_change}", class_="small") if signal.would_change else None,
        class_="signal",
    )


def _state(signal: Signal) -> tuple[str, str]:
    if signal.fired:
        return "fired", "bad"
    if not signal.enough:
        return "too little evidence", "quiet"
    return ("beyond, not counted", "watch") if signal.beyond else ("silent", "good")


def _measured(signal: Signal) -> Html | None:
    if signal.value is None:
        return None
    told = [("value", _amount(signal, signal.value)), ("threshold", _amount(signal, signal.threshold))]
    told += [(f"{signal.interval.level:.0%} interval", between(signal.interval))] if signal.interval else []
    told += [("rows", f"{signal.n:,}")] if signal.n is not None else []
    known = [signal.value, signal.threshold, *((signal.interval.low, signal.interval.high) if signal.interval else (0.0,))]
    strip = (
        whisker(signal.value, signal.interval, signal.threshold, Scale.over(known), bad=signal.fired)
        if signal.threshold is not None
        else None
    )
    facts = (element("div", element("dt", term), element("dd", said)) for term, said in told)
    return element("div", strip, element("dl", *facts), class_="measured")


def _amount(signal: Signal, value: float | None) -> str:
    return span(value) if signal.name in _TIMES and value is not None else number(value)


# ---------------------------------------------------------------------------------------------------------- challenger


def _verdict(verdict: Verdict) -> Iterator[Html]:
    tone = {"passed": "good", "rejected": "bad"}.get(verdict.conclusion.value, "quiet")
    yield element("p", pill(verdict.conclusion.value, tone), f" Gate {verdict.gate}: {verdict.reason}")
    if verdict.difference is not None:
        better = "better" if verdict.difference >= 0 else "worse"
        spread = f" ({verdict.interval.level:.0%} interval {between(verdict.interval)})" if verdict.interval else ""
        yield element(
            "p",
            f"On {count(verdict.n, 'held-out row')} that neither has seen: champion {number(verdict.champion)}, challenger "
            f"{number(verdict.challenger)}, {better} by {number(abs(verdict.difference))}{spread}.",
        )
    if verdict.p_value is not None and verdict.alpha is not None:
        p_value = chance(verdict.p_value)
        yield element("p", f"{verdict.test or 'test'}: p {p_value} where at most {chance(verdict.alpha)} passes.", class_="small")


def _from(version: str | None) -> tuple[str, ...]:
    return ("from version ", name(version), " ") if version is not None else ()


# ---------------------------------------------------------------------------------------------------------------- data


def _batch(batch: BatchValidation) -> Html:
    left = len(batch.findings) - FINDINGS
    dropped = f", {batch.dropped:,} went to quarantine" if batch.dropped else ""
    told = [element("li", str(finding)) for finding in batch.findings[:FINDINGS]]
    told += [element("li", f"and {left:,} more")] if left > 0 else []
    told += [element("li", note, class_="note") for note in batch.notes[:FINDINGS]]
    return element(
        "li",
        element(
            "div",
            element("h3", name(batch.name)),
            pill("passed", "good") if batch.passed else pill("quarantined", "bad"),
            class_="split",
        ),
        element(
            "p",
            f"quality {batch.quality:.1f} of 100 · {count(batch.rows, 'row')}, {batch.labelled:,} labelled{dropped}",
            class_="small",
        ),
        element("ul", *told, class_="findings") if told else None,
        class_="batch",
    )


# -------------------------------------------------------------------------------------------------------------- origin


def _facts(cycle: Cycle) -> Iterator[tuple[str, Html]]:
    yield "Cycle", _code(cycle.id)
    yield "Time", joined(_to(moment(cycle.started_at), moment(cycle.finished_at)))
    report = cycle.performance or cycle.drift
    if report is not None and report.champion:
        yield "Champion", joined("version ", name(report.champion))
    judged = [batch.arrived_at for batch in cycle.batches if batch.state is not BatchState.QUARANTINED]
    arrived = sorted(time for time in judged if time)
    if arrived:
        yield "Window", joined(f"{count(len(judged), 'batch', 'batches')}, {_to(moment(arrived[0]), moment(arrived[-1]))}")
    if cycle.drift and cycle.drift.false_alarms is not None:
        rate = f"{100 * cycle.drift.false_alarms:.2g}%"
        yield "Drift", joined(f"look {cycle.drift.look} at this champion; a false alarm in at most {rate} of such looks")
    sources = list(_sources(cycle.decision.signals)) if cycle.decision else []
    if sources:
        yield "Thresholds", element("ul", *within((element("li", source) for source in sources), 20, 8_000))
    if cycle.provenance:
        made = cycle.provenance
        yield "Code", joined(_code(made.code[:12]), *(", commit ", _code(made.commit[:20])) if made.commit else ())
        yield "Settings", joined(_code(made.config[:12]), f", seed {made.seed}")
        yield "Made with", joined(f"keepfit {made.keepfit}, Python {made.python}")


def _sources(signals: Iterable[Signal]) -> Iterator[str]:
    for signal in signals:
        if signal.source:
            threshold = f" {_amount(signal, signal.threshold)}" if signal.threshold is not None else ""
            yield f"{signal.name.replace('_', ' ')}{threshold}: {signal.source}"


def _to(first: str, last: str) -> str:
    return first if last in (first, MISSING) else f"{first} to {last}"


def _code(text: str) -> Html:
    return element("code", text)
