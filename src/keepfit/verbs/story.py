"""A cycle told as a short story: what came in, what was found, what was decided and done, and what would have changed it."""

from __future__ import annotations

from collections.abc import Iterator

from keepfit.records import (
    Action,
    ColumnDrift,
    Cycle,
    DataVersion,
    Decision,
    DriftReport,
    Interval,
    Outcome,
    PerformanceEstimate,
    PerformanceReport,
    Verdict,
)
from keepfit.signals import chance

MOST_COLUMNS = 10  # drifted columns that are named
MOST_NOTES = 10  # different notes of batches
CHANGES = {
    "data_fault": "the data are broken",
    "covariate": "the inputs have changed",
    "label": "the labels are distributed differently",
    "concept": "the champion does worse while its inputs look the same: what they mean has changed",
}


def tell(cycle: Cycle) -> str:
    """Plain text, one paragraph a stage that had something to say."""
    return "\n\n".join(paragraph for paragraph in _paragraphs(cycle) if paragraph)


def _paragraphs(cycle: Cycle) -> Iterator[str]:
    ended = f"ended as {cycle.outcome.value}" if cycle.outcome else f"is unfinished after {cycle.stage or 'its start'}"
    forced = ", forced" if cycle.forced else ""
    yield f"Cycle {cycle.id} of {cycle.project} began {cycle.started_at:%Y-%m-%d %H:%M:%S} UTC{forced} and {ended}."
    yield _data(cycle)
    yield _performance(cycle.performance)
    yield _drift(cycle.drift)
    yield _decision(cycle)
    yield _training(cycle)
    yield _verdict(cycle.verdict)
    yield _ending(cycle)
    yield _origin(cycle)


def _data(cycle: Cycle) -> str:
    sentences = []
    if cycle.batches:
        sentences.append(f"{_count(len(cycle.batches), 'new batch', 'new batches')} came in.")
    if cycle.earlier:
        sentences.append(f"{_count(len(cycle.earlier), 'batch', 'batches')} of earlier cycles still waited to be trained on.")
    sentences += [f"{each.name} has the same content as {each.original} and was set aside." for each in cycle.duplicates]
    if cycle.validation:
        checked = cycle.validation
        quality = "" if checked.quality is None else f" The lowest quality score was {checked.quality:.1f} of 100."
        sentences.append(f"{checked.passed} passed validation, {checked.quarantined} went to quarantine.{quality}")
        for batch in checked.batches:
            if batch.dropped:
                sentences.append(f"\n  {batch.name}: {_count(batch.dropped, 'row', 'rows')} of {batch.rows} went to quarantine.")
            sentences += [f"\n  {batch.name}: {finding}" for finding in batch.findings]
        seen = dict.fromkeys(note for batch in checked.batches for note in batch.notes)
        sentences += [f"\n  {note}" for note in list(seen)[:MOST_NOTES]]
    if cycle.prepared and cycle.prepared.rows:
        rows = cycle.prepared
        sentences.append(
            f"\nOf {rows.rows} prepared rows, {rows.training} are for training and {rows.holdout} for judging, for good."
        )
    return " ".join(sentences).replace(" \n", "\n")


def _performance(report: PerformanceReport | None) -> str:
    if report is None:
        return ""
    if report.value is None:
        why = f"; {report.note}" if report.note else ""
        unknown = f"Champion {report.champion} could not be judged: {report.n} of {report.rows} new rows are labelled{why}."
        return unknown + _estimate(report.estimate)
    against = "" if report.reference is None else f"; it was accepted with {report.reference:.4g}"
    left_out = f" {_count(report.left_out, 'group', 'groups')} where it is undefined were left out." if report.left_out else ""
    return (
        f"Champion {report.champion} scored {report.metric} {report.value:.4g}{_between(report.interval)} on {report.n} labelled "
        f"rows of {report.rows}{against}.{left_out}{_estimate(report.estimate)}{_slices(report)}"
    )


