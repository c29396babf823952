"""The data of a cycle that trains, named file by file and kept, so that they can be brought back."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from keepfit.codec import dumps, loads
from keepfit.config import Config
from keepfit.data_records import PROCESSED, RAW, REFERENCE_FILE, DataFile, KeptData, Manifest
from keepfit.errors import DataError, NotFound, Unavailable
from keepfit.ports import Ports
from keepfit.prepared import prepared_name, split_name
from keepfit.provenance import file_hash
from keepfit.records import Batch, Cycle, DataVersion
from keepfit.rows import aside_name, contract_of
from keepfit.versions import MANIFEST_PATH, SETTINGS_PATH

SCRATCH = ".keepfit/tmp"  # in the project's folder; what a killed run leaves there is swept by the next


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What goes with the model version about its data."""

    version: DataVersion
    files: Mapping[str, str]  # artifacts
    tags: Mapping[str, str]
    notes: tuple[str, ...]


def keep_data(cycle: Cycle, batches: Sequence[Batch], reference: bytes, ports: Ports, config: Config) -> Stored:
    """Keep all that this cycle trains on, or find it kept.

    `reference` is the file of the rows that stand for it. Raises `ConfigError`, `MissingExtra`, `Unavailable`.
    """
    manifest = _manifest(cycle, batches, reference, ports, config)
    kept = ports.versions.keep(manifest, {REFERENCE_FILE: reference})
    files = {MANIFEST_PATH: dumps(kept.manifest), SETTINGS_PATH: _settings(ports, config)}
    version = _version(kept, files, config)
    tags = {"keepfit.data_version": version.id, "keepfit.data_kept_by": version.kept_by}
    tags |= {f"keepfit.dvc.{folder}": digest for folder, digest in version.folders.items()}
    if version.commit:
        tags["keepfit.data_commit"] = version.commit
    return Stored(version=version, files=files, tags=tags, notes=kept.notes)


def manifest_of(version: str, data: DataVersion | None, ports: Ports) -> Manifest:
    """The data that a model version was trained on. `data`: what the ledger says of them, where a cycle of its is known.

    Raises `NotFound`; `DataError` where the manifest is damaged or not the one that the ledger knows; `Unavailable`.
    """
    with tempfile.TemporaryDirectory(prefix="keepfit-") as place:
        fetch_manifest(version, Path(place), ports)
        if not_as_registered(MANIFEST_PATH, data, Path(place)):
            raise DataError(f"{MANIFEST_PATH} of version {version} is not what was registered: nothing is taken from it.")
        return read_manifest(version, Path(place))


def fetch_manifest(version: str, place: Path, ports: Ports) -> None:
    """Copy the manifest below `place`. Raises `NotFound`, `Unavailable`."""
    if not ports.references.fetch(version, MANIFEST_PATH, place):
        raise NotFound(
            f"Version {version} does not say which data it was trained on: it was registered from a file, made elsewhere, or "
            "by an older keepfit."
        )


def read_manifest(version: str, place: Path) -> Manifest:
    """The manifest that lies below `place`. Raises `DataError`."""
    try:
        return loads(Manifest, (place / MANIFEST_PATH).read_bytes())
    except ValueError as error:
        raise DataError(f"{MANIFEST_PATH} of version {version} cannot be read: {error}") from None


def not_as_registered(path: str, data: DataVersion | None, place: Path) -> str:
    """The sha256 of an artifact below `place` where the ledger knows another; empty where it is the same, or none is known."""
    wanted = data.artifacts.get(path) if data is not None else None
    found = file_hash(place / path)
    return "" if wanted in (None, found) else found


def _manifest(cycle: Cycle, batches: Sequence[Batch], reference: bytes, ports: Ports, config: Config) -> Manifest:
    frames = _frames(batches, ports, config)
    files = [
        *_raw(batches),
        *_processed(frames, ports, config),
        DataFile(path=REFERENCE_FILE, sha256=hashlib.sha256(reference).hexdigest(), size=len(reference), name="reference"),
    ]
    return Manifest(project=cycle.project, cycle=cycle.id, files=tuple(files))


def _raw(batches: Sequence[Batch]) -> Iterator[DataFile]:
    """Each under its own name; where two batches share one, the second has its content's name in it, as in the archive."""
    taken: set[str] = set()
    for batch in batches:
        name = PurePosixPath(batch.name)
        if batch.name.lower() in taken:
            name = name.with_name(f"{name.stem}.{batch.id[:12]}{name.suffix}")
        taken.add(str(name).lower())
        yield DataFile(path=f"{RAW}/{name}", sha256=batch.id, size=batch.size, name=batch.name)


def _frames(batches: Sequence[Batch], ports: Ports, config: Config) -> Iterator[str]:
    """The names of what the store keeps of these batches: rows, what divides them, and which were set aside."""
    for batch in batches:
        yield prepared_name(batch, ports.code, config)
        yield split_name(batch)
        if ports.store.facts(aside_name(batch)) is not None:
            yield aside_name(batch)


def _processed(names: Iterator[str], ports: Ports, config: Config) -> Iterator[DataFile]:
    with scratch(config) as place:
        for name in names:
            file = place / "frame.parquet"
            ports.frames.fetch(name, file)
            yield DataFile(path=f"{PROCESSED}/{name}.parquet", sha256=file_hash(file), size=file.stat().st_size, name=name)
            file.unlink()


@contextlib.contextmanager
def scratch(config: Config) -> Iterator[Path]:
    """A folder of this process below the project's, gone at the end."""
    above = config.root / SCRATCH
    try:
        above.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"{above} cannot be made: {error.strerror}. keepfit puts things together there.") from error
    with tempfile.TemporaryDirectory(prefix="data-", suffix=f".{os.getpid()}", dir=above) as place:
        yield Path(place)


def _settings(ports: Ports, config: Config) -> str:
    """The effective settings and the column contract, from which the model can be made again."""
    contract = contract_of(ports, config) or {}
    columns = {name: column.model_dump(mode="json", exclude_defaults=True) for name, column in contract.items()}
    return json.dumps({"settings": config.shown(), "columns": columns}, indent=1, ensure_ascii=False)


def _version(kept: KeptData, files: Mapping[str, str], config: Config) -> DataVersion:
    manifest = kept.manifest
    return DataVersion(
        id=manifest.id,
        kept_by=config.data.versioning,
        files=len(manifest.files),
        bytes=sum(file.size for file in manifest.files),
        missing=tuple(manifest.missing),
        folders={folder: digest for folder, text in manifest.pointers.items() if (digest := _md5(text))},
        commit=kept.commit,
        artifacts={path: hashlib.sha256(text.encode()).hexdigest() for path, text in files.items()},
    )


def _md5(pointer: str) -> str | None:
    return next((line.partition("md5: ")[2].strip() for line in pointer.splitlines() if "md5: " in line), None)
