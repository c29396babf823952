"""Fewer and younger segments: small ones are merged, and old ones removed.

What is merged is there before its parts go, and reading takes each request once: killed anywhere, or done twice at a time, this
only leaves a part behind that the next time finds again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from itertools import groupby

import polars as pl

from keepfit.adapters.prediction_log.places import Place
from keepfit.adapters.prediction_log.segments import ENDING, LABELS, PREDICTIONS, SHADOWS, Segments, day_of
from keepfit.live_ports import REQUEST
from keepfit.ports import Kept

KINDS = (PREDICTIONS, SHADOWS, LABELS)
LEVELS = 3  # of a day that is not over: single spools, merged ones, and those merged again


def merge(segments: Segments, now: datetime, most: int) -> int:
    """Merge where a finished day has more than `most` segments, all into one; of a day that is not over, those that were merged
    equally often, so that nothing is written more than three times. Returns how many were merged into others."""
    today, merged = str(now.astimezone(UTC).date()), 0
    for kind in KINDS:
        for day, found in groupby(segments.names(kind), day_of):
            names = list(found)
            for level in range(LEVELS if day >= today else 1):
                alike = [name for name in names if _level(name) == level] if day >= today else names
                if len(alike) > most and (written := _merged(segments, kind, day, alike)):
                    merged += len(alike)
                    names.append(written)
    return merged


def remove(segments: Segments, before: datetime, taken: pl.Series | None) -> int:
    """Remove what was answered on days that ended before a moment, but for labelled rows that were not taken (`taken` None: none is
    waited for); silent answers and labels go with the last answers of their day. Returns how many segments went."""
    found = {day for kind in KINDS for day in segments.days(kind) if _end(day) <= before}
    return sum(_removed(segments, day, taken) for day in sorted(found))


def outlived(place: Place, before: datetime) -> list[Kept]:
    """The days that ended before a moment, with the bytes of their segments."""
    days: dict[str, int] = {}
    for kind in KINDS:
        for name, size in place.sizes(kind).items():
            if name.endswith(ENDING):
                days[day_of(name)] = days.get(day_of(name), 0) + size
    return [Kept(name=day, size=size, at=_end(day)) for day, size in sorted(days.items()) if _end(day) <= before]


def _merged(segments: Segments, kind: str, day: str, names: Sequence[str]) -> str | None:
    """The segment that these became; None where somebody else is merging or removing them."""
    level = 1 + max(map(_level, names))
    parts = hashlib.blake2b("\n".join(sorted(names)).encode(), digest_size=12).hexdigest()
    try:
        written = segments.write(kind, day, f"merged{level}-{parts}", segments.scan(names, lambda name: True))
    except FileNotFoundError:
        return None
    segments.remove([name for name in names if name != written])
    return written


def _level(name: str) -> int:
    """How often the rows of a segment were merged."""
    stem = name.rpartition("/")[2].partition("-")[0]
    level = stem.removeprefix("merged")
    return int(level) if level != stem and level.isdigit() else 0


def _removed(segments: Segments, day: str, taken: pl.Series | None) -> int:
    gone = segments.reading(lambda: _replaced(segments, day, taken))
    segments.remove(gone)
    if segments.on(PREDICTIONS, day):
        return len(gone)
    rest = [*segments.on(SHADOWS, day), *segments.on(LABELS, day)]
    segments.remove(rest)
    return len(gone) + len(rest)


def _replaced(segments: Segments, day: str, taken: pl.Series | None) -> list[str]:
    """The day's segments of answers that may go. Of one with rows that wait to be taken, these have a segment of their own now."""
    names = segments.on(PREDICTIONS, day)
    if taken is None:
        return list(names)
    labelled = _requests(segments, segments.on(LABELS, day))
    known = taken.cast(pl.String).alias(REQUEST).to_frame().lazy()
    waiting = labelled.join(known, on=REQUEST, how="anti").collect().lazy()
    return [name for name in names if _without_others(segments, day, name, waiting)]


def _without_others(segments: Segments, day: str, name: str, waiting: pl.LazyFrame) -> bool:
    """Whether a segment may go: none of its rows waits, or those that do are elsewhere too."""
    rows = segments.scan([name], lambda name: True)
    left = rows.join(waiting, on=REQUEST, how="semi").collect()
    if left.height == rows.select(pl.len()).collect().item():
        return False
    if left.height:
        which = hashlib.blake2b(f"{name} {sorted(left[REQUEST])}".encode(), digest_size=12).hexdigest()
        segments.write(PREDICTIONS, day, f"waiting-{which}", left)
    return True


def _requests(segments: Segments, names: Sequence[str]) -> pl.LazyFrame:
    return segments.scan(names, lambda name: name == REQUEST, pl.LazyFrame(schema={REQUEST: pl.String}))


def _end(day: str) -> datetime:
    return datetime.combine(datetime.fromisoformat(day).date() + timedelta(days=1), time.min, UTC)