def _estimate(estimate: PerformanceEstimate | None) -> str:
    if estimate is None:
        return ""
    if estimate.value is None:
        return f"\nOn the {estimate.n} rows without a label it could not be estimated: {estimate.note}."
    wrong = (
        f"; on the {estimate.labelled} labelled rows such an estimate is wrong by {estimate.error:.2g}" if estimate.error else ""
    )
    return (
        f"\nOn the {estimate.n} rows without a label {estimate.metric} is estimated at {estimate.value:.4g}"
        f"{_between(estimate.interval)}{wrong}."
    )


def _slices(report: PerformanceReport) -> str:
    lines = (
        f"\n  {each.column} = {each.value} ({each.n} rows): {_number(each.metric)}{_between(each.interval)}"
        for each in report.slices
    )
    return "".join(lines)


def _drift(report: DriftReport | None) -> str:
    if report is None:
        return ""
    if report.detected is None:
        return f"Drift was not measured: {report.note}."
    everything = report.everything
    drifted = [column for column in everything if column.drifted]
    rate = "" if report.false_alarms is None else f" (false alarms at most {report.false_alarms:.2g} at look {report.look})"
    whose = f"that champion {report.champion} was trained on" if report.champion else "of the reference"
    looked = f"{report.rows} new rows were held against the {report.reference_rows} {whose}"
    found = f"{len(drifted)} of {len(everything)} columns drifted" if drifted else f"none of {len(everything)} columns drifted"
    return "\n".join([f"{looked}: {found}{rate}.", *map(_drifted_column, drifted[:MOST_COLUMNS]), *_new_patterns(report)])


def _new_patterns(report: DriftReport) -> Iterator[str]:
    """A line for each class of each text column: what it says now and did not say before."""
    groups: dict[tuple[str, str], list[str]] = {}
    for found in report.patterns:
        told = f"{found.term!r} ({found.count}, before {found.reference_count})"
        groups.setdefault((found.column, found.label), []).append(told)
    for (column, label), terms in groups.items():
        yield f"  new in {column} of {label}: {', '.join(terms[:MOST_COLUMNS])}"


def _drifted_column(column: ColumnDrift) -> str:
    parts = []
    if column.score is not None and column.threshold is not None:
        by_chance = "" if column.p_value is None else f", {chance(column.p_value)}"
        parts.append(f"{column.method} {column.score:.3g} where {column.threshold:g} counts{by_chance}")
    return f"  {column.name}: {'; '.join([*parts, *column.findings])}"


def _decision(cycle: Cycle) -> str:
    decision = cycle.decision
    if decision is None:
        return ""
    reasons = "\n".join(f"  - {reason}" for reason in decision.reasons)
    change = f"\nThe evidence shows that {CHANGES[decision.change]}." if decision.change else ""
    return f"Decision: {decision.action.value}, because\n{reasons}{change}{_otherwise(decision)}"


def _otherwise(decision: Decision) -> str:
    """What would have changed the decision: everything that fired silenced, or any one thing that was silent fired."""
    fired = [signal for signal in decision.signals if signal.fired]
    retrained = decision.action is Action.RETRAIN
    deciding = fired if retrained or fired else [signal for signal in decision.signals if not signal.fired]
    changed = [f"{signal.name}: {signal.would_change}" for signal in deciding if signal.would_change]
    if not changed or (retrained and len(changed) < len(fired)):
        return ""  # nothing would have, as with --force
    wanted = {Action.RETRAIN: "No retraining", Action.NO_ACTION: "A retraining", Action.ALERT: "Another decision"}[decision.action]
    return f"\n{wanted} would have needed\n" + "\n".join(f"  - {each}" for each in changed)


def _training(cycle: Cycle) -> str:
    candidate = cycle.candidate
    if candidate is None:
        return ""
    if not candidate.rows:
        return f"Version {candidate.version} was registered from {candidate.name}; what it was trained on is unknown."
    tried = [score for score in candidate.scores if score.score is not None]
    compared = "".join(
        f"\n  - {score.name}{_settings(score.parameters)} on {score.window}: {score.score:.4g}"
        for score in tried
        if score.score is not None
    )
    among = f" Tried inside the training rows:{compared}" if len(tried) > 1 else ""
    return (
        f"Challenger: version {candidate.version}, {candidate.name}{_settings(candidate.parameters)}, trained on "
        f"{candidate.rows} rows of {_count(len(candidate.batches), 'batch', 'batches')} "
        f"(window: {candidate.window}, seed {candidate.seed}).{among}{_data_version(cycle.data)}"
    )


