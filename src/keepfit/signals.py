"""One signal for each kind of evidence: pure functions of what was measured, with what they lacked and what would change them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import NormalDist

from keepfit.config import Config
from keepfit.records import ColumnDrift, Cycle, DriftReport, Interval, PerformanceEstimate, PerformanceReport, Signal

TO_CONFIRM = ("floor", "degradation", "drift", "estimate")  # those that `retrain.confirm` may want to see more than once
SMALLEST = 1e-12  # p-value that is told
SHOWN = 3  # columns named in a sentence


def cannot_be_judged(performance: PerformanceReport) -> bool:
    """Whether there are labels, and the champion does not go with the rows."""
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


def floor(performance: PerformanceReport, config: Config) -> Signal:
    """Worse than `retrain.floor`."""
    lacking = _too_little("floor", performance, config)
    limit = config.retrain.floor
    if lacking or performance.value is None or limit is None:
        return lacking or Signal(name="floor", fired=False, reason="no floor is set")
    value = performance.value
    fired = value < limit if performance.greater_is_better else value > limit
    side = "below" if performance.greater_is_better else "above"
    other = "above" if performance.greater_is_better else "below"
    words = f"{performance.metric} {value:.4g} is {side if fired else 'not ' + side} the floor of {limit:g}"
    return Signal(
        name="floor",
        fired=fired,
        beyond=fired,
        value=value,
        threshold=limit,
        interval=performance.interval,
        n=performance.n,
        reason=f"{words} on {performance.n} new labelled rows",
        source=config.source("retrain.floor"),
        would_change=f"{performance.metric} {other if fired else side} {limit:g}",
    )


def degradation(performance: PerformanceReport, config: Config) -> Signal:
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
        beyond=fired,
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


def new_rows(rows: int, config: Config) -> Signal:
    """As many new labelled training rows as `retrain.new_rows`."""
    wanted = config.retrain.new_rows or 0
    fired = rows >= wanted
    return Signal(
        name="new_rows",
        fired=fired,
        beyond=fired,
        value=float(rows),
        threshold=float(wanted),
        n=rows,
        reason=f"{rows} new labelled training rows, {wanted} call for a retraining",
        source=config.source("retrain.new_rows"),
        would_change=f"fewer than {wanted} rows" if fired else f"{wanted - rows} more rows",
    )


def drift(report: DriftReport, performance: PerformanceReport | None, config: Config) -> Signal:
    """Some column, the answers or the labels lie further from the reference than chance and the smallest effect explain.

    Where enough labels show that the champion is none the worse for it, it calls for nothing unless `retrain.drift_without_harm`.
    """
    source = config.source("monitor.drift")
    if report.detected is None:
        reason = f"drift could not be measured: {report.note or 'nothing was compared'}"
        return Signal(name="drift", fired=False, enough=False, reason=reason, n=report.rows, source=source)
    everything = report.everything
    drifted = [column for column in everything if column.drifted]
    closest = max(drifted or everything, key=_reach)
    harmless = bool(drifted) and not config.retrain.drift_without_harm and _does_well(performance, config)
    reason = _drift_in_words(drifted, everything, report)
    if harmless and performance is not None and performance.value is not None:
        reason += f"; but {performance.metric} {performance.value:.4g} on {performance.n} labelled rows shows no harm"
    return Signal(
        name="drift",
        fired=bool(drifted) and not harmless,
        beyond=bool(drifted),
        value=closest.score,
        threshold=closest.threshold,
        n=report.rows,
        reason=reason,
        source=source,
        would_change=_drift_otherwise(drifted, closest, harmless=harmless),
    )


def _reach(column: ColumnDrift) -> float:
    """How much of its threshold a column reaches."""
    if column.score is None:
        return math.inf if column.drifted else -math.inf
    return column.score / column.threshold if column.threshold else column.score


def _drift_in_words(drifted: Sequence[ColumnDrift], everything: Sequence[ColumnDrift], report: DriftReport) -> str:
    if not drifted:
        return f"none of {len(everything)} columns drifted on {report.rows} new rows"
    named = ", ".join(f"{column.name} ({_measured(column)})" for column in drifted[:SHOWN])
    more = f" and {len(drifted) - SHOWN} more" if len(drifted) > SHOWN else ""
    return f"{len(drifted)} of {len(everything)} columns drifted on {report.rows} new rows: {named}{more}"


def _measured(column: ColumnDrift) -> str:
    if column.score is None or column.threshold is None:
        return "; ".join(column.findings[:1]) or column.method
    by_chance = "" if column.p_value is None else f", {chance(column.p_value)}"
    return f"{column.method} {column.score:.3g} where {column.threshold:g} counts{by_chance}"


def chance(p_value: float) -> str:
    """A p-value in words; below 1e-12 nobody knows how small it is.

    >>> chance(0.034), chance(0.0)
    ('p = 0.034', 'p < 1e-12')
    """
    return f"p = {p_value:.2g}" if p_value >= SMALLEST else f"p < {SMALLEST:g}"


def _drift_otherwise(drifted: Sequence[ColumnDrift], closest: ColumnDrift, *, harmless: bool) -> str:
    if harmless:
        return "worse performance, or [retrain] drift_without_harm = true"
    if len(drifted) > 1:
        return f"none of the {len(drifted)} columns beyond its threshold"
    if closest.threshold is None:
        return ""
    return f"{closest.name}: {closest.method} {'below' if drifted else 'surely above'} {closest.threshold:g}"


def _does_well(performance: PerformanceReport | None, config: Config) -> bool:
    """Whether enough labels say that the champion does as well as ever: not below its floor, and not worse than it was by more than
    the tolerance or one standard error. That a degradation is not proven is not enough."""
    if performance is None or cannot_be_judged(performance):
        return False
    said = degradation(performance, config)
    if not said.enough or said.fired or performance.value is None or performance.reference is None:
        return False
    if config.retrain.floor is not None and floor(performance, config).fired:
        return False
    sign = 1 if performance.greater_is_better else -1
    loss = sign * (performance.reference - performance.value)
    error = math.hypot(_standard_error(performance.interval), _standard_error(performance.reference_interval))
    return loss <= max(config.retrain.degradation, error)


def estimated(estimate: PerformanceEstimate, performance: PerformanceReport, config: Config) -> Signal:
    """Performance on rows without labels is estimated, surely, below the floor or below the champion's own value.

    Labels outvote it: where there are enough of them it never fires.
    """
    labels = performance.n >= config.monitor.min_labels and performance.value is not None
    limit, source = _estimate_limit(performance, config)
    signal = Signal(
        name="estimate",
        fired=False,
        value=estimate.value,
        threshold=limit,
        interval=estimate.interval,
        n=estimate.n,
        source=source,
        reason="",
    )
    if labels:
        return replace(signal, reason=f"{performance.n} labels speak, so the estimate does not")
    if estimate.value is None or estimate.interval is None or limit is None:
        lacking = estimate.note or "there is neither a floor nor a value that the champion was accepted with"
        return replace(signal, enough=False, reason=f"performance cannot be estimated: {lacking}")
    better = performance.greater_is_better
    fired = estimate.interval.high < limit if better else estimate.interval.low > limit
    side, other = ("below", "above") if better else ("above", "below")
    tracked = "" if estimate.usual_error is None else f"; such estimates were wrong by {estimate.usual_error:.2g} on average"
    return replace(
        signal,
        fired=fired,
        beyond=fired,
        reason=f"{estimate.metric} is estimated, without labels, at {estimate.value:.4g} "
        f"({estimate.interval.low:.4g} to {estimate.interval.high:.4g}) on {estimate.n} rows, "
        f"{'surely' if fired else 'not surely'} {side} {limit:.4g}{tracked}",
        would_change=f"an estimate {other if fired else 'surely ' + side} {limit:.4g}, or labels",
    )


def _estimate_limit(performance: PerformanceReport, config: Config) -> tuple[float | None, str]:
    """The stricter of the floor and the champion's own value less the tolerated degradation, and where it was set."""
    sign = 1 if performance.greater_is_better else -1
    limits = []
    if config.retrain.floor is not None:
        limits.append((config.retrain.floor, config.source("retrain.floor")))
    if performance.reference is not None and not performance.outside:
        limits.append((performance.reference - sign * config.retrain.degradation, config.source("retrain.degradation")))
    return max(limits, key=lambda limit: sign * limit[0]) if limits else (None, "")


