"""The OpenAPI document: always of the model that answers now.

FastAPI describes the endpoints once; what a version is asked with is put in for each, and the last few are kept.
"""

from __future__ import annotations

import copy
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

import keepfit
from keepfit.serving.desk import Desk
from keepfit.serving.documents import Rollback, RoutingChange
from keepfit.serving.endpoints import ProblemDocument
from keepfit.serving.schemas import Schema

_TEMPLATE = "#/components/schemas/{model}"
_OPEN = {"type": "object", "description": "There is no champion yet, so nobody can tell what it will be asked with."}


class Description:
    """What FastAPI's `openapi()` returns, for the champion."""

    def __init__(self, app: FastAPI, desk: Desk, project: str, *, keys: bool) -> None:
        self._app, self._desk, self._project, self._keys = app, desk, project, keys
        self._base: dict[str, Any] | None = None
        self._last: tuple[Any, dict[str, Any], bytes] | None = None

    def document(self) -> dict[str, Any]:
        """As a dictionary."""
        return self._current()[1]

    def text(self) -> bytes:
        """As JSON."""
        return self._current()[2]

    def _current(self) -> tuple[Any, dict[str, Any], bytes]:
        served = self._desk.served
        if self._last is None or self._last[0] is not served:
            document = copy.deepcopy(self._common())
            schemas = document["components"]["schemas"]
            schemas |= _of_version(served.schema if served else None)
            if served:
                schemas["RoutingChange"]["properties"]["sticky"] |= {"enum": [*served.schema.inputs.columns, None]}
            self._last = (served, document, orjson.dumps(document))
        return self._last

    def _common(self) -> dict[str, Any]:
        if self._base is None:
            told = "Predictions that are logged, labelled, and answered by the model that has shown to be the best."
            routes = self._app.routes
            self._base = get_openapi(title=self._project, version=keepfit.__version__, description=told, routes=routes)
            fixed = [(Rollback, "validation"), (RoutingChange, "validation"), (ProblemDocument, "serialization")]
            _, schemas = models_json_schema(fixed, ref_template=_TEMPLATE)  # type: ignore[arg-type]
            components = self._base.setdefault("components", {})
            components["schemas"] = components.get("schemas", {}) | schemas["$defs"]
            components["securitySchemes"] = {
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            }
            if not self._keys:
                _without_keys(self._base)
        return self._base


def _without_keys(document: dict[str, Any]) -> None:
    """Where no key is needed, none is asked for, and none can be wrong."""
    del document["components"]["securitySchemes"]
    for operations in document["paths"].values():
        for operation in operations.values():
            operation.pop("security", None)
            operation["responses"].pop("401", None)


def _of_version(schema: Schema | None) -> dict[str, Any]:
    row, rows, label = (schema.row_schema, schema.rows_schema, schema.label_schema) if schema else (_OPEN, _OPEN, {})
    return {"Row": row, "Rows": rows, "Label": label, "Feedback": _feedback(), **_of_mlflow(row, schema)}


def _feedback() -> dict[str, Any]:
    given = {"type": "string", "maxLength": 100, "description": "As /predict told it."}
    properties = {"request_id": given, "label": {"$ref": "#/components/schemas/Label"}}
    return {"type": "object", "properties": properties, "required": ["request_id", "label"], "additionalProperties": False}


def _of_mlflow(row: dict[str, Any], schema: Schema | None) -> dict[str, Any]:
    """One of four forms. Two are described loosely: what they hold is held against the row's own schema once it is laid out."""
    most = {"maxItems": schema.settings.max_batch} if schema else {}
    rows = {"type": "array", "items": {"$ref": "#/components/schemas/WideRow"}, "minItems": 1, **most}
    split = {
        "type": "object",
        "properties": {
            "columns": {"type": "array", "items": {"type": "string"}},
            "data": {"type": "array", "items": {"type": "array"}, "minItems": 1, **most},
            "index": {"type": "array"},
        },
        "required": ["columns", "data"],
    }
    forms: dict[str, dict[str, Any]] = {"dataframe_split": split, "dataframe_records": rows, "instances": rows, "inputs": {}}
    example = {"examples": [{"dataframe_records": [schema.inputs.example]}]} if schema and schema.inputs.example else {}
    wide = row | {"title": "WideRow", "description": "Fields beyond the model's are passed over.", "additionalProperties": True}
    return {"Invocation": {"oneOf": [_one(name, form) for name, form in forms.items()], **example}, "WideRow": wide}


def _one(name: str, form: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {name: form}, "required": [name], "additionalProperties": False}
