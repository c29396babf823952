"""Brings back the data that a model was trained on: raw files, prepared rows and reference, byte for byte."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from keepfit.config import Config
from keepfit.data_records import FOLDERS, DataFile, Manifest
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


def checkout(version: str, cycle: Cycle | None, out: Path | None, ports: Ports, config: Config) -> CheckedOut:
    """Write the data of a model version below `out`, data-versions/CYCLE where none is named; files that are there with the right
    bytes stay. `cycle` is the one that made it, where it is known.

    Raises `DataError` before anything is written where a file of the same name holds something else; `NotFound`, `Unavailable`.
    """
    manifest = manifest_of(version, None if cycle is None else cycle.data, ports)
    if cycle is not None and manifest.cycle != cycle.id:
        raise DataError(f"Version {version} says that it is of cycle {manifest.cycle}, and the ledger says {cycle.id}.")
    target = out if out is not None else config.root / PLACE / manifest.cycle
    _confirm_folders(target)
    wanted = [file for file in manifest.files if not _is_there(file, target)]
    with scratch(config) as place:
        problems = dict(ports.versions.bring(_only(manifest, wanted), place, version)) if wanted else {}
        for file in wanted:
            if file.path not in problems:
                _move(place / file.path, target / file.path)
    if out is None and target.is_dir() and config.data.versioning == "manifest":
        _hide(target)
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


def _confirm_folders(target: Path) -> None:
    """Raises `DataError` where a folder is wanted and something else is there."""
    for place in (*reversed(target.absolute().parents), target, *(target / folder for folder in FOLDERS)):
        if os.path.lexists(place) and not place.is_dir():
            raise DataError(f"{place} is there and is no folder. Nothing was written: name another folder with --out.")


def _hide(folder: Path) -> None:
    """Keep git from what was brought: the project's .gitignore does not name the folder. What DVC left there stays as it is."""
    ignoring = folder / ".gitignore"
    if ignoring.exists() or any(folder.glob("*.dvc")):
        return
    try:
        ignoring.write_text("*\n", encoding="utf-8")
    except OSError as error:
        raise Unavailable(f"{ignoring} cannot be written: {error.strerror}. What was brought is whole; run again.") from error


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
        raise Unavailable(
            f"{target} cannot be written: {error.strerror or error}. What is there is whole: mend that and run again, or name "
            "another folder with --out."
        ) from error
