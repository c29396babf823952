"""The loop on a real Prefect server with a real worker: what a person sees of it, and what is left when the worker is killed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from time import sleep
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from tests.acceptance.lives import DAYS, churn_project, end_of
from tests.acceptance.prefect_server import POOL, PROGRAMS, PrefectServer
from tests.acceptance.project import FEATURES, make_project, registered, write_day
from tests.acceptance.runs import eventually

import keepfit
from keepfit.cycle import NAMES
from keepfit.records import Cycle, Outcome

pytestmark = pytest.mark.slow

FLOW, DEPLOYMENT = "Automated Retraining Flow", "main-retraining-deployment"
BERLIN = ZoneInfo("Europe/Berlin")
LATER = datetime.now(BERLIN) + timedelta(hours=12)  # nothing begins by itself while the tests run
CRON = f"{LATER.minute} {LATER.hour} * * *"
SETTINGS = f"""
[schedule]
cron = "{CRON}"
time_zone = "{BERLIN.key}"

[deploy]
retries = 1
retry_delay = "0s"
"""
WAITING = """
from pathlib import Path
from time import sleep

def prepare(frame):
    here = Path(__file__).parent
    (here / "begun").touch()
    while not (here / "go-on").exists():
        sleep(0.02)
    return frame.assign(together=frame["x"] + frame["y"])
"""
FAILING = "def prepare(frame):\n    raise ValueError('the scales are broken')\n"


@dataclass(frozen=True)
class Deployed:
    """A project with its deployment on a running server; a worker waits for runs."""

    server: PrefectServer
    folder: Path
    id: str  # of the deployment
    document: dict[str, Any]

    def run(self, **parameters: Any) -> dict[str, Any]:
        return self.server.run(self.id, **parameters)

    def latest(self) -> Cycle:
        with keepfit.open(self.folder) as project:
            return project.cycle()


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """As a person does it who follows the words of `keepfit deploy prefect`."""
    place = tmp_path_factory.mktemp("prefect")
    folder = make_project(place / "my project")
    (folder / "keepfit.toml").write_text((folder / "keepfit.toml").read_text() + SETTINGS)
    server = PrefectServer(place / "home")
    try:
        server.start()
        said = server.call(str(PROGRAMS / "keepfit"), "deploy", "prefect", "--project", str(folder), folder=place)
        assert f"work-pool create {POOL} --type process" in said
        server.call("prefect", "work-pool", "create", POOL, "--type", "process", folder=folder)
        server.start_worker()
        server.call("prefect", "deploy", "--all", folder=folder)
        document = server.deployment(FLOW, DEPLOYMENT)
        yield Deployed(server, folder, document["id"], document)
    finally:
        server.close()


def test_the_schedule_makes_runs(deployed: Deployed) -> None:
    """Prefect's server plans some runs ahead; with libraries that it does not go together with it plans none."""
    server = deployed.server
    planned = eventually(lambda: server.runs(deployed.id, "SCHEDULED") or sleep(0.1), "the schedule making a run")
    first = datetime.fromisoformat(planned[0]["expected_start_time"]).astimezone(BERLIN)
    assert (first.hour, first.minute) == (LATER.hour, LATER.minute)


@pytest.fixture(scope="module")
def first_run(deployed: Deployed) -> dict[str, Any]:
    write_day(deployed.folder, 1, "x")
    return deployed.run()


def test_the_deployment_is_what_the_settings_say(deployed: Deployed) -> None:
    found = deployed.document
    assert found["work_pool_name"] == POOL
    assert found["parameters"] == {"project": str(deployed.folder), "force_retrain": False}
    schedule = found["schedules"][0]["schedule"]
    assert (schedule["cron"], schedule["timezone"]) == (CRON, BERLIN.key)
    assert found["global_concurrency_limit"]["limit"] == 1
    assert found["concurrency_options"]["collision_strategy"] == "ENQUEUE"


