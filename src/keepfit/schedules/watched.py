"""One project under watch: a thread that looks for what has come, runs the project's cycles and sends what waits to be sent.

Cycles of several projects take turns, so that two projects with a features.py each never meet in one process. Each cycle opens the
project anew: edited settings and code are taken up, and a server that was away is connected to again.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from keepfit.config import Config, load
from keepfit.cycle import ONLY_FORWARD, Watcher
from keepfit.errors import ConfigError, KeepfitError, LeaseHeld, NotFound, Unavailable
from keepfit.opened_ports import forget_code
from keepfit.project import Project, open
from keepfit.records import Cycle, Outcome
from keepfit.schedules.arrivals import Seen, look_at_code, look_at_files, look_at_labels, settings_stamp
from keepfit.schedules.deliveries import Deliveries
from keepfit.schedules.triggers import trigger_of
from keepfit.telling import place_of, tell

START, SCHEDULE = "start", "schedule"  # why a cycle runs, beside what has come: files, labels, settings, code
LABELS = 12  # looks from one look at the labels to the next: they come all the time where a model is served
LONGEST = 300.0  # seconds until a cycle that could not be finished is tried again, at most


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The last cycle, as the health endpoint tells of it."""

    cycle: str
    outcome: str | None  # None: it was left unfinished
    reason: str
    at: datetime  # when it was over, UTC

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        return {"cycle": self.cycle, "outcome": self.outcome, "reason": self.reason, "at": self.at.isoformat(timespec="seconds")}


