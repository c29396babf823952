"""A person moves the alias in MLflow at the worst moments: it is seen, respected and journalled."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from tests.acceptance.project import NAME, champion, decided, tree, write_day
from tests.acceptance.runs import Done, Runs

import keepfit
from keepfit.records import Cycle

PERSONS = "2"  # the version that a person has registered
CHALLENGER = "3"  # the one that the cycle trains afterwards


class Person:
    """Somebody at MLflow's user interface."""

    def __init__(self, runs: Runs, folder: Path) -> None:
        self._runs, self._folder = runs, folder
        self._url = f"sqlite:///{folder}/.keepfit/mlflow.db"

    def registers(self) -> None:
        self._call("copy_version", "1")

    def points_to(self, version: str) -> None:
        self._call("point", "champion", version)

    def deletes_alias(self) -> None:
        self._call("unpoint", "champion")

    def deletes_version(self, version: str) -> None:
        self._call("delete_version", version)

    def _call(self, function: str, *arguments: str) -> None:
        self._runs.call(f"by_hand:{function}", self._url, NAME, *arguments, folder=self._folder)


@pytest.fixture
def person(runs: Runs, project: Path) -> Person:
    """Has registered a version of their own, and not pointed to it yet."""
    somebody = Person(runs, project)
    somebody.registers()
    return somebody


def run_until(stage: str, runs: Runs, project: Path) -> None:
    done = runs.run("--until", stage, folder=project)
    assert (done.code, done.out.split(";")[0]) == (0, f"stopped after {stage}"), done


def killed_before(effect: str, runs: Runs, project: Path, at: int = 1) -> None:
    done = runs.start("run", folder=project, effects={"name": effect, "at": at, "send": signal.SIGKILL}).wait()
    assert done.code == -signal.SIGKILL, done


def outcome(done: Done) -> str:
    assert done.code == 0, done.err
    return done.out.split(":")[0]


def journal(project: Path) -> list[tuple[str, ...]]:
    """(status, kind, from, to), newest first."""
    return decided(project)["journal"]


def last_cycle(project: Path) -> Cycle:
    with keepfit.open(project) as opened:
        return opened.cycle()


def new_day(runs: Runs, project: Path, *arguments: str) -> Cycle:
    """The cycle after another day has come."""
    write_day(project, 6, "y", 300)
    done = runs.run(*arguments, folder=project)
    assert done.code == 0, done.err
    return last_cycle(project)


@pytest.mark.parametrize("stage", ["train", "compare"])
def test_nothing_is_promoted_over_an_alias_moved_after_the_verdict_was_begun(
    runs: Runs, project: Path, person: Person, stage: str
) -> None:
    run_until(stage, runs, project)
    person.points_to(PERSONS)
    done = runs.run(folder=project)
    if stage == "compare":  # the verdict is about the version that was champion then
        assert outcome(done) == "alerted"
        assert champion(project) == PERSONS
        assert journal(project)[0] == ("abandoned", "promotion", "1", CHALLENGER)
    else:  # the verdict is about the person's version
        assert last_cycle(project).verdict.champion_version == PERSONS
        assert outcome(done) == "promoted"
        assert ("done", "by_hand", "1", PERSONS) in journal(project)


def test_the_next_cycle_compares_with_the_persons_version_and_journals_their_move(
    runs: Runs, project: Path, person: Person
) -> None:
    run_until("compare", runs, project)
    person.points_to(PERSONS)
    assert outcome(runs.run(folder=project)) == "alerted"
    cycle = new_day(runs, project, "--force")
    assert ("done", "by_hand", "1", PERSONS) in journal(project)
    assert cycle.performance.champion == PERSONS
    assert cycle.verdict.champion_version == PERSONS


def test_an_alias_moved_between_the_intention_and_the_move_is_left_where_it_is(runs: Runs, project: Path, person: Person) -> None:
    killed_before("registry.point", runs, project)
    assert journal(project)[0] == ("intended", "promotion", "1", CHALLENGER)
    person.points_to(PERSONS)
    assert outcome(runs.run(folder=project)) == "alerted"
    assert champion(project) == PERSONS
    assert journal(project)[0] == ("abandoned", "promotion", "1", CHALLENGER)


