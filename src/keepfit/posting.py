"""One JSON document to one address, once. The standard library's client is enough for that."""

from __future__ import annotations

import contextlib
import json
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from keepfit.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from email.message import Message

MOST = 65_536  # bytes of an answer that are read


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What was answered, whatever it was."""

    code: int
    reason: str
    headers: Mapping[str, str] = field(repr=False)  # by any spelling of their names
    body: bytes = field(repr=False)  # its beginning; empty where it could not be read

    @property
    def taken(self) -> bool:
        """Whether the other side says that it has got it."""
        return 200 <= self.code < 300


def post(url: str, document: Any, headers: Mapping[str, str], timeout: float, *, direct: bool = False) -> Reply:
    """Send it; `timeout` in seconds holds for each word of the conversation. Redirects are answers and not followed. Proxies are
    those of the environment, none where it is to go there `direct`.

    Raises `Unavailable` when nobody answers. Neither the address nor a header is part of what it says: both may be secrets.
    """
    sent = {"Content-Type": "application/json", "User-Agent": "keepfit", **headers}
    request = urllib.request.Request(url, json.dumps(document).encode(), sent, method="POST")  # noqa: S310 - the caller's to check
    handlers = [_StayHere, urllib.request.ProxyHandler({})] if direct else [_StayHere]
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=timeout) as answer:
            return _reply(answer.status, answer.reason, answer.headers, answer)
    except urllib.error.HTTPError as error:
        with contextlib.closing(error):
            return _reply(error.code, error.reason, error.headers, error)
    except urllib.error.URLError as error:
        raise Unavailable(f"was not reached: {error.reason}") from None
    except Exception as error:  # a timeout in the middle, or an answer that is no HTTP
        raise Unavailable(f"was not reached: {type(error).__name__}") from None


def _reply(code: int, reason: Any, headers: Message, answer: Any) -> Reply:
    body = b""
    with contextlib.suppress(Exception):  # the code is what counts
        body = answer.read(MOST)
    return Reply(code=code, reason=str(reason), headers=headers, body=body)  # type: ignore[arg-type]  # a message is a mapping


class _StayHere(urllib.request.HTTPRedirectHandler):
    """A redirected POST would arrive as an empty GET and look delivered, and a token would go to whoever was named."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Message) -> Any:
        raise urllib.error.HTTPError(req.full_url, code, msg, headers, fp)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302
