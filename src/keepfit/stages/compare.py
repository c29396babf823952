"""Put challenger and champion before the same holdout rows, which neither was trained on, and let the gate say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from keepfit.config import Config
from keepfit.errors import DataError
from keepfit.ports import Ports, Predictions, Statistics
from keepfit.prepared import KEPT, TRUTH, features_of, for_metric, groups_of, labelled, load_rows, rows_as_known_to, usable
from keepfit.promotion import notice_hand, withdrawn
from keepfit.records import (
    Batch,
    Candidate,
    Conclusion,
    Cycle,
    Decision,
    Interval,
    ModelVersion,
    Outcome,
    Verdict,
)
from keepfit.stages import Stop
from keepfit.stats.compare import Comparison, Flips, flips, spent_alpha
from keepfit.stats.compare import compare as through_gate
from keepfit.stats.metrics import reported
from keepfit.stats.resample import interval
from keepfit.stats.slices import compare_slices, meets
from keepfit.stats.units import independent, value
from keepfit.versions import Tag

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

REASONS_TO_REPLACE = {"floor", "degradation", "drift", "estimate", "age", "schedule", "forced"}  # what non_inferior accepts as one


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One model's word on the holdout."""

    predictions: Predictions
    statistics: Statistics


def compare(cycle: Cycle, ports: Ports, config: Config) -> Cycle:
    """Fill in `verdict`. Goes on only when the gate is passed; stops as `kept_champion` or `inconclusive` otherwise."""
    if cycle.candidate is None:
        return cycle
    champion = ports.registry.champion()
    notice_hand(champion, cycle.id, ports, config)
    if not cycle.forced and (reason := withdrawn(champion, ports, config)):
        raise Stop(Outcome.ALERTED, reason, cycle)
    rows, champion_rows, note = _holdout(champion, cycle, ports, config)
    _, model = ports.registry.load(cycle.candidate.version)
    challenger = _judge(model, rows, rows, ports, config)
    incumbent = None
    if champion is not None and len(rows) and not note:
        _, old_model = ports.registry.load(champion.version)
        try:
            incumbent = _judge(old_model, champion_rows, rows, ports, config)
        except DataError as error:
            note = f"version {champion.version} cannot be judged on these rows: {error}"
    verdict = _verdict(rows, challenger, incumbent, champion, cycle, ports, config)
    if champion is not None and note:
        verdict = _without_comparison(verdict, note, champion, config)
    _annotate(cycle.candidate, verdict, challenger, rows, ports, config)
    cycle = replace(cycle, verdict=verdict)
    if verdict.passed:
        return cycle
    inconclusive = verdict.conclusion is Conclusion.INCONCLUSIVE
    raise Stop(Outcome.INCONCLUSIVE if inconclusive else Outcome.KEPT_CHAMPION, verdict.reason, cycle)


def _holdout(champion: ModelVersion | None, cycle: Cycle, ports: Ports, config: Config) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """The labelled holdout rows, as the challenger knows them and as the champion does, and why that cannot be."""
    batches = usable(cycle, ports, config)
    if champion is None:
        rows = labelled(load_rows(batches, ports.code, ports, config, holdout=True))
        return rows, rows, ""
    judging = batches[len(batches) - _judging_count(batches, cycle, ports, config) :]
    today = load_rows(judging, ports.code, ports, config, holdout=True)
    before, note = rows_as_known_to(champion, judging, ports, config, holdout=True)
    return labelled(today), labelled(before), note


def _without_comparison(verdict: Verdict, note: str, champion: ModelVersion, config: Config) -> Verdict:
    """Over a champion that could not be judged fairly nothing is promoted, unless a person does."""
    return replace(
        verdict,
        gate=config.promote.gate,
        passed=False,
        conclusion=Conclusion.INCONCLUSIVE,
        reason=f"{note}. If the new model shall replace it all the same: `keepfit promote`",
        champion_version=champion.version,
    )


def _judging_count(batches: Sequence[Batch], cycle: Cycle, ports: Ports, config: Config) -> int:
    """How many of the latest batches judge: as many as are asked for, and more where their held-out rows are too few."""
    window = config.promote.holdout
    if window == "all":
        return len(batches)
    new = {batch.id for batch in cycle.batches}
    wanted = sum(batch.id in new for batch in batches) if window == "new" else int(window.split()[1])
    rows = 0
    for count, batch in enumerate(reversed(batches), 1):
        rows += len(labelled(load_rows([batch], ports.code, ports, config, holdout=True)))
        if count >= max(wanted, 1) and rows >= config.promote.min_holdout:
            return count
    return len(batches)


def _judge(model: Any, rows: pd.DataFrame, common: pd.DataFrame, ports: Ports, config: Config) -> Judged | None:
    """A model on its view of the rows; `common` is the view that metrics of the user's look at."""
    if rows.empty:
        return None
    predictions = model.predict(rows[features_of(rows)])
    return Judged(predictions=predictions, statistics=_statistics(common, predictions, ports, config))


