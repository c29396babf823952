"""From a data file to rows: typed, labelled, prepared, and divided for good into training and holdout.

A prepared row holds the features under their own names and keepfit's columns, whose names begin with two underscores.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from keepfit.config import Column, Config
from keepfit.contract import NULL_WORDS, conform, examples, infer, without_blank_rows
from keepfit.errors import ConfigError, DataError, UserCodeError
from keepfit.ports import Ports, ProjectCode
from keepfit.records import Batch, BatchState, Cycle, Finding, ModelVersion

if TYPE_CHECKING:
    import pandas as pd

TRUTH = "__truth"  # label: text for classes, a number for regression, null where unlabelled
GROUP = "__group"  # what belongs together, as text; null where rows are independent
FILE = "__file"  # id of the batch
HOLDOUT = "__holdout"  # whether the row is for judging; never trained on
TIME = "__time"  # when the row came about, where data.time is set
KEPT = "__kept_"  # prefix of the columns that data.keep and promote.slices ask for
OWN = (TRUTH, GROUP, FILE, HOLDOUT, TIME)


@dataclass(frozen=True, kw_only=True)
class TypedRows:
    """One batch as its contract promises it. `frame` has no target; `truth` is as long as `frame`."""

    frame: pl.DataFrame
    truth: pl.Series
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]


def contract_of(ports: Ports, config: Config) -> dict[str, Column] | None:
    """The column contract: the file's, or the one inferred from the first data; None when there is neither yet."""
    if config.data.columns:
        return dict(config.data.columns)
    facts = ports.store.facts("columns")
    return {name: Column.model_validate(column) for name, column in facts.items()} if facts else None


def infer_contract(batch: Batch, ports: Ports, config: Config) -> dict[str, Column]:
    """What the contract would be if this batch were the first. `keep_contract` makes it so, once the batch has passed."""
    return infer(without_blank_rows(ports.inbox.read(batch)), config.data.target)


def keep_contract(columns: Mapping[str, Column], ports: Ports) -> None:
    """Keep an inferred contract for good."""
    facts = {name: column.model_dump(mode="json", exclude_defaults=True) for name, column in columns.items()}
    ports.store.save("columns", pl.DataFrame(), facts)


