"""The data files, what is made of them, and who checks them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from keepfit.data_records import KeptData, Manifest
from keepfit.records import Batch, Finding, Place

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from keepfit.settings import Column


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
