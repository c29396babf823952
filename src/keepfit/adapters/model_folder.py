"""One model version in a folder, as `keepfit data model` writes it: all that a server needs, for an image that carries its model.

It stands for the registry where [serve] model names it. Nothing can be registered or promoted there.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from keepfit.codec import loads
from keepfit.errors import ConfigError, ModelRefused, NotFound, Unavailable
from keepfit.live_ports import Packed, Shelved
from keepfit.ports import Model, ModelFormat, Registration
from keepfit.records import ModelVersion
from keepfit.versions import CODE_PATH, INPUTS_PATH, PROFILE_PATH

if TYPE_CHECKING:
    import polars as pl

MODEL_PATH = "model"


class ModelFolder:
    """The ports `Shelf` and `Registry` of this one version."""

    def __init__(self, folder: Path, formats: Sequence[ModelFormat] = ()) -> None:
        self._folder, self._formats = folder, formats

    # --------------------------------------------------------------------------------------------------------------- shelf

    def pointed(self, alias: str) -> Shelved | None:  # noqa: ARG002 - it is what answers, whatever points where
        return self._packed.shelved

    def newest(self) -> Shelved | None:
        return self._packed.shelved

    def version(self, number: str) -> Shelved:
        self._check(number)
        return self._packed.shelved

    def fetch(self, shelved: Shelved, folder: Path) -> None:
        self._check(shelved.version)
        try:
            for path in (MODEL_PATH, CODE_PATH):
                if (self._folder / path).is_dir():
                    shutil.copytree(self._folder / path, folder / path)
            if (self._folder / INPUTS_PATH).is_file():
                (folder / INPUTS_PATH).parent.mkdir(parents=True)
                shutil.copyfile(self._folder / INPUTS_PATH, folder / INPUTS_PATH)
        except OSError as error:
            raise Unavailable(f"{self._folder} cannot be copied to {folder}: {error}") from error

    # ------------------------------------------------------------------------------------------------------------ registry

    def champion(self) -> ModelVersion | None:
        return self._packed.known

    def load(self, version: str) -> tuple[ModelVersion, Model]:
        self._check(version)
        for format in self._formats:
            if (model := format.load(self._folder / MODEL_PATH, self._packed.known.content_hash)) is not None:
                return self._packed.known, model
        raise ModelRefused(f"{self._folder / MODEL_PATH} is stored in no format that keepfit loads.")

    def register(self, registration: Registration) -> ModelVersion:  # noqa: ARG002 - part of the port
        self._refuse()

    def annotate(self, version: str, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:  # noqa: ARG002
        self._refuse()

    def point(self, alias: str, expected: str | None, to: str) -> None:  # noqa: ARG002 - part of the port
        self._refuse()

    # -------------------------------------------------------------------------------------------------------------- inside

    @cached_property
    def _packed(self) -> Packed:
        return _read(self._folder)

    def _check(self, version: str) -> None:
        _check(version, self._packed, self._folder)

    def _refuse(self) -> NoReturn:
        raise ConfigError(f"{self._folder} holds one version, set by [serve] model: nothing can be registered or promoted there.")


class FolderReferences:
    """The port `References` of this one version: its profile. Rows of the training data go into no image."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def profile(self, version: str) -> str | None:
        _check(version, _read(self._folder), self._folder)
        path = self._folder / PROFILE_PATH
        return path.read_text(encoding="utf-8") if path.is_file() else None

    def rows(self, version: str) -> pl.DataFrame | None:
        _check(version, _read(self._folder), self._folder)
        return None

    def fetch(self, version: str, path: str, folder: Path) -> bool:  # noqa: ARG002 - part of the port
        _check(version, _read(self._folder), self._folder)
        return False


def _read(folder: Path) -> Packed:
    path = folder / Packed.FILE
    try:
        return loads(Packed, path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror}. `keepfit data model --out DIR` writes such a folder.") from error
    except ValueError as error:
        raise ModelRefused(f"{path} is no record of a model version: {str(error)[:200]}") from error


def _check(version: str, packed: Packed, folder: Path) -> None:
    if version != packed.known.version:
        raise NotFound(f"There is no version {version} in {folder}: it holds version {packed.known.version} alone.")
