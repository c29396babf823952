"""What the loop needs from the world, as small protocols.

Stages receive a `Ports` and know nothing else of the outside. Adapters (one outside tool a file) and the in-memory ports of
`keepfit.testing` satisfy these protocols; so may an object of yours, and the contract checks in `keepfit.testing` tell whether
it does.
Every method that changes something finds what it did before it does it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from keepfit.data_records import KeptData, Manifest
from keepfit.live_ports import Audit, Documents, PredictionLog, Shelf, Spans
from keepfit.records import (
    Alert,
    Announcement,
    Batch,
    BatchState,
    CandidateScore,
    Cycle,
    Delivery,
    Event,
    Finding,
    JournalEntry,
    Lease,
    ModelVersion,
    Place,
    Promotion,
    Training,
)

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas as pd
    import polars as pl

    from keepfit.settings import Column

T = TypeVar("T")
R = TypeVar("R")


class Clock(Protocol):
    """Tells the time, so that tests and simulations can set it."""

    def now(self) -> datetime:
        """The time in UTC, with its zone."""
        ...


# ---------------------------------------------------------------------------------------------------------------- data


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A file as the folder shows it, before anybody read it."""

    name: str  # path below the folder, with forward slashes
    size: int  # bytes
    settled: bool  # False: still being written (temporary suffix, or changed within the settle time)
    mark: str | None = None  # another one whenever the file is written anew; None where the place tells nothing of the kind


class Inbox(Protocol):
    """The three folders of data files. Bytes never change; a move is found or done."""

    def list(self, place: Place) -> Sequence[Arrival]:
        """The data files in a folder, by name. Raises `Unavailable` when the folder cannot be read."""
        ...

    def identify(self, arrival: Arrival, place: Place) -> Batch | None:
        """Hash a file. None when it has vanished meanwhile. Raises `DataError` when it cannot be read."""
        ...

    def read(self, batch: Batch) -> pl.DataFrame:
        """The rows as they are in the file: text for CSV, typed for Parquet and JSON Lines; columns renamed as configured.

        Raises `DataError` naming the place of the fault when the file cannot be parsed, has vanished or changed.
        """
        ...

    def move(self, batch: Batch, to: Place, note: str = "") -> Batch:
        """Move the file, or find it moved; returns the batch with its new place and name (another one when the name was taken
        by other content). `note`, the reason of a quarantine, is written beside it."""
        ...

    def set_aside(self, batch: Batch, rows: pl.DataFrame) -> str:
        """Write rows of a batch, which itself stays whole where it is, into the quarantine, or find them written; returns the
        name they have there."""
        ...


class Originals(Protocol):
    """The bytes of data files as they came."""

    def fetch(self, batch: Batch, to: Path) -> None:
        """Write a batch's bytes to a local file, from wherever it lies now; a file that holds them already is left.

        Raises `DataError` when they are gone or were changed, `Unavailable`.
        """
        ...

    def add(self, name: str, content: bytes, at: datetime | None = None) -> None:
        """Put a file into the inbox, whole, in place of what goes by that name there. `at` is when it is from: one that is old
        enough is not waited for. Raises `Unavailable`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Something that keepfit has put away, as housekeeping sees it."""

    name: str
    size: int  # bytes
    at: datetime  # when it was written last, UTC


class Pile(Protocol):
    """Things of one kind that grow in number, each under a name."""

    def kept(self) -> Sequence[Kept]:
        """Everything there is. Raises `Unavailable`."""
        ...

    def remove(self, name: str) -> None:
        """Remove one, or find it gone. Raises `Unavailable`."""
        ...


class Store(Protocol):
    """Frames that keepfit made itself, kept under a name until housekeeping removes them."""

    def save(self, name: str, frame: pl.DataFrame, facts: Mapping[str, Any]) -> None:
        """Write both atomically; a name that is already there is left as it is."""
        ...

    def facts(self, name: str) -> dict[str, Any] | None:
        """What was saved beside the frame, or None."""
        ...

    def load(self, names: Iterable[str], columns: Sequence[str] | None = None) -> pl.DataFrame:
        """The frames under these names, one below the other. Raises `DataError` for a missing one."""
        ...

    def kept(self) -> Sequence[Kept]:
        """Everything there is, with its facts' bytes. Raises `Unavailable`."""
        ...

    def remove(self, name: str) -> None:
        """Remove the frame and its facts, or find them gone. Raises `Unavailable`."""
        ...


