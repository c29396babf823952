"""A small project whose next cycle promotes, and everything that can be told of its state."""

from __future__ import annotations

import hashlib
import random
import sqlite3
from pathlib import Path
from typing import Any

import keepfit
from keepfit.records import BatchState, Event

NAME = "walk"
PASSING = {Event.FAILED, Event.RECOVERED}  # told where something was away for a while
SETTINGS = """
[project]
name = "walk"
task = "classification"

[data]
target = "answer"
prepare = "features:prepare"
settle = "0s"

[data.columns]
x = { type = "number", max_null_share = 0 }
y = { type = "number", max_null_share = 0 }
answer = { type = "category", values = ["yes", "no"] }

[data.holdout]
by = "row"
share = 0.3

[train]
folds = 2

[[train.candidates]]
estimator = "sklearn.linear_model.LogisticRegression"

[promote]
resamples = 200

[engine]
workers = 1
"""
FEATURES = """
def prepare(frame):
    return frame.assign(together=frame["x"] + frame["y"])
"""


def make_project(folder: Path, ledger: str = "sqlite:///.keepfit/ledger.db") -> Path:
    """A project without data."""
    (folder / "data/inbox").mkdir(parents=True)
    (folder / "keepfit.toml").write_text(f'{SETTINGS}\n[ledger]\nurl = "{ledger}"\n')
    (folder / "features.py").write_text(FEATURES)
    return folder


def write_day(folder: Path, day: int, column: str, rows: int = 200) -> Path:
    """A day's file in the inbox: `column` ("x" or "y") says the answer, and in one row of ten it is wrong."""
    draw = random.Random(day)  # noqa: S311 - made-up data
    lines = ["x,y,answer"]
    for _ in range(rows):
        values = {"x": draw.uniform(-1, 1), "y": draw.uniform(-1, 1)}
        answer = (values[column] > 0) != (draw.random() < 0.1)
        lines.append(f"{values['x']:.6f},{values['y']:.6f},{'yes' if answer else 'no'}")
    path = folder / f"data/inbox/day-{day}.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def add_news(folder: Path) -> None:
    """Two days in which the answer depends on the other column, one of them twice, and a broken file."""
    write_day(folder, 3, "y", 400)
    fourth = write_day(folder, 4, "y", 400)
    fourth.with_name("day-4-again.csv").write_bytes(fourth.read_bytes())
    fourth.with_name("day-5.csv").write_text("x,y,answer\n" + "0.5,north,yes\n" * 20)


# --------------------------------------------------------------------------------------------------------------- state


def state(folder: Path) -> dict[str, Any]:
    """What a project has come to, without what differs from run to run (times, ids of cycles and runs)."""
    return {**decided(folder), "files": files(folder), "splits": splits(folder), **registered(folder)}


def decided(folder: Path) -> dict[str, Any]:
    """What the ledger says."""
    with keepfit.open(folder) as project:
        ledger = project.ports.ledger
        cycles = [cycle for cycle in ledger.cycles.recent(NAME, 100) if cycle.outcome != "waiting"]
        batches = ledger.batches.in_state(NAME, *BatchState)
        entries = ledger.journal.entries(NAME)
        return {
            "cycles": [(str(cycle.stage), str(cycle.outcome), cycle.reason, cycle.archived) for cycle in cycles],
            "duplicates": sorted((each.name, each.original) for cycle in cycles for each in cycle.duplicates),
            "batches": sorted((each.name, each.state.value, each.place.value, each.rows) for each in batches),
            "journal": [
                (each.status, each.promotion.kind, each.promotion.from_version, each.promotion.to_version) for each in entries
            ],
            "alerts": sorted(each.alert.event.value for each in ledger.outbox.recent(NAME, 100) if each.alert.event not in PASSING),
            "lease": ledger.leases.current(NAME),
        }


def files(folder: Path) -> dict[str, str]:
    """sha256 of everything in the three folders."""
    return tree(folder / "data")


def tree(folder: Path) -> dict[str, str]:
    """sha256 of every file below a folder, but for the locks that SQLite's readers keep in *-shm."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.endswith("-shm"))
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def data_files(folder: Path) -> list[str]:
    """The content of every data file, once for each place in which it lies."""
    return sorted(digest for name, digest in files(folder).items() if name.endswith(".csv"))


def splits(folder: Path) -> dict[str, str]:
    """Which rows judge, and what was prepared. Profiles go by the ids of cycles and runs, which differ."""
    kept = tree(folder / ".keepfit/prepared")
    return {name: digest for name, digest in kept.items() if name.endswith(".parquet") and name.startswith(("rows-", "split-"))}


def registered(folder: Path) -> dict[str, Any]:
    """What MLflow's database says, read without MLflow and without keepfit."""
    return {
        "versions": _rows(
            folder,
            "select v.version, t.value from model_versions v left join model_version_tags t on t.name = v.name"
            " and t.version = v.version and t.key = 'keepfit.content_hash' where v.current_stage != 'Deleted_Internal'"
            " order by v.version",
        ),
        "aliases": _rows(folder, "select alias, version from registered_model_aliases order by alias"),
        "runs": _rows(
            folder,
            "select name, status, count(*) from runs where lifecycle_stage = 'active' group by name, status order by name, status",
        ),
        "models": _rows(folder, "select status, count(*) from logged_models where lifecycle_stage = 'active' group by status"),
    }


def champion(folder: Path) -> str | None:
    """The version that the alias points to."""
    return next((str(version) for alias, version in registered(folder)["aliases"] if alias == "champion"), None)


def _rows(folder: Path, question: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(folder / ".keepfit/mlflow.db")
    try:
        return connection.execute(question).fetchall()
    finally:
        connection.close()
