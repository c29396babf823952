"""Brings back the data that a model was trained on: raw files, prepared rows and reference, byte for byte."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from keepfit.config import Config
from keepfit.data_records import DataFile, Manifest
from keepfit.data_versions import manifest_of, scratch
from keepfit.errors import DataError, NotFound, Unavailable
from keepfit.ports import Ports
from keepfit.provenance import file_hash
from keepfit.records import Cycle

PLACE = "data-versions"


@dataclass(frozen=True, kw_only=True)
class CheckedOut:
    """What was brought back."""

    cycle: str
    folder: str
    files: int  # with the right bytes now
    bytes: int
    missing: Mapping[str, str]  # path -> why it could not be brought


def checkout(version: str, cycle: str | None, out: Path | None, ports: Ports, config: Config) -> CheckedOut:
    """Write the data of a model version below `out`, data-versions/CYCLE where none is named; files that are there with the right
    bytes stay.

    Raises `DataError` before anything is written where a file of the same name holds something else; `NotFound`, `Unavailable`.
    """
    manifest = manifest_of(version, ports)
    if cycle is not None and manifest.cycle != cycle:
        raise DataError(f"Version {version} says that it is of cycle {manifest.cycle}, and the ledger says {cycle}.")
    target = out if out is not None else config.root / PLACE / manifest.cycle
    wanted = [file for file in manifest.files if not _is_there(file, target)]
    with scratch(config) as place:
        problems = dict(ports.versions.bring(_only(manifest, wanted), place, version)) if wanted else {}
        for file in wanted:
            if file.path not in problems:
                _move(place / file.path, target / file.path)
    found = [file for file in manifest.files if file.path not in problems]
    missing = {**manifest.missing, **problems}
    return CheckedOut(
        cycle=manifest.cycle, folder=str(target), files=len(found), bytes=sum(file.size for file in found), missing=missing
    )


def trained_version(cycle: Cycle) -> str:
    """The version that a cycle trained. Raises `NotFound` when it trained none."""
    if cycle.candidate is None:
        raise NotFound(f"Cycle {cycle.id} trained nothing; `keepfit history` shows which ones have a challenger.")
    return cycle.candidate.version


def _only(manifest: Manifest, files: list[DataFile]) -> Manifest:
    return Manifest(project=manifest.project, cycle=manifest.cycle, files=tuple(files), pointers=manifest.pointers)


def _is_there(file: DataFile, folder: Path) -> bool:
    """Raises `DataError` when something else goes by that name."""
    target = folder / file.path
    if not os.path.lexists(target):
        return False
    try:
        same = target.is_file() and file_hash(target) == file.sha256
    except OSError as error:
        raise DataError(f"{target} cannot be read: {error.strerror}") from error
    if not same:
        raise DataError(f"{target} is there and holds something else. Nothing was written: name another folder with --out.")
    return True


def _move(source: Path, target: Path) -> None:
    """Whole or not at all, also where the two are on different disks."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.move(source, temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise Unavailable(f"{target} cannot be written: {error.strerror or error}. What is there is whole; run again.") from error
