"""Whoever is killed is replaced, nobody is left behind, and what was answered is in the log once."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from pathlib import Path

import httpx
import pytest
from tests.acceptance.runs import eventually
from tests.acceptance.serving import ROW, Load, Served, is_alive, logged_ids

pytestmark = pytest.mark.slow

KILLS = 20


def test_workers_killed_under_load_lose_nothing_that_was_answered(served_project: Path) -> None:
    draw = random.Random(4)  # noqa: S311 - when to kill
    with Served(served_project, "--workers", "2") as server:
        with Load([server.url], ROW, clients=4) as load:
            for _ in range(KILLS):
                workers = eventually(lambda: _two(server), "two workers")
                load.wait_for(draw.randint(1, 40))
                victim = draw.choice(workers)
                os.kill(victim, signal.SIGKILL)
                eventually(lambda pid=victim: not is_alive(pid), "its end")
            load.wait_for(50)
        assert not [answer for answer in load.bad if answer.status], "an error was told"
        assert len(server.said("ended")) == KILLS
        answered = {answer.request_id for answer in load.good}
        assert server.stop() == 0
    with Served(served_project) as again:
        again.predict(ROW)
    ids = logged_ids(served_project)
    assert answered <= set(ids)
    assert len(ids) == len(set(ids))


def _two(server: Served) -> list[int]:
    workers = server.workers
    return workers if len(workers) == 2 else []


def test_nobody_outlives_a_front_that_was_killed(served_project: Path, tmp_path: Path) -> None:
    with Served(served_project, "--workers", "2", environment={"TMPDIR": str(tmp_path)}) as server:
        everybody = server.processes
        assert len(everybody) == 3
        answered = server.predict(ROW)["request_id"]
        server.kill()
        _gone(everybody)
        assert len(list(tmp_path.glob("keepfit-serve-*"))) == 1
    with Served(served_project, environment={"TMPDIR": str(tmp_path)}) as again:  # clears away what it left
        assert len(list(tmp_path.glob("keepfit-serve-*"))) == 1
        assert len(list((served_project / ".keepfit/serving/servers").iterdir())) == 1
        again.stop()
    assert not list(tmp_path.glob("keepfit-serve-*"))
    assert answered in logged_ids(served_project)


def _gone(everybody: list[int]) -> None:
    eventually(lambda: not [pid for pid in everybody if is_alive(pid)], "the end of everybody", 30)


def test_who_is_killed_is_replaced_but_not_without_pause(served_project: Path) -> None:
    with Served(served_project) as server:
        server.wait_until_it_follows()
        first = server.office
        with Load([server.url], ROW, clients=1) as load:
            os.kill(first, signal.SIGKILL)
            eventually(lambda: len(server.said("following")) == 2, "another office following")
        assert not load.bad
        assert server.office != first
        assert server.client.get("/models/routing").status_code == 200
        until = time.monotonic() + 3
        while time.monotonic() < until:
            for pid in server.workers:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
        assert 2 <= len(server.said("ended")) <= 12
        eventually(lambda: _answers(server), "another worker answering")


def _answers(server: Served) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return server.is_ready
    return False
