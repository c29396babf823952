"""What makes a project under watch run a cycle, and what it does when one goes wrong."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from keepfit.errors import (
    ConfigError,
    DataError,
    KeepfitError,
    LeaseHeld,
    LeaseLost,
    NotFound,
    ProjectNotFound,
    Unavailable,
    UserCodeError,
)
from keepfit.ports import Arrival
from keepfit.records import Cycle, Outcome
from keepfit.schedules import watched
from keepfit.schedules.watched import Watched

SETTINGS = '[project]\nname = "demo"\ntask = "regression"\n[data]\ntarget = "y"\n'
ARRIVAL, CLOCK = "", '[watch]\non_arrival = false\n[schedule]\nevery = "1d"\n'


class Played:
    """Stands in for the project that is opened for each cycle."""

    def __init__(self) -> None:
        self.ran: list[bool] = []  # a cycle each, and whether it was only to go on
        self.answers: list[Outcome | Exception | tuple[str, Exception]] = []  # an error with the stage in which it comes up
        self.during: Callable[[], None] = lambda: None
        self.inbox: list[Arrival] = []
        self.ports = SimpleNamespace(inbox=SimpleNamespace(list=self.list), label_files=list)
        self.away: KeepfitError | None = None

    def list(self, place: Any) -> list[Arrival]:
        if self.away:
            raise self.away
        return self.inbox

    def run(self, *, resume: bool, watch: Callable[..., None], stop: Callable[[], bool]) -> Cycle:
        self.ran.append(resume)
        self.during()
        cycle = Cycle(id=f"c{len(self.ran)}", project="demo", started_at=datetime(2026, 3, 1, tzinfo=UTC))
        answer = self.answers.pop(0) if self.answers else Outcome.WAITING
        if isinstance(answer, tuple):
            watch(answer[0], cycle)
            raise answer[1]
        if isinstance(answer, Exception):
            raise answer
        watch("collect", cycle)
        watch("", cycle)
        return Cycle(id=cycle.id, project="demo", started_at=cycle.started_at, stage="collect", outcome=answer, reason="so it is")

    def __enter__(self) -> Played:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Time:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Played:
    stand_in = Played()
    monkeypatch.setattr(watched, "open", lambda folder: stand_in)
    return stand_in


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    stand_in = Time()
    monkeypatch.setattr(watched, "time", stand_in)
    return stand_in


@pytest.fixture
def make(tmp_path: Path, played: Played, time: Time) -> Callable[[str], Watched]:
    def made(settings: str) -> Watched:
        write(tmp_path, settings)
        return Watched(tmp_path, threading.Lock(), lambda: False, lambda: None, rescheduled=lambda one: None)

    return made


def write(folder: Path, settings: str, at: int = 1) -> None:
    (folder / "keepfit.toml").write_text(SETTINGS + settings)
    os.utime(folder / "keepfit.toml", (at, at))


def arrive(played: Played, name: str, settled: bool = True) -> None:
    played.inbox = [*played.inbox, Arrival(name=name, size=3, settled=settled)]


def looks(one: Watched, time: Time, count: int = 1, seconds: float = 5.0) -> None:
    for _ in range(count):
        one._once()
        time.now += seconds


def test_it_runs_at_the_start_and_then_only_when_something_has_come(make: Any, played: Played, time: Time) -> None:
    one = make(ARRIVAL)
    looks(one, time, 20)
    assert played.ran == [False]
    arrive(played, "new.csv", settled=False)
    looks(one, time, 20)
    assert played.ran == [False]
    arrive(played, "whole.csv")
    looks(one, time, 20)
    assert played.ran == [False, False]


def test_what_comes_during_a_cycle_is_not_slept_over(make: Any, played: Played, time: Time) -> None:
    one = make(ARRIVAL)
    played.during = lambda: arrive(played, f"{len(played.ran)}.csv") if len(played.ran) < 3 else None
    looks(one, time, 20)
    assert len(played.ran) == 3


def test_by_the_clock_alone_a_start_only_goes_on_with_what_was_left(
    make: Any, played: Played, time: Time, capfd: pytest.CaptureFixture[str]
) -> None:
    one = make(CLOCK)
    played.answers = [NotFound("nothing to resume")]
    looks(one, time, 3)
    assert (played.ran, one.trouble, capfd.readouterr().err) == ([True], "", "")
    arrive(played, "new.csv")
    looks(one, time, 3)
    assert played.ran == [True]
    one.due()
    looks(one, time, 3)
    assert played.ran == [True, False]


def test_a_time_that_comes_at_the_start_begins_a_new_cycle(make: Any, played: Played, time: Time) -> None:
    one = make(CLOCK)
    one.due()
    looks(one, time, 3)
    assert played.ran == [False]


def test_times_that_pass_during_a_long_cycle_make_one_more(make: Any, played: Played, time: Time) -> None:
    one = make(CLOCK)
    looks(one, time)
    played.during = lambda: [one.due() for _ in range(5)].clear() if len(played.ran) < 3 else None
    one.due()
    looks(one, time, 10)
    assert len(played.ran) == 3


@pytest.mark.parametrize(
    "answer",
    [
        Unavailable("the database is away"),
        ("monitor", Unavailable("the registry is away")),
        ("archive", DataError("the alias has moved already")),  # it must be finished
        RuntimeError("who knows"),  # before any stage
        LeaseHeld("box:1 holds it"),
        LeaseLost("box:2 took over"),
    ],
    ids=str,
)
def test_what_may_pass_is_tried_again_later_and_later(make: Any, played: Played, time: Time, answer: Any) -> None:
    one, began = make(ARRIVAL), time.now
    played.answers = [answer] * 40
    tried = []
    while time.now < began + 3600:
        before = len(played.ran)
        one._once()
        tried += [time.now - began] * (len(played.ran) - before)
        time.now += 5
    assert tried[:5] == [0, 5, 15, 35, 75]
    assert max(after - before for before, after in pairwise(tried)) == watched.LONGEST
    played.answers = []
    looks(one, time, 61)
    assert one.trouble == ""
    looks(one, time, 100)
    played.answers = [answer]
    one.due()
    looks(one, time, 2)
    assert len(played.ran) == len(tried) + 3  # it begins with the short pause again


@pytest.mark.parametrize("answer", [("prepare", UserCodeError("features:prepare failed")), ConfigError("no such metric")], ids=str)
def test_what_a_person_must_mend_waits_for_a_change_or_its_time(make: Any, played: Played, time: Time, answer: Any) -> None:
    one = make(ARRIVAL + '[schedule]\nevery = "1d"\n')
    played.answers = [answer] * 5
    looks(one, time, 200)
    assert len(played.ran) == 1
    assert str(answer[1] if isinstance(answer, tuple) else answer) in one.trouble
    (one.folder / "features.py").write_text("")
    looks(one, time, 200)
    assert len(played.ran) == 2
    arrive(played, "new.csv")
    looks(one, time, 200)
    assert len(played.ran) == 3
    one.due()
    looks(one, time, 200)
    assert len(played.ran) == 4


def test_news_is_not_kept_waiting_by_a_pause(make: Any, played: Played, time: Time) -> None:
    one = make(ARRIVAL)
    played.answers = [Unavailable("away")] * 10
    looks(one, time, 100)
    tried = len(played.ran)
    arrive(played, "new.csv")
    looks(one, time, 1)
    assert len(played.ran) == tried + 1


def test_an_error_is_said_in_a_line_and_the_next_good_cycle_ends_it(
    make: Any, played: Played, time: Time, capfd: pytest.CaptureFixture[str]
) -> None:
    one = make(ARRIVAL)
    played.answers = [("train", ValueError("two\nlines"))]
    looks(one, time, 3)
    began, failed = capfd.readouterr().err.splitlines()
    assert began.startswith("action=cycle_began project=demo cycle=c1 why=start at=")
    assert failed.startswith('action=cycle_failed project=demo cycle=c1 stage=train error="ValueError at test_watched.py:')
    assert 'reason="ValueError: two lines"' in failed
    assert one.last is not None
    assert one.last.outcome == "failed"
    arrive(played, "new.csv")
    looks(one, time)
    assert one.trouble == ""
    assert 'action=cycle_ended project=demo cycle=c2 outcome=waiting seconds=0.0 reason="so it is"' in capfd.readouterr().err


def test_who_works_on_the_project_is_said_once_and_is_no_trouble(
    make: Any, played: Played, time: Time, capfd: pytest.CaptureFixture[str]
) -> None:
    one = make(ARRIVAL)
    played.answers = [LeaseHeld("box:1 has worked on it since noon")] * 3
    looks(one, time, 10)
    assert len(played.ran) == 4
    told = [line for line in capfd.readouterr().err.splitlines() if "box:1" in line]
    assert len(told) == 1
    assert told[0].startswith("action=busy project=demo")
    assert one.trouble == ""


@pytest.mark.parametrize("settings", ["[data\n", "[schedule]\nevery = 'now'\n", "[schedule]\ncron = '0 0 31 2 *'\n", None])
def test_settings_that_are_broken_hold_cycles_back_until_they_are_right(
    make: Any, played: Played, time: Time, capfd: pytest.CaptureFixture[str], settings: str | None
) -> None:
    """Under those of before a model might be promoted that nobody wants any more."""
    one = make(CLOCK)
    looks(one, time)
    capfd.readouterr()
    write(one.folder, settings or "", at=2)
    if settings is None:
        (one.folder / "keepfit.toml").unlink()
    one.due()
    looks(one, time, 5)
    assert len(played.ran) == 1
    assert "keepfit.toml" in one.trouble or "[schedule]" in one.trouble
    assert capfd.readouterr().err.count("action=trouble project=demo what=settings") == 1
    write(one.folder, CLOCK, at=3)
    looks(one, time, 5)
    assert (played.ran, one.trouble) == ([True, False], "")  # what was due is not forgotten


def test_settings_are_taken_up_while_it_runs(tmp_path: Path, played: Played, time: Time) -> None:
    write(tmp_path, CLOCK)
    told: list[str] = []
    one = Watched(tmp_path, threading.Lock(), lambda: False, lambda: None, rescheduled=lambda one: told.append(str(one.trigger)))
    looks(one, time, 2)
    write(tmp_path, '[watch]\non_arrival = true\nlook = "1m"\n[schedule]\nevery = "2d"\n', at=2)
    looks(one, time, 2)
    assert told == ["interval[2 days, 0:00:00]"]
    assert one.config.watch.look.total_seconds() == 60
    assert played.ran == [True, False]  # what lies there by now is looked at


def test_an_inbox_that_cannot_be_read_is_trouble_until_it_can(
    make: Any, played: Played, time: Time, capfd: pytest.CaptureFixture[str]
) -> None:
    one = make(ARRIVAL)
    looks(one, time)
    capfd.readouterr()
    played.away = Unavailable("the bucket is away")
    looks(one, time, 5)
    assert "the bucket is away" in one.trouble
    played.away = None
    looks(one, time, 5)
    assert one.trouble == ""
    said = [line.split(" at=")[0] for line in capfd.readouterr().err.splitlines()]
    assert said == [
        'action=trouble project=demo what=looking reason="the bucket is away"',
        "action=mended project=demo what=looking",
    ]
    assert len(played.ran) == 1


def test_labels_are_looked_for_less_often(make: Any, played: Played, time: Time) -> None:
    """Where a model is served they come all the time."""
    one = make(ARRIVAL)
    looks(one, time)
    place = one.folder / ".keepfit/log/labels"
    place.mkdir(parents=True)
    for number in range(24):  # two minutes
        (place / f"{number}.parquet").touch()
        looks(one, time)
    assert len(played.ran) == 3


def test_nothing_to_watch_for_is_refused(make: Any) -> None:
    with pytest.raises(ConfigError, match="nothing to watch for"):
        make("[watch]\non_arrival = false\n")


def test_a_folder_without_a_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProjectNotFound):
        Watched(tmp_path, threading.Lock(), lambda: False, lambda: None, rescheduled=lambda one: None)


def test_a_start_that_failed_is_well_once_there_is_nothing_to_go_on_with(make: Any, played: Played, time: Time) -> None:
    one = make(CLOCK)
    played.answers = [Unavailable("the ledger is away"), NotFound("nothing to resume")]
    looks(one, time)
    assert "the ledger is away" in one.trouble
    looks(one, time, 5)
    assert (played.ran, one.trouble) == ([True, True], "")


def test_one_that_was_asked_to_stop_begins_nothing(tmp_path: Path, played: Played, time: Time) -> None:
    write(tmp_path, ARRIVAL)
    over = threading.Event()
    one = Watched(tmp_path, threading.Lock(), lambda: True, over.set, rescheduled=lambda one: None)
    one.thread.start()
    assert over.wait(30)
    one._once()
    assert played.ran == []
