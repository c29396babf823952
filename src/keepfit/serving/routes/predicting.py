"""Answers, and the labels that come back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic_core import SchemaValidator, ValidationError, core_schema

from keepfit.serving.admission import FEEDBACK, PREDICT
from keepfit.serving.calls import LONGEST_ROUTE_KEY, Call, Reply
from keepfit.serving.desk import Answered, Desk
from keepfit.serving.documents import Predicted, PredictedBatch, Recorded
from keepfit.serving.endpoints import Endpoint, json_body
from keepfit.serving.problems import Problem
from keepfit.serving.prometheus import Metrics
from keepfit.serving.schemas import Schema, refused

TAG = "Predictions"
ROUTE_KEY = {
    "name": "X-Route-Key",
    "in": "header",
    "description": "Where traffic is split: whoever sends the same is answered by the same model.",
    "schema": {"type": "string", "maxLength": LONGEST_ROUTE_KEY},
}


def predicting(desk: Desk, metrics: Metrics) -> list[Endpoint]:
    """POST /predict, /predict/batch, /feedback."""

    async def predict(call: Call) -> Reply:
        """Predict one row.

        The answer is in the log before it leaves. `request_id` names it when its label comes back to /feedback.
        """
        body = await call.json_body()
        answered = await desk.predict(schema_of(desk).row(body), call.route_key)
        metrics.answer(answered)
        return Reply.of(told(answered))

    async def predict_batch(call: Call) -> Reply:
        """Predict several rows.

        Each is answered and logged as if it had come alone, under an id of its own. One row that is not right refuses them all.
        """
        body = await call.json_body()
        answered = await desk.predict_many(schema_of(desk).rows(body), call.route_key)
        metrics.batch(answered)
        return Reply.of({"predictions": [told(each) for each in answered]})

    async def feedback(call: Call) -> Reply:
        """Tell what was right.

        As late as you like, and again where it was wrong: of several labels for one answer the last counts.
        """
        body = await call.json_body()
        try:
            given = _FEEDBACK.validate_json(body)
        except ValidationError as error:
            raise refused(error) from None
        request_id, label = given["request_id"], schema_of(desk).label(given["label"])
        at = await desk.label(request_id, label)
        moment = datetime.fromtimestamp(at, UTC)
        return Reply.of({"request_id": request_id.lower(), "recorded": True, "label": label, "timestamp": moment})

    return [
        Endpoint("POST", "/predict", predict, PREDICT, answer=Predicted, tag=TAG, body=json_body("Row"), parameters=[ROUTE_KEY]),
        Endpoint(
            "POST",
            "/predict/batch",
            predict_batch,
            PREDICT,
            answer=PredictedBatch,
            tag=TAG,
            body=json_body("Rows"),
            parameters=[ROUTE_KEY],
        ),
        Endpoint("POST", "/feedback", feedback, FEEDBACK, answer=Recorded, tag=TAG, body=json_body("Feedback"), problems=[404]),
    ]


def schema_of(desk: Desk) -> Schema:
    """What the champion is asked with. Raises `Problem` where there is none."""
    if desk.served is None:
        raise Problem(503, "There is no champion yet, so nothing can be answered.")
    schema: Schema = desk.served.schema
    return schema


def told(answered: Answered) -> dict[str, Any]:
    """An answer as it is sent."""
    answer = answered.answer
    return {
        "request_id": answered.request_id,
        "prediction": answer.prediction,
        "confidence": answer.confidence,
        "probabilities": answer.probabilities,
        "model_version": answered.version,
        "timestamp": datetime.fromtimestamp(answered.at, UTC),
        "top_features": answer.top_features,
        "logged": answered.logged,
    }


_FEEDBACK = SchemaValidator(
    core_schema.typed_dict_schema(
        {
            "request_id": core_schema.typed_dict_field(core_schema.str_schema(strict=True, max_length=100)),
            "label": core_schema.typed_dict_field(core_schema.any_schema()),
        },
        extra_behavior="forbid",
    )
)
