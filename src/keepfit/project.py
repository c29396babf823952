"""Opens a project; its verbs are the methods of what is opened.

import keepfit
project = keepfit.open("my-model")
cycle = project.run()
print(project.explain(cycle.id))
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from keepfit import config as settings
from keepfit.clock import SystemClock
from keepfit.config import Config
from keepfit.courier import PENDING, Courier, deliver, try_out
from keepfit.cycle import NAMES, Watcher
from keepfit.cycle import run as run_cycle
from keepfit.errors import ConfigError, LeaseHeld, NotFound
from keepfit.idle import recall, remember
from keepfit.lease import held, is_running
from keepfit.opened_ports import SCRATCH, STATE, OpenedPorts, is_missing_file
from keepfit.ports import Clock
from keepfit.records import BatchState, Cycle, Delivery, JournalEntry, Outcome, Place, Promotion


def open(folder: str | Path = ".", *, flags: Mapping[str, Any] | None = None, clock: Clock | None = None, **ports: Any) -> Project:
    """Open the project in `folder`.

    Args:
        folder: where keepfit.toml lies.
        flags: settings that win over the file and the environment, by dotted name: {"promote.gate": "greater"}.
        clock: another clock than the computer's, for simulations.
        ports: objects of your own in place of keepfit's adapters, by the names in `keepfit.ports.Ports`.

    Raises `ProjectNotFound` and `ConfigError`. Nothing is written and no database is opened before a verb needs it.
    """
    return Project(settings.load(Path(folder), flags), clock or SystemClock(), ports)


class Project:
    """A project and its verbs. Every verb of the command line is a method here."""

    def __init__(self, config: Config, clock: Clock, given: Mapping[str, Any]) -> None:
        self.config = config
        self.ports = OpenedPorts(config, clock, given)

    def __enter__(self) -> Project:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the databases."""
        self.ports.close()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lease, and finish first what a killed runner had begun to promote."""
        with held(self.ports.ledger.leases, self.config) as lease:
            self.ports.held = lease
            self._sweep()
            try:
                if self.ports.ledger.journal.unsettled(self.config.project.name):
                    from keepfit.promotion import settle

                    settle(self.ports, self.config)
                yield
            finally:
                self.ports.held = None

    @contextlib.contextmanager
    def _telling(self) -> Iterator[Courier]:
        """Send alerts beside the work, and wait for their receivers a little when it is over."""
        courier = Courier(self.ports, self.config)
        try:
            yield courier
        except LeaseHeld:
            raise  # who is refused changes nothing
        except Exception:
            courier.finish()
            raise
        courier.finish()

    def run(
        self,
        *,
        force: bool = False,
        until: str | None = None,
        resume: bool = False,
        dry_run: bool = False,
        watch: Watcher = lambda stage, cycle: None,
    ) -> Cycle:
        """Run one cycle, or go on with the one that was interrupted.

        Args:
            force: retrain whatever the signals say.
            until: stop after this stage; the next run goes on from there.
            resume: only go on with an interrupted cycle; `NotFound` when there is none.
            dry_run: decide and change nothing.
            watch: is told the name of each stage as it begins, and "" at the end.

        Returns the cycle; its `outcome` is None when `until` stopped it before its end.
        """
        if until is not None and until not in NAMES:
            raise ConfigError(f"There is no stage {until!r}: the stages are {', '.join(NAMES)}.")
        if dry_run:
            from keepfit.verbs.rehearsal import rehearse

            with contextlib.closing(self._for_rehearsal()) as ports:
                return rehearse(ports, self.config, forced=force, watch=watch)
        plain = not (force or until or resume or self.ports.given)
        idle = recall(self.config, self._state) if plain else None
        if idle is not None:
            return idle
        from keepfit.provenance import provenance

        with self._telling() as courier, self._alone():
            courier.start()  # what earlier runs could not send
            cycle = run_cycle(
                self.ports,
                self.config,
                provenance=lambda: provenance(self.config, self.ports.code.fingerprint),
                forced=force,
                until=until,
                only_resume=resume,
                watch=watch,
                told=courier.start,
            )
        if plain and cycle.outcome is Outcome.WAITING and courier.done and self.journal(1):
            arrivals = list(self.ports.inbox.list(Place.INBOX))
            self.ports.close()  # so that the ledger's file is at rest
            remember(cycle, arrivals, self.config, self._state)
        return cycle

    def _for_rehearsal(self) -> OpenedPorts:
        """The ports, with empty ones in memory for databases that are not there yet: a dry run makes none."""
        from keepfit.testing import MemoryLedger, MemoryRegistry

        stand_ins = {"ledger": (self.config.ledger.url, MemoryLedger), "registry": (self.config.tracking.url, MemoryRegistry)}
        given = dict(self.ports.given)
        for name, (url, empty) in stand_ins.items():
            if name not in given and is_missing_file(self.config.url(url)):
                given[name] = empty()
        ports = OpenedPorts(self.config, self.ports.clock, given)
        ports.rehearsing = True
        return ports

    def _sweep(self) -> None:
        """Remove what killed runs were putting together; each name ends with the number of its process."""
        for left in (self._state / SCRATCH).glob("*.*"):
            if not is_running(left.suffix[1:]):
                shutil.rmtree(left, ignore_errors=True)
        for left in (self._state / "prepared").glob(".*.tmp"):
            if not is_running(left.suffixes[-2][1:] if len(left.suffixes) > 1 else ""):
                left.unlink(missing_ok=True)

    @property
    def _state(self) -> Path:
        return self.config.root / STATE

    def status(self) -> dict[str, Any]:
        """What there is now: champion by the journal, batches by state, the last cycle, who holds the lease."""
        ledger, name = self.ports.ledger, self.config.project.name
        entries = ledger.journal.entries(name)
        done = next((entry for entry in entries if entry.status == "done"), None)
        recent = ledger.cycles.recent(name, 1)
        counts = ledger.batches.count(name)
        return {
            "project": name,
            "champion": done.promotion if done else None,
            "batches": {state.value: counts.get(state, 0) for state in BatchState},
            "last_cycle": recent[0] if recent else None,
            "unfinished": bool(recent and recent[0].outcome is None),
            "lease": ledger.leases.current(name),
            "alerts_pending": len(ledger.outbox.recent(name, 1_000, status=PENDING)),
        }

    def alerts(self, limit: int = 20) -> list[Delivery]:
        """The latest alerts and what has become of them, newest first."""
        return list(self.ports.ledger.outbox.recent(self.config.project.name, limit))

    def deliver_alerts(self) -> list[Delivery]:
        """Try now to send every alert that is pending; returns what has become of them."""
        return deliver(self.ports, self.config)

    def try_alerts(self) -> dict[str, str]:
        """Send a test to everybody who is set up; returns for each why it was not reached, empty where it was."""
        return try_out(self.ports, self.config)

    def history(self, limit: int = 20) -> list[Cycle]:
        """The latest cycles, newest first."""
        return list(self.ports.ledger.cycles.recent(self.config.project.name, limit))

    def journal(self, limit: int = 50) -> list[JournalEntry]:
        """The moves of the alias, newest first."""
        return list(self.ports.ledger.journal.entries(self.config.project.name, limit))

    def cycle(self, id: str | None = None) -> Cycle:
        """One cycle, by its id or the beginning of it; the latest without. Raises `NotFound`."""
        cycles, name = self.ports.ledger.cycles, self.config.project.name
        found = cycles.load(name, id) if id else next(iter(cycles.recent(name, 1)), None)
        if found is None:
            raise NotFound(
                f"There is no cycle {id!r}; `keepfit history` lists them." if id else "No cycle has run yet: `keepfit run`."
            )
        return found

    def explain(self, id: str | None = None) -> str:
        """A cycle as a short story: what came in, what was found, decided and done, and what would have changed it."""
        from keepfit.verbs.story import tell

        return tell(self.cycle(id))

    def monitor(self, *, check_now: bool = False, limit: int = 10) -> tuple[Cycle, list[Cycle]]:
        """The latest judgement, and those before it, the oldest first; nothing is trained.

        With `check_now` what lies in the inbox is judged now, however little it is, and the reports are written; the ledger, the
        data files and the registry stay as they are. Raises `NotFound` when nothing was judged yet.
        """
        from keepfit.verbs.looking import look

        with contextlib.closing(self._for_rehearsal()) as ports:
            return look(ports, self.config, check_now=check_now, limit=limit)

    def register(self, model: str | Path, *, trust_pickle: bool = False) -> Cycle:
        """Make a model from elsewhere a version with baseline metrics; the champion, when there is none yet.

        Raises `ModelRefused` for a pickle that is not said to be trusted, and for types that nobody has trusted.
        """
        from keepfit.provenance import file_hash
        from keepfit.verbs.registration import register

        path = Path(model)
        loaded = self.ports.read_model(path, trust_pickle)
        with self._telling(), self._alone():
            return register(loaded, path.name, file_hash(path), self.ports, self.config)

    def promote(self, version: str, reason: str) -> Promotion:
        """Point the alias to a version by hand, through the journal. Raises `NotFound`, `AliasMoved`."""
        from keepfit.promotion import promote_by_hand

        with self._telling(), self._alone():
            return promote_by_hand(version, reason, self.ports, self.config)

    def rollback(self, reason: str) -> Promotion:
        """Point the alias back to the version before the last promotion. Raises `NotFound` when there was none."""
        from keepfit.promotion import roll_back

        with self._telling(), self._alone():
            return roll_back(reason, self.ports, self.config)

    def simulate(self, start: str | None = None, days: int = 1, options: Mapping[str, Any] | None = None) -> list[str]:
        """Write made-up days into the inbox by the project's own generator; returns the files' names."""
        from keepfit.verbs.simulation import simulate

        return simulate(start, days, options or {}, self.ports.generator, self.config)

    def doctor(self) -> list[tuple[str, bool, str]]:
        """Check that everything a cycle needs is there: (what, whether it is well, in words)."""
        from keepfit.verbs.checkup import examine

        return examine(self.ports, self.config)
