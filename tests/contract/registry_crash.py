"""Kills a process before the k-th change it makes in MLflow while it registers, for every k, and registers again each time.

Usage: registry_crash.py EMPTY_DATABASE FOLDER. Prints at how many instants it was killed. Every registration runs in a child
forked after the imports, which take longer than all the rest. The parent must not use polars: its threads survive no fork.
"""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from keepfit.adapters.mlflow_registry import MlflowRegistry
from keepfit.adapters.skops_models import SkopsModels
from keepfit.testing.registry_contract import classifier, registration

for module in ("tracking", "model_registry"):  # MLflow imports these late, and each child would again
    importlib.import_module(f"mlflow.store.{module}.sqlalchemy_store")
for module in ("alembic.command", "alembic.script", "sklearn.utils", "mlflow.artifacts", "mlflow.models"):
    importlib.import_module(module)
PLACE = Path(sys.argv[2])
MODEL = classifier()
SkopsModels().store(MODEL, PLACE)  # imports skops
SkopsModels().load(PLACE, None)
CYCLE, BEFORE = "c2", "c1"


def in_child(work: Callable[[], None]) -> int:
    """Exit status of a forked child: 0, 1 after an exception, or minus the signal."""
    if (child := os.fork()) == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def registry(folder: Path) -> MlflowRegistry:
    return MlflowRegistry(f"sqlite:///{folder}/mlflow.db", "e", "m", [SkopsModels()], artifacts=folder / "files")


def die_at(instant: int) -> None:
    """Kill this process before its n-th call that changes something. What it only reads leaves the same state behind."""
    calls = 0

    def wrap(method: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == instant:
                os.kill(os.getpid(), signal.SIGKILL)
            return method(*arguments, **options)

        return call

    for name in dir(MlflowClient):
        if name.startswith(("create_", "delete_", "finalize_", "log_", "set_", "update_")):
            setattr(MlflowClient, name, wrap(getattr(MlflowClient, name)))


def prepare(folder: Path) -> None:
    opened = registry(folder)
    opened.register(registration(BEFORE, MODEL))
    opened.point("champion", None, "1")


def crash(folder: Path, instant: int) -> None:
    die_at(instant)
    registry(folder).register(registration(CYCLE, MODEL))


def check(folder: Path) -> None:
    opened = registry(folder)
    made = opened.register(registration(CYCLE, MODEL))
    url = f"sqlite:///{folder}/mlflow.db"
    client = MlflowClient(url, url)
    versions = client.search_model_versions("name = 'm'")
    assert sorted(str(version.version) for version in versions) == ["1", "2"], versions
    assert (made.version, made.cycle) == ("2", CYCLE)
    opened.load("2")
    run = client.get_run(made.run_id)
    assert (run.info.status, run.info.lifecycle_stage) == ("FINISHED", "active")
    assert (run.data.params, run.data.metrics) == ({"C": "1"}, {"f1": 0.5})
    artifacts = {artifact.path for artifact in client.list_artifacts(made.run_id)}
    assert artifacts == {"code", "reference"}, artifacts
    models = client.search_logged_models([run.info.experiment_id])
    assert sorted(model.status.value for model in models) == ["READY", "READY"], models
    champion = opened.champion()
    assert champion is not None
    assert champion.version == "1"


def main() -> None:
    start, work = PLACE / "start", PLACE / "work"
    start.mkdir()
    shutil.copy(sys.argv[1], start / "mlflow.db")
    assert in_child(lambda: prepare(start)) == 0
    instant = 1
    while True:
        # MLflow keeps absolute addresses: each round works in the same folder, restored
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(start, work)
        status = in_child(lambda: crash(work, instant))  # noqa: B023
        if status == 0:
            break
        assert status == -signal.SIGKILL, (instant, status)
        in_child(lambda: crash(work, instant))  # noqa: B023  # the one who tidies up may die too
        assert in_child(lambda: check(work)) == 0, instant
        instant += 1
    sys.stdout.write(f"{instant - 1}\n")


main()
