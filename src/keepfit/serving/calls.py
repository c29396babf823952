"""A request and its answer, as the endpoints see them: FastAPI's own, with what they read made quick.

A body is read while it streams in, never beyond the limit, and only where it is needed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope

from keepfit.live_records import ApiKey
from keepfit.serving.problems import MEDIA_TYPE, Problem

JSON = b"application/json"
ALL_BODIES = 64 * 2**20  # bytes
LONGEST_ROUTE_KEY = 200  # characters
ANONYMOUS = "anonymous"  # whoever acts where no key is needed
_ONCE = (  # twice, two readers could take different ones
    b"host",
    b"content-length",
    b"content-type",
    b"content-encoding",
    b"x-api-key",
    b"authorization",
    b"origin",
    b"x-route-key",
)
_JSON_HEADER = (b"content-type", JSON)
_MOMENT = re.compile(rb'"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6})\+00:00"')  # as `codec.time_text` writes it
_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS


class Room:
    """How much may be held of bodies that are still arriving: of one, and of all at once on this worker."""

    def __init__(self, limit: int) -> None:
        self.limit = limit  # bytes of a body
        self.free = max(ALL_BODIES, 4 * limit)


class Left(Exception):
    """Whoever asked has gone."""


class Call(Request):
    """A request."""

    def __init__(self, scope: Scope, receive: Receive, room: Room) -> None:
        super().__init__(scope, receive)
        self.room = room
        self.fields: dict[bytes, bytes] = dict(scope["headers"])
        self.key: ApiKey | None = None  # whose request it is; None where no key is needed
        if len(self.fields) != len(scope["headers"]):
            self._refuse_twice()

    @property
    def address(self) -> str:
        """Where it came from."""
        client = self.scope.get("client")
        return client[0] if client else ""

    @property
    def actor(self) -> str:
        """Who acts, for the audit."""
        return self.key.name if self.key else ANONYMOUS

    @property
    def route_key(self) -> str | None:
        """Whoever sends the same X-Route-Key is answered by the same model. Raises `Problem` (422) for a long one."""
        given = self.fields.get(b"x-route-key")
        if given is None:
            return None
        if len(given) > LONGEST_ROUTE_KEY:
            raise Problem.of_parameter("X-Route-Key", f"expected at most {LONGEST_ROUTE_KEY} characters")
        return given.decode("latin-1") or None

    async def json_body(self) -> bytes:
        """The body, which must be declared as JSON: a page of another site cannot do that without asking first.

        Raises `Problem` (413, 415), `Left`.
        """
        declared = self.fields.get(b"content-type", b"")
        if declared != JSON and self.media_type() != "application/json":
            raise Problem(415, "Expected Content-Type application/json.")
        return await self.whole_body()

    def media_type(self) -> str:
        """The declared type of the body, without its parameters. Raises `Problem` for a charset that is not UTF-8."""
        kind, *parameters = self.fields.get(b"content-type", b"").decode("latin-1").lower().split(";")
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "charset" and value.strip().strip('"') not in ("utf-8", "utf8"):
                raise Problem(415, "Expected a body in UTF-8, found another charset.")
        return kind.strip()

    @property
    def has_body(self) -> bool:
        """Whether one comes."""
        return self.fields.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in self.fields

    async def whole_body(self) -> bytes:
        """The body. Raises `Problem` (413, 415), `Left`."""
        encoding = self.fields.get(b"content-encoding")
        if encoding is not None and encoding.lower() != b"identity":
            raise Problem(415, "Expected a body without Content-Encoding; compressed ones are not unpacked here.")
        if int(self.fields.get(b"content-length", 0)) > self.room.limit:
            raise self._too_large()
        message = await self._receive()
        if message["type"] == "http.request" and not message["more_body"] and len(message["body"]) <= self.room.limit:
            only: bytes = message["body"]
            return only
        return await self._gathered(message)

    async def _gathered(self, message: Message) -> bytes:
        """A body that comes in pieces."""
        found = bytearray()
        try:
            while message["type"] == "http.request":
                found += message["body"]
                self.room.free -= len(message["body"])
                if len(found) > self.room.limit:
                    raise self._too_large()
                if self.room.free < 0:
                    raise Problem(503, "Too many large requests are arriving at once.")
                if not message["more_body"]:
                    return bytes(found)
                message = await self._receive()
            raise Left
        finally:
            self.room.free += len(found)

    def _too_large(self) -> Problem:
        return Problem(413, f"Expected at most {self.room.limit} bytes (serve.max_body).")

    def _refuse_twice(self) -> None:
        names = [name for name, _ in self.scope["headers"]]
        for name in _ONCE:
            if names.count(name) > 1:
                raise Problem(400, f"Expected the header {name.decode().title()} once, found it {names.count(name)} times.")


class Reply(Response):
    """An answer. Its headers are made without Starlette's looking through them."""

    def __init__(self, body: bytes, status: int = 200, media_type: bytes = JSON, headers: Mapping[str, str] | None = None) -> None:
        self.status_code, self.body, self.background = status, body, None
        kind = _JSON_HEADER if media_type is JSON else (b"content-type", media_type)
        self.raw_headers = [kind, (b"content-length", b"%d" % len(body))]
        if headers:
            self.raw_headers += [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]

    @classmethod
    def of(cls, value: Any) -> Reply:
        """A value as JSON; times in UTC with a Z."""
        return cls(orjson.dumps(value, option=_OPTIONS))

    @classmethod
    def of_office(cls, value: Any) -> Reply:
        """What the office told, as JSON; its times are texts by now, and have a Z here as everywhere."""
        return cls(_MOMENT.sub(rb'"\1Z"', orjson.dumps(value)))

    @classmethod
    def problem(cls, problem: Problem, instance: str) -> Reply:
        """What went wrong."""
        return cls(problem.document(instance), problem.status, MEDIA_TYPE.encode(), problem.headers)
