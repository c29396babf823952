"""Every request passes here: is it let in, which endpoint answers, and how it is told when none can.

All paths are fixed, so finding the endpoint is one look into a dictionary. FastAPI describes the endpoints and would route to them
just so; its layers (a stack of exits, dependencies, two exception handlers, a regular expression a route) cost more than a small
model does.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from starlette.types import Receive, Scope, Send

from keepfit.serving.admission import ANY, Admission
from keepfit.serving.calls import Call, Left, Reply, Room
from keepfit.serving.endpoints import Endpoint
from keepfit.serving.problems import Problem, problem_of
from keepfit.serving.prometheus import OTHER, Metrics

LONGEST_PATH = 200  # characters of it that a problem document repeats


class Gate:
    """The ASGI application inside FastAPI's."""

    def __init__(self, endpoints: Sequence[Endpoint], admission: Admission, metrics: Metrics, max_body: int) -> None:
        self._ways: dict[str, dict[str, Endpoint]] = {}
        for endpoint in endpoints:
            self._ways.setdefault(endpoint.path, {})[endpoint.method] = endpoint
        for way in self._ways.values():
            if "GET" in way:
                way["HEAD"] = way["GET"]  # uvicorn leaves out the body
        self._admission, self._metrics, self._room = admission, metrics, Room(max_body)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        path = scope["path"]
        way = self._ways.get(path)
        try:
            reply = await self._reply(scope, receive, way)
        except Left:
            return
        self._metrics.request(path if way else OTHER, reply.status_code, time.perf_counter() - began)
        await send({"type": "http.response.start", "status": reply.status_code, "headers": reply.raw_headers})
        await send({"type": "http.response.body", "body": reply.body})

    async def _reply(self, scope: Scope, receive: Receive, way: dict[str, Endpoint] | None) -> Reply:
        call = None
        try:
            call = Call(scope, receive, self._room)
            endpoint = way.get(scope["method"]) if way else None
            self._admission.admit(call, endpoint.needs if endpoint else ANY)
            if endpoint is None:
                raise _nowhere(way)
            reply: Reply = await endpoint.endpoint(call)
        except Left:
            raise
        except Exception as error:
            trusted = call is not None and self._admission.trusts(call)
            problem, logged = problem_of(error, trusted=trusted)
            instance = f"urn:uuid:{logged}" if logged else scope["path"][:LONGEST_PATH]
            return Reply.problem(problem, instance)
        return reply


def _nowhere(way: dict[str, Endpoint] | None) -> Problem:
    if way is None:
        return Problem(404, "There is no such address. /docs lists those that there are.")
    allowed = ", ".join(sorted(way))
    return Problem(405, f"Expected {allowed}.", headers={"Allow": allowed})
