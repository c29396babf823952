"""A project's settings choose its adapters. The only file that names them; each is imported when it is first used."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keepfit.addresses import is_remote, scheme
from keepfit.clock import SystemClock
from keepfit.config import Config
from keepfit.errors import ConfigError, DataError, MissingExtra, ModelRefused
from keepfit.extras import require
from keepfit.lease import HeldLease
from keepfit.live_ports import PredictionLog, Shelf, Spans, Spool
from keepfit.ports import (
    Attic,
    Checker,
    Clock,
    Drawing,
    Engine,
    Frames,
    Inbox,
    Ledger,
    Metric,
    ModelFormat,
    Notifier,
    Originals,
    Pile,
    ProjectCode,
    References,
    Registry,
    Releaser,
    Store,
    Tracker,
    Trainer,
    Versions,
)
from keepfit.records import Lease

if TYPE_CHECKING:
    from keepfit.adapters.model_folder import ModelFolder
    from keepfit.adapters.prediction_log.places import Place
    from keepfit.adapters.project_code import FolderCode

STATE = ".keepfit"  # folder of the embedded defaults
SCRATCH = "tmp"  # below it, what a run is putting together; nothing there outlives the run
DEFAULT_METRIC = {"classification": "accuracy", "regression": "root_mean_squared_error"}


class OpenedPorts:
    """`keepfit.ports.Ports` of a project, each opened when it is first used."""

    def __init__(self, config: Config, clock: Clock, given: Mapping[str, Any]) -> None:
        unknown = sorted(set(given) - {name for name in dir(type(self)) if not name.startswith("_")})
        if unknown:
            raise ConfigError(f"keepfit has no port named {unknown[0]!r}; see keepfit.ports.Ports")
        self.config, self.clock, self.given = config, clock, given
        self.held: HeldLease | None = None
        self.rehearsing = False  # a dry run keeps no copies
        self.__dict__.update(given)  # a cached property looks here first

    @property
    def lease(self) -> Lease:
        if self.held is None:
            raise RuntimeError("a stage that writes was called without a lease")
        if self.held.lost is not None:
            raise self.held.lost
        return self.held.lease

    @cached_property
    def ledger(self) -> Ledger:
        from keepfit.adapters.ledger_sql import open_ledger

        url = self.config.url(self.config.ledger.url)
        if url.startswith("sqlite:///"):
            _make_folder(Path(url.removeprefix("sqlite:///")).parent)
        return open_ledger(url)

    @cached_property
    def inbox(self) -> Inbox:
        from keepfit.adapters.inbox_files import InboxFiles

        known = None if self.rehearsing else self.config.root / STATE / "known-objects.jsonl"
        return InboxFiles(self.config.data, self.config.root, known, expected=self._had_data)

    def _had_data(self) -> bool:
        """Whether a batch has come before, by the ledger."""
        if is_missing_file(self.config.url(self.config.ledger.url)):
            return False
        return any(self.ledger.batches.count(self.config.project.name).values())

    @cached_property
    def originals(self) -> Originals:
        return self.inbox  # type: ignore[return-value]  # whoever has the files has their bytes; so should an inbox of one's own

    @cached_property
    def store(self) -> Store:
        from keepfit.adapters.parquet_store import ParquetStore

        address = self.config.data.prepared
        if is_remote(address):
            from keepfit.object_storage.store import ObjectStore

            return ParquetStore(ObjectStore(address, "The prepared data"))
        return ParquetStore(self.config.path(address))

    @cached_property
    def frames(self) -> Frames:
        return self.store  # type: ignore[return-value]  # whoever keeps frames has their bytes; so should a store of one's own

    @cached_property
    def versions(self) -> Versions:
        from keepfit.adapters.manifest_data import ManifestVersions

        name, known = self.config.project.name, self.ledger.batches.known
        sources = ManifestVersions(self.originals, self.frames, lambda: self.references, lambda ids: known(name, ids))
        if self.config.data.versioning == "manifest":
            return sources
        if importlib.util.find_spec("dvc") is None:  # found, not imported: it is run as a command
            raise MissingExtra("[data] versioning = 'dvc' needs dvc: pip install 'keepfit[dvc]'")
        from keepfit.adapters.dvc_data import DvcVersions

        root = self.config.root
        return DvcVersions(root, self.config.data.dvc, sources, root / STATE / "data-versions.json", root / STATE / SCRATCH)

    @cached_property
    def checker(self) -> Checker:
        if self.config.validation.engine == "great_expectations":
            from keepfit.adapters.gx_checks import GxChecks

            place = self.config.validation.great_expectations
            folder = self.config.path(place.folder)
            return GxChecks(folder, place.suite, self.config.root, writes=not self.rehearsing)
        from keepfit.adapters.pandera_checks import PanderaChecks

        return PanderaChecks()

    @cached_property
    def code(self) -> FolderCode:
        from keepfit.adapters.project_code import FolderCode

        train, data = self.config.train, self.config.data
        roles = {"prepare": data.prepare, "train": train.function, "metric": train.metric if ":" in train.metric else None}
        roles |= {f"build {each.build}": each.build for each in train.candidates if each.build}
        functions = {role: name for role, name in roles.items() if name}
        keep = self.config.root / STATE / "code"
        return FolderCode(self.config.root, functions, keep, remembers=not self.rehearsing)

    @cached_property
    def metric(self) -> Metric:
        return _metric(self.config, self.code)

    @cached_property
    def engine(self) -> Engine:
        engine = self.config.engine
        return open_engine(engine.url, engine.workers, engine.patience.total_seconds(), lambda: _modules_of(self.code))

    @cached_property
    def trainer(self) -> Trainer:
        from keepfit.adapters.sklearn_trainer import SklearnTrainer
        from keepfit.rows import contract_of

        columns = contract_of(self, self.config) or {}
        text = [name for name, column in columns.items() if column.type == "text"]
        own = self._own_training if self.config.train.function else None
        return SklearnTrainer(self.config, self.metric, text, own, lambda name: self.code.call(f"build {name}"), self.engine)

    def _own_training(self, features: Any, target: Any) -> Any:
        return self.code.call("train", features, target)

    @cached_property
    def model_formats(self) -> tuple[ModelFormat, ...]:
        """The ways in which models are stored here, with the classes that the user trusts."""
        from keepfit.adapters.lightgbm_models import LightgbmModels
        from keepfit.adapters.skops_models import SkopsModels
        from keepfit.steps import TYPES

        self._load_trusted()
        return LightgbmModels(), SkopsModels((*TYPES, *self.config.tracking.trusted_types))

    @cached_property
    def _carried(self) -> ModelFolder | None:
        """The one version that answers, in place of a registry."""
        if not self.config.serve.model:
            return None
        from keepfit.adapters.model_folder import ModelFolder

        return ModelFolder(self.config.path(self.config.serve.model), self.model_formats)

    @cached_property
    def registry(self) -> Registry:
        if self._carried is not None:
            return self._carried
        from keepfit.adapters.mlflow_registry import MlflowRegistry

        tracking, name = self.config.tracking, self.config.project.name
        return MlflowRegistry(
            self._tracking_url,
            tracking.experiment or name,
            tracking.model or name,
            self.model_formats,
            alias=self.config.promote.alias,
            run_name=tracking.training_run,
            artifacts=self._artifacts,
            scratch=self.config.root / STATE / SCRATCH,
        )

    @cached_property
    def references(self) -> References:
        from keepfit.adapters.mlflow_registry import MlflowReferences

        if "registry" in self.given:
            return self.given["registry"]  # type: ignore[no-any-return]  # a registry of one's own keeps its references too
        if self._carried is not None:
            from keepfit.adapters.model_folder import FolderReferences

            return FolderReferences(self.config.path(self.config.serve.model))
        return MlflowReferences(self._tracking_url, self.config.tracking.model or self.config.project.name)

    @cached_property
    def shelf(self) -> Shelf:
        if self._carried is not None:
            return self._carried
        from keepfit.adapters.mlflow_registry import MlflowShelf

        return MlflowShelf(self._tracking_url, self.config.tracking.model or self.config.project.name)

    @cached_property
    def attic(self) -> Attic:
        if "registry" in self.given or is_missing_file(self.config.url(self.config.tracking.url)):
            from keepfit.adapters.no_attic import NoAttic

            return NoAttic()
        from keepfit.adapters.mlflow_registry import MlflowAttic

        tracking, name = self.config.tracking, self.config.project.name
        return MlflowAttic(self._tracking_url, tracking.experiment or name, tracking.model or name, self._own_places)

    @cached_property
    def check_results(self) -> Pile:
        from keepfit.adapters.gx_checks.old_results import GxResults

        return GxResults(self.config.path(self.config.validation.great_expectations.folder))

    @cached_property
    def notifier(self) -> Notifier:
        from keepfit.adapters.alert_receivers import AlertReceivers

        real = isinstance(self.clock, SystemClock)  # what is only played alarms nobody
        return AlertReceivers(os.environ if real else {}, self.config.alerts.timeout.total_seconds())

    @cached_property
    def tracker(self) -> Tracker:
        from keepfit.adapters.mlflow_registry import MlflowTracker

        tracking = self.config.tracking
        experiment = tracking.experiment or self.config.project.name
        return MlflowTracker(self._tracking_url, experiment, artifacts=self._artifacts)

    @cached_property
    def log(self) -> PredictionLog:
        from keepfit.adapters.prediction_log.log import ParquetLog

        settings = self.config.serve.log
        return ParquetLog(self._log_place, self.config.path(settings.spool), self.config.project.name, settings)

    @cached_property
    def spans(self) -> Spans:
        from keepfit.adapters.prediction_log.spans import ParquetSpans

        return ParquetSpans(self._log_place)

    def open_spool(self, worker: str) -> Spool:
        """Where the worker of this name writes down its answers. Raises `ConfigError` without a key for fields to be hashed."""
        from keepfit.adapters.prediction_log.spool import FileSpool

        settings = self.config.serve.log
        return FileSpool(self.config.path(settings.spool), worker, settings, os.environ)

    @cached_property
    def _log_place(self) -> Place:
        from keepfit.adapters.prediction_log.places import place_at

        return place_at(self.config.serve.log.url, self.config.root)

    def label_files(self) -> list[str]:
        """The names of the files of labels in the log. Raises `Unavailable`."""
        return self._log_place.names("labels")

    @property
    def _artifacts(self) -> Path | str | None:
        """Where models lie, a folder or a URL; a server keeps its own."""
        if self.config.tracking.url.startswith(("http://", "https://")):
            return None
        address = self.config.tracking.artifacts
        if not is_remote(address):
            return self.config.path(address)
        if scheme(address) == "s3":
            require("boto3", extra="s3", why="[tracking] artifacts on s3://")
        return address

    @property
    def _own_places(self) -> tuple[Path | str, ...] | None:
        """Where the files of an MLflow must lie whose database is in the project's folder; None for any other MLflow."""
        kind, _, file = self._tracking_url.partition(":///")
        if kind != "sqlite" or not Path(file).resolve().is_relative_to(self.config.root.resolve()):
            return None
        return (self.config.root, self._artifacts or self.config.root)

    @property
    def _tracking_url(self) -> str:
        url = self.config.url(self.config.tracking.url)
        if url.startswith("sqlite:///"):
            _make_folder(Path(url.removeprefix("sqlite:///")).parent)
        return url

    @cached_property
    def generator(self) -> FolderCode:
        """The functions that make data up; not part of the code that prepares and trains."""
        from keepfit.adapters.project_code import FolderCode

        simulate = self.config.simulate
        roles = {"simulate": simulate and simulate.function, "quality": simulate and simulate.quality}
        functions = {role: name for role, name in roles.items() if name}
        return FolderCode(self.config.root, functions, self.config.root / STATE / "code")

    def _load_trusted(self) -> None:
        """Import the project's modules whose classes the user trusts by name, so that stored models find them."""
        from keepfit.adapters.project_code import FolderCode

        modules = {name.rpartition(".")[0] for name in self.config.tracking.trusted_types}
        mine = {module for module in modules if self.config.path(module.replace(".", "/") + ".py").is_file()}
        if mine:
            FolderCode(self.config.root, {module: f"{module}:_" for module in mine}, self.config.root / STATE / "code").load_all()

    @cached_property
    def drawing(self) -> Drawing:
        from keepfit.adapters.evidently_report import EvidentlyReport
        from keepfit.rows import contract_of

        columns = contract_of(self, self.config) or {}
        texts = [name for name, column in columns.items() if column.type == "text"]
        return EvidentlyReport(self.config.project.task, texts, self.config.reports.sample)

    @cached_property
    def releaser(self) -> Releaser:
        settings = self.config.release.github
        if not settings.enabled or self.rehearsing or not isinstance(self.clock, SystemClock):  # what is only played starts nothing
            from keepfit.adapters.no_release import NoRelease

            return NoRelease()
        from keepfit.adapters.github_release import GithubRelease

        return GithubRelease(settings, os.environ)

    def read_model(self, path: Path, trust_pickle: bool) -> Any:
        """A fitted model from a skops file, or from a pickle that the user trusts."""
        from keepfit.adapters.skops_models import SkopsModels
        from keepfit.steps import TYPES
        from keepfit.verbs.registration import read_pickle

        if not path.is_file():
            raise DataError(f"{path} is not a file")
        self._load_trusted()
        if path.suffix != ".skops":
            return read_pickle(path, trust_pickle)
        try:
            return SkopsModels((*TYPES, *self.config.tracking.trusted_types)).read(path)
        except ModelRefused as error:
            raise ModelRefused(f"{path.name}: {error}") from None

    def close(self) -> None:
        """Close the ledger; it is opened again when it is used again."""
        if "ledger" in self.__dict__ and "ledger" not in self.given:
            self.__dict__.pop("ledger").close()


