"""Prepared rows: the features of every batch, made once, and divided for good into training and holdout.

A prepared row holds the features under their own names and keepfit's columns, whose names begin with two underscores.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from keepfit.config import Config
from keepfit.errors import ConfigError, DataError, UserCodeError
from keepfit.ports import Ports, ProjectCode
from keepfit.records import Batch, BatchState, Cycle, ModelVersion
from keepfit.rows import TypedRows, contract_of, read_typed
from keepfit.settings import Column

if TYPE_CHECKING:
    import pandas as pd

TRUTH = "__truth"  # label: text for classes, a number for regression, null where unlabelled
GROUP = "__group"  # what belongs together, as text; null where rows are independent
FILE = "__file"  # id of the batch
HOLDOUT = "__holdout"  # whether the row is for judging; never trained on
TIME = "__time"  # when the row came about, where data.time is set
KEPT = "__kept_"  # prefix of the columns that data.keep and promote.slices ask for
OWN = (TRUTH, GROUP, FILE, HOLDOUT, TIME)

# Settings of [data] that do not change what a batch's rows become.
_ELSEWHERE = {
    "inbox",
    "archive",
    "quarantine",
    "prepared",
    "versioning",
    "dvc",
    "min_batches",
    "min_rows",
    "settle",
    "holdout",
}


def fingerprint(code: ProjectCode, config: Config) -> str:
    """Names one way of preparing rows: the project's code and the settings that bear on it."""
    data = config.data.model_dump_json(exclude=_ELSEWHERE)
    slices = ",".join(config.promote.slices.columns) if config.promote.slices else ""
    return hashlib.sha256(f"{code.fingerprint}\n{data}\n{slices}\n{config.project.task}".encode()).hexdigest()[:16]


def prepared_name(batch: Batch | str, code: ProjectCode, config: Config) -> str:
    """The name under which the store keeps a batch's prepared rows."""
    return f"rows-{batch if isinstance(batch, str) else batch.id}-{fingerprint(code, config)}"


def prepare_batch(
    batch: Batch, held_out: pl.Series, columns: Mapping[str, Column], code: ProjectCode, ports: Ports, config: Config
) -> dict[str, Any]:
    """Prepare one batch and keep it, or find it kept; returns its facts (rows, training, holdout, columns, types).

    `held_out` tells for each row of the typed batch whether it is for judging. Raises `UserCodeError` when the project's
    prepare fails or returns rows that it was not given.
    """
    name = prepared_name(batch, code, config)
    facts = ports.store.facts(name)
    if facts is None:
        typed = read_typed(batch, columns, ports, config)
        rows = _prepare(typed, held_out, batch, columns, code, config)
        schema = rows.schema  # made anew at each access
        features = [column for column in schema if not column.startswith("__")]
        facts = {
            "batch": batch.id,
            "name": batch.name,
            "rows": rows.height,
            "labelled": rows.filter(pl.col(TRUTH).is_not_null()).height,
            "labelled_training": rows.filter(pl.col(TRUTH).is_not_null() & ~pl.col(HOLDOUT)).height,
            "training": rows.filter(~pl.col(HOLDOUT)).height,
            "holdout": rows.filter(pl.col(HOLDOUT)).height,
            "columns": features,
            "types": {column: str(schema[column]) for column in features},
            "code": code.fingerprint,
        }
        ports.store.save(name, rows, facts)
    return facts


def _prepare(
    typed: TypedRows, held_out: pl.Series, batch: Batch, columns: Mapping[str, Column], code: ProjectCode, config: Config
) -> pl.DataFrame:
    data = config.data
    prepared = _checked(code.prepare(typed.frame.to_pandas()))
    own = pl.DataFrame(
        {
            TRUTH: typed.truth,
            GROUP: typed.frame[data.group].cast(pl.String)
            if data.group
            else pl.Series([None] * typed.frame.height, dtype=pl.String),
            HOLDOUT: held_out,
            TIME: typed.frame[data.time] if data.time else pl.Series([None] * typed.frame.height, dtype=pl.Datetime("us")),
            **{KEPT + name: typed.frame[name] for name in kept_columns(config) if name in typed.frame.columns},
        }
    )
    prepared, own = _by_unit(prepared, typed.frame, own, data.unit) if data.unit else _by_row(prepared, own)
    hidden = hidden_columns(columns, config)
    dropped = [name for name in prepared.columns if name in hidden]
    features = _as_numbers(prepared.drop(columns=dropped).reset_index(drop=True))
    if data.unit:
        own = own.with_columns(pl.Series(KEPT + data.unit, prepared[data.unit].to_numpy()))
    return pl.concat([features, own.with_columns(pl.lit(batch.id).alias(FILE))], how="horizontal")


