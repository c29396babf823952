"""Runs that are found before they are made, by name and cycle."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keepfit.adapters.mlflow_registry.connection import Connection, quoted, texts
from keepfit.errors import ConfigError
from keepfit.versions import Tag

if TYPE_CHECKING:
    from mlflow.entities import Run

BATCH = 100  # parameters, tags or metrics that MLflow takes at once


class Runs:
    """The runs of one experiment.

    A run that is not finished was left behind by a process that died: it is deleted, as MLflow deletes (it can be restored),
    and made anew. The caller holds the project's lease, so nobody else is at work on it.
    """

    def __init__(self, connection: Connection, experiment: str, artifacts: Path | str | None) -> None:
        self._connection = connection
        self._experiment = experiment
        self._artifacts = artifacts
        self._id: str | None = None

    def find(self, name: str, cycle: str) -> Run | None:
        """The finished run of this name and cycle, the first if there are more."""
        return next((run for run in self._all(name, cycle) if run.info.status == "FINISHED"), None)

    def do(self, name: str, cycle: str, fill: Callable[[str, str], None]) -> Run:
        """A new run, in place of unfinished ones. `fill(experiment_id, run_id)` does what belongs to it."""
        from mlflow.exceptions import MlflowException

        client = self._connection.client
        experiment = self._experiment_id()
        for run in self._all(name, cycle):
            self.discard(run.info.run_id)
        run = client.create_run(experiment, run_name=name, tags={Tag.CYCLE: cycle})
        try:
            fill(experiment, run.info.run_id)
        except MlflowException:  # the run may have been discarded by whoever took over; what was added since goes as well
            self._discard_models(run.info.run_id)
            raise
        client.set_terminated(run.info.run_id)
        return client.get_run(run.info.run_id)

    def discard(self, run: str) -> None:
        """Delete a run and the models logged in it, as MLflow deletes: they can be restored."""
        self._discard_models(run)
        self._connection.client.delete_run(run)

    def _discard_models(self, run: str) -> None:
        client = self._connection.client
        for model in client.search_logged_models([self._experiment_id()], filter_string=f"source_run_id = '{run}'"):
            client.delete_logged_model(model.model_id)

    def _all(self, name: str, cycle: str) -> list[Run]:
        return list(
            self._connection.client.search_runs(
                [self._experiment_id()],
                filter_string=f"tags.`{Tag.CYCLE}` = {quoted(cycle)} and attributes.run_name = {quoted(name)}",
                order_by=["attributes.start_time ASC"],
            )
        )

    def log(self, run: str, parameters: Mapping[str, str], metrics: Mapping[str, float], tags: Mapping[str, Any]) -> None:
        """Add to a run. A metric that is not a finite number is left out; one that is there with that value is not repeated."""
        from mlflow.entities import Metric, Param, RunTag

        client = self._connection.client
        data = client.get_run(run).data
        now = time.time_ns() // 1_000_000
        rows = [
            *(Param(key, value) for key, value in texts(parameters).items() if key not in data.params),
            *(
                Metric(key, float(value), now, 0)
                for key, value in metrics.items()
                if math.isfinite(value) and data.metrics.get(key) != value
            ),
            *(RunTag(key, value) for key, value in texts(tags).items() if data.tags.get(key) != value),
        ]
        for start in range(0, len(rows), BATCH):
            part = rows[start : start + BATCH]
            client.log_batch(
                run,
                params=[row for row in part if isinstance(row, Param)],
                metrics=[row for row in part if isinstance(row, Metric)],
                tags=[row for row in part if isinstance(row, RunTag)],
            )

    def _experiment_id(self) -> str:
        from mlflow.exceptions import MlflowException

        client = self._connection.client
        if self._id is None:
            found = client.get_experiment_by_name(self._experiment)
            if found is None:
                place = self._artifacts.resolve().as_uri() if isinstance(self._artifacts, Path) else self._artifacts
                try:
                    self._id = client.create_experiment(self._experiment, artifact_location=place)
                except MlflowException as error:  # somebody else was faster
                    if error.error_code != "RESOURCE_ALREADY_EXISTS":
                        raise
                    return self._experiment_id()
            elif found.lifecycle_stage != "active":
                raise ConfigError(
                    f"The experiment {self._experiment} was deleted in MLflow. Restore it there "
                    f"(mlflow experiments restore -x {found.experiment_id}), or name another in [tracking] experiment."
                )
            else:
                self._id = found.experiment_id
        return str(self._id)
