"""What a cycle needs goes away in the middle of it: the run says so and ends, and a later run finishes the cycle."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.project import add_news, decided, files, make_project, registered, state, write_day
from tests.acceptance.runs import Done, Runs, eventually
from tests.acceptance.servers import MlflowServer, PostgresServer

import keepfit

BOUND = 30.0  # seconds within which a run gives up on what does not answer


def refused(runs: Runs, folder: Path, *said: str, **options: Any) -> None:
    """A run that ends with exit code 1 and says each of these words, and leaves its cycle unfinished."""
    began = time.monotonic()
    done = runs.run(folder=folder, **options)
    assert time.monotonic() - began < BOUND
    complained(done, *said)


def complained(done: Done, *said: str) -> None:
    assert (done.code, done.out) == (1, ""), done
    message = done.err.partition("error: ")[2]
    assert message, done.err
    assert all(words in message for words in said), done.err
    assert "Traceback" not in done.err, done.err
    assert "not foreseen" not in done.err, done.err


def stage(folder: Path) -> str | None:
    """The last stage of the cycle that is unfinished."""
    with keepfit.open(folder) as opened:
        cycle = opened.cycle()
    assert cycle.outcome is None, cycle.reason
    return cycle.stage


def last_outcome(folder: Path) -> str:
    with keepfit.open(folder) as opened:
        return str(opened.cycle().outcome)


def batch_states(folder: Path) -> dict[str, str]:
    return {name: where for name, where, *_ in decided(folder)["batches"]}


# -------------------------------------------------------------------------------------------------------------- MLflow


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MlflowServer]:
    started = MlflowServer(tmp_path / "server")
    started.start()
    yield started
    started.kill()


@pytest.mark.slow
def test_an_mlflow_server_that_goes_away_stops_the_cycle_and_not_its_work(
    runs: Runs, prepared: tuple[Path, Path], server: MlflowServer, tmp_path: Path
) -> None:
    folder = make_project(tmp_path / "project")
    on_server = {"environment": {"MLFLOW_TRACKING_URI": server.url}}
    write_day(folder, 1, "x")
    assert runs.run(folder=folder, **on_server).out.startswith("promoted")
    assert any((tmp_path / "server/files").rglob("model.skops")), "the server keeps its own files"
    add_news(folder)

    assert runs.run("--until", "prepare", folder=folder, **on_server).code == 0
    server.kill()
    refused(runs, folder, f"MLflow at {server.url}", "run again", **on_server)
    assert stage(folder) == "prepare"
    server.start()
    run = runs.start(
        "run",
        folder=folder,
        effects={"layers": ["mlflow"], "name": "mlflow.log_outputs", "at": 1, "send": signal.SIGSTOP},
        **on_server,
    )
    run.wait_until_stopped()
    server.kill()  # in the middle of registering
    run.wake()
    complained(run.wait(), f"MLflow at {server.url}", "run again")
    assert stage(folder) == "decide"
    server.start()
    assert runs.run("--until", "promote", folder=folder, **on_server).code == 0
    server.kill()
    done = runs.run(folder=folder, **on_server)  # nothing is asked of MLflow any more
    assert done.out.startswith("promoted: version 2"), done
    assert runs.run(folder=folder, **on_server).out.startswith("waiting")


# ------------------------------------------------------------------------------------------------------------ Postgres


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    started = PostgresServer()
    started.start()
    yield started
    started.close()


@pytest.mark.slow
def test_a_postgres_that_goes_away_stops_the_cycle_and_not_its_work(
    runs: Runs, undisturbed: dict[str, Any], postgres: PostgresServer, tmp_path: Path
) -> None:
    folder = make_project(tmp_path / "project", ledger=postgres.url)
    for day in (1, 2):
        write_day(folder, day, "x")
        assert runs.run(folder=folder).code == 0
    add_news(folder)
    assert runs.run("--until", "prepare", folder=folder).code == 0

    postgres.crash()
    refused(runs, folder, "The ledger postgresql+psycopg://", "cannot be used")
    postgres.start()
    assert stage(folder) == "prepare"
    for effect in ("cycles.save", "registry.register", "journal.intend", "journal.settle"):
        run = runs.start("run", folder=folder, effects={"name": effect, "at": 1, "send": signal.SIGSTOP})
        run.wait_until_stopped()
        postgres.crash()
        run.wake()
        complained(run.wait(), "The ledger postgresql+psycopg://", "cannot be used")
        postgres.start()
    runs.finish(folder)
    assert state(folder) == undisturbed


@pytest.mark.slow
def test_a_session_whose_postgres_went_away_goes_on_when_it_is_back(
    runs: Runs, prepared: tuple[Path, Path], postgres: PostgresServer, tmp_path: Path
) -> None:
    folder = make_project(tmp_path / "project", ledger=postgres.url)
    write_day(folder, 1, "x")
    signs = tmp_path / "signs"
    signs.mkdir()
    session = runs.start(folder=folder, call=["session:run_until_it_works", str(signs)])
    eventually((signs / "monitor").exists, "the session reaching its fourth stage")
    postgres.crash()
    (signs / "gone").touch()
    eventually((signs / "refused").exists, "the session noticing")
    postgres.start()
    (signs / "back").touch()
    done = session.wait()
    assert done.code == 0, done.err
    assert (signs / "outcome").read_text() == "promoted"


# ----------------------------------------------------------------------------------------------------------- full disk


@pytest.fixture
def small_disk() -> Iterator[Any]:
    """mount(folder, spare): puts a folder and what it holds on a disk with so many bytes to spare."""
    mounted: list[Path] = []

    def mount(folder: Path, spare: int) -> None:
        held = folder.with_name(folder.name + ".held")
        folder.rename(held)
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            held.replace(folder)
            pytest.skip(f"mounting a small disk is not permitted: {done.stderr.strip()}")
        mounted.append(folder)
        shutil.copytree(held, folder, dirs_exist_ok=True)
        shutil.rmtree(held)
        fill(folder, spare)

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path, spare: int) -> None:
    """Write a file until only so many bytes are free."""
    free = shutil.disk_usage(folder).free - spare
    with (folder / "filler").open("wb") as file:
        file.write(b"\0" * free)


@pytest.mark.slow
@pytest.mark.parametrize("spare", [0, 20_000, 60_000, 120_000, 200_000, 400_000])
def test_a_full_disk_under_keepfits_state_stops_the_cycle_and_not_its_work(
    runs: Runs, project: Path, undisturbed: dict[str, Any], small_disk: Any, spare: int
) -> None:
    small_disk(project / ".keepfit", spare)
    done = runs.run(folder=project)
    if done.code:  # with much to spare it may just go through
        complained(done)
        assert "disk" in done.err or "space" in done.err, done.err
    (project / ".keepfit/filler").unlink()
    runs.finish(project)
    assert state(project) == undisturbed


@pytest.mark.slow
def test_a_full_disk_under_the_archive_leaves_the_files_whole_until_there_is_room(
    runs: Runs, project: Path, undisturbed: dict[str, Any], small_disk: Any
) -> None:
    small_disk(project / "data/archive", 12_000)  # a part of a file fits
    refused(runs, project, "could not be moved", "No space left on device")
    assert stage(project) == "release"
    assert "inbox/day-3.csv" in files(project)
    (project / "data/archive/filler").unlink()
    runs.finish(project)
    assert state(project) == undisturbed


# ---------------------------------------------------------------------------------------------------- files that vanish


@pytest.mark.parametrize("until", ["collect", "validate", "prepare", "compare"])
def test_a_file_deleted_in_mid_cycle_is_left_out_or_was_consumed(runs: Runs, project: Path, until: str) -> None:
    assert runs.run("--until", until, folder=project).code == 0
    (project / "data/inbox/day-3.csv").unlink()
    done = runs.run(folder=project)
    if until == "validate":  # nothing was prepared yet, and this cycle counted on it
        complained(done, "day-3.csv")
        done = runs.run(folder=project)
    assert done.code == 0, done.err
    assert last_outcome(project) == "promoted"
    expected = {"collect": "quarantined", "validate": "new", "prepare": "archived", "compare": "archived"}
    assert batch_states(project)["day-3.csv"] == expected[until]
    assert not any("day-3.csv" in name for name in files(project))
    assert runs.finish(project)[-1].code == 0


@pytest.mark.parametrize("until", ["collect", "validate", "prepare", "compare"])
def test_a_file_overwritten_in_mid_cycle_is_a_new_batch(runs: Runs, project: Path, until: str) -> None:
    assert runs.run("--until", until, folder=project).code == 0
    write_day(project, 3, "y", 350)
    done = runs.run(folder=project)
    if until == "validate":
        complained(done, "day-3.csv was changed")
    runs.finish(project)
    now = decided(project)["batches"]
    assert ("day-3.csv", 350) in [(name, rows) for name, *_, rows in now]
    assert files(project).get("inbox/day-3.csv") or files(project).get("archive/day-3.csv")


def test_an_inbox_emptied_in_mid_cycle_ends_the_cycle(runs: Runs, project: Path) -> None:
    assert runs.run("--until", "collect", folder=project).code == 0
    inbox = project / "data/inbox"
    shutil.rmtree(inbox)
    done = runs.run(folder=project)
    assert done.code == 0, done.err
    assert last_outcome(project) == "quarantined"
    gone = runs.run(folder=project)
    assert f"The inbox {inbox} is not there any more" in gone.err, "it is not the same as an empty one"
    assert gone.code == 1
    assert last_outcome(project) == "quarantined"
    inbox.mkdir()
    assert runs.finish(project)[-1].code == 0


# ------------------------------------------------------------------------------------------------------- missing rights


@pytest.fixture(scope="module")
def other() -> Iterator[tuple[Path, dict[str, Any]]]:
    """A folder for a user whom rights hold back, and how to run as that user."""
    folder = Path(tempfile.mkdtemp(prefix="keepfit-rights-", dir="/tmp"))
    options: dict[str, Any] = {}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        options = {"user": nobody.pw_uid, "environment": {"HOME": str(folder), "TMPDIR": str(folder)}}
    yield folder / "project", options
    subprocess.run(["chmod", "-R", "u+rwX", folder], check=True)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def prepared_theirs(runs: Runs, prepared: tuple[Path, Path], other: tuple[Path, dict[str, Any]]) -> Path:
    """A copy of that user's project, with a champion and news."""
    folder, options = other
    make_project(folder)
    (folder / "data/quarantine").mkdir()
    write_day(folder, 1, "x")
    hand_over(folder, options)
    assert runs.run(folder=folder, **options).out.startswith("promoted")
    add_news(folder)
    hand_over(folder, options)
    copy = folder.with_name("prepared")
    shutil.move(folder, copy)
    return copy


