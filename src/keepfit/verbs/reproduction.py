"""Makes a model again from what was kept of it, in a folder of its own, and holds it against the registered one."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keepfit.config import Config
from keepfit.data_records import PROCESSED, RAW, Manifest
from keepfit.data_versions import manifest_of, scratch
from keepfit.errors import DataError, KeepfitError, LeaseHeld, NotFound, Unavailable
from keepfit.prepared import features_of, labelled, load_rows, prepare_batch, prepared_name, split_name
from keepfit.records import Batch, Candidate, Cycle, Place
from keepfit.rows import aside_name, contract_of
from keepfit.verbs.differences import Difference, since_then
from keepfit.versions import CODE_PATH, SETTINGS_PATH

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
    candidate = _candidate(cycle)
    manifest = manifest_of(candidate.version, ports)
    with scratch(config) as place, _modules_as_before():
        _fetch(candidate.version, place, ports)
        problems = {**manifest.missing, **ports.versions.bring(manifest, place / DATA, candidate.version)}
        differences = [Difference(kind="data", what=path, now=why, used=True) for path, why in problems.items()]
        differences += _registry(candidate, ports)
        try:
            found, others = _made_again(cycle, manifest, problems, place, open_ports, config)
            differences += others
        except (Unavailable, LeaseHeld):
            raise
        except KeepfitError as error:
            found = None
            differences.append(Difference(kind="model", what="it cannot be made again", now=str(error), used=True))
        differences += since_then(cycle, place / CODE_PATH, _kept_settings(place)["settings"], ports, config)
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


def _fetch(version: str, place: Path, ports: Any) -> None:
    """The settings and the code that were kept with a version."""
    if not ports.references.fetch(version, SETTINGS_PATH, place):
        raise NotFound(f"The settings of version {version} were not kept with it, so it cannot be made again.")
    ports.references.fetch(version, CODE_PATH, place)  # a project without code has none


def _kept_settings(place: Path) -> dict[str, Any]:
    try:
        kept: dict[str, Any] = json.loads((place / SETTINGS_PATH).read_text(encoding="utf-8"))
        return {"settings": dict(kept["settings"]), "columns": dict(kept["columns"])}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{SETTINGS_PATH} of the version is damaged: {type(error).__name__}: {error}") from None


def _made_again(
    cycle: Cycle,
    manifest: Manifest,
    problems: Mapping[str, str],
    place: Path,
    open_ports: Callable[[Config], Any],
    config: Config,
) -> tuple[str | None, Sequence[Difference]]:
    """The content hash of the model as it is made now; what was found to differ on the way."""
    kept = _kept_settings(place)
    again = _settings(kept["settings"], place, config)
    _write_code(place)
    ports = open_ports(again)
    then = cycle.provenance.code if cycle.provenance else ports.code.fingerprint
    if ports.code.fingerprint != then:
        changed = Difference(kind="code", what="files kept with the version", then=then, now=ports.code.fingerprint, used=True)
        return None, [changed]  # code of unknown origin is not run
    if not again.data.columns:
        _save(ports, "columns", None, kept["columns"])
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


def _write_code(place: Path) -> None:
    """The modules where they are imported from; they were kept side by side, each under its whole name."""
    for file in (place / CODE_PATH).glob("*.py"):
        target = place / (file.stem.replace(".", "/") + ".py")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())


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
