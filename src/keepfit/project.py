"""Opens a project; its verbs are the methods of what is opened.

import keepfit
project = keepfit.open("my-model")
cycle = project.run()
print(project.explain(cycle.id))
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keepfit import config as settings
from keepfit.addresses import is_remote
from keepfit.clock import SystemClock
from keepfit.config import Config
from keepfit.courier import PENDING, Courier, deliver, try_out
from keepfit.cycle import NAMES, Watcher
from keepfit.cycle import run as run_cycle
from keepfit.errors import ConfigError, KeepfitError, LeaseHeld, NotFound
from keepfit.idle import glance, recall, remember, takes_in
from keepfit.lease import held, held_for_move, is_running
from keepfit.live_records import ApiKey, AuditEntry, Scope
from keepfit.opened_ports import SCRATCH, STATE, OpenedPorts, is_missing_file
from keepfit.ports import Clock
from keepfit.records import BatchState, Cycle, Delivery, JournalEntry, Outcome, Place, Promotion

if TYPE_CHECKING:
    from keepfit.live import Live
    from keepfit.live.exporting import Exported
    from keepfit.live.labels import Feedback
    from keepfit.reporting.status import DriftStatus
    from keepfit.verbs.checkout import CheckedOut
    from keepfit.verbs.cleaning import Cleaned
    from keepfit.verbs.model_export import ExportedModel
    from keepfit.verbs.prepared_export import PreparedExport
    from keepfit.verbs.reproduction import Reproduction
    from keepfit.verbs.simulation import Made
    from keepfit.verbs.traffic import Pace, Traffic


MOMENT = 1.0  # seconds that a person waits for another who moves the alias
PERSON = "command line"  # who acts where nobody else is named, for the audit


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
        self._check_registry()
        with held(self.ports.ledger.leases, self.config) as lease:
            self.ports.held = lease
            self._sweep()
            try:
                self._settle()
                yield
            finally:
                self.ports.held = None

    @contextlib.contextmanager
    def _moving(self) -> Iterator[None]:
        """Hold the lease under which the alias is moved, beside whoever runs a cycle."""
        self._check_registry()
        with held_for_move(self.ports.ledger.leases, self.config, MOMENT) as lease:
            self.ports.held = lease
            try:
                self._settle()
                yield
            finally:
                self.ports.held = None

    def _check_registry(self) -> None:
        """Who answers with one version from a folder has no say about the others. Raises `ConfigError`."""
        if self.config.serve.model:
            raise ConfigError(
                f"[serve] model = {self.config.serve.model!r} is the version that answers here, whatever is promoted: run, promote "
                "and roll back where the registry is, without that setting."
            )

    def _settle(self) -> None:
        if self.ports.ledger.journal.unsettled(self.config.project.name):
            from keepfit.promotion import settle

            settle(self.ports, self.config)

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
        cycle: str | None = None,
        resume: bool = False,
        dry_run: bool = False,
        watch: Watcher = lambda stage, cycle: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Cycle:
        """Run one cycle, or go on with the one that was interrupted.

        Args:
            force: retrain whatever the signals say.
            until: stop after this stage; the next run goes on from there.
            cycle: only go on with the cycle of this id, for an orchestrator that runs one stage at a time; one that has ended is
                returned as it is, and no other is begun. `NotFound` when there is none.
            resume: only go on with an interrupted cycle; `NotFound` when there is none.
            dry_run: decide and change nothing.
            watch: is told the name of each stage as it begins, and "" at the end.
            stop: is asked after each stage; True leaves it at that, and the next run goes on from there.

        Returns the cycle; its `outcome` is None when `until` or `stop` stopped it before its end.
        """
        if until is not None and until not in NAMES:
            raise ConfigError(f"There is no stage {until!r}: the stages are {', '.join(NAMES)}.")
        only = self.cycle(cycle).id if cycle is not None else None
        if dry_run:
            from keepfit.verbs.rehearsal import rehearse

            with contextlib.closing(self._for_rehearsal()) as ports:
                return rehearse(ports, self.config, forced=force, watch=watch)
        plain = not (force or until or only or resume or self.ports.given)
        idle = recall(self.config, self._state) if plain else None
        if idle is not None:
            return idle
        before = glance(self.config) if plain else None
        from keepfit.provenance import provenance

        with self._telling() as courier, self._alone():
            courier.start()  # what earlier runs could not send
            noted, waiting = ((), "") if resume or only else self._take_in(forced=force)
            done = run_cycle(
                self.ports,
                self.config,
                provenance=lambda: provenance(self.config, self.ports.code.fingerprint),
                forced=force,
                until=until,
                only_resume=resume,
                only=only,
                watch=watch,
                stop=stop,
                told=courier.start,
                noted=noted,
                waiting=waiting,
            )
        if plain and done.outcome is Outcome.WAITING and courier.done and self.journal(1):
            arrivals = list(self.ports.inbox.list(Place.INBOX))
            self.ports.close()  # so that the ledger's file is at rest
            remember(done, arrivals, before, self.config, self._state)
        return done

    def _take_in(self, *, forced: bool) -> tuple[tuple[str, ...], str]:
        """Write labelled rows of the log into the inbox, where there is a log and a new cycle is about to begin. Returns what is to
        be noted, and what there is too little of."""
        there = self.config.serve.log.intake and ("log" in self.ports.given or takes_in(self.config))
        if not there or self.ports.ledger.cycles.recent(self.config.project.name, 1, unfinished=True):
            return (), ""
        from keepfit.live.intake import take_in

        intake = take_in(self.ports, self.config, forced=forced)
        return intake.notes, intake.waiting

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
        prepared = self.config.data.prepared
        for left in () if is_remote(prepared) else self.config.path(prepared).glob(".*.tmp"):
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
        if id == "":  # a variable of a script that is not set: the latest cycle is not what was meant
            raise NotFound("The cycle's id is empty: expected an id or its beginning; `keepfit history` lists them.")
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

    def drift_status(self, *, cycle: str | None = None, max_age: str | None = None) -> DriftStatus:
        """What drift_status.json says, as any other program would read it. Raises `DataError` where it is missing, broken, not of
        this cycle, or older than `max_age` (such as "26h")."""
        from keepfit.verbs.looking import read_report

        return read_report(cycle, max_age, self.ports, self.config)

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

    def promote(self, version: str, reason: str, *, actor: str = PERSON, address: str = "", here: bool = False) -> Promotion:
        """Point the alias to a version by hand, through the journal. Raises `NotFound`, `AliasMoved`.

        Args:
            actor: who does it, for the audit; `address` is where the request came from.
            here: do it in this process, and leave it to the caller to tell people. Otherwise the office of a server that runs on
                this project does it, which is quicker.
        """
        from keepfit.promotion import promote_by_hand

        act = AuditEntry(at=self.ports.clock.now(), actor=actor, act="promote", detail=f"version {version}", address=address)
        return self._move(
            act, here, lambda: promote_by_hand(version, reason, self.ports, self.config), version=version, reason=reason
        )

    def rollback(self, reason: str, *, actor: str = PERSON, address: str = "", here: bool = False) -> Promotion:
        """Point the alias back to the version before the last promotion. Raises `NotFound` when there was none.

        For `actor`, `address` and `here` see `promote`.
        """
        from keepfit.promotion import roll_back

        act = AuditEntry(at=self.ports.clock.now(), actor=actor, act="rollback", detail=reason, address=address)
        return self._move(act, here, lambda: roll_back(reason, self.ports, self.config), reason=reason)

    def _move(self, act: AuditEntry, here: bool, move: Callable[[], Promotion], **told: str) -> Promotion:
        """Have the alias moved by a server's office, or do it, and write down who did."""
        from keepfit.codec import loads
        from keepfit.live.servers import ask_running

        if not here and not self.ports.given:
            answer = ask_running(self.config.root, act.act, actor=act.actor, address=act.address, **told)
            if answer is not None:
                return loads(Promotion, json.dumps(answer[0]))
        audit, project = self.ports.ledger.audit, self.config.project.name
        with contextlib.nullcontext() if here else self._telling():
            try:
                with self._moving():
                    audit.record(project, act)  # first: it may tell of an act of which nothing came, and leaves none out
                    return move()
            except LeaseHeld:
                raise  # who is refused changes nothing
            except KeepfitError as error:
                with contextlib.suppress(KeepfitError):  # the ledger may be what is away
                    audit.record(project, replace(act, outcome=f"refused: {error}"))
                raise

    def keys(self) -> list[ApiKey]:
        """The API keys, the oldest first, as far as they are kept: their hashes."""
        from keepfit.live.keys import keys

        return list(keys(self.ports, self.config))

    def add_key(self, name: str, scopes: Iterable[Scope | str]) -> str:
        """Make an API key that allows this; returns it, the only time that it is known. Raises `ConfigError`, `Conflict`."""
        from keepfit.live.keys import add_key

        return add_key(name, scopes, self.ports, self.config)

    def revoke_key(self, name: str) -> None:
        """Make an API key worthless. Raises `NotFound`."""
        from keepfit.live.keys import revoke_key

        revoke_key(name, self.ports, self.config)

    def feedback(self, file: str | Path) -> Feedback:
        """Put the labels of a file (request_id, label and, where known, labelled_at) into the prediction log.

        Raises `NotFound`, `Unavailable`, and `DataError` for a label that no answer can have; nothing is added then.
        """
        from keepfit.live.labels import add_labels

        return add_labels(Path(file), self.ports, self.config)

    def export(
        self,
        out: str | Path | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        labelled: bool | None = None,
    ) -> Exported:
        """Write the prediction log, from `since` and before `until`, into one CSV or Parquet file: data/logs/predictions.csv in the
        project's folder unless another is named. `labelled`: only what has a label, or only what has none."""
        from keepfit.live.exporting import DEFAULT, export

        place = self.config.path(DEFAULT) if out is None else Path(out)
        return export(place, since, until, labelled, self.ports, self.config)

    def export_prepared(
        self, cycle: str | None = None, out: str | Path | None = None, *, below: str | Path | None = None
    ) -> PreparedExport:
        """Write the prepared rows of a cycle's own files for other tools, without an id those of the latest cycle that has any.

        All go into `out`, or each day's into a folder `below` one (prepared_data without either): folders of the project, or URLs.
        """
        from keepfit.verbs.prepared_export import export_prepared

        whole, daily = (None if each is None else str(each) for each in (out, below))
        latest = next((each for each in self.history(1_000) if each.prepared is not None), None) if cycle is None else None
        return export_prepared(latest or self.cycle(cycle), whole, daily, self.ports, self.config)

    def checkout_data(self, cycle: str | None = None, out: str | Path | None = None, *, version: str | None = None) -> CheckedOut:
        """Bring back the data that a cycle, or the model version named instead, was trained on: raw files, prepared rows and
        reference, byte for byte, into `out`, data-versions/CYCLE in the project's folder where none is named.

        What could not be brought is named in the result. Raises `NotFound`; `DataError` where other files are in the way, before
        anything is written.
        """
        from keepfit.verbs.checkout import checkout, trained_version

        if (cycle is None) == (version is None):
            raise ConfigError("Expected either a cycle or a version.")
        place = None if out is None else Path(out)
        if version is not None:
            return checkout(version, None, place, self.ports, self.config)
        found = self.cycle(cycle)
        return checkout(trained_version(found), found, place, self.ports, self.config)

    def reproduce(self, cycle: str) -> Reproduction:
        """Train a cycle's model again from the data, settings and code that were kept, in a scratch folder, and compare the two.
        Nothing of the project changes. Raises `NotFound` for a cycle that trained nothing or kept too little."""
        from keepfit.verbs.reproduction import reproduce

        return reproduce(self.cycle(cycle), lambda config: OpenedPorts(config, self.ports.clock, {}), self.ports, self.config)

    def export_model(self, version: str | None = None, out: str | Path = "model") -> ExportedModel:
        """Write a version, the champion without one, with all that a server needs into a folder: for [serve] model, in an image.
        Raises `NotFound`, `ModelRefused`, and `ConfigError` for a folder that holds something else."""
        from keepfit.verbs.model_export import export_model

        return export_model(version, Path(out), self.ports, self.config)

    @cached_property
    def live(self) -> Live:
        """The models in service: performance, drift, comparison, routing and probation."""
        from keepfit.live import Live

        return Live(self.ports, self.config, self._moving_and_telling)

    @contextlib.contextmanager
    def _moving_and_telling(self) -> Iterator[None]:
        with self._telling(), self._moving():
            yield

    def simulate(
        self, start: str | None = None, days: int = 1, options: Mapping[str, Any] | None = None, *, once: bool = False
    ) -> list[Made]:
        """Write made-up days into the inbox by the project's own generator, with `once` those alone that never came before."""
        from keepfit.verbs.simulation import simulate

        return simulate(start, days, options or {}, self.ports, self.config, once=once)

    def send_traffic(
        self,
        url: str,
        start: str | None = None,
        days: int = 1,
        options: Mapping[str, Any] | None = None,
        pace: Pace | None = None,
        tell: Callable[[str], None] = lambda words: None,
    ) -> Traffic:
        """Ask a running API what the generator makes up for these days, and give labels back. The key is KEEPFIT_API_KEY."""
        from keepfit.verbs.traffic import Pace, send

        key = os.environ.get("KEEPFIT_API_KEY")
        return send(url, start, days, options or {}, pace or Pace(), key, self.ports.generator, self.config, tell)

    def clean(self, older: str | timedelta | None = None, keep: int | None = None, *, dry_run: bool = False) -> Cleaned:
        """Remove model versions, runs, reports and the like that are old and that nothing needs.

        Args:
            older: only what is older than this, such as "90d"; [clean] older where it is not given.
            keep: never the latest this many of a kind; [clean] keep where it is not given.
            dry_run: only say what would go.

        Raises `ConfigError` for limits that cannot be, `LeaseHeld` while a cycle runs, `Unavailable`.
        """
        from keepfit.verbs.cleaning import clean, limits

        within = limits(older, keep, self.config)
        if dry_run:
            with contextlib.closing(self._for_rehearsal()) as ports:
                return clean(within, ports, self.config, dry_run=True)
        with self._alone():
            return clean(within, self.ports, self.config, dry_run=False)

    def doctor(self) -> list[tuple[str, bool, str]]:
        """Check that everything a cycle needs is there: (what, whether it is well, in words)."""
        from keepfit.verbs.checkup import examine

        return examine(self.ports, self.config)
