"""Feast reads what keepfit has prepared: the repository that comes with churn, applied and asked by Feast itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import polars as pl
import pytest

import keepfit
from keepfit.templates import copy_template

pytestmark = pytest.mark.slow

# In a process of its own: Feast and what it loads warn of things that are not ours.
ASK = """
import json, sys
import pandas as pd
from feast import FeatureStore

store = FeatureStore(repo_path=".")
view = store.get_feature_view("customers")
names = [f"customers:{field.name}" for field in view.features]
known = sys.argv[1:]
asked = pd.DataFrame({"customer_id": known, "event_timestamp": pd.to_datetime(["2026-01-20"] * len(known), utc=True)})
joined = store.get_historical_features(asked, names).to_df()
store.materialize_incremental(pd.Timestamp("2026-02-01", tz="UTC").to_pydatetime())
online = store.get_online_features(names, [{"customer_id": name} for name in [*known, "nobody"]]).to_dict()
print(json.dumps({"history": json.loads(joined.to_json(orient="records")), "online": online}))
"""


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Two prepared rows, one that trained and one that judges, and what Feast says of them, and online of somebody unknown."""
    folder = tmp_path_factory.mktemp("feast") / "customers"
    copy_template("churn", folder)
    with keepfit.open(folder) as project:
        project.simulate("2026-01-01", 2)
        cycle = project.run(until="prepare")
        project.export_prepared(cycle.id)
    rows = [
        pl.read_parquet(folder / f"prepared_data/2026-01-0{day}/{side}.parquet").row(0, named=True)
        for day, side in ((1, "training"), (2, "holdout"))
    ]
    environment = os.environ | {"HOME": str(folder), "FEAST_USAGE": "False", "DO_NOT_TRACK": "1"}

    def python(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=folder / "feature_repo",
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    python("-m", "feast.cli.cli", "apply")
    told = python("-c", ASK, *(row["customer_id"] for row in rows))
    return rows, json.loads(told.splitlines()[-1])


def test_training_sets_hold_what_was_prepared(asked: tuple[list[dict[str, Any]], dict[str, Any]]) -> None:
    rows, told = asked
    found = {row["customer_id"]: row for row in told["history"]}
    for row in rows:
        mine = found[row["customer_id"]]
        features = [name for name in mine if name in row and name != "customer_id"]
        assert len(features) == 22
        assert {name: mine[name] for name in features} == pytest.approx({name: row[name] for name in features})


def test_what_was_last_known_of_a_customer_is_answered_online(asked: tuple[list[dict[str, Any]], dict[str, Any]]) -> None:
    rows, told = asked
    online = told["online"]
    for name in ("spend_per_transaction", "engagement_score", "credit_band", "segment_and_app"):
        assert online[name] == pytest.approx([*(row[name] for row in rows), None])
