"""Labelled rows of the prediction log as the rows of a data file: the contract's columns, and the label as the target."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import polars as pl

from keepfit.config import Config
from keepfit.contract import read_cells
from keepfit.errors import ConfigError
from keepfit.live_ports import INPUT, LABEL, REQUEST, TIMESTAMP
from keepfit.rows import label_text
from keepfit.settings import Column

NUMBERED = {"integer": 63, "number": 53}  # bits of an id that is made from a request's; a float holds 53 exactly


def check_fields(columns: Mapping[str, Column] | None, config: Config) -> None:
    """Raises `ConfigError` where the log leaves out, or keeps only the hash of, what training needs: features, and what rows are
    held out by. With either, a hash is not what files say of the same."""
    log, data = config.serve.log, config.data
    features = {name for name, column in (columns or {}).items() if column.feature and name != data.target}
    needed = (features | {name for name in (data.group, data.unit) if name}) - {data.id, data.time}
    for setting, fields in (("omit", log.omit), ("hash", log.hash)):
        lost = sorted(needed & set(fields))
        if lost:
            raise ConfigError(
                f"serve.log.{setting} keeps {', '.join(map(repr, lost))} out of the prediction log, and training needs it, so the "
                f"log's labelled rows cannot be trained on. Take it out of serve.log.{setting}, mark the column feature = false, "
                "or set serve.log.intake = false."
            )


def as_batch(rows: pl.DataFrame, columns: Mapping[str, Column] | None, config: Config) -> pl.DataFrame:
    """The contract's columns in its order and types, the target under its own name; without a contract the fields as they are.

    `rows` are the log's, with an INPUT column a field. A cell that does not keep its promise stays as it was asked, for validation
    to say so. Where requests left out what only names and dates them, the log knows it: data.time is when they were answered,
    data.id is the request's id, or for numbers one made from it. Columns that need not be there and were never asked are left out.
    """
    data, target = config.data, config.data.target
    asked = {name.removeprefix(INPUT): rows[name] for name in rows.columns if name.startswith(INPUT)}
    promised = dict(columns) if columns is not None else dict.fromkeys(asked)
    cells: list[pl.Series] = []
    for name in dict.fromkeys([*promised, target]):
        column = promised.get(name)
        if name == target:
            found = _labels(rows[LABEL], config)
        elif name in asked or column is None or column.required or name in (data.id, data.time):
            given = asked.get(name, pl.Series([None] * rows.height, dtype=pl.Null))
            found = given if column is None else _promised(_filled(given, name, column, rows, config).alias(name), column)
        else:
            continue
        cells.append(found.alias(_as_written(name, data.rename)))
    return pl.DataFrame(cells)


def plain(labels: pl.Series) -> pl.Series:
    """Labels as text, the same whether the log has them as text or as numbers; none of them says "no value"."""
    return label_text(labels, labels.cast(pl.String).drop_nulls().unique().to_list())


def _promised(given: pl.Series, column: Column) -> pl.Series:
    typed, faults = read_cells(given.to_frame(), {given.name: column})
    return given if faults else typed[given.name]


def _filled(given: pl.Series, name: str, column: Column, rows: pl.DataFrame, config: Config) -> pl.Series:
    """The column, with what the log knows in its empty cells."""
    if name == config.data.time and column.type == "datetime":
        known = rows[TIMESTAMP].dt.convert_time_zone("UTC").dt.replace_time_zone(None).cast(pl.Datetime("us"))
    elif name == config.data.id and column.type in ("text", "category"):
        known = rows[REQUEST]
    elif name == config.data.id and column.type in NUMBERED:
        known = pl.Series([_number(id, NUMBERED[column.type]) for id in rows[REQUEST]], dtype=pl.Int64)
    else:
        return given
    typed, faults = read_cells(given.alias(name).to_frame(), {name: column})
    if faults:
        return given  # validation says what is wrong with it
    found = typed[name]
    return pl.select(pl.when(found.is_null()).then(known.cast(found.dtype)).otherwise(found)).to_series()


def _number(id: str, bits: int) -> int:
    """A number for a request: a hash of its id, so that of a million two are the same once in ten million times (63 bits)."""
    return int.from_bytes(hashlib.blake2b(id.encode(), digest_size=8).digest(), "big") >> (64 - bits)


def _labels(labels: pl.Series, config: Config) -> pl.Series:
    """As a file has them. The log's are classes; where [data.labels] says how files write these, so is it done here."""
    if config.project.task == "regression":
        return labels.cast(pl.Float64, strict=False)
    written: dict[str, str] = {}
    for raw, meant in config.data.labels.items():
        if raw and raw == raw.strip():  # others are never met: labels are read without the space around them
            written.setdefault(meant, raw)
    return plain(labels).replace(written) if written else plain(labels)


def _as_written(name: str, rename: Mapping[str, str]) -> str:
    """The name that a file must have for a column to be read under this one."""
    if name not in rename:
        return name
    return next((written for written, meant in rename.items() if meant == name), name)
