"""Housekeeping in a life of many versions: what goes, what stays, and that everything still works afterwards."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

import pytest
from tests.acceptance.project import FEATURES, make_project, registered, tree, write_day
from tests.acceptance.runs import Runs

import keepfit
from keepfit.errors import ConfigError, LeaseHeld, Unavailable
from keepfit.lease import held
from keepfit.live.routing import set_routing, wanted_routing
from keepfit.records import Cycle, Outcome
from keepfit.testing import SetClock
from keepfit.verbs.cleaning import Cleaned, Kind

pytestmark = pytest.mark.slow

EAGER = """
[retrain]
triggers = ["new_rows"]
new_rows = 1
"""
DAYS = "xxyyyxx"  # which column says the answer: a first champion, challengers that are no better, a second champion, and so on
WAYS = {2: "- frame['y']", 4: "+ 2 * frame['y']"}  # the days on which somebody changes the features
INSTANTS = int(os.environ.get("KEEPFIT_TEST_INSTANTS", "3"))  # at which a cleaning is killed; 0: every one
AGES = 400 * 86_400


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a life behind it: versions 1 and 4 became champions, seven were trained."""
    folder = make_project(tmp_path_factory.mktemp("clean") / "project")
    with (folder / "keepfit.toml").open("a") as settings:
        settings.write(EAGER)
    for day, column in enumerate(DAYS, 1):
        if day in WAYS:
            (folder / "features.py").write_text(FEATURES.replace('+ frame["y"]', WAYS[day]))
        write_day(folder, day, column)
        with keepfit.open(folder) as project:
            done = project.run()
            assert (done.outcome is Outcome.PROMOTED) == (day in (1, 4)), done.reason
    _leave_old_files(folder)
    return folder


def _leave_old_files(folder: Path) -> None:
    """What other tools and dead processes have left, in the form in which they leave it."""
    pages, served = folder / "reports/evidently", folder / ".keepfit/serving/versions"
    for day in (1, 2, 3):
        _old(pages / f"data_drift_2025010{day}T000000.html", "<html>", day)
    _old(pages / "notes.html", "mine", 0)
    _old(folder / "reports/.keepfit.html.4194305.tmp", "half", 0)  # no process has such a number
    for name in ("2-00aa", "1-00bb"):
        _old(served / name / "placed.json", "{}", 0)
        os.utime(served / name, (time.time() - AGES,) * 2)
    _old(served / ".gone-9-00cc-11/model", "half", 0)


def _old(path: Path, text: str, day: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (time.time() - AGES + day,) * 2)


@pytest.fixture
def life(lived: Path, tmp_path: Path) -> Path:
    return copied(lived, tmp_path / "project")


def copied(lived: Path, folder: Path) -> Path:
    """The project in another folder, with MLflow's addresses put right."""
    shutil.copytree(lived, folder)
    addresses = {"experiments": ("artifact_location",), "runs": ("artifact_uri",), "logged_models": ("artifact_location",)}
    addresses["model_versions"] = ("source", "storage_location")
    with contextlib.closing(sqlite3.connect(folder / ".keepfit/mlflow.db")) as database, database:
        for table, columns in addresses.items():
            for column in columns:
                change = f"update {table} set {column} = replace({column}, ?, ?)"  # noqa: S608 - names from above
                database.execute(change, (str(lived), str(folder)))
    return folder


@pytest.fixture
def opened(life: Path) -> Iterator[keepfit.Project]:
    with keepfit.open(life) as project:
        yield project


def names(done: Cleaned, *kinds: Kind) -> list[str]:
    return sorted(each.name for each in done.removed if each.kind in kinds)


def versions(folder: Path) -> list[int]:
    return [number for number, _ in registered(folder)["versions"]]


def needed_versions(project: keepfit.Project) -> set[str]:
    """By the words of the promise, and without its code: the champion, and whatever the journal names."""
    entries = project.journal(1000)
    return {number for entry in entries for number in (entry.promotion.from_version, entry.promotion.to_version) if number}


