"""A model made elsewhere becomes a version: judged on the archive, stored without pickle, and champion when there is none."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keepfit.config import Config
from keepfit.cycle import begin
from keepfit.describing import inputs_of
from keepfit.drifting import reference_of
from keepfit.errors import DataError, ModelRefused
from keepfit.fitted import FittedModel
from keepfit.inputs import text
from keepfit.ports import Ports, Registration, Trained
from keepfit.prepared import TRUTH, features_of, fingerprint, for_metric, groups_of, labelled, load_rows, training_set, usable
from keepfit.promotion import move_alias
from keepfit.records import Batch, BatchState, Candidate, Conclusion, Cycle, Interval, Outcome, Promotion, Verdict
from keepfit.stages.collect import adopt_archive
from keepfit.stages.prepare import prepare
from keepfit.stages.validate import check_batches
from keepfit.stats.resample import interval
from keepfit.stats.units import independent, value
from keepfit.versions import Tag

if TYPE_CHECKING:
    import pandas as pd


def read_pickle(path: Path, trusted: bool) -> Any:
    """The object in a pickle or joblib file, which runs code on being read. Raises `ModelRefused` unless it is trusted."""
    if not trusted:
        raise ModelRefused(
            f"{path.name} is a pickle, and reading a pickle runs whatever code it holds. If you made it yourself, or trust who "
            "did, say so with --trust-pickle. It is read once and stored as skops, without code."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # another scikit-learn's warnings; what does not work is refused below
            if path.suffix == ".joblib":
                import joblib

                return joblib.load(path)
            return pickle.loads(path.read_bytes())  # noqa: S301 - the user said that it is trusted
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:
        raise DataError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error


def register(model: Any, name: str, digest: str, ports: Ports, config: Config) -> Cycle:
    """Register a loaded model; point the alias to it where there is no champion yet.

    `digest` is the sha256 of its file. Its baseline is the metric on all labelled rows of the archive. Raises `DataError` when
    there are none, or when the model cannot predict them.
    """
    if not hasattr(model, "predict"):
        raise DataError(f"{name} holds a {type(model).__name__}: expected a fitted model with predict")
    cycle = begin(ports, config, forced=True)
    cycle = prepare(replace(cycle, batches=tuple(_sound(adopt_archive(cycle, ports, config), ports, config))), ports, config)
    cycle = replace(cycle, batches=tuple(replace(batch, state=BatchState.ARCHIVED) for batch in cycle.batches))
    batches = usable(cycle, ports, config)
    rows = labelled(load_rows(batches, ports.code, ports, config, holdout=None)) if batches else None
    if rows is None or rows.empty:
        raise DataError(
            f"There are no labelled rows in {config.data.archive} to judge the model on. Put the data it was made from there."
        )
    verdict, spread = _judged(model, name, rows, ports, config)
    # Registered under the name of its file, so that a registration that is killed and repeated finds its version.
    named = replace(cycle, id=f"file-{digest[:16]}")
    version = ports.registry.register(_registration(model, name, rows, verdict, spread, named, ports, config))
    candidate = Candidate(
        name=name,
        parameters={},
        version=version.version,
        run_id=version.run_id,
        uri=version.uri,
        content_hash=version.content_hash or "",
        rows=0,
        batches=(),
        trained_on=training_set(cycle, ports, config)[1],
        seed=config.train.seed,
    )
    return _concluded(replace(cycle, candidate=candidate, verdict=verdict), version.version, verdict.reason, ports, config)


def _sound(batches: Sequence[Batch], ports: Ports, config: Config) -> Iterator[Batch]:
    """The batches that keep the contract. The others stay where they are; the next run says what is wrong with them."""
    for batch, result in zip(batches, check_batches(batches, ports, config), strict=True):
        if result.passed:
            yield replace(batch, rows=result.rows)


def _judged(model: Any, name: str, rows: pd.DataFrame, ports: Ports, config: Config) -> tuple[Verdict, Interval | None]:
    try:
        predictions = FittedModel(model).predict(rows[features_of(rows)])
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise DataError(f"{name} cannot predict the project's rows ({', '.join(features_of(rows))}): {error}") from error
    statistics = ports.metric.statistics(rows[TRUTH].to_numpy(), predictions, groups_of(rows, config), for_metric(rows))
    score = value(statistics)
    spread = interval(statistics, config.monitor.level, config.promote.resamples, config.train.seed)
    shown = "undefined" if score is None else f"{score:.4g}"
    verdict = Verdict(
        gate="registered",
        passed=True,
        conclusion=Conclusion.PASSED,
        reason=f"registered from {name}: {ports.metric.name} {shown} on {len(rows)} labelled rows of the archive, "
        "some of which it may have been trained on",
        metric=ports.metric.name,
        greater_is_better=ports.metric.greater_is_better,
        champion=None,
        challenger=score,
        difference=None,
        interval=spread,
        test=None,
        p_value=None,
        alpha=None,
        comparison=1,
        n=len(rows),
        units=independent(statistics),
        negative_flips=None,
    )
    return verdict, spread


def _registration(
    model: Any,
    name: str,
    rows: pd.DataFrame,
    verdict: Verdict,
    spread: Interval | None,
    cycle: Cycle,
    ports: Ports,
    config: Config,
) -> Registration:
    import polars as pl

    tags = {
        Tag.OUTSIDE.value: "true",
        Tag.CODE.value: ports.code.fingerprint,
        Tag.PREPARED.value: fingerprint(ports.code, config),
        Tag.METRIC.value: verdict.metric,
        Tag.TRAINED_AT.value: cycle.started_at.isoformat(),
    }
    if verdict.challenger is not None:
        tags[Tag.VALUE.value] = repr(verdict.challenger)
    if spread is not None:
        tags |= {Tag.VALUE_LOW.value: repr(spread.low), Tag.VALUE_HIGH.value: repr(spread.high)}
    features = features_of(rows)
    metrics = {} if verdict.challenger is None else {f"baseline_{verdict.metric}": verdict.challenger}
    return Registration(
        cycle=cycle.id,
        trained=Trained(model=model, name=name, parameters={}, window="", rows=0, scores=()),
        features=rows[features].head(5),
        reference=pl.from_pandas(rows[[*features, TRUTH]].head(20_000)),
        parameters={"registered_from": name},
        metrics=metrics,
        tags=tags,
        files={f"code/{file}": text for file, text in ports.code.sources().items()},
        profile=(lambda model: reference_of(rows, rows, model, ports, config).text()) if config.monitor.drift.enabled else None,
        # It may have been trained on any of these rows, so that none of them can say how sure it may be.
        inputs=lambda model: text(inputs_of(model, rows, rows.head(0), cycle.batches, ports, config)),
    )


def _concluded(cycle: Cycle, version: str, why: str, ports: Ports, config: Config) -> Cycle:
    """Point the alias to the version where there is no champion, and store what happened."""
    champion = ports.registry.champion()
    outcome, reason = Outcome.KEPT_CHAMPION, ""
    if champion is None:
        promotion = Promotion(
            alias=config.promote.alias,
            from_version=None,
            to_version=version,
            reason=why,
            at=ports.clock.now(),
            kind="registration",
        )
        cycle = replace(cycle, promotion=move_alias(cycle.id, promotion, ports, config))
        outcome, reason = Outcome.PROMOTED, f"version {version} is the champion: {why}"
    else:
        reason = f"version {version} is registered and is the champion"
        if champion.version != version:
            reason = f"version {version} is registered; the champion is still version {champion.version}. "
            reason += f"`keepfit promote {version}` would change that."
    cycle = replace(cycle, outcome=outcome, reason=reason, stage="archive", finished_at=ports.clock.now(), fence=ports.lease.fence)
    ports.ledger.cycles.save(cycle, ports.lease)
    return cycle
