"""Makes a model again from what was kept of it, in a folder of its own, and holds it against the registered one."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keepfit.config import Config
from keepfit.data_records import PROCESSED, RAW, Manifest
from keepfit.data_versions import read_manifest, scratch
from keepfit.errors import DataError, KeepfitError, LeaseHeld, NotFound, Unavailable
from keepfit.prepared import features_of, labelled, load_rows, prepare_batch, prepared_name, split_name
from keepfit.records import Batch, Candidate, Cycle, Place
from keepfit.rows import aside_name, contract_of
from keepfit.verbs import recipe
from keepfit.verbs.differences import Difference, circumstances, since_then
from keepfit.verbs.recipe import Recipe
from keepfit.versions import write_sources

DATA = "data"  # in the scratch folder, where the cycle's files are brought
DECIDE = ("project", "data", "train", "retrain", "promote", "validate", "monitor")  # sections that bear on how a model is made
PLACES = {
    "inbox": "inbox",
    "archive": f"{DATA}/{RAW}",
    "quarantine": "quarantine",
    "prepared": "prepared",
    "versioning": "manifest",
}


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """What came of making a model again."""

    cycle: str
    version: str
    identical: bool
    registered: str  # content hash of the registered model
    found: str | None  # of the one that was made now; None: none could be made
    differences: tuple[Difference, ...] = ()  # those that had a part in it first


def reproduce(cycle: Cycle, open_ports: Callable[[Config], Any], ports: Any, config: Config) -> Reproduction:
    """Train again on the cycle's data, with its settings, code and seed, and compare content hashes. The project stays as it is.

    `open_ports` opens a project for settings of its own. Raises `NotFound` for a cycle that trained nothing or kept too little,
    `Unavailable`.
    """
    candidate, found = _candidate(cycle), None
    with scratch(config) as place, _modules_as_before():
        recipe.fetch(candidate.version, place, ports)
        differences = [*recipe.unproven(cycle, place), *_registry(candidate, ports)]
        if any(difference.used for difference in differences):  # of unknown origin: nothing of it is run, or written anywhere
            differences += circumstances(cycle, config)
        else:
            found, others = _tried(cycle, candidate, place, open_ports, ports, config)
            differences += others
    return Reproduction(
        cycle=cycle.id,
        version=candidate.version,
        identical=found == candidate.content_hash,
        registered=candidate.content_hash,
        found=found,
        differences=tuple(sorted(differences, key=lambda difference: not difference.used)),
    )


def _candidate(cycle: Cycle) -> Candidate:
    if cycle.candidate is None:
        raise NotFound(f"Cycle {cycle.id} trained nothing; `keepfit history` shows which ones have a challenger.")
    if not cycle.candidate.rows:
        raise NotFound(f"Version {cycle.candidate.version} was registered from a file; how it was trained is not known here.")
    return cycle.candidate


def _registry(candidate: Candidate, ports: Any) -> Iterator[Difference]:
    """Whether the registry still says what the ledger does."""
    now = ports.shelf.version(candidate.version).content_hash
    if now != candidate.content_hash:
        yield Difference(kind="model", what="content hash in the registry", then=candidate.content_hash, now=now, used=False)


# --------------------------------------------------------------------------------------------------------- making it again


def _tried(
    cycle: Cycle, candidate: Candidate, place: Path, open_ports: Callable[[Config], Any], ports: Any, config: Config
) -> tuple[str | None, Sequence[Difference]]:
    """The content hash of the model as it is made now, None where none can be made; all that differs."""
    kept, manifest = recipe.read(place), read_manifest(candidate.version, place)
    problems = {**manifest.missing, **ports.versions.bring(manifest, place / DATA, candidate.version)}
    differences = [Difference(kind="data", what=path, now=why, used=True) for path, why in problems.items()]
    found = None
    try:
        found, others = _made_again(kept, manifest, problems, place, open_ports, config)
        differences += others
    except (Unavailable, LeaseHeld):
        raise
    except KeepfitError as error:
        differences.append(Difference(kind="model", what="it cannot be made again", now=str(error), used=True))
    return found, [*differences, *since_then(cycle, kept.sources, kept.settings, ports, config)]


def _made_again(
    kept: Recipe,
    manifest: Manifest,
    problems: Mapping[str, str],
    place: Path,
    open_ports: Callable[[Config], Any],
    config: Config,
) -> tuple[str, Sequence[Difference]]:
    """The content hash of the model as it is made now; what was found to differ on the way."""
    again = _settings(kept.settings, place, config)
    write_sources(kept.sources, place)
    ports = open_ports(again)
    if not again.data.columns:
        _save(ports, "columns", None, kept.columns)
    batches, differences = _prepared(manifest, problems, place / DATA, ports, again)
    rows = labelled(load_rows(batches, ports.code, ports, again, holdout=False))
    trained = ports.trainer.train(rows, features_of(rows))
    for number, format in enumerate(ports.model_formats):
        folder = place / f"model-{number}"
        folder.mkdir()
        if (stored := format.store(trained.model, folder)) is not None:
            return str(stored.content_hash), differences
    raise DataError("The model is of a kind that cannot be stored here any more.")


def _settings(tree: Mapping[str, Any], place: Path, config: Config) -> Config:
    """The settings of then, of a project in the scratch folder; the work is done by this machine."""
    chosen = {section: dict(tree[section]) for section in DECIDE if section in tree}
    chosen["data"] |= PLACES
    chosen["data"].pop("dvc", None)
    chosen["tracking"] = {"trusted_types": tree.get("tracking", {}).get("trusted_types", ())}
    chosen["engine"] = {"workers": config.engine.workers}
    return Config.of(chosen, place)


def _prepared(
    manifest: Manifest, problems: Mapping[str, str], data: Path, ports: Any, config: Config
) -> tuple[Sequence[Batch], Sequence[Difference]]:
    """The batches in the order in which they were trained on, their rows prepared anew from the raw files; where one is gone, the
    rows as they were prepared then. Raises `DataError` where both are gone."""
    columns = contract_of(ports, config) or {}
    batches: list[Batch] = []
    differences: list[Difference] = []
    for file in manifest.of(PROCESSED):
        if not file.name.startswith("rows-"):
            continue
        batch = _batch(file.name.split("-")[1], manifest)
        split = _path(split_name(batch))
        rows_there, split_there = file.path not in problems, split not in problems
        if f"{RAW}/{batch.name}" not in problems and batch.name and split_there:
            _save_frame(ports, split_name(batch), data / split)
            if (data / _path(aside_name(batch))).is_file():
                _save_frame(ports, aside_name(batch), data / _path(aside_name(batch)))
            held_out = ports.store.load([split_name(batch)])["holdout"]
            prepare_batch(batch, held_out, columns, ports.code, ports, config)
            if rows_there:
                differences += _other_rows(batch, data / file.path, ports, config)
        elif rows_there:
            _save_frame(ports, prepared_name(batch, ports.code, config), data / file.path)
        else:
            raise DataError(f"Neither {batch.name or batch.id} nor its prepared rows are to be had.")
        batches.append(batch)
    return batches, differences


def _batch(id: str, manifest: Manifest) -> Batch:
    """The batch as it lies in the scratch folder; without a name where its file was gone when the cycle trained."""
    found = next((file for file in manifest.of(RAW) if file.sha256 == id), None)
    name = found.path.removeprefix(f"{RAW}/") if found else ""
    return Batch(id=id, name=name, size=found.size if found else 0, place=Place.ARCHIVE)


def _path(name: str) -> str:
    return f"{PROCESSED}/{name}.parquet"


def _other_rows(batch: Batch, then: Path, ports: Any, config: Config) -> Iterator[Difference]:
    """Whether the rows that are prepared now are those that were."""
    import polars as pl

    before, now = pl.read_parquet(then), ports.store.load([prepared_name(batch, ports.code, config)])
    if before.equals(now):
        return
    named = [name for name in before.columns if name not in now.columns or not before[name].equals(now[name], null_equal=True)]
    named += [name for name in now.columns if name not in before.columns]
    told = ", ".join(named) or "in another order"
    yield Difference(kind="data", what=f"the rows that are prepared from {batch.name}", now=f"they are others: {told}", used=True)


def _save_frame(ports: Any, name: str, file: Path) -> None:
    import polars as pl

    _save(ports, name, pl.read_parquet(file), {})


def _save(ports: Any, name: str, frame: Any, facts: Mapping[str, Any]) -> None:
    import polars as pl

    ports.store.save(name, pl.DataFrame() if frame is None else frame, facts)


@contextlib.contextmanager
def _modules_as_before() -> Iterator[None]:
    """The project's modules of then go by the names of today's, which must be found again afterwards."""
    before = dict(sys.modules)
    try:
        yield
    finally:
        for name in [name for name, module in sys.modules.items() if name in before and before[name] is not module]:
            sys.modules[name] = before[name]
        sys.modules.update({name: module for name, module in before.items() if name not in sys.modules})
