"""Which data a model was trained on, file by file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import PurePosixPath

RAW, PROCESSED, REFERENCE = "raw", "processed", "reference"
FOLDERS = (RAW, PROCESSED, REFERENCE)
REFERENCE_FILE = f"{REFERENCE}/reference.parquet"


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """One file of a cycle's data."""

    path: str  # below the cycle's folder: raw/day-1.csv, processed/rows-….parquet, reference/reference.parquet
    sha256: str
    size: int  # bytes
    name: str  # what it goes by where it comes from: the batch's name, the frame's in the store

    def __post_init__(self) -> None:
        parts = PurePosixPath(self.path).parts
        if len(parts) < 2 or parts[0] not in FOLDERS or ".." in parts:
            raise ValueError(f"{self.path!r} cannot be the path of a data file: expected a name below {', '.join(FOLDERS)}")

    @property
    def folder(self) -> str:
        """raw, processed or reference."""
        return self.path.partition("/")[0]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The data of one cycle that trained: the files as they came, the prepared rows with what divides them, and the reference."""

    project: str
    cycle: str
    files: tuple[DataFile, ...]  # the raw ones in the order in which they were trained on
    missing: dict[str, str] = field(default_factory=dict)  # path -> why, of what was gone when the cycle trained
    pointers: dict[str, str] = field(default_factory=dict)  # folder -> the text of DVC's file about it; empty without DVC

    def __post_init__(self) -> None:
        if self.cycle in ("", "..") or PurePosixPath(self.cycle).name != self.cycle:  # a folder goes by it
            raise ValueError(f"{self.cycle!r} cannot be a cycle's id")

    @property
    def id(self) -> str:
        """sha256 of the files' paths and hashes: equal for equal data, whichever cycle trained on them."""
        lines = sorted(f"{file.path}\0{file.sha256}\n" for file in self.files)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def of(self, folder: str) -> tuple[DataFile, ...]:
        """The files of one of the three folders."""
        return tuple(file for file in self.files if file.folder == folder)


@dataclass(frozen=True, kw_only=True)
class KeptData:
    """What keeping a cycle's data came to."""

    manifest: Manifest  # with what turned out to be gone, and the pointers
    commit: str | None = None  # of the git repository that has the pointers
    notes: tuple[str, ...] = ()  # what could not be done and is made up for later
