"""One address of the API: a function, who may call it, and how FastAPI describes it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from keepfit.live_records import Scope
from keepfit.serving.calls import Call, Reply
from keepfit.serving.problems import KINDS, MEDIA_TYPE

Function = Callable[[Call], Awaitable[Reply]]

ALWAYS = (400, 403, 408, 421, 431, 500, 503)  # what may become of any request
WITH_KEY = (401, 429)
WITH_BODY = (413, 415, 422)


class Fault(BaseModel):
    """One thing that is wrong."""

    detail: str
    pointer: str | None = Field(default=None, description="JSON pointer (RFC 6901) into the body; the body itself is ''.")
    parameter: str | None = Field(default=None, description="Name of a parameter: in the query, or a header.")


class ProblemDocument(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field(description="urn:keepfit:problem:..., one for each status.")
    title: str
    status: int
    detail: str
    instance: str = Field(description="The path, or an id that the server's log knows.")
    errors: list[Fault] = Field(default=[], description="What is wrong with the request, one by one.")


class Endpoint(APIRoute):
    """A route of FastAPI that reads and answers by itself."""

    def __init__(
        self,
        method: str,
        path: str,
        function: Function,
        needs: frozenset[Scope],
        *,
        answer: Any,
        tag: str,
        media_type: str = "application/json",
        body: Mapping[str, Any] | None = None,
        parameters: Sequence[Mapping[str, Any]] = (),
        problems: Sequence[int] = (),
        hidden: bool = False,  # from the description
    ) -> None:
        self.method, self.needs = method, needs
        statuses = {*ALWAYS, *problems, *(WITH_KEY if needs else ()), *(WITH_BODY if body else ()), *((422,) if parameters else ())}
        extra: dict[str, Any] = {"security": [{"key": []}, {"bearer": []}] if needs else []}
        if body:
            extra["requestBody"] = dict(body)
        if parameters:
            extra["parameters"] = [dict(parameter) for parameter in parameters]
        summary, _, rest = inspect.cleandoc(function.__doc__ or "").partition("\n")
        super().__init__(
            path,
            function,
            methods=[method],
            name=function.__name__,
            summary=summary.rstrip("."),
            tags=[tag],
            response_model=None,
            response_class=JSONResponse if media_type == "application/json" else _text_as(media_type),
            responses={200: _answers(answer), **{status: _problem(status) for status in sorted(statuses)}},
            operation_id=function.__name__,
            openapi_extra=extra,
            include_in_schema=not hidden,
        )
        self.description = rest.strip()  # where it is empty, FastAPI would say the summary again

    def get_route_handler(self) -> Callable[[Any], Any]:
        """The function itself: FastAPI's own way to another handling of requests."""
        return self.endpoint


def json_body(schema: str, *, required: bool = True) -> dict[str, Any]:
    """A request's body, described by a schema of the document's components."""
    return {"required": required, "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}


def _answers(answer: Any) -> dict[str, Any]:
    return {"description": "Done."} | ({} if answer is None else {"model": answer})


def _text_as(media_type: str) -> type[Response]:
    """What tells FastAPI that the answer is a text."""
    return type("Text", (Response,), {"media_type": media_type})


def _problem(status: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/ProblemDocument"}
    told: dict[str, Any] = {"description": KINDS[status][1] + ".", "content": {MEDIA_TYPE: {"schema": schema}}}
    if status in (429, 503):
        told["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return told