def model_files(folder: Path) -> int:
    return len(list((folder / ".keepfit/artifacts").rglob("MLmodel")))


def test_a_dry_run_says_what_would_go_and_changes_no_byte(life: Path, runs: Runs) -> None:
    before = tree(life)
    done = runs.learn("clean", "--dry-run", "--older", "0s", "--keep", "1", "--json", folder=life)
    assert (done.code, done.err) == (0, "")
    assert done.facts["dry_run"] is True
    kinds = {"model version", "training run", "monitoring run", "prepared rows", "profile", "code copy", "report page", "scratch"}
    assert {each["kind"] for each in done.facts["removed"]} >= kinds | {"served version", "alert"}
    assert done.facts["size"] == sum(each["size"] for each in done.facts["removed"]) > 100_000
    assert all(each["why"] for each in done.facts["removed"])
    told = runs.start("clean", "--dry-run", folder=life).wait()
    assert "nothing needs" not in told.out and "model version" not in told.out, "the life is younger than 90 days"
    assert "scratch" in told.out
    assert tree(life) == before


def test_what_was_promised_to_go_goes_and_everything_works_afterwards(life: Path, opened: keepfit.Project) -> None:
    history, needed, before = opened.history(100), needed_versions(opened), versions(life)
    champion = opened.ports.registry.champion()
    promised = opened.clean("0s", 1, dry_run=True)
    done = opened.clean("0s", 1)
    assert done.removed == promised.removed
    assert done.kept == ()
    assert sorted(map(str, versions(life))) == sorted(needed | {str(max(before))})
    assert names(done, Kind.VERSION) == sorted(str(number) for number in before if number not in versions(life))
    assert len(names(done, Kind.TRAINING)) == len(names(done, Kind.VERSION)) >= 3
    assert model_files(life) == len(versions(life)), "the files go with their versions"
    assert names(done, Kind.PAGE) == ["data_drift_20250101T000000.html", "data_drift_20250102T000000.html"]
    assert (life / "reports/evidently/notes.html").exists()
    assert len(names(done, Kind.SCRATCH)) == 2
    assert (life / ".keepfit/serving/versions/1-00bb").exists(), "the journal names version 1"
    again = opened.clean("0s", 1)
    assert again.removed == ()
    assert opened.clean("0s", len(before), dry_run=True).removed == (), "to keep more than an earlier cleaning did is no error"
    _works(opened, history, champion.version if champion else "")


def _works(project: keepfit.Project, history: list[Cycle], champion: str) -> None:
    assert [cycle.id for cycle in project.history(100)] == [cycle.id for cycle in history]
    for cycle in history:
        assert project.explain(cycle.id)
    assert project.status()["champion"].to_version == champion
    latest = next(cycle for cycle in history if cycle.candidate is not None)
    assert project.reproduce(latest.id).identical
    shelf = project.ports.shelf
    fetched = project.config.root / "fetched"
    fetched.mkdir()
    shelf.fetch(shelf.version(champion), fetched)
    assert (fetched / "model/MLmodel").exists()
    back = project.rollback("to see whether it works")
    assert (back.from_version, back.to_version) == (champion, "1")
    write_day(project.config.root, 20, "y")
    done = project.run()
    assert done.outcome in (Outcome.PROMOTED, Outcome.KEPT_CHAMPION, Outcome.INCONCLUSIVE), done.reason
    assert done.performance is not None
    assert not done.performance.note, "version 1 is judged on the features that it was trained on"


def test_what_others_count_on_stays(life: Path, opened: keepfit.Project) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{life}/.keepfit/mlflow.db")
    theirs, challenger, wanted = (number for number in names(opened.clean("0s", 1, dry_run=True), Kind.VERSION)[:3])
    client.set_registered_model_alias("walk", "theirs", theirs)
    routing = wanted_routing("shadow", challenger, None, None, "somebody", opened.config)
    set_routing(routing, None, lambda version: version, opened.ports, opened.config)
    write_day(life, 30, "y")
    waiting = opened.run(until="train")
    assert waiting.candidate is not None
    done = opened.clean("0s", 1)
    left = [str(number) for number in versions(life)]
    assert theirs in left
    assert challenger in left
    assert waiting.candidate.version in left
    assert wanted in names(done, Kind.VERSION)
    assert opened.ports.registry.load(theirs)[0].version == theirs
    assert opened.run(resume=True).outcome is not None


