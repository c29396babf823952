"""The models in service: which they are, how they compare, and how traffic is led to them."""

from __future__ import annotations

from typing import Any

import keepfit
from keepfit.live_records import Comparisons, Routing
from keepfit.records import Promotion
from keepfit.serving.admission import ADMIN, PREDICT
from keepfit.serving.calls import Call, Reply
from keepfit.serving.control import Office
from keepfit.serving.desk import Desk
from keepfit.serving.documents import Current, Rollback, RoutingChange
from keepfit.serving.endpoints import Endpoint, json_body
from keepfit.serving.plan import Placed
from keepfit.serving.problems import Invalid, Problem
from keepfit.serving.schemas import read

TAG = "Models"


def models(desk: Desk, office: Office) -> list[Endpoint]:
    """/models/current, /models/comparison, /models/routing, /models/rollback."""

    async def current(_: Call) -> Reply:
        """Which version answers, and which others are asked."""
        return Reply.of(_current(desk))

    async def comparison(_: Call) -> Reply:
        """How two versions compare on answers whose labels came back, by a test that may be looked at at any time."""
        return Reply.of_office(await office.ask("comparison"))

    async def routing(_: Call) -> Reply:
        """How traffic is shared, and who said so."""
        return Reply.of_office(await office.ask("routing"))

    async def set_routing(call: Call) -> Reply:
        """Share traffic otherwise.

        Every worker follows within a second. It holds until [serve.routing] of keepfit.toml is changed, or this is asked again.
        """
        change = read(RoutingChange, await call.json_body())
        if change.sticky is not None and desk.served is not None and change.sticky not in desk.served.loaded.inputs.columns:
            raise Invalid([("/sticky", "expected a field of the model's requests")])
        told = await office.ask("set_routing", **change.model_dump(), actor=call.actor, address=call.address)
        return Reply.of_office(told)

    async def rollback(call: Call) -> Reply:
        """Make the champion before this one the champion again.

        Journalled and audited with the reason; every worker follows within a second.
        """
        asked = read(Rollback, await call.json_body())
        return Reply.of_office(await office.ask("rollback", reason=asked.reason, actor=call.actor, address=call.address))

    return [
        Endpoint("GET", "/models/current", current, PREDICT, answer=Current, tag=TAG),
        Endpoint("GET", "/models/comparison", comparison, PREDICT, answer=Comparisons, tag=TAG, problems=[404, 409]),
        Endpoint("GET", "/models/routing", routing, PREDICT, answer=Routing, tag=TAG),
        Endpoint(
            "PUT",
            "/models/routing",
            set_routing,
            ADMIN,
            answer=Routing,
            tag=TAG,
            body=json_body("RoutingChange"),
            problems=[404, 409],
        ),
        Endpoint(
            "POST", "/models/rollback", rollback, ADMIN, answer=Promotion, tag=TAG, body=json_body("Rollback"), problems=[404, 409]
        ),
    ]


def _current(desk: Desk) -> dict[str, Any]:
    if desk.served is None:
        raise Problem(503, "There is no champion yet.")
    placed, inputs, plan = desk.served.placed, desk.served.loaded.inputs, desk.plan
    return {
        "model": placed.model,
        "model_version": placed.version,
        "content_hash": placed.content_hash,
        "task": inputs.task,
        "target": inputs.target,
        "classes": inputs.classes,
        "mode": "split" if plan.challenger else "shadow" if plan.shadows else "champion",
        "challenger": _version(plan.challenger) if plan.challenger else None,
        "share": plan.share if plan.challenger else 0.0,
        "shadows": [_version(shadow) for shadow in plan.shadows],
        "confidence_error": inputs.confidence.error if inputs.confidence else None,
        "keepfit": keepfit.__version__,
    }


def _version(placed: Placed) -> dict[str, Any]:
    return {"model": placed.model, "version": placed.version, "content_hash": placed.content_hash}
