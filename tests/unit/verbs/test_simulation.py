"""Days that are made up once, however often they are asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import keepfit
from keepfit.records import Batch, Place

SETTINGS = """
[project]
name = "walk"
task = "regression"

[data]
target = "answer"
settle = "0s"

[simulate]
function = "generator:simulate"
quality = "generator:quality"
file_name = "{day:%Y}/day-{day}.csv"
"""
GENERATOR = """
import pandas as pd

def simulate(day, seed, factor=1):
    return pd.DataFrame({"x": [day.day, seed], "answer": [factor, 2]})

def quality(frame):
    return {"rows": len(frame), "largest": frame["x"].max()}
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[keepfit.Project]:
    (tmp_path / "data/inbox").mkdir(parents=True)
    (tmp_path / "keepfit.toml").write_text(SETTINGS)
    (tmp_path / "generator.py").write_text(GENERATOR)
    with keepfit.open(tmp_path) as opened:
        yield opened


def made(project: keepfit.Project, days: int = 1, **options: Any) -> list[bool]:
    return [each.new for each in project.simulate("2026-03-01", days, options, once=True)]


def move(project: keepfit.Project, name: str, to: Place) -> Batch:
    arrivals = {arrival.name: arrival for arrival in project.ports.inbox.list(Place.INBOX)}
    batch = project.ports.inbox.identify(arrivals[name], Place.INBOX)
    assert batch is not None
    return project.ports.inbox.move(batch, to, "why")


def test_it_tells_of_each_day_what_was_written(project: keepfit.Project) -> None:
    first, second = project.simulate("2026-03-01", 2)
    assert (first.file, first.date, first.rows, first.new) == ("2026/day-2026-03-01.csv", "2026-03-01", 2, True)
    assert first.quality == {"rows": 2, "largest": "7"}  # a number of numpy's is written as text, as before
    inbox = project.config.root / "data/inbox/2026"
    assert json.loads((inbox / "day-2026-03-02.quality.json").read_text()) == {"day": second.date, **(second.quality or {})}


def test_a_day_that_lies_in_the_inbox_is_made_again_unless_it_is_to_be_made_once(project: keepfit.Project) -> None:
    assert made(project, 2) == [True, True]
    assert made(project, 3, factor=5) == [False, False, True]
    assert "5,2" not in (project.config.root / "data/inbox/2026/day-2026-03-01.csv").read_text()
    assert [each.new for each in project.simulate("2026-03-01", 2)] == [True, True]


def test_a_day_that_was_consumed_is_not_made_again(project: keepfit.Project) -> None:
    made(project)
    move(project, "2026/day-2026-03-01.csv", Place.ARCHIVE)
    assert made(project) == made(project, factor=5) == [False]
    assert not list((project.config.root / "data/inbox").rglob("*.csv"))


def test_a_day_that_was_refused_is_made_again_when_it_has_become_another(project: keepfit.Project) -> None:
    made(project, factor=5)
    move(project, "2026/day-2026-03-01.csv", Place.QUARANTINE)
    assert made(project, factor=5) == [False]
    assert made(project) == [True]
