"""Twenty runners on one Postgres ledger, killed at random, while data arrive and the server goes down twice.

`KEEPFIT_TEST_DAYS=60` makes a longer life of it, `KEEPFIT_TEST_SEED` another one.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.project import files, make_project, registered, write_day
from tests.acceptance.runs import Run, Runs, eventually
from tests.acceptance.servers import PostgresServer

import keepfit
from keepfit.errors import KeepfitError
from keepfit.records import BatchState, Cycle, Outcome, Place

pytestmark = pytest.mark.slow

RUNNERS = 20
DAYS = int(os.environ.get("KEEPFIT_TEST_DAYS", "3"))  # of each of the two projects
SEED = int(os.environ.get("KEEPFIT_TEST_SEED", "20"))
NAMES = ("walk", "stroll")
EAGER = """
[retrain]
triggers = ["new_rows"]
new_rows = 1

[monitor]
estimate = false

[monitor.drift]
enabled = false

[reports]
html = false
"""


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A Postgres that can be ended."""
    server = PostgresServer()
    server.start()
    yield server
    server.close()


@pytest.fixture
def projects(server: PostgresServer, prepared: tuple[Path, Path], tmp_path: Path) -> list[Path]:
    """Two projects side by side in one ledger; every labelled day makes each train."""
    folders = []
    for name in NAMES:
        folder = make_project(tmp_path / name, ledger=server.url)
        settings = (folder / "keepfit.toml").read_text().replace('name = "walk"', f'name = "{name}"')
        (folder / "keepfit.toml").write_text(settings + EAGER)
        folders.append(folder)
    with keepfit.open(folders[0]) as first:
        assert first.ports.registry.champion() is None  # MLflow takes seconds to make its tables: once is enough
    shutil.copy(folders[0] / ".keepfit/mlflow.db", _made(folders[1] / ".keepfit") / "mlflow.db")
    return folders


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Crowd:
    """Runners, as many of each project; whoever is killed is replaced."""

    def __init__(self, runs: Runs, projects: list[Path], place: Path) -> None:
        self._runs, self._projects, self._place = runs, projects, place
        self._draw = random.Random(SEED)  # noqa: S311
        self.killed = 0
        self._at_work: list[tuple[Path, Run]] = []
        for number in range(RUNNERS):
            self._begin(projects[number % len(projects)])

    def _begin(self, project: Path) -> None:
        call = ["runner_loop:work", str(self.said(project)), str(self._place / "stop")]
        self._at_work.append((project, self._runs.start(folder=project, call=call)))

    def said(self, project: Path) -> Path:
        return self._place / f"{project.name}.said"

    def lines(self, project: Path) -> list[dict[str, Any]]:
        """What its runners have told so far; who was killed while writing has left half a line at most."""
        text = self.said(project).read_text() if self.said(project).exists() else ""
        return [json.loads(line) for line in text.splitlines() if line.endswith("}")]

    def kill_one(self) -> None:
        """Anybody, or, every other time, whoever works at this moment."""
        number = self._draw.randrange(len(self._at_work))
        if self._draw.random() < 0.5:
            holders = {pid for project in self._projects if (pid := holder(project)) is not None}
            number = next((place for place, (_, run) in enumerate(self._at_work) if run.pid in holders), number)
        project, run = self._at_work.pop(number)
        run.kill()
        self.killed += 1
        self._begin(project)

    def stop(self) -> None:
        (self._place / "stop").touch()
        for _, run in self._at_work:
            done = run.wait()
            assert done.code == 0, done.err


def holder(project: Path) -> int | None:
    """The process that holds the project's lease, as far as the ledger can be asked."""
    with keepfit.open(project) as opened:
        try:
            lease = opened.ports.ledger.leases.current(project.name)
        except KeepfitError:
            return None
    return int(lease.holder.split(":")[-2]) if lease else None


def finished(project: Path) -> list[Cycle]:
    """The cycles that came to an end and judged something, the oldest first."""
    with keepfit.open(project) as opened:
        return [cycle for cycle in reversed(opened.history(10_000)) if cycle.outcome not in (None, Outcome.WAITING)]


def arrives(project: Path, day: int, seen: dict[Path, list[str]]) -> None:
    """A day's file, whole at once: who writes into an inbox renames."""
    place = project / "arriving/data/inbox"
    place.mkdir(parents=True, exist_ok=True)
    path = write_day(project / "arriving", day, "x" if day % 3 else "y", 60)
    seen[project].append(hashlib.sha256(path.read_bytes()).hexdigest())
    path.rename(project / "data/inbox" / path.name)


