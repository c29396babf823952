"""What a project and two tables come to on an engine, as a process of its own: `on_engine.py FOLDER URL TABLES [run|drift ...]`.

The registry is in memory, since MLflow takes longer than all else; the content hash is that of the real format.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keepfit
from keepfit.adapters.skops_models import SkopsModels
from keepfit.errors import KeepfitError
from keepfit.opened_ports import open_engine
from keepfit.ports import Registration
from keepfit.records import ModelVersion
from keepfit.stats.drift import Rule, Rules
from keepfit.steps import TYPES
from keepfit.testing import MemoryRegistry
from keepfit.two_tables import compare_tables


class Hashing(MemoryRegistry):
    """Knows the content hash of the last model that was registered."""

    content_hash = ""

    def register(self, registration: Registration) -> ModelVersion:
        with tempfile.TemporaryDirectory() as folder:
            stored = SkopsModels((*TYPES, "features.Patient")).store(registration.trained.model, Path(folder))
        assert stored is not None
        self.content_hash = stored.content_hash
        return super().register(registration)


def champion(folder: str, url: str) -> dict[str, Any]:
    registry = Hashing()
    with keepfit.open(folder, flags={"engine.url": url}, registry=registry) as project:
        cycle = project.run()
    assert cycle.candidate is not None
    scores = [asdict(score) for score in cycle.candidate.scores]
    return {"id": cycle.id, "hash": registry.content_hash, "name": cycle.candidate.name, "scores": scores}


def drift(tables: str, url: str) -> list[dict[str, Any]]:
    rules = Rules(false_alarms=0.01, default=Rule(method="auto", effect=0.1, threshold=None), columns={})
    found = compare_tables(f"{tables}/old", f"{tables}/new", rules, engine=open_engine(url, None, 30))
    return [asdict(column) for column in found.report.columns]


if __name__ == "__main__":
    folder, url, tables, *wanted = sys.argv[1:]
    found: dict[str, Any] = {}
    try:
        if "run" in wanted:
            found["champion"] = champion(folder, url)
        if "drift" in wanted:
            found["drift"] = drift(tables, url)
    except KeepfitError as error:
        found["error"] = [type(error).__name__, str(error)]
    sys.stdout.write(json.dumps(found))