def features_of_row(frame: pl.DataFrame, hidden: Collection[str], code: ProjectCode) -> pl.DataFrame:
    """The features of typed rows that came alone, made and cleaned as those of a batch are. `hidden` are the columns that the
    model may not see. Raises `DataError` when prepare leaves one of the rows out, `UserCodeError`."""
    prepared = _checked(code.prepare(frame.to_pandas()))
    if list(prepared.index) != list(range(frame.height)):
        raise DataError("The project's prepare leaves this row out, so there is nothing to predict.")
    shown = prepared.drop(columns=[name for name in prepared.columns if name in hidden])
    return _as_numbers(shown.reset_index(drop=True))


def _checked(prepared: pd.DataFrame) -> pd.DataFrame:
    """What prepare returned, if it can be used. Raises `UserCodeError`."""
    names = [str(name) for name in prepared.columns]
    bad = sorted({name for name in names if names.count(name) > 1 or name.startswith("__")})
    if bad:
        raise UserCodeError(f"prepare returned the column {bad[0]!r} twice, or with keepfit's own two underscores before its name")
    return prepared.set_axis(names, axis="columns")


def _as_numbers(prepared: pd.DataFrame) -> pl.DataFrame:
    """All numbers and truth values as float, so that a column is of one type whether or not a file has gaps in it."""
    import pyarrow as pa

    try:
        features = pl.from_pandas(prepared)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise UserCodeError(f"prepare returned a column that is neither numbers nor texts nor dates: {error}") from error
    dates = [name for name, kind in features.schema.items() if kind.is_temporal()]
    if dates:
        raise UserCodeError(f"prepare returned {dates[0]!r} as dates: expected numbers, such as days since one of them, or texts")
    plain = [name for name, kind in features.schema.items() if kind.is_numeric() or kind == pl.Boolean]
    numbers = features.with_columns(pl.col(plain).cast(pl.Float64).fill_nan(None))
    for name in plain:
        infinite = numbers[name].is_infinite().fill_null(value=False)
        if infinite.any():
            raise UserCodeError(
                f"prepare returned {infinite.sum()} infinite numbers in {name!r}, the first in row {infinite.arg_true()[0] + 1}: "
                "expected finite ones, or none where nothing can be computed. A division by zero is the usual cause."
            )
    return numbers


def hidden_columns(columns: Mapping[str, Column], config: Config) -> set[str]:
    """The columns that prepare may see and the model may not."""
    data = config.data
    own = {name for name in (data.unit, data.id, data.time, data.group, *data.keep) if name is not None}
    return own | {name for name, column in columns.items() if not column.feature or column.type == "datetime"}


def kept_columns(config: Config) -> tuple[str, ...]:
    """Columns that slices or metrics look at though the model may not."""
    return tuple(dict.fromkeys((*config.data.keep, *(config.promote.slices.columns if config.promote.slices else ()))))


def _by_row(prepared: pd.DataFrame, own: pl.DataFrame) -> tuple[pd.DataFrame, pl.DataFrame]:
    """Align prepared rows with the rows they came from by the frame's index."""
    index = prepared.index
    if index.dtype.kind not in "iu" or not index.is_unique or not index.isin(range(own.height)).all():
        raise UserCodeError(
            f"prepare returned {len(prepared)} rows whose index does not say which of the {own.height} given rows each came "
            "from: expected the frame's own index, of which rows may be missing. If several rows make one, set [data] unit."
        )
    return prepared, own[index.to_numpy()]


def _by_unit(prepared: pd.DataFrame, frame: pl.DataFrame, own: pl.DataFrame, unit: str) -> tuple[pd.DataFrame, pl.DataFrame]:
    """Align one prepared row a unit with the label that most of the unit's labelled rows have."""
    if unit not in prepared.columns:
        prepared = prepared.reset_index()
    if unit not in prepared.columns or prepared[unit].duplicated().any():
        raise UserCodeError(f"prepare was expected to return one row for each {unit}, with the column {unit!r}")
    others = [name for name in own.columns if name != TRUTH]
    grouped = own.with_columns(frame[unit].alias("__unit")).group_by("__unit", maintain_order=True)
    units = grouped.agg(majority(pl.col(TRUTH)).alias(TRUTH), *(pl.col(name).first() for name in others))
    try:
        wanted = pl.DataFrame({"__unit": pl.Series(prepared[unit].to_numpy()).cast(units.schema["__unit"])})
    except pl.exceptions.PolarsError as error:
        raise UserCodeError(f"prepare returned other values of {unit} than the file holds: {error}") from error
    aligned = wanted.join(units, on="__unit", how="left", maintain_order="left").drop("__unit")
    if aligned[HOLDOUT].null_count():
        raise UserCodeError(f"prepare returned values of {unit} that the file does not hold")
    return prepared, aligned.select(own.columns)


