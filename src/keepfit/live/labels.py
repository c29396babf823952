"""Labels in bulk, from a file: `request_id`, `label` and, where it is known, `labelled_at`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from keepfit.config import Config
from keepfit.contract import examples, read_cells
from keepfit.errors import DataError, NotFound
from keepfit.live_ports import LABEL, LABELLED_AT, REQUEST
from keepfit.ports import Ports
from keepfit.request_ids import RequestIds
from keepfit.rows import contract_of, label_text, named_classes
from keepfit.settings import Column

_READERS: dict[str, Callable[[bytes], pl.DataFrame]] = {
    ".csv": lambda content: pl.read_csv(content, infer_schema=False),
    ".parquet": pl.read_parquet,
    ".pq": pl.read_parquet,
    ".jsonl": lambda content: pl.read_ndjson(content, infer_schema_length=None),
    ".ndjson": lambda content: pl.read_ndjson(content, infer_schema_length=None),
}


@dataclass(frozen=True, kw_only=True)
class Feedback:
    """What a file of labels came to."""

    added: int  # labels of answers that are in the log; the same file again adds the same labels, once
    unknown: int  # ids that this project gave out, of answers that the log does not hold (yet)
    malformed: int  # ids that this project never gave out
    blank: int  # rows without a label
    repeated: int  # labels that a later row of the file replaces
    examples: tuple[str, ...] = ()  # of the malformed ids, as "row 17: 'abc'"


def add_labels(path: Path, ports: Ports, config: Config) -> Feedback:
    """Put a file's labels into the log. The same file again changes nothing; of several labels of one answer the last wins.

    A label without `labelled_at` is as old as the file was when it first came, so that neither an old file nor a copy of it wins
    over what came since. A class may be written as [data.labels] has it written in files.

    Raises `NotFound` without the file, `DataError` (and nothing is added) for a file that cannot be read and for a label that no
    answer can have, `Unavailable`.
    """
    content = _bytes(path)
    raw = _table(path, content)
    ids = raw[REQUEST].cast(pl.String).str.strip_chars().str.to_lowercase().fill_null("")
    labels = _labels(raw[LABEL], ports, config)
    ours = RequestIds(config.project.name)
    good = pl.Series([ours.is_ours(id) for id in ids], dtype=pl.Boolean)
    written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    told = pl.DataFrame([ids.alias(REQUEST), labels.alias(LABEL), _times(raw, path).alias(LABELLED_AT)])
    kept = told.filter(good & labels.is_not_null())
    by_time = kept.sort(pl.col(LABELLED_AT).fill_null(written), maintain_order=True)
    last = by_time.unique(REQUEST, keep="last", maintain_order=True)
    unknown = _add(last, hashlib.sha256(content).hexdigest(), written, ports)
    return Feedback(
        added=last.height - unknown,
        unknown=unknown,
        malformed=int((~good).sum()),
        blank=int((good & labels.is_null()).sum()),
        repeated=kept.height - last.height,
        examples=examples(raw[REQUEST], ~good),
    )


def _add(labels: pl.DataFrame, source: str, written: datetime, ports: Ports) -> int:
    if not labels.height:
        return 0
    ports.log.drain()  # so that answers of a server that was killed are known
    return ports.log.add_labels(labels, source, written)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        raise NotFound(f"There is no file {path}.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def _table(path: Path, content: bytes) -> pl.DataFrame:
    """The rows; a CSV's cells as text."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path.name}: expected a file that ends with .csv, .parquet or .jsonl")
    try:
        rows = reader(content)
    except (pl.exceptions.PolarsError, ValueError, OSError) as error:
        raise DataError(f"{path.name} cannot be read as {path.suffix[1:]}: {str(error).partition(chr(10))[0]}") from None
    missing = [name for name in (REQUEST, LABEL) if name not in rows.columns]
    if missing:
        found = ", ".join(map(repr, rows.columns[:12])) or "none"
        raise DataError(f"{path.name}: expected the columns request_id and label, found {found}")
    return rows


def _labels(raw: pl.Series, ports: Ports, config: Config) -> pl.Series:
    """As the log keeps them: classes as text, or numbers; null where there is none. Raises `DataError` for any other."""
    if config.project.task == "regression":
        typed, faults = read_cells(raw.to_frame(), {LABEL: Column(type="number")})
        _refuse(faults[0].cells if faults else None, raw, "finite numbers")
        return typed[LABEL]
    classes = named_classes(contract_of(ports, config), config)
    labels = label_text(raw, (*classes, *config.data.labels))
    if not classes:
        return labels
    meant = {written: each for written, each in config.data.labels.items() if written not in classes}
    labels = labels.replace(meant) if meant else labels
    _refuse(labels.is_not_null() & ~labels.is_in(classes), raw, f"one of {', '.join(classes)}")
    return labels


def _refuse(bad: pl.Series | None, raw: pl.Series, expected: str) -> None:
    if bad is not None and bad.any():
        shown = "; ".join(examples(raw, bad))
        raise DataError(f"{int(bad.sum())} of {len(raw)} labels cannot be: expected {expected}, found {shown}. Nothing was added.")


def _times(raw: pl.DataFrame, path: Path) -> pl.Series:
    """When each label came, as the file says; null where it does not. UTC."""
    zone = pl.Datetime("us", "UTC")
    if LABELLED_AT not in raw.columns:
        return pl.Series([None] * raw.height, dtype=zone)
    typed, faults = read_cells(raw.select(LABELLED_AT), {LABELLED_AT: Column(type="datetime")})
    if faults and faults[0].cells is not None:
        shown = "; ".join(faults[0].finding.examples)
        raise DataError(f"{path.name}: labelled_at: expected moments like 2026-03-01T12:00:00Z, found {shown}. Nothing was added.")
    return typed[LABELLED_AT].dt.replace_time_zone("UTC").cast(zone)
