"""Make features of every batch once, and decide for each row, for good, whether it trains or judges."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from keepfit.config import Config
from keepfit.errors import ConfigError
from keepfit.ports import Ports
from keepfit.prepared import fingerprint, held_out_by, keep_settings, normalised, prepare_batch, split_name, usable
from keepfit.records import Batch, BatchState, Cycle, Preparation
from keepfit.rows import TypedRows, contract_of, read_typed
from keepfit.settings import Column

KEY, HELD = "key", "holdout"
Split = dict[
    str, Any
]  # what is held out together ("by"), the "columns" whose equal values mean the same, and how "texts" are compared


def prepare(cycle: Cycle, ports: Ports, config: Config) -> Cycle:
    """Fill in `prepared`. Batches of earlier cycles are prepared anew only when the project's code has changed."""
    columns = contract_of(ports, config)
    if columns is None:
        raise ConfigError("There is no column contract: write [data.columns], or `keepfit init --data FILE --target COLUMN`.")
    mine = [batch for batch in cycle.batches if batch.state is not BatchState.QUARANTINED]
    keep_settings(columns, ports, config)
    _assign(mine, columns, cycle, ports, config)
    facts = {}
    for batch in usable(cycle, ports, config):
        held_out = ports.store.load([split_name(batch)])[HELD]
        facts[batch.id] = prepare_batch(batch, held_out, columns, ports.code, ports, config)
    own = [facts[batch.id] for batch in mine]
    fresh = [facts[batch.id] for batch in (*cycle.earlier, *mine)]
    prepared = Preparation(
        fingerprint=fingerprint(ports.code, config),
        rows=sum(fact["rows"] for fact in own),
        training=sum(fact["training"] for fact in own),
        holdout=sum(fact["holdout"] for fact in own),
        columns=tuple(next(iter(facts.values()))["columns"]) if facts else (),
        labelled=sum(fact["labelled_training"] for fact in fresh),
        labels={fact["batch"]: fact["labelled"] for fact in fresh},
    )
    return replace(cycle, prepared=prepared)


def _assign(batches: Sequence[Batch], columns: dict[str, Column], cycle: Cycle, ports: Ports, config: Config) -> None:
    """Assign the rows of this cycle's batches. What was assigned in an earlier cycle keeps its side wherever it turns up again.

    Splits that this very cycle has stored do not count as earlier, so that a cycle killed here and resumed assigns the same.
    """
    stored = {batch.id: ports.store.facts(split_name(batch)) for batch in batches}
    mine = [batch for batch in batches if (facts := stored[batch.id]) is None or facts["cycle"] == cycle.id]
    if all(stored[batch.id] is not None for batch in mine):
        return
    split = _split(columns, [batch for batch in usable(cycle, ports, config) if batch not in mine], ports, config)
    keys = pl.concat([_keys(batch, split, columns, ports, config) for batch in mine])
    known = _known_sides(mine, split, columns, cycle, ports, config)
    sides = keys.join(_divide(keys, known, config), on=KEY, how="left", maintain_order="left")
    for batch in mine:
        rows = sides.filter(pl.col("batch") == batch.id).select(KEY, HELD)
        ports.store.save(split_name(batch), rows, {"batch": batch.id, "cycle": cycle.id, **split})


def _split(columns: Mapping[str, Column], others: Sequence[Batch], ports: Ports, config: Config) -> Split:
    """What makes two rows the same, kept with every split: by row, the columns that were features when the first was made."""
    by, data = held_out_by(config), config.data
    if by == "file":
        return {"by": by, "columns": []}
    if by == "group":
        return {"by": by, "columns": [_named(data.group, "group")]}
    if data.unit:
        return {"by": "unit", "columns": [data.unit]}
    alike = {"texts": data.holdout.texts} if data.holdout.texts != "exact" else {}
    before = next((facts for batch in others if (facts := ports.store.facts(split_name(batch)))), None)
    if before is not None and before["by"] == by and set(before["columns"]) <= set(columns):
        return {"by": by, "columns": before["columns"], **alike}
    features = [name for name, column in columns.items() if column.feature and name not in (data.id, data.time, data.target)]
    return {"by": by, "columns": [*features, _named(data.time, "time")] if by == "time" else features, **alike}


