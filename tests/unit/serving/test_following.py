from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keepfit.errors import ModelRefused
from keepfit.serving.control import OfficeAway
from keepfit.serving.desk import Served
from keepfit.serving.following import Follower
from keepfit.serving.plan import Placed, Plan, write_plan

ONE, TWO, THREE = (Placed(model="walk", version=number, folder=f"versions/{number}-a") for number in "123")


class Desk:
    """Notes what it is told to follow."""

    def __init__(self) -> None:
        self.served: Served | None = None
        self.problems: dict[str, str] = {"log": "not the follower's"}
        self.followed: list[tuple[str | None, tuple[str, ...]]] = []  # champion, and all that is loaded

    def follow(self, plan: Plan, loaded: dict[str, Served]) -> None:
        self.served = loaded[plan.champion.version] if plan.champion else None
        self.followed.append((plan.champion.version if plan.champion else None, tuple(sorted(loaded))))


class Office:
    """Hears what happened, once it is there."""

    def __init__(self) -> None:
        self.away, self.heard = 0, list[tuple[str, str]]()

    async def ask(self, act: str, **told: Any) -> None:
        if self.away:
            self.away -= 1
            raise OfficeAway()
        self.heard.append((act, told["version"]))


class Case:
    """A follower, and what happened to it."""

    def __init__(self, path: Path) -> None:
        self.desk, self.office, self.path = Desk(), Office(), path
        self.opened: list[str] = []
        self.broken: set[str] = set()
        self.follower = Follower(self.desk, path, self.load, self.office, "1")  # type: ignore[arg-type]

    def load(self, placed: Placed) -> Served:
        self.opened.append(placed.version)
        if placed.version in self.broken:
            raise ModelRefused("damaged")
        return Served(placed=placed, loaded=None, schema=None)  # type: ignore[arg-type]

    def look(self, plan: Plan) -> None:
        write_plan(plan, self.path)
        asyncio.run(self.follower.look())

    async def until(self, happened: Callable[[], bool]) -> None:
        running = asyncio.create_task(self.follower.run())
        async with asyncio.timeout(10):
            while not happened():
                await asyncio.sleep(0.001)
        running.cancel()


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path / "plan.json")


def test_without_a_plan_nothing_happens(case: Case) -> None:
    asyncio.run(case.follower.look())
    assert case.desk.followed == []


def test_an_office_that_gives_no_sign_of_life_is_told_of_until_it_does(case: Case) -> None:
    case.look(Plan(number=1, champion=ONE))
    assert "office" not in case.desk.problems
    os.utime(case.path, (1_772_366_400, case.path.stat().st_mtime))
    asyncio.run(case.follower.look())
    assert case.desk.problems["office"].startswith("silent since 2026-03-01 12:00:00 UTC")
    os.utime(case.path, (time.time(), case.path.stat().st_mtime))
    asyncio.run(case.follower.look())
    assert "office" not in case.desk.problems
    assert len(case.desk.followed) == 2, "once with the champion, once with all"


def test_an_office_that_never_wrote_a_plan_is_told_of_too(case: Case) -> None:
    asyncio.run(case.follower.look())
    assert "office" not in case.desk.problems, "it is just starting"
    case.follower._began -= 60
    asyncio.run(case.follower.look())
    assert case.desk.problems["office"].startswith("silent since")


def test_a_version_is_loaded_once_and_the_champion_first(case: Case) -> None:
    plan = Plan(number=1, champion=TWO, challenger=ONE, share=0.2, shadows=(THREE,))
    case.look(plan)
    case.look(replace(plan, number=2, share=0.3))
    assert case.opened == ["2", "1", "3"]
    assert case.desk.followed == [("2", ("2",)), ("2", ("1", "2", "3")), ("2", ("1", "2", "3"))]


def test_one_that_stands_by_is_loaded_and_not_asked(case: Case) -> None:
    case.look(Plan(number=1, champion=ONE, standby=TWO))
    assert case.opened == ["1", "2"]
    assert case.desk.followed[-1] == ("1", ("1",))
    case.look(Plan(number=2, champion=TWO))
    assert case.opened == ["1", "2"]
    assert case.desk.followed[-1] == ("2", ("2",))


def test_a_refused_champion_leaves_the_one_before_and_is_told_of(case: Case) -> None:
    case.look(Plan(number=1, champion=ONE))
    case.broken = {"2"}
    case.look(Plan(number=2, champion=TWO))
    assert case.desk.followed[-1] == ("1", ("1",))
    assert case.desk.problems == {"log": "not the follower's", "version 2": "is refused: damaged"}
    case.look(Plan(number=3, champion=TWO, share=0.1))
    assert case.opened == ["1", "2"], "not tried again as long as the plan goes on naming it"
    case.office.away = 1
    asyncio.run(case.until(lambda: len(case.office.heard) == 2))
    assert case.office.heard == [("serving", "1"), ("report", "2")]
    case.broken = set()
    case.look(Plan(number=4, champion=ONE))
    case.look(Plan(number=5, champion=TWO))
    assert case.desk.followed[-1] == ("2", ("2",))
    assert case.desk.problems == {"log": "not the follower's"}


def test_a_refused_shadow_harms_nobody(case: Case) -> None:
    case.broken = {"3"}
    case.look(Plan(number=1, champion=ONE, shadows=(THREE,)))
    assert case.desk.followed[-1] == ("1", ("1",))
    assert "version 3" in case.desk.problems


def test_a_torn_plan_is_left_alone(case: Case) -> None:
    case.look(Plan(number=1, champion=ONE))
    case.path.write_text('{"number": "many"')
    asyncio.run(case.follower.look())
    assert len(case.desk.followed) == 1
    case.look(Plan(number=2, champion=TWO))
    assert case.desk.followed[-1] == ("2", ("2",))


def test_without_a_champion_nobody_answers(case: Case) -> None:
    case.look(Plan(number=1, champion=ONE))
    case.look(Plan(number=2))
    assert case.desk.followed[-1] == (None, ())