def majority(labels: pl.Expr) -> pl.Expr:
    """The label that most rows have; null where none has one or two share the lead."""
    filled = labels.drop_nulls()
    modes = filled.mode()
    return pl.when(modes.len() == 1).then(modes.first()).otherwise(None)


def load_rows(batches: Iterable[Batch], code: ProjectCode, ports: Ports, config: Config, *, holdout: bool | None) -> pd.DataFrame:
    """The prepared rows of these batches in their order: for training, for judging, or all (None)."""
    names = [prepared_name(batch, code, config) for batch in batches]
    rows = ports.store.load(names)
    if holdout is not None:
        rows = rows.filter(pl.col(HOLDOUT) == holdout)
    return rows.to_pandas()


def kept_rows(batch: Batch, wanted: str, ports: Ports, config: Config) -> tuple[pl.DataFrame, pl.Series | None]:
    """A batch's prepared rows as they are kept under a fingerprint, and what `data.id` is of each.

    Ids are not kept: the rows are prepared once more to know them. None where there is no such column, and where code, file and
    settings of then do not come to the same rows again.
    """
    rows = ports.store.load([f"rows-{batch.id}-{wanted}"])
    name, way = config.data.id, _way(wanted, ports, config)
    if name is None or way is None:
        return rows, None
    with_id = way.config.model_copy(update={"data": way.config.data.model_copy(update={"keep": (*way.config.data.keep, name)})})
    held_out = ports.store.load([split_name(batch)])["holdout"]
    try:
        again = _prepare(read_typed(batch, way.columns, ports, way.config), held_out, batch, way.columns, way.code, with_id)
        return rows, again[KEPT + name] if again.select(rows.columns).equals(rows) else None
    except (DataError, UserCodeError, ConfigError, pl.exceptions.PolarsError):
        return rows, None


def keep_settings(columns: Mapping[str, Column], ports: Ports, config: Config) -> None:
    """Keep what decides how rows are prepared now, so that today's models can be judged on their own features later."""
    settings = config.model_dump(mode="json", by_alias=True, include={"project": True, "data": True, "promote": {"slices"}})
    contract = {name: column.model_dump(mode="json", exclude_defaults=True) for name, column in columns.items()}
    facts = {"settings": settings, "columns": contract, "code": ports.code.fingerprint}
    ports.store.save(f"settings-{fingerprint(ports.code, config)}", pl.DataFrame(), facts)


def rows_as_known_to(
    version: ModelVersion, batches: Sequence[Batch], ports: Ports, config: Config, *, holdout: bool | None
) -> tuple[pd.DataFrame, str]:
    """The same rows as `load_rows`, with the features that this model version was trained on.

    Where code or settings have changed since, the batches are prepared the old way too. Where that cannot be done, or yields
    other rows, the second value says so, and the rows, with today's features, are not ones to judge it by fairly.
    """
    today = load_rows(batches, ports.code, ports, config, holdout=holdout)
    if version.prepared in (None, fingerprint(ports.code, config)):
        return today, ""
    try:
        before = _prepared_before(version.prepared or "", batches, ports, config, holdout)
    except (DataError, UserCodeError, ConfigError):
        before = None  # the old way no longer goes with these files
    if before is not None and len(before) == len(today) and before[[TRUTH, FILE]].equals(today[[TRUTH, FILE]]):
        return before, ""
    return today, f"version {version.version} cannot be judged: the features that it was trained on can no longer be made here"


def _prepared_before(
    wanted: str, batches: Sequence[Batch], ports: Ports, config: Config, holdout: bool | None
) -> pd.DataFrame | None:
    """The rows as code and settings of that fingerprint prepare them; None when those are not kept here."""
    way = _way(wanted, ports, config)
    if way is None:
        return None
    for batch in batches:
        held_out = ports.store.load([split_name(batch)])["holdout"]
        prepare_batch(batch, held_out, way.columns, way.code, ports, way.config)
    return load_rows(batches, way.code, ports, way.config, holdout=holdout)


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way of preparing rows."""

    code: ProjectCode
    columns: Mapping[str, Column]
    config: Config


def way_of(version: ModelVersion, ports: Ports, config: Config) -> Way | None:
    """How the rows were prepared that this version was trained on; None when that is not known here any more, or when no data has
    ever come. For a version that does not say, today's way."""
    if version.prepared in (None, fingerprint(ports.code, config)):
        columns = contract_of(ports, config)
        return Way(code=ports.code, columns=columns, config=config) if columns is not None else None
    return _way(version.prepared or "", ports, config)


