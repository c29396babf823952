"""`keepfit data model`: one version with all that a server needs, in a folder of its own, for an image that carries its model."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from keepfit.codec import dumps, loads
from keepfit.config import Config
from keepfit.errors import ConfigError, ModelRefused, NotFound, Unavailable
from keepfit.inputs import read
from keepfit.live_ports import Packed, Shelved
from keepfit.ports import Ports
from keepfit.versions import INPUTS_PATH, PROFILE_PATH, hash_of_served

EXAMPLE = "example.json"  # beside the record: a request that the model can answer


@dataclass(frozen=True, kw_only=True)
class ExportedModel:
    """What lies in a folder now."""

    path: str
    model: str  # registered name
    version: str
    content_hash: str | None  # None: it was made by something else than keepfit
    new: bool  # False: it lay there already


def export_model(version: str | None, out: Path, ports: Ports, config: Config) -> ExportedModel:
    """Write a version, the champion where none is named, into the folder `out`: all of it or nothing.

    The model is loaded once, as a server would, so that what cannot be loaded is not written. The same version lying there is left
    alone, another that was written so is replaced. What keepfit did not write is never removed.

    Raises `NotFound`, `ModelRefused`, `Unavailable`, and `ConfigError` for a folder that holds something else, if only beside it.
    """
    shelved = _wanted(version, ports, config)
    there = _there(out)
    if there is not None and there.shelved == shelved:
        return _said(shelved, out, new=False)
    if there is not None and (strangers := _files(out) - {*there.files, Packed.FILE}):
        raise ConfigError(
            f"{out / min(strangers)} was not written by keepfit, so nothing was written: move it away, or name another folder."
        )
    making = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir()
        _write(shelved, making, ports)
        if there is not None:
            shutil.rmtree(out)
        with suppress(FileNotFoundError):
            out.rmdir()  # an empty one
        making.rename(out)
    except OSError as error:
        raise Unavailable(f"{out} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return _said(shelved, out, new=True)


def _wanted(version: str | None, ports: Ports, config: Config) -> Shelved:
    if version is not None:
        if not (version.isascii() and version.isdecimal()):
            raise ConfigError(f"{version!r} is no version: expected a number, such as 3")
        return ports.shelf.version(version)
    shelved = ports.shelf.pointed(config.promote.alias)
    if shelved is None:
        raise NotFound("There is no champion yet: name a version, or let `keepfit run` make one.")
    return shelved


def _there(out: Path) -> Packed | None:
    """What was written there before; None for an empty place. Raises `ConfigError` for anything else."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    try:
        return loads(Packed, (out / Packed.FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise ConfigError(f"{out} is there and holds something else, so nothing was written: name another folder.") from None


def _write(shelved: Shelved, folder: Path, ports: Ports) -> None:
    known, _ = ports.registry.load(shelved.version)
    ports.shelf.fetch(shelved, folder)
    if shelved.served is not None and hash_of_served(folder) != shelved.served:
        raise ModelRefused(
            f"What a server would run of version {shelved.version} is not what was registered, so it was not written."
        )
    if (profile := ports.references.profile(shelved.version)) is not None:
        (folder / PROFILE_PATH).parent.mkdir(parents=True, exist_ok=True)
        (folder / PROFILE_PATH).write_text(profile, encoding="utf-8")
    if (folder / INPUTS_PATH).exists():
        example = read((folder / INPUTS_PATH).read_text(encoding="utf-8")).example
        (folder / EXAMPLE).write_text(json.dumps(example, ensure_ascii=False), encoding="utf-8")
    packed = Packed(shelved=shelved, known=known, files=tuple(sorted(_files(folder))))
    (folder / Packed.FILE).write_text(dumps(packed) + "\n", encoding="utf-8")


def _files(folder: Path) -> set[str]:
    """Everything below, but for what Python leaves beside code that it has run."""
    found = (path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())
    return {path.relative_to(folder).as_posix() for path in found if path.parent.name != "__pycache__"}


def _said(shelved: Shelved, out: Path, *, new: bool) -> ExportedModel:
    return ExportedModel(path=str(out), model=shelved.model, version=shelved.version, content_hash=shelved.content_hash, new=new)