def check_named_columns(columns: Mapping[str, Column], config: Config) -> None:
    """Raises `ConfigError` when a setting names a column that the contract does not: a typo would switch the setting off."""
    data, slices = config.data, config.promote.slices
    named = {"data.id": data.id, "data.time": data.time, "data.group": data.group, "data.unit": data.unit}
    named["data.holdout.stratify"] = None if data.holdout.stratify == data.target else data.holdout.stratify
    wanted = [(setting, name) for setting, name in named.items() if name is not None]
    wanted += [("data.keep", name) for name in data.keep]
    wanted += [("promote.slices.columns", name) for name in (slices.columns if slices else ())]
    for setting, name in wanted:
        if name not in columns:
            close = difflib.get_close_matches(name, columns, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; it has {', '.join(map(repr, columns))}"
            raise ConfigError(f"{setting} names the column {name!r}, which the contract does not have{hint}")
    if data.time is not None and columns[data.time].type != "datetime":
        raise ConfigError(f"data.time names {data.time!r}, a {columns[data.time].type} by the contract: expected a datetime")
    own = [name for name in columns if name.startswith("__")]
    if own:
        raise ConfigError(f"The column {own[0]!r} begins with two underscores, as keepfit's own do. Rename it in [data.rename].")


def read_typed(batch: Batch, columns: Mapping[str, Column], ports: Ports, config: Config) -> TypedRows:
    """Read a batch and give every column its promised type. Raises `DataError` when the file cannot be parsed."""
    raw = ports.inbox.read(batch)
    filled = without_blank_rows(raw)
    notes = []
    if filled.height < raw.height:
        notes.append(f"{raw.height - filled.height} blank rows were left out")
    extra = [name for name in filled.columns if name not in columns and name != config.data.target]
    if extra:
        notes.append(f"columns that the contract does not name: {', '.join(extra)}")
    inputs = {name: column for name, column in columns.items() if name != config.data.target}
    frame, findings = conform(filled, inputs)
    truth, label_findings = _labels(filled, columns.get(config.data.target), config)
    return TypedRows(frame=frame, truth=truth, findings=(*findings, *label_findings), notes=tuple(notes))


def _labels(frame: pl.DataFrame, column: Column | None, config: Config) -> tuple[pl.Series, list[Finding]]:
    """The labels as classes or numbers; null where a row has none. Nothing becomes a class that was not named one."""
    target = config.data.target
    number = config.project.task == "regression"
    if target not in frame.columns:
        nothing = pl.Series(target, [None] * frame.height, dtype=pl.Float64 if number else pl.String)
        if column is not None and not column.required:
            return nothing, []
        missing = Finding(
            check="column", column=target, expected="the target column", found=", ".join(frame.columns[:12]), rows=frame.height
        )
        return nothing, [missing]
    if number:
        promised = (column or Column(type="number")).model_copy(update={"type": "number"})
        typed, findings = conform(frame.select(target), {target: promised})
        truth = typed[target]
    else:
        truth, findings = _classes(frame[target], column, config)
    text = _text(frame[target])
    blank = text.is_null() | (text.str.to_lowercase().is_in(NULL_WORDS) if number else False)
    if config.validation.on_blank_label == "error" and blank.any():
        findings.append(_label_finding(frame[target], blank, "a label in every row", "without one"))
    return truth, findings


def _classes(raw: pl.Series, column: Column | None, config: Config) -> tuple[pl.Series, list[Finding]]:
    text = _text(raw)
    mapping = config.data.labels
    if mapping:
        truth = text.replace_strict(mapping, default=None, return_dtype=pl.String)
        expected = f"one of {', '.join(dict.fromkeys(mapping))}"
    elif column is not None and column.values is not None:
        truth = pl.select(pl.when(text.is_in(list(column.values))).then(text).otherwise(None)).to_series()
        expected = f"one of {', '.join(column.values)}"
    else:
        return text, []
    unknown = truth.is_null() & text.is_not_null()
    if unknown.any() and config.validation.on_unknown_label == "error":
        return truth, [_label_finding(raw, unknown, expected, "with another label")]
    return truth, []


def _text(labels: pl.Series) -> pl.Series:
    """Labels as text, the same whether a file keeps them as text or not: 1.0 is "1", true is "True", NaN and blanks are null."""
    if labels.dtype.is_float():
        whole = labels.cast(pl.Int64, strict=False)
        exact = whole.cast(labels.dtype) == labels
        words = pl.when(exact).then(whole.cast(pl.String)).otherwise(labels.fill_nan(None).cast(pl.String))
    elif labels.dtype == pl.Boolean:
        words = pl.when(labels).then(pl.lit("True")).when(~labels).then(pl.lit("False")).otherwise(None)
    else:
        stripped = labels.cast(pl.String).str.strip_chars()
        words = pl.when(stripped == "").then(None).otherwise(stripped)
    return pl.select(words.alias(labels.name)).to_series()


def _label_finding(raw: pl.Series, bad: pl.Series, expected: str, found: str) -> Finding:
    count = int(bad.sum())
    return Finding(
        check="label",
        column=raw.name,
        expected=expected,
        found=f"{count} rows {found}",
        rows=count,
        examples=examples(raw, bad),
    )


# ---------------------------------------------------------------------------------------------------------- preparation


def fingerprint(code: ProjectCode, config: Config) -> str:
    """Names one way of preparing rows: the project's code and the settings that bear on it."""
    data = config.data.model_dump_json(exclude={"inbox", "archive", "quarantine", "min_batches", "min_rows", "settle", "holdout"})
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
    hidden = {data.unit, data.id, data.time, data.group, *data.keep}
    if data.prepare is None:
        hidden |= {name for name, column in columns.items() if not column.feature or column.type == "datetime"}
    dropped = [name for name in prepared.columns if name in hidden]
    features = _as_numbers(prepared.drop(columns=dropped).reset_index(drop=True))
    if data.unit:
        own = own.with_columns(pl.Series(KEPT + data.unit, prepared[data.unit].to_numpy()))
    return pl.concat([features, own.with_columns(pl.lit(batch.id).alias(FILE))], how="horizontal")


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


# ------------------------------------------------------------------------------------------------------------- loading


def load_rows(batches: Iterable[Batch], code: ProjectCode, ports: Ports, config: Config, *, holdout: bool | None) -> pd.DataFrame:
    """The prepared rows of these batches in their order: for training, for judging, or all (None)."""
    names = [prepared_name(batch, code, config) for batch in batches]
    rows = ports.store.load(names)
    if holdout is not None:
        rows = rows.filter(pl.col(HOLDOUT) == holdout)
    return rows.to_pandas()


def rows_as_known_to(
    version: ModelVersion, batches: Sequence[Batch], ports: Ports, config: Config, *, holdout: bool | None
) -> pd.DataFrame:
    """The same rows as `load_rows`, with the features that this model version was trained on.

    Where the project's prepare has changed since, the batches are prepared the old way too, if the old code is still here and
    yields the same rows; otherwise today's features have to do.
    """
    today = load_rows(batches, ports.code, ports, config, holdout=holdout)
    if version.code is None or version.code == ports.code.fingerprint:
        return today
    code, columns = ports.code.at(version.code), contract_of(ports, config)
    if code is None or columns is None:
        return today
    for batch in batches:
        held_out = ports.store.load([split_name(batch)])["holdout"]
        prepare_batch(batch, held_out, columns, code, ports, config)
    before = load_rows(batches, code, ports, config, holdout=holdout)
    same = len(before) == len(today) and before[[TRUTH, FILE]].equals(today[[TRUTH, FILE]])
    return before if same else today


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
    parts = [*(batch.id for batch in batches), ports.code.fingerprint]
    parts.append(config.fingerprint("project", "data", "train"))
    parts.append(config.retrain.window)
    return batches, hashlib.sha256("\n".join(parts).encode()).hexdigest()


def no_rows(what: str) -> DataError:
    """The error for an empty set of rows."""
    return DataError(f"There are no {what}. Label some rows or add data, and run again.")
