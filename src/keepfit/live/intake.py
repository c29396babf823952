"""Labelled predictions of the log become data files like any other, so that the loop retrains on what it was asked.

A span of the log is claimed first (`Spans.take`, which is atomic and for good) and written into the inbox then. Whoever is
killed in between is made up for: the next run writes the last span's file unless it is known, and its bytes follow from the span
alone. So no row is there twice and none is lost.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from keepfit.config import Config
from keepfit.errors import DataError, Unavailable
from keepfit.live.span_rows import as_batch, check_fields, plain
from keepfit.live_ports import LABEL, REQUEST, TIMESTAMP, VERSION
from keepfit.live_records import Span
from keepfit.ports import Ports
from keepfit.records import BatchState, Place
from keepfit.rows import contract_of

NAME = "log-span-{:06d}.parquet"
SPAN = "span"  # the column of `Spans.taken` with the number
MARGIN = timedelta(seconds=1)  # by which more of the log is read than asked for: a moment may have been rounded


@dataclass(frozen=True, kw_only=True)
class Intake:
    """What a look at the log came to."""

    spans: tuple[Span, ...] = ()  # whose files were written now
    waiting: str = ""  # what is there, where it is too little for a span
    notes: tuple[str, ...] = ()


def take_in(ports: Ports, config: Config, *, forced: bool = False) -> Intake:
    """Write what is labelled and was never taken into the inbox, once there is enough of it; `forced`, however little it is.
    The caller holds the lease.

    A log that is away or damaged holds up nothing: it is noted, and its labels wait. Raises `ConfigError` where the log leaves out
    what the model needs, `LeaseLost`.
    """
    try:
        late = _write_late(ports, config)
        ports.log.drain()
        return _take(late, ports, config, forced=forced)
    except (Unavailable, DataError) as error:
        return Intake(notes=(f"the labels in the prediction log wait, because not all of it could be used: {error}",))


def _write_late(ports: Ports, config: Config) -> list[Span]:
    """The file of the last span, should whoever claimed it have been killed. A span is only claimed once the files of those
    before are there; of the last but one the file may be missing too, where a runner woke that had lost its lease to whoever was
    killed."""
    last = ports.spans.count()
    numbers = range(max(1, last - 1), last + 1)
    return [span for number in numbers if (span := _write(number, 0, ports, config))]


def _take(late: list[Span], ports: Ports, config: Config, *, forced: bool) -> Intake:
    taken = ports.spans.taken()
    labelled = ports.log.rows(labelled=True, inputs=False)
    new = labelled.join(taken, on=REQUEST, how="anti").sort(TIMESTAMP, REQUEST)
    needed = 1 if forced else _needed(config)
    if new.height:
        check_fields(contract_of(ports, config), config)
    corrected = _corrected(labelled, taken)
    spans = late + [span for part in _parts(new, needed, config) if (span := _claim(part, corrected, ports, config))]
    few = f"{new.height} of {needed} newly labelled predictions"
    return Intake(spans=tuple(spans), waiting="" if spans else few, notes=tuple(map(_told, spans)))


def _needed(config: Config) -> int:
    """Rows of a span: as many as the settings say, and as validation wants of any file."""
    rows = config.validation.rows
    return min(max(config.serve.log.min_rows, rows.minimum or 1), rows.maximum or config.serve.log.min_rows)


def _parts(new: pl.DataFrame, needed: int, config: Config) -> Iterator[pl.DataFrame]:
    """The rows that are taken, in files no larger than validation allows."""
    most = config.validation.rows.maximum or max(new.height, 1)
    return (part for part in new.iter_slices(most) if part.height >= needed)


def _claim(new: pl.DataFrame, corrected: int, ports: Ports, config: Config) -> Span | None:
    """Keep these rows of the log, with what was asked, as the next span, and write its file."""
    first, last = _moments(new)
    asked = ports.log.rows(first - MARGIN, last + MARGIN, labelled=True).join(new, on=REQUEST, how="semi")
    ports.ledger.leases.renew(ports.lease, config.ledger.lease.total_seconds())  # raises where somebody else has it by now
    number = ports.spans.take(asked.sort(TIMESTAMP, REQUEST))
    return _write(number, corrected, ports, config)


def _write(number: int, corrected: int, ports: Ports, config: Config) -> Span | None:
    """Write a span's file into the inbox unless the loop knows it already; None then.

    A runner that slept, lost its lease and woke may have claimed rows again that its successor had claimed: what stands in an
    earlier span is left out.
    """
    name = NAME.format(number)
    if _is_known(name, ports, config):
        return None
    before = ports.spans.taken().filter(pl.col(SPAN) < number)
    rows = ports.spans.read(number).join(before, on=REQUEST, how="anti").sort(TIMESTAMP, REQUEST)
    if not rows.height:
        return None
    content = _parquet(as_batch(rows, contract_of(ports, config), config), number)
    if ports.ledger.batches.known(config.project.name, [hashlib.sha256(content).hexdigest()]):
        return None
    first, last = _moments(rows)
    ports.originals.add(name, content, last)  # dated as its rows, so that nobody waits for it to settle
    versions = tuple(rows[VERSION].unique().sort())
    return Span(number=number, name=name, rows=rows.height, first=first, last=last, corrected=corrected, versions=versions)


def _is_known(name: str, ports: Ports, config: Config) -> bool:
    """The ledger is asked first: folders may be large."""
    if any(batch.name == name for batch in ports.ledger.batches.in_state(config.project.name, *BatchState)):
        return True
    return any(arrival.name == name for place in Place for arrival in ports.inbox.list(place))


def _parquet(frame: pl.DataFrame, number: int) -> bytes:
    """The number is part of the bytes, so that two spans of equal rows are two batches and none passes for a copy."""
    content = io.BytesIO()
    frame.write_parquet(content, metadata={"keepfit.span": str(number)})
    return content.getvalue()


def _moments(rows: pl.DataFrame) -> tuple[datetime, datetime]:
    first, last = rows[TIMESTAMP].min(), rows[TIMESTAMP].max()
    assert isinstance(first, datetime)  # noqa: S101 - a column of moments without nulls, of at least one row
    assert isinstance(last, datetime)  # noqa: S101
    return first, last


def _corrected(labelled: pl.DataFrame, taken: pl.DataFrame) -> int:
    """Rows that were taken with another label than they have now."""
    first = taken.sort(SPAN).unique(REQUEST, keep="first")
    then, now = (frame.select(REQUEST, plain(frame[LABEL]).alias(name)) for frame, name in ((first, "then"), (labelled, "now")))
    return then.join(now, on=REQUEST).filter(pl.col("then") != pl.col("now")).height


def _told(span: Span) -> str:
    when = f"{span.first:%Y-%m-%d %H:%M} to {span.last:%Y-%m-%d %H:%M} UTC"
    words = f"{span.rows} labelled predictions of {when}, answered by version {', '.join(span.versions)}, came in as {span.name}"
    if span.corrected:
        words += f"; {span.corrected} labels of rows taken before have changed since and are not trained on again"
    return words
