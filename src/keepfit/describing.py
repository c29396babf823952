"""Describes, at registration, what a model version is asked with and how sure its answers are: `keepfit.inputs`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import polars as pl

from keepfit.config import Config
from keepfit.errors import KeepfitError
from keepfit.inputs import Confidence, Inputs
from keepfit.ports import Model, Ports
from keepfit.prepared import TRUTH, features_of, groups_of, hidden_columns, labelled
from keepfit.records import Batch
from keepfit.rows import contract_of, named_classes, read_typed
from keepfit.settings import Column
from keepfit.stats.top_label import top_label

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 20_000  # held-out rows that a confidence is learnt from
SHOWN = 5  # rows of which a category must be the value before it is shown in an example
SENTENCE = "Hello, are we still meeting for lunch tomorrow at noon?"


def inputs_of(
    model: Model, rows: pd.DataFrame, held_out: pd.DataFrame, batches: Sequence[Batch], ports: Ports, config: Config
) -> Inputs:
    """What a version is asked with.

    Args:
        model: as it will be loaded.
        rows: prepared rows that it was trained on, or like them.
        held_out: prepared rows that it was not trained on; without labelled ones there is no calibrated confidence.
        batches: where the rows came from; one is read again where an example needs raw columns.
    """
    data = config.data
    contract = contract_of(ports, config) or {}
    columns = {name: column for name, column in contract.items() if name != data.target}
    features = _features(model, rows)
    said = model.predict(rows[features].head(1))
    hidden = hidden_columns(columns, config)
    optional = _optional(columns, features, config)
    return Inputs(
        task=config.project.task,
        target=data.target,
        columns=columns,
        optional=optional,
        features=tuple(features),
        texts=tuple(name for name in features if name in columns and columns[name].type == "text"),
        hidden=tuple(name for name in columns if name in hidden),
        unit=data.unit,
        prepare=data.prepare,
        classes=said.classes,
        named=named_classes(contract, config) if said.classes else (),
        positive=config.train.positive,
        confidence=learnt(model, held_out, features, config),
        example=example(
            {name: column for name, column in columns.items() if name not in optional}, _cells_of(rows, batches, ports, config)
        ),
    )


def learnt(model: Model, held_out: pd.DataFrame, features: Sequence[str], config: Config) -> Confidence | None:
    """The calibrated confidence; None where there are too few labelled rows, or the model gives no probabilities. It changes no
    prediction, so that the held-out rows stay as good for comparing models as they were."""
    known = labelled(held_out)
    if config.project.task != "classification" or known.empty:
        return None
    step = max(1, -(-len(known) // MOST_ROWS))
    known = known.iloc[::step].reset_index(drop=True)
    truth = known[TRUTH].to_numpy()
    return top_label(model.predict(known[list(features)]), truth, groups_of(known, config), config.train.seed)


def _features(model: Model, rows: pd.DataFrame) -> list[str]:
    """The columns that the model was fitted on, in its order."""
    known = getattr(getattr(model, "estimator", None), "feature_names_in_", None)
    return features_of(rows) if known is None else [str(name) for name in known]


def _optional(columns: Mapping[str, Column], features: Sequence[str], config: Config) -> tuple[str, ...]:
    """The fields that may be left out. What the project's prepare looks at is not known, so that it is given all but what names
    rows and groups, and what files need not have either."""
    data = config.data
    if data.prepare is None:
        return tuple(name for name, column in columns.items() if name not in features or not column.required)
    named = (data.id, data.group)
    return tuple(name for name, column in columns.items() if name in named or not column.required)


# --------------------------------------------------------------------------------------------------------------- example


def example(columns: Mapping[str, Column], cells: Callable[[str], pl.Series]) -> dict[str, Any]:
    """A request as it might come: medians, commonest values, an invented sentence. No single row of the data is shown, as
    examples are published. `cells` gives a column's, as far as they are known. Empty where a promise is too particular to be
    kept by something invented."""
    found = {name: usual(column, cells(name)) for name, column in columns.items()}
    return {} if any(value is None for value in found.values()) else found


def usual(column: Column, cells: pl.Series) -> Any:
    """A value that a column may have, as JSON: the median or the commonest of the cells, else one that the contract allows; None
    where none can be found."""
    filled = cells.drop_nulls()
    match column.type:
        case "number" | "integer":
            return _number(column, filled)
        case "boolean":
            return bool(filled.cast(pl.Boolean).mode().sort()[0]) if len(filled) else False
        case "datetime":
            latest = filled.max() if filled.dtype.is_temporal() and len(filled) else datetime(2026, 1, 1)  # noqa: DTZ001
            moment = latest.replace(hour=12, minute=0, second=0, microsecond=0) if isinstance(latest, datetime) else None
            return None if moment is None else moment.strftime(column.format) if column.format else moment.isoformat()
    return next((value for value in _texts(column, filled) if _kept(value, column)), None)


def _number(column: Column, filled: pl.Series) -> float | int | None:
    numeric = filled.dtype.is_numeric() and len(filled) > 0
    middle = filled.median() if numeric else None
    value = float(middle) if isinstance(middle, int | float) else 0.0
    value = float(f"{value:.4g}")
    low = -math.inf if column.minimum is None else column.minimum
    high = math.inf if column.maximum is None else column.maximum
    value = min(max(value, low), high)
    if column.type == "number":
        return value
    whole = min(max(round(value), math.ceil(low) if math.isfinite(low) else round(value)), high)
    return int(whole)


def _texts(column: Column, filled: pl.Series) -> Iterator[str]:
    if column.type == "text" and column.values is None:
        yield SENTENCE
        yield SENTENCE[: column.max_length]
        return
    counted = filled.cast(pl.String).value_counts(sort=True).rows() if len(filled) else []
    yield from (str(value) for value, count in counted if count >= SHOWN)
    yield from column.values or ()
    yield "other"


def _kept(value: str, column: Column) -> bool:
    """Whether a text keeps what the contract promises of a single cell."""
    within = (column.min_length or 0) <= len(value) <= (len(value) if column.max_length is None else column.max_length)
    like = column.pattern is None or re.fullmatch(column.pattern, value) is not None
    return bool(value.strip()) and within and like and (column.values is None or value in column.values)


def _cells_of(rows: pd.DataFrame, batches: Sequence[Batch], ports: Ports, config: Config) -> Callable[[str], pl.Series]:
    """The cells of the raw columns: those of the prepared rows where they are prepared as they are, else those of a batch."""
    nothing = pl.Series([], dtype=pl.String)
    if config.data.prepare is None:
        return lambda name: pl.from_pandas(rows[name].head(MOST_ROWS)) if name in rows.columns else nothing

    @cache
    def typed() -> pl.DataFrame:
        try:
            return read_typed(batches[-1], contract_of(ports, config) or {}, ports, config).frame.head(MOST_ROWS)
        except (KeepfitError, IndexError):  # an example is not worth a registration
            return pl.DataFrame()

    return lambda name: typed()[name] if name in typed().columns else nothing