def test_a_run_tells_that_it_promoted_and_shows_why(deployed: Deployed, first_run: dict[str, Any]) -> None:
    cycle = deployed.latest()
    assert (first_run["state"]["name"], first_run["state"]["message"]) == ("Promoted", cycle.reason)
    assert first_run["name"] == f"walk {cycle.id}"
    assert {"walk", cycle.id} <= set(first_run["tags"])
    assert list(deployed.server.tasks(first_run["id"], len(NAMES))) == list(NAMES)
    assert registered(deployed.folder)["aliases"] == [("champion", 1)]
    shown = deployed.server.artifacts(first_run["id"])
    assert {"walk-batches", "walk-signals", "walk-decision", "walk-challenger", "walk-verdict"} <= set(shown)
    signals = {row["signal"]: row["fired"] for row in json.loads(shown["walk-signals"]["data"])}
    assert signals["no_champion"] == "yes"
    assert shown["walk-decision"]["data"].startswith("# RETRAIN")
    assert cycle.candidate is not None
    assert cycle.candidate.run_id in shown["walk-challenger"]["data"]
    assert (deployed.folder / "reports/keepfit.html").as_uri() in shown["walk-report"]["data"]


def test_with_nothing_new_the_stages_are_shown_as_skipped(deployed: Deployed, first_run: dict[str, Any]) -> None:
    run = deployed.run()
    assert (run["state"]["type"], run["state"]["name"]) == ("COMPLETED", "Waiting")
    states = deployed.server.tasks(run["id"], len(NAMES))
    assert states == {"collect": "Completed"} | dict.fromkeys(NAMES[1:], "Skipped")


def test_a_function_that_fails_gives_a_failed_run_with_our_words_and_is_not_tried_again(
    deployed: Deployed, first_run: dict[str, Any]
) -> None:
    write_day(deployed.folder, 2, "y", 400)
    (deployed.folder / "features.py").write_text(FAILING)
    run = deployed.run()
    assert run["state"]["type"] == "FAILED"
    assert run["state"]["message"].startswith("prepare: ")
    assert "the scales are broken" in run["state"]["message"]
    states = deployed.server.tasks(run["id"], 3)
    assert states == {"collect": "Completed", "validate": "Completed", "prepare": "Failed"}
    assert deployed.latest().outcome is Outcome.FAILED
    (deployed.folder / "features.py").write_text(FEATURES)


def test_a_killed_worker_s_forced_cycle_is_gone_on_with_by_the_next_run(deployed: Deployed, first_run: dict[str, Any]) -> None:
    server, folder = deployed.server, deployed.folder
    write_day(folder, 3, "y", 400)
    (folder / "features.py").write_text(WAITING)
    lost = server.begin_run(deployed.id, force_retrain=True)
    eventually((folder / "begun").exists, "the project's function being called")
    server.kill_worker()
    with keepfit.open(folder) as project:
        interrupted = project.cycle()
        assert interrupted.outcome is None
        eventually(lambda: project.status()["lease"] is None, "the stage ending with its flow and giving the lease back")
        before = registered(folder)["versions"]
    (folder / "go-on").touch()
    server.give_up(lost)
    server.start_worker()
    run = deployed.run()
    cycle = deployed.latest()
    assert cycle.id == interrupted.id
    assert cycle.decision is not None
    assert next(signal.name for signal in cycle.decision.signals if signal.fired) == "forced"
    assert cycle.outcome is Outcome.PROMOTED
    assert run["state"]["name"] == "Promoted"
    states = server.tasks(run["id"], len(NAMES))
    assert states["collect"] == "Done before"
    assert re.fullmatch("(Completed)+", "".join(states[name] for name in NAMES[2:]))
    assert len(registered(folder)["versions"]) == len(before) + 1


def test_days_that_prefect_runs_end_as_they_do_by_hand(deployed: Deployed, churn_by_hand: dict[str, Any], tmp_path: Path) -> None:
    folder = churn_project(tmp_path / "customers")
    names = []
    for day in DAYS:
        with keepfit.open(folder) as project:
            project.simulate(day, 1)
        names.append(deployed.run(project=str(folder))["state"]["name"])
    assert names == ["Promoted", "Inconclusive", "Promoted"]
    assert end_of(folder) == churn_by_hand
