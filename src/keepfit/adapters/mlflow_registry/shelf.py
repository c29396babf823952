"""Model versions in MLflow as files, for whoever serves them."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

from keepfit.adapters.mlflow_registry.connection import Connection, quoted
from keepfit.live_ports import Shelved
from keepfit.versions import CODE_PATH, INPUTS_PATH, Tag


class MlflowShelf:
    """`Shelf` over MLflow: the registry's versions, and the artifacts of the runs that made them."""

    def __init__(self, url: str, name: str) -> None:
        self._name = name
        self._connection = Connection(url)

    def pointed(self, alias: str) -> Shelved | None:
        """Two small queries, however many versions there are: this is asked several times a second."""
        from mlflow.exceptions import MlflowException

        with self._connection.translated():
            try:
                return self._shelved(self._connection.client.get_model_version_by_alias(self._name, alias))
            except MlflowException as error:
                if error.error_code == "INVALID_PARAMETER_VALUE":  # what MLflow says of an alias that is not there
                    return None
                raise

    def newest(self) -> Shelved | None:
        with self._connection.translated():
            found = self._connection.client.search_model_versions(
                f"name = {quoted(self._name)}", max_results=1, order_by=["version_number DESC"]
            )
            return self._shelved(found[0]) if found else None

    def version(self, number: str) -> Shelved:
        with self._connection.translated():
            return self._shelved(self._connection.version(self._name, number))

    def fetch(self, shelved: Shelved, folder: Path) -> None:
        with self._connection.translated():
            self._copy_model(shelved, folder / "model")
            if shelved.run:
                for path in (INPUTS_PATH, CODE_PATH):
                    self._copy_artifact(shelved.run, path, folder)

    def _copy_model(self, shelved: Shelved, target: Path) -> None:
        from mlflow.artifacts import download_artifacts

        if (local := self._connection.local_place(self._name, shelved.version)) is not None:
            shutil.copytree(local, target)
            return
        uri = self._connection.client.get_model_version_download_uri(self._name, shelved.version)
        with tempfile.TemporaryDirectory(prefix="keepfit-", dir=target.parent) as place:
            found = download_artifacts(artifact_uri=uri, dst_path=place, tracking_uri=self._connection.url)
            Path(found).rename(target)

    def _copy_artifact(self, run: str, path: str, folder: Path) -> None:
        """A file or folder of the run, where it has it."""
        client = self._connection.client
        parent = path.rpartition("/")[0] or None
        if any(item.path == path for item in client.list_artifacts(run, parent)):
            with tempfile.TemporaryDirectory(prefix=".keepfit-", dir=folder) as place:
                found = Path(client.download_artifacts(run, path, place))  # where below depends on the store
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                found.rename(folder / path)

    def _shelved(self, found: Any) -> Shelved:
        content_hash = found.tags.get(Tag.CONTENT_HASH)
        told = content_hash or hashlib.sha256(f"{found.run_id} {found.source} {found.creation_timestamp}".encode()).hexdigest()
        return Shelved(
            model=self._name,
            version=str(found.version),
            mark=told[:12],
            content_hash=content_hash,
            run=found.run_id or "",
            served=found.tags.get(Tag.SERVED),
            code=found.tags.get(Tag.CODE),
        )
