"""Models by name, version and alias, what is kept with them, and what may go."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from keepfit.ports.models import Model, Trained
from keepfit.records import ModelVersion

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    import polars as pl


@dataclass(frozen=True, kw_only=True)
class Registration:
    """All that is stored with a model version."""

    cycle: str
    trained: Trained
    features: pd.DataFrame  # a few prepared rows: signature and example
    reference: pl.DataFrame  # the rows that stand for what the model was trained on
    parameters: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]  # data hashes, code version, seed, ...; `keepfit.versions.Tag` names those that are read back
    files: Mapping[str, str]  # artifact path -> text, such as the project's features.py
    profile: Callable[[Model], str] | None = (
        None  # the text at `keepfit.versions.PROFILE_PATH`, from the model as it will be loaded
    )
    inputs: Callable[[Model], str] | None = None  # likewise the text at `keepfit.versions.INPUTS_PATH`


class Registry(Protocol):
    """Models by name, version and alias."""

    def champion(self) -> ModelVersion | None:
        """The version that the alias points to. Raises `Unavailable`."""
        ...

    def register(self, registration: Registration) -> ModelVersion:
        """Log and register, or find what this cycle registered before. The version is whole when it returns."""
        ...

    def load(self, version: str) -> tuple[ModelVersion, Model]:
        """Load without running unknown code. Raises `ModelRefused`, `NotFound`, `Unavailable`."""
        ...

    def annotate(self, version: str, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Add to what is known of a version: the verdict, its metrics."""
        ...

    def point(self, alias: str, expected: str | None, to: str) -> None:
        """Move the alias from `expected` to `to`, or find it there. Raises `AliasMoved` when it points elsewhere."""
        ...


class References(Protocol):
    """What was stored with a model version to hold new rows against."""

    def profile(self, version: str) -> str | None:
        """The text at `keepfit.versions.PROFILE_PATH`; None when the version has none. Raises `NotFound`, `Unavailable`."""
        ...

    def rows(self, version: str) -> pl.DataFrame | None:
        """The reference rows; None when the version has none. Raises `NotFound`, `Unavailable`."""
        ...

    def fetch(self, version: str, path: str, folder: Path) -> bool:
        """Copy a file or folder that was stored with the version to the same path below `folder`; returns False when it has none
        of that path. Raises `NotFound`, `Unavailable`."""
        ...


class Tracker(Protocol):
    """Keeps runs for people to look at."""

    def record(self, run: str, cycle: str, parameters: Mapping[str, str], metrics: Mapping[str, float]) -> str:
        """Log one run of this name for this cycle, or find it; returns its id."""
        ...


@dataclass(frozen=True, kw_only=True)
class OldVersion:
    """A version of the project's model, as housekeeping sees it."""

    name: str  # registered model
    version: str
    run: str  # that made it, empty where none is known
    cycle: str | None  # that made it; None: made elsewhere
    at: datetime  # when it was registered, UTC
    aliases: tuple[str, ...] = ()  # that point to it, anybody's
    prepared: str | None = None  # fingerprint of how its rows were prepared
    code: str | None = None  # fingerprint of the project's code


@dataclass(frozen=True, kw_only=True)
class OldRun:
    """A run of keepfit's, as housekeeping sees it."""

    id: str
    name: str
    cycle: str
    at: datetime  # when it began, UTC
    users: tuple[str, ...] = ()  # the model versions, of whatever name, that were made from it, as name/version


class Attic(Protocol):
    """What training and monitoring have left in the registry and beside it. What is removed is gone for good, files and all; what
    is gone already is fine."""

    def versions(self) -> Sequence[OldVersion]:
        """Every version of the project's model. Raises `Unavailable`."""
        ...

    def runs(self) -> Sequence[OldRun]:
        """Every run of the project's experiment that names a cycle, those that were left half removed included. Raises
        `Unavailable`."""
        ...

    def size(self, run: str) -> int:
        """Bytes of the files of a run and of the models logged in it. Raises `Unavailable`."""
        ...

    def remove_version(self, version: str) -> None:
        """Remove its entry in the registry; its run stays. Raises `Conflict` when an alias points to it by now, `Unavailable`."""
        ...

    def remove_run(self, run: str) -> None:
        """Remove a run with its models and files. Raises `Conflict` when a version was made from it by now, `Unavailable`."""
        ...
