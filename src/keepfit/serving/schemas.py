"""What a request must look like, made from what a model version is asked with.

One validator in pydantic's core reads JSON straight into the row that the model answers: no field beyond the contract's, nothing
turned into something else, every promise of a single cell kept. The same description is told as a JSON Schema.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic_core import CoreSchema, SchemaValidator, ValidationError, core_schema

from keepfit.inputs import Inputs
from keepfit.serve_settings import Serve
from keepfit.serving import cells
from keepfit.serving.problems import MOST_TOLD, Invalid, NotJson, pointer

if TYPE_CHECKING:
    from pydantic import BaseModel

Row = dict[str, Any]

MANY = 10_000  # faults beyond which they are not told one by one
LONGEST_LABEL = 1000  # characters
_NUMBER = SchemaValidator(core_schema.float_schema(strict=True, allow_inf_nan=False))


class Schema:
    """What one model version is asked with.

    Decided here: a whole number may be written 3 or 3.0; texts stay texts ("3" is no number, true is none either); a text
    that is blank is an empty cell; a field that is empty may be null or, where it is optional, left out; of a name that is
    given twice the last counts, as in most readers of JSON.
    """

    def __init__(self, inputs: Inputs, settings: Serve) -> None:
        self.inputs, self.settings = inputs, settings
        self._classes = list(dict.fromkeys((*inputs.classes, *inputs.named))) if inputs.classes else []
        row = _row(inputs, settings)
        rows = core_schema.list_schema(row, min_length=1, max_length=settings.max_batch)
        whole = core_schema.typed_dict_schema({"rows": core_schema.typed_dict_field(rows)}, extra_behavior="forbid")
        self._row, self._rows, self._list = SchemaValidator(row), SchemaValidator(whole), SchemaValidator(rows)

    def row(self, body: bytes) -> Row:
        """The fields of one request. Raises `Invalid`, `NotJson`."""
        try:
            row: Row = self._row.validate_json(body)
        except ValidationError as error:
            raise refused(error) from None
        return row

    def rows(self, body: bytes) -> list[Row]:
        """The rows of {"rows": [...]}. Raises `Invalid`, `NotJson`."""
        try:
            told: dict[str, list[Row]] = self._rows.validate_json(body)
        except ValidationError as error:
            raise refused(error) from None
        return told["rows"]

    def checked(self, rows: Sequence[Row], place: tuple[str | int, ...] = ()) -> list[Row]:
        """Rows that were read elsewhere; `place` is where they stood. Raises `Invalid`."""
        try:
            found: list[Row] = self._list.validate_python(rows)
        except ValidationError as error:
            raise refused(error, place) from None
        return found

    def label(self, value: object) -> str | float:
        """A label that came back: a class of the model, or one that the project names, as text; or a finite number. Raises
        `Invalid`."""
        if self.inputs.task == "regression":
            return self._number(value)
        text = _class_text(value)
        if not text or len(text) > LONGEST_LABEL:
            raise Invalid([("/label", "expected a class as text")])
        if self._classes and text not in self._classes:
            raise Invalid([("/label", f"expected one of {_listed(self._classes)}")])
        return text

    @property
    def row_schema(self) -> dict[str, Any]:
        """JSON Schema of one request."""
        columns = self.inputs.columns.items()
        return {
            "type": "object",
            "title": "Row",
            "properties": {name: cells.described(column, self._may_be_empty(name), self.settings) for name, column in columns},
            "required": [name for name in self.inputs.columns if name not in self.inputs.optional],
            "additionalProperties": False,
            **({"examples": [self.inputs.example]} if self.inputs.example else {}),
        }

    @property
    def rows_schema(self) -> dict[str, Any]:
        """JSON Schema of several; the row itself is at #/components/schemas/Row."""
        item = {"$ref": "#/components/schemas/Row"}
        properties = {"rows": {"type": "array", "items": item, "minItems": 1, "maxItems": self.settings.max_batch}}
        return {
            "type": "object",
            "title": "Rows",
            "properties": properties,
            "required": ["rows"],
            "additionalProperties": False,
        }

    @property
    def label_schema(self) -> dict[str, Any]:
        """JSON Schema of a label."""
        if self.inputs.task == "regression":
            return {"type": "number"}
        return {"type": "string", "enum": self._classes} if self._classes else {"type": "string", "minLength": 1}

    def _number(self, value: object) -> float:
        try:
            found: float = _NUMBER.validate_python(value)
        except ValidationError as error:
            raise refused(error, ("label",)) from None
        return found

    def _may_be_empty(self, name: str) -> bool:
        return may_be_empty(self.inputs, name)


