"""The office: a process beside the workers that does everything which takes time.

It follows the registry's alias and the routing, fetches versions into the cache and writes the plan; it drains the spools into
the log, looks after probation, and does for the workers and the command line what they ask of it (see `control`). Each of these
has a thread and a project of its own, so that a registry, a ledger or a store that is away or slow holds up nothing else.

Usage: python -m keepfit.serving.office PROJECT RUN LIFELINE FLAGS
"""

from __future__ import annotations

import contextlib
import functools
import json
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keepfit import alerting
from keepfit.courier import Courier
from keepfit.courier import tell as tell_people
from keepfit.errors import KeepfitError, LeaseHeld, NotFound, Unavailable
from keepfit.live.keys import keys
from keepfit.live.servers import SERVING
from keepfit.live_ports import REQUEST, Shelved
from keepfit.project import Project, open
from keepfit.records import Alert
from keepfit.serving import lifeline
from keepfit.serving.cache import Cache
from keepfit.serving.control import LOOKS, ControlServer
from keepfit.serving.duties import Duty
from keepfit.serving.keeping import Kept
from keepfit.serving.plan import Placed, Plan, read_plan
from keepfit.serving.planning import LAST, Planner, Routes, facts
from keepfit.telling import tell

TICK = 0.25  # seconds between two looks at what is away
ROUTES, DRAIN, OVERSEE, NEWEST, TIDY = 0.5, 1.0, 2.0, 1.0, 60.0  # seconds between two times
COSTLY = ("comparison", "performance")  # looks through the log, which may be asked for often
LEASE = 1.0  # seconds that an act waits for a lease that is held for a moment
LAST_DRAIN = 10.0  # seconds that the last drain may take


