"""What the names of data files say: which are data, which are still being written, and what else a file may be called."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from keepfit.errors import DataError
from keepfit.records import Batch

TEMPORARY = (".tmp", ".temp", ".part", ".partial", ".crdownload", ".filepart", ".swp", "~")
SUFFIXES = (".csv", ".parquet", ".pq", ".jsonl", ".ndjson")
NOTE_SUFFIX = ".reason.json"
OF_A_VERSION = "?versionId="  # in a name, it is another object to the library that opens S3
SHORT = 40  # bytes of a stem that fits on every disk, with a hash and all that is written beside a file


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


def is_plain(name: str) -> bool:
    """Whether it is a path below a folder: names between slashes, none of them empty, . or .. (a key in a store may have any)."""
    return "\0" not in name and not {"", ".", ".."} & set(name.split("/"))


def check_name(name: str) -> None:
    """Raises `DataError` for a name under which a file cannot be taken in."""
    if not name.isprintable():
        raise DataError(f"{name!a} was left where it is: its name has characters that cannot be shown. Rename it.")
    if not is_plain(name):
        raise DataError(f"{name!r} was left where it is: expected names between slashes, found an empty, . or .. one. Rename it.")
    if OF_A_VERSION in name:
        raise DataError(f"{name!r} was left where it is: ?versionId= is no part of a name in object storage. Rename it.")


def names_of(batch: Batch) -> Iterator[str]:
    """What a batch may be called in a folder: its own name; others in case different content has that; and short ones, for a
    folder in which the own is too long or leads through a file."""
    own = PurePosixPath(batch.name)
    hashes = (batch.id[:12], batch.id)
    spare = [own.with_name(f"{own.stem}.{hash}{own.suffix}").as_posix() for hash in hashes]
    short = [f"{_short(own.stem)}.{hash}{own.suffix}" for hash in hashes]
    yield from dict.fromkeys((batch.name, *spare, *short))


def names_of_rows(batch: Batch) -> tuple[str, ...]:
    """What rows that were set aside of a batch may be called."""
    own, hash = PurePosixPath(batch.name), batch.id[:12]
    ending = ".rows.csv" if batch.name.lower().endswith(".csv") else ".rows.parquet"
    spare = own.with_name(f"{own.name}.{hash}{ending}").as_posix()
    return own.as_posix() + ending, spare, f"{_short(own.name)}.{hash}{ending}"


def names_of_note(batch: Batch) -> tuple[str, str]:
    """What the note beside a batch may be called."""
    return batch.name + NOTE_SUFFIX, f"{_short(PurePosixPath(batch.name).name)}.{batch.id[:12]}{NOTE_SUFFIX}"


def _short(name: str) -> str:
    return name.encode(errors="surrogateescape")[:SHORT].decode(errors="ignore")
