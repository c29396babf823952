"""A project with models in service: a log, a ledger and a registry in memory, and offices that look at them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.unit.stages.world import Always, FakeTrainer, World

from keepfit.errors import NotFound
from keepfit.live.overview import Live
from keepfit.live_ports import Labelled, Logged, Shadowed, Shelved
from keepfit.promotion import settle
from keepfit.records import Cycle, Event, JournalEntry, Promotion
from keepfit.request_ids import RequestIds
from keepfit.testing import MemoryLog

_HOLDERS = count(1)


class Shelf:
    """As much of the port `Shelf` as is needed."""

    def __init__(self, registry: Any) -> None:
        self._registry = registry

    def pointed(self, alias: str) -> Shelved | None:
        number = self._registry.aliases.get(alias)
        return self.version(number) if number is not None else None

    def version(self, number: str) -> Shelved:
        if number not in self._registry.versions:
            raise NotFound(f"There is no version {number}.")
        return Shelved(model="model", version=number, mark="", content_hash=None, run="")


@dataclass
class Service:
    """A project in a folder, with `versions` of which the first is the champion."""

    folder: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    models: Sequence[Any] = (Always("a"), Always("b"), Always("a"))
    tags: Mapping[str, str] = field(default_factory=dict)  # the champion's
    features: str = ""
    log: Any = field(default_factory=lambda: MemoryLog("demo"))

    def __post_init__(self) -> None:
        self.ids = RequestIds("demo")
        self.world = World(self.folder, self.settings, features=self.features)
        self.world.ports.log, self.world.ports.shelf = self.log, Shelf(self.world.ports.registry)
        self.world.ports.notifier = SimpleNamespace(receivers=("people",))
        if self.models:
            self.world.champion(self.models[0], **self.tags)
        for model in self.models[1:]:
            self.world.version(model)
        self.world.ports.ledger.leases.release(self.world.ports.lease)
        self.world.ports.lease = None

    @property
    def ledger(self) -> Any:
        return self.world.ports.ledger

    @cached_property
    def live(self) -> Live:
        return self.office()

    def office(self) -> Live:
        """Another process: ports of its own onto the same log, ledger and registry."""
        ports = SimpleNamespace(**vars(self.world.ports))

        @contextlib.contextmanager
        def alone() -> Iterator[None]:
            lease = self.ledger.leases.acquire("demo", f"here:{next(_HOLDERS)}:0.0", 60)
            ports.lease = lease
            try:
                settle(ports, self.world.config)
                yield
            finally:
                ports.lease = None
                self.ledger.leases.release(lease)

        return Live(ports, self.world.config, alone)

    def learn(self, name: str, frame: Any, model: Any, *, forced: bool = False) -> Cycle:
        """A whole cycle of the loop on a new file, which trains this model where it trains."""
        ports = self.world.ports
        ports.trainer = FakeTrainer(model)
        ports.lease = self.ledger.leases.acquire("demo", "here:0:0.0", 60)
        self.world.arrive(name, frame)
        cycle = self.world.run(forced=forced)
        self.ledger.leases.release(ports.lease)
        ports.lease = None
        return cycle

    # -------------------------------------------------------------------------------------------------------- the journal

    def promote(self, version: str, kind: str = "promotion", id: str | None = None) -> JournalEntry:
        """Move the alias through the journal."""
        from keepfit.promotion import move_alias

        before = self.champion
        self.world.clock.advance(1)
        move = Promotion(alias="champion", from_version=before, to_version=version, kind=kind, at=self.world.clock.now())
        ports = self.world.ports
        ports.lease = self.ledger.leases.acquire("demo", "here:0:0.0", 60)
        id = id or f"move-{next(_HOLDERS)}"
        move_alias(id, move, ports, self.world.config)
        self.ledger.leases.release(ports.lease)
        ports.lease = None
        self.world.clock.advance(1)
        return self.ledger.journal.entries("demo")[0]

    @property
    def champion(self) -> str | None:
        return self.world.ports.registry.aliases.get("champion")

    @property
    def moves(self) -> list[tuple[str, str | None, str, str]]:
        """Kind, from, to and status of the journal's rows, the oldest first."""
        entries = reversed(self.ledger.journal.entries("demo"))
        return [(each.promotion.kind, each.promotion.from_version, each.promotion.to_version, each.status) for each in entries]

    @property
    def alerts(self) -> list[Any]:
        """Those of an alias that went back, or could not."""
        events = (Event.ROLLED_BACK, Event.FAILED)
        return [each.alert for each in self.ledger.outbox.recent("demo", 100) if each.alert.event in events]

    # ------------------------------------------------------------------------------------------------------------ the log

    def serve(
        self,
        said: Sequence[Any],
        labels: Sequence[Any],
        *,
        version: str | None = None,
        route: str = "champion",
        silent: Mapping[str, Sequence[Any]] | None = None,
        inputs: Sequence[Mapping[str, Any]] | None = None,
        score: float | None = 0.9,
    ) -> list[str]:
        """A request a millisecond: what was answered, what others would have, and the labels (None: none yet). Returns the ids."""
        start, spool = self.world.clock.now().timestamp(), self.log.open_spool("worker")
        made = []
        for place, (answer, label) in enumerate(zip(said, labels, strict=True)):
            at = start + place / 1000
            id = self.ids.new(at)
            made.append(id)
            asked = inputs[place] if inputs else {}
            number = version or self.champion or ""
            rows: list[Any] = [
                Logged(request_id=id, at=at, model="m", version=number, inputs=asked, prediction=answer, score=score, route=route)
            ]
            for other, answers in (silent or {}).items():
                if answers[place] is not None:
                    rows.append(Shadowed(request_id=id, at=at, version=other, prediction=answers[place], score=score))
            if label is not None:
                rows.append(Labelled(request_id=id, at=at + 1, label=label))
            spool.write(rows)
        spool.close()
        self.log.drain()
        self.world.clock.advance(len(said) / 1000 + 2)
        return made

    def relabel(self, ids: Sequence[str], labels: Sequence[Any]) -> None:
        spool, at = self.log.open_spool("worker"), self.world.clock.now().timestamp()
        spool.write([Labelled(request_id=id, at=at, label=label) for id, label in zip(ids, labels, strict=True)])
        spool.close()
        self.log.drain()
