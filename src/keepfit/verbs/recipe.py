"""What was kept with a model version of how it was made, held against the ledger before anything of it is used.

Whoever can write where the artifacts lie can put other settings there, or other code, and both are run. So they are taken only
as the ledger knows them, which has their hashes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keepfit.data_versions import fetch_manifest
from keepfit.errors import DataError, ModelRefused, NotFound
from keepfit.provenance import file_hash
from keepfit.records import Cycle
from keepfit.verbs.differences import Difference
from keepfit.versions import CODE_PATH, MANIFEST_PATH, SETTINGS_PATH, code_fingerprint, kept_sources

UNKNOWN = "not in the ledger"
KINDS = {SETTINGS_PATH: "settings", MANIFEST_PATH: "data"}  # of differences


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a model was made."""

    settings: Mapping[str, Mapping[str, Any]]  # the tree that held then, section by section
    columns: Mapping[str, Any]  # the contract
    sources: Mapping[str, str]  # the project's modules, by their names


def fetch(version: str, place: Path, ports: Any) -> None:
    """Copy manifest, settings and code below `place`, as they are. Raises `NotFound`, `Unavailable`."""
    fetch_manifest(version, place, ports)
    if not ports.references.fetch(version, SETTINGS_PATH, place):
        raise NotFound(f"The settings of version {version} were not kept with it, so it cannot be made again.")
    ports.references.fetch(version, CODE_PATH, place)  # a project without code has none


def unproven(cycle: Cycle, place: Path) -> Iterator[Difference]:
    """What lies below `place` and is not what the ledger says was kept; nothing where all of it is."""
    registered = cycle.data.artifacts if cycle.data is not None else {}
    for path, kind in KINDS.items():
        then, now = registered.get(path, UNKNOWN), file_hash(place / path)
        if then != now:
            yield Difference(kind=kind, what=f"{path}, kept with the version", then=then, now=now, used=True)
    then = cycle.provenance.code if cycle.provenance is not None else UNKNOWN
    try:
        now = code_fingerprint(kept_sources(place / CODE_PATH))
    except ModelRefused as error:
        yield Difference(kind="code", what="files kept with the version", now=str(error), used=True)
        return
    if then != now:
        yield Difference(kind="code", what="files kept with the version", then=then, now=now, used=True)


def read(place: Path) -> Recipe:
    """What lies below `place`. Raises `DataError` where the settings are no settings."""
    try:
        kept = json.loads((place / SETTINGS_PATH).read_text(encoding="utf-8"))
        settings = {section: values for section, values in kept["settings"].items() if isinstance(values, Mapping)}
        recipe = Recipe(settings=settings, columns=dict(kept["columns"]), sources=kept_sources(place / CODE_PATH))
        if "data" not in settings:
            raise KeyError("data")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{SETTINGS_PATH} of the version is damaged: {type(error).__name__}: {error}") from None
    return recipe
