"""The prediction log as one file, under names that inference tables commonly have."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
from pydantic import TypeAdapter

from keepfit.config import Config
from keepfit.errors import ConfigError, Unavailable
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
)
from keepfit.ports import Ports
from keepfit.settings import Duration

DEFAULT = "data/logs/predictions.csv"
FIRST = (TIMESTAMP, REQUEST, MODEL, VERSION)  # then what was asked
LAST = (PREDICTION, SCORE, LABEL, LABELLED_AT, ROUTE, SHADOW_VERSION, SHADOW_PREDICTION, SHADOW_SCORE)
CLASH = "input_"  # before a field that has the name of one of these
SUFFIXES = (".csv", ".parquet", ".pq")


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written."""

    path: str
    rows: int
    labelled: int  # of them


def export(
    out: Path, since: datetime | None, until: datetime | None, labelled: bool | None, ports: Ports, config: Config
) -> Exported:
    """Write the log's requests from `since` up to, and not including, `until`: one row each, by time, with its last label, as CSV
    or Parquet by the suffix. The file is replaced whole.

    Cells are exact. So a text that begins with = + - or @, which whoever sends requests can choose, is a formula to a spreadsheet:
    import such a CSV with its columns as text, or take Parquet.

    Raises `ConfigError` for another suffix, `Unavailable`.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{out.name} cannot be written: expected a name that ends with .csv or .parquet")
    ports.log.drain()
    rows = ports.log.rows(since, until, labelled=labelled)
    _write(_named(rows, config), out)
    return Exported(path=str(out), rows=rows.height, labelled=rows.height - rows[LABEL].null_count())


def moment(text: str, now: datetime) -> datetime:
    """A moment as people say it: 2026-03-01, 2026-03-01T12:00, both UTC unless they name another zone, or how long ago: 7d, 12h.
    Raises `ConfigError`."""
    with contextlib.suppress(ValueError, OverflowError):
        return now - TypeAdapter(Duration).validate_python(text)
    try:
        said = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{text!r} is no moment: expected one like 2026-03-01, 2026-03-01T12:00 or 7d (ago)") from None
    return said if said.tzinfo else said.replace(tzinfo=UTC)


def _named(rows: pl.DataFrame, config: Config) -> pl.DataFrame:
    """The columns in their order, what was asked under the fields' own names: first as the contract has them."""
    fields = [name.removeprefix(INPUT) for name in rows.columns if name.startswith(INPUT)]
    promised = list(config.data.columns)
    fields.sort(key=lambda field: (promised.index(field) if field in promised else len(promised), field))
    asked = [rows[INPUT + field].alias(_free(field, fields)) for field in fields]
    return pl.DataFrame([*(rows[name] for name in FIRST), *asked, *(rows[name] for name in LAST)])


def _free(field: str, fields: Sequence[str]) -> str:
    """A name for a field that no other column has."""
    name = field
    while name in (*FIRST, *LAST) or (name != field and name in fields):
        name = CLASH + name
    return name


def _write(frame: pl.DataFrame, out: Path) -> None:
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix.lower() == ".csv":
            frame.write_csv(temporary, datetime_format="%Y-%m-%dT%H:%M:%S%.6f%:z")
        else:
            frame.write_parquet(temporary)
        temporary.replace(out)
    except OSError as error:
        raise Unavailable(
            f"{out} cannot be written: {error.strerror or error}. Give this user room and the right to write."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
