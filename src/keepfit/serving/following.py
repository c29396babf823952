"""How a worker follows the plan: what is missing is loaded beside what answers, then both are swapped in one step.

A version that cannot be loaded is refused and the office told of it; who answered before goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from keepfit.errors import KeepfitError
from keepfit.serving.control import Office
from keepfit.serving.desk import Desk, Served
from keepfit.serving.plan import Placed, Plan, read_plan
from keepfit.telling import place_of, tell

LOOK = 0.02  # seconds between two looks at the plan
SILENT = 5.0  # seconds without a sign of life of the office after which that is said
AGAIN = 1.0  # seconds after which the office is told again when it was away

Load = Callable[[Placed], Served]


class Follower:
    """Keeps a desk in step with the plan at `path`."""

    def __init__(self, desk: Desk, path: Path, load: Load, office: Office, worker: str) -> None:
        self._desk, self._path, self._load, self._office, self._worker = desk, path, load, office, worker
        self._began = time.time()
        self._seen: tuple[int, ...] | None = None
        self._loaded: dict[str, Served] = {}  # by folder
        self._refused: dict[str, str] = {}  # folder -> why, as long as the plan names it
        self._news: asyncio.Queue[dict[str, Any]] = asyncio.Queue()  # for the office

    async def run(self) -> None:
        """Follow until cancelled."""
        telling = asyncio.create_task(self._tell_office())
        try:
            while True:
                await self.look()
                await asyncio.sleep(LOOK)
        finally:
            telling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await telling

    async def look(self) -> None:
        """Do what the plan says, if it says something new."""
        self._note_silence()
        seen = _state(self._path)
        if seen is None or seen == self._seen:
            return
        try:
            plan = read_plan(self._path)
        except ValueError as error:
            tell("plan_unreadable", worker=self._worker, error=place_of(error))
            plan = None
        self._seen = seen
        if plan is not None:
            await self._follow(plan)

    def _note_silence(self) -> None:
        """An office that hangs, or cannot write, tells nobody so itself."""
        heard = _heard(self._path) or self._began
        if time.time() - heard <= SILENT:
            self._desk.problems.pop("office", None)
            return
        since = datetime.fromtimestamp(heard, UTC)
        self._desk.problems["office"] = f"silent since {since:%Y-%m-%d %H:%M:%S} UTC: no promotion, routing or key is followed"

    async def _follow(self, plan: Plan) -> None:
        """The champion first: who only listens, or shares the traffic, must not hold it up."""
        named = {placed.folder: placed for placed in _named(plan)}
        self._refused = {folder: why for folder, why in self._refused.items() if folder in named}
        if plan.champion is not None and plan.champion.folder not in self._loaded:
            await self._fetch(plan.champion)
        self._swap(plan)
        missing = [placed for placed in named.values() if placed.folder not in self._loaded]
        for placed in missing:
            if _state(self._path) != self._seen:
                return  # there is a newer plan
            await self._fetch(placed)
        if missing:
            self._swap(plan)

    async def _fetch(self, placed: Placed) -> None:
        """Load a version in a thread, while others answer."""
        if placed.folder in self._refused:
            return
        try:
            self._loaded[placed.folder] = await asyncio.to_thread(self._load, placed)
        except Exception as error:  # whatever is wrong with it, the others serve on
            why = str(error) if isinstance(error, KeepfitError) else place_of(error)
            self._refused[placed.folder] = why
            tell("refused", worker=self._worker, version=placed.version, error=type(error).__name__)
            self._news.put_nowait({"act": "report", "version": placed.version, "error": why})

    def _swap(self, plan: Plan) -> None:
        """All at once, between two turns of the event loop."""
        desk = self._desk
        before = desk.served.placed if desk.served else None
        champion = plan.champion
        if champion is not None and champion.folder not in self._loaded:
            champion = before  # refused: whoever answered goes on
        can = replace(plan, champion=champion)
        keep = {placed.folder for placed in _named(can)}
        self._loaded = {folder: served for folder, served in self._loaded.items() if folder in keep}
        self._tell_problems(plan)
        asked = {placed.folder for placed in _named(replace(can, standby=None))}
        desk.follow(can, {served.placed.version: served for folder, served in self._loaded.items() if folder in asked})
        after = desk.served.placed if desk.served else None
        if after != before:
            tell("swap", worker=self._worker, version=after.version if after else "none", plan=plan.number)
        if after is not None and after == plan.champion:
            self._news.put_nowait({"act": "serving", "version": after.version, "number": plan.number})

    def _tell_problems(self, plan: Plan) -> None:
        """What was refused, for /ready."""
        problems = self._desk.problems
        refused = {f"version {placed.version}": self._refused.get(placed.folder) for placed in _named(plan)}
        for name in [name for name in problems if name.startswith("version ") and not refused.get(name)]:
            del problems[name]
        problems.update({name: f"is refused: {why}" for name, why in refused.items() if why})

    async def _tell_office(self) -> None:
        """Tell what happened, in its order, until the office has heard it."""
        while True:
            news = await self._news.get()
            while True:
                try:
                    await self._office.ask(**news)
                    break
                except KeepfitError:
                    await asyncio.sleep(AGAIN)


def _named(plan: Plan) -> Iterable[Placed]:
    return (placed for placed in (plan.champion, plan.challenger, *plan.shadows, plan.standby) if placed is not None)


def _heard(path: Path) -> float | None:
    """When the office last gave a sign of life, in seconds since 1970; None before the first plan. See `Planner.live`."""
    try:
        return path.stat().st_atime
    except FileNotFoundError:
        return None


def _state(path: Path) -> tuple[int, ...] | None:
    """What changes when the file is replaced; None where there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
