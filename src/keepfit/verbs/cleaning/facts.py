"""Looks at everything that has piled up, and at who needs it. Nothing is changed."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from keepfit.config import Config
from keepfit.errors import Unavailable
from keepfit.live.probation import kept_probation
from keepfit.live.routing import current_routing
from keepfit.live.servers import SERVING, running
from keepfit.ports import Kept, Pile, Ports
from keepfit.prepared import fingerprint
from keepfit.records import Delivery, Event
from keepfit.verbs.cleaning import rule
from keepfit.verbs.cleaning.files import folders
from keepfit.verbs.cleaning.rule import Facts, Kind, Thing

ALL = 10_000_000  # rows of the ledger: as many as there are
MOVES = (Event.PROMOTED, Event.ROLLED_BACK)  # each is a condition of its own, which never lasts
PLANS = ("champion", "challenger", "standby", "shadows")  # what a server's plan names versions under


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is too young, and too late a one, to go."""

    older: timedelta
    keep: int


def gather(limits: Limits, ports: Ports, config: Config) -> Facts:
    """Raises `Unavailable` when the registry, the ledger or a folder cannot be looked at, or the registry is not the one that the
    ledger's cycles have filled."""
    ledger, project = ports.ledger, config.project.name
    versions, runs = tuple(ports.attic.versions()), tuple(ports.attic.runs())  # first: without MLflow nothing is looked at
    trained = tuple(dict.fromkeys(each.cycle for each in ledger.cycles.trainings(project)))
    if trained and not versions:
        raise Unavailable(
            f"The registry has no version of {config.tracking.model or project}, though {len(trained)} cycles have trained one. "
            "Look at [tracking] url: what the versions rest on is not removed as long as nobody knows which there are."
        )
    unfinished = ledger.cycles.recent(project, ALL, unfinished=True)
    today = {rule.way(fingerprint(ports.code, config)), rule.code(ports.code.fingerprint)}
    return Facts(
        now=ports.clock.now(),
        older=limits.older,
        keep=limits.keep,
        versions=versions,
        runs=runs,
        things=tuple(_things(ports, config)),
        named=versions_in_use(ports, config),
        trained=trained,
        cycles=frozenset(ledger.cycles.ids(project)),
        unfinished=frozenset(cycle.id for cycle in unfinished),
        today=frozenset(today | {rule.version(number) for number in _served(config)}),
        monitoring=config.tracking.monitoring_run,
    )


def versions_in_use(ports: Ports, config: Config) -> dict[str, str]:
    """The versions that somebody counts on, beside those that an alias points to, each with who does."""
    found: dict[str, str] = dict.fromkeys(_served(config), "a server of this machine answers with it")
    routing, probation = current_routing(ports, config), kept_probation(ports, config)
    for challenger in (routing.challenger, config.serve.routing.challenger):
        found |= {challenger: "it is the challenger of the traffic"} if challenger else {}
    for number in (probation.champion, probation.before) if probation else ():
        found[number] = "it is, or was, on probation"
    for entry in ports.ledger.journal.entries(config.project.name, ALL):
        ends = (entry.promotion.from_version, entry.promotion.to_version)
        found |= dict.fromkeys(filter(None, ends), "the journal names it, so a rollback may go back to it")
    return found


def piles(ports: Ports, config: Config) -> Mapping[Kind, Pile]:
    """Where things lie by kind; what lies in the store is of several."""
    stored = dict.fromkeys((Kind.ROWS, Kind.PROFILE, Kind.REFERENCE), ports.store)
    return {Kind.DATA: ports.versions, **stored, Kind.CHECK: ports.check_results, **folders(config)}


def forgettable(ports: Ports, config: Config) -> Mapping[str, Delivery]:
    """Alerts that were settled, by name, but for those by which later ones are judged: the last that was told of each condition,
    and the last word that it was over. What started a delivery stays: it is found there, and not started again."""
    latest: set[tuple[Event, str]] = set()
    found = {}
    for each in ports.ledger.outbox.recent(config.project.name, ALL):
        event, condition = each.alert.event, (each.alert.event, each.alert.subject)
        if each.status == "pending" or event is Event.RELEASE:
            continue
        if condition not in latest and event not in MOVES and (each.status == "sent" or event is Event.RECOVERED):
            latest.add(condition)
            continue
        found[f"{each.alert.key} to {each.receiver or 'nobody'}"] = each
    return found


def _things(ports: Ports, config: Config) -> Iterator[Thing]:
    yield from filter(None, map(_stored, ports.store.kept()))
    purposes: Mapping[Kind, Callable[[str], str]] = {
        Kind.DATA: rule.training,
        Kind.CODE: rule.code,
        Kind.SERVED: lambda name: rule.version(name.partition("-")[0]),
    }
    for kind, pile in piles(ports, config).items():
        if pile is not ports.store:
            purpose = purposes.get(kind)
            yield from (_thing(kind, each, [purpose(each.name)] if purpose else []) for each in pile.kept())
    if config.serve.log.keep is not None:
        yield from (_thing(Kind.LOG, each, []) for each in ports.log.outlived(ports.clock.now()))
    for name, delivery in forgettable(ports, config).items():
        of = frozenset([rule.cycle(delivery.alert.cycle)] if delivery.alert.cycle else [])
        yield Thing(kind=Kind.ALERT, name=name, at=delivery.sent_at or delivery.alert.at, of=of)


def _stored(kept: Kept) -> Thing | None:
    """A frame of the store as a thing; None for what never goes: which rows judge, which were set aside, the contract."""
    kind, _, rest = kept.name.partition("-")
    match kind:
        case "rows" if found := re.fullmatch(r"[0-9a-f]{64}-([0-9a-f]{16})", rest):
            return _thing(Kind.ROWS, kept, [rule.way(found[1])])
        case "settings":
            return _thing(Kind.ROWS, kept, [rule.way(rest)])
        case "profile":
            return _thing(Kind.PROFILE, kept, [rule.cycle(rest)])
        case "reference":
            return _thing(Kind.REFERENCE, kept, [rule.run(rest)])
    return None


def _thing(kind: Kind, kept: Kept, of: Iterable[str]) -> Thing:
    return Thing(kind=kind, name=kept.name, at=kept.at, of=frozenset(of), size=kept.size)


def _served(config: Config) -> set[str]:
    """The versions in the plans of the servers that run here, and in the last plan of any."""
    plans = [Path(server.folder) / "plan.json" for server in running(config.root)] + [config.root / SERVING / "last.json"]
    found: set[str] = set()
    for plan in plans:
        with contextlib.suppress(OSError, ValueError, AttributeError, KeyError, TypeError):  # being ended, or no plan
            told: dict[str, Any] = json.loads(plan.read_text(encoding="utf-8"))
            named = [told.get(name) or [] for name in PLANS]
            placed = [each for part in named for each in (part if isinstance(part, list) else [part])]
            found |= {str(each["version"]) for each in placed}
    return found
