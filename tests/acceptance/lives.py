"""The same days of churn, however they are run, and what must be the same at their end."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.acceptance.runs import Done

import keepfit
from keepfit.records import BatchState
from keepfit.templates import copy_template

DAYS = ("2026-01-01", "2026-01-02", "2026-01-03")  # the first model, one that is not shown to be better, one that is


def churn_project(folder: Path) -> Path:
    """The template, with smaller models: it is the same everywhere."""
    copy_template("churn", folder)
    place = folder / "keepfit.toml"
    text = place.read_text()
    for before, after in (("n_estimators = 30", "n_estimators = 5"), ("max_iter = 100", "max_iter = 30")):
        assert before in text
        text = text.replace(before, after)
    place.write_text(text)
    return folder


def by_hand(folder: Path, command: Callable[..., Done]) -> dict[str, Any]:
    """A day's data, a run, and so on, by the command line."""
    churn_project(folder)
    for day in DAYS:
        for words in (("simulate", "--start", day, "--days", "1"), ("run",)):
            done = command(*words, folder=folder)
            assert done.code == 0, done.err
    return end_of(folder)


def once(place: Path, make: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """What `make` returns for a folder, made by the first of several test processes that asks."""
    place.mkdir(exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = place / "end.json"
        if not kept.exists():
            kept.write_text(json.dumps(make(place / "project")))
        found: dict[str, Any] = json.loads(kept.read_text())
        return found


def end_of(folder: Path) -> dict[str, Any]:
    """What a life has led to: the champion's bytes, the archive, the versions, the batches."""
    with keepfit.open(folder) as project:
        champion = project.ports.registry.champion()
        assert champion is not None
        batches = project.status()["batches"]
        assert batches[BatchState.NEW.value] == 0
        outcomes = [cycle.outcome for cycle in project.history() if cycle.candidate is not None]
        return {
            "champion": champion.version,
            "content": champion.content_hash,
            "model": _hash(_model_file(folder, champion.version)),
            "archive": {path.relative_to(folder).as_posix(): _hash(path) for path in sorted(folder.glob("used_data/**/*.parquet"))},
            "inbox": sorted(path.name for path in folder.glob("raw_data/**/*.parquet")),
            "versions": versions(folder),
            "batches": batches,
            "trainings": [outcome.value for outcome in reversed(outcomes) if outcome],
        }


def versions(folder: Path) -> list[int]:
    """The registered versions, the oldest first."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/.keepfit/mlflow.db")
    return sorted(int(version.version) for version in client.search_model_versions("name = 'churn_predictor'"))


def _model_file(folder: Path, version: str) -> Path:
    from mlflow import MlflowClient

    uri = MlflowClient(f"sqlite:///{folder}/.keepfit/mlflow.db").get_model_version_download_uri("churn_predictor", version)
    return Path(uri.removeprefix("file://")) / "model.skops"


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