class Frames(Protocol):
    """The bytes behind what the store keeps."""

    def fetch(self, name: str, to: Path) -> None:
        """Write the Parquet file of a frame to a local file, as it is. Raises `DataError` when it is gone, `Unavailable`."""
        ...


class Versions(Protocol):
    """The data of every cycle that trains, so that their bytes can be brought back."""

    def keep(self, manifest: Manifest, made: Mapping[str, bytes]) -> KeptData:
        """Keep these files, or find them kept. `made` holds, by path, the bytes of those that lie nowhere yet.

        Raises `ConfigError`, `MissingExtra`, `Unavailable` where they cannot be kept at all.
        """
        ...

    def bring(self, manifest: Manifest, to: Path, version: str | None = None) -> Mapping[str, str]:
        """Write the files below the folder `to`, each only if it has the bytes that the manifest says; returns for each path that
        could not be brought why. `version` is the model version whose reference is among them. Raises `Unavailable`."""
        ...

    def check(self) -> str:
        """How and where data are kept, in words; nothing is contacted. Raises `ConfigError` where they would not be."""
        ...

    def kept(self) -> Sequence[Kept]:
        """What was put away for cycles, under their ids, as housekeeping sees it; nothing where nothing is put away."""
        ...

    def remove(self, name: str) -> None:
        """Forget a cycle's data, or find them forgotten. Raises `Unavailable`."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Fault:
    """A finding, and which rows it is about."""

    finding: Finding
    cells: pl.Series | None = None  # Boolean, one a row: whether its cell is unsound; None: not about single rows
    apart: bool = False  # whether the rest of the batch keeps the promise once these rows are set aside

    def __str__(self) -> str:
        return str(self.finding)


@dataclass(frozen=True, kw_only=True)
class Look:
    """Circumstances in which a batch is checked."""

    name: str  # of the batch, for reports
    now: datetime  # UTC
    found: Sequence[Fault] = ()  # what is known to be wrong already, such as unreadable cells; for reports, not to be returned


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What a checker says of a frame."""

    faults: Sequence[Fault] = ()  # every expectation that does not hold
    notes: Sequence[str] = ()  # where its report lies, or why there is none


class Checker(Protocol):
    """Checks a typed frame against the column contract."""

    def check(self, frame: pl.DataFrame, columns: Mapping[str, Column], look: Look) -> Checked:
        """Columns beyond those of the contract are not judged. Raises `MissingExtra`, `ConfigError`."""
        ...


# -------------------------------------------------------------------------------------------------------------- models


@dataclass(frozen=True)
class Predictions:
    """What a model says of `n` rows."""

    values: np.ndarray  # (n,) predicted classes as text, or numbers
    probabilities: np.ndarray | None = None  # (n, classes), rows sum to 1
    classes: tuple[str, ...] = ()  # the columns of probabilities
    decision: np.ndarray | None = None  # where there are no probabilities: (n,) for the second class, or (n, classes)

    def of(self, rows: np.ndarray) -> Predictions:
        """Of some rows: a mask (n,), or their numbers."""
        parts = (None if each is None else each[rows] for each in (self.probabilities, self.decision))
        probabilities, decision = parts
        return Predictions(self.values[rows], probabilities, self.classes, decision)


class Model(Protocol):
    """A loaded model."""

    def predict(self, features: pd.DataFrame) -> Predictions:
        """Predict prepared rows. Raises `DataError` when a column it needs is missing."""
        ...


@dataclass(frozen=True, kw_only=True)
class StoredModel:
    """A model that was written into a folder."""

    content_hash: str  # sha256, equal for equal models whoever fitted them and when
    flavours: Mapping[str, Mapping[str, Any]]  # MLflow's flavours that open it, with their entries in the file MLmodel
    requirements: tuple[str, ...]  # what must be installed to load it, pinned