def test_twenty_runners_that_are_killed_train_every_day_once(
    runs: Runs, projects: list[Path], server: PostgresServer, tmp_path: Path
) -> None:
    crowd, seen = Crowd(runs, projects, tmp_path), {project: [] for project in projects}
    stops = {max(1, DAYS // 3): server.crash, max(2, 2 * DAYS // 3): server.shut_down}
    for day in range(1, DAYS + 1):
        before = {project: len(crowd.lines(project)) for project in projects}
        for project in projects:
            arrives(project, day, seen)
        for _ in range(3):
            time.sleep(random.Random(SEED + day).uniform(0, 0.4))  # noqa: S311 - when it is killed is drawn, not waited for
            crowd.kill_one()
        if day in stops:
            stops[day]()
            eventually(lambda before=before: all(_away(crowd, each, before[each]) for each in projects), "runners missing it")
            server.start()
        for project in projects:
            eventually(lambda project=project, day=day: _judged(project) == day, f"day {day} of {project.name} being judged")
    crowd.stop()
    assert crowd.killed == 3 * DAYS
    for project in projects:
        _check_lines(crowd.lines(project))
        _check(project, seen[project])
        done = runs.run(folder=project)
        assert done.out.startswith("waiting"), done
        with keepfit.open(project) as opened:
            assert opened.status()["lease"] is None


def _away(crowd: Crowd, project: Path, before: int) -> bool:
    """Whether one of its runners has met no ledger, among the lines since."""
    return any(line["met"] == "away" for line in crowd.lines(project)[before:])


def _judged(project: Path) -> int:
    with keepfit.open(project) as opened:
        counts = opened.ports.ledger.batches.count(project.name)
    return counts[BatchState.JUDGED] + counts[BatchState.ARCHIVED]


def _check_lines(lines: list[dict[str, Any]]) -> None:
    """What the runners told: no surprise, and no number of a lease was given twice or went back."""
    assert [line["words"] for line in lines if line["met"] == "error"] == []
    done = [line for line in lines if line["met"] == "done"]
    numbers = Counter(line["fence"] for line in done)
    assert [number for number, times in numbers.items() if times > 1] == []
    for runner in {line["runner"] for line in done}:
        own = [line["fence"] for line in done if line["runner"] == runner]
        assert own == sorted(own)


def _check(project: Path, seen: list[str]) -> None:
    """Every file in one place, every batch judged by one cycle, every set trained on once, every cycle with one version."""
    found = [(name, digest) for name, digest in files(project).items() if name.endswith(".csv")]
    assert sorted(digest for _, digest in found) == sorted(seen), "a data file is lost, doubled or changed"
    cycles = finished(project)
    assert {cycle.outcome for cycle in cycles} <= {Outcome.PROMOTED, Outcome.KEPT_CHAMPION, Outcome.INCONCLUSIVE}
    assert sorted(batch.id for cycle in cycles for batch in cycle.batches) == sorted(seen), "judged by one cycle each"
    trained = [cycle.candidate for cycle in cycles]
    assert all(trained)
    assert len({each.trained_on for each in trained if each}) == len(cycles), "no two cycles trained on the same set"
    fences = [cycle.fence for cycle in cycles]
    assert fences == sorted(set(fences))
    in_mlflow = registered(project)
    assert [number for number, _ in in_mlflow["versions"]] == [int(each.version) for each in trained if each]
    assert sum(number for _, number in in_mlflow["models"]) == len(cycles)
    runs = {name: number for name, status, number in in_mlflow["runs"] if status == "FINISHED"}
    assert runs["ModelRetraining"] == len(cycles)
    with keepfit.open(project) as opened:
        ledger = opened.ports.ledger
        batches = ledger.batches.in_state(project.name, *BatchState)
        folders = {Place.INBOX: "inbox", Place.ARCHIVE: "archive"}
        assert sorted((f"{folders[each.place]}/{each.name}", each.id) for each in batches) == sorted(found)
        entries = [entry for entry in ledger.journal.entries(project.name, 1000) if entry.status != "done"]
        assert entries == []
        promoted = [cycle.promotion.to_version for cycle in cycles if cycle.promotion]
        assert [entry.promotion.to_version for entry in reversed(ledger.journal.entries(project.name, 1000))] == promoted
        champion = opened.ports.registry.champion()
        assert champion is not None
        assert champion.version == promoted[-1]
