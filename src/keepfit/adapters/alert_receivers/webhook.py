"""Slack's incoming webhook by `SLACK_WEBHOOK_URL`, and every other that takes the same message (Mattermost, Rocket.Chat)."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from keepfit.adapters.alert_receivers.channel import Channel, text, title, wrong
from keepfit.errors import Unavailable
from keepfit.posting import post
from keepfit.records import Alert


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
    reply = post(url, {"text": words}, {}, timeout)
    if not reply.taken:
        raise Unavailable(f"answered {reply.code} {reply.reason}")


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        return (parts.hostname or "") if parts.scheme in ("http", "https") and parts.port != 0 else ""
    except ValueError:
        return ""


def _escaped(words: str) -> str:
    """Slack's three signs: the name of a file must not call everybody in the channel."""
    return words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