class ModelFormat(Protocol):
    """One way to keep models in a folder without pickle."""

    def store(self, model: Any, folder: Path) -> StoredModel | None:
        """Write the model, or None when it is not of this format's kind. Raises `ModelRefused` when it could not be loaded."""
        ...

    def load(self, folder: Path, content_hash: str | None) -> Model | None:
        """Load without running unknown code; None when the folder holds nothing of this format.

        Raises `ModelRefused`, also when `content_hash` is given and what lies there has another.
        """
        ...


class Statistics(Protocol):
    """One model's metric on one holdout, ready to be resampled."""

    @property
    def units(self) -> int:
        """How many independent units (rows or groups) it rests on."""
        ...

    def values(self, weights: np.ndarray) -> np.ndarray:
        """The metric under each row of `weights` (resamples, units): how often each unit counts. Shape (resamples,);
        NaN where it is undefined."""
        ...


class Metric(Protocol):
    """What a good model is."""

    @property
    def name(self) -> str: ...

    @property
    def greater_is_better(self) -> bool: ...

    def statistics(
        self, truth: np.ndarray, predictions: Predictions, groups: np.ndarray | None, frame: pd.DataFrame | None = None
    ) -> Statistics:
        """`truth` (n,), labels as text or numbers; `groups` (n,) or None where rows are independent; `frame` the n prepared
        rows, for metrics of the user's that look at them."""
        ...


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A fitted model and how it was chosen."""

    model: Any  # the fitted object, with all that was fitted inside it
    name: str
    parameters: dict[str, str]
    window: str
    rows: int
    files: tuple[str, ...] = ()  # ids of the batches that these rows came from
    scores: tuple[CandidateScore, ...]


class Trainer(Protocol):
    """Fits models. Everything is chosen inside the rows it is given."""

    def train(self, rows: pd.DataFrame, features: Sequence[str]) -> Trained:
        """`rows` hold the feature columns and keepfit's own (`keepfit.prepared`), in order of arrival.

        Raises `DataError` when they cannot be trained on (one class), `UserCodeError` when the user's function fails.
        """
        ...

    def baseline(self, rows: pd.DataFrame) -> Model:
        """A model that ignores its input: the most frequent class, or the mean."""
        ...

    def loss_model(self, rows: pd.DataFrame, features: Sequence[str], losses: np.ndarray) -> Model:
        """A small model of how large another model's loss is on a row. `losses` (n,), none negative, best with a mean near 1.
        Equal arguments give equal models."""
        ...


class ProjectCode(Protocol):
    """The functions that a project brings along."""

    @property
    def fingerprint(self) -> str:
        """Hash of the project's Python files that prepare and train."""
        ...

    def prepare(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The project's features of one batch, or the frame itself. The target is not among its columns.

        Raises `UserCodeError`."""
        ...

    def sources(self) -> dict[str, str]:
        """The project's Python files, name -> text: kept with every model version."""
        ...

    def at(self, fingerprint: str) -> ProjectCode | None:
        """The code as it was when its fingerprint was this; None when that is not known here."""
        ...


# ---------------------------------------------------------------------------------------------------------- heavy work


class Workers(Protocol):
    """Those who do heavy work, as long as their engine is entered."""

    def each(self, work: Callable[[T], R], items: Iterable[T], *, alone: bool = False) -> Iterator[R]:
        """What `work` makes of each item, in the items' order.

        `work` goes to a worker once, so what is large belongs into it; items go one by one. With `alone` no two of them run beside
        each other in one process. What the work raises is raised here. Raises `Unavailable` when the workers have gone, or end
        again and again; `ConfigError` for work that cannot be sent, and for workers with other libraries.
        """
        ...


class Engine(Protocol):
    """Where heavy work is done: in threads of this machine, or by the workers of a cluster."""

    @property
    def address(self) -> str:
        """'local', or the cluster's URL without secrets."""
        ...

    def entered(self) -> AbstractContextManager[Workers]:
        """Connect for as long as there is work. Raises `Unavailable`, `ConfigError`, `MissingExtra`."""
        ...

    def check(self) -> str:
        """Have the workers do something small; says what is there. Raises as `entered` and `Workers.each` do."""
        ...


# ------------------------------------------------------------------------------------------------------------ registry


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


class Drawing(Protocol):
    """Draws pictures of drift and performance for people, with an outside tool."""

    def draw(self, reference: pd.DataFrame, current: pd.DataFrame, folder: Path, stamp: str) -> Sequence[Path]:
        """Write the pages for these rows into `folder`; `stamp` is part of their names. Raises `MissingExtra`, `Unavailable`."""
        ...


class Notifier(Protocol):
    """Sends alerts to people."""

    @property
    def receivers(self) -> Sequence[str]:
        """Who is told, each by a name without secrets; empty when nobody is set up."""
        ...

    def send(self, alert: Alert, receiver: str) -> None:
        """Tell one of them. Raises `Unavailable` when it was not reached, `ConfigError` when it is set up wrongly or not at all,
        `MissingExtra` without the library."""
        ...

    def check(self) -> None:
        """Raises `ConfigError` naming all that is set up wrongly. Nobody is told anything."""
        ...


class Releaser(Protocol):
    """Starts what delivers a new champion: a pipeline that builds and rolls out. What is to be started goes through the ledger's
    outbox and may come twice; then it comes with the same version."""

    @property
    def receivers(self) -> Sequence[str]:
        """What is started, each by a name without secrets that stays the same; empty when nothing is set up."""
        ...

    def release(self, announcement: Announcement, receiver: str) -> None:
        """Start one of them. Raises `Unavailable` when it was not reached, `TooSoon` when it asks for patience, `ConfigError` for
        what a person must mend."""
        ...

    def check(self) -> None:
        """Raises `ConfigError` naming what is missing. Nothing is started."""
        ...


# -------------------------------------------------------------------------------------------------------------- ledger


def moves_of(project: str) -> str:
    """What the lease is on under which a project's alias is moved: a person need not wait for a cycle to end."""
    return f"{project}/alias"  # no project has a / in its name


class Leases(Protocol):
    """One runner at a time: on a project, or on `moves_of` it."""

    def acquire(self, project: str, holder: str, seconds: float, *, is_dead: Callable[[str], bool] | None = None) -> Lease:
        """Take the lease with the next fence. Raises `LeaseHeld` saying who holds it and since when.

        A lease that has not expired is taken over when `is_dead(its holder)` says that the holder is certainly gone. It is
        asked inside the transaction: it answers at once and does not touch the ledger.
        """
        ...

    def renew(self, lease: Lease, seconds: float) -> Lease:
        """Raises `LeaseLost` when someone else has it."""
        ...

    def release(self, lease: Lease) -> None:
        """Give it back; nothing happens when it is someone else's by now."""
        ...

    def current(self, project: str) -> Lease | None:
        """Who holds it, expired or not."""
        ...


class Cycles(Protocol):
    """The checkpoints."""

    def save(self, cycle: Cycle, lease: Lease) -> None:
        """Store the cycle, its batches' states and its duplicates in one transaction. Raises `LeaseLost` for an old fence."""
        ...

    def load(self, project: str, id: str) -> Cycle | None:
        """One cycle; a prefix of its id is enough when it is the only such."""
        ...

    def recent(self, project: str, limit: int = 20, *, unfinished: bool = False) -> Sequence[Cycle]:
        """The latest cycles, newest first."""
        ...

    def trainings(
        self, project: str, *, since: datetime | None = None, champion: str | None = None, trained_on: str | None = None
    ) -> Sequence[Training]:
        """The cycles that trained, newest first, narrowed by what is given."""
        ...

    def ids(self, project: str) -> Sequence[str]:
        """The ids of all cycles, newest first."""
        ...


class Batches(Protocol):
    """What is known of the data files."""

    def known(self, project: str, ids: Iterable[str]) -> dict[str, Batch]:
        """Those of these ids that were seen before."""
        ...

    def in_state(self, project: str, *states: BatchState) -> Sequence[Batch]:
        """All batches in these states, by arrival and name."""
        ...

    def count(self, project: str) -> dict[BatchState, int]:
        """How many there are of each."""
        ...


class Journal(Protocol):
    """Promotions, written before the alias moves, under the project's lease or that on `moves_of` it."""

    def intend(self, project: str, id: str, promotion: Promotion, lease: Lease) -> JournalEntry:
        """Write the row `intended`, or find it. Raises `LeaseLost`."""
        ...

    def note(self, project: str, id: str, promotion: Promotion, lease: Lease) -> JournalEntry:
        """Write a row that is `done` from the start, or find it: a move that was seen, not made. Raises `LeaseLost`."""
        ...

    def settle(self, project: str, id: str, status: str, lease: Lease) -> None:
        """Mark the row `done` or `abandoned`. Raises `LeaseLost`."""
        ...

    def unsettled(self, project: str) -> Sequence[JournalEntry]:
        """Rows still `intended`, oldest first."""
        ...

    def entries(self, project: str, limit: int = 50) -> Sequence[JournalEntry]:
        """The rows, newest first."""
        ...


class Outbox(Protocol):
    """Alerts on their way, each to one receiver. Nothing here needs the lease: an alert is of use even after the runner lost it."""

    def put(self, delivery: Delivery) -> bool:
        """Keep an alert to a receiver, or find it kept by its key; returns whether it is new."""
        ...

    def take(self, project: str, receiver: str, seconds: float, *, key: str | None = None) -> Delivery | None:
        """The receiver's oldest pending alert whose time has come, claimed for `seconds`: nobody else gets it meanwhile.

        With `key` that one, whatever its time. Its `attempts` count this one.
        """
        ...

    def settle(self, delivery: Delivery) -> None:
        """Write down what has become of a claimed alert: sent, suppressed, or pending with another time to try. Nothing happens
        when somebody else has claimed it since."""
        ...

    def recent(
        self, project: str, limit: int = 50, *, status: Sequence[str] = (), event: Event | None = None, subject: str | None = None
    ) -> Sequence[Delivery]:
        """The latest, newest first, narrowed by what is given."""
        ...

    def forget(self, project: str, settled: Iterable[Delivery]) -> int:
        """Remove these, as far as they are there and not pending; returns how many went."""
        ...


class Ledger(Protocol):
    """The database of leases, cycles, batches, promotions and alerts."""

    @property
    def leases(self) -> Leases: ...

    @property
    def cycles(self) -> Cycles: ...

    @property
    def batches(self) -> Batches: ...

    @property
    def journal(self) -> Journal: ...

    @property
    def outbox(self) -> Outbox: ...

    @property
    def documents(self) -> Documents: ...

    @property
    def audit(self) -> Audit: ...

    def close(self) -> None: ...


class Ports(Protocol):
    """Everything a stage may reach. Each is opened when it is first used, so that a cycle with nothing to do stays light."""

    @property
    def clock(self) -> Clock: ...

    @property
    def inbox(self) -> Inbox: ...

    @property
    def originals(self) -> Originals: ...

    @property
    def store(self) -> Store: ...

    @property
    def frames(self) -> Frames: ...

    @property
    def versions(self) -> Versions: ...

    @property
    def checker(self) -> Checker: ...

    @property
    def code(self) -> ProjectCode: ...

    @property
    def engine(self) -> Engine: ...

    @property
    def trainer(self) -> Trainer: ...

    @property
    def metric(self) -> Metric: ...

    @property
    def registry(self) -> Registry: ...

    @property
    def tracker(self) -> Tracker: ...

    @property
    def references(self) -> References: ...

    @property
    def releaser(self) -> Releaser: ...

    @property
    def drawing(self) -> Drawing: ...

    @property
    def notifier(self) -> Notifier: ...

    @property
    def log(self) -> PredictionLog: ...

    @property
    def spans(self) -> Spans: ...

    @property
    def shelf(self) -> Shelf: ...

    @property
    def attic(self) -> Attic: ...

    @property
    def check_results(self) -> Pile:
        """What the checker has left for people to look at."""
        ...

    @property
    def ledger(self) -> Ledger: ...

    @property
    def lease(self) -> Lease:
        """The lease under which this runner writes."""
        ...