@pytest.fixture
def theirs(prepared_theirs: Path, other: tuple[Path, dict[str, Any]]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """That user's project, and how to run as that user."""
    folder, options = other
    subprocess.run(["cp", "-a", prepared_theirs, folder], check=True)
    yield folder, options
    subprocess.run(["chmod", "-R", "u+rwX", folder], check=True)
    shutil.rmtree(folder)


def hand_over(folder: Path, options: dict[str, Any]) -> None:
    if user := options.get("user"):
        subprocess.run(["chown", "-R", str(user), folder], check=True)


def test_a_file_that_may_not_be_read_stays_and_holds_up_nothing(runs: Runs, theirs: tuple[Path, dict[str, Any]]) -> None:
    folder, options = theirs
    file = folder / "data/inbox/day-3.csv"
    file.chmod(0)
    assert runs.run(folder=folder, **options).out.startswith("promoted")
    done = runs.run(folder=folder, **options)
    assert "waiting" in done.out
    assert "day-3.csv cannot be read: Permission denied" in done.out
    assert file.exists()
    file.chmod(0o644)
    assert runs.run(folder=folder, **options).code == 0
    assert batch_states(folder)["day-3.csv"] in ("judged", "archived")


WITHOUT_RIGHTS = [
    ("", "data/inbox", 0),
    ("collect", "data/inbox", 0),
    ("validate", "data/inbox", 0),
    ("prepare", "data/inbox", 0o500),
    ("collect", "data/inbox/day-3.csv", 0),
    ("validate", "data/inbox/day-3.csv", 0),
    ("prepare", "data/archive", 0o500),
    ("compare", "data/archive", 0),
    ("", "data", 0o500),
    ("collect", "data/quarantine", 0o500),
    ("collect", "data/quarantine", 0),
    ("validate", ".keepfit/prepared", 0o500),
    ("prepare", ".keepfit/prepared", 0),
    ("decide", ".keepfit/artifacts", 0o500),
    ("decide", ".keepfit/artifacts", 0),
    ("", ".keepfit/ledger.db", 0o400),
    ("", ".keepfit/ledger.db", 0),
    ("", ".keepfit", 0o500),
    ("prepare", ".keepfit/mlflow.db", 0),
    ("prepare", ".keepfit/mlflow.db", 0o400),
    ("", ".keepfit/code", 0),
    ("prepare", ".keepfit/code", 0),
]


@pytest.mark.slow
@pytest.mark.parametrize(("until", "path", "mode"), WITHOUT_RIGHTS)
def test_what_may_not_be_used_stops_the_cycle_until_it_may(
    runs: Runs, theirs: tuple[Path, dict[str, Any]], until: str, path: str, mode: int
) -> None:
    folder, options = theirs
    if until:
        assert runs.run("--until", until, folder=folder, **options).code == 0
    before = (folder / path).stat().st_mode
    (folder / path).chmod(mode)
    done = runs.run(folder=folder, **options)
    if done.code:
        complained(done)
        assert Path(path).name in done.err, done.err
    for each in (folder / path).parent.glob(f"{Path(path).name}*"):  # SQLite gives the files beside its own the same rights
        each.chmod(before)
    promoted = [each.out.startswith("promoted") for each in runs.finish(folder, **options)]
    hand_over(folder, options)
    assert promoted.count(True) == (1 if done.code else 0)
    assert [outcome for _, outcome, *_ in decided(folder)["cycles"]] == ["promoted", "promoted"], done.err
    assert len(registered(folder)["versions"]) == 2
    assert set(batch_states(folder).values()) == {"archived", "quarantined"}
