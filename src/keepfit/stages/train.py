"""Train the challenger on training rows only, log it and register it: a whole version, to which no alias points yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from keepfit.config import Config
from keepfit.data_versions import keep_data
from keepfit.describing import inputs_of
from keepfit.drifting import reference_of
from keepfit.inputs import text
from keepfit.ports import Model, Ports, Registration, Trained
from keepfit.prepared import FILE, features_of, fingerprint, labelled, load_rows, no_rows, training_set
from keepfit.records import Batch, Candidate, Cycle, Place
from keepfit.versions import Tag, reference_bytes

if TYPE_CHECKING:
    import pandas as pd

REFERENCE_ROWS = 20_000  # rows of the reference that are kept with the version


def train(cycle: Cycle, ports: Ports, config: Config) -> Cycle:
    """Fill in `data` and `candidate`. Killed and started again, it finds what this cycle kept and registered before."""
    _ = ports.versions  # what it needs and is not installed is said before an hour's training
    batches, trained_on = training_set(cycle, ports, config)
    rows = labelled(load_rows(batches, ports.code, ports, config, holdout=False))
    if rows.empty:
        raise no_rows("labelled training rows")
    features = features_of(rows)
    trained = ports.trainer.train(rows, features)
    # A runner that slept past its lease stops here, before it registers anything.
    ports.ledger.leases.renew(ports.lease, config.ledger.lease.total_seconds())
    used = [batch for batch in batches if batch.id in set(trained.files)]
    reference = _reference(rows)
    data = keep_data(cycle, batches, reference_bytes(reference), ports, config)
    version = ports.registry.register(
        Registration(
            cycle=cycle.id,
            trained=trained,
            features=rows[features].head(5),
            reference=reference,
            parameters=_parameters(trained, used, config),
            metrics=_metrics(trained, ports.metric.name),
            tags={**_tags(trained_on, cycle, used, ports, config), **data.tags},
            files={**{f"code/{name}": text for name, text in ports.code.sources().items()}, **data.files},
            profile=(lambda model: _profile(model, rows, used, ports, config)) if config.monitor.drift.enabled else None,
            inputs=lambda model: _inputs(model, rows, used, ports, config),
        )
    )
    candidate = Candidate(
        name=trained.name,
        parameters=dict(trained.parameters),
        version=version.version,
        run_id=version.run_id,
        uri=version.uri,
        content_hash=version.content_hash or "",
        rows=trained.rows,
        batches=tuple(batch.id for batch in used),
        trained_on=trained_on,
        seed=config.train.seed,
        window=trained.window,
        scores=trained.scores,
    )
    notes = tuple(note for note in data.notes if note not in cycle.notes)
    return replace(cycle, candidate=candidate, data=data.version, notes=(*cycle.notes, *notes))


def _reference(rows: pd.DataFrame) -> pl.DataFrame:
    """The rows that stand for what the model was trained on: all, or an evenly spaced part of them."""
    step = max(1, -(-len(rows) // REFERENCE_ROWS))
    return pl.from_pandas(rows.iloc[::step].drop(columns=[FILE]))


def _profile(model: Model, rows: pd.DataFrame, used: Sequence[Batch], ports: Ports, config: Config) -> str:
    """What new rows will be held against: the rows it was trained on, and its answers on those it has not seen."""
    mine = rows[rows[FILE].isin({batch.id for batch in used})]
    held_out = load_rows(used, ports.code, ports, config, holdout=True)
    return reference_of(mine if len(mine) else rows, held_out, model, ports, config).text()


def _inputs(model: Model, rows: pd.DataFrame, used: Sequence[Batch], ports: Ports, config: Config) -> str:
    """What to ask the version with, and how sure its answers are by the rows that it has not seen."""
    held_out = load_rows(used, ports.code, ports, config, holdout=True)
    return text(inputs_of(model, rows, held_out, used, ports, config))


def _parameters(trained: Trained, batches: Sequence[Batch], config: Config) -> Mapping[str, str]:
    return {
        "candidate": trained.name,
        "seed": str(config.train.seed),
        "window": trained.window,
        "training_rows": str(trained.rows),
        "batches": str(len(batches)),
        **{f"model.{name}": value for name, value in trained.parameters.items()},
    }


def _metrics(trained: Trained, metric: str) -> Mapping[str, float]:
    chosen = (trained.name, trained.parameters, trained.window)
    best = next((score.score for score in trained.scores if (score.name, score.parameters, score.window) == chosen), None)
    return {} if best is None else {f"validation_{metric}": best}


def _tags(trained_on: str, cycle: Cycle, batches: Sequence[Batch], ports: Ports, config: Config) -> Mapping[str, str]:
    """Everything needed to trace the version: its data, code, settings, libraries and seed."""
    provenance = cycle.provenance
    tags = {
        Tag.CODE.value: ports.code.fingerprint,
        Tag.PREPARED.value: fingerprint(ports.code, config),
        Tag.METRIC.value: ports.metric.name,
        Tag.TRAINED_AT.value: cycle.started_at.isoformat(),
        "keepfit.trained_on": trained_on,
        "keepfit.data": _digest_list(batches),
        "keepfit.seed": str(config.train.seed),
        "keepfit.new_batches": str(sum(batch.place is Place.INBOX for batch in batches)),
    }
    if provenance is not None:
        tags["keepfit.version"] = provenance.keepfit
        tags["keepfit.python"] = provenance.python
        tags["keepfit.config"] = provenance.config
        tags["keepfit.libraries"] = ", ".join(f"{name} {version}" for name, version in provenance.libraries.items())
        if provenance.commit:
            tags["keepfit.commit"] = provenance.commit
    return tags


def _digest_list(batches: Sequence[Batch]) -> str:
    """The batches' hashes, shortened so that hundreds fit into a tag; the cycle's record has them whole."""
    text = " ".join(batch.id[:16] for batch in batches)
    return text if len(text) <= 4000 else text[:3990].rpartition(" ")[0] + f" and {len(batches)} in all"
