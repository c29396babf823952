"""Who answers, together with whom, and what is written down before an answer leaves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from keepfit.errors import DataError, NotFound, Unavailable, UserCodeError
from keepfit.inputs import Inputs
from keepfit.live_ports import Labelled, Logged, Shadowed
from keepfit.serve_settings import LogSettings, Serve
from keepfit.serving.answers import Answer
from keepfit.serving.desk import CHUNK, MOST_SILENT, Answered, Desk, Served
from keepfit.serving.plan import Placed, Plan
from keepfit.settings import Column


class Paper:
    """A spool in memory, which can be full."""

    def __init__(self) -> None:
        self.writes: list[list[Logged | Shadowed | Labelled]] = []
        self.full = self.closed = self.broken = False
        self.threads: set[str] = set()

    def write(self, rows: Sequence[Logged | Shadowed | Labelled]) -> None:
        self.threads.add(threading.current_thread().name)
        if self.broken:
            raise OSError("input/output error")
        self.check()
        self.writes.append(list(rows))

    def check(self) -> None:
        if self.full:
            raise Unavailable("the disk is full")

    def close(self) -> None:
        self.closed = True

    def all(self, kind: type) -> list[Any]:
        return [row for write in self.writes for row in write if isinstance(row, kind)]


class Oracle:
    """A model that answers with its own name and what it was asked."""

    def __init__(self, name: str, *, quick: bool = True, together: bool = True, columns: tuple[str, ...] = ("x",)) -> None:
        kinds = {column: Column(type="number") for column in columns}
        self.inputs = Inputs(task="classification", target="y", columns=kinds)
        self.name, self.quick, self.together = name, quick, together
        self.short = False
        self.batches: list[int] = []
        self.tops: list[int] = []
        self.go = threading.Event()
        self.go.set()

    def answer(self, rows: Sequence[dict[str, Any]], top: int = 0) -> list[Answer]:
        assert self.go.wait(10)
        self.batches.append(len(rows))
        self.tops.append(top)
        if any(row["x"] == -1 for row in rows):
            raise DataError("this one cannot be answered")
        if self.short:
            return []
        return [Answer(f"{self.name}:{row['x']}", 0.75, None, ()) for row in rows]


def served(oracle: Oracle) -> Served:
    return Served(placed=placed(oracle), loaded=oracle, schema=None)


def placed(oracle: Oracle) -> Placed:
    return Placed(model="m", version=oracle.name, folder="/nowhere")


def desk_of(champion: Oracle, paper: Paper, *others: Oracle, plan: dict[str, Any] | None = None, **log: Any) -> Desk:
    desk = Desk("demo", paper, Serve(log=LogSettings(**log)))
    everybody = {each.name: served(each) for each in (champion, *others)}
    desk.follow(Plan(number=1, champion=placed(champion), **plan or {}), everybody)
    return desk


def play(scene: Callable[[], Awaitable[Any]]) -> Any:
    async def within() -> Any:
        return await asyncio.wait_for(scene(), 20)

    return asyncio.run(within())


def test_what_arrives_together_is_answered_together_and_written_in_one_go() -> None:
    oracle, paper = Oracle("1"), Paper()

    async def scene() -> list[Answered]:
        desk = desk_of(oracle, paper)
        return await asyncio.gather(*(desk.predict({"x": number}) for number in range(16)))

    found = play(scene)
    assert [each.answer.prediction for each in found] == [f"1:{number}" for number in range(16)]
    assert oracle.batches == [16]
    assert [len(write) for write in paper.writes] == [16]
    assert [row.request_id for row in paper.all(Logged)] == [each.request_id for each in found]
    assert len({each.request_id for each in found}) == 16
    assert all(row.inputs == {"x": number} and row.score == 0.75 for number, row in enumerate(paper.all(Logged)))


def test_an_answer_is_written_down_before_it_leaves() -> None:
    paper = Paper()

    async def scene() -> None:
        desk = desk_of(Oracle("1"), paper)
        answered = await desk.predict({"x": 1})
        assert answered.logged
        assert [row.request_id for row in paper.all(Logged)] == [answered.request_id]

    play(scene)


def test_while_a_slow_model_is_at_work_the_next_batch_grows() -> None:
    oracle, paper = Oracle("1", quick=False), Paper()
    oracle.go.clear()

    async def scene() -> None:
        desk = desk_of(oracle, paper)
        first = asyncio.ensure_future(desk.predict({"x": 0}))
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # the first is on its way into the thread
        others = [asyncio.ensure_future(desk.predict({"x": number})) for number in range(1, 6)]
        await asyncio.sleep(0)
        oracle.go.set()
        await asyncio.gather(first, *others)
        await desk.close()

    play(scene)
    assert oracle.batches == [1, 5]


def test_rows_of_different_requests_stay_apart_where_the_project_prepares_them() -> None:
    oracle = Oracle("1", quick=False, together=False)

    async def scene() -> None:
        desk = desk_of(oracle, Paper())
        await asyncio.gather(*(desk.predict({"x": number}) for number in range(4)))
        await desk.close()

    play(scene)
    assert oracle.batches == [1, 1, 1, 1]


def test_a_row_that_cannot_be_answered_spoils_no_other() -> None:
    paper = Paper()

    async def scene() -> list[Any]:
        desk = desk_of(Oracle("1"), paper)
        return await asyncio.gather(*(desk.predict({"x": number}) for number in (1, -1, 3)), return_exceptions=True)

    one, two, three = play(scene)
    assert (one.answer.prediction, three.answer.prediction) == ("1:1", "1:3")
    assert isinstance(two, DataError)
    assert len(paper.all(Logged)) == 2


@pytest.mark.parametrize("durable", [False, True])
def test_an_unforeseen_error_of_the_log_stops_one_answer_and_not_those_after_it(durable: bool) -> None:
    paper = Paper()

    async def scene() -> None:
        desk = desk_of(Oracle("1"), paper, durable=durable)
        paper.broken = True
        with pytest.raises(Unavailable, match="OSError"):
            await desk.predict({"x": 1})
        assert not desk.ready
        paper.broken = False
        assert (await desk.predict({"x": 2})).logged
        assert desk.ready
        await desk.close()

    play(scene)


@pytest.mark.parametrize("quick", [False, True])
def test_a_model_that_miscounts_is_an_error_of_its_own_and_holds_nobody_up(quick: bool) -> None:
    oracle = Oracle("1", quick=quick)
    oracle.short = True

    async def scene() -> None:
        desk = desk_of(oracle, Paper())
        with pytest.raises(UserCodeError, match="0 answers to 1 rows"):
            await desk.predict({"x": 1})
        oracle.short = False
        assert (await desk.predict({"x": 2})).version == "1"
        await desk.close()

    play(scene)


def test_a_large_batch_is_answered_in_pieces_in_its_order() -> None:
    oracle = Oracle("1")
    rows = [{"x": number} for number in range(2 * CHUNK + 5)]

    async def scene() -> list[Answered]:
        return await desk_of(oracle, Paper()).predict_many(rows)

    assert [each.answer.prediction for each in play(scene)] == [f"1:{row['x']}" for row in rows]
    assert oracle.batches == [CHUNK, CHUNK, 5]


def test_where_the_log_is_full_nothing_is_answered_until_it_can_be_written_again() -> None:
    paper = Paper()

    async def scene() -> None:
        desk = desk_of(Oracle("1"), paper)
        paper.full = True
        with pytest.raises(Unavailable, match="the disk is full"):
            await desk.predict({"x": 1})
        assert not desk.ready
        assert "full" in desk.problems["log"]
        desk.check_log()
        assert not desk.ready
        paper.full = False
        desk.check_log()
        assert desk.ready
        assert not desk.problems
        assert (await desk.predict({"x": 1})).logged

    play(scene)
    assert len(paper.all(Logged)) == 1


def test_answers_may_go_on_unlogged_where_the_settings_say_so_and_say_it() -> None:
    paper = Paper()

    async def scene() -> None:
        desk = desk_of(Oracle("1"), paper, on_full="continue")
        paper.full = True
        assert not (await desk.predict({"x": 1})).logged
        assert desk.ready
        assert desk.unlogged == 1
        assert "full" in desk.problems["log"]

    play(scene)


def test_a_durable_log_is_written_in_a_thread_of_its_own_before_the_answer_leaves() -> None:
    paper = Paper()

    async def scene() -> None:
        desk = desk_of(Oracle("1"), paper, durable=True)
        answered = await desk.predict({"x": 1})
        assert [row.request_id for row in paper.all(Logged)] == [answered.request_id]
        await desk.label(answered.request_id, "yes")
        await desk.close()

    play(scene)
    assert all(name.startswith("keepfit-pen") for name in paper.threads)
    assert paper.closed


def test_a_label_is_taken_for_an_id_that_was_given_out_only() -> None:
    paper = Paper()

    async def scene() -> None:
        desk = desk_of(Oracle("1"), paper)
        answered = await desk.predict({"x": 1})
        at = await desk.label(answered.request_id.upper(), "yes")
        with pytest.raises(NotFound, match="made-up"):
            await desk.label("made-up", "yes")
        assert paper.all(Labelled) == [Labelled(request_id=answered.request_id, at=at, label="yes")]

    play(scene)


def test_a_swap_lets_what_is_under_way_finish_and_gives_the_next_to_the_new_version() -> None:
    old, new = Oracle("1", quick=False), Oracle("2")
    old.go.clear()

    async def scene() -> None:
        desk = desk_of(old, Paper())
        before = asyncio.ensure_future(desk.predict({"x": 1}))
        await asyncio.sleep(0)
        desk.follow(Plan(number=2, champion=placed(new)), {"2": served(new)})
        after = await desk.predict({"x": 2})
        assert (after.version, after.answer.prediction) == ("2", "2:2")
        old.go.set()
        assert (await before).version == "1"

    play(scene)


def test_a_silent_model_is_asked_after_the_answer_and_logged_beside_it() -> None:
    champion, shadow, paper = Oracle("2"), Oracle("1"), Paper()

    async def scene() -> Answered:
        desk = desk_of(champion, paper, shadow, plan={"shadows": (placed(shadow),)})
        answered = await desk.predict({"x": 5})
        await desk.close()
        return answered

    answered = play(scene)
    assert answered.version == "2"
    (silent,) = paper.all(Shadowed)
    assert (silent.request_id, silent.version, silent.prediction) == (answered.request_id, "1", "1:5")
    assert shadow.tops == [0]
    assert [type(write[0]) for write in paper.writes] == [Logged, Shadowed]


def test_a_silent_model_that_is_behind_holds_nobody_up() -> None:
    champion, shadow, paper = Oracle("2"), Oracle("1", quick=False), Paper()
    shadow.go.clear()

    async def scene() -> None:
        desk = desk_of(champion, paper, shadow, plan={"shadows": (placed(shadow),)})
        for start in range(0, 3 * MOST_SILENT, CHUNK):
            await desk.predict_many([{"x": start}] * CHUNK)
        assert desk.unasked > 0
        shadow.go.set()
        await desk.close()
        assert len(paper.all(Shadowed)) + desk.unasked == 3 * MOST_SILENT

    play(scene)


def test_a_challenger_answers_its_share_and_its_route_is_logged() -> None:
    champion, challenger, paper = Oracle("1"), Oracle("2"), Paper()

    async def scene() -> list[Answered]:
        desk = desk_of(champion, paper, challenger, plan={"challenger": placed(challenger), "share": 0.2, "salt": "s"})
        sticky = {(await desk.predict({"x": 1}, key="customer 7")).version for _ in range(20)}
        assert len(sticky) == 1
        return await desk.predict_many([{"x": number} for number in range(1000)])

    found = play(scene)
    share = sum(each.version == "2" for each in found) / len(found)
    assert 0.15 < share < 0.25
    assert {(each.version, each.route) for each in found} == {("1", "champion"), ("2", "challenger")}
    assert {(row.version, row.route) for row in paper.all(Logged)} == {("1", "champion"), ("2", "challenger")}


def test_a_challenger_that_asks_for_other_fields_is_left_out_and_said_so() -> None:
    champion, challenger = Oracle("1"), Oracle("2", columns=("x", "z"))

    async def scene() -> None:
        desk = desk_of(champion, Paper(), challenger, plan={"challenger": placed(challenger), "share": 1.0})
        assert (await desk.predict({"x": 1})).version == "1"
        assert "z" in desk.problems["version 2"]

    play(scene)


def test_what_a_challenger_cannot_answer_the_champion_answers_and_it_is_said() -> None:
    champion, challenger, paper = Oracle("1"), Oracle("2"), Paper()
    challenger.short = True

    async def scene() -> list[Answered]:
        desk = desk_of(champion, paper, challenger, plan={"challenger": placed(challenger), "share": 0.5})
        found = await desk.predict_many([{"x": number} for number in range(100)])
        assert 20 < desk.failed < 80
        assert f"could not answer {desk.failed} requests" in desk.problems["challenger"]
        failed = desk.failed
        desk.follow(Plan(number=2, champion=placed(champion)), {"1": served(champion)})
        assert not desk.problems
        assert desk.failed == failed, "a counter only goes up"
        return found

    assert {(each.version, each.route) for each in play(scene)} == {("1", "champion")}
    assert len({row.request_id for row in paper.all(Logged)}) == len(paper.all(Logged)) == 100


def test_equal_values_of_the_sticky_field_meet_one_model_whatever_key_the_request_brings() -> None:
    champion, challenger = Oracle("1"), Oracle("2")

    async def scene() -> None:
        plan = {"challenger": placed(challenger), "share": 0.5, "sticky": "x"}
        desk = desk_of(champion, Paper(), challenger, plan=plan)
        for number in range(20):
            met = {(await desk.predict({"x": number}, key=f"key {key}")).version for key in range(10)}
            assert len(met) == 1

    play(scene)


def test_the_log_is_found_out_to_be_full_before_a_request_comes() -> None:
    paper = Paper()
    paper.full = True

    async def scene() -> None:
        desk = desk_of(Oracle("1"), paper)
        desk.check_log()
        assert not desk.ready

    play(scene)


def test_a_later_label_is_later_though_the_clock_was_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    paper, clock = Paper(), iter([100.0, 100.0, 50.0, 101.0])

    async def scene() -> None:
        desk = desk_of(Oracle("1"), paper)
        monkeypatch.setattr("keepfit.serving.desk.time.time", lambda: next(clock))
        answered = await desk.predict({"x": 1})
        times = [await desk.label(answered.request_id, label) for label in ("a", "b", "c")]
        assert times == sorted(set(times))

    play(scene)


def test_without_a_champion_it_says_what_to_do() -> None:
    async def scene() -> None:
        desk = Desk("demo", Paper(), Serve())
        assert not desk.ready
        with pytest.raises(Unavailable, match="keepfit run"):
            await desk.predict({"x": 1})

    play(scene)
