"""A bad promotion is taken back by itself: by the office of a running server, and once, whoever is killed meanwhile."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.acceptance.conftest import restored
from tests.acceptance.project import NAME, champion, make_project, write_day
from tests.acceptance.runs import Runs, eventually
from tests.acceptance.serving import Served

import keepfit
from keepfit.live_ports import Labelled, Logged, Shadowed
from keepfit.live_records import Standing
from keepfit.project import Project
from keepfit.records import Event
from keepfit.request_ids import RequestIds

pytestmark = pytest.mark.slow

LABELS = 40  # in which the new champion is always wrong and the one before always right


@pytest.fixture(scope="module")
def shown_worse(runs: Runs, prepared: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Where a project lies whose log shows that its new champion is worse, and a copy of what it holds; nobody has looked yet."""
    folder, copy = restored(prepared), tmp_path_factory.mktemp("worse") / "copy"
    runs.finish(folder)
    with keepfit.open(folder) as project:
        now, ids = time.time(), RequestIds(NAME)
        spool = project.ports.open_spool("1")
        for place in range(LABELS):
            id, at = ids.new(now + place / 1000), now + place / 1000
            spool.write(
                [
                    Logged(request_id=id, at=at, model=NAME, version="2", inputs={"x": 0.5, "y": 0.5}, prediction="no", score=0.9),
                    Shadowed(request_id=id, at=at, version="1", prediction="yes", score=0.9),
                    Labelled(request_id=id, at=at, label="yes"),
                ]
            )
        spool.close()
        assert project.ports.log.drain() == 3 * LABELS
    shutil.copytree(folder, copy)
    return folder, copy


@pytest.fixture
def worse(shown_worse: tuple[Path, Path]) -> Path:
    return restored(shown_worse)


def taken_back(folder: Path) -> None:
    """Once, and all of it."""
    assert champion(folder) == "1"
    with keepfit.open(folder) as project:
        ledger = project.ports.ledger
        moves = [(entry.promotion.kind, entry.promotion.to_version, entry.status) for entry in project.journal()]
        assert moves == [("rollback", "1", "done"), ("promotion", "2", "done"), ("promotion", "1", "done")]
        assert [(entry.actor, entry.act) for entry in ledger.audit.recent(NAME)] == [("keepfit", "rollback")]
        alerts = [each.alert.severity for each in ledger.outbox.recent(NAME, 100, event=Event.ROLLED_BACK)]
        assert alerts == ["critical"]
        kept = project.live.oversee()
        assert kept is not None
        assert kept.standing is Standing.ROLLED_BACK
        assert f"on {LABELS} labelled answers of both" in kept.reason


def test_a_look_takes_a_worse_champion_back_on_the_real_ledger_registry_and_log(runs: Runs, worse: Path) -> None:
    runs.call("overseer:look", folder=worse)
    taken_back(worse)


def test_killed_at_any_instant_it_is_taken_back_once(runs: Runs, shown_worse: tuple[Path, Path]) -> None:
    at, killed = 0, True
    while killed:
        at += 1
        folder = restored(shown_worse)
        done = runs.start(folder=folder, call=["overseer:look", str(at)]).wait()
        killed = done.code == -signal.SIGKILL
        assert killed or done.code == 0, done.err
        runs.call("overseer:look", "0", "", folder=folder)
        taken_back(folder)
    assert at > 7, "to take a champion back changes something at least so often"


def test_several_that_look_at_once_take_it_back_once(runs: Runs, worse: Path) -> None:
    looking = [runs.start(folder=worse, call=["overseer:look", "0", ""]) for _ in range(4)]
    for each in looking:
        done = each.wait()
        assert done.code == 0, done.err
    runs.call("overseer:look", "0", "", folder=worse)  # who met the lease has left it to the next look
    taken_back(worse)


# ------------------------------------------------------------------------------------------------------ a running server


@pytest.fixture
def contrary(tmp_path: Path) -> Path:
    """A served project with a second version that always says the opposite."""
    import pandas as pd
    import skops.io
    from sklearn.linear_model import LogisticRegression

    folder = make_project(tmp_path / "project")
    settings = folder / "keepfit.toml"
    settings.write_text(settings.read_text().replace('prepare = "features:prepare"\n', "") + '\n[serve.log]\nsegment = "0.3s"\n')
    rows = pd.read_csv(write_day(folder, 1, "x"))
    opposite = rows["answer"].map({"yes": "no", "no": "yes"})
    skops.io.dump(LogisticRegression().fit(rows[["x", "y"]], opposite), folder / "contrary.skops")
    with keepfit.open(folder) as project:
        assert project.run().outcome == "promoted"
        project.register(folder / "contrary.skops")
    return folder


@pytest.fixture
def project(contrary: Path) -> Iterator[Project]:
    with keepfit.open(contrary) as opened:
        yield opened


def test_the_office_of_a_running_server_takes_a_bad_promotion_back(contrary: Path, project: Project) -> None:
    with Served(contrary) as server:
        server.wait_until_it_follows()
        project.promote("2", "a bad idea")
        eventually(lambda: server.version == "2", "the promoted version answering", 10)
        eventually(lambda: server.get("/models/current")["shadows"], "the version before answering silently", 10)
        for place in range(LABELS):
            x = 0.9 if place % 2 else -0.9
            told = server.predict({"x": x, "y": 0.0})
            assert told["prediction"] == ("no" if x > 0 else "yes")
            feedback = {"request_id": told["request_id"], "label": "yes" if x > 0 else "no"}
            assert server.client.post("/feedback", json=feedback).status_code < 300
        eventually(lambda: server.version == "1", "the version before answering again", 30)
        eventually(lambda: not server.get("/models/current")["shadows"], "nobody answering silently any more", 10)
    [last, *_] = project.journal()
    assert (last.promotion.kind, last.promotion.to_version, last.status) == ("rollback", "1", "done")
    assert last.promotion.reason.startswith("taken back on probation: version 2 is worse than version 1 before it")
    assert [entry.actor for entry in project.ports.ledger.audit.recent(NAME) if entry.act == "rollback"] == ["keepfit"]