def _keys(batch: Batch, split: Split, columns: Mapping[str, Column], ports: Ports, config: Config) -> pl.DataFrame:
    """For each row of the batch the key of what it is held out with, its stratum, and whether it is among the latest."""
    typed = read_typed(batch, columns, ports, config)
    frame, by = typed.frame, split["by"]
    named = [_cells(frame[name], split, columns[name]).fill_null("\0") for name in split["columns"]]
    if by == "file":
        key = pl.Series([batch.id] * frame.height, dtype=pl.String)
    elif not named:
        key = pl.Series([f"{batch.id} {row}" for row in range(frame.height)], dtype=pl.String)
    else:
        cells = pl.DataFrame([series.alias(str(place)) for place, series in enumerate(named)])
        key = cells.select(pl.concat_str(cells.columns, separator="\1")).to_series()
        key = key + batch.id if by == "unit" else key
    return pl.DataFrame(
        {
            KEY: [_digest(text) for text in key],
            "stratum": _strata(typed, config),
            "late": _late(frame, config) if by == "time" else pl.Series([None] * frame.height, dtype=pl.Boolean),
            "batch": pl.Series([batch.id] * frame.height, dtype=pl.String),
        },
        schema_overrides={KEY: pl.UInt64, "stratum": pl.String, "late": pl.Boolean},
    )


def _cells(series: pl.Series, split: Split, column: Column) -> pl.Series:
    """The cells of a column as text, those of a text column in the form in which they are compared."""
    return normalised(series) if column.type == "text" and split.get("texts") == "normalised" else series.cast(pl.String)


def _late(frame: pl.DataFrame, config: Config) -> pl.Series:
    """Which rows are the latest of their file; null where a file knows only one time, and rows are divided by chance."""
    moments = frame[_named(config.data.time, "time")]
    cut = moments.drop_nulls().quantile(1 - config.data.holdout.share, interpolation="nearest")
    late = (moments > cut).fill_null(value=False)
    return late if late.any() else pl.Series([None] * frame.height, dtype=pl.Boolean)


def _strata(typed: TypedRows, config: Config) -> pl.Series:
    name = config.data.holdout.stratify
    if name is None:
        return pl.Series([""] * typed.frame.height, dtype=pl.String)
    if name != config.data.target and name not in typed.frame.columns:
        raise ConfigError(f"[data.holdout] stratify = {name!r} is no column of the contract")
    column = typed.truth if name == config.data.target else typed.frame[name]
    return column.cast(pl.String).fill_null("")


def _named(column: str | None, setting: str) -> str:
    if column is None:
        raise ConfigError(f"[data.holdout] by = {setting!r} needs [data] {setting} to name a column")
    return column


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _known_sides(
    mine: Sequence[Batch], split: Split, columns: Mapping[str, Column], cycle: Cycle, ports: Ports, config: Config
) -> pl.DataFrame:
    """The side of everything that other batches hold, by today's key."""
    own = {batch.id for batch in mine}
    sides = [_sides(batch, split, columns, ports, config) for batch in usable(cycle, ports, config) if batch.id not in own]
    if not sides:
        return pl.DataFrame(schema={KEY: pl.UInt64, HELD: pl.Boolean})
    # Where a change of settings has brought rows of both sides under one key, what has trained must not judge.
    return pl.concat(sides).group_by(KEY).agg(pl.col(HELD).min())


def _sides(batch: Batch, split: Split, columns: Mapping[str, Column], ports: Ports, config: Config) -> pl.DataFrame:
    """The sides of one batch's rows; under keys made anew from its file where they were made in another way."""
    facts, rows = ports.store.facts(split_name(batch)), ports.store.load([split_name(batch)]).select(KEY, HELD)
    if facts is not None and {name: facts[name] for name in ("by", "columns", "texts") if name in facts} == split:
        return rows
    return _keys(batch, split, columns, ports, config).select(KEY).with_columns(rows[HELD])


def _divide(keys: pl.DataFrame, known: pl.DataFrame, config: Config) -> pl.DataFrame:
    """The side of every key: what is known stays; by time the latest judge; else the share with the lowest digests, by stratum."""
    distinct = keys.group_by(KEY).agg(pl.col("stratum").sort().first(), pl.col("late").max())
    fresh = distinct.join(known, on=KEY, how="anti").sort("stratum", KEY)
    dated = fresh.filter(pl.col("late").is_not_null()).select(KEY, pl.col("late").alias(HELD))
    divided = [dated]
    for group in fresh.filter(pl.col("late").is_null()).partition_by("stratum", maintain_order=True):
        count = _held_out_count(group[KEY].to_list(), config.data.holdout.share)
        divided.append(group.select(KEY).with_columns((pl.int_range(pl.len()) < count).alias(HELD)))
    return pl.concat([known.select(KEY, HELD), *divided])


def _held_out_count(keys: Sequence[int], share: float) -> int:
    """How many of these keys judge: their share, rounded up or down by a chance that the keys themselves decide, so that the
    share holds over many small batches."""
    exact = share * len(keys)
    chance = _digest(",".join(map(str, keys))) / 2**64
    return int(exact + chance)
