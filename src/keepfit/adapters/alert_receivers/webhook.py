"""Slack's incoming webhook by `SLACK_WEBHOOK_URL`, and every other that takes the same message (Mattermost, Rocket.Chat)."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from keepfit.adapters.alert_receivers.channel import Channel, text, title, wrong
from keepfit.errors import Unavailable
from keepfit.records import Alert

if TYPE_CHECKING:
    from email.message import Message


def webhook_receivers(environment: Mapping[str, str], timeout: float) -> list[Channel]:
    """The receiver of `SLACK_WEBHOOK_URL`, if there is one."""
    url = environment.get("SLACK_WEBHOOK_URL", "").strip()
    if not url:
        return []
    host = _host(url)
    if not host:
        return [wrong("webhook", "SLACK_WEBHOOK_URL: expected an address such as https://hooks.slack.com/services/...")]
    receiver = "Slack" if host == "hooks.slack.com" else f"webhook at {host}"
    return [Channel(name=receiver, send=lambda alert: send(alert, url, timeout))]


def send(alert: Alert, url: str, timeout: float) -> None:
    """Post the message. Raises `Unavailable`."""
    words = f"*{_escaped(title(alert))}*\n{_escaped(text(alert))}"
    body = json.dumps({"text": words}).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "keepfit"}
    request = urllib.request.Request(url, body, headers, method="POST")  # noqa: S310 - http or https, by `_host`
    try:
        with urllib.request.build_opener(_StayHere).open(request, timeout=timeout):
            return
    except urllib.error.HTTPError as error:
        error.close()
        raise Unavailable(f"answered {error.code} {error.reason}") from None  # the error itself knows the address
    except urllib.error.URLError as error:
        raise Unavailable(f"was not reached: {error.reason}") from None
    except Exception as error:  # a timeout in the middle, or an answer that is no HTTP
        raise Unavailable(f"was not reached: {type(error).__name__}") from None


class _StayHere(urllib.request.HTTPRedirectHandler):
    """A redirected POST would arrive as an empty GET and look delivered."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Message) -> Any:
        raise urllib.error.HTTPError(req.full_url, code, msg, headers, fp)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        return (parts.hostname or "") if parts.scheme in ("http", "https") and parts.port != 0 else ""
    except ValueError:
        return ""


def _escaped(words: str) -> str:
    """Slack's three signs: the name of a file must not call everybody in the channel."""
    return words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
