"""Prepared rows for other tools: folders with training.parquet, holdout.parquet and metadata.json.

A folder is whole when its metadata.json says so; that is written last. What is there already is found, not written again, and a
folder that holds anything else is left alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from keepfit import __version__
from keepfit.addresses import is_remote, local_path
from keepfit.config import Config
from keepfit.errors import Conflict, DataError, NotFound, Unavailable
from keepfit.object_storage.store import ObjectStore
from keepfit.ports import Ports
from keepfit.prepared import GROUP, HOLDOUT, TIME, TRUTH, held_out_by, kept_rows, training_set
from keepfit.records import Batch, BatchState, Cycle

TRAINING, JUDGING, METADATA = "training.parquet", "holdout.parquet", "metadata.json"
BELOW = "prepared_data"  # in the project's folder, where no other place is named


@dataclass(frozen=True, kw_only=True)
class PreparedFolder:
    """One folder of prepared rows."""

    path: str  # or its URL
    date: str  # the day of its rows: by data.time, or when they arrived
    files: tuple[str, ...]  # names of the data files that the rows came from
    training: int  # rows
    holdout: int  # rows
    new: bool  # whether it was written now; False: it was there


@dataclass(frozen=True, kw_only=True)
class PreparedExport:
    """What was written of a cycle."""

    cycle: str
    content: str  # sha256 of all that a training in this cycle rests on; `candidate.trained_on` once there was one
    folders: tuple[PreparedFolder, ...]  # by day; none where no file came in this cycle


def export_prepared(cycle: Cycle, out: str | None, below: str | None, ports: Ports, config: Config) -> PreparedExport:
    """Write the prepared rows of a cycle's own files: all into the folder or URL `out`, or each day's into a folder of its own
    `below` one, named by the date. A day that came in several cycles has a folder for each.

    Raises `NotFound` when the cycle has prepared nothing, `Conflict` when `out` holds something else, `DataError`, `Unavailable`.
    """
    if cycle.prepared is None:
        ended = f" and ended as {cycle.outcome}" if cycle.outcome else ""
        raise NotFound(f"Cycle {cycle.id} has no prepared rows: it got as far as {cycle.stage or 'nothing'}{ended}.")
    mine = [batch for batch in cycle.batches if batch.state is not BatchState.QUARANTINED]
    rows = {batch.id: _rows(batch, cycle.prepared.fingerprint, ports, config) for batch in mine}
    days: dict[str, list[Batch]] = {}
    for batch in mine:
        days.setdefault(_day(rows[batch.id], batch, cycle), []).append(batch)
    folders = []
    if out is not None and mine:
        frame = pl.concat(list(rows.values()), how="diagonal_relaxed")
        folders.append(_export(_place(out, config), max(days), frame, mine, cycle, config))
    elif out is None:
        for day, batches in sorted(days.items()):
            frame = pl.concat([rows[batch.id] for batch in batches], how="diagonal_relaxed")
            place = _free(f"{(below or BELOW).rstrip('/')}/{day}", batches, config)
            folders.append(_export(place, day, frame, batches, cycle, config))
    content = cycle.candidate.trained_on if cycle.candidate else training_set(cycle, ports, config)[1]
    return PreparedExport(cycle=cycle.id, content=content, folders=tuple(folders))


# ---------------------------------------------------------------------------------------------------------------- rows


def _rows(batch: Batch, fingerprint: str, ports: Ports, config: Config) -> pl.DataFrame:
    """One batch's rows under their own names, and whether each judges (`HOLDOUT`) and when it came about (`TIME`)."""
    kept, ids = kept_rows(batch, fingerprint, ports, config)
    data = config.data
    own = {HOLDOUT: kept[HOLDOUT], TIME: _in_utc(kept[TIME])}
    if data.id is not None and ids is not None:
        own[data.id] = ids
    if data.time is not None:
        own[data.time] = own[TIME]
    if data.group is not None:
        own[data.group] = kept[GROUP]
    features = kept.select(name for name in kept.columns if not name.startswith("__"))
    own |= {name: features[name] for name in features.columns}
    return pl.DataFrame({**own, data.target: kept[TRUTH]})


def _in_utc(times: pl.Series) -> pl.Series:
    """With their zone: what has none is taken as UTC."""
    if times.dtype != pl.Datetime:
        times = times.cast(pl.Datetime("us"))
    zone = times.dtype.time_zone if isinstance(times.dtype, pl.Datetime) else None
    aware = times.dt.convert_time_zone("UTC") if zone else times.dt.replace_time_zone("UTC")
    return aware.dt.cast_time_unit("us")


def _day(rows: pl.DataFrame, batch: Batch, cycle: Cycle) -> str:
    first = rows[TIME].min()
    day: Any = first if first is not None else batch.arrived_at or cycle.started_at
    return str(day.date().isoformat())


# ------------------------------------------------------------------------------------------------------------- folders


def _free(address: str, batches: Sequence[Batch], config: Config) -> Place:
    """The folder for these files of a day: a second one where other files of that day have the first."""
    place = _place(address, config)
    known = _metadata(place)
    if known is None or known["files"] == _files(batches):
        return place
    digest = hashlib.sha256("\n".join(batch.id for batch in batches).encode()).hexdigest()
    return _place(f"{address}-{digest[:8]}", config)


