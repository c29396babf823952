"""One way to one receiver, and how an alert is worded for all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from keepfit.errors import ConfigError
from keepfit.records import Alert


def _nothing() -> None:
    """There is nothing to check."""


@dataclass(frozen=True, kw_only=True)
class Channel:
    """A receiver. Its name says who it is, and holds no secret."""

    name: str
    send: Callable[[Alert], None] = field(repr=False)  # raises `Unavailable`, `ConfigError`, `MissingExtra`
    check: Callable[[], None] = field(default=_nothing, repr=False)  # raises `ConfigError` for wrong settings, sends nothing


def wrong(name: str, problem: str) -> Channel:
    """A receiver that is set up wrongly: whoever uses it is told how."""

    def refuse(*_: object) -> None:
        raise ConfigError(problem)

    return Channel(name=name, send=refuse, check=refuse)


def title(alert: Alert) -> str:
    """The line that is seen first."""
    return f"[{alert.severity.value}] {alert.title}"


def text(alert: Alert) -> str:
    """What happened, and the alert's name: who gets the same name twice may drop the second."""
    return f"{alert.text}\n\n{alert.at:%Y-%m-%d %H:%M:%S} UTC, keepfit alert {name(alert)}"


def name(alert: Alert) -> str:
    """Names the alert for good."""
    return f"{alert.project}/{alert.key}"
