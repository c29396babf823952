"""The same project and dates come to the same end whoever runs them. Prefect's and Airflow's part is where their servers are:
`test_prefect.py`, `test_airflow.py`; the watcher's in `test_watch.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.lives import DAYS, churn_project, end_of

import keepfit
from keepfit.cycle import NAMES

pytestmark = pytest.mark.slow


def test_the_days_by_hand_have_seen_all_that_can_come_of_a_training(churn_by_hand: dict[str, Any]) -> None:
    assert churn_by_hand["versions"] == [1, 2, 3]
    assert churn_by_hand["trainings"] == ["promoted", "inconclusive", "promoted"]
    assert len(churn_by_hand["archive"]) == 3
    assert not churn_by_hand["inbox"]


def test_stage_by_stage_as_an_orchestrator_does_it_comes_to_the_same_end(churn_by_hand: dict[str, Any], tmp_path: Path) -> None:
    folder = churn_project(tmp_path / "project")
    for day in DAYS:
        with keepfit.open(folder) as project:
            project.simulate(day, 1)
            cycle = project.run(until=NAMES[0])
        for stage in NAMES[1:]:
            with keepfit.open(folder) as project:  # each in a process of its own, as far as the project can tell
                done = project.run(until=stage, cycle=cycle.id)
                assert done.id == cycle.id
                assert done.stage == stage or done.outcome is not None
    assert end_of(folder) == churn_by_hand
