"""MLflow's scoring protocol, so that its clients need not know that they talk to keepfit. These answers are logged too.

As MLflow does, columns that the model does not ask for are passed over, and NaN is an empty cell. Everything else is as strict as
/predict. Parquet and `params` are not taken.
"""

from __future__ import annotations

from importlib.metadata import version as installed
from typing import Any

from pydantic_core import from_json

from keepfit.serving.admission import PREDICT
from keepfit.serving.calls import Call, Reply
from keepfit.serving.desk import Desk
from keepfit.serving.documents import Predictions
from keepfit.serving.endpoints import Endpoint
from keepfit.serving.problems import Invalid, NotJson, Problem, pointer
from keepfit.serving.prometheus import Metrics
from keepfit.serving.routes.predicting import ROUTE_KEY, schema_of
from keepfit.serving.schemas import Row, Schema

TAG = "MLflow's scoring protocol"
FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_TEXT = b"text/plain; charset=utf-8"


def scoring(desk: Desk, metrics: Metrics, health_needs: frozenset[Any]) -> list[Endpoint]:
    """POST /invocations, GET /ping, /version."""

    async def invocations(call: Call) -> Reply:
        """Predict rows, as MLflow's clients ask.

        JSON with exactly one of dataframe_split, dataframe_records, instances and inputs, or text/csv with a header. Columns
        that the model does not ask for are passed over, and NaN is an empty cell.
        """
        kind = call.media_type()
        if kind not in ("application/json", "text/csv"):
            raise Problem(415, "Expected Content-Type application/json or text/csv.")
        body = await call.whole_body()
        schema = schema_of(desk)
        rows = from_csv(body, schema) if kind == "text/csv" else from_mlflow(body, schema)
        answered = await desk.predict_many(rows, call.route_key)
        metrics.batch(answered)
        return Reply.of({"predictions": [each.answer.prediction for each in answered]})

    async def ping(_: Call) -> Reply:
        """Whether it can answer."""
        if not desk.ready:
            raise Problem(503, "It cannot answer just now; /ready says why.")
        return Reply(b"\n", media_type=_TEXT)

    async def version(_: Call) -> Reply:
        """The version of MLflow that is installed here."""
        return Reply(installed("mlflow").encode(), media_type=_TEXT)

    return [
        Endpoint("POST", "/invocations", invocations, PREDICT, answer=Predictions, tag=TAG, body=_BODY, parameters=[ROUTE_KEY]),
        Endpoint("GET", "/ping", ping, health_needs, answer=None, tag=TAG, media_type="text/plain"),
        Endpoint("GET", "/version", version, PREDICT, answer=None, tag=TAG, media_type="text/plain"),
    ]


_BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": {"$ref": "#/components/schemas/Invocation"}},
        "text/csv": {"schema": {"type": "string"}},
    },
}


def from_mlflow(body: bytes, schema: Schema) -> list[Row]:
    """Rows of a JSON body. Raises `Invalid`, `NotJson`."""
    try:
        given = from_json(body)
    except ValueError as error:
        raise NotJson(f"expected JSON in UTF-8: {error}") from None
    if not isinstance(given, dict) or sum(form in given for form in FORMS) != 1:
        raise Invalid([("", f"expected an object with exactly one of {', '.join(FORMS)}")])
    further = next((name for name in given if name not in (*FORMS, "params")), None)
    if further is not None:
        raise Invalid([(pointer(further), "is not part of MLflow's protocol")])
    if given.get("params"):
        raise Invalid([("/params", "expected none; these models take no parameters")])
    form = next(form for form in FORMS if form in given)
    told = _split(given[form]) if form == "dataframe_split" else _records(given[form], form, schema)
    if len(told) > schema.settings.max_batch:
        raise Invalid([(pointer(form), f"expected at most {schema.settings.max_batch} rows")])
    return schema.checked([_wanted(row, schema) for row in told], (form,))


def _split(given: Any) -> list[Any]:
    """{"columns": [...], "data": [[...], ...]}, with or without "index"."""
    columns, data = (given.get("columns"), given.get("data")) if isinstance(given, dict) else (None, None)
    if not isinstance(columns, list) or not isinstance(data, list) or not all(isinstance(name, str) for name in columns):
        raise Invalid([("/dataframe_split", 'expected {"columns": [names], "data": [rows]}')])
    if len(set(columns)) < len(columns):
        raise Invalid([("/dataframe_split/columns", "expected each name once")])
    for number, row in enumerate(data):
        if not isinstance(row, list) or len(row) != len(columns):
            raise Invalid([(pointer("dataframe_split", "data", number), f"expected a list of {len(columns)} values")])
    return [dict(zip(columns, row, strict=True)) for row in data]


def _records(given: Any, form: str, schema: Schema) -> list[Any]:
    """A list of objects; for instances and inputs also columns as lists, or plain values where the model asks for one column."""
    if isinstance(given, list):
        alone = next(iter(schema.inputs.columns)) if len(schema.inputs.columns) == 1 and form != "dataframe_records" else None
        return [{alone: row} if alone and not isinstance(row, dict) else row for row in given]
    if form == "dataframe_records" or not isinstance(given, dict):
        raise Invalid([(pointer(form), "expected a list of objects")])
    columns = {name: values if isinstance(values, list) else [values] for name, values in given.items()}
    lengths = {len(values) for values in columns.values()}
    if len(lengths) != 1:
        raise Invalid([(pointer(form), "expected columns of one length")])
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _wanted(row: Any, schema: Schema) -> Any:
    """The columns that the model asks for, NaN as an empty cell."""
    if not isinstance(row, dict):
        return row
    return {name: None if value != value else value for name, value in row.items() if name in schema.inputs.columns}


def from_csv(body: bytes, schema: Schema) -> list[Row]:
    """Rows of a CSV text with a header, its cells read as those of training files are. Raises `Invalid`."""
    import polars as pl  # a third of a second, and few ask so

    from keepfit.contract import read_cells

    try:
        frame = pl.read_csv(body, infer_schema=False)
    except (pl.exceptions.PolarsError, ValueError, OverflowError):
        raise Invalid([("", "expected CSV in UTF-8 with a header")], status=400) from None
    if frame.height > schema.settings.max_batch:
        raise Invalid([("", f"expected at most {schema.settings.max_batch} rows")])
    columns = {name: column for name, column in schema.inputs.columns.items() if name in frame.columns}
    typed, faults = read_cells(frame, columns)
    if faults:
        places = [(fault, row) for fault in faults if fault.cells is not None for row in fault.cells.arg_true().to_list()[:3]]
        raise Invalid([(pointer(row, fault.finding.column or ""), f"expected {fault.finding.expected}") for fault, row in places])
    return schema.checked([_as_sent(row) for row in typed.to_dicts()])


def _as_sent(row: Row) -> Row:
    return {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in row.items()}
