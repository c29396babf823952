"""Puts alerts into the ledger's outbox and sends what is there.

An alert is put before the checkpoint of the stage that gave rise to it, so that a run that is killed in between finds it put. It
is sent by threads beside the work, one for each receiver: a receiver that is slow holds up neither the cycle nor the others, and
one that does not answer is tried again by later runs. A claim keeps two runners from sending the same. Nothing that goes wrong
in sending is an error of the cycle; it stands in the outbox, and `keepfit alerts` shows it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

from keepfit import alerting
from keepfit.config import Config
from keepfit.errors import KeepfitError
from keepfit.ports import Ports
from keepfit.records import Alert, Cycle, Delivery, Event

PENDING = ("pending",)
TOLD = ("sent", "pending")
MOST = 1_000  # alerts looked at in one go


def tell_of(cycle: Cycle, ports: Ports, config: Config) -> bool:
    """Put what the cycle's last stage gives rise to into the outbox, or find it there; returns whether there is news to send.

    A cycle in which all is well puts nothing.
    """
    now, outbox, project = ports.clock.now(), ports.ledger.outbox, config.project.name
    alerts = alerting.happened(cycle, now)
    failures: set[str] = set()
    if cycle.outcome is not None:
        failures = {each.alert.subject for each in outbox.recent(project, status=TOLD, event=Event.FAILED)}
    for event, subject in alerting.over(cycle, failures):
        told, ended = _history(event, subject, ports, config)
        if told is not None and alerting.is_open(told, ended):
            alerts.append(alerting.recovered(told.alert, cycle, now))
    return tell(alerts, ports, config)


def tell(alerts: Iterable[Alert], ports: Ports, config: Config) -> bool:
    """Put alerts into the outbox, or find them there; returns whether there is news to send."""
    news = False
    for alert in alerts:
        told, ended = _history(alert.event, alert.subject, ports, config, but=alert.key)
        for delivery in alerting.judged(alert, told, ended, _receivers(ports), config.alerts):
            news |= ports.ledger.outbox.put(delivery) and delivery.status == "pending"
    return news


def _history(event: Event, subject: str, ports: Ports, config: Config, but: str = "") -> tuple[Delivery | None, Delivery | None]:
    """The latest of this event and subject that people were told, and the latest recovery from it."""
    outbox, project = ports.ledger.outbox, config.project.name
    told = (each for each in outbox.recent(project, status=TOLD, event=event, subject=subject) if each.alert.key != but)
    first = next(told, None)
    if first is None or event is Event.RECOVERED:
        return None, None  # a recovery is told whenever there is one
    ended = outbox.recent(project, 1, event=Event.RECOVERED, subject=alerting.condition(first.alert))
    return first, next(iter(ended), None)


def _receivers(ports: Ports) -> Sequence[str]:
    try:
        return ports.notifier.receivers
    except Exception:
        return ()  # `keepfit doctor` says what is wrong with it; the cycle goes on


class Courier:
    """Sends what is pending, beside the work."""

    def __init__(self, ports: Ports, config: Config) -> None:
        self._ports, self._config = ports, config
        self._under_way: dict[threading.Thread, Delivery | None] = {}
        self.done = False  # whether nothing is left to send, once it has finished

    def start(self) -> None:
        """Begin to send what is pending, if anything is. Never raises and never waits for a receiver."""
        with contextlib.suppress(KeepfitError):  # the ledger is away: there is nothing to send from
            if not _still_pending(self._ports, self._config):
                return  # so that nobody's library is loaded in vain
            for receiver in _receivers(self._ports):
                thread = threading.Thread(target=self._send, args=(receiver,), name="keepfit-courier", daemon=True)
                self._under_way[thread] = None
                thread.start()

    def finish(self) -> None:
        """Send what has come since, and wait for the receivers, for `alerts.timeout` at most. Never raises."""
        self.start()
        deadline = time.monotonic() + self._config.alerts.timeout.total_seconds()
        for thread in self._under_way:
            thread.join(max(0.0, deadline - time.monotonic()))
        with contextlib.suppress(KeepfitError):
            for thread, delivery in list(self._under_way.items()):
                if thread.is_alive() and delivery is not None:
                    self._ports.ledger.outbox.settle(_late(delivery, self._ports, self._config))
            self.done = not _pending(self._ports, self._config)

    def _send(self, receiver: str) -> None:
        def claimed(delivery: Delivery) -> None:
            self._under_way[threading.current_thread()] = delivery

        with contextlib.suppress(Exception):  # the ledger has gone away: the claim runs out, and a later run sends it
            outbox, project = self._ports.ledger.outbox, self._config.project.name
            while (delivery := outbox.take(project, receiver, _claim(self._config))) is not None:
                claimed(delivery)
                settled = _attempt(delivery, self._ports, self._config)
                outbox.settle(settled)
                if settled.status == "pending":
                    return  # it does not answer; what else there is for it waits as well


def deliver(ports: Ports, config: Config) -> list[Delivery]:
    """Try everything that is pending now, whatever its time, and wait for it; returns what has become of it."""
    receivers, done = set(ports.notifier.receivers), []
    for waiting in reversed(_still_pending(ports, config)):
        alert, receiver = waiting.alert, waiting.receiver
        if receiver not in receivers:
            continue  # set up elsewhere perhaps: whoever runs there sends it
        delivery = ports.ledger.outbox.take(alert.project, receiver, _claim(config), key=alert.key)
        if delivery is None:
            continue  # somebody else is at it
        settled = _attempt(delivery, ports, config)
        ports.ledger.outbox.settle(settled)
        done.append(settled)
        if settled.status == "pending":
            receivers.remove(receiver)  # it does not answer; what else there is for it waits as well
    return done


def try_out(ports: Ports, config: Config) -> dict[str, str]:
    """Send a test to everybody; returns for each receiver why it was not reached, empty when it was."""
    alert = alerting.trial(config.project.name, ports.clock.now())
    return {receiver: _failure(alert, receiver, ports) for receiver in ports.notifier.receivers}


def _pending(ports: Ports, config: Config) -> Sequence[Delivery]:
    return ports.ledger.outbox.recent(config.project.name, MOST, status=PENDING)


def _still_pending(ports: Ports, config: Config) -> list[Delivery]:
    """What is pending, newest first, once that which comes too late is given up, whoever should have got it."""
    fresh, outbox = [], ports.ledger.outbox
    for waiting in _pending(ports, config):
        if not alerting.is_stale(waiting, ports.clock.now()):
            fresh.append(waiting)
        elif late := outbox.take(waiting.alert.project, waiting.receiver, _claim(config), key=waiting.alert.key):
            outbox.settle(alerting.given_up(late))
    return fresh


def _claim(config: Config) -> float:
    """Seconds after which somebody else may try: a timeout holds for each word of a conversation, not for the whole."""
    return 3 * config.alerts.timeout.total_seconds() + 1


def _attempt(delivery: Delivery, ports: Ports, config: Config) -> Delivery:
    why = _failure(delivery.alert, delivery.receiver, ports)
    now = ports.clock.now()
    if why:
        return alerting.after_failure(delivery, why, now, config.alerts)
    return replace(delivery, status="sent", sent_at=now, not_before=None, reason="")


def _failure(alert: Alert, receiver: str, ports: Ports) -> str:
    """Send; returns why it was not possible, empty when it was."""
    try:
        ports.notifier.send(alert, receiver)
    except KeepfitError as error:
        return str(error)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _late(delivery: Delivery, ports: Ports, config: Config) -> Delivery:
    why = f"has not answered within {config.alerts.timeout.total_seconds():g} seconds"
    return alerting.after_failure(delivery, why, ports.clock.now(), config.alerts)
