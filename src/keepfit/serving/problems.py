"""What the API says when it cannot do what was asked: problem documents (RFC 9457), one kind a status.

No document tells how the server is built inside, and none repeats what was sent beyond names of fields and the id or version that
was asked for; what a model's own library says of a row that it refuses is told as it is.
"""

from __future__ import annotations

import traceback
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from keepfit.errors import (
    AliasMoved,
    ConfigError,
    Conflict,
    DataError,
    KeepfitError,
    LeaseHeld,
    NotFound,
    Unavailable,
)
from keepfit.telling import tell

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = 1  # seconds, where nothing better is known
MOST_TOLD = 20  # errors that one document lists
LONGEST_NAME = 100  # characters of a field's name that are repeated

KINDS = {  # status: its short name, and its title
    400: ("bad-request", "The request cannot be read"),
    401: ("unauthenticated", "An API key is needed"),
    403: ("forbidden", "This may not be done"),
    404: ("not-found", "There is nothing by that name"),
    405: ("method-not-allowed", "This address does not know that method"),
    408: ("too-slow", "The request took too long to arrive"),
    409: ("conflict", "Somebody else changed it meanwhile"),
    413: ("too-large", "The request is too large"),
    415: ("unsupported-media-type", "The request is in a form that is not read here"),
    421: ("misdirected", "The server does not go by that name"),
    422: ("invalid", "The request does not hold what is needed"),
    429: ("too-many-requests", "Too many requests"),
    431: ("headers-too-large", "The request's headers are too large"),
    500: ("internal", "The server failed"),
    503: ("unavailable", "This cannot be answered just now"),
}


class Problem(Exception):
    """An answer that says what is wrong."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        **further: Any,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.errors = status, detail, errors
        self.headers = {"Retry-After": str(RETRY_AFTER)} if status == 503 else {}
        self.headers.update(headers or {})
        self.further = further  # members of its own

    @classmethod
    def of_parameter(cls, name: str, detail: str) -> Problem:
        """A parameter of the query or a header that is not right."""
        return cls(422, f"{name}: {detail}", errors=[{"parameter": name, "detail": detail}])

    def document(self, instance: str) -> bytes:
        """The problem as JSON; `instance` names this occurrence: the path, or an id that the application log knows."""
        name, title = KINDS[self.status]
        told: dict[str, Any] = {
            "type": f"urn:keepfit:problem:{name}",
            "title": title,
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
        }
        if self.errors:
            told["errors"] = list(self.errors[:MOST_TOLD])
        return orjson.dumps(told | self.further)


class Invalid(Problem):
    """The body is not what was expected; `problems` are pairs of a JSON pointer into it and what is wrong there."""

    def __init__(self, problems: Sequence[tuple[str, str]], status: int = 422, more: int = 0) -> None:
        self.problems = problems
        pointer, detail = problems[0]
        others = len(problems) + more - 1
        summary = f"{pointer or 'The body'}: {detail}" + (f" ({others} more)" if others else "")
        super().__init__(status, summary, errors=[{"pointer": pointer, "detail": detail} for pointer, detail in problems])


class NotJson(Invalid):
    """The body is no JSON text."""

    def __init__(self, detail: str) -> None:
        super().__init__([("", detail)], status=400)


def pointer(*steps: str | int) -> str:
    """A JSON pointer (RFC 6901); long names are cut short.

    >>> pointer("rows", 3, "a/b")
    '/rows/3/a~1b'
    """
    return "".join("/" + _name(str(step)).replace("~", "~0").replace("/", "~1") for step in steps)


def _name(text: str) -> str:
    shown = text if len(text) <= LONGEST_NAME else text[:LONGEST_NAME] + "..."
    return shown.encode("utf-8", "replace").decode()


# What an error means to whoever asks; the first that fits.
_STATUS: tuple[tuple[type[KeepfitError], int], ...] = (
    (NotFound, 404),
    (ConfigError, 422),
    (DataError, 422),
    (Conflict, 409),
    (AliasMoved, 409),
    (LeaseHeld, 409),
    (Unavailable, 503),
)


def problem_of(error: Exception, *, trusted: bool) -> tuple[Problem, str]:
    """An error as a problem, and an id for what was written to the application log ("" where nothing was).

    `trusted`: whether the caller may read messages that name paths and hosts of this installation. What nobody foresaw is
    logged by its kind and place; its message may hold what was sent, so nobody sees it.
    """
    if isinstance(error, Problem):
        return error, ""
    for kind, status in _STATUS:
        if isinstance(error, kind):
            told = str(error) if trusted or status in (404, 422) else str(_plainest(error)())
            return Problem(status, told), ""
    id = str(uuid.uuid4())
    tell("failed", error=id, kind=type(error).__name__, at=_place(error))
    said = str(error) if trusted and isinstance(error, KeepfitError) else "This is a fault of the server."
    return Problem(500, f"{said} The server's log says where it happened, under the id in `instance`."), id


def _plainest(error: KeepfitError) -> type[KeepfitError]:
    """The kind whose default message says as much as anybody may know."""
    return next(kind for kind, _ in _STATUS if isinstance(error, kind))


def _place(error: BaseException) -> str:
    """Where it happened, innermost last, without any values."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    return " > ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)
