"""Which fields go through which steps, and what columns come out: a fitted pipeline, read from its front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from keepfit.serving.compiled import categories, numbers, texts
from keepfit.serving.compiled.blocks import Block, NotCompiled, kind, refuse
from keepfit.serving.compiled.categories import Category
from keepfit.serving.compiled.numbers import Number, NumberBlock
from keepfit.serving.compiled.texts import Text

NUMBERS = ("number", "integer", "boolean")  # a contract's types that become numbers


@dataclass(frozen=True, kw_only=True)
class Fields:
    """A table's columns as they come in; each step turns them into one of the things below."""

    names: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class OneText:
    """One field as a sequence of texts."""

    name: str
    needs_text: bool  # whether nobody has turned empty cells into empty texts


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Finished blocks side by side. What steps behind them do to each column is kept as a factor and a shift."""

    blocks: Sequence[Block]
    kept: np.ndarray | None = None  # places of the columns that a selection left; None: all
    factors: np.ndarray | None = None  # of the columns that are left
    shifts: np.ndarray | None = None

    @property
    def width(self) -> int:
        return sum(block.width for block in self.blocks)


@dataclass(frozen=True, kw_only=True)
class _Numbers:
    columns: Sequence[Number]


@dataclass(frozen=True, kw_only=True)
class _Categories:
    columns: Sequence[Category]


Stream = Fields | OneText | _Numbers | _Categories | Columns


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A pipeline taken apart: what its end is given, and the end."""

    columns: Columns
    end: Any


@dataclass(frozen=True)
class Table:
    """What a model is given: its features in their order, with the types of the contract."""

    types: Mapping[str, str] = field(default_factory=dict)


def take_apart(model: Any, table: Table) -> Taken:
    """The columns of a fitted pipeline, or of an estimator alone. Raises `NotCompiled`."""
    steps = [step for _, step in model.steps] if kind(model) == "Pipeline" else [model]
    stream: Stream = Fields(names=list(table.types))
    for step in steps[:-1]:
        stream = _after(step, stream, table)
    end = steps[-1]
    while kind(end) == "Pipeline":
        stream, end = _before_end(end, stream, table)
    return Taken(columns=_finished(stream, table), end=end)


def _before_end(pipeline: Any, stream: Stream, table: Table) -> tuple[Stream, Any]:
    for _, step in pipeline.steps[:-1]:
        stream = _after(step, stream, table)
    return stream, pipeline.steps[-1][1]


def _after(step: Any, stream: Stream, table: Table) -> Stream:
    """The stream after one step."""
    if step is None or step == "passthrough" or (kind(step) == "FunctionTransformer" and step.func is None):
        return stream
    match kind(step), stream:
        case "Pipeline", _:
            for _, inner in step.steps:
                stream = _after(inner, stream, table)
            return stream
        case "FeatureUnion", _:
            return _side_by_side(step.transformer_list, step.transformer_weights, [stream] * len(step.transformer_list), table)
        case "ColumnTransformer", Fields():
            parts = [(name, inner, columns) for name, inner, columns in step.transformers_ if not _dropped(inner, columns)]
            streams = [_chosen(step, columns, stream) for _, _, columns in parts]
            return _side_by_side([part[:2] for part in parts], step.transformer_weights, streams, table)
        case "OneText", Fields(names=[name]):
            return OneText(name=name, needs_text=False)
        case "OneText", OneText():
            return replace(stream, needs_text=False)
        case (("TfidfVectorizer" | "CountVectorizer"), OneText()):
            if table.types[stream.name] in NUMBERS:
                raise refuse(step, f"of {stream.name!r}, which is no text, is not compiled")
            return Columns(blocks=[texts.vectorized(step, stream.name, needs_text=stream.needs_text)])
        case "OneHotEncoder", (Fields() | _Categories()):
            return Columns(blocks=[categories.one_hot(step, _as_categories(step, stream, table))])
        case _, Columns():
            return _behind(step, stream)
        case _, _Categories():
            return _Categories(columns=categories.after(step, stream.columns))
        case _, _Numbers():
            return _Numbers(columns=numbers.after(step, stream.columns))
        case _, Fields(names=names) if all(table.types[name] in NUMBERS for name in names):
            return _Numbers(columns=numbers.after(step, [Number(field=name) for name in names]))
        case "SimpleImputer", Fields():
            return _Categories(columns=categories.after(step, _as_categories(step, stream, table)))
    raise refuse(step)


