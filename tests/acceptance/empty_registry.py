"""An MLflow database without anything in it, made once: a project that begins with a copy spares MLflow's migrations."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from keepfit.adapters.mlflow_registry.connection import Connection


def with_empty_registry(folder: Path) -> Path:
    """Give a project the database that its first run would make."""
    (folder / ".keepfit").mkdir(exist_ok=True)
    (folder / ".keepfit/mlflow.db").write_bytes(_made())
    return folder


@cache
def _made() -> bytes:
    place = Path(mkdtemp(prefix="keepfit-"))
    try:
        assert Connection(f"sqlite:///{place}/mlflow.db").client.search_registered_models() == []
        return (place / "mlflow.db").read_bytes()
    finally:
        shutil.rmtree(place)
