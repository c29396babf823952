"""What a model version is asked with, and how sure its answers are: stored with the version, so that whoever serves it needs
nothing else.

This is the artifact at `keepfit.versions.INPUTS_PATH`, made by `keepfit.describing`. A version without it (registered before, or
elsewhere) is described by its MLflow signature instead.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import Any

from keepfit.errors import DataError
from keepfit.settings import Column

_MLFLOW_TYPES = {
    "boolean": "boolean",
    "integer": "integer",
    "long": "integer",
    "float": "number",
    "double": "number",
    "string": "text",
    "datetime": "datetime",
}


@dataclass(frozen=True, kw_only=True)
class Confidence:
    """How often a model is right when it is this sure, learnt on held-out rows: top-label calibration."""

    odds: tuple[float, ...]  # log-odds of the predicted class as the model gives them, ascending
    probability: tuple[float, ...]  # how often it was right there; in between, linear, and flat beyond both ends
    rows: int  # labelled held-out rows behind it
    error: float | None = None  # expected calibration error of these confidences, cross-fitted; None: not measured


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What to ask a model version with."""

    task: str  # classification or regression
    target: str
    columns: dict[str, Column]  # the contract's columns but for the target: the fields of a request
    optional: tuple[str, ...] = ()  # fields that may be left out: no features (id, time, group), or not required
    features: tuple[str, ...] = ()  # columns of the prepared rows, as the model was trained on them
    texts: tuple[str, ...] = ()  # those of them that hold text
    hidden: tuple[str, ...] = ()  # columns that prepare may see and the model may not
    unit: str | None = None  # data.unit: several rows make one prediction, which serving cannot answer
    prepare: str | None = None  # the project's function, as "module:function"; its file is under the artifact folder code/
    classes: tuple[str, ...] = ()  # that the model tells apart, as text
    named: tuple[str, ...] = ()  # classes that the project names, which a label may be though this version never saw them
    positive: str | None = None  # train.positive
    confidence: Confidence | None = None  # None: the model's own probabilities are given
    example: dict[str, Any] = field(default_factory=dict)  # a request that the model can answer


def text(inputs: Inputs) -> str:
    """As it is stored: JSON, the columns as they would stand in keepfit.toml. `read(text(inputs)) == inputs`."""
    plain = {name.name: getattr(inputs, name.name) for name in fields(inputs)}
    plain["columns"] = {name: column.model_dump(mode="json", exclude_defaults=True) for name, column in inputs.columns.items()}
    if inputs.confidence is not None:
        plain["confidence"] = {name.name: getattr(inputs.confidence, name.name) for name in fields(Confidence)}
    return json.dumps(plain, ensure_ascii=False, allow_nan=False, indent=1)


def read(text: str) -> Inputs:
    """What `text` wrote. What a newer keepfit added is ignored. Raises `DataError` for anything else."""
    try:
        given = json.loads(text)
        known: dict[str, Any] = {name.name: given[name.name] for name in fields(Inputs) if name.name in given}
        known["columns"] = {name: Column.model_validate(column) for name, column in known["columns"].items()}
        if known.get("confidence") is not None:
            known["confidence"] = _confidence(known["confidence"])
        known |= {name: tuple(value) for name, value in known.items() if isinstance(value, list)}
        return Inputs(**known)
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # pydantic's ValidationError is a ValueError
        raise DataError(f"The description of the model's inputs cannot be read: {type(error).__name__}: {error}") from error


def _confidence(given: Mapping[str, Any]) -> Confidence:
    odds, probability = (tuple(map(float, given[name])) for name in ("odds", "probability"))
    if len(odds) != len(probability) or not odds or any(after <= before for before, after in pairwise(odds)):
        raise ValueError("confidence is no table of ascending odds")
    return Confidence(odds=odds, probability=probability, rows=int(given["rows"]), error=given.get("error"))


def inputs_from_signature(mlmodel: str, example: str = "", classes: Sequence[str] = ()) -> Inputs:
    """What a version without a description of its own is asked with, by its MLflow signature.

    `mlmodel` is the text of the file MLmodel, `example` that of input_example.json where there is one, `classes` what the loaded
    model knows: none for a regression. A signature does not tell texts from categories: all are texts. Numbers may be empty; the
    model says whether it can do with that. Raises `DataError` for a version without a signature by column.
    """
    import yaml  # type: ignore[import-untyped]  # MLflow's own dependency; few versions need it

    hint = "Register it with a signature (mlflow's infer_signature on a table), or with `keepfit register`."
    try:
        signature = (yaml.safe_load(mlmodel) or {}).get("signature") or {}
        wanted = json.loads(signature.get("inputs") or "[]")
        told = json.loads(signature.get("outputs") or "[]")
    except (yaml.YAMLError, ValueError, AttributeError, TypeError) as error:
        raise DataError(f"The version's file MLmodel cannot be read: {error}") from error
    types = {each.get("name"): _MLFLOW_TYPES.get(str(each.get("type"))) for each in wanted if isinstance(each, dict)}
    if not types or None in types or None in types.values():
        found = ", ".join(f"{each.get('name')}: {each.get('type')}" for each in wanted) or "none"
        raise DataError(f"The version's signature does not name plain columns (found {found}), so nobody knows what to ask. {hint}")
    columns = {str(name): Column.model_validate({"type": type}) for name, type in types.items()}
    inputs = Inputs(
        task="classification" if classes else "regression",
        target=next((str(each["name"]) for each in told if isinstance(each, dict) and each.get("name")), "prediction"),
        columns=columns,
        optional=tuple(str(each["name"]) for each in wanted if each.get("required") is False),
        features=tuple(columns),
        texts=tuple(name for name, column in columns.items() if column.type == "text"),
        classes=tuple(classes),
    )
    first = next(iter(rows_of_example(example)), {})
    kept = {name: value for name, value in first.items() if name in columns and value is not None}
    return replace(inputs, example=kept if len(kept) == len(columns) else {})


def rows_of_example(text: str) -> list[dict[str, Any]]:
    """The rows of an input_example.json as MLflow writes tables; none where it is of another kind."""
    try:
        found = json.loads(text)
        names = found["columns"]
        return [dict(zip(names, row, strict=True)) for row in found["data"]]
    except (ValueError, KeyError, TypeError):
        return []