def _as_categories(step: Any, stream: Fields | _Categories, table: Table) -> Sequence[Category]:
    if isinstance(stream, _Categories):
        return stream.columns
    if any(table.types[name] in NUMBERS for name in stream.names):
        raise refuse(step, "on numbers is not compiled")
    return [Category(field=name, written=table.types[name] == "text") for name in stream.names]


def _dropped(inner: Any, columns: Any) -> bool:
    return (isinstance(inner, str) and inner == "drop") or (not isinstance(columns, str | slice) and len(columns) == 0)


def _chosen(transformer: Any, columns: Any, stream: Fields) -> Stream:
    """The fields that a part of a `ColumnTransformer` is given: one name alone is a sequence, a list of names a table."""
    if isinstance(columns, str):
        return OneText(name=columns, needs_text=True)
    known = [str(name) for name in getattr(transformer, "feature_names_in_", stream.names)]
    if isinstance(columns, slice):
        raise refuse(transformer, "of slices is not compiled")
    given = np.asarray(columns).tolist()
    if not isinstance(given, list):
        raise refuse(transformer, "of columns by number alone is not compiled")
    if all(isinstance(each, bool) for each in given):
        given = [place for place, each in enumerate(given) if each]
    return Fields(names=[known[each] if isinstance(each, int) else str(each) for each in given])


def _side_by_side(
    parts: Sequence[tuple[str, Any]], weights: Mapping[str, float] | None, streams: Sequence[Stream], table: Table
) -> Columns:
    blocks: list[Block] = []
    factors: list[np.ndarray] = []
    shifts: list[np.ndarray] = []
    for (name, inner), stream in zip(parts, streams, strict=True):
        if isinstance(inner, str) and inner == "drop":
            continue
        found = _finished(_after(inner, stream, table), table)
        if found.kept is not None:
            raise NotCompiled("a selection inside a part of the columns")
        weight = float((weights or {}).get(name, 1.0))
        blocks += found.blocks
        factors.append(weight * (np.ones(found.width) if found.factors is None else found.factors))
        shifts.append(weight * (np.zeros(found.width) if found.shifts is None else found.shifts))
    if not blocks:
        raise NotCompiled("a model without columns")
    factor, shift = np.concatenate(factors), np.concatenate(shifts)
    plain = bool((factor == 1).all() and (shift == 0).all())
    return Columns(blocks=blocks) if plain else Columns(blocks=blocks, factors=factor, shifts=shift)


def _finished(stream: Stream, table: Table) -> Columns:
    match stream:
        case Columns():
            return stream
        case _Numbers(columns=columns):
            return Columns(blocks=[NumberBlock(columns)])
        case Fields(names=names) if names and all(table.types[name] in NUMBERS for name in names):
            return Columns(blocks=[NumberBlock([Number(field=name) for name in names])])
    raise NotCompiled("texts or categories that reach the model as they are")


def _behind(step: Any, columns: Columns) -> Columns:
    """Columns after a step that comes behind finished blocks: weights of terms, a selection, a scale."""
    untouched = columns.kept is None and columns.factors is None
    if kind(step) == "TfidfTransformer" and untouched and len(columns.blocks) == 1 and isinstance(columns.blocks[0], Text):
        return Columns(blocks=[texts.reweighted(step, columns.blocks[0])])
    if type(step).__module__.startswith("sklearn.feature_selection") and kind(step) and hasattr(step, "get_support"):
        left = np.flatnonzero(step.get_support())
        kept = left if columns.kept is None else columns.kept[left]
        parts = (None if each is None else each[left] for each in (columns.factors, columns.shifts))
        factors, shifts = parts
        return replace(columns, kept=kept, factors=factors, shifts=shifts)
    if kind(step) == "MaxAbsScaler" or (kind(step) == "StandardScaler"):
        width = columns.width if columns.kept is None else len(columns.kept)
        scales = np.ones(width) if step.scale_ is None else np.asarray(step.scale_, dtype=float)
        centres = np.asarray(step.mean_) if getattr(step, "with_mean", False) else np.zeros(width)
        factors = (np.ones(width) if columns.factors is None else columns.factors) / scales
        shifts = ((np.zeros(width) if columns.shifts is None else columns.shifts) - centres) / scales
        return replace(columns, factors=factors, shifts=shifts)
    raise refuse(step, "behind other columns is not compiled")
