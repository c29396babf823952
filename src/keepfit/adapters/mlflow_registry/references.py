"""What was stored with a model version to hold new rows against."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from keepfit.adapters.mlflow_registry.connection import Connection
from keepfit.versions import PROFILE_PATH, REFERENCE_PATH, Tag

if TYPE_CHECKING:
    import polars as pl

T = TypeVar("T")


class MlflowReferences:
    """`References` over MLflow: the artifacts of the run that made the version."""

    def __init__(self, url: str, name: str) -> None:
        self._name = name
        self._connection = Connection(url)

    def profile(self, version: str) -> str | None:
        return self._read(version, Tag.PROFILE, PROFILE_PATH, lambda path: path.read_text(encoding="utf-8"))

    def rows(self, version: str) -> pl.DataFrame | None:
        import polars as pl

        return self._read(version, Tag.REFERENCE, REFERENCE_PATH, pl.read_parquet)

    def fetch(self, version: str, path: str, folder: Path) -> bool:
        with self._connection.translated(), tempfile.TemporaryDirectory(prefix="keepfit-") as place:
            found, client = self._connection.version(self._name, version), self._connection.client
            above = path.rpartition("/")[0] or None
            if not found.run_id or all(item.path != path for item in client.list_artifacts(found.run_id, above)):
                self._connection.local_place(self._name, version)  # raises where the project was moved
                return False
            brought, target = Path(client.download_artifacts(found.run_id, path, place)), folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if brought.is_dir() else shutil.copyfile
            copy(brought, target)
            return True

    def _read(self, version: str, tag: Tag, path: str, read: Callable[[Path], T]) -> T | None:
        """None for a version that does not say it has such a file: one made elsewhere, or by an older keepfit."""
        with self._connection.translated(), tempfile.TemporaryDirectory(prefix="keepfit-") as place:
            found = self._connection.version(self._name, version)
            if tag not in found.tags or not found.run_id:
                return None
            return read(Path(self._connection.client.download_artifacts(found.run_id, path, place)))
