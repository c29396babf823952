"""What lies in MLflow for good, and how it goes: versions, runs, models and their files.

MLflow deletes by marking. A version loses its entry and never its files; a run and a model are marked, and `mlflow gc` removes them
later. Here the files go first and the mark is set last, so that a run which is not marked yet is found again by whoever comes after
one that was killed. Where MLflow is a database, the marked rows go too, in the way that `mlflow gc` takes; a server keeps them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse
from urllib.request import url2pathname

from keepfit.adapters.mlflow_registry.connection import Connection, quoted
from keepfit.errors import Conflict, Unavailable
from keepfit.ports import OldRun, OldVersion
from keepfit.versions import Tag

if TYPE_CHECKING:
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

AT_ONCE = 100  # runs asked about in one question
EMPTIED = "keepfit.emptied"  # tag of a run whose files are gone


class MlflowAttic:
    """`Attic` over MLflow. With `places`, folders and URLs, files that lie in none of them are somebody else's and stay."""

    def __init__(self, url: str, experiment: str, name: str, places: Sequence[Path | str] | None = None) -> None:
        self._connection = Connection(url)
        self._experiment, self._name, self._places = experiment, name, places

    def versions(self) -> Sequence[OldVersion]:
        with self._connection.translated():
            aliases = self._aliases()
            return [
                OldVersion(
                    name=self._name,
                    version=str(found.version),
                    run=found.run_id or "",
                    cycle=found.tags.get(Tag.CYCLE),
                    at=_moment(found.creation_timestamp),
                    aliases=tuple(sorted(alias for alias, number in aliases.items() if number == str(found.version))),
                    prepared=found.tags.get(Tag.PREPARED),
                    code=found.tags.get(Tag.CODE),
                )
                for found in self._versions(f"name = {quoted(self._name)}")
            ]

    def runs(self) -> Sequence[OldRun]:
        with self._connection.translated():
            found = [run for run in self._runs() if run.info.lifecycle_stage == "active" or EMPTIED not in run.data.tags]
            users = self._users([run.info.run_id for run in found])
            return [
                OldRun(
                    id=run.info.run_id,
                    name=run.info.run_name or "",
                    cycle=run.data.tags[Tag.CYCLE],
                    at=_moment(run.info.start_time),
                    users=tuple(users.get(run.info.run_id, ())),
                )
                for run in found
            ]

    def size(self, run: str) -> int:
        with self._connection.translated():
            found = self._run(run)
            if found is None:
                return 0
            places = [(found.info.artifact_uri, run)] + [(model.artifact_location, model.model_id) for model in self._models(found)]
            return sum(_size(self._files(uri, id)) for uri, id in places)

    def remove_version(self, version: str) -> None:
        from mlflow.exceptions import MlflowException

        with self._connection.translated():
            if alias := next((alias for alias, number in self._aliases().items() if number == version), None):
                raise Conflict(f"The alias {alias} points to {self._name} version {version} by now, so it stays.")
            try:
                self._connection.client.delete_model_version(self._name, version)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise

    def remove_run(self, run: str) -> None:
        with self._connection.translated():
            found = self._run(run)
            if found is None:
                return
            models = self._models(found)
            if users := self._users([run]).get(run) or self._with_files_of(run, models):
                raise Conflict(f"{users[0].replace('/', ' version ')} was made from the run {run} by now, so it stays.")
            for address in (found.info.artifact_uri, *(model.artifact_location for model in models)):
                if not self._is_ours(address):
                    raise Conflict(f"Its files lie at {address}, neither below this project nor in [tracking] artifacts.")
            for model in models:
                self._empty(model.artifact_location, model.model_id)
                self._connection.client.delete_logged_model(model.model_id)
                self._erase("_hard_delete_logged_model", model.model_id)
            self._empty(found.info.artifact_uri, run)
            if found.info.lifecycle_stage == "active":
                self._connection.client.set_tag(run, EMPTIED, "true")
                self._connection.client.delete_run(run)
            self._erase("_hard_delete_run", run)

    # ------------------------------------------------------------------------------------------------------------ look

    def _aliases(self) -> Mapping[str, str]:
        from mlflow.exceptions import MlflowException

        try:
            found = self._connection.client.get_registered_model(self._name).aliases
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return {}
            raise
        return {str(alias): str(number) for alias, number in found.items()}

    def _versions(self, wanted: str) -> Iterator[Any]:
        token = None
        while True:
            page = self._connection.client.search_model_versions(wanted, max_results=1000, page_token=token)
            yield from page
            if not (token := page.token):
                return

    def _users(self, runs: Sequence[str]) -> dict[str, list[str]]:
        """The versions, of whatever name, that were made from each of these runs."""
        users: dict[str, list[str]] = {}
        for start in range(0, len(runs), AT_ONCE):
            some = ", ".join(quoted(run) for run in runs[start : start + AT_ONCE])
            for found in self._versions(f"run_id IN ({some})"):
                users.setdefault(found.run_id, []).append(f"{found.name}/{found.version}")
        return users

    def _with_files_of(self, run: str, models: Sequence[Any]) -> list[str]:
        """The versions, of whatever run, that have files of this run or of one of its models. An id is in every spelling of a place
        (a path, a URL, models:/..., with a slash or a folder after it), and nothing is removed where it is not; see `_files`."""
        ids = (run, *(model.model_id for model in models))
        asked = (f"source_path LIKE {quoted(f'%{id}%')}" for id in ids)
        return [f"{found.name}/{found.version}" for wanted in asked for found in self._versions(wanted)]

    def _runs(self) -> Iterator[Any]:
        """The runs with a cycle, those that are marked as deleted included."""
        from mlflow.entities import ViewType

        client = self._connection.client
        experiment = client.get_experiment_by_name(self._experiment)
        if experiment is None or experiment.lifecycle_stage != "active":
            return
        if not self._is_ours(experiment.artifact_location):
            raise Unavailable(
                f"MLflow keeps the files of {self._experiment} at {experiment.artifact_location}, neither below this project nor "
                "in [tracking] artifacts: this folder looks like a copy or a move of another project, whose files would go. Clean "
                "up there; or, where they are this project's own, set [tracking] artifacts to that place."
            )
        token = None
        while True:
            page = client.search_runs(
                [experiment.experiment_id], f"tags.`{Tag.CYCLE}` != ''", run_view_type=ViewType.ALL, page_token=token
            )
            yield from page
            if not (token := page.token):
                return

    def _run(self, run: str) -> Any | None:
        from mlflow.exceptions import MlflowException

        try:
            return self._connection.client.get_run(run)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise

    def _models(self, run: Any) -> list[Any]:
        """The models logged in a run; where MLflow is a database, those that are marked as deleted too."""
        wanted = f"source_run_id = {quoted(run.info.run_id)}"
        found = list(self._connection.client.search_logged_models([run.info.experiment_id], wanted))
        store = self._store
        if hasattr(store, "_get_deleted_logged_models"):
            marked = (store.get_logged_model(id, allow_deleted=True) for id in store._get_deleted_logged_models())
            found += [model for model in marked if model.source_run_id == run.info.run_id]
        return found

    # ---------------------------------------------------------------------------------------------------------- remove

    def _empty(self, uri: str, id: str) -> None:
        """Remove the files at an address; what lies below no folder of its own stays."""
        files = self._files(uri, id)
        if files is None:
            return
        files.delete_artifacts()
        above = folder.parent if (folder := _folder(uri)) is not None else None
        if above is not None and above.name == id and above.is_dir() and not any(above.iterdir()):
            above.rmdir()

    def _files(self, uri: str, id: str) -> ArtifactRepository | None:
        """Where the files lie; None for a place that others share."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        return get_artifact_repository(uri, self._connection.url) if id in urlparse(uri).path.split("/") else None

    def _is_ours(self, uri: str) -> bool:
        return self._places is None or any(_lies_in(uri, place) for place in self._places)

    def _erase(self, how: str, id: str) -> None:
        """Remove a marked row for good, where MLflow is a database."""
        if (erase := getattr(self._store, how, None)) is not None:
            erase(id)

    @property
    def _store(self) -> Any:
        """What `mlflow gc` works on; a server's has none of its methods."""
        return self._connection.client._tracking_client.store


def _size(files: ArtifactRepository | None, path: str | None = None) -> int:
    if files is None:
        return 0
    found = files.list_artifacts(path)
    return sum(_size(files, item.path) if item.is_dir else int(item.file_size or 0) for item in found)


def _lies_in(uri: str, place: Path | str) -> bool:
    if isinstance(place, str):
        return f"{uri}/".startswith(f"{place.rstrip('/')}/")
    folder = _folder(uri)
    return folder is not None and folder.resolve().is_relative_to(place.resolve())


def _folder(uri: str) -> Path | None:
    address = urlparse(uri)
    if address.scheme not in {"", "file"}:
        return None
    return Path(url2pathname(address.path) if address.scheme else uri)


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