def test_a_version_that_is_needed_since_it_was_planned_stays_with_all_it_rests_on(
    life: Path, opened: keepfit.Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody points an alias to it in MLflow while the cleaning is under way."""
    from mlflow import MlflowClient

    from keepfit.verbs import cleaning

    first = next(each for each in opened.clean("0s", 1, dry_run=True).removed if each.kind is Kind.VERSION)
    remove = cleaning._remove_version

    def late(number: str, *rest: Any) -> str:
        if number == first.name:
            MlflowClient(f"sqlite:///{life}/.keepfit/mlflow.db").set_registered_model_alias("walk", "theirs", number)
        return remove(number, *rest)

    monkeypatch.setattr(cleaning, "_remove_version", late)
    done = opened.clean("0s", 1)
    assert [(each.kind, each.name) for each in done.kept] == [(Kind.VERSION, first.name)]
    assert "theirs" in done.kept[0].why
    assert model_files(life) == len(versions(life))
    assert opened.ports.registry.load(first.name)[0].version == first.name


@pytest.mark.parametrize("layers", [["ports"], ["mlflow", "files", "commits"]])
def test_a_cleaning_that_is_killed_is_gone_on_with(lived: Path, tmp_path: Path, runs: Runs, layers: list[str]) -> None:
    command = ("clean", "--older", "0s", "--keep", "1")
    runs.learn(*command, "--dry-run", folder=lived)
    life = copied(lived, tmp_path / "whole")
    whole = runs.start(*command, folder=life, effects={"layers": layers})
    assert whole.wait().code == 0
    wanted, instants = _state(life), list(range(1, len(whole.effects) + 1))
    if INSTANTS:
        instants = sorted(random.Random(3).sample(instants, INSTANTS))  # noqa: S311
    wrong = {}
    for at in instants:
        life = copied(lived, tmp_path / f"at-{at}")
        run = runs.start(*command, folder=life, effects={"layers": layers, "at": at, "send": signal.SIGKILL})
        assert run.wait().code == -signal.SIGKILL
        broken = _broken(life)
        done = runs.start(*command, folder=life).wait()
        if broken or done.code or _state(life) != wanted:
            wrong[at, run.effects[-1]] = broken or done.err or _state(life)
    assert not wrong


def _broken(folder: Path) -> list[int]:
    """The versions in the registry whose files are not all there."""
    wanted = "select version, storage_location, run_id from model_versions where current_stage != 'Deleted_Internal'"
    with contextlib.closing(sqlite3.connect(folder / ".keepfit/mlflow.db")) as database:
        found = database.execute(wanted).fetchall()
    places = [(number, Path(url2pathname(urlparse(place).path)), run) for number, place, run in found]
    runs = folder / ".keepfit/artifacts"
    return [
        number for number, model, run in places if not (model / "MLmodel").exists() or not (runs / run / "artifacts/code").exists()
    ]


def _state(folder: Path) -> dict[str, Any]:
    """What is left, without what differs between two cleanings."""
    places = (".keepfit/prepared", ".keepfit/code", ".keepfit/serving", ".keepfit/artifacts", "reports", "data")
    left = {place: tree(folder / place) for place in places}
    with keepfit.open(folder) as project:
        alerts = sorted((each.alert.key, each.receiver) for each in project.ports.ledger.outbox.recent("walk", 1000))
    kept = registered(folder)
    kept["runs"] = [(name, number) for name, _, number in kept["runs"]]
    return {**left, "alerts": alerts, **kept}


def test_age_counts_too(opened: keepfit.Project) -> None:
    """With a clock that is far ahead."""
    with keepfit.open(opened.config.root, clock=SetClock(datetime.now(UTC) + timedelta(days=100))) as later:
        assert names(later.clean(keep=1, dry_run=True), Kind.VERSION)
        assert not names(later.clean("101d", 1, dry_run=True), Kind.VERSION)
        assert not names(later.clean(keep=len(DAYS), dry_run=True), Kind.VERSION)
        assert names(later.clean(keep=4, dry_run=True), Kind.VERSION)
    assert not names(opened.clean(keep=1, dry_run=True), Kind.VERSION)


def test_it_waits_for_nobody_and_refuses_limits_that_cannot_be(opened: keepfit.Project, life: Path, runs: Runs) -> None:
    with held(opened.ports.ledger.leases, opened.config):
        with pytest.raises(LeaseHeld), keepfit.open(life) as second:
            second.clean("0s", 1)
        assert opened.clean("0s", 1, dry_run=True).removed, "to look is possible beside a runner"
    for older, keep, said in (("soon", None, "duration"), (None, 0, "greater than or equal to 1")):
        with pytest.raises(ConfigError, match=said):
            opened.clean(older, keep)
    done = runs.start("clean", "--older", "soon", folder=life).wait()
    assert done.code == 2
    assert "clean.older" in done.err
    assert "Traceback" not in done.err


def test_while_mlflow_is_away_nothing_goes(life: Path) -> None:
    places = (".keepfit/prepared", ".keepfit/code", ".keepfit/serving", ".keepfit/artifacts", "reports")
    before = [tree(life / place) for place in places]
    database = life / ".keepfit/mlflow.db"
    for make, said in ((database.unlink, "no version of walk"), (database.mkdir, "MLflow")):
        make()
        with keepfit.open(life) as project, pytest.raises(Unavailable, match=said):
            project.clean("0s", 1)
        assert [tree(life / place) for place in places] == before


def test_a_copy_of_a_project_removes_no_file_of_the_original(lived: Path, tmp_path: Path) -> None:
    shutil.copytree(lived, tmp_path / "copy")
    before = tree(lived), tree(tmp_path / "copy/.keepfit/artifacts"), tree(tmp_path / "copy/.keepfit/prepared")
    with keepfit.open(tmp_path / "copy") as project, pytest.raises(Unavailable, match="looks like a copy"):
        project.clean("0s", 1)
    assert (tree(lived), tree(tmp_path / "copy/.keepfit/artifacts"), tree(tmp_path / "copy/.keepfit/prepared")) == before


def test_with_a_registry_that_is_not_the_ledgers_nothing_goes(life: Path) -> None:
    """Somebody else's has a model of the same name, or one was restored from an older state."""
    before = tree(life / ".keepfit/prepared"), tree(life / ".keepfit/code")
    database = life / ".keepfit/mlflow.db"
    changes = [
        ("update model_versions set run_id = 'theirs' where version = 4", "no version 4 of walk that the run .* champion"),
        ("delete from registered_model_aliases; delete from model_versions where version = 4", "no version 4 of walk"),
    ]
    for change, said in changes:
        with contextlib.closing(sqlite3.connect(database)) as rows, rows:
            rows.executescript(change)
        with keepfit.open(life) as project, pytest.raises(Unavailable, match=said):
            project.clean("0s", 1)
    assert (tree(life / ".keepfit/prepared"), tree(life / ".keepfit/code")) == before


def test_a_project_that_never_ran_has_nothing_to_clean(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "new")
    with keepfit.open(folder) as project:
        before = tree(folder)
        assert project.clean("0s", 1, dry_run=True).removed == ()
        assert tree(folder) == before
        assert project.clean("0s", 1).removed == ()
    assert not (folder / ".keepfit/mlflow.db").exists()


def test_the_audit_tells_who_removed_what(opened: keepfit.Project) -> None:
    done = opened.clean("0s", 1)
    [entry] = opened.ports.ledger.audit.recent("walk", 1)
    assert entry.act == "clean"
    assert f"model versions: {', '.join(each.name for each in done.removed if each.kind is Kind.VERSION)}" in entry.detail
