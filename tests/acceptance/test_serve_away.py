"""Registry, ledger and disk go away, are slow, and come back; answers go on, and /ready says what is wrong."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.acceptance.runs import eventually
from tests.acceptance.servers import MlflowServer, PostgresServer
from tests.acceptance.serving import ROW, Load, Served, make_served, stretched

import keepfit

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path_factory.mktemp("tracking") / "server")
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def ledger() -> Iterator[PostgresServer]:
    server = PostgresServer()
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def remote(mlflow: MlflowServer, ledger: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose registry and ledger are servers."""
    folder = tmp_path_factory.mktemp("remote") / "project"
    return make_served(folder, ledger=ledger.url, tracking=mlflow.url)


def problem(server: Served, what: str) -> str:
    return str(server.get("/ready")["problems"].get(what, ""))


def test_answers_go_on_while_registry_and_ledger_are_away_and_follow_when_they_are_back(
    remote: Path, mlflow: MlflowServer, ledger: PostgresServer
) -> None:
    with Served(remote) as server, keepfit.open(remote) as project:
        server.wait_until_it_follows()
        with Load([server.url], ROW, clients=1) as load:
            ledger.crash()
            eventually(lambda: problem(server, "ledger"), "the ledger being said to be away", 30)
            project_client = project.ports.shelf
            assert project_client.pointed("champion")
            mlflow.kill()
            eventually(lambda: problem(server, "registry"), "the registry being said to be away", 30)
            assert server.is_ready
            assert server.client.post("/models/rollback", json={"reason": "now"}).status_code == 503
            ledger.start()
            mlflow.start()
            eventually(lambda: not server.get("/ready")["problems"], "all being well again", 40)
            project.promote("2", "a test")
            eventually(lambda: server.version == "2", "the promoted version answering", 10)
            mlflow_pause(mlflow, signal.SIGSTOP)
            eventually(lambda: problem(server, "registry"), "a slow registry being told of", 30)
            load.wait_for(20)
            mlflow_pause(mlflow, signal.SIGCONT)
            eventually(lambda: not problem(server, "registry"), "it being quick again", 40)
        assert not load.bad


def mlflow_pause(mlflow: MlflowServer, number: int) -> None:
    assert mlflow._process is not None
    os.killpg(mlflow._process.pid, number)


def test_the_last_champion_serves_at_a_start_without_registry_and_ledger(
    remote: Path, mlflow: MlflowServer, ledger: PostgresServer
) -> None:
    mlflow.kill()
    ledger.crash()
    try:
        with Served(remote) as server:
            assert server.predict(ROW)["model_version"]
            eventually(lambda: problem(server, "registry") and problem(server, "ledger"), "both being said to be away", 30)
    finally:
        ledger.start()
        mlflow.start()


@pytest.mark.parametrize("on_full", ["stop", "continue"])
def test_on_a_full_disk_it_stops_or_goes_on_as_it_was_told_and_says_so(served_project: Path, on_full: str) -> None:
    with Served(served_project, environment={"KEEPFIT_SERVE__LOG__ON_FULL": on_full}) as server:
        assert server.predict(ROW)["logged"]
        (worker,) = server.workers
        everything = resource.prlimit(worker, resource.RLIMIT_FSIZE)
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (0, everything[1]))
        if on_full == "stop":
            assert eventually(lambda: _failure(server), "an answer being held back") == 503
            assert server.client.get("/ready").status_code == 503
        else:
            assert server.predict(ROW)["logged"] is False
            assert server.client.get("/ready").status_code == 200
        assert problem(server, "log")
        resource.prlimit(worker, resource.RLIMIT_FSIZE, everything)
        eventually(lambda: server.is_ready and not problem(server, "log"), "the log being written again", 10)
        assert server.predict(ROW)["logged"]


def test_an_office_that_cannot_write_lives_on_and_the_workers_say_that_it_is_silent(served_project: Path) -> None:
    with Served(served_project) as server, keepfit.open(served_project) as project:
        server.wait_until_it_follows()
        office, before = server.office, server.version
        other = "2" if before != "2" else "3"
        everything = resource.prlimit(office, resource.RLIMIT_FSIZE)
        resource.prlimit(office, resource.RLIMIT_FSIZE, (0, everything[1]))
        with Load([server.url], ROW, clients=1) as load:
            project.ports.registry.point("champion", before, other)
            eventually(lambda: problem(server, "office").startswith("silent since"), "the silence being told", 30)
            assert server.is_ready
            resource.prlimit(office, resource.RLIMIT_FSIZE, everything)
            eventually(lambda: server.version == other, "the alias being followed after all", 20)
            eventually(lambda: not server.get("/ready")["problems"], "all being well again", 20)
        assert not load.bad
        assert (server.office, server.said("ended")) == (office, [])


def test_an_office_that_hangs_is_said_to_be_silent_and_nobody_waits_for_it_for_long(served_project: Path) -> None:
    with Served(served_project) as server:
        server.wait_until_it_follows()
        os.kill(server.office, signal.SIGSTOP)
        began = time.monotonic()
        refused = server.client.get("/models/comparison")
        assert time.monotonic() - began < stretched(15)
        assert (refused.status_code, int(refused.headers["retry-after"])) == (503, 1)
        eventually(lambda: problem(server, "office").startswith("silent since"), "the silence being told", 30)
        assert server.is_ready
        assert server.predict(ROW)["logged"]
        os.kill(server.office, signal.SIGCONT)
        eventually(lambda: not problem(server, "office"), "it being heard again", 10)
        assert server.client.get("/models/comparison").status_code == 200


def _failure(server: Served) -> int:
    status = server.client.post("/predict", json=ROW).status_code
    return status if status != 200 else 0
