"""How the model in service does: performance, drift, retrainings, and figures for Prometheus."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from keepfit.live_records import CycleFact, DriftCalculation, LatestDrift, LivePerformance
from keepfit.serving.admission import ADMIN, PREDICT
from keepfit.serving.calls import Call, Reply
from keepfit.serving.control import Office
from keepfit.serving.desk import Desk
from keepfit.serving.endpoints import Endpoint, json_body
from keepfit.serving.problems import Problem
from keepfit.serving.prometheus import MEDIA_TYPE, Metrics
from keepfit.serving.routes.predicting import schema_of
from keepfit.serving.schemas import Row

TAG = "Monitoring"
MOST_CYCLES, USUAL_CYCLES = 1000, 20
_DURATION = r"^[1-9][0-9]{0,4}[smhdw]$"  # up to 1900 years: what is told from then on still has a date
_WINDOW = {
    "name": "window",
    "in": "query",
    "description": "The part of the log, up to now; serve.window where it is not given.",
    "schema": {"type": "string", "pattern": _DURATION, "examples": ["7d"]},
}
_LIMIT = {
    "name": "limit",
    "in": "query",
    "description": "How many cycles, the latest first.",
    "schema": {"type": "integer", "minimum": 1, "maximum": MOST_CYCLES, "default": USUAL_CYCLES},
}


def monitoring(desk: Desk, office: Office, metrics: Metrics) -> list[Endpoint]:
    """/metrics, /metrics/performance, /metrics/drift, /drift/calculate, /retraining/history."""

    async def performance(call: Call) -> Reply:
        """How right the answers were whose labels came back."""
        return Reply.of_office(await office.ask("performance", window=_window(call)))

    async def drift(_: Call) -> Reply:
        """The latest drift report, as the loop measured it."""
        return Reply.of_office(await office.ask("drift"))

    async def drift_of_window(call: Call) -> Reply:
        """Measure the drift of what was asked lately; see POST."""
        return Reply.of_office(_named(await office.ask("calculate_drift", rows=None, window=_window(call)), desk))

    async def calculate_drift(call: Call) -> Reply:
        """Measure the drift of the given rows, or of what was asked lately.

        With {"rows": [...]} of these; without a body of the part of the log that `window` names. Where one class is the one to look
        out for (train.positive), its patterns also stand under its own name: new_spam_patterns.
        """
        rows = schema_of(desk).rows(await call.json_body()) if call.has_body else None
        told = None if rows is None else [_plain(row) for row in rows]
        return Reply.of_office(_named(await office.ask("calculate_drift", rows=told, window=_window(call)), desk))

    async def history(call: Call) -> Reply:
        """The latest cycles of the loop: what was decided, and why."""
        return Reply.of_office(await office.ask("history", limit=_limit(call)))

    async def prometheus(_: Call) -> Reply:
        """Figures for Prometheus."""
        return Reply(metrics.text(), media_type=MEDIA_TYPE)

    whole: dict[str, Any] = {"tag": TAG, "problems": [404]}
    lately = whole | {"parameters": [_WINDOW]}
    drifted = lately | {"answer": DriftCalculation}
    optional = json_body("Rows", required=False)
    return [
        Endpoint("GET", "/metrics", prometheus, PREDICT, answer=None, tag=TAG, media_type="text/plain"),
        Endpoint("GET", "/metrics/performance", performance, PREDICT, answer=LivePerformance, **lately),
        Endpoint("GET", "/metrics/drift", drift, ADMIN, answer=LatestDrift, **whole),
        Endpoint("GET", "/drift/calculate", drift_of_window, ADMIN, **drifted),
        Endpoint("POST", "/drift/calculate", calculate_drift, ADMIN, body=optional, **drifted),
        Endpoint("GET", "/retraining/history", history, PREDICT, answer=list[CycleFact], tag=TAG, parameters=[_LIMIT]),
    ]


def _named(told: dict[str, Any], desk: Desk) -> dict[str, Any]:
    """With the patterns of the class to look out for under its own name."""
    positive = desk.served.loaded.inputs.positive if desk.served else None
    if positive is None:
        return told
    name = re.sub(r"\W+", "_", positive).strip("_").lower() or "positive"
    return told | {f"new_{name}_patterns": told.get("new_patterns", {}).get(positive, [])}


def _window(call: Call) -> str | None:
    """A duration as it was written; None where it was not."""
    given = _single(call, "window")
    if given is not None and re.fullmatch(_DURATION, given) is None:
        raise Problem.of_parameter("window", "expected a duration such as 90s, 15m, 12h, 7d or 2w")
    return given


def _limit(call: Call) -> int:
    given = _single(call, "limit")
    if given is None:
        return USUAL_CYCLES
    limit = int(given) if given.isascii() and given.isdigit() and len(given) < 10 else 0
    if not 1 <= limit <= MOST_CYCLES:
        raise Problem.of_parameter("limit", f"expected a whole number from 1 to {MOST_CYCLES}")
    return limit


def _single(call: Call, name: str) -> str | None:
    given = call.query_params.getlist(name)
    if len(given) > 1:
        raise Problem.of_parameter(name, "expected it once")
    return given[0] if given else None


def _plain(row: Row) -> Row:
    """As JSON has it: moments as text."""
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
