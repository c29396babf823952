"""The model registry in MLflow: versions by alias, never by stage."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from keepfit.adapters.mlflow_registry.connection import Connection, quoted, texts
from keepfit.adapters.mlflow_registry.folder import complete
from keepfit.adapters.mlflow_registry.runs import Runs
from keepfit.errors import AliasMoved, ConfigError, DataError, ModelRefused
from keepfit.ports import Model, ModelFormat, Registration, StoredModel
from keepfit.records import ModelVersion
from keepfit.versions import INPUTS_PATH, PROFILE_PATH, REFERENCE_PATH, Tag, described, hash_of_served, reference_bytes

KEPT_OPEN = 3  # champion, challenger, and one to come
PICKLES = {".pkl", ".pickle", ".joblib", ".cloudpickle", ".dill", ".pt", ".pth"}


class MlflowRegistry:
    """`Registry` over MLflow 3, on a database or a server.

    `artifacts` is the folder or URL for files when the experiment must be made; with a server leave it out, the server knows.
    `scratch` is where files are put together before they are logged; the system's folder for temporary ones where it is left out.
    `formats` are tried in their order; the first that knows a model stores it.
    """

    def __init__(
        self,
        url: str,
        experiment: str,
        name: str,
        formats: Sequence[ModelFormat],
        *,
        alias: str = "champion",
        run_name: str = "ModelRetraining",
        artifacts: Path | str | None = None,
        scratch: Path | None = None,
    ) -> None:
        if not name.strip() or set(name) & set("/:"):
            raise ConfigError(f"{name!r} cannot name a registered model: MLflow takes any characters but / and :.")
        quoted(name)  # raises ConfigError
        self._name = name
        self._alias = alias
        self._run_name = run_name
        self._formats = tuple(formats)
        self._connection = Connection(url)
        self._runs = Runs(self._connection, experiment, artifacts)
        self._scratch = scratch
        self._opened: dict[str, Model] = {}  # by content hash; a cycle asks for the same two models several times

    def champion(self) -> ModelVersion | None:
        with self._connection.translated():
            number = self._aliases().get(self._alias)
            return None if number is None else self._described(self._version(number))

    def register(self, registration: Registration) -> ModelVersion:
        with self._connection.translated():
            if (found := self._registered(registration.cycle)) is not None:
                return self._described(found)
            run = self._runs.find(self._run_name, registration.cycle)
        if run is None:
            registration = _with_its_columns(registration)
            predictions = registration.trained.model.predict(registration.features)  # may run the user's code
            with self._connection.translated(), self._place_to_work() as place:
                run = self._log(registration, predictions, Path(place))
        with self._connection.translated():
            return self._described(self._only_version(run, registration))

    def load(self, version: str) -> tuple[ModelVersion, Model]:
        with self._connection.translated():
            found = self._version(version)
            described = self._described(found)
            if described.content_hash in self._opened:
                return described, self._opened[described.content_hash]
            with self._folder(found) as folder:
                return described, self._keep(described.content_hash, self._open(folder, described))

    def annotate(self, version: str, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        with self._connection.translated():
            found = self._version(version)
            if found.run_id:
                self._runs.log(found.run_id, {}, metrics, tags)
            for key, value in texts(tags).items():
                if found.tags.get(key) != value:
                    self._connection.client.set_model_version_tag(self._name, str(found.version), key, value)

    def point(self, alias: str, expected: str | None, to: str) -> None:
        with self._connection.translated():
            actual = self._aliases().get(alias)
            if actual == to:
                return
            if actual != expected:
                raise _moved(alias, expected, actual)
            self._version(to)  # raises NotFound
            self._connection.client.set_registered_model_alias(self._name, alias, to)
            if (actual := self._aliases().get(alias)) != to:
                raise _moved(alias, to, actual)

    # -------------------------------------------------------------------------------------------------------- register

    def _registered(self, cycle: str) -> Any | None:
        """The version of a cycle whose run is whole, the lowest if there are more."""
        client = self._connection.client
        found = client.search_model_versions(f"name = {quoted(self._name)} and tags.`{Tag.CYCLE}` = {quoted(cycle)}")
        for version in sorted(found, key=lambda version: int(version.version)):
            info = client.get_run(version.run_id).info
            if info.status == "FINISHED" and info.lifecycle_stage == "active":
                return version
        return None

    def _log(self, registration: Registration, predictions: Any, place: Path) -> Any:
        """A run with all that belongs to it, the model included. It counts once it is finished."""
        from mlflow.entities import LoggedModelOutput

        folder = place / "model"
        folder.mkdir()
        stored, model = self._store(registration.trained.model, folder)  # before the run: a refused model leaves nothing behind
        tags = {**registration.tags, Tag.CONTENT_HASH: stored.content_hash, Tag.REFERENCE: REFERENCE_PATH}
        if registration.profile is not None:
            tags[Tag.PROFILE] = PROFILE_PATH
        files = _write_files(registration, model, place / "files")
        tags[Tag.SERVED] = hash_of_served(files)

        def fill(experiment: str, run: str) -> None:
            client = self._connection.client
            logged = client.create_logged_model(experiment, name="model", source_run_id=run, tags=texts(tags))
            complete(folder, stored, registration.features, predictions, run=run, model=logged.model_id)
            client.log_model_artifacts(logged.model_id, str(folder))
            client.finalize_logged_model(logged.model_id, "READY")
            client.log_outputs(run, [LoggedModelOutput(logged.model_id, 0)])
            client.log_artifacts(run, str(files))
            self._runs.log(run, registration.parameters, registration.metrics, tags)

        return self._runs.do(self._run_name, registration.cycle, fill)

    def _place_to_work(self) -> tempfile.TemporaryDirectory[str]:
        if self._scratch is not None:
            self._scratch.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix="keepfit-", suffix=f".{os.getpid()}", dir=self._scratch)

    def _store(self, model: Any, folder: Path) -> tuple[StoredModel, Model]:
        for format in self._formats:
            if (stored := format.store(model, folder)) is not None:
                loaded = format.load(folder, stored.content_hash)  # what cannot be loaded must not be registered
                if loaded is not None:
                    return stored, loaded
        raise ModelRefused(
            f"{type(model).__module__}.{type(model).__qualname__} is a kind of model that keepfit cannot store without pickle. "
            "Return a scikit-learn estimator, one that follows its interface, or a LightGBM Booster."
        )

    def _only_version(self, run: Any, registration: Registration) -> Any:
        """The version of this run; or that of a runner which took over while this one was suspended. MLflow refuses no late
        comer, so this one looks before and after, and takes back what is one too many."""
        if (found := self._registered(registration.cycle)) is None:
            version = self._create_version(run, registration)
            if (found := self._registered(registration.cycle)) is None or found.version == version.version:
                return version
            self._connection.client.delete_model_version(self._name, str(version.version))
        if found.run_id != run.info.run_id:
            self._runs.discard(run.info.run_id)
        return found

    def _create_version(self, run: Any, registration: Registration) -> Any:
        from mlflow.exceptions import MlflowException

        client = self._connection.client
        model = client.get_logged_model(run.outputs.model_outputs[0].model_id)
        try:
            client.create_registered_model(self._name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        return client.create_model_version(
            self._name,
            model.artifact_location,  # not models:/…, which MLflow looks up under the process's own tracking address
            run_id=run.info.run_id,
            tags={key: value for key, value in run.data.tags.items() if not key.startswith("mlflow.")},
            description=f"{registration.trained.name}, {registration.trained.rows} rows, keepfit cycle {registration.cycle}",
            model_id=model.model_id,
        )

    # ------------------------------------------------------------------------------------------------------------ read

    def _keep(self, content_hash: str | None, model: Model) -> Model:
        """Remember the last few models that were opened from bytes of this hash."""
        if content_hash is not None:
            self._opened[content_hash] = model
            while len(self._opened) > KEPT_OPEN:
                del self._opened[next(iter(self._opened))]
        return model

    def _aliases(self) -> dict[str, str]:
        from mlflow.exceptions import MlflowException

        try:
            return texts(self._connection.client.get_registered_model(self._name).aliases)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return {}
            raise

    def _version(self, number: str) -> Any:
        return self._connection.version(self._name, number)

    def _described(self, version: Any) -> ModelVersion:
        created = datetime.fromtimestamp(version.creation_timestamp / 1000, UTC)
        return described(self._name, str(version.version), version.run_id or "", version.tags, created)

    @contextlib.contextmanager
    def _folder(self, version: Any) -> Iterator[Path]:
        """The version's files: where they are when they are on this machine, else a copy that is removed afterwards."""
        from mlflow.artifacts import download_artifacts

        if (local := self._connection.local_place(self._name, str(version.version))) is not None:
            yield local
            return
        uri = self._connection.client.get_model_version_download_uri(self._name, str(version.version))
        with tempfile.TemporaryDirectory(prefix="keepfit-") as place:
            yield Path(download_artifacts(artifact_uri=uri, dst_path=place, tracking_uri=self._connection.url))

    def _open(self, folder: Path, version: ModelVersion) -> Model:
        if pickles := sorted(file.name for file in folder.rglob("*") if file.suffix.lower() in PICKLES):
            raise ModelRefused(
                f"{self._name} version {version.version} is stored as {', '.join(pickles)}. Loading a pickle runs whatever is "
                "in it, so keepfit does not open it. Register the model again without pickle."
            )
        for format in self._formats:
            if (model := format.load(folder, version.content_hash)) is not None:
                return model
        raise ModelRefused(f"{self._name} version {version.version} is stored in no format that keepfit loads.")