M = TypeVar("M", bound="BaseModel")


def read(model: type[M], body: bytes) -> M:
    """A body that is the same whatever model is served. Raises `Invalid`, `NotJson`."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise refused(error) from None


def refused(error: ValidationError, place: tuple[str | int, ...] = ()) -> Invalid:
    """What is wrong with a body; `place` is where in it the checked value stood. Thousands of faults are only counted."""
    count = error.error_count()
    if count > MANY:
        return Invalid([(pointer(*place), f"expected what /openapi.json describes, found {count} things that are wrong")])
    errors = error.errors(include_url=False, include_input=False)
    told = [(pointer(*place, *each["loc"]), _words(each)) for each in errors[:MOST_TOLD]]
    return NotJson(told[0][1]) if errors[0]["type"] == "json_invalid" else Invalid(told, more=count - len(told))


def may_be_empty(inputs: Inputs, name: str) -> bool:
    """Whether a field may be null: where the contract allows empty cells, or does not ask for the column at all."""
    return inputs.columns[name].max_null_share > 0 or name in inputs.optional


def _row(inputs: Inputs, settings: Serve) -> CoreSchema:
    fields = {}
    for name, column in inputs.columns.items():
        cell = cells.cell(column, may_be_empty(inputs, name), settings)
        if name in inputs.optional:
            absent = core_schema.with_default_schema(cell, default=None)
            fields[name] = core_schema.typed_dict_field(absent, required=False)
        else:
            fields[name] = core_schema.typed_dict_field(cell)
    return core_schema.typed_dict_schema(fields, extra_behavior="forbid")


def _class_text(value: object) -> str:
    """A class as keepfit writes it (`rows.label_text`): true is "True", and 1.0 is "1"; "" for what can be none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, (str, bool, int)):
        return str(value).strip()
    return ""


_UNKNOWN = "is not a field of this model"
_WORDS = {
    "extra_forbidden": _UNKNOWN,
    "missing": "is missing",
    "dict_type": "expected an object",
    "list_type": "expected a list",
    "float_type": "expected a number",
    "finite_number": "expected a finite number",
    "bool_type": "expected true or false",
    "string_type": "expected a text",
    "string_unicode": "expected a text in Unicode",
    "int_type": "expected a whole number",
}


def _words(error: Any) -> str:
    kind, given = error["type"], error.get("ctx", {})
    if kind in _WORDS:
        return _WORDS[kind]
    if kind == "json_invalid":
        return f"expected JSON in UTF-8: {given.get('error', '')}"
    bounds = {
        "greater_than_equal": "at least {ge:.15g}",
        "less_than_equal": "at most {le:.15g}",
        "string_too_short": "at least {min_length} characters",
        "string_too_long": "at most {max_length} characters",
        "too_short": "at least {min_length} row",
        "too_long": "at most {max_length} rows",
        "string_pattern_mismatch": "text like {pattern}",
        "literal_error": "one of {expected}",
    }
    return f"expected {bounds[kind].format(**given)}" if kind in bounds else str(error["msg"])


def _listed(values: Sequence[str]) -> str:
    shown = ", ".join(values[:MOST_TOLD])
    return shown + (", ..." if len(values) > MOST_TOLD else "")