def _statistics(
    rows: pd.DataFrame, predictions: Predictions, ports: Ports, config: Config, mask: np.ndarray | None = None
) -> Statistics:
    if mask is not None:
        rows, predictions = rows[mask].reset_index(drop=True), predictions.of(mask)
    return ports.metric.statistics(rows[TRUTH].to_numpy(), predictions, groups_of(rows, config), for_metric(rows))


def _verdict(
    rows: pd.DataFrame,
    challenger: Judged | None,
    incumbent: Judged | None,
    champion: ModelVersion | None,
    cycle: Cycle,
    ports: Ports,
    config: Config,
) -> Verdict:
    wanted = config.promote.min_holdout
    if challenger is None or len(rows) < wanted:
        reason = f"too little evidence: {len(rows)} labelled holdout rows, {wanted} are needed"
        return _blank(reason, len(rows), champion, ports, config)
    baseline = _baseline(rows, cycle, ports, config)
    verdict = (
        _first(rows, challenger, ports, config)
        if incumbent is None or champion is None
        else _against(rows, challenger, incumbent, champion, cycle, ports, config)
    )
    verdict = replace(verdict, baseline=baseline, champion_version=champion.version if champion else None)
    return _under_floor(_under_slices(verdict, rows, challenger, incumbent, ports, config), config)


def _blank(reason: str, n: int, champion: ModelVersion | None, ports: Ports, config: Config) -> Verdict:
    return Verdict(
        gate="first" if champion is None else config.promote.gate,
        passed=False,
        conclusion=Conclusion.INCONCLUSIVE,
        reason=reason,
        metric=ports.metric.name,
        greater_is_better=ports.metric.greater_is_better,
        champion=None,
        challenger=None,
        difference=None,
        interval=None,
        test=None,
        p_value=None,
        alpha=None,
        comparison=1,
        n=n,
        units=0,
        negative_flips=None,
    )


def _first(rows: pd.DataFrame, challenger: Judged, ports: Ports, config: Config) -> Verdict:
    """There is nobody to beat: the first champion has to be defined, and above the floor (checked later)."""
    score = value(challenger.statistics)
    verdict = _blank("", len(rows), None, ports, config)
    if score is None:
        return replace(verdict, reason=f"{ports.metric.name} is undefined on the holdout")
    return replace(
        verdict,
        passed=True,
        conclusion=Conclusion.PASSED,
        reason=f"the first champion: {ports.metric.name} {score:.4g} on {len(rows)} held-out rows",
        challenger=score,
        units=independent(challenger.statistics),
    )


def _against(
    rows: pd.DataFrame,
    challenger: Judged,
    incumbent: Judged,
    champion: ModelVersion,
    cycle: Cycle,
    ports: Ports,
    config: Config,
) -> Verdict:
    promote, metric = config.promote, ports.metric
    counted = _comparison_number(champion, cycle, ports, config)
    alpha = spent_alpha(promote.alpha, counted) if promote.spending == "life" else promote.alpha
    flipped = _flips(rows, incumbent, challenger, config)
    grouped = groups_of(rows, config) is not None
    comparison = through_gate(
        gate=promote.gate,
        champion=incumbent.statistics,
        challenger=challenger.statistics,
        greater_is_better=metric.greater_is_better,
        margin=promote.margin,
        alpha=alpha,
        level=config.monitor.level,
        resamples=promote.resamples,
        seed=config.train.seed,
        flips=flipped if metric.name == "accuracy" and not grouped else None,
        metric=metric.name,
        unit="groups" if grouped else "rows",
    )
    verdict = _recorded(comparison, flipped, alpha if comparison.test else None, counted, len(rows), ports)
    if champion.outside:
        note = f"version {champion.version} was registered from a file: it may have seen these rows, which would flatter it"
        verdict = replace(verdict, notes=(*verdict.notes, note))
    if promote.gate == "non_inferior" and verdict.passed and not _reason_to_replace(cycle.decision):
        reason = "not inferior, but there is no reason to replace the champion: it is neither bad nor old"
        verdict = replace(verdict, passed=False, conclusion=Conclusion.REJECTED, reason=reason)
    return verdict


def _comparison_number(champion: ModelVersion, cycle: Cycle, ports: Ports, config: Config) -> int:
    """How many challengers this champion has faced, this one included: what the error rate is spent over."""
    faced = ports.ledger.cycles.trainings(config.project.name, champion=champion.version)
    return 1 + sum(training.cycle != cycle.id and training.conclusion is not None for training in faced)


def _flips(rows: pd.DataFrame, incumbent: Judged, challenger: Judged, config: Config) -> Flips | None:
    if config.project.task != "classification":
        return None
    return flips(rows[TRUTH].to_numpy(), incumbent.predictions.values, challenger.predictions.values)


