"""The projects that are served: twenty numbers, and text messages. Each is made by keepfit itself, so its champion is a version of
the registry like any other."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import projects
from benchmarks.bare_endpoint import NUMBERS
from benchmarks.measure import KEEPFIT, Command, Skipped, run

ROWS = 2000
BODIES = 300  # different requests that a load sends in turn

TABULAR_TOML = """\
[project]
name = "twenty-numbers"
task = "classification"

[data]
target = "answer"

[data.columns]
answer = {{ type = "category", values = ["no", "yes"] }}
{columns}

[retrain]
new_rows = 500
schedule = "0s"

[[train.candidates]]
estimator = "sklearn.linear_model.LogisticRegression"
"""
# The template tries three kinds; here one is enough, the one that the template takes on the real messages.
ONLY_SVM = '[{name = "linear SVM", build = "features:linear_svm", preprocess = false}]'


@dataclass(frozen=True, kw_only=True)
class Made:
    """A project with a champion."""

    folder: Path
    model: str  # registered name
    rows: Sequence[dict[str, Any]]  # that it can be asked

    @property
    def as_mlflow(self) -> list[dict[str, Any]]:
        """The same rows as MLflow's scoring protocol has them."""
        return [{"dataframe_split": {"columns": list(row), "data": [list(row.values())]}} for row in self.rows]


def make_tabular(folder: Path) -> Made:
    """Twenty numbers, a logistic regression behind keepfit's own preparation."""
    columns = "\n".join(f'{name} = {{ type = "number" }}' for name in NUMBERS)
    inbox = folder / "data" / "inbox"
    inbox.mkdir(parents=True)
    (folder / "keepfit.toml").write_text(TABULAR_TOML.format(columns=columns), encoding="utf-8")
    table = tabular_rows(ROWS, seed=1)
    write(inbox / "first.csv", table)
    train(folder)
    rows = [{name: row[name] for name in NUMBERS} for row in table[:BODIES]]
    return Made(folder=folder, model="twenty-numbers", rows=rows)


def add_version(made: Made, seed: int) -> None:
    """A second version of the twenty numbers, from further rows; whether it is promoted does not matter."""
    write(made.folder / "data" / "inbox" / f"more-{seed}.csv", tabular_rows(ROWS, seed=seed))
    run(Command(arguments=[KEEPFIT, "run", "--json"], folder=made.folder))


def tabular_rows(count: int, seed: int) -> list[dict[str, Any]]:
    import numpy as np

    generator = np.random.default_rng(seed)
    numbers = generator.normal(size=(count, len(NUMBERS)))
    weights = np.linspace(-1, 1, len(NUMBERS))
    yes = generator.random(count) < 1 / (1 + np.exp(-numbers @ weights))
    return [
        {**{name: round(float(value), 6) for name, value in zip(NUMBERS, row, strict=True)}, "answer": "yes" if answer else "no"}
        for row, answer in zip(numbers, yes, strict=True)
    ]


def make_text(folder: Path) -> Made:
    """The template sms-spam on the real collection where it is at hand, otherwise on its own made-up messages."""
    run(Command(arguments=[KEEPFIT, "init", "sms-spam", str(folder)], folder=folder.parent))
    try:
        messages = projects.sms_messages()
        write(folder / "data" / "new" / "first.csv", [{"label": label, "message": text} for label, text in messages])
    except Skipped:
        days = ["--start", "2026-01-01", "--days", "20"]
        run(Command(arguments=[KEEPFIT, "simulate", *days], folder=folder))
        messages = read_messages(sorted((folder / "data" / "new").glob("*.csv")))
        hour_ago = time.time() - 3600
        for path in (folder / "data" / "new").glob("*.csv"):
            os.utime(path, (hour_ago, hour_ago))
    train(folder, {"KEEPFIT_TRAIN__CANDIDATES": ONLY_SVM})
    step = max(1, len(messages) // BODIES)
    return Made(folder=folder, model="sms-spam-classifier", rows=[{"message": text} for _, text in messages[::step][:BODIES]])


def read_messages(paths: Sequence[Path]) -> list[tuple[str, str]]:
    found = []
    for path in paths:
        with path.open(encoding="utf-8", newline="") as file:
            found += [(row["label"], row["message"]) for row in csv.DictReader(file) if row["message"] and len(row["message"]) > 1]
    return found


def train(folder: Path, environment: dict[str, str] | None = None) -> None:
    arguments = [KEEPFIT, "run", "--json"]
    run(Command(arguments=arguments, folder=folder, environment=environment or {}, check=projects.promoted))


def write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """A CSV file that has been lying there for an hour, so that nobody waits for it to settle."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    hour_ago = time.time() - 3600
    os.utime(path, (hour_ago, hour_ago))
