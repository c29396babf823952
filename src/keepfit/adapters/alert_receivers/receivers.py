"""The receivers that the environment names. Their addresses are secrets: they stand in no file, no message and no log."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from keepfit.adapters.alert_receivers.apprise_urls import apprise_receivers
from keepfit.adapters.alert_receivers.channel import Channel
from keepfit.adapters.alert_receivers.mail import mail_receivers
from keepfit.adapters.alert_receivers.webhook import webhook_receivers
from keepfit.errors import ConfigError
from keepfit.records import Alert

KINDS: tuple[Callable[[Mapping[str, str], float], list[Channel]], ...] = (mail_receivers, webhook_receivers, apprise_receivers)


class AlertReceivers:
    """The port `Notifier`. `timeout` in seconds holds for each word of a conversation with a receiver."""

    def __init__(self, environment: Mapping[str, str], timeout: float) -> None:
        self._environment, self._timeout = environment, timeout

    @property
    def receivers(self) -> Sequence[str]:
        return tuple(self._channels)

    def send(self, alert: Alert, receiver: str) -> None:
        if receiver not in self._channels:
            raise ConfigError(f"{receiver} is not set up here: its address is missing from the environment")
        self._channels[receiver].send(alert)

    def check(self) -> None:
        problems = [problem for channel in self._channels.values() if (problem := _problem(channel))]
        if problems:
            raise ConfigError("; ".join(problems))

    @cached_property
    def _channels(self) -> dict[str, Channel]:
        found = (channel for kind in KINDS for channel in kind(self._environment, self._timeout))
        return {channel.name: channel for channel in found}


def _problem(channel: Channel) -> str:
    try:
        channel.check()
    except ConfigError as error:
        return str(error)
    return ""
