"""From DVC's cache or remote back into a folder, each file verified."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

from keepfit.adapters.dvc_data.command import Dvc, DvcFailed
from keepfit.data_records import DataFile, Manifest


def bring(manifest: Manifest, to: Path, pointers: Path, dvc: Dvc, scratch: Path) -> Mapping[str, str]:
    """Write the files below `to`; returns for each path that was not brought why. `pointers` is the folder of the cycle's
    pointers: those that are gone there are put back from the manifest. `scratch` is an empty folder."""
    problems: dict[str, str] = {}
    wanted = [folder for folder in manifest.pointers if manifest.of(folder)]
    for folder in wanted:
        _put_back(pointers / f"{folder}.dvc", manifest.pointers[folder])
    said: dict[str, str] = {}  # folder -> what DVC says of it
    try:
        dvc.get([(f"{pointers.parent.name}/{pointers.name}/{folder}", scratch / folder) for folder in wanted])
    except DvcFailed as error:
        if error.silent or error.locked:  # it was not asked for each
            said = {wanted[0]: f"DVC says {error}"}
        else:
            said = {folder: f"DVC says {text}" for folder, text in zip(wanted, error.each, strict=False) if text}
    for file in manifest.files:
        why = _copied(file, scratch, to) if file.folder in wanted else "DVC was not given it"
        if why:
            problems[file.path] = said.pop(file.folder, why)  # once: it is the same for a thousand files
    return problems


def _put_back(pointer: Path, text: str) -> None:
    if not pointer.exists():
        pointer.parent.mkdir(parents=True, exist_ok=True)
        pointer.write_text(text, encoding="utf-8")


def _copied(file: DataFile, source: Path, to: Path) -> str:
    """Copy a file, which may be a link into the cache; returns why that could not be, empty where it was."""
    found, target = source / file.path, to / file.path
    if not found.is_file():
        return "DVC has it neither in its cache nor at its remote"
    with found.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    if digest != file.sha256:
        return f"what DVC has is another one: expected the sha256 {file.sha256}, found {digest}"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(found, target)
    return ""
