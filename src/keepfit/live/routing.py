"""How two models share the traffic: what [serve.routing] says, unless a person said otherwise since.

What is in force stands in the ledger, in the document "routing", for all servers of a project. What a person says through the API
or the command line holds until that section of keepfit.toml changes; then the file holds again. Which versions answer follows
from it and from probation: see `plan_routes`.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from keepfit.codec import dumps, loads, time_text
from keepfit.config import Config
from keepfit.errors import ConfigError, Conflict, KeepfitError, NotFound
from keepfit.live_records import AuditEntry, Document, Mode, Probation, Routing, Standing
from keepfit.ports import Ports
from keepfit.rows import contract_of

KEY = "routing"  # of the document
FILE = "keepfit.toml"


@dataclass(frozen=True, kw_only=True)
class Routes:
    """Which versions answer, by number."""

    champion: str | None
    challenger: str | None = None  # answers `share` of the traffic
    share: float = 0.0
    sticky: str | None = None
    salt: str = ""
    shadows: tuple[str, ...] = ()  # answer silently
    notes: tuple[str, ...] = ()  # what is set and has no effect, and why


def plan_routes(champion: str | None, challenger: str | None, routing: Routing, probation: Probation | None) -> Routes:
    """Who answers, and who does so silently.

    `challenger` is the version that `routing.challenger` means; None where there is none of that name. Probation's version before
    is silent as long as its champion is the champion. A challenger that became the champion, or is the version before, falls away
    or is silent once. Without a champion nobody answers.
    """
    if champion is None:
        return Routes(champion=None)
    watched = probation is not None and probation.standing is Standing.RUNNING and probation.champion == champion
    shadows = (probation.before,) if watched and probation is not None else ()
    quiet = Routes(champion=champion, shadows=shadows)
    if routing.mode is Mode.CHAMPION:
        return quiet
    if challenger is None:
        return replace(quiet, notes=(f"there is no version {routing.challenger!r}, so the champion answers alone",))
    if challenger == champion:
        return replace(quiet, notes=(f"the challenger, version {challenger}, is the champion, so it answers alone",))
    if routing.mode is Mode.SHADOW:
        return replace(quiet, shadows=tuple(dict.fromkeys((*shadows, challenger))))
    begun = time_text(routing.since) if routing.since else routing.settings
    return replace(quiet, challenger=challenger, share=routing.share, sticky=routing.sticky, salt=f"{challenger} {begun}")


def current_routing(ports: Ports, config: Config) -> Routing:
    """What is in force. Writes nothing; `since` is None for what the file says until `follow_file` has seen it."""
    kept = _read(ports.ledger.documents.get(config.project.name, KEY))
    return kept if kept is not None and kept.settings == settings_hash(config) else _from_file(config)


def follow_file(ports: Ports, config: Config) -> Routing:
    """The same, and keeps what the file says from now on where it has changed, so that a comparison knows since when."""
    documents, project = ports.ledger.documents, config.project.name
    found = documents.get(project, KEY)
    kept = _read(found)
    if kept is not None and kept.settings == settings_hash(config):
        return kept
    routing = replace(_from_file(config), since=ports.clock.now())
    try:
        documents.put(project, KEY, dumps(routing), found.revision if found else 0)
    except Conflict:  # another office was faster
        return current_routing(ports, config)
    return routing


def set_routing(
    wanted: Routing, champion: str | None, find: Callable[[str], str | None], ports: Ports, config: Config, *, address: str = ""
) -> Routing:
    """Put a person's word in force; `wanted.by` is who says it. Both this and a refusal are in the audit.

    `find` tells the version that a number or an alias means. Raises `ConfigError` for what cannot be, `NotFound` for a challenger
    that does not exist, `Conflict` where somebody else changed it at the same moment.
    """
    documents, project = ports.ledger.documents, config.project.name
    detail = _in_words(wanted)
    try:
        _check(wanted, champion, find, ports, config)
        found = documents.get(project, KEY)
        routing = replace(wanted, since=ports.clock.now(), settings=settings_hash(config))
        documents.put(project, KEY, dumps(routing), found.revision if found else 0)
    except KeepfitError as error:
        with contextlib.suppress(KeepfitError):
            _audit(wanted.by, detail, f"refused: {error}", address, ports, config)
        raise
    _audit(wanted.by, detail, "done", address, ports, config)
    return routing


def wanted_routing(mode: str, challenger: str | None, share: float | None, sticky: str | None, by: str, config: Config) -> Routing:
    """A routing from what a person asked for. Raises `ConfigError` for a mode or share that there is not."""
    try:
        meant = Mode(mode)
    except ValueError:
        raise ConfigError(f"There is no mode {mode!r}: expected one of {', '.join(Mode)}.") from None
    part = config.serve.routing.share if share is None else share
    if not 0 <= part <= 1:
        raise ConfigError(f"share is {part}: expected a number from 0 to 1.")
    if meant is not Mode.CHAMPION and not challenger:
        raise ConfigError(f"mode {meant.value!r} needs a challenger: a version, or an alias of the registry.")
    return Routing(mode=meant, challenger=None if meant is Mode.CHAMPION else challenger, share=part, sticky=sticky or None, by=by)


def settings_hash(config: Config) -> str:
    """Of [serve.routing], so that a later change of it is seen."""
    return hashlib.sha256(config.serve.routing.model_dump_json().encode()).hexdigest()[:16]


def _check(wanted: Routing, champion: str | None, find: Callable[[str], str | None], ports: Ports, config: Config) -> None:
    columns = contract_of(ports, config)
    if wanted.sticky is not None and columns is not None and wanted.sticky not in {*columns} - {config.data.target}:
        raise ConfigError(f"sticky names {wanted.sticky!r}, which is no field of a request: {', '.join(columns)}.")
    if wanted.challenger is None:
        return
    version = find(wanted.challenger)
    if version is None:
        raise NotFound(f"There is no version or alias {wanted.challenger!r} to be the challenger.")
    if version == champion:
        raise ConfigError(f"Version {version} is the champion: expected another version as the challenger.")


def _from_file(config: Config) -> Routing:
    said = config.serve.routing
    return Routing(
        mode=Mode(said.mode),
        challenger=said.challenger if said.mode != "champion" else None,
        share=said.share,
        sticky=said.sticky,
        by=FILE,
        settings=settings_hash(config),
    )


def _read(document: Document | None) -> Routing | None:
    """What the document says; one that cannot be read counts as none, and the file holds."""
    try:
        return loads(Routing, document.text) if document is not None else None
    except ValueError:
        return None


def _in_words(wanted: Routing) -> str:
    parts: dict[str, Any] = {"mode": wanted.mode.value}
    if wanted.mode is not Mode.CHAMPION:
        parts["challenger"] = wanted.challenger
    if wanted.mode is Mode.SPLIT:
        parts |= {"share": wanted.share, "sticky": wanted.sticky}
    return ", ".join(f"{name} {value}" for name, value in parts.items() if value is not None)


def _audit(actor: str, detail: str, outcome: str, address: str, ports: Ports, config: Config) -> None:
    entry = AuditEntry(at=ports.clock.now(), actor=actor, act="routing", detail=detail, outcome=outcome, address=address)
    ports.ledger.audit.record(config.project.name, entry)
