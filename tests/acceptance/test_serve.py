"""`keepfit serve`: starts, answers, is asked to end."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.acceptance.runs import eventually
from tests.acceptance.serving import ROW, Load, Served, is_alive, logged_ids, stretched

import keepfit
from keepfit.ports import moves_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(served_project: Path) -> Iterator[Served]:
    with Served(served_project, "--workers", "2") as started:
        started.wait_until_it_follows()
        yield started


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "keepfit.cli.main", *arguments, "--project", str(folder)]
    return subprocess.run(line, capture_output=True, text=True, timeout=60)


def test_a_server_answers_and_what_it_answered_is_in_the_log(server: Served, served_project: Path) -> None:
    ids = {server.predict(ROW)["request_id"] for _ in range(20)}
    assert len(ids) == 20
    eventually(lambda: ids <= set(logged_ids(served_project)), "the answers being in the log", 30)


def test_rolling_back_takes_under_a_second_and_a_running_office_does_it(server: Served, served_project: Path) -> None:
    with keepfit.open(served_project) as project:
        first = server.version
        other = "2" if first != "2" else "3"
        project.promote(other, "a test")
        eventually(lambda: server.version == other, "the promoted version answering", 5)
        bar, began = stretched(1), time.monotonic()
        done = command(served_project, "rollback", "--reason", "it was worse")
        took = time.monotonic() - began
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"champion: version {other} -> {first} (it was worse)\n"
        assert took < max(bar, stretched(1)), "the command itself, with the start of Python"
        eventually(lambda: server.version == first, "the version before answering", 5)
        newest = project.ports.ledger.audit.recent("walk", 2)
        assert [(entry.act, entry.actor) for entry in newest] == [("rollback", "command line"), ("promote", "command line")]


def test_rolling_back_by_the_api_is_answered_when_the_alias_has_moved(server: Served, served_project: Path) -> None:
    with keepfit.open(served_project) as project:
        project.promote("4" if server.version != "4" else "3", "a test")
        champion = project.ports.registry.champion()
        assert champion is not None
        bar, began = stretched(1), time.monotonic()
        answer = server.client.post("/models/rollback", json={"reason": "it was worse"})
        took = time.monotonic() - began
        assert took < max(bar, stretched(1))
        assert answer.status_code == 200, answer.text
        after = project.ports.registry.champion()
        assert after is not None
        assert (answer.json()["from_version"], answer.json()["to_version"]) == (champion.version, after.version)
        assert project.ports.ledger.audit.recent("walk", 1)[0].actor == "anonymous"


def test_while_somebody_else_moves_the_alias_a_rollback_is_a_conflict(server: Served, served_project: Path) -> None:
    with keepfit.open(served_project) as project:
        leases = project.ports.ledger.leases
        lease = leases.acquire(moves_of("walk"), "somebody", 30)
        try:
            assert server.client.post("/models/rollback", json={"reason": "now"}).status_code == 409
        finally:
            leases.release(lease)


def test_an_alias_that_is_deleted_leaves_the_champion_answering_and_people_are_told(server: Served, served_project: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{served_project}/.keepfit/mlflow.db")
    version = str(client.get_model_version_by_alias("walk", "champion").version)
    eventually(lambda: server.version == version, "the champion answering", 10)
    with keepfit.open(served_project) as project, Load([server.url], ROW) as load:
        load.wait_for(20)
        client.delete_registered_model_alias("walk", "champion")
        try:
            told = eventually(lambda: server.get("/ready")["problems"].get("alias"), "/ready telling of it", 10)
            assert f"version {version} goes on answering" in told
            since = time.time()
            load.wait_for(50)
            alerts = eventually(
                lambda: [each for each in project.alerts() if each.alert.subject == "alias"], "people being told", 10
            )
            assert len(alerts) == 1
        finally:
            client.set_registered_model_alias("walk", "champion", version)
        eventually(lambda: "alias" not in server.get("/ready")["problems"], "it being followed again", 10)
    assert not load.bad
    assert {answer.version for answer in load.good if answer.sent > since} == {version}


def test_an_api_key_is_followed_without_a_restart(served_project: Path) -> None:
    with (
        keepfit.open(served_project) as project,
        Served(served_project, environment={"KEEPFIT_SERVE__AUTHENTICATION": "required"}) as server,
    ):
        assert server.client.post("/predict", json=ROW).status_code == 401
        key = project.add_key("tests", ["predict"])
        header = {"X-API-Key": key}
        eventually(lambda: server.client.post("/predict", json=ROW, headers=header).status_code == 200, "the key being known", 10)
        project.revoke_key("tests")
        eventually(lambda: server.client.post("/predict", json=ROW, headers=header).status_code == 401, "it being worthless", 10)


def test_it_does_not_listen_to_others_without_a_key(served_project: Path) -> None:
    done = command(served_project, "serve", "--host", "0.0.0.0", "--port", "0")  # noqa: S104 - it refuses
    assert done.returncode == 2
    assert "keepfit keys add" in done.stderr


def test_a_port_that_is_taken_is_said(server: Served, served_project: Path) -> None:
    done = command(served_project, "serve", "--port", server.url.rpartition(":")[2])
    assert done.returncode == 2
    assert "Address already in use" in done.stderr


def test_asked_to_end_it_answers_what_is_under_way_and_logs_it(served_project: Path) -> None:
    with Served(served_project, "--workers", "2") as server:
        everybody = server.processes
        with Load([server.url], ROW, clients=4) as load:
            load.wait_for(300)
            assert server.stop() == 0
            load.stop()
        assert not [answer for answer in load.bad if answer.status], "connections may be refused, but nobody is told an error"
        assert not [pid for pid in everybody if is_alive(pid)]
    ids = logged_ids(served_project)
    assert {answer.request_id for answer in load.good} <= set(ids)
    assert len(ids) == len(set(ids))
    assert not list((served_project / ".keepfit/serving/servers").glob(f"*{server.process.pid}*"))


def test_it_is_ready_within_five_seconds_with_a_warm_cache(served_project: Path) -> None:
    with Served(served_project, "--workers", "2") as server:
        assert server.ready_after < stretched(5)
        server.process.send_signal(signal.SIGINT)  # Ctrl-C ends it as well
        assert server.process.wait(30) == 0


def test_nothing_in_the_front_has_threads_that_a_fork_would_lose(server: Served) -> None:
    threads = [task.joinpath("comm").read_text().strip() for task in Path(f"/proc/{server.process.pid}/task").iterdir()]
    assert len([name for name in threads if name != "jemalloc_bg_thd"]) == 1  # that allocator knows of forks
