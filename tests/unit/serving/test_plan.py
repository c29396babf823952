from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from keepfit.live_records import ApiKey, Scope
from keepfit.serving.plan import Placed, Plan, read_plan, write_plan
from keepfit.serving.planning import RETRY, Planner, Routes

ONE, TWO, THREE = (Placed(model="walk", version=number, folder=f"versions/{number}-a") for number in "123")
KEY = ApiKey(name="shop", digest="0" * 64, scopes=(Scope.PREDICT,), created_at=datetime(2026, 3, 1, tzinfo=UTC))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def planner(tmp_path: Path, clock: Clock) -> Planner:
    return Planner(path=tmp_path / "plan.json", last=tmp_path / "last.json", clock=clock)


def followed(planner: Planner) -> Plan:
    plan = read_plan(planner.path)
    assert plan is not None
    assert plan == planner.plan
    return plan


def in_service(planner: Planner, placed: Placed) -> None:
    planner.champion(placed)
    assert planner.answered(placed.version)


def test_a_plan_survives_its_file(tmp_path: Path) -> None:
    plan = Plan(number=3, champion=ONE, challenger=TWO, share=0.2, shadows=(THREE,), keys=(KEY,), notes={"registry": "away"})
    write_plan(plan, tmp_path / "plan.json")
    assert read_plan(tmp_path / "plan.json") == plan
    assert (tmp_path / "plan.json").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]
    assert read_plan(tmp_path / "none.json") is None


def test_the_plan_is_replaced_only_when_something_changed(planner: Planner) -> None:
    planner.champion(ONE)
    planner.champion(ONE)
    planner.notes({})
    assert followed(planner) == Plan(number=1, champion=ONE)
    planner.routes(Routes(challenger=TWO, share=0.2, sticky="user", salt="s", shadows=(THREE,)))
    planner.keys((KEY,))
    planner.notes({"ledger": "away"})
    assert followed(planner) == Plan(
        number=4,
        champion=ONE,
        challenger=TWO,
        share=0.2,
        sticky="user",
        salt="s",
        shadows=(THREE,),
        keys=(KEY,),
        notes={"ledger": "away"},
    )


def test_a_refused_champion_leaves_the_one_before_in_service(planner: Planner, clock: Clock) -> None:
    in_service(planner, ONE)
    planner.champion(TWO)
    assert planner.refused("2", "damaged") == TWO
    assert planner.refused("2", "damaged") is None, "told once"
    plan = followed(planner)
    assert plan.champion == ONE
    assert plan.notes == {"version 2": "cannot be served: damaged"}
    clock.now = RETRY
    assert planner.due() == [TWO]
    assert planner.due() == []
    planner.champion(TWO)
    assert followed(planner).champion == TWO, "tried again"
    assert planner.refused("2", "damaged") == TWO
    clock.now += RETRY
    assert planner.due() == [], "later each time"
    assert followed(planner).champion == ONE


def test_a_refused_version_is_tried_at_once_when_somebody_points_to_it_anew(planner: Planner) -> None:
    in_service(planner, ONE)
    planner.champion(TWO)
    planner.refused("2", "damaged")
    planner.champion(ONE)
    assert followed(planner).notes == {}
    planner.champion(TWO)
    assert followed(planner).champion == TWO


def test_a_champion_that_was_never_in_service_is_not_gone_back_to(planner: Planner) -> None:
    in_service(planner, ONE)
    planner.champion(TWO)
    planner.champion(THREE)
    planner.refused("3", "damaged")
    assert followed(planner).champion == ONE


def test_a_refused_challenger_falls_away_alone(planner: Planner) -> None:
    in_service(planner, ONE)
    planner.routes(Routes(challenger=TWO, share=0.5, shadows=(THREE,)))
    planner.refused("2", "damaged")
    plan = followed(planner)
    assert (plan.champion, plan.challenger, plan.share, plan.shadows) == (ONE, None, 0.0, (THREE,))


def test_who_became_champion_is_no_challenger_beside_itself(planner: Planner) -> None:
    planner.champion(ONE)
    planner.routes(Routes(challenger=TWO, share=0.5, shadows=(ONE, THREE)))
    planner.champion(TWO)
    assert (followed(planner).challenger, followed(planner).share) == (None, 0.0)
    planner.champion(ONE)
    assert followed(planner).shadows == (THREE,)


def test_an_alias_that_was_taken_away_leaves_no_champion(planner: Planner) -> None:
    in_service(planner, ONE)
    planner.champion(None)
    assert followed(planner).champion is None


def test_only_what_was_in_service_is_kept_for_the_next_start(planner: Planner, tmp_path: Path) -> None:
    planner.champion(ONE)
    assert read_plan(planner.last) is None
    planner.answered("1")
    planner.notes({"registry": "away"})
    planner.champion(TWO)
    planner.answered("1")
    assert read_plan(planner.last) == Plan(champion=ONE)
    planner.answered("2")
    kept = read_plan(planner.last)
    assert kept == Plan(champion=TWO)
    assert kept is not None
    again = Planner(path=tmp_path / "again.json", last=planner.last, plan=kept)
    again.notes({})
    assert followed(again).champion == TWO
