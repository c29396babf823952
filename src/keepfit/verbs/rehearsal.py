"""A dry run: the stages up to the decision over the real data, with ports that write nothing.

Files stay where they are, the ledger and the registry are only read, and what would be prepared is kept in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from keepfit.config import Config
from keepfit.cycle import NAMES, STAGES, Watcher, begin, decided
from keepfit.records import Batch, Cycle, Lease, Place
from keepfit.stages import Stop

if TYPE_CHECKING:
    import polars as pl

LAST = "decide"


def rehearse(ports: Any, config: Config, *, forced: bool, watch: Watcher) -> Cycle:
    """Run the stages up to the decision and return what a real run would decide; nothing is stored."""
    return rehearse_on(QuietPorts(ports), ports, config, forced=forced, watch=watch)


def rehearse_on(quiet: Any, ports: Any, config: Config, *, forced: bool, watch: Watcher) -> Cycle:
    """The same on quiet ports of one's own, which hold afterwards what was prepared and profiled."""
    unfinished = ports.ledger.cycles.recent(config.project.name, 1, unfinished=True)
    cycle = unfinished[0] if unfinished else begin(quiet, config, forced)
    if decided(cycle):
        return cycle  # the real run goes on behind its decision
    cycle = replace(cycle, forced=cycle.forced or forced)
    done = 0 if cycle.stage is None else NAMES.index(cycle.stage) + 1
    for name, stage in list(zip(NAMES, STAGES, strict=True))[done : NAMES.index(LAST) + 1]:
        watch(name, cycle)
        try:
            cycle = replace(stage(cycle, quiet, config), stage=name)
        except Stop as stop:
            cycle = replace(stop.cycle, stage=name, outcome=stop.outcome, reason=stop.reason)
            break
    watch("", cycle)
    return cycle


class QuietPorts:
    """The project's ports, of which the writing ones do nothing."""

    def __init__(self, ports: Any) -> None:
        self._ports = ports
        self.inbox = _QuietInbox(ports.inbox)
        self.store = _OverlayStore(ports.store)
        self.tracker = _QuietTracker()
        self.ledger = _QuietLedger(ports.ledger)
        self.releaser = _QuietReleaser()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ports, name)

    @property
    def lease(self) -> Lease:
        now = self._ports.clock.now()
        return Lease(project="", holder="dry run", fence=0, since=now, expires_at=now)


class _QuietInbox:
    def __init__(self, inbox: Any) -> None:
        self._inbox = inbox

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inbox, name)

    def move(self, batch: Batch, to: Place, note: str = "") -> Batch:  # noqa: ARG002 - part of the port
        return batch

    def set_aside(self, batch: Batch, rows: pl.DataFrame) -> str:  # noqa: ARG002 - part of the port
        return batch.name


class _QuietLedger:
    def __init__(self, ledger: Any) -> None:
        self.cycles, self.batches = ledger.cycles, ledger.batches
        self.journal = _QuietJournal(ledger.journal)


class _QuietJournal:
    def __init__(self, journal: Any) -> None:
        self.entries = journal.entries

    def intend(self, *_: Any) -> None:
        """Nothing is moved, so nothing is written."""

    def note(self, *_: Any) -> None:
        """What is seen is seen again by the real run."""

    def settle(self, *_: Any) -> None:
        """Nothing was begun, so nothing is settled."""


class _OverlayStore:
    """Reads what is kept; keeps what is new in memory."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._new: dict[str, tuple[pl.DataFrame, dict[str, Any]]] = {}

    def save(self, name: str, frame: pl.DataFrame, facts: Mapping[str, Any]) -> None:
        if self._store.facts(name) is None:
            self._new[name] = (frame, dict(facts))

    def facts(self, name: str) -> dict[str, Any] | None:
        return self._new[name][1] if name in self._new else self._store.facts(name)

    def load(self, names: Iterable[str], columns: Sequence[str] | None = None) -> pl.DataFrame:
        import polars as pl

        frames = [self._new[name][0] if name in self._new else self._store.load([name], columns) for name in names]
        return pl.concat(frames, how="diagonal_relaxed") if frames else pl.DataFrame()


class _QuietReleaser:
    receivers = ()


class _QuietTracker:
    def record(self, run: str, cycle: str, parameters: Mapping[str, str], metrics: Mapping[str, float]) -> str:  # noqa: ARG002
        return ""
