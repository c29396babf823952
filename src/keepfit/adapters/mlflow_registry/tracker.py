"""Runs for people to look at."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from keepfit.adapters.mlflow_registry.connection import Connection
from keepfit.adapters.mlflow_registry.runs import Runs


class MlflowTracker:
    """`Tracker` over MLflow."""

    def __init__(self, url: str, experiment: str, *, artifacts: Path | str | None = None) -> None:
        self._connection = Connection(url)
        self._runs = Runs(self._connection, experiment, artifacts)

    def record(self, run: str, cycle: str, parameters: Mapping[str, str], metrics: Mapping[str, float]) -> str:
        with self._connection.translated():
            found = self._runs.find(run, cycle)
            if found is None:
                found = self._runs.do(run, cycle, lambda _, new: self._runs.log(new, parameters, metrics, {}))
            return str(found.info.run_id)
