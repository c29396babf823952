"""Take in what has arrived: name it by content, set duplicates aside, and wait until there is enough."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from keepfit.config import Config
from keepfit.errors import DataError
from keepfit.ports import Arrival, Ports
from keepfit.records import Batch, BatchState, Cycle, Duplicate, Outcome, Place
from keepfit.stages import Stop

MOST_TOLD = 5  # files of which is said why they were left where they are


def collect(cycle: Cycle, ports: Ports, config: Config) -> Cycle:
    """Fill in `batches` (new to keepfit), `earlier` (judged before, still in the inbox) and `duplicates`.

    Files that lay in the archive before keepfit came are taken in as well, and without a champion they are reason enough to go
    on. Stops as `waiting` below `min_batches` or `min_rows`.
    """
    arrivals = ports.inbox.list(Place.INBOX)
    settled = [arrival for arrival in arrivals if arrival.settled]
    found, unreadable = _identify(settled, Place.INBOX, ports)
    left = _shortened(unreadable)
    writing = [f"{len(arrivals) - len(settled)} still being written"] if len(settled) < len(arrivals) else []

    new, earlier, duplicates = _sort_out(found, {}, cycle, ports, config)
    shortage = _shortage(new, ports, config)
    adopted: list[Batch] = []
    if not shortage or cycle.forced or _first_champion_waits_in_archive(ports, config):
        adopted = adopt_archive(cycle, ports, config)
        new, earlier, duplicates = _sort_out(found, {batch.id: batch.name for batch in adopted}, cycle, ports, config)
        shortage = "" if adopted or cycle.forced else _shortage(new, ports, config)

    cycle = replace(cycle, batches=(*adopted, *new), earlier=tuple(earlier), duplicates=tuple(duplicates))
    nothing = not (cycle.batches or earlier or _archived(ports, config))
    if shortage or nothing:
        reason = "; ".join([shortage or "there is no data at all", *left, *writing])
        raise Stop(Outcome.WAITING, reason, cycle)
    return replace(cycle, notes=(*cycle.notes, *left))


def _identify(arrivals: Iterable[Arrival], place: Place, ports: Ports) -> tuple[list[Batch], list[str]]:
    """Hash the files; one that cannot be read stays where it is and holds up nothing else."""
    found, unreadable = [], []
    for arrival in arrivals:
        try:
            batch = ports.inbox.identify(arrival, place)
        except DataError as error:
            unreadable.append(str(error))
            continue
        if batch is not None:
            found.append(batch)
    return found, unreadable


def _shortened(told: list[str]) -> list[str]:
    """The first of what is told of files that were left; there may be thousands of them."""
    return told[:MOST_TOLD] + ([f"{len(told) - MOST_TOLD} more were left where they are"] if len(told) > MOST_TOLD else [])


def _first_champion_waits_in_archive(ports: Ports, config: Config) -> bool:
    """Whether there is an archive and no champion yet. The registry, slow to open, is asked last."""
    if ports.ledger.journal.entries(config.project.name, limit=1) or _archived(ports, config):
        return False
    return bool(ports.inbox.list(Place.ARCHIVE)) and ports.registry.champion() is None


def adopt_archive(cycle: Cycle, ports: Ports, config: Config) -> list[Batch]:
    """The files in the archive that keepfit has not put there: data of the time before it came."""
    known = {batch.name for batch in ports.ledger.batches.in_state(config.project.name, BatchState.ARCHIVED)}
    strangers = [arrival for arrival in ports.inbox.list(Place.ARCHIVE) if arrival.name not in known]
    batches, unreadable = _identify(strangers, Place.ARCHIVE, ports)
    if unreadable:
        raise DataError("; ".join(unreadable))
    seen = ports.ledger.batches.known(config.project.name, (batch.id for batch in batches))
    consumed = {id for id, batch in seen.items() if batch.state is BatchState.ARCHIVED}
    unique = {batch.id: batch for batch in batches if batch.id not in consumed}
    return [replace(batch, arrived_at=cycle.started_at) for batch in unique.values()]


def _sort_out(
    found: Sequence[Batch], adopted: Mapping[str, str], cycle: Cycle, ports: Ports, config: Config
) -> tuple[list[Batch], list[Batch], list[Duplicate]]:
    """Divide the inbox into new batches, batches judged before, and second copies of content that is there already."""
    known = ports.ledger.batches.known(config.project.name, (batch.id for batch in found))
    taken = dict(adopted) | {id: batch.name for id, batch in known.items() if batch.state is BatchState.ARCHIVED}
    new: list[Batch] = []
    earlier: list[Batch] = []
    duplicates: list[Duplicate] = []
    for batch in sorted(found, key=lambda batch: (_is_second_name(batch, known), batch.name)):
        if batch.id in taken:
            duplicates.append(Duplicate(name=batch.name, batch=batch.id, original=taken[batch.id]))
            continue
        taken[batch.id] = batch.name
        before = known.get(batch.id)
        if before is not None and before.state is BatchState.JUDGED:
            earlier.append(replace(before, name=batch.name, place=Place.INBOX))
        else:
            arrived = before.arrived_at if before is not None else cycle.started_at
            new.append(replace(batch, arrived_at=arrived, rows=before.rows if before else None))
    return sorted(new, key=lambda batch: batch.name), earlier, duplicates


def _is_second_name(batch: Batch, known: dict[str, Batch]) -> bool:
    """Whether this content is known by another name, so that the first name goes on being the batch's."""
    return batch.id in known and known[batch.id].name != batch.name


def _archived(ports: Ports, config: Config) -> int:
    return ports.ledger.batches.count(config.project.name).get(BatchState.ARCHIVED, 0)


def _shortage(new: Sequence[Batch], ports: Ports, config: Config) -> str:
    """What is missing before a cycle can start, in words; empty when nothing is."""
    if len(new) < config.data.min_batches:
        return f"{len(new)} of {config.data.min_batches} new batches have arrived"
    if config.data.min_rows > 1:
        rows = sum(_count_rows(batch, ports) for batch in new)
        if rows < config.data.min_rows:
            return f"{rows} of {config.data.min_rows} new rows have arrived"
    return ""


def _count_rows(batch: Batch, ports: Ports) -> int:
    try:
        return ports.inbox.read(batch).height
    except DataError:
        return 0  # validation will say what is wrong with it