def data_faults(cycle: Cycle) -> Signal | None:
    """Batches that went to quarantine, and columns that are not what they were: another kind, or suddenly empty."""
    quarantined = cycle.validation.quarantined if cycle.validation else 0
    reasons = []
    if cycle.validation and quarantined:
        bad = next(batch for batch in cycle.validation.batches if not batch.passed)
        first = f"; {bad.name}: {bad.findings[0]}" if bad.findings else ""
        reasons.append(f"{quarantined} of {len(cycle.validation.batches)} batches went to quarantine{first}")
    broken = [column for column in cycle.drift.columns if is_broken(column)] if cycle.drift else []
    reasons += [f"{column.name} is broken: {'; '.join(column.findings) or column.note or 'no value is left'}" for column in broken]
    if not reasons:
        return None
    return Signal(
        name="data_fault",
        fired=True,
        beyond=True,
        value=float(quarantined + len(broken)),
        threshold=0.0,
        n=len(cycle.batches),
        reason="; ".join(reasons),
        would_change="data that keep their contract and have the kinds they had",
    )


def is_broken(column: ColumnDrift) -> bool:
    """Whether a column drifted because the pipe broke rather than the world changed."""
    return column.drifted and (column.method == "type" or (column.current == 0 and column.reference > 0))


def confirmed(signal: Signal, earlier: Sequence[Cycle], config: Config) -> Signal:
    """The signal, silenced when its value was not beyond the threshold in enough of the last cycles that looked."""
    needed, looks = map(int, config.retrain.confirm.split(" of "))
    if not signal.fired or signal.name not in TO_CONFIRM or needed == 1:
        return signal
    before = [_was_beyond(signal.name, cycle) for cycle in earlier][: looks - 1]
    seen = 1 + sum(before)
    if seen >= needed:
        return replace(signal, reason=f"{signal.reason} (seen in {seen} of the last {1 + len(before)} cycles)")
    return replace(
        signal,
        fired=False,
        reason=f"{signal.reason}; seen in {seen} of the last {1 + len(before)} cycles, {needed} of {looks} are needed",
        source=config.source("retrain.confirm"),
        would_change=f"seen again, or [retrain] confirm = '{seen} of {looks}'",
    )


def _was_beyond(name: str, cycle: Cycle) -> bool:
    return cycle.decision is not None and any(signal.name == name and signal.beyond for signal in cycle.decision.signals)
