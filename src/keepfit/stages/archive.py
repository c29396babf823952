"""Move the data that the new champion has consumed from the inbox to the archive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from keepfit.config import Config
from keepfit.errors import DataError
from keepfit.ports import Ports
from keepfit.records import Batch, BatchState, Cycle, Place


def archive(cycle: Cycle, ports: Ports, config: Config) -> Cycle:  # noqa: ARG001 - every stage takes the same three
    """Fill in `archived`, and the new place of every batch. Without a promotion nothing moves."""
    if cycle.promotion is None or cycle.candidate is None:
        return cycle
    waiting = [batch for batch in (*cycle.earlier, *cycle.batches) if batch.place is Place.INBOX and _is_good(batch)]
    return replace(
        cycle,
        batches=_archived(cycle.batches, ports),
        earlier=_archived(cycle.earlier, ports),
        archived=tuple(batch.id for batch in waiting),
    )


def _archived(batches: Sequence[Batch], ports: Ports) -> tuple[Batch, ...]:
    """All good batches: those that the model was trained on, and those that its window has left behind."""
    return tuple(_move(batch, ports) if _is_good(batch) else batch for batch in batches)


def _is_good(batch: Batch) -> bool:
    return batch.state is not BatchState.QUARANTINED


def _move(batch: Batch, ports: Ports) -> Batch:
    """A file that somebody has deleted or changed meanwhile was consumed all the same: its prepared rows are kept."""
    try:
        batch = ports.inbox.move(batch, Place.ARCHIVE)
    except DataError:
        batch = replace(batch, place=Place.ARCHIVE)
    return replace(batch, state=BatchState.ARCHIVED)
