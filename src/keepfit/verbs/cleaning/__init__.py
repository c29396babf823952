"""Removes what nobody needs any more: old model versions and runs, reports, profiles, copies of code and the like.

The registry's entry of a version goes first and its files after: killed in between, nothing refers to files that are gone, and the
run, which has no version now, is found by the next cleaning. What rests on versions goes last, once it is looked again which are
there, so that a version that came meanwhile keeps what it needs. Each removal finds what is gone already.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from keepfit.config import Config
from keepfit.errors import Conflict
from keepfit.lease import LONGEST_MOVE, held_for_move
from keepfit.live_ports import REQUEST
from keepfit.live_records import AuditEntry
from keepfit.ports import Pile, Ports
from keepfit.verbs.cleaning.facts import CLEAN, Limits, forgettable, gather, piles, versions_in_use
from keepfit.verbs.cleaning.rule import Kind, Removal, what_may_go

__all__ = ["Cleaned", "Kind", "Removal", "clean", "limits"]

PATIENCE = LONGEST_MOVE + 5  # seconds that is waited for somebody who moves the alias
ASSURANCE = 1.0  # seconds for which the lease is taken to hold, once it was renewed
RUNS = (Kind.TRAINING, Kind.MONITORING)


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """What has gone; or, after a dry run, what would."""

    removed: tuple[Removal, ...]
    kept: tuple[Removal, ...] = ()  # what was to go and is needed since, each with the reason
    size: int = 0  # bytes that were freed
    older: str = ""  # what is younger was left alone
    keep: int = 0  # and so were the latest of a kind
    dry_run: bool = False


def limits(older: str | timedelta | None, keep: int | None, config: Config) -> Limits:
    """What [clean] says, unless told otherwise. Raises `ConfigError`."""
    given: dict[str, Any] = {"older": older, "keep": keep}
    tree = config.model_dump(mode="json", by_alias=True)
    tree["clean"] |= {name: value for name, value in given.items() if value is not None}
    told = Config.of(tree, config.root, {f"clean.{name}": "flag" for name, value in given.items() if value is not None}).clean
    return Limits(older=told.older, keep=told.keep)


def clean(within: Limits, ports: Ports, config: Config, *, dry_run: bool) -> Cleaned:
    """Remove what may go; with `dry_run` only say it. Otherwise the caller holds the project's lease.

    Raises `Unavailable` when something does not answer: nothing was removed then, or part of it, and nothing that is referred to.
    Raises `LeaseLost` where another runner has taken over meanwhile.
    """
    facts = gather(within, ports, config)
    planned = [_weighed(each, ports) for each in what_may_go(facts)]
    told = {"older": config.clean.model_copy(update={"older": within.older}).model_dump(mode="json")["older"], "keep": within.keep}
    if dry_run or not planned:
        return Cleaned(removed=tuple(planned), size=_size(planned), dry_run=dry_run, **told)
    _write_down(planned, ports, config, **told)
    removed, kept = _remove(planned, within, ports, config)
    gone = {(each.kind, each.name): each for each in removed}
    in_order = [gone[name] for each in planned if (name := (each.kind, each.name)) in gone]
    return Cleaned(removed=tuple(in_order), kept=tuple(kept), size=_size(in_order), **told)


def _weighed(each: Removal, ports: Ports) -> Removal:
    return replace(each, size=ports.attic.size(each.name)) if each.kind is Kind.TRAINING else each


def _size(removals: Sequence[Removal]) -> int:
    return sum(each.size for each in removals)


def _write_down(planned: Sequence[Removal], ports: Ports, config: Config, *, older: str, keep: int) -> None:
    """For the audit, before anything goes: it may tell of an act of which nothing came, and leaves none out."""
    versions = ", ".join(each.name for each in planned if each.kind is Kind.VERSION) or "none"
    detail = f"older than {older}, beyond the latest {keep}: {len(planned)} in all; model versions: {versions}"
    entry = AuditEntry(at=ports.clock.now(), actor="command line", act=CLEAN, detail=detail)
    ports.ledger.audit.record(config.project.name, entry)


def _remove(planned: Sequence[Removal], within: Limits, ports: Ports, config: Config) -> tuple[list[Removal], list[Removal]]:
    """What has gone, and what is needed since."""
    removed: list[Removal] = []
    kept: list[Removal] = []
    assured = _Assured(ports, config)
    for each in (each for each in planned if each.kind is Kind.VERSION):
        assured()
        why = _remove_version(each.name, ports, config)
        (kept if why else removed).append(replace(each, why=why or each.why))
    before = {(each.kind, each.name): each for each in planned if each.kind is not Kind.VERSION}
    still = {(each.kind, each.name) for each in what_may_go(gather(within, ports, config))}
    rest = [each for name, each in before.items() if name in still]  # what was young, or needed, a moment ago: next time
    places = piles(ports, config)
    for each in rest:
        if each.kind not in (Kind.ALERT, Kind.LOG):
            assured()
            why = _remove_thing(each, places, ports)
            (kept if why else removed).append(replace(each, why=why or each.why))
    if days := [each for each in rest if each.kind is Kind.LOG]:
        assured()
        removed += _tidied(days, ports)
    if alerts := {each.name: each for each in rest if each.kind is Kind.ALERT}:
        assured()
        settled = forgettable(ports, config)
        ports.ledger.outbox.forget(config.project.name, [settled[name] for name in alerts if name in settled])
    return [*removed, *alerts.values()], kept


def _tidied(days: Sequence[Removal], ports: Ports) -> list[Removal]:
    """What has gone of these days of the log; of some, answers stay whose label waits to be taken."""
    ports.log.drain()  # a label on its way keeps its row
    ports.log.tidy(ports.clock.now(), ports.spans.taken()[REQUEST])
    left = {each.name: each.size for each in ports.log.outlived(ports.clock.now())}
    freed = ((each, each.size - left.get(each.name, 0)) for each in days)
    return [replace(each, size=max(0, size)) for each, size in freed if size > 0]


def _remove_version(number: str, ports: Ports, config: Config) -> str:
    """Returns why it stays, empty where its entry is gone. Nobody of keepfit's moves the alias meanwhile."""
    with held_for_move(ports.ledger.leases, config, PATIENCE):
        if why := versions_in_use(ports, config).get(number):
            return why
        try:
            ports.attic.remove_version(number)
        except Conflict as conflict:
            return str(conflict)
    return ""


def _remove_thing(each: Removal, places: Mapping[Kind, Pile], ports: Ports) -> str:
    """Returns why it stays, empty where it is gone."""
    if each.kind in RUNS:
        try:
            ports.attic.remove_run(each.name)
        except Conflict as conflict:
            return str(conflict)
    else:
        places[each.kind].remove(each.name)
    return ""


class _Assured:
    """Raises `LeaseLost` where the lease is not held any more, which a process that was suspended learns here."""

    def __init__(self, ports: Ports, config: Config) -> None:
        self._ports, self._seconds, self._at = ports, config.ledger.lease.total_seconds(), float("-inf")

    def __call__(self) -> None:
        if time.monotonic() - self._at > ASSURANCE:
            self._ports.ledger.leases.renew(self._ports.lease, self._seconds)
            self._at = time.monotonic()
