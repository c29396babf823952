"""From spools to segments.

A spool whose lock is free has nobody who writes to it. Whoever then takes its lock turns it into segments that are named after it,
and deletes it last: a drainer that dies anywhere is repeated by the next one, which writes the same segments again.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from keepfit.adapters.prediction_log import SPOOL, frames
from keepfit.adapters.prediction_log.lines import LABEL, PREDICTION, SHADOW, decode
from keepfit.adapters.prediction_log.segments import LABELS, PREDICTIONS, SHADOWS, Segments
from keepfit.errors import Unavailable

DAMAGED = "damaged"  # folder, beside the spools, of lines that cannot be read
_DAY = 86_400_000  # milliseconds
logger = logging.getLogger("keepfit.log")


@dataclass
class _Contents:
    """What a spool holds."""

    rows: dict[tuple[str, str], list[list[Any]]] = field(default_factory=dict)  # kind and day of the request -> rows
    broken: list[bytes] = field(default_factory=list)  # lines that cannot be read
    count: int = 0


def drain(path: Path, segments: Segments) -> int:
    """Turn one spool into segments, unless somebody writes to it or drains it; returns its rows. Raises `Unavailable`."""
    try:
        with _alone(path) as text:
            if text is None:
                return 0
            contents = _read(text)
            _write(contents, path.name.removesuffix(SPOOL), segments)
            if contents.broken:
                _set_aside(contents.broken, path)
            path.unlink()
            return contents.count
    except OSError as error:
        raise Unavailable(f"{path} cannot be drained: {error.strerror or error}. The answers in it wait there.") from error


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[bytes | None]:
    """What is in the file, while nobody else can lock it; None where somebody has, or it is gone."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        yield None
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield file.read() if os.fstat(file.fileno()).st_nlink else None


def _read(text: bytes) -> _Contents:
    contents, days = _Contents(), dict[int, str]()
    *whole, rest = text.split(b"\n")
    for line in whole:
        if not line:
            continue
        try:
            told = [(row, _day(row[1], days)) for row in decode(line)]
        except (ValueError, TypeError, OverflowError):
            contents.broken.append(line)
            continue
        for row, day in told:
            contents.rows.setdefault((row[0], day), []).append(row)
        contents.count += len(told)
    if rest:  # its write never returned
        contents.broken.append(rest)
    return contents


def _day(id: str, known: dict[int, str]) -> str:
    """The day of a request, as `request_ids.time_of` tells it. Raises ValueError for what is no id."""
    if len(id) != 36:
        raise ValueError(f"{id!r} is no request id")
    number = int(id[:8] + id[9:13], 16) // _DAY
    if number not in known:
        known[number] = str(datetime.fromtimestamp(number * _DAY / 1000, UTC).date())
    return known[number]


def _write(contents: _Contents, name: str, segments: Segments) -> None:
    begun = name.partition("-")[0]
    written = int(begun) * 1000 if begun.isdigit() else 0
    for (kind, day), rows in contents.rows.items():
        if kind == PREDICTION:
            segments.write(PREDICTIONS, day, name, frames.predictions(rows))
        elif kind == SHADOW:
            segments.write(SHADOWS, day, name, frames.shadows(rows, written, name))
        elif kind == LABEL:
            segments.write(LABELS, day, name, frames.labels(rows, written, name))


def _set_aside(broken: list[bytes], path: Path) -> None:
    """Keep lines that cannot be read, for a person to look at."""
    target = path.parent / DAMAGED / path.name
    target.parent.mkdir(mode=0o700, exist_ok=True)
    temporary = target.with_name(f".{target.name}.tmp")  # whoever holds the spool's lock writes alone
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(b"\n".join(broken))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(target)
    logger.warning("action=spool_damaged spool=%s lines=%d kept_in=%s", path.name, len(broken), target.parent)
