"""What every ledger agrees on, whichever database keeps it: what counts as a training, which facts of a batch stay, and
the words of a refusal."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from keepfit.codec import time_text
from keepfit.errors import Conflict, LeaseHeld, LeaseLost
from keepfit.ports import moves_of
from keepfit.records import Batch, Cycle, Delivery, Lease, Outcome, Training

if TYPE_CHECKING:
    from datetime import datetime

SETTLED = ("done", "abandoned")
DELIVERY = ("pending", "sent", "suppressed")


def training(cycle: Cycle) -> Training | None:
    """What a cycle that made a challenger counts for; None for one that did not."""
    if cycle.candidate is None:
        return None
    return Training(
        cycle=cycle.id,
        at=cycle.started_at,
        trained_on=cycle.candidate.trained_on,
        champion=compared_with(cycle),
        gate=cycle.verdict.gate if cycle.verdict else None,
        conclusion=cycle.verdict.conclusion if cycle.verdict else None,
    )


def compared_with(cycle: Cycle) -> str | None:
    """The version that the challenger is held against: the verdict's, until there is one the one that was measured."""
    if cycle.verdict:
        return cycle.verdict.champion_version
    if cycle.performance:
        return cycle.performance.champion
    return cycle.promotion.from_version if cycle.promotion else None


def replaces(cycle: Cycle, before: Cycle) -> bool:
    """Whether `before`, the project's newest other cycle, need not be kept: both wait, and only the later wait is news."""
    both_wait = cycle.outcome is Outcome.WAITING and before.outcome is Outcome.WAITING
    return both_wait and (before.started_at, before.id) < (cycle.started_at, cycle.id)


def remembered(before: Batch | None, now: Batch) -> Batch:
    """`now`, with what stays once it is known: when the batch was first seen, and its rows, which its content fixes."""
    if before is None:
        return now
    rows = before.rows if now.rows is None else now.rows
    return replace(now, arrived_at=before.arrived_at or now.arrived_at, rows=rows)


def check_project(project: str, lease: Lease) -> None:
    """Raises `ValueError` when the lease is one on another project."""
    if lease.project != project:
        raise ValueError(f"a lease on {lease.project!r} does not allow changes to {project!r}")


def check_mover(project: str, lease: Lease) -> None:
    """Raises `ValueError` when the lease does not allow to move this project's alias."""
    if lease.project != moves_of(project):
        check_project(project, lease)


def check_status(id: str, before: str, status: str) -> None:
    """Raises `ValueError` for an unknown status, and for a row that was settled the other way."""
    if status not in SETTLED:
        raise ValueError(f"{status!r} is not one of {', '.join(SETTLED)}")
    if before in SETTLED and before != status:
        raise ValueError(f"promotion {id} is {before} and cannot become {status}")


def check_delivery(delivery: Delivery) -> None:
    """Raises `ValueError` for an unknown status."""
    if delivery.status not in DELIVERY:
        raise ValueError(f"{delivery.status!r} is not one of {', '.join(DELIVERY)}")


def check_document(text: str, revision: int) -> None:
    """Raises `ValueError` for a text that is not JSON or not Unicode, and for a number that no document can have."""
    if revision < 0:
        raise ValueError(f"{revision} is no document's revision: expected 0, where there is none yet, or more")
    json.loads(text)
    text.encode()


def document_changed(project: str, key: str, revision: int) -> Conflict:
    """The refusal to store in place of what is not there any more."""
    wanted = "not to be there yet" if revision == 0 else f"to be in its revision {revision}"
    return Conflict(
        f"Somebody else has changed {key!r} of {project} meanwhile: it was expected {wanted}. "
        "Look at it again, and repeat what you wanted if it still holds."
    )


def lease_held(lease: Lease) -> LeaseHeld:
    """The refusal to take a lease."""
    return LeaseHeld(
        f"{lease.project} is held by {_who(lease)}. Wait for it to finish; "
        f"if it is gone, its lease ends at {_when(lease.expires_at)}."
    )


def lease_lost(lease: Lease, current: Lease | None) -> LeaseLost:
    """The refusal to write under an old lease."""
    now = f"it is now held by {_who(current)}" if current else "it was given back"
    return LeaseLost(f"This runner no longer holds {lease.project} (lease {lease.fence}): {now}. Nothing was changed.")


def _who(lease: Lease) -> str:
    since = f"since {_when(lease.since)}"
    parts = lease.holder.rsplit(":", 2)
    if len(parts) == 3:
        return f"{parts[0]}, process {parts[1]}, {since}"
    return f"{lease.holder}, {since}"


def _when(moment: datetime) -> str:
    return time_text(moment)[:19].replace("T", " ") + " UTC"
