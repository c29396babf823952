"""A wait is given again only while nothing has come: to the inbox, to the ledger, or to the log's labels."""

from __future__ import annotations

import fcntl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from keepfit.config import Config
from keepfit.idle import glance, recall, remember, takes_in
from keepfit.records import Cycle, Outcome

NOW = datetime(2026, 3, 1, tzinfo=UTC)
WAITING = Cycle(id="c1", project="demo", started_at=NOW, finished_at=NOW, outcome=Outcome.WAITING, reason="0 of 1", stage="collect")


def config(root: Path, **log: Any) -> Config:
    tree = {"project": {"name": "demo", "task": "regression"}, "data": {"target": "y"}, "serve": {"log": log}}
    return Config.of(tree, root)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project that was served for a while."""
    for name in ("data/inbox", ".keepfit/spool", ".keepfit/log/labels/date=2026-03-01", ".keepfit/log/predictions/date=2026-03-01"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / ".keepfit/ledger.db").touch()
    (tmp_path / ".keepfit/log/labels/date=2026-03-01/1.parquet").touch()
    return tmp_path


def arrive(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


@pytest.mark.parametrize(
    "name",
    [
        "data/inbox/new.csv",
        ".keepfit/log/labels/date=2026-03-01/2.parquet",
        ".keepfit/log/labels/date=2026-03-02/1.parquet",
        ".keepfit/spool/1-w1.1.jsonl",
    ],
)
def test_what_has_come_ends_the_wait(folder: Path, name: str) -> None:
    settings, state = config(folder), folder / ".keepfit"
    remember(WAITING, [], glance(settings), settings, state)
    assert recall(settings, state) == WAITING
    arrive(folder / name)
    assert recall(settings, state) is None


@pytest.mark.parametrize(
    "name", [".keepfit/log/predictions/date=2026-03-01/2.parquet", ".keepfit/log/spans/000001.parquet", "x.csv"]
)
def test_what_calls_for_nothing_does_not_end_the_wait(folder: Path, name: str) -> None:
    settings, state = config(folder), folder / ".keepfit"
    remember(WAITING, [], glance(settings), settings, state)
    arrive(folder / name)
    assert recall(settings, state) == WAITING


def test_a_spool_counts_once_its_writer_is_gone(folder: Path) -> None:
    settings = config(folder)
    before = glance(settings)
    with (folder / ".keepfit/spool/1-w1.1.jsonl").open("w") as written:
        fcntl.flock(written, fcntl.LOCK_EX)
        assert glance(settings) == before
    assert glance(settings) != before


def test_what_came_while_the_run_looked_is_not_slept_over(folder: Path) -> None:
    settings, state = config(folder), folder / ".keepfit"
    before = glance(settings)
    arrive(folder / ".keepfit/log/labels/date=2026-03-01/2.parquet")  # the run may have looked before that
    remember(WAITING, [], before, settings, state)
    assert recall(settings, state) is None


def test_a_wait_with_a_remark_is_not_remembered(folder: Path) -> None:
    settings, state = config(folder), folder / ".keepfit"
    noted = Cycle(**{**vars(WAITING), "notes": ("the labels in the prediction log wait",)})
    remember(noted, [], glance(settings), settings, state)
    assert recall(settings, state) is None


def test_a_log_that_is_elsewhere_is_looked_at_each_time_unless_it_is_not_taken_in(folder: Path) -> None:
    state = folder / ".keepfit"
    elsewhere = config(folder, url="s3://bucket/log")
    assert glance(elsewhere) is None
    remember(WAITING, [], glance(elsewhere), elsewhere, state)
    assert recall(elsewhere, state) is None
    left = config(folder, url="s3://bucket/log", intake=False)
    remember(WAITING, [], glance(left), left, state)
    assert recall(left, state) == WAITING


def test_only_a_project_with_a_log_is_looked_at_for_labels(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    never = tmp_path_factory.mktemp("never")
    assert not takes_in(config(never))
    assert takes_in(config(never, url="s3://bucket/log"))
    assert takes_in(config(folder))
    assert not takes_in(config(folder, intake=False))
    (never / "elsewhere").mkdir()
    assert takes_in(config(never, spool="elsewhere"))
    assert takes_in(config(never, url="elsewhere"))
