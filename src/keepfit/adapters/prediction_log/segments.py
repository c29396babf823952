"""The log's Parquet files: kind/date=YYYY-MM-DD/stem.layout.parquet, the date being that of the request.

`layout` is a hash of the file's columns and types, so that files that look alike are read together without opening each first.
Two versions of a model may ask for different fields, or for a field of another type; reading unites them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from itertools import groupby
from typing import TypeVar

import polars as pl

from keepfit.adapters.prediction_log.places import Place
from keepfit.errors import DataError, Unavailable

PREDICTIONS, SHADOWS, LABELS = "predictions", "shadows", "labels"
ENDING = ".parquet"
PATIENCE = 20  # times that a log is listed again while others change it
Read = TypeVar("Read")


class Segments:
    """Reads and writes them in a place."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def write(self, kind: str, day: str, stem: str, rows: pl.DataFrame | pl.LazyFrame) -> str:
        """Rows of one day, whole or not at all; equal arguments make equal files. Returns the segment's name."""
        layout = _layout(rows.collect_schema())
        name = f"{kind}/date={day}/{stem}.{layout}{ENDING}"
        if isinstance(rows, pl.DataFrame):
            self._place.write(name, lambda target: rows.write_parquet(target, compression="zstd"))
        else:
            self._place.write(name, lambda target: rows.sink_parquet(target, compression="zstd"))
        return name

    def days(self, kind: str) -> list[str]:
        """The days of which there are rows, as YYYY-MM-DD."""
        return [name.removeprefix("date=") for name in self._place.folders(kind) if name.startswith("date=")]

    def names(self, kind: str, since: datetime | None = None, until: datetime | None = None) -> tuple[str, ...]:
        """The segments with requests of this time, and perhaps of the days at its ends. A segment is there before those that were
        merged into it go, so a listing that shows the same twice misses nothing."""
        found = self._listed(kind, since, until)
        for _ in range(PATIENCE):
            before, found = found, self._listed(kind, since, until)
            if found == before:
                break
        return found

    def on(self, kind: str, day: str) -> tuple[str, ...]:
        """The segments of one day."""
        return self.names(kind, *[datetime.fromisoformat(day).replace(tzinfo=UTC)] * 2)

    def reading(self, read: Callable[[], Read]) -> Read:
        """What `read` returns; it lists and reads again where segments were merged or removed under its hands."""
        for _ in range(PATIENCE):
            try:
                return read()
            except FileNotFoundError:
                continue
            except pl.exceptions.PolarsError as error:
                raise DataError(f"A segment of the prediction log is damaged: {error}") from error
            except OSError as error:
                raise Unavailable(f"The prediction log cannot be read: {error.strerror or error}.") from error
        raise Unavailable("The prediction log changes faster than it can be read. Try again.")

    def scan(self, names: Sequence[str], columns: Callable[[str], bool], like: pl.LazyFrame | None = None) -> pl.LazyFrame:
        """The rows of all these, with the columns that are wanted, and with those of `like`, null where there are none. Raises
        FileNotFoundError, now or when it is collected, where a segment has gone."""
        alike = [list(group) for _, group in groupby(sorted(names, key=_layout_of), key=_layout_of)]
        frames = [pl.scan_parquet(self._place.sources(group), glob=False, hive_partitioning=False, cache=False) for group in alike]
        wanted = [frame.select([name for name in frame.collect_schema().names() if columns(name)]) for frame in frames]
        return united(wanted if like is None else [like, *wanted])

    def remove(self, names: Sequence[str]) -> None:
        self._place.remove(names)

    def _listed(self, kind: str, since: datetime | None, until: datetime | None) -> tuple[str, ...]:
        if since is None and until is None:
            found = self._place.names(kind)
        else:
            first = "" if since is None else str(_day(since))
            last = "9999" if until is None else str(_day(until))
            found = [name for day in self.days(kind) if first <= day <= last for name in self._place.names(f"{kind}/date={day}")]
        return tuple(name for name in found if name.endswith(ENDING))


def day_of(name: str) -> str:
    """The day of a segment's requests, as YYYY-MM-DD."""
    return name.split("/")[1].removeprefix("date=")


def united(frames: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
    """All rows, null where a frame lacks a column. Whole numbers and others become others; types that have nothing in common
    become text."""
    types: dict[str, list[pl.DataType]] = {}
    for frame in frames:
        for name, kind in frame.collect_schema().items():
            types.setdefault(name, []).append(kind)
    common = {name: common_type(kinds) for name, kinds in types.items()}
    same = [
        frame.with_columns(
            [cast_to(pl.col(name), kind, common[name]) for name, kind in frame.collect_schema().items() if kind != common[name]]
        )
        for frame in frames
    ]
    return pl.concat(same, how="diagonal") if same else pl.LazyFrame()


def common_type(kinds: Sequence[pl.DataType]) -> pl.DataType:
    """What holds values of all these types."""
    known = {kind for kind in kinds if kind != pl.Null}
    if len(known) > 1:
        return pl.Float64() if all(kind.is_numeric() for kind in known) else pl.String()
    return known.pop() if known else pl.Null()


def cast_to(values: pl.Expr, kind: pl.DataType, to: pl.DataType) -> pl.Expr:
    """Values of one type as another. A whole number is written as one, whether it was kept as one or not."""
    if to != pl.String:
        return values.cast(to)
    if not kind.is_float():
        return values.cast(pl.String)
    whole = values.is_between(-(2**53), 2**53) & (values == values.round())
    return pl.when(whole).then(values.cast(pl.Int64, strict=False).cast(pl.String)).otherwise(values.cast(pl.String))


def _layout(schema: pl.Schema) -> str:
    return hashlib.blake2b(repr([(name, str(kind)) for name, kind in schema.items()]).encode(), digest_size=4).hexdigest()


def _layout_of(name: str) -> str:
    return name.removesuffix(ENDING).rpartition(".")[2]


def _day(moment: datetime) -> date:
    return moment.astimezone(UTC).date()
