from __future__ import annotations

import errno
import os
import time
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


def test_a_plan_is_its_owners_alone_from_the_first_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    replaced = Path.replace

    def look(temporary: Path, target: Path) -> Path:
        seen.append(temporary.stat().st_mode & 0o777)
        return replaced(temporary, target)

    monkeypatch.setattr(Path, "chmod", lambda *_: pytest.fail("it could be read until now"))
    monkeypatch.setattr(Path, "replace", look)
    write_plan(Plan(keys=(KEY,)), tmp_path / "plan.json")
    assert seen == [0o600]


def test_a_full_disk_ends_nothing_and_the_plan_follows_once_there_is_room(
    planner: Planner, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    in_service(planner, ONE)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as disk:
        disk.setattr("keepfit.serving.planning.write_plan", full)
        planner.champion(TWO)
        planner.notes({"log": "no room"})
        assert planner.plan.champion == TWO
        assert "No space left" in planner.unwritten
        assert read_plan(planner.path).champion == ONE  # type: ignore[union-attr]
        assert capfd.readouterr().err.count("plan_unwritten") == 1
    planner.notes({"log": "no room"})
    assert followed(planner).champion == TWO
    assert not planner.unwritten


def test_a_sign_of_life_is_no_new_plan_and_is_missing_while_the_plan_is_behind(
    planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    planner.champion(ONE)
    os.utime(planner.path, (1000, 2000))
    planner.live()
    state = planner.path.stat()
    assert (state.st_mtime, time.time() - state.st_atime < 60) == (2000, True)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("keepfit.serving.planning.write_plan", full)
    os.utime(planner.path, (1000, 2000))
    planner.champion(TWO)
    planner.live()
    assert planner.path.stat().st_atime == 1000


def test_the_plan_is_replaced_only_when_something_changed(planner: Planner) -> None:
    planner.champion(ONE)
    before = planner.path.stat()
    planner.champion(ONE)
    planner.notes({})
    assert planner.path.stat() == before
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


def test_an_alias_that_was_taken_away_leaves_who_answered_in_service_until_it_is_back(planner: Planner) -> None:
    planner.champion(None)
    assert followed(planner).champion is None, "nobody has answered yet"
    in_service(planner, ONE)
    assert planner.champion(None)
    assert not planner.champion(None), "news once"
    assert followed(planner).champion == ONE
    assert ONE.folder in planner.folders
    planner.champion(TWO)
    assert followed(planner).champion == TWO


def test_one_that_was_pointed_to_and_never_answered_is_not_kept_when_the_alias_goes(planner: Planner) -> None:
    in_service(planner, ONE)
    planner.champion(TWO)
    planner.champion(None)
    assert followed(planner).champion == ONE


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
