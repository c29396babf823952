"""A project in a test's own folder: real files, everything else in memory and quick."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl

from keepfit import cycle as loop
from keepfit.adapters.inbox_files import InboxFiles
from keepfit.adapters.manifest_data import ManifestVersions
from keepfit.adapters.no_release import NoRelease
from keepfit.adapters.pandera_checks import PanderaChecks
from keepfit.adapters.parquet_store import ParquetStore
from keepfit.adapters.project_code import FolderCode
from keepfit.config import Config
from keepfit.ports import Registration, Trained
from keepfit.prepared import fingerprint
from keepfit.records import Cycle, Promotion
from keepfit.stages import Stop
from keepfit.stats.metrics import builtin
from keepfit.testing import MemoryLedger, SetClock
from keepfit.testing.memory_registry import MemoryRegistry, MemoryTracker
from keepfit.versions import Tag


class Echo:
    """A model that says what a column of its input says: a test writes each model's answers into the data."""

    def __init__(self, column: str, classes: tuple[str, ...] = ("no", "yes")) -> None:
        self.column, self.classes_ = column, classes

    def predict(self, features: Any) -> np.ndarray:
        return np.where(features[self.column] > 0, self.classes_[1], self.classes_[0])


class EchoNumber:
    """The same for regression."""

    def __init__(self, column: str) -> None:
        self.column = column

    def predict(self, features: Any) -> np.ndarray:
        return features[self.column].to_numpy(dtype=float)


class Always:
    """A model that says the same of everything."""

    def __init__(self, answer: str) -> None:
        self.answer, self.classes_ = answer, (answer,)

    def predict(self, features: Any) -> np.ndarray:
        return np.full(len(features), self.answer, dtype=object)


class FakeTrainer:
    """Returns the model it was given, and remembers which rows it was given."""

    def __init__(self, model: Any = None) -> None:
        self.model = model or Always("a")
        self.rows: list[Any] = []

    def train(self, rows: Any, features: Any) -> Trained:
        self.rows.append(rows)
        files = tuple(dict.fromkeys(rows["__file"]))
        return Trained(model=self.model, name="fake", parameters={}, window="all", rows=len(rows), scores=(), files=files)

    def baseline(self, rows: Any) -> Any:
        from keepfit.adapters.sklearn_trainer import SklearnTrainer

        return SklearnTrainer.baseline(SimpleNamespace(_classes=True, _target=lambda _: rows["__truth"].to_numpy(str)), rows)


