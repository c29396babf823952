"""Every worker of every replica follows the alias, and nobody who asks meanwhile is turned away."""

from __future__ import annotations

import itertools
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.acceptance.runs import eventually
from tests.acceptance.serving import ROW, Load, Served, logged_ids, several, stretched

import keepfit
from keepfit.project import Project

pytestmark = pytest.mark.slow

BAR = 1.0  # seconds after which nobody is answered by a version that was replaced, on a quiet machine


@pytest.fixture(scope="module")
def project(served_project: Path) -> Iterator[Project]:
    with keepfit.open(served_project) as opened:
        yield opened


@pytest.fixture(scope="module")
def replicas(served_project: Path) -> Iterator[list[Served]]:
    def start() -> Served:
        return Served(served_project, "--workers", "2")

    with several(start, start) as servers:
        for server in servers:
            server.wait_until_it_follows()
        yield servers


@dataclass
class Move:
    version: str
    began: float
    at: float  # when the alias had moved


def moves(project: Project, versions: list[str]) -> Iterator[Move]:
    """Promotes these in turn, by keepfit and by hand in MLflow."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{project.config.root}/.keepfit/mlflow.db")
    for number, version in enumerate(versions):
        began = time.time()
        if number % 2:
            client.set_registered_model_alias("walk", "champion", version)
        else:
            project.promote(version, "a test")
        yield Move(version, began, time.time())


def follow(project: Project, replicas: list[Served], versions: list[str]) -> tuple[list[float], Load]:
    """Promote under load, each once every worker answers with the one before; returns for each the seconds after which the last
    question was sent that another version answered. On a machine that is busy just then they count as many times less as work
    takes longer."""
    with Load([server.url for server in replicas], ROW) as load:
        load.wait_for(100)
        done, busy = [], []
        for move in moves(project, versions):
            done.append(move)
            before = stretched(1)
            eventually(lambda: have_swapped(replicas, move.version), f"version {move.version} answering everywhere")  # noqa: B023
            load.wait_for(20)
            busy.append(max(before, stretched(1)))
    late = []
    for move, after, slower in itertools.zip_longest(done, done[1:], busy):
        until = after.began if after else time.time()
        answers = [answer for answer in load.good if move.at <= answer.sent < until]
        assert any(answer.version == move.version for answer in answers)
        late.append(max((answer.sent - move.at for answer in answers if answer.version != move.version), default=0.0) / slower)
    return late, load


def have_swapped(replicas: list[Served], version: str) -> bool:
    """Whether this version was the last that each worker of each replica said it swapped to."""
    for server in replicas:
        last = {swap["worker"]: swap["version"] for swap in server.said("swap")}
        if len(last) < 2 or set(last.values()) != {version}:
            return False
    return True


def test_a_promotion_reaches_every_worker_of_every_replica_within_a_second(project: Project, replicas: list[Served]) -> None:
    late, load = follow(project, replicas, promoted(project, 8))
    assert not load.bad
    assert max(late) < BAR, late
    ids = eventually(lambda: _all_there(project, load), "the answers being in the log", 30)
    assert len(ids) == len(set(ids))


@pytest.mark.skipif("KEEPFIT_FIFTY" not in os.environ, reason="takes over a minute: set KEEPFIT_FIFTY=1")
def test_fifty_promotions(project: Project, replicas: list[Served], record_property: Callable[[str, object], None]) -> None:
    late, load = follow(project, replicas, promoted(project, 50))
    told = f"last question to a replaced version: p50 {sorted(late)[25]:.2f} s, max {max(late):.2f} s; {len(load.good)} answers"
    record_property("swaps", told)
    assert not load.bad
    assert max(late) < BAR, late


def promoted(project: Project, count: int) -> list[str]:
    """So many versions in turn, none of which is the champion when its turn comes."""
    champion = project.ports.registry.champion()
    assert champion is not None
    turn = itertools.cycle("1234")
    while next(turn) != champion.version:
        pass
    return [next(turn) for _ in range(count)]


def _all_there(project: Project, load: Load) -> list[str]:
    ids = logged_ids(project.config.root)
    return ids if {answer.request_id for answer in load.good} <= set(ids) else []


def test_a_version_that_cannot_be_loaded_is_refused_while_the_old_one_serves(tmp_path: Path, served_project: Path) -> None:
    """One whose file was damaged on its way here."""
    with keepfit.open(served_project) as project, Served(served_project, "--workers", "2") as server:
        server.wait_until_it_follows()
        before, broken = server.version, "2" if server.version != "2" else "3"
        shelf = project.ports.shelf
        uri = _model_folder(project, broken)
        whole = tmp_path / "whole"
        shutil.copytree(uri, whole)
        cached = next((served_project / ".keepfit/serving/versions").glob(f"{broken}-*"), None)
        if cached is not None:
            shutil.rmtree(cached)
        model = uri / "model.skops"
        model.write_bytes(model.read_bytes()[:-200])
        try:
            from mlflow import MlflowClient

            client = MlflowClient(f"sqlite:///{served_project}/.keepfit/mlflow.db")
            with Load([server.url], ROW) as load:
                load.wait_for(20)
                client.set_registered_model_alias("walk", "champion", broken)
                told = eventually(lambda: server.get("/ready")["problems"].get(f"version {broken}"), "the refusal being told", 10)
                assert told.startswith(("cannot be served", "is refused"))
                load.wait_for(20)
                assert not load.bad
                assert {answer.version for answer in load.good} == {before}
            alerts = eventually(
                lambda: [each for each in project.alerts() if each.alert.subject == f"serving {broken}"] or project.config.alerts,
                "people being told",
                10,
            )
            assert alerts
            assert shelf.version(broken).version == broken
            client.set_registered_model_alias("walk", "champion", str(before))
            eventually(lambda: not server.get("/ready")["problems"], "all being well again", 10)
        finally:
            shutil.rmtree(uri)
            shutil.copytree(whole, uri)
    for damaged in (served_project / ".keepfit/serving/versions").glob(f"{broken}-*"):
        shutil.rmtree(damaged)  # the servers of other tests share this cache, and would try it again only after half a minute


def _model_folder(project: Project, version: str) -> Path:
    from urllib.parse import urlparse

    from mlflow import MlflowClient

    uri = MlflowClient(f"sqlite:///{project.config.root}/.keepfit/mlflow.db").get_model_version_download_uri("walk", version)
    return Path(urlparse(uri).path)
