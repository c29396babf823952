"""Move the data that the new champion has consumed from the inbox to the archive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from keepfit.config import Config
from keepfit.errors import DataError
from keepfit.ports import Ports
from keepfit.records import Batch, BatchState, Cycle, Place


def archive(cycle: Cycle, ports: Ports, config: Config) -> Cycle:  # noqa: ARG001 - every stage takes the same three
    """Fill in `archived`, and the new place of every batch. Without a promotion nothing moves."""
    if cycle.promotion is None or cycle.candidate is None:
        return cycle
    labels = cycle.prepared.labels if cycle.prepared else {}
    consumed = {batch.id for batch in (*cycle.earlier, *cycle.batches) if _is_consumed(batch, labels)}
    waiting = [batch.id for batch in (*cycle.earlier, *cycle.batches) if batch.id in consumed and batch.place is Place.INBOX]
    return replace(
        cycle,
        batches=tuple(_move(batch, ports) if batch.id in consumed else batch for batch in cycle.batches),
        earlier=tuple(_move(batch, ports) if batch.id in consumed else batch for batch in cycle.earlier),
        archived=tuple(waiting),
    )


def _is_consumed(batch: Batch, labels: Mapping[str, int]) -> bool:
    """Whether the batch has labelled rows: they have trained, they have judged, or the window has left them behind. A batch that
    nobody has labelled yet has served for nothing and waits."""
    return batch.state is not BatchState.QUARANTINED and labels.get(batch.id, 0) > 0


def _move(batch: Batch, ports: Ports) -> Batch:
    """A file that somebody has deleted or changed meanwhile was consumed all the same: its prepared rows are kept."""
    try:
        batch = ports.inbox.move(batch, Place.ARCHIVE)
    except DataError:
        batch = replace(batch, place=Place.ARCHIVE)
    return replace(batch, state=BatchState.ARCHIVED)
