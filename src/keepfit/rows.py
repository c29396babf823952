"""From a data file to rows as the contract promises them: typed, with labels that somebody has named."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

import polars as pl

from keepfit.column_order import out_of_order
from keepfit.config import Config
from keepfit.contract import NULL_WORDS, examples, infer, read_cells, without_blank_rows
from keepfit.errors import ConfigError
from keepfit.ports import Fault, Ports
from keepfit.records import Batch, Finding
from keepfit.settings import Column

ROW, REASON = "__row", "__reason"  # of rows that were set aside: their number below the header, and why


@dataclass(frozen=True, kw_only=True)
class TypedRows:
    """One batch as its contract promises it. `frame` has no target; `truth` is as long as `frame`, and so is `raw`."""

    frame: pl.DataFrame
    truth: pl.Series
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]
    raw: pl.DataFrame  # the cells as they are in the file, blank rows left out

    @property
    def findings(self) -> tuple[Finding, ...]:
        return tuple(fault.finding for fault in self.faults)

    def at(self, rows: pl.Series) -> TypedRows:
        """Those where `rows`, Boolean, is true; what was found in the others is left behind."""
        return replace(self, frame=self.frame.filter(rows), truth=self.truth.filter(rows), raw=self.raw.filter(rows), faults=())


def contract_of(ports: Ports, config: Config) -> dict[str, Column] | None:
    """The column contract: the file's, or the one inferred from the first data; None when there is neither yet."""
    if config.data.columns:
        return dict(config.data.columns)
    facts = ports.store.facts("columns")
    if not facts:
        return None
    columns = {name: Column.model_validate(column) for name, column in facts.items()}
    classes = ports.store.facts("classes")
    if classes and config.data.target in columns:
        columns[config.data.target] = columns[config.data.target].model_copy(update={"values": tuple(classes["values"])})
    return columns


def named_classes(contract: Mapping[str, Column] | None, config: Config) -> tuple[str, ...]:
    """The classes that [data.labels] or the contract names; none where nobody has named any yet."""
    if config.data.labels:
        return tuple(dict.fromkeys(config.data.labels.values()))
    column = (contract or {}).get(config.data.target)
    return tuple(column.values or ()) if column else ()


def infer_contract(batch: Batch, ports: Ports, config: Config) -> dict[str, Column]:
    """What the contract would be if this batch were the first. `keep_contract` makes it so, once the batch has passed."""
    return infer(without_blank_rows(ports.inbox.read(batch)), config.data.target)


def keep_contract(columns: Mapping[str, Column], ports: Ports) -> None:
    """Keep an inferred contract for good."""
    facts = {name: column.model_dump(mode="json", exclude_defaults=True) for name, column in columns.items()}
    ports.store.save("columns", pl.DataFrame(), facts)


def keep_classes(batches: Iterable[Batch], ports: Ports, config: Config) -> None:
    """Name the classes of an inferred contract: those in these sound batches, once there are two. Others are then a fault."""
    if config.data.columns or config.data.labels or config.project.task != "classification" or ports.store.facts("classes"):
        return
    found: set[str] = set()
    columns = contract_of(ports, config) or {}
    for batch in batches:
        found |= set(read_typed(batch, columns, ports, config).truth.drop_nulls())
    if len(found) > 1:
        ports.store.save("classes", pl.DataFrame(), {"values": sorted(found)})


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
    """A batch's rows in their promised types, without those that were set aside. Raises `DataError` when the file cannot be
    parsed."""
    typed = read_whole(batch, columns, ports, config)
    aside = rows_aside(batch, typed.frame.height, ports)
    return typed if aside is None else typed.at(~aside)


def read_whole(batch: Batch, columns: Mapping[str, Column], ports: Ports, config: Config) -> TypedRows:
    """The same with all rows of the file that are not blank."""
    raw = ports.inbox.read(batch)
    filled = without_blank_rows(raw)
    notes = []
    if filled.height < raw.height:
        notes.append(f"{raw.height - filled.height} blank rows were left out")
    extra = [name for name in filled.columns if name not in columns and name != config.data.target]
    if extra:
        notes.append(f"columns that the contract does not name: {', '.join(extra)}")
    order = out_of_order(filled.columns, columns) if config.validation.ordered else None
    misplaced = [Fault(finding=order)] if order else []
    inputs = {name: column for name, column in columns.items() if name != config.data.target}
    frame, faults = read_cells(filled, inputs)
    truth, label_faults = _labels(filled, columns.get(config.data.target), config)
    return TypedRows(frame=frame, truth=truth, faults=(*misplaced, *faults, *label_faults), notes=tuple(notes), raw=filled)