def _data_version(data: DataVersion | None) -> str:
    if data is None:
        return ""
    how = "by DVC" if data.kept_by == "dvc" else "by their hashes"
    commit = f", pointers in commit {data.commit[:12]}" if data.commit else ""
    gone = f"; {_count(len(data.missing), 'file was', 'files were')} gone" if data.missing else ""
    return f"\nIts data are version {data.id[:12]}: {_count(data.files, 'file', 'files')}, kept {how}{commit}{gone}."


def _verdict(verdict: Verdict | None) -> str:
    if verdict is None:
        return ""
    lines = [f"Gate {verdict.gate}: {verdict.conclusion.value}. {_sentence(verdict.reason)}"]
    if verdict.difference is not None:
        lines.append(
            f"  On {verdict.n} held-out rows that neither has seen: champion {_number(verdict.champion)}, challenger "
            f"{_number(verdict.challenger)}, {_gain(verdict.difference)}{_between(verdict.interval)}."
        )
    if verdict.p_value is not None and verdict.alpha is not None:
        spent = f", the share of alpha for challenger {verdict.comparison} of this champion" if verdict.comparison > 1 else ""
        lines.append(f"  {verdict.test}: p = {verdict.p_value:.4g} against {verdict.alpha:.4g}{spent}.")
    if verdict.negative_flips is not None:
        lines.append(
            f"  {verdict.negative_flips} rows the champion had right are now wrong, {verdict.positive_flips} the other way round."
        )
    if verdict.baseline is not None:
        lines.append(f"  A model that ignores its input scores {verdict.baseline:.4g} on the same rows.")
    for each in verdict.slices:
        judged = "passes" if each.passed else f"fails: {each.reason}"
        lines.append(
            f"  {each.column} = {each.value} ({each.n} rows): {_number(each.champion)} -> {_number(each.challenger)}, {judged}"
        )
    return "\n".join([*lines, *(f"  Note: {note}." for note in verdict.notes)])


def _ending(cycle: Cycle) -> str:
    sentences = []
    if cycle.promotion:
        move = cycle.promotion
        before = f"from version {move.from_version} " if move.from_version else ""
        sentences.append(f"Alias {move.alias} moved {before}to version {move.to_version}.")
    if cycle.released:
        sentences.append(f"Release: {cycle.released}.")
    if cycle.archived:
        sentences.append(f"{_count(len(cycle.archived), 'batch', 'batches')} moved to the archive.")
    if cycle.outcome in (Outcome.WAITING, Outcome.FAILED):
        sentences.append(_sentence(cycle.reason))
    return "\n".join([" ".join(sentences), *(f"Note: {_sentence(note)}" for note in cycle.notes)]).strip()


def _origin(cycle: Cycle) -> str:
    if cycle.provenance is None:
        return ""
    origin = cycle.provenance
    commit = f", commit {origin.commit[:12]}" if origin.commit else ""
    seconds = sum(cycle.timings.values())
    return (
        f"Made with keepfit {origin.keepfit}, Python {origin.python}, scikit-learn "
        f"{origin.libraries.get('scikit-learn', '?')}; settings {origin.config[:12]}, code {origin.code[:12]}{commit}, "
        f"seed {origin.seed}; {seconds:.1f} s of work."
    )


def _settings(parameters: dict[str, str]) -> str:
    shown = ", ".join(f"{name.removeprefix('estimator__')}={value}" for name, value in parameters.items())
    return f" ({shown})" if shown else ""


def _between(interval: Interval | None) -> str:
    return "" if interval is None else f" ({interval.level:.0%} interval {interval.low:.4g} to {interval.high:.4g})"


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4g}"


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _gain(difference: float) -> str:
    return f"{'worse' if difference < 0 else 'better'} by {abs(difference):.4g}"


def _sentence(text: str) -> str:
    name = "_" in text.partition(" ")[0]  # a metric's name is written as it is
    return (text if name else text[:1].upper() + text[1:]) + ("" if text.endswith(".") else ".")
