"""The generated DAGs in a real Airflow, in its own environment, by what `airflow dags test` does."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.acceptance.airflow_home import PYTHON, Airflow, Days, quick_keepfit
from tests.acceptance.lives import DAYS, churn_project, end_of, once
from tests.acceptance.project import make_project, write_day
from tests.acceptance.runs import Runs

import keepfit
from keepfit.config import load
from keepfit.cycle import NAMES
from keepfit.records import Cycle
from keepfit.schedules.airflow_dags import PIPELINES, files
from keepfit.schedules.writing import put

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),  # everything happens before the first test, while others wait for it
    pytest.mark.skipif(not PYTHON.exists(), reason="Airflow's environment is not installed: `make test` installs it"),
]

GENERATION, PREPARATION, TRAINING = PIPELINES
EARLIER, LATER, BY_COMMAND, BROKEN = "2025-12-31", "2026-01-04", "2026-01-05", "2026-01-06"


@pytest.fixture(scope="module")
def life(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What became of two projects in Airflow; told once to all test processes."""
    root = tmp_path_factory.getbasetemp()
    shared = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    return once(shared / "airflow", lambda folder: live(folder, runs))


def live(place: Path, runs: Runs) -> dict[str, Any]:
    churn, walk = churn_project(place / "churn"), make_project(place / "walk")
    settings = churn / "keepfit.toml"
    text = settings.read_text().replace('start = "2026-01-01"', 'start = "2025-12-01"').replace("[data]", '[data]\nsettle = "0s"')
    settings.write_text(f'{text}\n[deploy]\nretries = 0\n\n[simulate.options]\nbroken = ["{BROKEN}"]\n')
    airflow = Airflow(place / "home", place / "dags")
    for folder in (churn, walk):
        put(files(load(folder), place / "dags"))
    migrated = airflow.command("db", "migrate")
    assert migrated.code == 0, migrated.err
    with tempfile.TemporaryDirectory(prefix="keepfit-") as short, quick_keepfit(runs, churn, Path(short)) as command:
        days = Days(airflow, command)
        try:
            return {"parsed": days.ask(), **_live_churn(days, airflow, churn), "walk": _live_walk(days, walk)}
        finally:
            days.close()


def _live_churn(days: Days, airflow: Airflow, folder: Path) -> dict[str, Any]:
    """Days in their order; one of them again; an earlier and a later one before the first of them is trained on; a broken one; one
    by the plain command; and a training that somebody wants."""

    def run(day: str, *dags: str) -> list[Any]:
        return [days.ask(dag=dag, date=day) for dag in dags or PIPELINES]

    found: dict[str, Any] = {"in order": {day: run(day) for day in DAYS}, "end": end_of(folder)}
    found["variables"] = _variables(days)
    found["again"] = run(DAYS[1])
    found["end again"] = end_of(folder)
    found["earlier"] = run(EARLIER, GENERATION, PREPARATION)
    found["later"] = run(LATER, GENERATION, PREPARATION)
    found["waiting"] = _folders(folder)
    found["trained"] = run(EARLIER, TRAINING) + run(LATER, TRAINING) + run(BY_COMMAND, TRAINING)
    found["broken"] = run(BROKEN, GENERATION, PREPARATION, TRAINING) + run(BROKEN, GENERATION, PREPARATION)
    found["files"] = _data_files(folder)
    found["end of all"] = end_of(folder)
    by_command = airflow.command("dags", "test", GENERATION, BY_COMMAND)
    found["by command"] = [by_command.code, by_command.out[-2000:] + by_command.err[-2000:]]
    found["made by command"] = _data_files(folder)["raw_data"]
    found["variables before"] = _variables(days)
    days.ask(variable="last_trained_data", delete=True)
    found["forced"] = run(BY_COMMAND, TRAINING) + run(BROKEN, TRAINING)
    found["variables after"] = _variables(days)
    return found | {"folders": _folders(folder), "trainings": _trainings(folder)}