def _way(wanted: str, ports: Ports, config: Config) -> Way | None:
    facts = ports.store.facts(f"settings-{wanted}")
    if facts is None:
        return None
    code = ports.code if facts["code"] == ports.code.fingerprint else ports.code.at(facts["code"])
    if code is None:
        return None
    columns = {name: Column.model_validate(column) for name, column in facts["columns"].items()}
    return Way(code=code, columns=columns, config=Config.of(facts["settings"], config.root))


def prepare_rows(typed: TypedRows, way: Way) -> pd.DataFrame:
    """Rows that are of no batch, prepared as those of a batch are; none is held out, and nothing is kept.

    Raises `UserCodeError` when the project's prepare fails or returns rows that it was not given.
    """
    held_out = pl.repeat(value=False, n=typed.frame.height, eager=True)
    rows = _prepare(typed, held_out, Batch(id="", name="", size=0), way.columns, way.code, way.config)
    return rows.to_pandas()


def split_name(batch: Batch) -> str:
    """The name under which the store keeps which rows of a batch are held out."""
    return f"split-{batch.id}"


def features_of(rows: pd.DataFrame) -> list[str]:
    """The feature columns of prepared rows."""
    return [name for name in rows.columns if not name.startswith("__")]


def for_metric(rows: pd.DataFrame) -> pd.DataFrame:
    """Prepared rows as a metric of the user's sees them: features, the unit and the kept columns, each under its own name."""
    names = {name: name.removeprefix(KEPT) for name in rows.columns if name.startswith(KEPT)}
    return rows.drop(columns=[name for name in OWN if name in rows.columns]).rename(columns=names)


def labelled(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that have a label."""
    return rows[rows[TRUTH].notna()].reset_index(drop=True)


def groups_of(rows: pd.DataFrame, config: Config) -> Any:
    """What an interval may resample: None where rows are independent, else the group or file of each row."""
    if config.train.per == "file" or held_out_by(config) == "file":
        return rows[FILE].to_numpy()
    if config.data.group:
        return rows[GROUP].fillna("").to_numpy()
    return None


def held_out_by(config: Config) -> str:
    """What is held out together, with 'auto' resolved."""
    by = config.data.holdout.by
    if by != "auto":
        return by
    return "group" if config.data.group else "time" if config.data.time else "row"


def normalised(texts: pl.Series) -> pl.Series:
    """Texts without what data.holdout.texts = "normalised" overlooks: case, and how much space is where.

    >>> normalised(pl.Series(["  WIN a\\tprize ", None])).to_list()
    ['win a prize', None]
    """
    return texts.cast(pl.String).str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()


def usable(cycle: Cycle, ports: Ports, config: Config) -> Sequence[Batch]:
    """Every batch that may be trained on in this cycle: the archive, those judged earlier and this cycle's own, by arrival."""
    own = {batch.id: batch for batch in (*cycle.earlier, *cycle.batches)}
    archived = ports.ledger.batches.in_state(config.project.name, BatchState.ARCHIVED)
    merged = {**{batch.id: batch for batch in archived}, **own}
    chosen = (batch for batch in merged.values() if batch.state is not BatchState.QUARANTINED)
    return sorted(chosen, key=lambda batch: (batch.arrived_at.isoformat() if batch.arrived_at else "", natural(batch.name)))


def natural(name: str) -> tuple[Any, ...]:
    """Sorts 'day-9' before 'day-10'."""
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name))


def training_set(cycle: Cycle, ports: Ports, config: Config) -> tuple[Sequence[Batch], str]:
    """The batches a training would use, and the hash of all that decides its result."""
    batches = usable(cycle, ports, config)
    windows = str(config.retrain.windows) if config.retrain.window == "choose" else ""
    parts = [*(batch.id for batch in batches), fingerprint(ports.code, config), config.fingerprint("project", "train")]
    parts += [config.retrain.window, windows]
    return batches, hashlib.sha256("\n".join(parts).encode()).hexdigest()


def no_rows(what: str) -> DataError:
    """The error for an empty set of rows."""
    return DataError(f"There are no {what}. Label some rows or add data, and run again.")
