from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.lives import by_hand, once
from tests.acceptance.project import add_news, make_project, state, write_day
from tests.acceptance.runs import Done, Runs
from tests.acceptance.serving import make_served
from tests.postgres import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]


@pytest.fixture(scope="session")
def runs() -> Iterator[Runs]:
    """Starts keepfit in processes."""
    started = Runs()
    yield started
    started.close()


@pytest.fixture(autouse=True)
def _nobody_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that fails leaves no process behind."""
    yield
    if "runs" in request.fixturenames:
        request.getfixturevalue("runs").end_all()


@pytest.fixture(scope="session")
def prepared(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Where the project of a test lies, and a copy of what it holds: version 1 is the champion, one file was judged since
    and waits in the inbox, and new ones have come that lead to a promotion.

    MLflow keeps absolute addresses, so every test works in the same folder, restored.
    """
    place = tmp_path_factory.mktemp("keepfit")
    folder, copy = place / "project", place / "prepared"
    _give_a_life(make_project(folder), runs.learn)
    shutil.copytree(folder, copy)
    return folder, copy


def _give_a_life(folder: Path, keepfit: Callable[..., Done]) -> None:
    write_day(folder, 1, "x")
    first = keepfit("run", folder=folder)
    assert first.out.startswith("promoted"), first
    write_day(folder, 2, "x")
    second = keepfit("run", folder=folder)
    assert second.out.startswith("healthy"), second
    add_news(folder)


@pytest.fixture
def project(prepared: tuple[Path, Path]) -> Path:
    """The folder of a project whose next cycle promotes."""
    return restored(prepared)


@pytest.fixture
def postgres_project(runs: Runs, prepared: tuple[Path, Path], postgres_url: str, tmp_path: Path) -> Path:
    """Another such project, whose ledger is in Postgres."""
    folder = make_project(tmp_path / "on-postgres", ledger=postgres_url)
    _give_a_life(folder, lambda *arguments, folder: runs.start(*arguments, folder=folder).wait())
    return folder


@pytest.fixture(scope="session")
def served_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project to be served, with four versions. Whoever promotes one leaves it promoted."""
    return make_served(tmp_path_factory.mktemp("served") / "project")


@pytest.fixture(scope="session")
def churn_by_hand(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """How three days of churn end by the command line, which every other way of running them must come to as well."""
    root = tmp_path_factory.getbasetemp()
    shared = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    return once(shared / "churn-by-hand", lambda folder: by_hand(folder, runs.learn))


@pytest.fixture(scope="session")
def undisturbed(runs: Runs, prepared: tuple[Path, Path]) -> dict[str, Any]:
    """The state that the project comes to when nothing happens to the runs."""
    folder = restored(prepared)
    done = runs.finish(folder)
    assert [each.out.split(":")[0] for each in done] == ["promoted", "waiting"]
    return state(folder)


def restored(prepared: tuple[Path, Path]) -> Path:
    """The folder as it was prepared."""
    folder, copy = prepared
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(copy, folder)
    return folder
