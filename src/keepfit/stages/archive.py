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
    consumed = set(cycle.candidate.batches)
    batches = _archived(cycle.batches, consumed, ports)
    earlier = _archived(cycle.earlier, consumed, ports)
    moved = tuple(batch.id for batch in (*earlier, *batches) if batch.state is BatchState.ARCHIVED)
    return replace(cycle, batches=batches, earlier=earlier, archived=moved)


def _archived(batches: Sequence[Batch], consumed: set[str], ports: Ports) -> tuple[Batch, ...]:
    return tuple(_move(batch, ports) if batch.id in consumed else batch for batch in batches)


def _move(batch: Batch, ports: Ports) -> Batch:
    """A file that somebody has deleted or changed meanwhile was consumed all the same: its prepared rows are kept."""
    try:
        batch = ports.inbox.move(batch, Place.ARCHIVE)
    except DataError:
        batch = replace(batch, place=Place.ARCHIVE)
    return replace(batch, state=BatchState.ARCHIVED)