def test_a_move_that_was_given_up_is_not_made_when_the_alias_returns(runs: Runs, project: Path, person: Person) -> None:
    run_until("compare", runs, project)
    person.points_to(PERSONS)
    killed_before("cycles.save", runs, project)  # the move is given up in the journal, the cycle does not know yet
    assert journal(project)[0] == ("abandoned", "promotion", "1", CHALLENGER)
    person.points_to("1")
    assert outcome(runs.run(folder=project)) == "alerted"
    assert champion(project) == "1"
    assert journal(project)[0] == ("abandoned", "promotion", "1", CHALLENGER)


@pytest.mark.parametrize("effect", ["journal.note", "tracker.record"])
def test_noticing_a_move_never_moves_the_alias(runs: Runs, project: Path, person: Person, effect: str) -> None:
    """Killed before or after it writes down that the alias was moved; then the person moves it back."""
    person.points_to(PERSONS)
    killed_before(effect, runs, project)
    person.points_to("1")
    run_until("monitor", runs, project)
    assert champion(project) == "1"
    noticed = [("done", "by_hand", PERSONS, "1"), ("done", "by_hand", "1", PERSONS)]
    assert journal(project)[:-1] == (noticed if effect == "tracker.record" else [])


def test_a_second_move_is_noticed_after_a_kill(runs: Runs, project: Path, person: Person) -> None:
    person.registers()
    person.points_to("2")
    killed_before("tracker.record", runs, project)
    person.points_to("3")
    run_until("monitor", runs, project)
    assert champion(project) == "3"
    assert journal(project)[:-1] == [("done", "by_hand", "2", "3"), ("done", "by_hand", "1", "2")]


def test_an_alias_moved_to_the_challenger_itself_counts_as_the_promotion(runs: Runs, project: Path) -> None:
    run_until("compare", runs, project)
    Person(runs, project).points_to("2")
    assert outcome(runs.run(folder=project)) == "promoted"
    assert journal(project)[0] == ("done", "promotion", "1", "2")


@pytest.mark.parametrize("stage", ["prepare", "train", "compare"])
def test_an_alias_deleted_in_mid_cycle_is_not_set_again_by_that_cycle(runs: Runs, project: Path, stage: str) -> None:
    """Nobody is champion then, which the person may have wanted."""
    run_until(stage, runs, project)
    Person(runs, project).deletes_alias()
    done = runs.run(folder=project)
    assert done.code == 0, done.err
    assert outcome(done) == "alerted"
    assert champion(project) is None
    assert not runs.finish(project)[-1].code
    assert outcome(runs.run("--force", folder=project)) == "promoted"
    assert last_cycle(project).verdict.gate == "first"


def test_a_challenger_deleted_before_its_promotion_does_not_block_the_project(runs: Runs, project: Path) -> None:
    run_until("compare", runs, project)
    Person(runs, project).deletes_version("2")
    done = runs.run(folder=project)
    assert champion(project) == "1"
    assert "2" in done.out + done.err
    cycle = new_day(runs, project)
    assert cycle.outcome == "promoted"
    assert not any(status == "intended" for status, *_ in journal(project))


def test_a_challenger_deleted_between_intention_and_move_does_not_block_the_project(runs: Runs, project: Path) -> None:
    killed_before("registry.point", runs, project)
    Person(runs, project).deletes_version("2")
    runs.run(folder=project)
    assert champion(project) == "1"
    cycle = new_day(runs, project)
    assert cycle.outcome == "promoted"
    assert not any(status == "intended" for status, *_ in journal(project))


def test_a_champion_deleted_in_mlflow_is_no_champion_any_more(runs: Runs, project: Path) -> None:
    Person(runs, project).deletes_version("1")
    assert outcome(runs.run(folder=project)) == "alerted"
    assert outcome(runs.run("--force", folder=project)) == "promoted"
    assert last_cycle(project).verdict.gate == "first"


def test_a_dry_run_after_a_move_by_hand_decides_and_writes_nothing(runs: Runs, project: Path, person: Person) -> None:
    person.points_to(PERSONS)
    before = tree(project)
    done = runs.run("--dry-run", "--force", folder=project)
    assert done.code == 0, done.err
    assert done.out.startswith("would decide RETRAIN")
    assert tree(project) == before


def test_rolling_back_after_a_move_by_hand_goes_back_from_there(runs: Runs, project: Path, person: Person) -> None:
    assert outcome(runs.run(folder=project)) == "promoted"
    person.points_to(PERSONS)
    done = runs.start("rollback", "--reason", "it was better before", folder=project).wait()
    assert done.code == 0, done.err
    assert champion(project) == CHALLENGER
    assert [kind for _, kind, *_ in journal(project)][:2] == ["rollback", "by_hand"]