def _live_walk(days: Days, folder: Path) -> dict[str, Any]:
    write_day(folder, 1, "x")
    asked = [{"date": "2026-01-01"}, {"date": "2026-01-02"}, {"date": "2026-01-03", "conf": {"force_retrain": True}}]
    return {"runs": [days.ask(dag="walk", **each) for each in asked], "trainings": _trainings(folder)}


def _variables(days: Days) -> dict[str, Any]:
    told = {name: days.ask(variable=name) for name in ("latest_prepared_data", "last_trained_data")}
    return {name: json.loads(value) if value else None for name, value in told.items()}


def _folders(folder: Path) -> dict[str, Any]:
    """What is said of each folder of prepared rows, and the rows that are in it."""
    found = {}
    for path in sorted((folder / "prepared_data").iterdir()):
        facts = json.loads((path / "metadata.json").read_text())
        rows = {part: pl.read_parquet(path / f"{part}.parquet") for part in ("training", "holdout")}
        found[path.name] = {
            "whole": facts["whole"],
            "files": [each["name"] for each in facts["files"]],
            "told": facts["rows"]["training"] + facts["rows"]["holdout"],
            "ids": sorted(rows["training"]["customer_id"].to_list() + rows["holdout"]["customer_id"].to_list()),
        }
    return found


def _data_files(folder: Path) -> dict[str, list[str]]:
    """The days whose file lies in each of the three places."""
    return {
        place: sorted(
            "-".join(part.partition("=")[2] for part in path.parts[-4:-1]) for path in (folder / place).rglob("*.parquet")
        )
        for place in ("raw_data", "used_data", "quarantine")
    }


def _trainings(folder: Path) -> list[Any]:
    """Of every cycle that trained: on what set of data, whether somebody wanted it, and its outcome; the oldest first."""
    with keepfit.open(folder) as project:
        cycles: list[Cycle] = [cycle for cycle in project.history(100) if cycle.candidate is not None]
    return [(cycle.candidate.trained_on, cycle.forced, str(cycle.outcome)) for cycle in reversed(cycles) if cycle.candidate]


def states(run: Any) -> list[str]:
    return list(run["tasks"].values())


SKIPPED_AFTER_FIRST = ["success", "skipped", "skipped", "skipped", "skipped"]


def test_every_generated_file_passes_airflows_own_parser(life: dict[str, Any]) -> None:
    assert life["parsed"]["errors"] == {}
    assert life["parsed"]["dags"] == {
        "walk": list(NAMES),
        "01_data_generation_pipeline": ["generate_customer_data", "check_data_quality", "publish_raw_data"],
        "02_data_preparation_pipeline": [
            "load_raw_data",
            "validate_raw_data",
            "prepare_features",
            "save_prepared_data",
            "publish_prepared_data",
        ],
        "03_model_training_pipeline": [
            "check_for_new_data",
            "monitor_champion",
            "decide_retraining",
            "train_models",
            "compare_models",
            "promote_model",
            "release_model",
            "archive_data",
            "update_last_trained_data",
        ],
    }


def test_days_by_airflow_end_as_by_hand(life: dict[str, Any], churn_by_hand: dict[str, Any]) -> None:
    for day, runs in life["in order"].items():
        assert [run["state"] for run in runs] == ["success"] * 3, day
        raw, prepared = runs[0]["events"][0], runs[1]["events"][0]
        assert (raw["asset"], raw["date"], prepared["asset"]) == ("churn_raw_data", day, "churn_prepared_data")
        assert raw["file"].endswith(f"day={day[-2:]}/customers.parquet")
        assert raw["rows"] == raw["quality"]["rows"]
    assert life["end"] == churn_by_hand


def test_the_variables_tell_what_was_prepared_and_trained_on_by_content(life: dict[str, Any]) -> None:
    latest, trained = life["variables"].values()
    assert latest["date"] == DAYS[-1]
    assert latest["path"].endswith(f"prepared_data/{DAYS[-1]}")
    assert latest["content"] == trained["content"] == life["trainings"][2][0]
    assert trained["version"] == str(life["end"]["versions"][-1])


