"""What Airflow adds to a cycle: the churn training DAG by `airflow dags test`, against empty tasks and the bare commands."""

from __future__ import annotations

import json
import shutil
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks import measure
from benchmarks.measure import KEEPFIT, Command, Failed, Limit, Row, Skipped, Timing

AIRFLOW = Path(__file__).parents[1] / ".airflow" / "bin" / "airflow"
SCRIPT = Path(__file__).with_name("stage_by_stage.py")
TRAINING = "03_model_training_pipeline"
DAY = "2026-01-01"
TOLERANCE = 1.1  # a difference of two long times is not exact
EMPTY = """\
from datetime import datetime, timezone

from airflow.sdk import DAG, task


@task
def nothing(facts):
    return facts


with DAG("empty", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)):
    facts = {{"cycle": "20260101T000000-000000", "stage": "collect"}}
    for number in range({tasks}):
        facts = nothing.override(task_id=f"task_{{number}}")(facts)
"""


def rows(repeat: int) -> list[Row]:
    """Each begins with a day that is prepared and waits for the first training, which is promoted."""
    measure.need_keepfit()
    if not AIRFLOW.exists():
        raise Skipped("Airflow's environment is not installed: use `make bench`")
    with measure.workplace() as place:
        tasks = prepare(place / "churn")
        restored = fresh(place / "churn")
        by_airflow = airflow(place / "churn", "dags", "test", TRAINING, DAY)
        timings = measure.in_turn(
            {
                "by airflow": replace(by_airflow, around=restored, check=promoted(place / "churn")),
                "empty tasks": airflow(place / "churn", "dags", "test", "empty", DAY),
                "by hand": command([sys.executable, str(SCRIPT), KEEPFIT], place / "churn", restored),
                "at once": command([KEEPFIT, "run", "--json"], place / "churn", restored),
            },
            repeat,
        )
    return as_rows(timings, tasks)


def as_rows(timings: Mapping[str, Timing], tasks: int) -> list[Row]:
    whole, empty, by_hand, at_once = (timings[name].seconds for name in ("by airflow", "empty tasks", "by hand", "at once"))
    added = tuple(long - short for long, short in zip(whole, by_hand, strict=True))
    parts = {"keepfit": {"in Airflow": statistics.median(whole), "the same commands by hand": statistics.median(by_hand)}}
    return [
        Row(
            what=f"what `dags test` adds to the {tasks} tasks of a training",
            keepfit=added,
            peer=empty,
            against=f"`dags test` of {tasks} tasks that do nothing",
            bar=Limit(share=TOLERANCE),
            parts=parts,
        ),
        Row(what="the same, a process a stage", keepfit=by_hand, peer=at_once, against="one `keepfit run`"),
    ]


def prepare(folder: Path) -> int:
    """A churn project whose first day is prepared, its DAGs and an empty one; returns how many tasks a training has."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    measure.say("  preparing a day")
    measure.run(Command(arguments=[KEEPFIT, "init", "churn", str(folder)], folder=folder.parent))
    measure.run(Command(arguments=[KEEPFIT, "deploy", "airflow"], folder=folder))
    measure.run(airflow(folder, "db", "migrate"))
    for dag in ("01_data_generation_pipeline", "02_data_preparation_pipeline"):
        measure.run(airflow(folder, "dags", "test", dag, DAY))
    measure.run(airflow(folder, "variables", "set", "last_trained_data", "none"))
    _, listed = measure.run(airflow(folder, "tasks", "list", TRAINING))
    tasks = sum(line.strip().isidentifier() for line in listed.splitlines())
    (folder / "dags" / "empty.py").write_text(EMPTY.format(tasks=tasks), encoding="utf-8")
    measure.run(airflow(folder, "dags", "test", "empty", DAY))
    return tasks


def airflow(folder: Path, *arguments: str) -> Command:
    environment = {
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
    }
    return Command(arguments=[str(AIRFLOW), *arguments], folder=folder, environment=environment)


def command(arguments: list[str], folder: Path, around: Around) -> Command:
    return Command(arguments=arguments, folder=folder, around=around, check=promoted(folder))


def promoted(folder: Path) -> Callable[[str], None]:
    """A training that went wrong, or was skipped, is not what is measured."""

    def check(_: str) -> None:
        _, told = measure.run(Command(arguments=[KEEPFIT, "status", "--json"], folder=folder))
        outcome = json.loads(told)["last_cycle"]["outcome"]
        if outcome != "promoted":
            raise Failed(f"the cycle ended as {outcome}")

    return check


Around = Callable[[], AbstractContextManager[Mapping[str, str] | None]]


def fresh(folder: Path) -> Around:
    """The folder as it is now, put back before every run: at the same place, since databases hold absolute paths."""
    kept = folder.with_name(f"{folder.name}-pristine")
    shutil.copytree(folder, kept)

    @contextmanager
    def restored() -> Iterator[None]:
        shutil.rmtree(folder)
        shutil.copytree(kept, folder)
        yield

    return restored