@dataclass
class World:
    """A project and its ports. `settings` are keepfit.toml's, beside the least there must be."""

    folder: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    features: str = ""
    metric: Any = None
    clock: SetClock = field(default_factory=SetClock)

    @cached_property
    def config(self) -> Config:
        return self.with_settings(self.settings)

    def with_settings(self, settings: Mapping[str, Any]) -> Config:
        data = {"target": "y", "settle": "0s"} | dict(settings.get("data", {}))
        project = {"name": "demo", "task": "classification"} | dict(settings.get("project", {}))
        return Config.of({**settings, "project": project, "data": data}, self.folder)

    def change(self, **settings: Any) -> None:
        """From now on other settings hold; what the ports remember stays."""
        merged = {name: {**self.settings.get(name, {}), **value} for name, value in settings.items()}
        self.settings = {**self.settings, **merged}
        self.config = self.with_settings(self.settings)

    @cached_property
    def ports(self) -> Any:
        ledger = MemoryLedger(self.clock)
        inbox, store = InboxFiles(self.config.data, self.folder), ParquetStore(self.folder / ".keepfit/prepared")
        registry = MemoryRegistry(alias=self.config.promote.alias, now=self.clock.now)
        return SimpleNamespace(
            clock=self.clock,
            ledger=ledger,
            lease=ledger.leases.acquire("demo", "here:1:0.0", 1e9),
            inbox=inbox,
            originals=inbox,
            store=store,
            frames=store,
            versions=ManifestVersions(inbox, store, lambda: registry, lambda ids: ledger.batches.known("demo", ids)),
            checker=PanderaChecks(),
            code=self.code(),
            metric=self.metric or builtin(self.config.train.metric or "accuracy", self.config.train.positive),
            trainer=FakeTrainer(),
            registry=registry,
            references=registry,
            tracker=MemoryTracker(),
            releaser=NoRelease(),
        )

    def code(self) -> FolderCode:
        if self.features:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "features.py").write_text(self.features)
        functions = {"prepare": self.config.data.prepare} if self.config.data.prepare else {}
        return FolderCode(self.folder, functions, self.folder / ".keepfit/code")

    # ------------------------------------------------------------------------------------------------------------ doing

    def arrive(self, name: str, frame: pl.DataFrame | Mapping[str, Any] | str | bytes, place: str = "inbox") -> Path:
        path = self.folder / "data" / place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(frame, str | bytes):
            path.write_bytes(frame.encode() if isinstance(frame, str) else frame)
            return path
        table = frame if isinstance(frame, pl.DataFrame) else pl.DataFrame(frame)
        table.write_parquet(path) if path.suffix == ".parquet" else table.write_csv(path)
        return path

    def begin(self, *, forced: bool = False) -> Cycle:
        self.clock.advance(1)
        return loop.begin(self.ports, self.config, forced)

    def through(self, *stages: str, cycle: Cycle | None = None, forced: bool = False) -> Cycle:
        """The cycle after these stages, or where one of them stopped it."""
        cycle = cycle or self.begin(forced=forced)
        for name in stages:
            stage = dict(zip(loop.NAMES, loop.STAGES, strict=True))[name]
            try:
                cycle = replace(stage(cycle, self.ports, self.config), stage=name)
            except Stop as stop:
                return replace(stop.cycle, stage=name, outcome=stop.outcome, reason=stop.reason)
        return cycle

    def run(self, *, forced: bool = False, until: str | None = None) -> Cycle:
        """A whole cycle, with its checkpoints."""
        self.clock.advance(1)
        return loop.run(self.ports, self.config, forced=forced, until=until)

    def champion(self, model: Any, **tags: str) -> str:
        """Make a model the champion, and journal it."""
        version = self.version(model, **tags)
        self.ports.registry.aliases[self.config.promote.alias] = version
        promotion = Promotion(alias=self.config.promote.alias, from_version=None, to_version=version, at=self.clock.now())
        self.ports.ledger.journal.intend("demo", f"made-{version}", promotion, self.ports.lease)
        self.ports.ledger.journal.settle("demo", f"made-{version}", "done", self.ports.lease)
        return version

    def version(self, model: Any, **tags: str) -> str:
        registered = self.ports.registry.register(
            Registration(
                cycle=f"made-{len(self.ports.registry.versions)}",
                trained=Trained(model=model, name="made", parameters={}, window="all", rows=1, scores=()),
                features=pl.DataFrame().to_pandas(),
                reference=pl.DataFrame(),
                parameters={},
                metrics={},
                tags={
                    Tag.METRIC.value: self.ports.metric.name,
                    Tag.CODE.value: self.ports.code.fingerprint,
                    Tag.PREPARED.value: fingerprint(self.ports.code, self.config),
                    Tag.TRAINED_AT.value: self.clock.now().isoformat(),
                    **{Tag[name.upper()].value: value for name, value in tags.items()},
                },
                files={},
            )
        )
        return registered.version

    def rows(self, *, holdout: bool | None = None) -> Any:
        """Every prepared row that keepfit has, by batch."""
        names = sorted(path.stem for path in (self.folder / ".keepfit/prepared").glob("rows-*.parquet"))
        rows = self.ports.store.load(names).to_pandas()
        return rows if holdout is None else rows[rows["__holdout"] == holdout]