def test_a_day_that_is_run_again_is_neither_made_nor_trained_again(life: dict[str, Any]) -> None:
    generation, preparation, training = life["again"]
    assert generation["state"] == preparation["state"] == training["state"] == "success"
    assert states(preparation) == SKIPPED_AFTER_FIRST
    assert preparation["events"] == []
    assert set(states(training)) == {"skipped"}
    assert life["end again"] == life["end"]


def test_days_in_any_order_are_each_trained_once_and_none_is_lost(life: dict[str, Any]) -> None:
    """An earlier day waits for its training when a later one comes; the later one is prepared and trained after it."""
    assert EARLIER in life["waiting"]
    assert LATER not in life["waiting"]
    later = life["later"][1]
    assert states(later) == ["success"] * 5
    assert later["events"][0]["cycle"] == life["earlier"][1]["events"][0]["cycle"]  # so that its training is not forgotten
    first, second, third = life["trained"]
    assert [run["state"] for run in life["trained"]] == ["success"] * 3
    assert states(first)[:3] == states(second)[:3] == ["success"] * 3
    assert set(states(third)) == {"skipped"}
    trained_on = [content for content, forced, _ in life["trainings"] if not forced]
    assert len(set(trained_on)) == len(trained_on)


def test_every_day_has_its_prepared_rows_once(life: dict[str, Any]) -> None:
    folders = life["folders"]
    assert list(folders) == sorted([EARLIER, *DAYS, LATER, BY_COMMAND])
    ids = [id for folder in folders.values() for id in folder["ids"]]
    assert len(set(ids)) == len(ids)
    for day, folder in folders.items():
        assert folder["whole"]
        assert folder["told"] == len(folder["ids"]) > 0
        assert {id[1:9] for id in folder["ids"]} == {day.replace("-", "")}
        assert len(folder["files"]) == 1


def test_the_plain_command_runs_a_day(life: dict[str, Any]) -> None:
    code, said = life["by command"]
    assert code == 0, said
    assert set(life["made by command"]) - set(life["files"]["raw_data"]) == {BY_COMMAND}


def test_a_broken_day_goes_to_quarantine_once_and_trains_nothing(life: dict[str, Any]) -> None:
    _, preparation, training, generation, preparation_again = life["broken"]
    assert states(preparation) == ["success", "success", "skipped", "skipped", "skipped"]
    assert states(preparation_again) == SKIPPED_AFTER_FIRST
    assert set(states(training)) == {"skipped"}
    assert generation["state"] == "success"
    assert life["files"]["quarantine"] == [BROKEN]
    assert sorted(life["files"]["raw_data"] + life["files"]["used_data"]) == sorted([EARLIER, *DAYS, LATER])
    assert life["end of all"]["versions"] == life["end"]["versions"]


def test_deleting_the_variable_trains_again_once(life: dict[str, Any]) -> None:
    forced, after = life["forced"]
    assert states(forced)[:5] == ["success"] * 5
    assert set(states(after)) == {"skipped"}
    assert [each[1] for each in life["trainings"]].count(True) == 1
    assert life["trainings"][-1][1]
    before, now = life["variables before"]["last_trained_data"], life["variables after"]["last_trained_data"]
    assert now["cycle"] != before["cycle"]
    assert now["content"] == life["trainings"][-1][0]
    assert life["variables after"]["latest_prepared_data"]["date"] == BY_COMMAND  # it had come meanwhile
    assert life["variables after"]["latest_prepared_data"]["content"] == now["content"]


def test_any_project_has_a_task_a_stage(life: dict[str, Any]) -> None:
    first, idle, forced = life["walk"]["runs"]
    assert [run["state"] for run in (first, idle, forced)] == ["success"] * 3
    assert states(first) == ["success"] * len(NAMES)
    assert states(idle) == ["success", *["skipped"] * (len(NAMES) - 1)]
    assert states(forced)[: NAMES.index("compare") + 1] == ["success"] * (NAMES.index("compare") + 1)
    assert [each[1] for each in life["walk"]["trainings"]] == [False, True]
