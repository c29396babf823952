"""What the names of data files say: which are data, which are still being written, and what else a file may be called."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from keepfit.records import Batch

TEMPORARY = (".tmp", ".temp", ".part", ".partial", ".crdownload", ".filepart", ".swp", "~")
SUFFIXES = (".csv", ".parquet", ".pq", ".jsonl", ".ndjson")
NOTE_SUFFIX = ".reason.json"


def is_temporary(name: str) -> bool:
    """Whether a name is that of a file which is still being written."""
    return name.lower().endswith(TEMPORARY)


def is_data(name: str) -> bool:
    """Whether a path below a folder is a data file's, or will be one's; nothing below a hidden folder is."""
    lowered = name.lower()
    for ending in TEMPORARY:
        lowered = lowered.removesuffix(ending)
    return lowered.endswith(SUFFIXES) and not any(part.startswith(".") for part in name.split("/"))


def holds_rows(name: str) -> bool:
    """Whether it holds rows that were set aside, of a batch that lies elsewhere."""
    return name.lower().endswith((".rows.csv", ".rows.parquet"))


def names_of(batch: Batch) -> Iterator[str]:
    """What a batch may be called in a folder: its own name, and others in case different content has that."""
    own = PurePosixPath(batch.name)
    yield batch.name
    for digits in (12, 64):
        yield own.with_name(f"{own.stem}.{batch.id[:digits]}{own.suffix}").as_posix()


def names_of_rows(batch: Batch) -> tuple[str, str]:
    """What rows that were set aside of a batch may be called."""
    ending = ".rows.csv" if batch.name.lower().endswith(".csv") else ".rows.parquet"
    own = PurePosixPath(batch.name + ending)
    return own.as_posix(), own.with_name(f"{PurePosixPath(batch.name).name}.{batch.id[:12]}{ending}").as_posix()
