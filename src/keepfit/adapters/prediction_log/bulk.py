"""Labels in bulk, from a file that somebody has."""

from __future__ import annotations

import hashlib
import json
import time
from datetime import datetime

import polars as pl

from keepfit.adapters.prediction_log.frames import MOMENT, labels
from keepfit.adapters.prediction_log.places import Place
from keepfit.adapters.prediction_log.segments import LABELS, PREDICTIONS, Segments
from keepfit.errors import DataError
from keepfit.live_ports import LABEL, LABELLED_AT, REQUEST
from keepfit.request_ids import RequestIds

ADDED = "added"  # folder that tells which content is in the log, when it came and from where
_DAY = "day"


def add(given: pl.DataFrame, source: str, written: datetime | None, segments: Segments, place: Place, ids: RequestIds) -> int:
    """See `PredictionLog.add_labels`."""
    rows = _checked(given, written, ids)
    content = _content(rows)
    rows = rows.with_columns(pl.col(LABELLED_AT).fill_null(pl.lit(written, MOMENT)))
    marker = f"{ADDED}/{content}.json"
    days = {str(day): part.drop(_DAY) for (day,), part in rows.group_by(_DAY, maintain_order=True)}
    if marker not in place.names(ADDED):
        moment = int(time.time() * 1e6)
        _write(days, content, moment, source, segments)
        told = json.dumps({"source": source, "rows": rows.height, "added_at": moment})
        place.write(marker, lambda file: file.write(told.encode()))
    return sum(_unknown(part, segments, day) for day, part in days.items())


def _checked(given: pl.DataFrame, written: datetime | None, ids: RequestIds) -> pl.DataFrame:
    missing = [name for name in (REQUEST, LABEL, LABELLED_AT) if name not in given.columns]
    if missing:
        raise DataError(f"Labels need the columns {REQUEST}, {LABEL} and {LABELLED_AT}; {', '.join(missing)} not found.")
    if not given[LABELLED_AT].dtype.is_temporal():
        raise DataError(f"{LABELLED_AT} is {given[LABELLED_AT].dtype}: expected moments.")
    asked = given[REQUEST].cast(pl.String).str.strip_chars().str.to_lowercase()
    _refuse(given, [id is None or not ids.is_ours(id) for id in asked], f"is no {REQUEST} of this project")
    _refuse(given, given[LABEL].is_null().to_list(), f"has no {LABEL}")
    if written is None:
        _refuse(given, given[LABELLED_AT].is_null().to_list(), f"has no {LABELLED_AT}")
    milliseconds = asked.str.replace_all("-", "").str.head(12).str.to_integer(base=16, dtype=pl.Int64)
    return given.select(asked.alias(REQUEST), LABEL, _utc(given[LABELLED_AT])).with_columns(
        milliseconds.cast(pl.Datetime("ms", "UTC")).dt.date().alias(_DAY)
    )


def _refuse(given: pl.DataFrame, wrong: list[bool], what: str) -> None:
    """Raises `DataError` with three examples where any row is wrong."""
    at = [number for number, is_wrong in enumerate(wrong) if is_wrong]
    if at:
        shown = "; ".join(f"row {number + 1}: {given[REQUEST][number]!r} {what}" for number in at[:3])
        raise DataError(f"{len(at)} of {given.height} labels cannot be added, so none was: {shown}.")


def _utc(moments: pl.Series) -> pl.Series:
    """Moments without a zone are UTC's."""
    kind = moments.dtype
    if isinstance(kind, pl.Datetime) and kind.time_zone is not None:
        return moments.dt.convert_time_zone("UTC").cast(MOMENT)
    return moments.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def _content(rows: pl.DataFrame) -> str:
    """Hash of what is said, whatever the file is called and whenever it was copied."""
    whole = rows.select(REQUEST, pl.col(LABEL).cast(pl.String), LABELLED_AT).write_csv(include_header=False)
    return hashlib.blake2b(whole.encode(), digest_size=16).hexdigest()


def _write(days: dict[str, pl.DataFrame], content: str, moment: int, source: str, segments: Segments) -> None:
    """A segment a day, but for those that are there from a time when this was interrupted."""
    stem = f"bulk-{content}"
    for day, part in days.items():
        if any(name.startswith(f"{LABELS}/date={day}/{stem}.") for name in segments.on(LABELS, day)):
            continue
        moments = (part[LABELLED_AT].dt.timestamp("us") / 1e6).to_list()
        given = part[LABEL] if part[LABEL].dtype.is_numeric() else part[LABEL].cast(pl.String)
        told = list(zip([""] * part.height, part[REQUEST].to_list(), moments, given.to_list(), strict=True))
        segments.write(LABELS, day, stem, labels(told, moment, source))


def _unknown(part: pl.DataFrame, segments: Segments, day: str) -> int:
    """How many requests of these the log does not hold."""
    asked = part.lazy().select(pl.col(REQUEST).unique())

    def read() -> int:
        known = segments.scan(
            segments.on(PREDICTIONS, day), lambda name: name == REQUEST, pl.LazyFrame(schema={REQUEST: pl.String})
        )
        return asked.join(known, on=REQUEST, how="anti").collect().height

    return segments.reading(read)