def _export(place: Place, day: str, rows: pl.DataFrame, batches: Sequence[Batch], cycle: Cycle, config: Config) -> PreparedFolder:
    """Write a folder, or find it written. The same files, prepared in another way since, take the place of what is there."""
    parts = {name: rows.filter(pl.col(HOLDOUT) == held_out) for name, held_out in ((TRAINING, False), (JUDGING, True))}
    folder = PreparedFolder(
        path=place.address,
        date=day,
        files=tuple(batch.name for batch in batches),
        training=parts[TRAINING].height,
        holdout=parts[JUDGING].height,
        new=False,
    )
    facts = _facts(rows.drop(HOLDOUT, TIME), folder, batches, cycle, config)
    known = _metadata(place)
    if known is None and place.names():
        raise Conflict(f"{place.address} holds {place.names()[0]}, which keepfit did not put there. Name an empty or a new folder.")
    if known is not None and known["files"] != facts["files"]:
        names = ", ".join(each["name"] for each in known["files"][:3])
        raise Conflict(f"{place.address} holds the prepared rows of other files ({names}). Name another folder.")
    if known is not None and known["whole"] and known["prepared"] == facts["prepared"] and known["columns"] == facts["columns"]:
        return folder
    place.write(METADATA, _json({**facts, "whole": False}))
    for name, part in parts.items():
        place.write(name, _parquet(part.drop(HOLDOUT, TIME)))
    place.write(METADATA, _json({**facts, "whole": True}))
    return replace(folder, new=True)


def _facts(rows: pl.DataFrame, folder: PreparedFolder, batches: Sequence[Batch], cycle: Cycle, config: Config) -> dict[str, Any]:
    data, own = config.data, (config.data.id, config.data.time, config.data.group, config.data.target)
    return {
        "project": config.project.name,
        "cycle": cycle.id,
        "date": folder.date,
        "files": _files(batches),
        "rows": {"training": folder.training, "holdout": folder.holdout, "labelled": rows.height - rows[data.target].null_count()},
        "columns": {name: str(kind) for name, kind in rows.schema.items()},
        "features": [name for name in rows.columns if name not in own],
        "target": data.target,
        "id": data.id if data.id in rows.columns else None,
        "time": data.time,
        "group": data.group,
        "split": {"by": held_out_by(config), "share": data.holdout.share},
        "prepared": cycle.prepared.fingerprint if cycle.prepared else None,
        "keepfit": __version__,
    }


def _files(batches: Sequence[Batch]) -> list[dict[str, str]]:
    return [{"name": batch.name, "sha256": batch.id} for batch in batches]


def _metadata(place: Place) -> dict[str, Any] | None:
    """What keepfit wrote about a folder; None where there is nothing of the kind. Raises `Conflict`."""
    content = place.read(METADATA)
    if content is None:
        return None
    try:
        facts: dict[str, Any] = json.loads(content)
        if not {"files", "whole", "prepared", "columns"} <= set(facts):
            raise ValueError
    except (ValueError, TypeError):
        raise Conflict(f"{place.address}/{METADATA} is not of keepfit's writing. Name another folder.") from None
    return facts


def _json(facts: Mapping[str, Any]) -> bytes:
    return (json.dumps(facts, indent=2, ensure_ascii=False) + "\n").encode()


def _parquet(rows: pl.DataFrame) -> bytes:
    content = BytesIO()
    rows.write_parquet(content, compression="zstd")
    return content.getvalue()


# -------------------------------------------------------------------------------------------------------------- places


class Place(Protocol):
    """A folder here or a prefix in object storage. Raises `Unavailable`."""

    address: str

    def names(self) -> list[str]: ...

    def read(self, name: str) -> bytes | None: ...

    def write(self, name: str, content: bytes) -> None:
        """Whole or not at all."""
        ...


def _place(address: str, config: Config) -> Place:
    return _Store(address) if is_remote(address) else _Folder(config.path(str(local_path(address))))


class _Folder:
    def __init__(self, path: Path) -> None:
        self._path, self.address = path, str(path)

    def names(self) -> list[str]:
        with contextlib.suppress(FileNotFoundError), self._asked(missing=True):
            return sorted(each.name for each in self._path.iterdir() if not each.name.endswith(".tmp"))
        return []

    def read(self, name: str) -> bytes | None:
        with contextlib.suppress(FileNotFoundError), self._asked(missing=True):
            return (self._path / name).read_bytes()
        return None

    def write(self, name: str, content: bytes) -> None:
        temporary = self._path / f".{name}.{os.getpid()}.tmp"
        with self._asked():
            self._path.mkdir(parents=True, exist_ok=True)
            try:
                temporary.write_bytes(content)
                temporary.replace(self._path / name)
            finally:
                temporary.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _asked(self, *, missing: bool = False) -> Iterator[None]:
        """Errors of the disk in keepfit's words; `missing` lets FileNotFoundError through."""
        try:
            yield
        except (FileExistsError, NotADirectoryError) as error:
            raise DataError(f"{self._path} is a file, or lies below one: expected a folder. Name another one.") from error
        except OSError as error:
            if missing and isinstance(error, FileNotFoundError):
                raise
            raise Unavailable(f"{self._path} cannot be used: {error.strerror or error}. Nothing is lost; run again.") from error


class _Store:
    def __init__(self, url: str) -> None:
        self._store, self.address = ObjectStore(url, "the prepared data"), url.rstrip("/")

    def names(self) -> list[str]:
        return list(self._store.listing())

    def read(self, name: str) -> bytes | None:
        with contextlib.suppress(FileNotFoundError):
            return self._store.read(name)
        return None

    def write(self, name: str, content: bytes) -> None:
        self._store.write(name, content)
