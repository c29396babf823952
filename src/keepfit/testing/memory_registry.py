"""A registry and a tracker that live as long as the process."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keepfit.errors import AliasMoved, NotFound
from keepfit.fitted import FittedModel
from keepfit.ports import Model, Registration
from keepfit.records import ModelVersion
from keepfit.versions import PROFILE_PATH, REFERENCE_PATH, Tag, described, reference_bytes

if TYPE_CHECKING:
    import polars as pl


@dataclass(kw_only=True)
class Registered:
    """All that the registry keeps of one version, for tests to look at."""

    registration: Registration
    tags: dict[str, str]
    metrics: dict[str, float]
    at: datetime


class MemoryRegistry:
    """`Registry` and `References` in memory. Models are kept as they are: nothing is written, nothing is checked for trust."""

    def __init__(
        self,
        name: str = "model",
        alias: str = "champion",
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.versions: dict[str, Registered] = {}
        self.aliases: dict[str, str] = {}
        self._name = name
        self._alias = alias
        self._now = now

    def champion(self) -> ModelVersion | None:
        version = self.aliases.get(self._alias)
        return None if version is None else self._described(version)

    def register(self, registration: Registration) -> ModelVersion:
        for version, registered in self.versions.items():
            if registered.registration.cycle == registration.cycle:
                return self._described(version)
        version = str(len(self.versions) + 1)
        self.versions[version] = Registered(
            registration=registration,
            tags=_tags(registration),
            metrics={name: value for name, value in registration.metrics.items() if math.isfinite(value)},
            at=self._now(),
        )
        return self._described(version)

    def load(self, version: str) -> tuple[ModelVersion, Model]:
        return self._described(version), FittedModel(self._find(version).registration.trained.model)

    def annotate(self, version: str, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        registered = self._find(version)
        registered.metrics.update((name, value) for name, value in metrics.items() if math.isfinite(value))
        registered.tags.update(tags)

    def point(self, alias: str, expected: str | None, to: str) -> None:
        actual = self.aliases.get(alias)
        if actual == to:
            return
        if actual != expected:
            raise AliasMoved(f"The alias {alias} should point to version {expected}, and points to {actual}.")
        self._find(to)
        self.aliases[alias] = to

    def profile(self, version: str) -> str | None:
        registration = self._find(version).registration
        return registration.profile(FittedModel(registration.trained.model)) if registration.profile is not None else None

    def rows(self, version: str) -> pl.DataFrame | None:
        return self._find(version).registration.reference

    def fetch(self, version: str, path: str, folder: Path) -> bool:
        registration = self._find(version).registration
        kept = {name: text.encode() for name, text in registration.files.items()}
        kept[REFERENCE_PATH] = reference_bytes(registration.reference)
        found = {name: content for name, content in kept.items() if name == path or name.startswith(f"{path}/")}
        for name, content in found.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        return bool(found)

    def _find(self, version: str) -> Registered:
        if version not in self.versions:
            raise NotFound(f"{self._name} has no version {version}.")
        return self.versions[version]

    def _described(self, version: str) -> ModelVersion:
        registered = self._find(version)
        return described(self._name, version, f"run-{version}", registered.tags, registered.at)


@dataclass
class MemoryTracker:
    """`Tracker` in memory."""

    runs: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)  # (run, cycle) -> what was logged

    def record(self, run: str, cycle: str, parameters: Mapping[str, str], metrics: Mapping[str, float]) -> str:
        finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
        found = self.runs.setdefault(
            (run, cycle), {"id": f"run-{len(self.runs) + 1}", "parameters": dict(parameters), "metrics": finite}
        )
        return str(found["id"])


def _tags(registration: Registration) -> dict[str, str]:
    import joblib

    tags = dict(registration.tags) | {
        Tag.CYCLE: registration.cycle,
        Tag.CONTENT_HASH: hashlib.sha256(joblib.hash(registration.trained.model).encode()).hexdigest(),
        Tag.REFERENCE: REFERENCE_PATH,
    }
    if registration.profile is not None:
        tags[Tag.PROFILE] = PROFILE_PATH
    return tags