class Office:
    """The office of one server."""

    def __init__(self, folder: Path, run: Path, flags: dict[str, Any]) -> None:
        self._folder, self._flags = folder, flags
        root = folder / SERVING
        root.mkdir(parents=True, exist_ok=True)
        self._planner = Planner(path=run / "plan.json", last=root / LAST, plan=_begin(run / "plan.json", root / LAST))
        self._registry, self._state, self._log, self._overseer, self._desk = (self._open() for _ in range(5))
        self._cache = Cache(root / "versions", self._registry.ports.shelf)
        self._alias = self._registry.config.promote.alias
        self._newest_due = 0.0
        self._notes: dict[str, str] = {}  # on the routing
        self._gone: Alert | None = None  # as long as an alias that was there is not
        self._told: Alert | None = None  # the last of these that people were told
        self._placed: dict[str, Placed] = {}  # of the versions that routes name, by number
        self._follow = Duty("registry", self._registry.config.serve.poll.total_seconds(), self._follow_registry)
        self._routing = Duty("ledger", ROUTES, self._follow_ledger)
        self._draining = Duty("log", DRAIN, self._drain, heavy=True)
        self._overseeing = Duty("probation", OVERSEE, self._oversee, heavy=True)
        self._tidying = Duty("tidying", TIDY, self._tidy)
        self._duties = (self._follow, self._routing, self._draining, self._overseeing, self._tidying)
        self._telling = Duty("plan", TICK, self._tell_troubles)
        self._following = False
        self._kept = Kept()
        self._warming = threading.Thread(target=self._warm, name="keepfit-warming", daemon=True)
        self._control = ControlServer(run / "office", self._acts())

    def work(self, stop: threading.Event) -> None:
        """Until `stop`; then drain the log once more, for a bounded time."""
        everything = (*self._duties, self._telling)
        for duty in everything:
            duty.start()
        stop.wait()
        for duty in everything:
            duty.stop()
        self._control.close()
        if self._draining.join(LAST_DRAIN):
            last = threading.Thread(target=self._drain_quietly, daemon=True)
            last.start()
            last.join(LAST_DRAIN)

    # -------------------------------------------------------------------------------------------------------------- duties

    def _follow_registry(self) -> None:
        """Where the alias points, and whether it is time to try a refused version again."""
        shelf = self._registry.ports.shelf
        pointed = shelf.pointed(self._alias)
        placed = self._cache.place(pointed) if pointed else None
        if not self._following:
            self._following = True
            tell("following", alias=self._alias)
            self._warming.start()
        if self._planner.champion(placed):
            tell("plan", **facts(self._planner.plan))
            self._routing.nudge()
        self._note_alias(placed)
        for refused in self._planner.due():
            self._cache.replace(shelf.version(refused.version))
            self._planner.champion(placed)
        if time.monotonic() >= self._newest_due:
            self._newest_due = time.monotonic() + NEWEST
            self._fetch_newest()

    def _note_alias(self, placed: Placed | None) -> None:
        """Whoever answered goes on when the alias is taken away."""
        champion, project = self._planner.plan.champion, self._registry
        if placed is not None or champion is None:
            self._gone = None
        elif self._gone is None:
            now = project.ports.clock.now()
            self._gone = alerting.alias_gone(self._alias, champion.version, project.config.project.name, now)
            tell("alias_gone", alias=self._alias, version=champion.version)

    def _fetch_newest(self) -> None:
        """Whoever was registered last may be promoted next."""
        with contextlib.suppress(NotFound, Unavailable):  # it may be half made; when it is promoted, it is looked at again
            newest, champion = self._registry.ports.shelf.newest(), self._planner.plan.champion
            if newest is not None:
                placed = self._cache.place(newest)
                later = champion is not None and int(newest.version) > int(champion.version)
                self._planner.standby(placed if later else None)

    def _follow_ledger(self) -> None:
        """Who else is asked, and whose requests are answered."""
        project = self._state
        self._planner.keys(keys(project.ports, project.config))
        if project.config.serve.model:
            return  # it answers alone
        routes = project.live.routes()
        self._notes = {"routing": "; ".join(routes.notes)} if routes.notes else {}
        shelf, champion = project.ports.shelf, self._planner.plan.champion
        if champion is None or routes.champion != champion.version:
            return  # one of the two has not seen yet that the alias moved
        placed = {version: self._place(version, shelf.version) for version in {routes.challenger, *routes.shadows} if version}
        self._planner.routes(
            Routes(
                challenger=placed.get(routes.challenger or ""),
                share=routes.share,
                sticky=routes.sticky,
                salt=routes.salt,
                shadows=tuple(placed[version] for version in routes.shadows),
            )
        )

    def _place(self, version: str, find: Callable[[str], Shelved]) -> Placed:
        known = self._placed.get(version)
        if known is None or not Path(known.folder).is_dir():
            known = self._placed[version] = self._cache.place(find(version))
        return known

    def _drain(self) -> None:
        self._log.ports.log.drain()

    def _drain_quietly(self) -> None:
        with contextlib.suppress(KeepfitError):  # what is left is drained by the next start, or another server
            self._drain()

    def _oversee(self) -> None:
        """One look at probation; what came of it is told to people."""
        gone = self._gone
        if gone is not None and gone is not self._told:
            tell_people([gone], self._overseer.ports, self._overseer.config)
            self._told = gone
        if not self._overseer.config.serve.model:  # one version in a folder is no promotion, and knows of none
            self._overseer.live.oversee()
        Courier(self._overseer.ports, self._overseer.config).start()

    def _tidy(self) -> None:
        for name in self._cache.tidy(self._planner.folders):
            tell("forgotten", version=name)
        ports = self._log.ports
        ports.log.drain()  # a label on its way keeps its row
        ports.log.tidy(ports.clock.now(), ports.spans.taken()[REQUEST])

    def _tell_troubles(self) -> None:
        troubles = {duty.name: trouble for duty in self._duties if (trouble := duty.trouble)}
        gone = {"alias": self._gone.text} if self._gone else {}
        self._planner.notes(self._notes | gone | troubles)
        self._planner.live()

    # ---------------------------------------------------------------------------------------------------------------- acts

    def _acts(self) -> dict[str, Callable[..., Any]]:
        return {
            **{name: functools.partial(self._ask_live, name) for name in LOOKS},
            "versions": lambda: self._planner.plan,
            "set_routing": self._set_routing,
            "rollback": lambda **told: self._moved(self._desk.rollback, **told),
            "promote": lambda **told: self._moved(self._desk.promote, **told),
            "report": self._refuse,
            "serving": self._answered,
        }

    def _warm(self) -> None:
        """Whoever takes a model back is in a hurry: what that needs is imported and opened before."""
        with contextlib.suppress(KeepfitError):
            champion = self._desk.ports.registry.champion()
            if champion is not None:
                self._desk.ports.registry.load(champion.version)

    def _ask_live(self, name: str, **told: Any) -> Any:
        look = functools.partial(getattr(self._desk.live, name), **told)
        return self._kept.answer((name, *told.items()), look) if name in COSTLY else look()

    def _moved(self, move: Callable[..., Any], **told: Any) -> Any:
        """Move the alias, and have it followed at once. People are told meanwhile."""
        promotion = _patiently(lambda: move(**told, here=True))
        self._kept.forget()
        self._follow.nudge()
        Courier(self._desk.ports, self._desk.config).start()
        return promotion

    def _set_routing(self, **told: Any) -> Any:
        routing = _patiently(lambda: self._desk.live.set_routing(**told))
        self._kept.forget()
        self._routing.nudge()
        return routing

    def _refuse(self, version: str, error: str) -> None:
        """A worker cannot load a version."""
        placed = self._planner.refused(version, error)
        if placed is None:
            return
        tell("refused", version=version, folder=Path(placed.folder).name)
        ports, config = self._desk.ports, self._desk.config
        alert = alerting.refused(version, Path(placed.folder).name, error, config.project.name, ports.clock.now())
        tell_people([alert], ports, config)
        Courier(ports, config).start()

    def _answered(self, version: str, number: int) -> None:
        """A worker answers with a new champion."""
        if self._planner.answered(version):
            tell("serving", version=version, plan=number)

    def _open(self) -> Project:
        return open(self._folder, flags=self._flags)


def _begin(path: Path, last: Path) -> Plan:
    """The plan to go on from: this server's own, when the office was killed, or the last of any."""
    for each in (path, last):
        with contextlib.suppress(ValueError, OSError):
            plan = read_plan(each)
            if plan is not None and (plan.champion is None or Path(plan.champion.folder).is_dir()):
                return plan
    return Plan()


def _patiently(act: Callable[[], Any]) -> Any:
    """The lease may be held for a moment, by probation's overseer here or in another replica."""
    deadline = time.monotonic() + LEASE
    while True:
        try:
            return act()
        except LeaseHeld:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def main() -> None:
    folder, run, descriptor, flags = sys.argv[1:]
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    lifeline.hold(int(descriptor), 2 * LAST_DRAIN + 5)
    Office(Path(folder), Path(run), json.loads(flags)).work(stop)


if __name__ == "__main__":
    main()
