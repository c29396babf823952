"""What the office knows, put together as the plan that the workers follow."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from keepfit.live_records import ApiKey
from keepfit.serving.plan import Placed, Plan, write_plan
from keepfit.telling import place_of, tell

RETRY = 30.0  # seconds until a refused version is tried again; doubled each time
LONGEST_RETRY = 600.0
LAST = "last.json"  # the plan that a worker has last followed, beside the cache


@dataclass(frozen=True, kw_only=True)
class Routes:
    """Who answers beside the champion, and who does so silently."""

    challenger: Placed | None = None
    share: float = 0.0
    sticky: str | None = None
    salt: str = ""
    shadows: tuple[Placed, ...] = ()


@dataclass
class _Refusal:
    why: str
    until: float  # by the monotonic clock
    wait: float
    told: bool = False  # whether it was said that it is time to try again


@dataclass
class Planner:
    """Keeps the plan at `path`. Several threads tell it what they found; whenever that changes something, the plan is replaced.

    Where a new champion was refused, or nobody is pointed to any more, the last one that answered stays in the plan, until the
    registry points to another one or it is time to try again.
    """

    path: Path  # of the plan that this server's workers follow
    last: Path  # of the last plan that some worker followed, for the next start
    plan: Plan = field(default_factory=Plan)  # where to go on from
    clock: Callable[[], float] = time.monotonic
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _refused: dict[str, _Refusal] = field(default_factory=dict)  # by folder
    unwritten: str = ""  # why the file is behind; empty: it is not
    _kept: str = ""  # what was last written for the next start
    _behind: bool = False  # whether the file is not what the plan is

    def __post_init__(self) -> None:
        self._pointed = self._good = self.plan.champion
        self._routes = Routes(
            challenger=self.plan.challenger,
            share=self.plan.share,
            sticky=self.plan.sticky,
            salt=self.plan.salt,
            shadows=self.plan.shadows,
        )
        self._standby = self.plan.standby
        self._keys = self.plan.keys
        self._notes: dict[str, str] = {}

    def champion(self, placed: Placed | None) -> bool:
        """The registry points to this version, or to none; returns whether that is news."""
        with self._lock:
            news = placed != self._pointed
            if news and self._pointed is not None:
                self._refused.pop(self._pointed.folder, None)  # when somebody points to it again, it is tried again
            self._pointed = placed
            self._publish()
            return news

    def standby(self, placed: Placed | None) -> None:
        """Which version may be the next champion."""
        with self._lock:
            self._standby = placed
            self._publish()

    def routes(self, routes: Routes) -> None:
        """Who else is asked."""
        with self._lock:
            self._routes = routes
            self._publish()

    def keys(self, keys: tuple[ApiKey, ...]) -> None:
        """Whose requests are answered."""
        with self._lock:
            self._keys = keys
            self._publish()

    def notes(self, notes: Mapping[str, str]) -> None:
        """What is away, and since when."""
        with self._lock:
            self._notes = dict(notes)
            self._publish()

    def live(self) -> None:
        """A sign of life for the workers: the time at which the file was last looked at. There is none while it is behind."""
        with self._lock, contextlib.suppress(OSError):
            if not self._behind:
                os.utime(self.path, ns=(time.time_ns(), self.path.stat().st_mtime_ns))

    def refused(self, version: str, why: str) -> Placed | None:
        """A worker cannot load this version; returns it when that is news."""
        with self._lock:
            placed = next((each for each in self._named() if each.version == version), None)
            if placed is None:
                return None
            before = self._refused.get(placed.folder)
            if before is not None and self.clock() < before.until:
                return None
            wait = min(LONGEST_RETRY, 2 * before.wait) if before else RETRY
            self._refused[placed.folder] = _Refusal(why, self.clock() + wait, wait)
            self._publish()
            return placed

    def due(self) -> list[Placed]:
        """Refused versions that it is time to try again, each told once."""
        with self._lock:
            found = []
            for placed in self._named():
                refusal = self._refused.get(placed.folder)
                if refusal is not None and not refusal.told and self.clock() >= refusal.until:
                    refusal.told = True
                    found.append(placed)
            return found

    def answered(self, version: str) -> bool:
        """A worker has this champion in service; returns whether that is news."""
        with self._lock:
            champion = self.plan.champion
            if champion is None or champion.version != version:
                return False
            news, self._good = champion != self._good, champion
            if self._pointed == champion:
                self._refused.pop(champion.folder, None)
            self._keep()
            return news

    @property
    def folders(self) -> set[str]:
        """Of the versions that are in use."""
        with self._lock:
            placed = (*self._named(), self._good, self.plan.champion)
            return {each.folder for each in placed if each is not None}

    # ------------------------------------------------------------------------------------------------------------ writing

    def _named(self) -> list[Placed]:
        routes = self._routes
        return [each for each in (self._pointed, routes.challenger, *routes.shadows, self._standby) if each is not None]

    def _publish(self) -> None:
        notes = dict(self._notes)
        notes |= {f"version {each.version}": self._refusal(each) for each in self._named() if self._is_refused(each)}
        routes = self._routes
        champion = self._good if self._pointed is None or self._is_refused(self._pointed) else self._pointed
        challenger = routes.challenger
        if challenger is not None and (self._is_refused(challenger) or challenger == champion):
            challenger = None
        told = Plan(
            number=self.plan.number,
            champion=champion,
            challenger=challenger,
            share=routes.share if challenger else 0.0,
            sticky=routes.sticky,
            salt=routes.salt,
            shadows=tuple(each for each in routes.shadows if not self._is_refused(each) and each != champion),
            standby=None if self._standby is None or self._is_refused(self._standby) else self._standby,
            keys=self._keys,
            notes=notes,
        )
        if told != self.plan or not self.path.exists():
            self.plan, self._behind = replace(told, number=self.plan.number + 1), True
        if self._behind:
            self._write()

    def _write(self) -> None:
        """On a full disk the workers go on by the plan that they have; the next time tries again."""
        try:
            write_plan(self.plan, self.path)
        except OSError as error:
            if not self.unwritten:
                tell("plan_unwritten", error=place_of(error))
            self.unwritten = f"{self.path} cannot be written: {error.strerror or error}"
            return
        self._behind, self.unwritten = False, ""

    def _is_refused(self, placed: Placed) -> bool:
        refusal = self._refused.get(placed.folder)
        return refusal is not None and self.clock() < refusal.until

    def _refusal(self, placed: Placed) -> str:
        return f"cannot be served: {self._refused[placed.folder].why}"

    def _keep(self) -> None:
        """For the next start, which may find the registry away. Nothing of now depends on it."""
        kept = replace(self.plan, number=0, notes={})
        if repr(kept) != self._kept:
            with contextlib.suppress(OSError):
                write_plan(kept, self.last)
                self._kept = repr(kept)


def facts(plan: Plan) -> dict[str, Any]:
    """What a line about a plan tells."""
    return {
        "plan": plan.number,
        "champion": plan.champion.version if plan.champion else "none",
        "challenger": plan.challenger.version if plan.challenger else "none",
        "shadows": ",".join(placed.version for placed in plan.shadows) or "none",
    }
