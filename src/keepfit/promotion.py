"""Moving the registry's alias so that a kill at any instant leaves a journal from which the next runner can finish.

The row `intended` is written first, then the alias moves by compare-and-set, then the row becomes `done`. MLflow itself sets
an alias without comparing, so the comparison is keepfit's: read, set, read back. Among keepfit's processes a lease makes it
exact; a person who moves the alias within those milliseconds is seen at the next cycle.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator

from keepfit.alerting import Known, moved
from keepfit.config import Config
from keepfit.courier import announce, tell
from keepfit.errors import AliasMoved, LeaseLost, ModelRefused, NotFound
from keepfit.lease import LONGEST_MOVE, held_for_move
from keepfit.ports import Ports, moves_of
from keepfit.records import JournalEntry, ModelVersion, Promotion

PATIENCE = LONGEST_MOVE + 5  # seconds that a cycle waits for a person who moves the alias


def move_alias(id: str, promotion: Promotion, ports: Ports, config: Config) -> Promotion:
    """Move the alias under the journal's protection, or find it moved; returns the promotion as the journal has it.

    Raises `AliasMoved` when the alias points to neither end of the move and `NotFound` when the version was deleted; the journal
    row is then `abandoned`.
    """
    with _alone_at_alias(ports, config):
        return _move(id, promotion, ports, config)


@contextlib.contextmanager
def _alone_at_alias(ports: Ports, config: Config) -> Iterator[None]:
    """A cycle holds the project's lease for as long as it trains, and a person may move the alias meanwhile: whoever does it holds
    this lease besides, for a moment."""
    if ports.lease.project == moves_of(config.project.name):
        yield
    else:
        with held_for_move(ports.ledger.leases, config, PATIENCE):
            yield


def _move(id: str, promotion: Promotion, ports: Ports, config: Config) -> Promotion:
    project, journal = config.project.name, ports.ledger.journal
    entry = journal.intend(project, id, promotion, ports.lease)
    wanted = entry.promotion
    if entry.status == "done":
        return wanted
    if entry.status == "abandoned":
        raise AliasMoved(f"The move of {wanted.alias} to version {wanted.to_version} was given up before, and is not made again.")
    try:
        ports.registry.point(wanted.alias, wanted.from_version, wanted.to_version)
    except (AliasMoved, NotFound):  # it points elsewhere, or the version was deleted
        journal.settle(project, id, "abandoned", ports.lease)
        raise
    cycle = id if ports.ledger.cycles.load(project, id) else None  # none for a move by a person
    tell([moved(wanted, id, cycle, project, ports.clock.now())], ports, config)
    if cycle is None:
        announce(id, wanted, _known(wanted.to_version, ports), ports, config)  # what a cycle promotes, its stage `release` does
    try:
        journal.settle(project, id, "done", ports.lease)
    except LeaseLost:
        _give_back(wanted, ports, config)
        raise
    return wanted


def _known(version: str, ports: Ports) -> Known:
    """What a version that the alias points to was accepted with."""
    champion = ports.registry.champion()
    return (champion.metric, champion.reference) if champion is not None and champion.version == version else (None, None)


def settle(ports: Ports, config: Config) -> None:
    """Finish what an earlier runner had begun: every row still `intended` is carried out or abandoned."""
    for entry in ports.ledger.journal.unsettled(config.project.name):
        try:
            move_alias(entry.id, entry.promotion, ports, config)
        except (AliasMoved, NotFound):
            continue  # someone has decided otherwise; the row says abandoned


def notice_hand(champion: ModelVersion | None, cycle: str, ports: Ports, config: Config) -> None:
    """Journal it when the alias is not where keepfit left it: a person moved it in MLflow, and that is respected."""
    last = last_done(ports, config)
    if champion is None or (last is not None and last.promotion.to_version == champion.version):
        return
    moved = Promotion(
        alias=config.promote.alias,
        from_version=last.promotion.to_version if last else None,
        to_version=champion.version,
        reason="moved outside keepfit",
        at=ports.clock.now(),
        kind="by_hand",
    )
    # Written as done at once: a move that was only seen must never be carried out by whoever settles the journal.
    id = f"{cycle}-hand-{champion.version}"
    ports.ledger.journal.note(config.project.name, id, moved, ports.lease)
    announce(id, moved, (champion.metric, champion.reference), ports, config)


def withdrawn(champion: ModelVersion | None, ports: Ports, config: Config) -> str:
    """Says that somebody has taken the alias away, which is a decision; empty when there is a champion, or never was one."""
    last = last_done(ports, config)
    if champion is not None or last is None:
        return ""
    version = last.promotion.to_version
    return f"alias {config.promote.alias} was taken from version {version} outside keepfit: a person decided so"


def last_done(ports: Ports, config: Config) -> JournalEntry | None:
    """The latest move that was carried out."""
    entries = ports.ledger.journal.entries(config.project.name)
    return next((entry for entry in entries if entry.status == "done"), None)


def rolled_back_twin(content_hash: str, ports: Ports, config: Config) -> str | None:
    """A version of the same content that was rolled back, and that nobody has made the champion again since; None where there is
    none. Equal data, code and seed make the same model again, and it does not come back by itself."""
    undone: dict[str, None] = {}
    for entry in reversed(ports.ledger.journal.entries(config.project.name, limit=1000)):
        move = entry.promotion
        if entry.status == "done":
            undone.pop(move.to_version, None)
            if move.kind == "rollback" and move.from_version is not None:
                undone[move.from_version] = None
    for version in reversed(undone):
        with contextlib.suppress(NotFound, ModelRefused):  # it was deleted, or cannot be opened here
            if content_hash and ports.registry.load(version)[0].content_hash == content_hash:
                return version
    return None


def _give_back(promotion: Promotion, ports: Ports, config: Config) -> None:
    """This runner slept past its lease and woke up in the middle of a move. If its successor has promoted something else since,
    put the alias back to that."""
    last = last_done(ports, config)
    if last is not None and last.promotion.to_version != promotion.to_version:
        ports.registry.point(promotion.alias, promotion.to_version, last.promotion.to_version)


def promote_by_hand(version: str, reason: str, ports: Ports, config: Config) -> Promotion:
    """Point the alias to a version that a person chose. Raises `NotFound` for one that cannot be loaded, `ModelRefused`."""
    ports.registry.load(version)  # the alias never points to what cannot serve
    champion = ports.registry.champion()
    if champion is not None and champion.version == version:
        raise NotFound(f"Version {version} is the champion already, so there is nothing to promote.")
    return _by_person(champion, version, reason or "promoted by hand", "promotion", ports, config)


def roll_back(reason: str, ports: Ports, config: Config) -> Promotion:
    """Point the alias back to the version before the move that made the present champion.

    Rolling back twice goes back two moves, as far as the journal reaches.
    """
    champion = ports.registry.champion()
    if champion is None:
        raise NotFound("There is no champion, so there is nothing to roll back.")
    notice_hand(champion, new_move_id(ports), ports, config)
    before = _version_before(champion.version, ports, config)
    if before is None:
        raise NotFound(f"The journal knows no version before {champion.version}, so there is nothing to go back to.")
    ports.registry.load(before)
    return _by_person(champion, before, reason or "rolled back by hand", "rollback", ports, config)


def _version_before(version: str, ports: Ports, config: Config) -> str | None:
    """Where the champion came from: the start of the latest move that led to it and was no rollback."""
    for entry in ports.ledger.journal.entries(config.project.name, limit=1000):
        move = entry.promotion
        if entry.status == "done" and move.to_version == version and move.kind != "rollback":
            return move.from_version
    return None


def _by_person(champion: ModelVersion | None, version: str, reason: str, kind: str, ports: Ports, config: Config) -> Promotion:
    promotion = Promotion(
        alias=config.promote.alias,
        from_version=champion.version if champion else None,
        to_version=version,
        reason=reason,
        at=ports.clock.now(),
        kind=kind,
    )
    return move_alias(new_move_id(ports), promotion, ports, config)


def new_move_id(ports: Ports) -> str:
    """An id for a move that no cycle made."""
    return f"{ports.clock.now():%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
