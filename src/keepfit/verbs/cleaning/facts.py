"""Looks at everything that has piled up, and at who needs it. Nothing is changed."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from keepfit.config import Config
from keepfit.errors import Unavailable
from keepfit.live.probation import kept_probation
from keepfit.live.routing import current_routing
from keepfit.live.servers import SERVING, running
from keepfit.ports import Kept, Pile, Ports
from keepfit.prepared import fingerprint
from keepfit.promotion import last_done
from keepfit.records import Cycle, Delivery, Event
from keepfit.verbs.cleaning import rule
from keepfit.verbs.cleaning.files import folders
from keepfit.verbs.cleaning.rule import Expected, Facts, Kind, Thing

ALL = 10_000_000  # rows of the ledger: as many as there are
MOVES = (Event.PROMOTED, Event.ROLLED_BACK)  # each is a condition of its own, which never lasts
ROWS = re.compile(r"rows-(?P<batch>[0-9a-f]{64})-(?P<way>[0-9a-f]{16})")
CLEAN = "clean"  # the act, as the audit has it
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
    cycles = ledger.cycles.recent(project, ALL)
    today = {rule.way(fingerprint(ports.code, config)), rule.code(ports.code.fingerprint)}
    facts = Facts(
        now=ports.clock.now(),
        older=limits.older,
        keep=limits.keep,
        versions=versions,
        runs=runs,
        things=tuple(_things(cycles, ports, config)),
        named=versions_in_use(ports, config),
        expected=tuple(_expected(cycles, limits, ports, config)),
        trained=tuple(dict.fromkeys(each.cycle for each in ledger.cycles.trainings(project))),
        cycles=frozenset(cycle.id for cycle in cycles),
        unfinished=frozenset(cycle.id for cycle in ledger.cycles.recent(project, ALL, unfinished=True)),
        today=frozenset(today | {rule.version(number) for number in _served(config)}),
        monitoring=config.tracking.monitoring_run,
    )
    if why := _why_another_registry(facts, config):
        raise Unavailable(
            f"The registry {why}. Look at [tracking] url, and whether an older backup was put back: nothing is removed as long as "
            "what the ledger tells of is not there."
        )
    return facts


def _why_another_registry(facts: Facts, config: Config) -> str:
    """What shows that a registry is not the one that the ledger's cycles have filled, or an older state of it; empty: nothing."""
    model = config.tracking.model or config.project.name
    if facts.trained and not facts.versions:
        return f"has no version of {model}, though {len(facts.trained)} cycles have trained one"
    if (missing := rule.missing(facts)) is None:
        return ""
    made = f" that the run {missing.run} made" if missing.run else ""
    return f"has no version {missing.version} of {model}{made}, though {missing.why}"


def _expected(cycles: Sequence[Cycle], limits: Limits, ports: Ports, config: Config) -> Iterator[Expected]:
    """The versions that no cleaning removes: they are in the registry, if it is the one that the ledger tells of."""
    candidates = [(cycle, cycle.candidate) for cycle in cycles if cycle.candidate is not None]
    made = {candidate.version: candidate.run_id for _, candidate in reversed(candidates)}  # of a number that came twice, the later
    if (move := last_done(ports, config)) is not None:
        champion = move.promotion.to_version
        yield Expected(version=champion, run=made.get(champion), why="by the journal it is the champion")
    routed = {current_routing(ports, config).challenger, config.serve.routing.challenger}
    for number in sorted(name for name in routed if name and name.isdigit()):  # others are aliases
        yield Expected(version=number, run=made.get(number), why="it is the challenger of the traffic")
    for number in sorted(_served(config)):
        yield Expected(version=number, run=made.get(number), why="a server of this machine answers with it")
    cleaned = _last_cleaned(ports, config)
    for place, (cycle, candidate) in enumerate(candidates[: limits.keep]):
        if place == 0 or cleaned is None or cycle.started_at > cleaned:  # an earlier cleaning may have been told to keep fewer
            yield Expected(version=candidate.version, run=candidate.run_id, why=f"the cycle {cycle.id} has trained it")


def _last_cleaned(ports: Ports, config: Config) -> datetime | None:
    acts = ports.ledger.audit.recent(config.project.name, ALL)
    return max((entry.at for entry in acts if entry.act == CLEAN), default=None)


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


def _things(cycles: Sequence[Cycle], ports: Ports, config: Config) -> Iterator[Thing]:
    yield from _in_store(cycles, ports, config)
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


def _in_store(cycles: Sequence[Cycle], ports: Ports, config: Config) -> Iterator[Thing]:
    """What lies in the store. Ours is what this ledger's cycles have made; a way of preparing that another project of the same
    code shares is needed by its rows."""
    frames = ports.store.kept()
    rows = {frame.name: found for frame in frames if (found := ROWS.fullmatch(frame.name))}
    known = ports.ledger.batches.known(config.project.name, {found["batch"] for found in rows.values()})
    theirs = {name: found["way"] for name, found in rows.items() if found["batch"] not in known}
    shared = theirs.keys() | {f"settings-{way}" for way in theirs.values()}
    made = {rule.cycle(cycle.id) for cycle in cycles}
    made |= {rule.way(cycle.prepared.fingerprint) for cycle in cycles if cycle.prepared is not None}
    made |= {rule.run(cycle.candidate.run_id) for cycle in cycles if cycle.candidate is not None}
    for thing in filter(None, map(_stored, frames)):
        yield replace(thing, theirs=thing.name in shared or not thing.of <= made)


def _stored(kept: Kept) -> Thing | None:
    """A frame of the store as a thing; None for what never goes: which rows judge, which were set aside, the contract."""
    kind, _, rest = kept.name.partition("-")
    match kind:
        case "rows" if found := ROWS.fullmatch(kept.name):
            return _thing(Kind.ROWS, kept, [rule.way(found["way"])])
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
