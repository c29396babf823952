"""What a version is asked with survives being stored, and can be read off an MLflow signature where nothing was stored."""

from __future__ import annotations

import json

import pytest
import yaml

from keepfit.errors import DataError
from keepfit.inputs import Confidence, Inputs, inputs_from_signature, read, rows_of_example, text
from keepfit.settings import Column

WHOLE = Inputs(
    task="classification",
    target="label",
    columns={
        "message": Column(type="text", max_null_share=0, min_length=2, max_length=2000),
        "at": Column(type="datetime", format="%d-%m-%Y %H.%M", max_age="2d", required=False),
        "kind": Column(type="category", values=("a", "b")),
    },
    optional=("at",),
    features=("message", "kind"),
    texts=("message",),
    hidden=("at",),
    unit="patient",
    prepare="features:prepare",
    classes=("ham", "spam"),
    positive="spam",
    confidence=Confidence(odds=(0.0, 1.5), probability=(0.5, 0.75), rows=120, error=0.01),
    example={"message": "Grüße 🎉", "kind": "a"},
)


@pytest.mark.parametrize("inputs", [WHOLE, Inputs(task="regression", target="y", columns={"x": Column(type="number")})])
def test_what_is_stored_is_read_back(inputs):
    assert read(text(inputs)) == inputs


def test_what_a_newer_keepfit_added_is_ignored():
    assert read(json.dumps(json.loads(text(WHOLE)) | {"later": 1})) == WHOLE


@pytest.mark.parametrize(
    "change",
    [
        {"columns": {"x": {"type": "colour"}}},
        {"columns": None},
        {"confidence": {"odds": [1.0, 0.0], "probability": [0.5, 0.6], "rows": 1}},
        {"confidence": {"odds": [], "probability": [], "rows": 1}},
    ],
)
def test_a_description_that_is_damaged_is_refused(change):
    with pytest.raises(DataError, match="description of the model's inputs"):
        read(json.dumps(json.loads(text(WHOLE)) | change))
    with pytest.raises(DataError):
        read("{")


def mlmodel(inputs, outputs=None):
    signature = {
        "inputs": json.dumps(inputs),
        "outputs": json.dumps(outputs or [{"type": "string", "name": "label", "required": True}]),
    }
    return yaml.safe_dump({"run_id": "1", "signature": signature, "flavors": {}})


def test_a_signature_by_column_says_what_to_ask():
    columns = [("message", "string"), ("age", "double"), ("count", "long"), ("flag", "boolean"), ("at", "datetime")]
    signature = [{"name": name, "type": kind, "required": name != "age"} for name, kind in columns]
    example = json.dumps({"columns": [name for name, _ in columns], "data": [["hello", 1.5, 2, True, "2026-01-01T00:00:00"]]})
    inputs = inputs_from_signature(mlmodel(signature), example, ["ham", "spam"])
    assert {name: column.type for name, column in inputs.columns.items()} == {
        "message": "text",
        "age": "number",
        "count": "integer",
        "flag": "boolean",
        "at": "datetime",
    }
    assert inputs.features == ("message", "age", "count", "flag", "at")
    assert (inputs.task, inputs.target, inputs.optional, inputs.texts) == ("classification", "label", ("age",), ("message",))
    assert inputs.example["message"] == "hello"
    assert inputs_from_signature(mlmodel(signature)).task == "regression"


@pytest.mark.parametrize(
    "told",
    [
        "",
        "flavors: {}",
        "signature: {inputs: 'nonsense'}",
        "a: [",
        mlmodel([{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 3]}}]),
        mlmodel([{"name": "x", "type": "binary"}]),
    ],
)
def test_a_version_that_names_no_columns_is_refused_with_what_to_do(told):
    with pytest.raises(DataError, match=r"signature|MLmodel"):
        inputs_from_signature(told)


@pytest.mark.parametrize("text", ["", "[1, 2]", '{"inputs": [1]}', '{"columns": ["a"], "data": [[1, 2]]}'])
def test_examples_of_another_kind_are_none(text):
    assert rows_of_example(text) == []
