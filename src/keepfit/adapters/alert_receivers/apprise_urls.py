"""A hundred services more, by Apprise's URLs in `KEEPFIT_ALERTS__URLS`, separated by spaces or commas.

Apprise keeps nothing on disk and loads no plug-ins from the home folder here, and what it logs becomes the reason of a failure.
A new connection is made for each alert: one that is kept waits 5.5 seconds between two messages.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
import threading
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from keepfit.adapters.alert_receivers.channel import Channel, text, title, wrong
from keepfit.errors import ConfigError, Unavailable
from keepfit.extras import require
from keepfit.records import Alert, Severity

VARIABLE = "KEEPFIT_ALERTS__URLS"
NAMED_BY_HOST = re.compile(r"(json|xml|form|mailto)s?")  # elsewhere what looks like a host may be a token
KINDS = {Severity.INFO: "info", Severity.WARNING: "warning", Severity.CRITICAL: "failure"}


def apprise_receivers(environment: Mapping[str, str], timeout: float) -> list[Channel]:
    """One receiver for each URL. Apprise itself is only loaded when one of them is checked or told."""
    found = environment.get(VARIABLE, "").strip()
    urls = list(dict.fromkeys(part for part in re.split(r"\s+|,(?=\s*[\w+.-]+://)|,$", found) if part.strip(",")))
    names = [_name(url) for url in urls]
    return [
        wrong(
            f"{VARIABLE}, number {number}", f"{VARIABLE}: number {number} is no URL: expected one of Apprise's, such as slack://..."
        )
        if not name
        else _channel(url, name if names.count(name) == 1 else f"{name} ({_digest(url)})", number, timeout)
        for number, (url, name) in enumerate(zip(urls, names, strict=True), 1)
    ]


def _channel(url: str, name: str, number: int, timeout: float) -> Channel:
    return Channel(
        name=name,
        send=lambda alert: _send(alert, url, name, number, timeout),
        check=lambda: _opened(url, name, number, timeout) and None,
    )


def _send(alert: Alert, url: str, name: str, number: int, timeout: float) -> None:
    service = _opened(url, name, number, timeout)
    with _overheard() as said:
        try:
            sent = service.notify(title=title(alert), body=text(alert), notify_type=KINDS[alert.severity], body_format="text")
        except Exception as error:  # a hundred plug-ins may raise anything
            sent = False
            said.append(type(error).__name__)
    if not sent:
        raise Unavailable(f"was not reached: {_without_secrets('; '.join(said), url) or 'Apprise does not say why'}")


def _opened(url: str, name: str, number: int, timeout: float) -> Any:
    """Apprise with one service. Raises `ConfigError` for what Apprise does not take, `MissingExtra`."""
    apprise = require("apprise", extra="alerts", why=VARIABLE)
    asset = apprise.AppriseAsset(
        storage_mode=apprise.PersistentStoreMode.MEMORY,
        app_id="keepfit",
        app_desc="keepfit",
        app_url="",
        image_url_mask="",
        image_url_logo="",
        pgp_autogen=False,
        pem_autogen=False,
    )
    with _overheard() as said:
        service = apprise.Apprise.instantiate(url, asset=asset)
    if service is None:
        why = _without_secrets("; ".join(said), url)
        raise ConfigError(f"{VARIABLE}: number {number} ({name}) is not taken by Apprise{': ' + why if why else ''}")
    service.socket_connect_timeout = service.socket_read_timeout = timeout
    opened = apprise.Apprise(asset=asset)
    opened.add(service)
    return opened


@contextlib.contextmanager
def _overheard() -> Iterator[list[str]]:
    """What Apprise has to say meanwhile, in this thread."""
    said: list[str] = []
    here = threading.get_ident()
    handler = logging.Handler(logging.WARNING)
    handler.addFilter(lambda record: record.thread == here)
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("apprise")
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING)  # below that it logs whole URLs
    logger.propagate = False  # what it says is said once, by keepfit
    try:
        yield said
    finally:
        logger.removeHandler(handler)


def _name(url: str) -> str:
    """The service, and for the simplest kinds its host: no token, user, path or password. Empty when it is no URL."""
    scheme, found, _ = url.partition("://")
    scheme = scheme.lower()
    if not found or not re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme):
        return ""
    if not NAMED_BY_HOST.fullmatch(scheme):
        return "Slack" if "hooks.slack.com" in url else scheme
    with contextlib.suppress(ValueError):
        return f"{scheme} {urlsplit(url).hostname or ''}".strip()
    return scheme


def _digest(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()[:4]


def _without_secrets(words: str, url: str) -> str:
    """The words without any part of the URL beyond its service and host."""
    _, _, rest = url.partition("://")
    host = _name(url).partition(" ")[2]
    parts = {part for text in (rest, unquote(rest)) for part in re.split(r"[/:@?&=,;\s]+", text) if len(part) > 3 and part != host}
    for part in sorted(parts, key=len, reverse=True):
        words = words.replace(part, "***")
    return " ".join(words.split())
