"""Move the data that the new champion has consumed from the inbox to the archive."""

from __future__ import annotations

from dataclasses import replace

from keepfit.config import Config
from keepfit.errors import DataError
from keepfit.ports import Ports
from keepfit.prepared import prepared_name
from keepfit.records import Batch, BatchState, Cycle, Place


def archive(cycle: Cycle, ports: Ports, config: Config) -> Cycle:
    """Fill in `archived`, and the new place of every batch. Without a promotion nothing moves."""
    if cycle.promotion is None or cycle.candidate is None:
        return cycle
    consumed = {batch.id for batch in (*cycle.earlier, *cycle.batches) if _is_consumed(batch, ports, config)}
    waiting = [batch.id for batch in (*cycle.earlier, *cycle.batches) if batch.id in consumed and batch.place is Place.INBOX]
    return replace(
        cycle,
        batches=tuple(_move(batch, ports) if batch.id in consumed else batch for batch in cycle.batches),
        earlier=tuple(_move(batch, ports) if batch.id in consumed else batch for batch in cycle.earlier),
        archived=tuple(waiting),
    )


def _is_consumed(batch: Batch, ports: Ports, config: Config) -> bool:
    """Whether the batch has labelled rows: they have trained, they have judged, or the window has left them behind. A batch that
    nobody has labelled yet has served for nothing and waits."""
    if batch.state is BatchState.QUARANTINED:
        return False
    facts = ports.store.facts(prepared_name(batch, ports.code, config))
    return facts is not None and facts["labelled"] > 0


def _move(batch: Batch, ports: Ports) -> Batch:
    """A file that somebody has deleted or changed meanwhile was consumed all the same: its prepared rows are kept."""
    try:
        batch = ports.inbox.move(batch, Place.ARCHIVE)
    except DataError:
        batch = replace(batch, place=Place.ARCHIVE)
    return replace(batch, state=BatchState.ARCHIVED)
