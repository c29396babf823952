"""A new champion is watched: the version before goes on answering silently. Where the new one is shown to be worse it is taken
back.

How it stands is in the ledger, in the document "probation", one for the move of the alias that came last. It is only ever replaced
by compare-and-set, so that several offices may look at the same time, and every step can be repeated by whoever comes after one
that was killed:

    the journal shows a move        the document begins, RUNNING, named after the journal's row
    labels come back                both are compared; nothing is written
    enough labels, or time          PASSED
    shown to be worse               under the lease: the alias moves back through the journal, under an id that follows from
                                    the move it undoes, found or done; the audit entry, found or recorded; ROLLED_BACK
    somebody moved the alias        ENDED; what was moved to has a probation of its own

The alias may have been moved back already by whoever was killed before the document said so: the next look finds the row in the
journal and does the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from keepfit.alerting import TAKEN_BACK, not_taken_back
from keepfit.codec import dumps, loads
from keepfit.config import Config
from keepfit.courier import tell
from keepfit.errors import AliasMoved, Conflict, LeaseHeld, ModelRefused, NotFound
from keepfit.live_records import AuditEntry, Document, LiveComparison, Probation, Standing
from keepfit.ports import Ports
from keepfit.promotion import last_done, move_alias
from keepfit.records import JournalEntry, ModelVersion, Promotion

KEY = "probation"  # of the document
ACTOR = "keepfit"
MOVED = "the alias was moved meanwhile"

Alone = Callable[[], AbstractContextManager[object]]  # alone at the alias, beside whoever runs a cycle. Raises `LeaseHeld`


@dataclass(frozen=True, kw_only=True)
class Look:
    """A comparison of the new champion with the version before."""

    comparison: LiveComparison  # the new champion is its champion
    worse: bool  # by the one-sided test, by more than the margin


def kept_probation(ports: Ports, config: Config) -> Probation | None:
    """The latest probation as it was last written; None where there never was one."""
    found = ports.ledger.documents.get(config.project.name, KEY)
    return _read(found) if found is not None else None


def oversee(ports: Ports, config: Config, alone: Alone) -> Probation | None:
    """One look: begin, compare, end, take back. Returns the probation with the comparison that was just made; None where nothing is
    or was watched.

    May be called by several processes at once, as often as anybody likes. Raises `Unavailable` where the ledger, the registry or
    the log is away; nothing is lost by it. `LeaseHeld` is no error: the next look tries again.
    """
    document = ports.ledger.documents.get(config.project.name, KEY)
    kept = _read(document) if document is not None else None
    move = last_done(ports, config)
    if move is None or not config.serve.probation.enabled:
        return _ended(kept, document, "[serve.probation] enabled is false" if move else "nothing was promoted", ports, config)
    if kept is not None and kept.standing is Standing.RUNNING and _journalled(_undoing(kept), ports, config):
        return _finish(kept, ports, config, alone)  # whoever was at it may have been killed before it could say so
    if kept is None or kept.move != move.id:
        document, kept = _begun(move, kept, document, ports, config)
    if kept is None or kept.standing is not Standing.RUNNING or document is None:
        return kept
    return _watched(kept, document, ports, config, alone)


# ------------------------------------------------------------------------------------------------------------------ begin


def _begun(
    move: JournalEntry, kept: Probation | None, document: Document | None, ports: Ports, config: Config
) -> tuple[Document | None, Probation | None]:
    """The probation of a move that nobody has seen yet, where there is to be one."""
    promotion, settings = move.promotion, config.serve.probation
    began = Probation(
        champion=promotion.to_version,
        before=promotion.from_version or "",
        move=move.id,
        since=move.at,
        ends_at=move.at + settings.time,
        labels=settings.labels,
    )
    if not _is_new(move, ports, config) or ports.clock.now() >= began.ends_at:
        reason = f"the alias was moved to version {promotion.to_version} meanwhile"
        return document, _ended(kept, document, reason, ports, config)
    return _put(began, document, ports, config)


def _is_new(move: JournalEntry, ports: Ports, config: Config) -> bool:
    """Whether the move made a version champion that was none before, in place of another. Whoever goes back to a version, or
    insists on one that was taken back, has decided with open eyes."""
    promotion = move.promotion
    if promotion.kind == "rollback" or promotion.from_version in (None, promotion.to_version):
        return False
    others = (entry for entry in ports.ledger.journal.entries(config.project.name, 1000) if entry.id != move.id)
    return not any(entry.status == "done" and entry.promotion.to_version == promotion.to_version for entry in others)


def _ended(
    kept: Probation | None,
    document: Document | None,
    reason: str,
    ports: Ports,
    config: Config,
    comparison: LiveComparison | None = None,
) -> Probation | None:
    """The probation, ended where it still ran."""
    if kept is None or kept.standing is not Standing.RUNNING:
        return kept
    return _put(replace(kept, standing=Standing.ENDED, reason=reason, comparison=comparison), document, ports, config)[1]


# ------------------------------------------------------------------------------------------------------------------ watch


def _watched(kept: Probation, document: Document, ports: Ports, config: Config, alone: Alone) -> Probation | None:
    champion = ports.registry.champion()
    if champion is None or champion.version != kept.champion:
        if _latest_move(ports, config) != kept.move:
            return kept  # somebody moves it at this very moment; the next look sees what has come of it
        found = f"version {champion.version}" if champion else "no version"
        return _ended(kept, document, f"the alias was moved outside keepfit and points to {found}", ports, config)
    look = compare(kept, champion, ports, config)
    seen = replace(kept, comparison=look.comparison)
    if look.worse:
        return _take_back(replace(seen, reason=_worse(seen)), ports, config, alone)
    if look.comparison.n >= kept.labels:
        return _passed(seen, document, f"{look.comparison.n} labelled answers", ports, config)
    if ports.clock.now() >= kept.ends_at:
        return _passed(seen, document, f"its time, until {kept.ends_at:%Y-%m-%d %H:%M} UTC,", ports, config)
    return seen


def compare(kept: Probation, champion: ModelVersion | None, ports: Ports, config: Config) -> Look:
    """The new champion against the version before on what both answered since the move."""
    from keepfit.live.comparison import Pair, watch
    from keepfit.live.losses import scale_of

    settings = config.serve.probation
    pair = Pair(champion=kept.champion, challenger=kept.before, since=kept.since, alpha=settings.alpha, margin=settings.margin)
    comparison, worse = watch(pair, scale_of(champion, ports, config), ports, config)
    return Look(comparison=comparison, worse=worse)


def _passed(seen: Probation, document: Document, after: str, ports: Ports, config: Config) -> Probation | None:
    n = seen.comparison.n if seen.comparison else 0
    reason = f"after {after} version {seen.champion} is not shown to be worse than version {seen.before}"
    reason += f" ({n} labels came back)" if n < seen.labels else ""
    return _put(replace(seen, standing=Standing.PASSED, reason=reason), document, ports, config)[1]


def _worse(seen: Probation) -> str:
    comparison, margin = seen.comparison, ""
    if comparison is None:
        return f"version {seen.champion} is worse than version {seen.before}"
    if comparison.margin:
        margin = f" by more than {comparison.margin:g}"
    return (
        f"version {seen.champion} is worse than version {seen.before} before it{margin}: mean loss {comparison.champion_loss:.4g} "
        f"against {comparison.challenger_loss:.4g} on {comparison.n} labelled answers of both"
    )


# -------------------------------------------------------------------------------------------------------------- take back


def _take_back(seen: Probation, ports: Ports, config: Config, alone: Alone) -> Probation | None:
    """Move the alias back, once, and say so. Where another runner works on the project the next look tries again."""
    try:
        with alone():
            move = last_done(ports, config)  # what a killed runner had begun is settled by now
            ours = move is not None and move.id == seen.move
            trouble = _move_back(seen, ports, config) if ours else MOVED
            return _settled(seen, trouble, ports, config)
    except LeaseHeld:
        return seen


def _move_back(seen: Probation, ports: Ports, config: Config) -> str:
    """Returns why it cannot be, empty where it is done."""
    promotion = Promotion(
        alias=config.promote.alias,
        from_version=seen.champion,
        to_version=seen.before,
        reason=f"taken back on probation: {seen.reason}",
        at=ports.clock.now(),
        kind="rollback",
    )
    try:
        ports.registry.load(seen.before)  # the alias never points to what cannot serve
        move_alias(_undoing(seen), promotion, ports, config)
    except (AliasMoved, NotFound, ModelRefused) as error:
        trouble = f"it stays all the same: {error}"
        lines = [seen.reason, trouble]
        tell([not_taken_back(seen.champion, _undoing(seen), lines, config.project.name, ports.clock.now())], ports, config)
        return trouble
    return ""


def _finish(kept: Probation, ports: Ports, config: Config, alone: Alone) -> Probation | None:
    """Say what has come of a move back that was begun."""
    try:
        with alone():
            return _settled(kept, MOVED, ports, config)
    except LeaseHeld:
        return kept


def _settled(seen: Probation, trouble: str, ports: Ports, config: Config) -> Probation | None:
    """The audit entry, found or recorded, and the end. The caller holds the lease, so nobody else is at it."""
    project, done = config.project.name, _journalled(_undoing(seen), ports, config, "done")
    document = ports.ledger.documents.get(project, KEY)
    kept = _still(seen, document)
    if done is None:
        reason = "; ".join(each for each in (seen.reason, trouble) if each)
        return _ended(kept, document, reason, ports, config, seen.comparison)
    reason = done.promotion.reason
    detail = f"version {seen.champion} to {seen.before}: {reason} (journal {done.id})"
    if not any(each.detail == detail for each in ports.ledger.audit.recent(project, 1000)):
        ports.ledger.audit.record(project, AuditEntry(at=ports.clock.now(), actor=ACTOR, act="rollback", detail=detail))
    if kept is None or kept.standing is not Standing.RUNNING:
        return kept
    finished = replace(kept, standing=Standing.ROLLED_BACK, reason=reason, comparison=seen.comparison)
    return _put(finished, document, ports, config)[1]


def _still(seen: Probation, document: Document | None) -> Probation | None:
    """What the document says, if it is about the same move; None where it is not."""
    kept = _read(document) if document is not None else None
    return kept if kept is not None and kept.move == seen.move else None


def _undoing(probation: Probation) -> str:
    """The id of the journal's row that takes its move back."""
    return f"{probation.move}{TAKEN_BACK}"