def _with_its_columns(registration: Registration) -> Registration:
    """With the columns that the model was fitted on alone, in its order: what its signature will ask for."""
    names = getattr(registration.trained.model, "feature_names_in_", None)
    if names is None:
        return registration
    missing = [str(name) for name in names if name not in registration.features.columns]
    if missing:
        raise DataError(f"The model was fitted on the columns {', '.join(missing)}, which the project's rows do not have.")
    return replace(registration, features=registration.features[list(names)])


def _write_files(registration: Registration, model: Model, folder: Path) -> Path:
    made = {PROFILE_PATH: registration.profile, INPUTS_PATH: registration.inputs}
    own = {path: make(model) for path, make in made.items() if make is not None}
    for path, text in {**registration.files, **own}.items():
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or path == REFERENCE_PATH:
            raise ConfigError(f"{path} cannot be the path of an artifact.")
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    (folder / REFERENCE_PATH).parent.mkdir(parents=True, exist_ok=True)
    (folder / REFERENCE_PATH).write_bytes(reference_bytes(registration.reference))
    return folder


def _moved(alias: str, expected: str | None, actual: str | None) -> AliasMoved:
    def say(version: str | None) -> str:
        return "no version" if version is None else f"version {version}"

    return AliasMoved(f"The alias {alias} should point to {say(expected)}, and points to {say(actual)}: it was moved meanwhile.")
