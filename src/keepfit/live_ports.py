"""What serving needs from the world, as small protocols beside those in `ports`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from keepfit.live_records import AuditEntry, Document
from keepfit.records import ModelVersion

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from keepfit.ports import Kept

# The log's own columns. What was asked stands in columns of their own, named INPUT + field.
REQUEST, TIMESTAMP, MODEL, VERSION = "request_id", "timestamp", "model_id", "model_version"
PREDICTION, SCORE, ROUTE = "prediction", "score", "route"
SHADOW_VERSION, SHADOW_PREDICTION, SHADOW_SCORE = "shadow_version", "shadow_prediction", "shadow_score"
LABEL, LABELLED_AT = "label", "labelled_at"
INPUT = "input."


@dataclass(frozen=True, kw_only=True)
class Logged:
    """One answer, as a worker writes it down before it leaves."""

    request_id: str  # see `keepfit.request_ids`
    at: float  # seconds since 1970, UTC
    model: str  # registered model
    version: str
    inputs: Mapping[str, Any]  # field -> value as it was asked; None where it was left out
    prediction: str | float
    score: float | None  # confidence; None for numbers and where the model gives none
    route: str = "champion"  # or challenger


@dataclass(frozen=True, kw_only=True)
class Shadowed:
    """What a second model would have answered to a request."""

    request_id: str
    at: float
    version: str
    prediction: str | float
    score: float | None


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A label that came back. The one that came last wins."""

    request_id: str
    at: float  # when it came
    label: str | float


class Spool(Protocol):
    """Where one worker writes down its answers. Not shared between processes, nor between threads."""

    def write(self, rows: Sequence[Logged | Shadowed | Labelled]) -> None:
        """Write all in one go; when this returns they survive the death of this process.

        Raises `Unavailable` when they cannot be written (a full disk); then none of them is in the log. To be called without rows
        about every second: then the rows of a worker that nobody asks anything reach the log too.
        """
        ...

    def check(self) -> None:
        """Raises `Unavailable` when nothing can be written now; tried by really writing, but nothing that is read."""
        ...

    def close(self) -> None:
        """Let go of the file; whoever drains takes it from there."""
        ...


class PredictionLog(Protocol):
    """Answers, silent answers and labels, in segments that replicas share."""

    def drain(self) -> int:
        """Turn the spools that nobody writes to any more into segments; returns their rows. May be killed and repeated anywhere,
        and done by several at once: no row is lost and none is there twice. Raises `Unavailable`."""
        ...

    def rows(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        *,
        labelled: bool | None = None,
        inputs: bool = True,
        shadow: str | None = None,
    ) -> pl.DataFrame:
        """One row a request of this time (from `since` on, before `until`), by time, with the columns above and an INPUT column for
        every field (unless `inputs` is False); the last label wins, null without one. Answers and labels are numbers where all
        of them are, else text. `labelled`: only rows with a label, or without. `shadow`: this version's silent answers; without
        it, where several answered silently, those that were written last. Raises `Unavailable`."""
        ...

    def add_labels(self, labels: pl.DataFrame, source: str, written: datetime | None = None) -> int:
        """Labels in bulk: `request_id`, `label` (text or number), `labelled_at`, in place of which `written` is taken where it is
        null. The same content again is found, not added, whatever `written` is by then. Returns how many belong to no request
        that the log holds. Raises `DataError`, `Unavailable`."""
        ...

    def tidy(self, now: datetime, taken: pl.Series) -> Mapping[str, int]:
        """Merge the segments of finished days and remove rows beyond their time, but (where labelled rows are taken in) never one
        with a label whose request_id is not among those `taken`; returns what was merged and removed. May be killed anywhere."""
        ...

    def outlived(self, now: datetime) -> Sequence[Kept]:
        """The days (YYYY-MM-DD) all of whose rows are beyond their time, with their bytes and the moment at which each ended. Rows
        of them that wait to be taken stay. Raises `Unavailable`."""
        ...


class Spans(Protocol):
    """Which labelled rows of the log the loop has taken."""

    def taken(self) -> pl.DataFrame:
        """request_id, label and span of every row that was ever taken."""
        ...

    def take(self, rows: pl.DataFrame) -> int:
        """Keep these rows as the next span, atomically; returns its number, from 1. The caller holds the project's lease."""
        ...

    def read(self, number: int) -> pl.DataFrame:
        """The rows of a span, as they were taken. Raises `NotFound`."""
        ...

    def count(self) -> int:
        """How many spans there are."""
        ...


class Documents(Protocol):
    """Small pieces of shared state."""

    def get(self, project: str, key: str) -> Document | None: ...

    def put(self, project: str, key: str, text: str, revision: int) -> Document:
        """Store in place of `revision`, 0 where there must be none yet. Raises `Conflict` when somebody was faster."""
        ...


class Audit(Protocol):
    """Admin acts, written once and never changed."""

    def record(self, project: str, entry: AuditEntry) -> None:
        """Add an entry."""
        ...

    def recent(self, project: str, limit: int = 50) -> Sequence[AuditEntry]:
        """The latest, newest first."""
        ...


@dataclass(frozen=True, kw_only=True)
class Shelved:
    """A model version as the registry knows it."""

    model: str  # registered name
    version: str
    mark: str  # differs where its files may differ
    content_hash: str | None  # None: it was made by something else than keepfit
    run: str  # the run that made it, empty where none is known
    served: str | None = None  # `keepfit.versions.hash_of_served` when it was registered; None: by an older keepfit, or elsewhere
    code: str | None = None  # fingerprint of the project's code then


@dataclass(frozen=True, kw_only=True)
class Packed:
    """What lies in the folder of one version that `keepfit data model` has written, beside its files."""

    FILE: ClassVar[str] = "keepfit-model.json"

    shelved: Shelved
    known: ModelVersion  # as the registry knew it then
    files: tuple[str, ...] = ()  # all that was written beside this record, by their paths; nothing else is ever removed


class Shelf(Protocol):
    """Where model versions lie, for whoever serves them; nothing is loaded."""

    def pointed(self, alias: str) -> Shelved | None:
        """The version that an alias points to; None where there is no such alias. Raises `NotFound` where there is no model of
        the name at all, `Unavailable`."""
        ...

    def newest(self) -> Shelved | None:
        """The version that was registered last. Raises `Unavailable`."""
        ...

    def version(self, number: str) -> Shelved:
        """One version. Raises `NotFound`, `Unavailable`."""
        ...

    def fetch(self, shelved: Shelved, folder: Path) -> None:
        """Copy its files into an empty folder: the model below model/, and those of `keepfit.versions.INPUTS_PATH` and CODE_PATH
        where it has them. Raises `NotFound`, `Unavailable`."""
        ...
