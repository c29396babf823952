"""Puts alerts, and what is to be delivered of new champions, into the ledger's outbox and sends what is there.

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
from dataclasses import dataclass, replace

from keepfit import alerting
from keepfit.config import Config
from keepfit.errors import ConfigError, KeepfitError, TooSoon
from keepfit.ports import Ports
from keepfit.records import Alert, Cycle, Delivery, Event, Promotion

PENDING = ("pending",)
TOLD = ("sent", "pending")
MOST = 1_000  # alerts, or rows of the journal, looked at in one go
LONG_ENOUGH = 3  # attempts in vain after which people are told that a delivery could not be started, be it passing


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


def announce(
    move: str, promotion: Promotion, known: alerting.Known, ports: Ports, config: Config, *, cycle: str | None = None
) -> bool:
    """Put into the outbox that a version is to be delivered, or find it there; returns whether anything is set up to deliver it.

    `move` is the id of the journal's row, `cycle` that of the cycle that promoted. Nothing in [alerts] holds it back.
    """
    receivers, project = ports.releaser.receivers, config.project.name
    if not receivers:
        return False
    alert = alerting.announced(promotion, move, cycle, known, project, ports.clock.now())
    for receiver in receivers:
        ports.ledger.outbox.put(Delivery(alert=alert, receiver=receiver, status="pending"))
    return True


def _receivers(ports: Ports) -> Sequence[str]:
    try:
        return ports.notifier.receivers
    except Exception:
        return ()  # `keepfit doctor` says what is wrong with it; the cycle goes on


@dataclass
class _Errand:
    """What a thread is at."""

    receiver: str
    delivery: Delivery | None = None


class Courier:
    """Sends what is pending, beside the work."""

    def __init__(self, ports: Ports, config: Config) -> None:
        self._ports, self._config = ports, config
        self._under_way: dict[threading.Thread, _Errand] = {}
        self._more = False  # whether sending has given rise to something to send
        self.done = False  # whether nothing is left to send, once it has finished

    def start(self) -> None:
        """Begin to send what is pending, if anything is. Never raises and never waits for a receiver."""
        with contextlib.suppress(KeepfitError):  # the ledger is away: there is nothing to send from
            if not _still_pending(self._ports, self._config):
                return  # so that nobody's library is loaded in vain
            for receiver in (*_receivers(self._ports), *_pipelines(self._ports)):
                errand = _Errand(receiver)
                thread = threading.Thread(target=self._send, args=(errand,), name="keepfit-courier", daemon=True)
                self._under_way[thread] = errand
                thread.start()

    def finish(self) -> None:
        """Send what has come since, and wait for each receiver as long as it may take for a word at most. Never raises."""
        began = time.monotonic()
        self.start()
        self._wait(began)
        if self._more:
            self.start()
            self._wait(began)
        with contextlib.suppress(KeepfitError):
            for thread, errand in list(self._under_way.items()):
                if thread.is_alive() and errand.delivery is not None:
                    self._ports.ledger.outbox.settle(_late(errand.delivery, self._ports, self._config))
            self.done = not _pending(self._ports, self._config)

    def _wait(self, began: float) -> None:
        for thread, errand in list(self._under_way.items()):
            thread.join(max(0.0, began + _patience(errand.receiver, self._ports, self._config) - time.monotonic()))

    def _send(self, errand: _Errand) -> None:
        with contextlib.suppress(Exception):  # the ledger has gone away: the claim runs out, and a later run sends it
            outbox, project, receiver = self._ports.ledger.outbox, self._config.project.name, errand.receiver
            claim = _claim(receiver, self._ports, self._config)
            while (delivery := outbox.take(project, receiver, claim)) is not None:
                errand.delivery = delivery
                settled = _attempt(delivery, self._ports, self._config)
                outbox.settle(settled)
                errand.delivery = None
                if settled.status == "pending":
                    self._more |= delivery.alert.announcement is not None  # people may have to be told
                    return  # it does not answer; what else there is for it waits as well


def deliver(ports: Ports, config: Config) -> list[Delivery]:
    """Try everything that is pending now, whatever its time, and wait for it; returns what has become of it."""
    receivers, done = {*ports.notifier.receivers, *ports.releaser.receivers}, []
    for waiting in reversed(_still_pending(ports, config)):
        alert, receiver = waiting.alert, waiting.receiver
        if receiver not in receivers:
            continue  # set up elsewhere perhaps: whoever runs there sends it
        delivery = ports.ledger.outbox.take(alert.project, receiver, _claim(receiver, ports, config), key=alert.key)
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
    failures = {receiver: _failure(alert, receiver, ports) for receiver in ports.notifier.receivers}
    return {receiver: failure.why if failure else "" for receiver, failure in failures.items()}


def _pending(ports: Ports, config: Config) -> Sequence[Delivery]:
    return ports.ledger.outbox.recent(config.project.name, MOST, status=PENDING)


def _still_pending(ports: Ports, config: Config) -> list[Delivery]:
    """What is pending, newest first, once that which comes too late is given up, whoever should have got it."""
    fresh, outbox = [], ports.ledger.outbox
    for waiting in _pending(ports, config):
        if not alerting.is_stale(waiting, ports.clock.now()):
            fresh.append(waiting)
        elif late := outbox.take(
            waiting.alert.project, waiting.receiver, _claim(waiting.receiver, ports, config), key=waiting.alert.key
        ):
            outbox.settle(alerting.given_up(late))
    return fresh


def _pipelines(ports: Ports) -> Sequence[str]:
    try:
        return ports.releaser.receivers
    except Exception:
        return ()  # likewise


def _patience(receiver: str, ports: Ports, config: Config) -> float:
    """Seconds that a receiver may take for a word."""
    timeout = config.release.github.timeout if receiver in _pipelines(ports) else config.alerts.timeout
    return timeout.total_seconds()


def _claim(receiver: str, ports: Ports, config: Config) -> float:
    """Seconds after which somebody else may try: a timeout holds for each word of a conversation, not for the whole."""
    return 3 * _patience(receiver, ports, config) + 1


def _attempt(delivery: Delivery, ports: Ports, config: Config) -> Delivery:
    announcement = delivery.alert.announcement
    if announcement is not None and (version := _champion_since(announcement.move, ports, config)):
        return alerting.overtaken(delivery, version)
    failure = _failure(delivery.alert, delivery.receiver, ports)
    now = ports.clock.now()
    if failure is None:
        return replace(delivery, status="sent", sent_at=now, not_before=None, reason="")
    if announcement is not None and (failure.lasting or delivery.attempts >= LONG_ENOUGH):
        tell([alerting.not_released(delivery.alert, failure.why, now)], ports, config)
    return alerting.after_failure(delivery, failure.why, now, config.alerts, patience=failure.patience)


def _champion_since(move: str, ports: Ports, config: Config) -> str:
    """The version that became champion after this move of the alias, by the journal; empty where none did."""
    since = ""
    for entry in ports.ledger.journal.entries(config.project.name, MOST):
        if entry.id == move:
            return since
        if entry.status == "done" and not since:
            since = entry.promotion.to_version
    return ""


@dataclass(frozen=True, kw_only=True)
class _Failure:
    """Why something could not be sent."""

    why: str
    lasting: bool = False  # a person must mend it
    patience: float = 0.0  # seconds that the receiver asks for


def _failure(alert: Alert, receiver: str, ports: Ports) -> _Failure | None:
    """Send; returns None when it was possible."""
    try:
        if alert.announcement is not None:
            ports.releaser.release(alert.announcement, receiver)
        else:
            ports.notifier.send(alert, receiver)
    except KeepfitError as error:
        patience = error.seconds if isinstance(error, TooSoon) else 0.0
        return _Failure(why=str(error), lasting=isinstance(error, ConfigError), patience=patience)
    except Exception as error:
        return _Failure(why=f"{type(error).__name__}: {error}")
    return None


def _late(delivery: Delivery, ports: Ports, config: Config) -> Delivery:
    why = f"has not answered within {_patience(delivery.receiver, ports, config):g} seconds"
    return alerting.after_failure(delivery, why, ports.clock.now(), config.alerts)