def _journalled(id: str, ports: Ports, config: Config, *statuses: str) -> JournalEntry | None:
    """The journal's row of this id, in one of the statuses; intended or done where none is named."""
    wanted = statuses or ("intended", "done")
    entries = ports.ledger.journal.entries(config.project.name)
    return next((entry for entry in entries if entry.id == id and entry.status in wanted), None)


def _latest_move(ports: Ports, config: Config) -> str | None:
    """The id of the move that was begun last and not given up."""
    entries = ports.ledger.journal.entries(config.project.name)
    return next((entry.id for entry in entries if entry.status != "abandoned"), None)


# --------------------------------------------------------------------------------------------------------------- document


def _put(probation: Probation, document: Document | None, ports: Ports, config: Config) -> tuple[Document | None, Probation | None]:
    """Write it in place of `document`; where somebody was faster, what they wrote."""
    documents, project = ports.ledger.documents, config.project.name
    try:
        return documents.put(project, KEY, dumps(probation), document.revision if document else 0), probation
    except Conflict:
        found = documents.get(project, KEY)
        return found, _read(found) if found is not None else None


def _read(document: Document) -> Probation | None:
    """What a document says; None for one that cannot be read, which the next move replaces."""
    try:
        return loads(Probation, document.text)
    except ValueError:
        return None