def rows_aside(batch: Batch, height: int, ports: Ports) -> pl.Series | None:
    """Which of the batch's rows were set aside: Boolean, one for each of its `height` rows; None where nothing was.

    They are for good, as the side of every row is: whatever reads the batch later, under whichever settings, leaves out the
    same."""
    name = aside_name(batch)
    if ports.store.facts(name) is None:
        return None
    positions = ports.store.load([name])["row"]
    return pl.int_range(height, eager=True).is_in(positions.implode())


def set_rows_aside(batch: Batch, rows: pl.Series, reasons: pl.Series, typed: TypedRows, ports: Ports) -> None:
    """Keep which `rows` (Boolean) of a batch are left out from now on, and write them with their `reasons` into the quarantine;
    or find both done."""
    name = aside_name(batch)
    found = pl.DataFrame({"row": rows.arg_true().cast(pl.Int64), "reason": reasons.filter(rows)})
    ports.store.save(name, found, {"batch": batch.id, "rows": found.height, "of": len(rows)})
    kept = ports.store.load([name])  # what was kept first holds, also where the settings have changed since
    own = [(kept["row"] + 1).alias(ROW), kept["reason"].alias(REASON)]
    cells = [series for series in typed.raw[kept["row"].to_list()] if series.name not in (ROW, REASON)]
    ports.inbox.set_aside(batch, pl.DataFrame([*own, *cells]))


def aside_name(batch: Batch) -> str:
    """The name under which the store keeps which rows of a batch are left out."""
    return f"aside-{batch.id}"


def _labels(frame: pl.DataFrame, column: Column | None, config: Config) -> tuple[pl.Series, list[Fault]]:
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
        return nothing, [Fault(finding=missing, cells=pl.repeat(value=True, n=frame.height, eager=True))]
    if number:
        promised = (column or Column(type="number")).model_copy(update={"type": "number"})
        typed, faults = read_cells(frame.select(target), {target: promised})
        truth = typed[target]
    else:
        truth, faults = _classes(frame[target], column, config)
    blank = label_text(frame[target], _named(column, config)).is_null()
    if config.validation.on_blank_label == "error" and blank.any():
        faults.append(_label_fault(frame[target], blank, "a label in every row", "without one"))
    return truth, faults


def _classes(raw: pl.Series, column: Column | None, config: Config) -> tuple[pl.Series, list[Fault]]:
    text = label_text(raw, _named(column, config))
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
        return truth, [_label_fault(raw, unknown, expected, "with another label")]
    return truth, []


def _named(column: Column | None, config: Config) -> Collection[str]:
    """The labels that the settings name."""
    return tuple(config.data.labels) or (column.values if column is not None and column.values is not None else ())


def label_text(labels: pl.Series, named: Collection[str] = ()) -> pl.Series:
    """Labels as text, the same whether a file keeps them as text or not: 1.0 is "1", true is "True".

    Blanks and NaN are null, and so are words that say "no value", unless they are `named` as labels.
    """
    if labels.dtype.is_float():
        whole = labels.cast(pl.Int64, strict=False)
        exact = whole.cast(labels.dtype) == labels
        words = pl.when(exact).then(whole.cast(pl.String)).otherwise(labels.fill_nan(None).cast(pl.String))
    elif labels.dtype == pl.Boolean:
        words = pl.when(labels).then(pl.lit("True")).when(~labels).then(pl.lit("False")).otherwise(None)
    else:
        stripped = labels.cast(pl.String).str.strip_chars()
        words = pl.when(stripped == "").then(None).otherwise(stripped)
    text = pl.select(words.alias(labels.name)).to_series()
    nothing = text.str.to_lowercase().is_in(NULL_WORDS) & ~text.is_in(list(named))
    return pl.select(pl.when(nothing).then(None).otherwise(text)).to_series().alias(labels.name)


def _label_fault(raw: pl.Series, bad: pl.Series, expected: str, found: str) -> Fault:
    count = int(bad.sum())
    finding = Finding(
        check="label",
        column=raw.name,
        expected=expected,
        found=f"{count} rows {found}",
        rows=count,
        examples=examples(raw, bad),
    )
    return Fault(finding=finding, cells=bad, apart=True)
