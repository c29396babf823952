"""What the ledger promises to processes that race, sleep and die: on SQLite and on Postgres, with the real clock."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from keepfit.adapters.ledger_sql import open_ledger
from keepfit.records import BatchState
from keepfit.testing.ledger_contract import PROJECT, PROMOTION, batch, cycle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RUNNERS = 8


class Runner:
    """Another process that works on the ledger."""

    def __init__(self) -> None:
        command = [sys.executable, "-W", "error", str(Path(__file__).with_name("ledger_runner.py"))]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tell(self, *command: object) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        assert self.process.stdout
        line = self.process.stdout.readline()
        return json.loads(line) if line else "killed"

    def ask(self, *command: object) -> Any:
        self.tell(*command)
        return self.answer()

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path}/ledger.db"


@pytest.fixture
def runner() -> Iterator[Callable[[], Runner]]:
    with ExitStack() as stack:
        yield lambda: stack.enter_context(Runner())


@pytest.fixture(scope="module")
def runners() -> Iterator[list[Runner]]:
    """They start once; every test lets them open its own ledger."""
    with ExitStack() as stack:
        yield [stack.enter_context(Runner()) for _ in range(RUNNERS)]


def all_ask(runners: list[Runner], *command: object) -> list[Any]:
    for each in runners:
        each.tell(*command)
    return [each.answer() for each in runners]


def test_racing_runners_open_one_ledger_and_one_at_a_time_wins(url: str, runners: list[Runner]) -> None:
    assert all_ask(runners, "open", url) == [None] * RUNNERS, "all open a database that is new"
    for round in range(1, 13):
        answers = all_ask(runners, "acquire", PROJECT, 60)
        assert sorted(map(str, answers)) == [str(round)] + ["LeaseHeld"] * (RUNNERS - 1)
        runners[answers.index(round)].ask("release")


def test_racing_runners_take_an_expired_lease_once(url: str, runners: list[Runner]) -> None:
    all_ask(runners, "open", url)
    for round in range(5):
        project = f"p{round}"
        assert runners[round].ask("acquire", project, 0) == 1
        answers = all_ask(runners, "acquire", project, 60)
        assert sorted(map(str, answers)) == ["2"] + ["LeaseHeld"] * (RUNNERS - 1)


def test_a_runner_that_slept_too_long_is_refused_when_it_wakes(url: str, runner: Callable[[], Runner]) -> None:
    sleeper, other = runner(), runner()
    sleeper.ask("open", url)
    other.ask("open", url)
    assert sleeper.ask("acquire", PROJECT, 0.5) == 1
    assert sleeper.ask("save", "before") is None
    sleeper.process.send_signal(signal.SIGSTOP)
    sleeper.tell("save", "after")
    time.sleep(0.6)
    assert other.ask("acquire", PROJECT, 60) == 2
    assert other.ask("save", "meanwhile") is None
    sleeper.process.send_signal(signal.SIGCONT)
    assert sleeper.answer() == "LeaseLost"
    assert sleeper.ask("intend", "after") == "LeaseLost"
    ledger = open_ledger(url)
    assert {saved.id: saved.fence for saved in ledger.cycles.recent(PROJECT)} == {"before": 1, "meanwhile": 2}
    assert ledger.journal.entries(PROJECT) == []
    ledger.close()


def test_a_runner_killed_while_saving_leaves_the_last_checkpoint(url: str, runner: Callable[[], Runner]) -> None:
    victim = runner()
    victim.ask("open", url)
    victim.ask("acquire", PROJECT, 60)
    victim.ask("save", "c1", 2)
    victim.ask("die_before", "INSERT INTO keepfit_batches")  # the cycle's row is written by then
    assert victim.ask("save", "c2", 3) == "killed"
    ledger = open_ledger(url)
    assert [saved.id for saved in ledger.cycles.recent(PROJECT)] == ["c1"]
    assert ledger.batches.count(PROJECT)[BatchState.NEW] == 2
    taken = ledger.leases.acquire(PROJECT, "box:2:b", 60, is_dead=lambda holder: f":{victim.process.pid}:" in holder)
    ledger.cycles.save(cycle("c2", batches=(batch("x"),)), taken)
    assert taken.fence == 2
    ledger.close()


def test_an_upgrade_that_is_killed_is_done_anew(url: str, runner: Callable[[], Runner]) -> None:
    victim = runner()
    victim.ask("die_before", "create index keepfit_batches_by_state")
    assert victim.ask("open", url) == "killed"
    ledger = open_ledger(url)
    lease = ledger.leases.acquire(PROJECT, "box:2:b", 60)
    ledger.journal.intend(PROJECT, "c1", PROMOTION, lease)
    assert lease.fence == 1
    ledger.close()


def test_projects_that_save_at_once_lose_nothing(url: str, runners: list[Runner]) -> None:
    runners = runners[:4]
    all_ask(runners, "open", url)
    for number, each in enumerate(runners):
        assert each.ask("acquire", f"p{number}", 60) == 1
    for round in range(5):
        assert all_ask(runners, "save", f"c{round}", 20) == [None] * 4
    ledger = open_ledger(url)
    for number in range(4):
        assert len(ledger.cycles.recent(f"p{number}")) == 5
        assert ledger.batches.count(f"p{number}")[BatchState.NEW] == 100
    ledger.close()
