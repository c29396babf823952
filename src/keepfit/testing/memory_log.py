"""The prediction log in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Any

import polars as pl

from keepfit.errors import DataError, NotFound
from keepfit.live_ports import (
    INPUT,
    LABEL,
    LABELLED_AT,
    MODEL,
    PREDICTION,
    REQUEST,
    ROUTE,
    SCORE,
    SHADOW_PREDICTION,
    SHADOW_SCORE,
    SHADOW_VERSION,
    TIMESTAMP,
    VERSION,
    Labelled,
    Logged,
    Shadowed,
)
from keepfit.ports import Kept
from keepfit.request_ids import RequestIds, time_of

MOMENT = pl.Datetime("us", "UTC")
Row = Logged | Shadowed | Labelled


class MemoryLog:
    """The port `PredictionLog`, with spools of its own."""

    def __init__(self, project: str, *, keep: timedelta | None = None) -> None:
        self._ids, self._keep = RequestIds(project), keep
        self._waiting: list[list[Row]] = []  # spools that were closed
        self._answers: dict[str, Logged] = {}
        self._silent: dict[str, list[Shadowed]] = {}
        self._labels: dict[str, Labelled] = {}
        self._added: set[tuple[tuple[str, str | float, datetime | None], ...]] = set()

    def open_spool(self, worker: str) -> MemorySpool:  # noqa: ARG002 - as for a spool in a file
        """A spool whose rows the log drains once it is closed."""
        return MemorySpool(self._waiting.append)

    def drain(self) -> int:
        spools, self._waiting[:] = list(self._waiting), []
        for row in (row for spool in spools for row in spool):
            if isinstance(row, Logged):
                self._answers.setdefault(row.request_id, row)
            elif isinstance(row, Shadowed):
                self._silent.setdefault(row.request_id, []).append(row)
            else:
                self._label(row)
        return sum(map(len, spools))

    def rows(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        *,
        labelled: bool | None = None,
        inputs: bool = True,
        shadow: str | None = None,
    ) -> pl.DataFrame:
        first = float("-inf") if since is None else since.timestamp()
        last = float("inf") if until is None else until.timestamp()
        chosen = [
            row
            for row in sorted(self._answers.values(), key=lambda row: (row.at, row.request_id))
            if first <= row.at < last and labelled in (None, row.request_id in self._labels)
        ]
        fields = dict.fromkeys(name for row in chosen for name in row.inputs) if inputs else {}
        asked = [_typed(INPUT + name, [row.inputs.get(name) for row in chosen]) for name in fields]
        return pl.DataFrame([*self._own(chosen, shadow), *asked])

    def add_labels(self, labels: pl.DataFrame, source: str, written: datetime | None = None) -> int:  # noqa: ARG002
        missing = {REQUEST, LABEL, LABELLED_AT} - set(labels.columns)
        if missing:
            raise DataError(
                f"Labels need the columns {REQUEST}, {LABEL} and {LABELLED_AT}; {', '.join(sorted(missing))} not found."
            )
        given = labels.select(REQUEST, LABEL, LABELLED_AT).rows()
        wrong = [row for row in given if None in (*row[:2], row[2] or written) or not self._ids.is_ours(str(row[0]).strip())]
        if wrong:
            raise DataError(f"{len(wrong)} of {len(given)} labels cannot be added, so none was: {wrong[0][0]!r}")
        said = tuple((id.strip().lower(), label, at) for id, label, at in given)
        if said not in self._added:
            self._added.add(said)
            for id, label, at in said:
                moment: Any = at or written
                self._label(Labelled(request_id=id, at=_utc(moment).timestamp(), label=label))
        return len({id for id, _, _ in said} - set(self._answers))

    def tidy(self, now: datetime, taken: pl.Series) -> Mapping[str, int]:
        known, gone = set(taken), 0
        if self._keep is None:
            return {"merged": 0, "removed": 0}
        for day in {time_of(id).date() for id in self._answers}:
            rows = [id for id in self._answers if time_of(id).date() == day]
            if day < (now - self._keep).date() and all(id in known for id in rows if id in self._labels):
                gone += len(rows)
                for id in rows:
                    del self._answers[id]
        return {"merged": 0, "removed": gone}

    def outlived(self, now: datetime) -> Sequence[Kept]:
        ends = {
            day: datetime.combine(day + timedelta(days=1), time.min, UTC) for day in {time_of(id).date() for id in self._answers}
        }
        old = sorted(day for day, end in ends.items() if self._keep is not None and end <= now - self._keep)
        return [Kept(name=str(day), size=1, at=ends[day]) for day in old]

    def _label(self, row: Labelled) -> None:
        before = self._labels.get(row.request_id)
        if before is None or before.at <= row.at:
            self._labels[row.request_id] = row

    def _own(self, chosen: Sequence[Logged], shadow: str | None) -> list[pl.Series]:
        silent = [self._silent_answer(row.request_id, shadow) for row in chosen]
        labels = [self._labels.get(row.request_id) for row in chosen]
        predicted, silently, given = _of_one_type(
            [row.prediction for row in chosen], _each(silent, "prediction"), _each(labels, "label")
        )
        return [
            pl.Series(REQUEST, [row.request_id for row in chosen], pl.String),
            _moments(TIMESTAMP, [row.at for row in chosen]),
            pl.Series(MODEL, [row.model for row in chosen], pl.String),
            pl.Series(VERSION, [row.version for row in chosen], pl.String),
            predicted.alias(PREDICTION),
            pl.Series(SCORE, [row.score for row in chosen], pl.Float64),
            pl.Series(ROUTE, [row.route for row in chosen], pl.String),
            pl.Series(SHADOW_VERSION, _each(silent, "version"), pl.String),
            silently.alias(SHADOW_PREDICTION),
            pl.Series(SHADOW_SCORE, _each(silent, "score"), pl.Float64),
            given.alias(LABEL),
            _moments(LABELLED_AT, _each(labels, "at")),
        ]

    def _silent_answer(self, id: str, version: str | None) -> Shadowed | None:
        found = [row for row in self._silent.get(id, ()) if version in (None, row.version)]
        return max(reversed(found), key=lambda row: row.at) if found else None


@dataclass
class MemorySpool:
    """The port `Spool`."""

    keep: Callable[[list[Row]], None]  # what becomes of its rows
    waiting: list[Row] = field(default_factory=list)

    def write(self, rows: Sequence[Row]) -> None:
        self.waiting.extend(rows)

    def check(self) -> None:
        """Memory can always be written."""

    def close(self) -> None:
        rows, self.waiting = self.waiting, []
        if rows:
            self.keep(rows)


class MemorySpans:
    """The port `Spans`."""

    def __init__(self) -> None:
        self._spans: list[pl.DataFrame] = []

    def taken(self) -> pl.DataFrame:
        empty = pl.DataFrame(schema={REQUEST: pl.String, LABEL: pl.Null, "span": pl.Int64})
        spans = [
            rows.select(REQUEST, LABEL, pl.lit(number, pl.Int64).alias("span")) for number, rows in enumerate(self._spans, start=1)
        ]
        return pl.concat([empty, *spans], how="vertical_relaxed")

    def take(self, rows: pl.DataFrame) -> int:
        for number, span in enumerate(self._spans, start=1):
            if span.select(REQUEST, LABEL).equals(rows.select(REQUEST, LABEL)):
                return number
        self._spans.append(rows)
        return len(self._spans)

    def read(self, number: int) -> pl.DataFrame:
        if not 1 <= number <= len(self._spans):
            raise NotFound(f"There is no span {number}: expected 1 to {len(self._spans)}.")
        return self._spans[number - 1]

    def count(self) -> int:
        return len(self._spans)


def _each(rows: Iterable[Any], name: str) -> list[Any]:
    return [None if row is None else getattr(row, name) for row in rows]


def _moments(name: str, seconds: Sequence[float | None]) -> pl.Series:
    return pl.Series(name, [None if each is None else round(each * 1e6) for each in seconds], pl.Int64).cast(MOMENT)


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _of_one_type(predicted: list[Any], silently: list[Any], given: list[Any]) -> tuple[pl.Series, pl.Series, pl.Series]:
    """Numbers where every answer is one and every label can be read as one; else text."""
    answers = [value for value in (*predicted, *silently) if value is not None]
    numbers = bool(answers) and all(isinstance(value, int | float) for value in answers)
    if numbers and all(value is None or _is_number(value) for value in given):
        given = [None if value is None else float(value) for value in given]
        return tuple(pl.Series("", values, pl.Float64, strict=False) for values in (predicted, silently, given))  # type: ignore[return-value]
    return tuple(pl.Series("", [_text(value) for value in values], pl.String) for values in (predicted, silently, given))  # type: ignore[return-value]


def _typed(name: str, values: list[Any]) -> pl.Series:
    kinds = {type(value) for value in values} - {type(None)}
    if kinds in ({int}, {bool}, {str}):
        return pl.Series(name, values)
    if not kinds:
        return pl.Series(name, values, pl.Null)
    if kinds <= {int, float}:
        return pl.Series(name, values, pl.Float64, strict=False)
    return pl.Series(name, [_text(value) for value in values], pl.String)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True