def _recorded(comparison: Comparison, flipped: Flips | None, alpha: float | None, counted: int, n: int, ports: Ports) -> Verdict:
    return Verdict(
        gate=comparison.gate,
        passed=comparison.passed,
        conclusion=comparison.conclusion,
        reason=comparison.reason,
        metric=ports.metric.name,
        greater_is_better=ports.metric.greater_is_better,
        champion=comparison.champion,
        challenger=comparison.challenger,
        difference=comparison.difference,
        interval=comparison.interval,
        test=comparison.test,
        p_value=comparison.p_value,
        alpha=alpha,
        comparison=counted,
        n=n,
        units=comparison.units,
        negative_flips=flipped.negative if flipped else None,
        positive_flips=flipped.positive if flipped else None,
    )


def _reason_to_replace(decision: Decision | None) -> bool:
    return decision is not None and any(signal.fired and signal.name in REASONS_TO_REPLACE for signal in decision.signals)


def _under_slices(
    verdict: Verdict, rows: pd.DataFrame, challenger: Judged, incumbent: Judged | None, ports: Ports, config: Config
) -> Verdict:
    """Fill in the slices; one that fails takes the promotion away."""
    slices = config.promote.slices
    if slices is None:
        return verdict
    before = incumbent or challenger

    def statistics(mask: np.ndarray) -> tuple[Statistics, Statistics]:
        return (
            _statistics(rows, before.predictions, ports, config, mask),
            _statistics(rows, challenger.predictions, ports, config, mask),
        )

    judged = compare_slices(
        {name: rows[KEPT + name].to_numpy() for name in slices.columns if KEPT + name in rows.columns},
        statistics,
        greater_is_better=verdict.greater_is_better,
        min_rows=slices.min_rows,
        floor=slices.floor,
        max_loss=slices.max_loss if incumbent else None,
    )
    if incumbent is None:
        judged = tuple(replace(each, champion=None) for each in judged)
    failed = [each for each in judged if not each.passed]
    verdict = replace(verdict, slices=judged)
    if not failed or not verdict.passed:
        return verdict
    reason = f"{failed[0].column} = {failed[0].value}: {failed[0].reason}" + (
        f" (and {len(failed) - 1} more)" if failed[1:] else ""
    )
    return replace(verdict, passed=False, conclusion=Conclusion.REJECTED, reason=f"a slice fails: {reason}")


def _under_floor(verdict: Verdict, config: Config) -> Verdict:
    floor = config.promote.floor
    if floor is None or not verdict.passed or meets(verdict.challenger, floor, verdict.greater_is_better):
        return verdict
    reason = f"{verdict.metric} {verdict.challenger:.4g} does not reach the floor of {floor:g}, whatever it is compared with"
    return replace(verdict, passed=False, conclusion=Conclusion.REJECTED, reason=reason)


def _baseline(rows: pd.DataFrame, cycle: Cycle, ports: Ports, config: Config) -> float | None:
    """What a model that ignores its input scores on the same rows, so that nobody takes an easy task for a good model."""
    batches = usable(cycle, ports, config)
    training = labelled(load_rows(batches, ports.code, ports, config, holdout=False))
    predictions = ports.trainer.baseline(training).predict(rows[features_of(rows)])
    return value(_statistics(rows, predictions, ports, config))


def _annotate(
    candidate: Candidate, verdict: Verdict, challenger: Judged | None, rows: pd.DataFrame, ports: Ports, config: Config
) -> None:
    """Write the verdict on the version, where people look: its numbers, and the reference for later judgements."""
    metrics = {
        f"holdout_{verdict.metric}": verdict.challenger,
        f"champion_holdout_{verdict.metric}": verdict.champion,
        f"baseline_{verdict.metric}": verdict.baseline,
        "difference": verdict.difference,
        "p_value": verdict.p_value,
    }
    tags = {"keepfit.verdict": verdict.conclusion.value, "keepfit.verdict_reason": verdict.reason, "keepfit.gate": verdict.gate}
    if verdict.challenger is not None and challenger is not None:
        tags[Tag.VALUE.value] = repr(verdict.challenger)
        spread = interval(challenger.statistics, config.monitor.level, config.promote.resamples, config.train.seed)
        tags |= _spread_tags(spread)
        further = reported(config.tracking.further_metrics, rows[TRUTH].to_numpy(), challenger.predictions, config.train.positive)
        metrics |= {f"holdout_{name}": number for name, number in further.items()}
    ports.registry.annotate(candidate.version, {name: number for name, number in metrics.items() if number is not None}, tags)


def _spread_tags(spread: Interval | None) -> dict[str, str]:
    return {} if spread is None else {Tag.VALUE_LOW.value: repr(spread.low), Tag.VALUE_HIGH.value: repr(spread.high)}
