"""What is watched in whole cycles: drift told from harm and from a broken pipe, reports beside it, and `keepfit monitor`."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.acceptance.project import tree, write_day
from tests.acceptance.runs import Runs

from keepfit.errors import DataError
from keepfit.reporting.status import read_status

pytestmark = pytest.mark.slow


def write_shifted(folder: Path, day: int, *, low: float = 0.2, labels: bool = True, rows: int = 400) -> None:
    """A day on which both columns lie higher than they did; the old rule still tells the answer."""
    draw = random.Random(day)  # noqa: S311 - made-up data
    lines = ["x,y,answer"]
    for _ in range(rows):
        x, y = draw.uniform(low, 1), draw.uniform(low, 1)
        answer = "yes" if (x > 0) != (draw.random() < 0.1) else "no"
        lines.append(f"{x:.6f},{y:.6f},{answer if labels else ''}")
    (folder / f"data/inbox/shifted-{day}.csv").write_text("\n".join(lines) + "\n")


def quiet(project: Path) -> None:
    """Take away what would retrain for another reason."""
    for file in (project / "data/inbox").glob("day-[345]*.csv"):
        file.unlink()


def test_drift_without_harm_is_found_told_and_not_retrained_for(runs: Runs, project: Path) -> None:
    quiet(project)
    write_shifted(project, 7)
    done = runs.start("run", "--json", folder=project).wait()
    cycle = done.facts
    assert cycle["outcome"] == "healthy", done
    assert cycle["drift"]["detected"] is True
    assert {column["name"] for column in cycle["drift"]["columns"] if column["drifted"]} == {"x", "y", "together"}
    assert cycle["decision"]["change"] == "covariate"
    assert "shows no harm" in runs.start("explain", folder=project).wait().out
    status = read_status(project / "reports/drift_status.json", max_age=timedelta(hours=1), now=datetime.now(UTC))
    assert status.drifted() is True
    page = (project / "reports/keepfit.html").read_text()
    assert len(page.encode()) < 300_000
    assert "together" in page and "<svg" in page


def test_drift_without_labels_is_an_alert_and_performance_is_estimated(runs: Runs, project: Path) -> None:
    quiet(project)
    write_shifted(project, 7, labels=False)
    cycle = runs.start("run", "--json", folder=project).wait().facts
    assert cycle["drift"]["detected"] is True
    estimate = cycle["performance"]["estimate"]
    assert estimate["n"] == 400
    assert 0.7 < estimate["value"] <= 1, estimate
    fired = {signal["name"] for signal in cycle["decision"]["signals"] if signal["fired"]}
    assert {"drift", "no_labels"} <= fired
    assert (cycle["outcome"], cycle["decision"]["action"]) == ("alerted", "ALERT")


def test_a_change_of_meaning_is_told_from_a_change_of_inputs(runs: Runs, project: Path) -> None:
    cycle = runs.start("run", "--json", folder=project).wait().facts
    assert cycle["outcome"] == "promoted"
    assert cycle["drift"]["detected"] in (False, True)  # labels hang on another column now, inputs are as ever
    assert not [column["name"] for column in cycle["drift"]["columns"] if column["drifted"]]
    assert cycle["decision"]["change"] in ("concept", "data_fault")  # the news hold a broken file, too


def test_a_look_changes_nothing_but_the_reports(runs: Runs, project: Path) -> None:
    quiet(project)
    write_shifted(project, 7)
    before = tree(project)
    done = runs.start("monitor", "--check-now", "--fail-on-drift", folder=project).wait()
    assert done.code == 4, done
    assert "DRIFT" in done.out
    after = tree(project)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert changed == {"reports/drift_status.json", "reports/keepfit.html"}
    assert json.loads((project / "reports/drift_status.json").read_text())["drift_detected"] is True


def test_without_a_new_look_the_last_judgement_and_the_trend_are_shown(runs: Runs, project: Path) -> None:
    done = runs.start("monitor", folder=project).wait()
    assert done.code == 0, done
    assert "NO_ACTION" in done.out
    found = runs.start("monitor", "--json", folder=project).wait().facts
    assert found["drift_detected"] is False
    assert found["cycle"]["performance"]["champion"] == "1"


def test_a_status_that_is_stale_is_an_error_and_not_no_drift(runs: Runs, project: Path) -> None:
    quiet(project)
    write_day(project, 6, "x")
    assert runs.start("run", folder=project).wait().code == 0
    path = project / "reports/drift_status.json"
    assert read_status(path, max_age=timedelta(days=1), now=datetime.now(UTC)).drifted() is False
    with pytest.raises(DataError):
        read_status(path, max_age=timedelta(days=1), now=datetime.now(UTC) + timedelta(days=2))
    path.write_text(path.read_text()[:-20])
    with pytest.raises(DataError):
        read_status(path, max_age=timedelta(days=1), now=datetime.now(UTC))


def test_reports_that_cannot_be_written_never_lose_a_cycle(runs: Runs, project: Path) -> None:
    (project / "reports").rename(project / "kept")
    (project / "reports").write_text("a file is in the way")
    done = runs.start("run", "--json", folder=project).wait()
    assert done.facts["outcome"] == "promoted", done
    assert any("cannot be written" in note for note in done.facts["notes"])