class Watched:
    """A project under watch."""

    def __init__(
        self,
        folder: Path,
        turn: threading.Lock,
        stopping: Callable[[], bool],
        over: Callable[[], None],
        *,
        rescheduled: Callable[[Watched], None],
    ) -> None:
        """`turn` is held while a cycle runs; `over` is called when the thread ends, `rescheduled` when settings were taken up.
        Raises `ConfigError`."""
        self.folder = Path(folder).expanduser().absolute()
        self._turn, self._stopping, self._over, self._rescheduled = turn, stopping, over, rescheduled
        self._settings = settings_stamp(self.folder)
        self.config, self.trigger = _settings(self.folder)
        self.name = self.config.project.name
        self.ended = False  # whether its thread has done its last
        self.running: tuple[str, str] | None = None  # cycle and stage
        self.last: Ended | None = None
        self._troubles: dict[str, str] = {}  # what is wrong, by what it is wrong with
        self._reason, self._scheduled, self._asked = START, False, threading.Event()
        self._again: tuple[float, str] | None = None  # when to try again, by the monotonic clock, and why it was to run
        self._failures, self._refused = 0, False  # in a row; whether it was said that somebody else is at work
        self._answered: Seen | None = None  # what had come when the last cycle began that came to an end
        self._labels, self._labels_due = "", 0.0
        self._begun = False  # whether a first cycle was tried
        self._looking: Project | None = None  # opened for looks only
        self._deliveries = Deliveries(self.folder)
        self.thread = threading.Thread(target=self._work, name=f"keepfit-watch-{self.name}", daemon=True)

    @property
    def trouble(self) -> str:
        """Why the project is failing, in words; empty while all is well."""
        return "; ".join(list(self._troubles.values()))

    def due(self) -> None:
        """The schedule says so: have a cycle run as soon as it is this project's turn. Asked twice meanwhile, it runs once."""
        self._scheduled = True
        self._asked.set()

    def wake(self) -> None:
        """Look now, or see that it is time to stop."""
        self._asked.set()

    # ---------------------------------------------------------------------------------------------------------- the thread

    def _work(self) -> None:
        try:
            while not self._stopping():
                try:
                    self._once()
                    self._clear("watching")
                except Exception as error:  # not foreseen; nothing may end the watch
                    self._trouble("watching", place_of(error))
                self._asked.wait(self.config.watch.look.total_seconds())
                self._asked.clear()
        finally:
            self.ended = True
            self._over()

    def _once(self) -> None:
        if not self._take_up_settings():
            return  # what is due waits until they are right again
        if self._again and time.monotonic() >= self._again[0]:
            self._reason = self._reason or self._again[1]
        if self._begun and not self._reason and self.config.watch.on_arrival:
            self._look()
        if self._reason or self._scheduled:
            with self._turn:
                if not self._stopping():
                    self._run()
        if not self._stopping():
            with contextlib.nullcontext() if self._deliveries.opened else self._turn:  # the first time imports
                self._deliveries.send(self.config)

    def _take_up_settings(self) -> bool:
        """Read keepfit.toml again where it has changed; returns whether it is right."""
        stamp = settings_stamp(self.folder)
        if stamp == self._settings and "settings" not in self._troubles:
            return True
        try:
            self.config, self.trigger = _settings(self.folder)
        except ConfigError as error:
            self._trouble("settings", str(error))
            return False
        self._clear("settings")
        self._settings, self._looking, self.name = stamp, None, self.config.project.name
        self._rescheduled(self)
        tell("settings_taken_up", project=self.name)
        return True

    # --------------------------------------------------------------------------------------------------------------- looks

    def _look(self) -> None:
        try:
            news = self._see().news(self._answered)
        except KeepfitError as error:
            self._trouble("looking", str(error))
            return
        self._clear("looking")
        self._reason = self._reason or news

    def _see(self) -> Seen:
        """Raises `Unavailable`."""
        if self._looking is None:
            self._looking = open(self.folder)
        ports, now = self._looking.ports, time.monotonic()
        if now >= self._labels_due:
            self._labels = look_at_labels(self.config, ports.label_files)
            self._labels_due = now + LABELS * self.config.watch.look.total_seconds()
        files, code = look_at_files(self.config, ports.inbox), look_at_code(self.config)
        return Seen(files=files, settings=self._settings, code=code, labels=self._labels)

    # --------------------------------------------------------------------------------------------------------------- cycles

    def _run(self) -> None:
        """Run one cycle, whatever comes of it."""
        reason = SCHEDULE if self._scheduled else self._reason
        self._scheduled, self._reason, self._again = False, "", None
        seen: Seen | None = None
        resume = reason == START and not self.config.watch.on_arrival  # then only [schedule] begins new ones
        began, self._begun = time.monotonic(), True
        try:
            with contextlib.suppress(KeepfitError):  # the cycle will say so
                seen = self._see()
            with open(self.folder) as project:
                cycle = project.run(resume=resume, watch=self._watcher(reason), stop=self._stopping)
            self._ended(cycle, time.monotonic() - began)
        except LeaseHeld as error:
            self._busy(error, reason)
        except Exception as error:
            if resume and isinstance(error, NotFound) and self.running is None:
                self._fine()  # there was nothing to go on with
            else:
                self._failed(error, reason)
        finally:
            self._answered, self.running = seen or self._answered, None
            forget_code(self.folder)

    def _watcher(self, reason: str) -> Watcher:
        def watch(stage: str, cycle: Cycle) -> None:
            if stage and self.running is None:
                after = {"after": cycle.stage} if cycle.stage else {}
                tell("cycle_began", project=self.name, cycle=cycle.id, why=reason, **after)
            if stage:
                self.running = cycle.id, stage

        return watch

    def _ended(self, cycle: Cycle, seconds: float) -> None:
        self._fine()
        self.last = Ended(cycle=cycle.id, outcome=cycle.outcome, reason=cycle.reason, at=datetime.now(UTC))
        if cycle.outcome is None:
            tell("cycle_left", project=self.name, cycle=cycle.id, after=cycle.stage, seconds=f"{seconds:.1f}")
            return
        if self.running is not None:  # not remembered from before
            facts = {"outcome": cycle.outcome, "seconds": f"{seconds:.1f}", "reason": cycle.reason}
            tell("cycle_ended", project=self.name, cycle=cycle.id, **facts)
        if cycle.outcome is Outcome.FAILED:
            self._troubles["cycle"] = cycle.reason

    def _fine(self) -> None:
        self._failures, self._refused = 0, False
        self._troubles.pop("cycle", None)

    def _busy(self, error: LeaseHeld, reason: str) -> None:
        """Somebody else works on the project: that is no trouble, and is said once."""
        if not self._refused:
            tell("busy", project=self.name, reason=error)
            self._refused = True
        self._try_again(reason)

    def _failed(self, error: Exception, reason: str) -> None:
        """Say it in a line. What may pass, and what must be finished, is tried again; the rest waits for a change or its time."""
        words = str(error) if isinstance(error, KeepfitError) else f"{type(error).__name__}: {error}"
        cycle, stage = self.running or (None, None)
        if cycle is not None or self._troubles.get("cycle") != words:
            ids: dict[str, Any] = {"cycle": cycle, "stage": stage} if cycle else {}
            tell("cycle_failed", project=self.name, **ids, error=place_of(error), reason=words)
        self._troubles["cycle"] = words
        if cycle is not None:
            self.last = Ended(cycle=cycle, outcome=Outcome.FAILED, reason=words, at=datetime.now(UTC))
        unfinished = stage in ONLY_FORWARD or (stage is None and not isinstance(error, ConfigError))
        if isinstance(error, Unavailable) or unfinished:
            self._try_again(reason)

    def _try_again(self, reason: str) -> None:
        """Later each time."""
        pause = min(LONGEST, self.config.watch.look.total_seconds() * 2**self._failures)
        self._failures = min(self._failures + 1, 30)
        self._again = time.monotonic() + pause, reason

    # ------------------------------------------------------------------------------------------------------------ troubles

    def _trouble(self, what: str, words: str) -> None:
        """Say it once; it holds until `_clear`."""
        if self._troubles.get(what) != words:
            tell("trouble", project=self.name, what=what, reason=words)
        self._troubles[what] = words

    def _clear(self, what: str) -> None:
        if self._troubles.pop(what, None) is not None:
            tell("mended", project=self.name, what=what)


def _settings(folder: Path) -> tuple[Config, Any | None]:
    """The settings and the trigger of their schedule. Raises `ConfigError`, also where there is nothing to wait for."""
    config = load(folder)
    trigger = trigger_of(config.schedule)
    if trigger is None and not config.watch.on_arrival:
        raise ConfigError(
            f"There is nothing to watch for in {folder}: set [schedule] in keepfit.toml, or say [watch] on_arrival = true."
        )
    return config, trigger