def code_of_version(folder: Path, prepare: str, fingerprint: str | None) -> ProjectCode:
    """The project's code as it was kept with a model version, `folder` holding its files. Raises `ModelRefused` where they are not
    those of the fingerprint, `ConfigError`, `UserCodeError`."""
    from keepfit.adapters.project_code import kept_code

    return kept_code(folder, {"prepare": prepare}, fingerprint)


def forget_code(folder: Path) -> None:
    """Take a project's modules out of this process, so that the next project's modules of the same names are its own."""
    from keepfit.adapters.project_code import forget

    forget(folder)


def open_engine(url: str, workers: int | None, patience: float, modules: Callable[[], Collection[str]] = tuple) -> Engine:
    """The engine of an address. `patience`: seconds that a cluster may take to answer; `modules` names those of the project."""
    if url == "local":
        from keepfit.threads import Threads

        return Threads(workers)
    from keepfit.adapters.joblib_engine import ClusterEngine

    return ClusterEngine(url, -1 if workers is None else workers, patience, modules)


def _modules_of(code: ProjectCode) -> list[str]:
    return [name.removesuffix(".py") for name in code.sources()]


def is_missing_file(url: str) -> bool:
    """Whether this is a SQLite database that nobody has made yet."""
    return url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).exists()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made: {error.strerror}. keepfit keeps its state there.") from error


def _metric(config: Config, code: FolderCode) -> Metric:
    from keepfit.stats.metrics import MeanOverGroups, builtin

    train = config.train
    name = train.metric or DEFAULT_METRIC[config.project.task]
    if ":" not in name:
        found = builtin(name, train.positive)
        if found is not None:
            return found
        from keepfit.adapters.sklearn_metrics import sklearn_metric

        return sklearn_metric(name, train.positive)
    if train.greater_is_better is None:
        raise ConfigError(f"[train] metric = {name!r} is your own: say [train] greater_is_better = true or false")
    own = name.partition(":")[2]
    if train.per:
        return MeanOverGroups(own, train.greater_is_better, lambda rows: code.call("metric", rows))
    from keepfit.adapters.sklearn_metrics import FunctionMetric

    return FunctionMetric(own, train.greater_is_better, lambda rows: code.call("metric", rows))
