"""The flowers: asked of the API, logged, drifted, learnt from the labels that came back, and served again."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.runs import Done, Runs, eventually
from tests.acceptance.serving import Served

pytestmark = pytest.mark.slow

WARMER = ("--covariate-drift-from", "2026-02-01")
PLAIN = {"KEEPFIT_REPORTS__EVIDENTLY": "false"}
QUICK = {"KEEPFIT_SERVE__LOG__SEGMENT": "0.2s", "KEEPFIT_DATA__SETTLE": "0s"}


def told(done: Done) -> Done:
    assert done.code == 0, done.err
    return done


def ask(runs: Runs, folder: Path, server: Served, start: str, days: int, *options: str) -> Any:
    """Flowers of these days, and their labels, over HTTP; waits until all labels are in the log."""
    before = labels(server)
    arguments = ("--url", server.url, "--start", start, "--days", str(days), "--rate", "1000", "--labels", "90%", *options)
    sent = told(runs.start("simulate", *arguments, "--json", folder=folder).wait()).facts
    eventually(lambda: labels(server) >= before + sent["labelled"], "the labels reaching the log")
    return sent


def labels(server: Served) -> int:
    return sum(version["n"] for version in server.get("/metrics/performance")["versions"])


def test_larger_petals_are_seen_learnt_and_served(runs: Runs, tmp_path: Path) -> None:
    folder = tmp_path / "flowers"
    told(runs.start("init", "iris", str(folder), folder=tmp_path).wait())
    with (folder / "data/new/iris.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 150
    first = told(runs.run("--json", folder=folder, environment=PLAIN)).facts
    assert first["outcome"] == "promoted", first["reason"]
    assert first["verdict"]["challenger"] > 0.9

    with Served(folder, environment=QUICK) as server:
        answer = server.predict({"sepal_length": 5.0, "sepal_width": 3.4, "petal_length": 1.5, "petal_width": 0.2})
        assert answer["prediction"] == "setosa"
        assert set(answer["probabilities"]) == {"setosa", "versicolor", "virginica"}
        missing = server.client.post("/predict", json={"sepal_length": 5.0})
        assert (missing.status_code, "petal_width" in missing.text) == (422, True)

        quiet = ask(runs, folder, server, "2026-01-10", 2)
        assert quiet["accuracy"] > 0.9
        judged = told(runs.run("--json", folder=folder, environment=PLAIN)).facts
        assert (judged["outcome"], judged["drift"]["detected"]) == ("healthy", False), judged["reason"]

        warmer = ask(runs, folder, server, "2026-02-01", 4, *WARMER)
        assert warmer["accuracy"] < 0.85
        learnt = told(runs.start("run", "--json", folder=folder).wait(120)).facts
        assert {"floor", "drift"} <= {signal["name"] for signal in learnt["decision"]["signals"] if signal["fired"]}
        assert learnt["outcome"] == "promoted", learnt["reason"]
        assert learnt["verdict"]["conclusion"] == "passed"
        assert learnt["verdict"]["challenger"] > learnt["verdict"]["champion"] + 0.05
        assert learnt["candidate"]["window"] == "last 1"
        told(runs.start("monitor", folder=folder).wait())
        assert "petal_length" in (folder / "reports/drift_report.html").read_text()
        assert json.loads((folder / "reports/drift_status.json").read_text())["drift_detected"] is True
        eventually(lambda: server.get("/models/current")["model_version"] == "2", "the server following the promotion")

        after = ask(runs, folder, server, "2026-02-05", 2, *WARMER)
        assert after["versions"] == {"2": after["answered"]}
        assert after["accuracy"] > 0.93
        cleared = told(runs.run("--json", folder=folder, environment=PLAIN)).facts
        assert (cleared["outcome"], cleared["drift"]["detected"]) == ("healthy", False), cleared["reason"]
        assert json.loads((folder / "reports/drift_status.json").read_text())["drift_detected"] is False
        assert server.get("/metrics/drift")["drift_detected"] is False

        broken = ("--start", "2026-03-01", "--broken-on", "2026-03-01")
        sent = told(runs.start("simulate", "--url", server.url, "--rate", "1000", *broken, "--json", folder=folder).wait()).facts
        assert (sent["answered"], sent["labelled"]) == (0, 0)  # of flowers half a metre long
        assert any("sepal_length" in why for why in sent["refused"])

    told(runs.start("simulate", *broken, folder=folder).wait())
    found = told(runs.run("--json", folder=folder, environment=PLAIN)).facts
    assert (found["outcome"], found["candidate"]) == ("quarantined", None)
    assert "sepal_length: expected at most 20" in found["reason"]

    told(runs.start("data", "export", folder=folder).wait())
    with (folder / "data/logs/predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    answered = 1 + quiet["answered"] + warmer["answered"] + after["answered"]
    assert len(rows) == len({row["request_id"] for row in rows}) == answered
    assert sum(row["label"] != "" for row in rows) == quiet["labelled"] + warmer["labelled"] + after["labelled"]
