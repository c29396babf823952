"""The log's labelled rows go through the loop: once each, whatever kills the run, beside ordinary files."""

from __future__ import annotations

import csv
import json
import random
import shutil
import signal
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.acceptance.conftest import restored
from tests.acceptance.project import NAME, decided, files, make_project, splits, write_day
from tests.acceptance.runs import Runs

import keepfit
from keepfit.live_ports import Labelled, Logged
from keepfit.request_ids import RequestIds

pytestmark = pytest.mark.slow

SPAN = "log-span-{:06d}.parquet"
FIRST = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def served(prepared: tuple[Path, Path]) -> Path:
    """A project with a champion and one judged file in the inbox, and nothing new."""
    folder = restored(prepared)
    for path in (folder / "data/inbox").iterdir():
        if path.name != "day-2.csv":
            path.unlink()
    return folder


def answers(folder: Path, column: str, rows: int, labels: int = 0, seed: int = 1, closed: bool = True) -> list[str]:
    """What a server writes down: the answers of version 1 to made-up requests, and the first `labels` of their true labels.
    `column` says the truth. Returns the ids."""
    draw, ids = random.Random(seed), RequestIds(NAME)  # noqa: S311 - made-up data
    given: list[Logged | Labelled] = []
    for number in range(rows):
        at = (FIRST + timedelta(days=seed, seconds=number)).timestamp()
        inputs = {"x": round(draw.uniform(-1, 1), 6), "y": round(draw.uniform(-1, 1), 6)}
        answer = "yes" if inputs["x"] > 0 else "no"
        given.append(Logged(request_id=ids.new(at), at=at, model=NAME, version="1", inputs=inputs, prediction=answer, score=0.9))
    made = [each.request_id for each in given]
    truth = ["yes" if (each.inputs[column] > 0) != (draw.random() < 0.1) else "no" for each in given if isinstance(each, Logged)]
    given += [Labelled(request_id=id, at=at, label=label) for id, label in zip(made[:labels], truth, strict=False)]
    with keepfit.open(folder) as project:
        spool = project.ports.open_spool("w1")
        spool.write(given)
        if closed:
            spool.close()
    return made


def feedback(folder: Path, runs: Runs, ids: Sequence[str], label: str, name: str = "labels.csv") -> Any:
    """`keepfit feedback` with a file of these labels."""
    path = folder / name
    path.write_text("request_id,label\n" + "".join(f"{id},{label}\n" for id in ids))
    done = runs.start("feedback", str(path), "--json", folder=folder).wait()
    assert done.code == 0, done.err
    return done.facts


def taken(folder: Path) -> list[str]:
    """The requests in the spans, in order."""
    with keepfit.open(folder) as project:
        return sorted(project.ports.spans.taken()["request_id"])


def trained_rows(folder: Path) -> int:
    """The rows of all span files, wherever they lie."""
    return sum(pl.read_parquet(path).height for path in (folder / "data").rglob("log-span-*.parquet"))


def state(folder: Path) -> dict[str, Any]:
    return {**decided(folder), "files": files(folder), "splits": splits(folder), "taken": taken(folder)}


def test_labelled_predictions_of_a_changed_world_lead_to_a_new_champion(runs: Runs, served: Path) -> None:
    ids = answers(served, "y", 900, labels=800)
    done = runs.run(folder=served)
    assert done.out.startswith("promoted: version 2"), done
    assert "note: 800 labelled predictions of 2026-03-02 00:00 to " in done.err
    assert (served / "data/archive" / SPAN.format(1)).exists()
    assert taken(served) == sorted(ids[:800])
    told = runs.start("explain", folder=served).wait().out
    came = "800 labelled predictions of 2026-03-02 00:00 to 2026-03-02 00:13 UTC, answered by version 1, came in as log-span-000001"
    assert came in told
    assert runs.run(folder=served).out == ("waiting: 0 of 1 new batches have arrived; 0 of 100 newly labelled predictions\n")


def test_late_labels_come_in_a_later_span_and_no_row_twice(runs: Runs, served: Path) -> None:
    ids = answers(served, "x", 260, labels=120)
    assert runs.run(folder=served).out.startswith("healthy")
    assert taken(served) == sorted(ids[:120])
    assert feedback(served, runs, ids[120:157], "yes")["added"] == 37
    assert "37 of 100 newly labelled predictions" in runs.run(folder=served).out
    assert feedback(served, runs, ids[:120], "no", "corrected.csv")["added"] == 120  # of rows that were taken
    assert feedback(served, runs, ids[120:157], "yes")["added"] == 37  # the same again
    assert "37 of 100 newly labelled predictions" in runs.run(folder=served).out
    feedback(served, runs, ids[157:], "no", "late.csv")
    done = runs.run(folder=served)
    assert "140 labelled predictions of " in done.err
    assert "labels of rows taken before have changed since and are not trained on again" in done.err
    assert taken(served) == sorted(ids)
    assert trained_rows(served) == 260
    assert runs.run(folder=served).out.startswith("waiting: 0 of 1 new batches have arrived; 0 of 100")


def test_the_log_and_ordinary_files_are_judged_together(runs: Runs, served: Path) -> None:
    write_day(served, 3, "x")
    answers(served, "x", 120, labels=120)
    assert runs.run(folder=served).out.startswith("healthy")
    with keepfit.open(served) as project:
        assert [batch.name for batch in project.cycle().batches] == ["day-3.csv", SPAN.format(1)]


def test_a_kill_at_any_effect_of_the_intake_changes_nothing_in_the_end(runs: Runs, served: Path, tmp_path: Path) -> None:
    ids = answers(served, "x", 150, labels=130)
    copy = tmp_path / "with-log"
    shutil.copytree(served, copy)
    layers = {"layers": ["ports", "files"]}

    run = runs.start("run", folder=served, effects=layers)
    assert run.wait().out.startswith("healthy")
    before = run.effects[: run.effects.index("cycles.save") + 1]  # the first checkpoint comes after the intake
    instants = [at for at, name in enumerate(before, 1) if not name.startswith("os.mkdir")]
    assert {"log.drain", "spans.take", "os.rename .log-span-000001.parquet.tmp"} <= set(before)
    runs.finish(served)
    undisturbed = state(served)
    assert undisturbed["taken"] == sorted(ids[:130])
    wrong = {}
    for at in instants:
        shutil.rmtree(served)
        shutil.copytree(copy, served)
        killed = runs.start("run", folder=served, effects={**layers, "at": at, "send": signal.SIGKILL})
        assert killed.wait().code == -signal.SIGKILL, killed.err
        if different := differences(runs, served, undisturbed):
            wrong[at, killed.effects[-1]] = different
    assert not wrong
    assert len(instants) > 10

    shutil.rmtree(served)
    shutil.copytree(copy, served)
    for name in ("log.drain", "spans.take", "os.rename .log-span-000001.parquet.tmp", "cycles.save"):
        effects = {**layers, "name": name, "at": 1, "send": signal.SIGKILL}
        assert runs.run(folder=served, effects=effects).code == -signal.SIGKILL, name
    assert not differences(runs, served, undisturbed), "also where every run is killed, one after another"


def differences(runs: Runs, folder: Path, undisturbed: dict[str, Any]) -> list[str]:
    """What is different after as many more runs as it takes."""
    runs.finish(folder)
    reached = state(folder)
    return [f"{name}: {reached[name]} != {undisturbed[name]}" for name in reached if reached[name] != undisturbed[name]]


# ------------------------------------------------------------------------------------------------------------ remembering


def remembered(folder: Path) -> Any:
    """The waiting that is given again without a look."""
    path = folder / ".keepfit/idle.json"
    return json.loads(path.read_text())["id"] if path.exists() else None


def test_a_wait_is_remembered_until_labels_come_or_a_spool_is_orphaned(runs: Runs, served: Path) -> None:
    def waits() -> str:
        done = runs.run("--json", folder=served)
        assert done.facts["outcome"] == "waiting", done
        return str(done.facts["id"])

    ids = answers(served, "x", 30)
    waits()  # drains the spool, which is seen too
    first = waits()
    assert waits() == first == remembered(served)
    assert feedback(served, runs, ids[:20], "yes")["added"] == 20
    second = waits()
    assert second != first
    assert waits() == second
    answers(served, "x", 5, labels=5, seed=2)
    drained = waits()
    assert drained != second
    assert waits() == waits() == remembered(served)
    with keepfit.open(served) as project:
        assert "25 of 100 newly labelled predictions" in project.cycle().reason


def test_answers_that_a_server_is_writing_down_do_not_undo_a_wait(runs: Runs, served: Path) -> None:
    runs.finish(served)
    with keepfit.open(served) as project:
        spool = project.ports.open_spool("w1")
        spool.write(
            [Logged(request_id=RequestIds(NAME).new(), at=0, model=NAME, version="1", inputs={}, prediction="no", score=None)]
        )
        first = runs.run("--json", folder=served).facts["id"]
        assert runs.run("--json", folder=served).facts["id"] == first
        spool.close()
        assert runs.run("--json", folder=served).facts["id"] != first


# ----------------------------------------------------------------------------------------------------------- the commands


def test_the_log_is_exported_and_labels_come_back_from_what_was_exported(runs: Runs, served: Path) -> None:
    ids = answers(served, "x", 30, labels=10)
    done = runs.start("data", "export", folder=served).wait()
    path = served / "data/logs/predictions.csv"
    assert done.out == f"{path}: 30 predictions, 10 with a label\n"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["request_id"] for row in rows] == ids
    assert {(row["model_id"], row["model_version"], row["route"]) for row in rows} == {(NAME, "1", "champion")}
    assert all(row["x"] and row["y"] and row["prediction"] in ("yes", "no") for row in rows)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(row | {"label": "no", "labelled_at": ""} for row in rows)
    told = runs.start("feedback", str(path), folder=served).wait()
    assert told.out == "30 labels are in the log\n", told
    out = served / "labelled.parquet"
    done = runs.start("data", "export", "--labelled", "--out", str(out), "--since", "2026-03-02", "--json", folder=served).wait()
    assert done.facts == {"path": str(out), "rows": 30, "labelled": 30}
    assert set(pl.read_parquet(out)["label"]) == {"no"}


def test_a_bad_label_is_an_error_and_a_foreign_id_a_remark(runs: Runs, served: Path) -> None:
    ids = answers(served, "x", 3)
    path = served / "labels.csv"
    path.write_text(f"request_id,label\n{ids[0]},yes\nabc,no\n{RequestIds(NAME).new()},no\n{ids[1]},\n")
    told = runs.start("feedback", str(path), folder=served).wait()
    assert (told.code, told.out) == (0, "1 labels are in the log\n")
    assert "1 belong to no prediction that the log holds" in told.err
    assert "1 were left out, because their request_id was never given out here: row 2: 'abc'" in told.err
    assert "1 rows have no label" in told.err
    path.write_text(f"request_id,label\n{ids[0]},no\n{ids[1]},maybe\n")
    wrong = runs.start("feedback", str(path), folder=served).wait()
    assert wrong.code == 1
    assert "expected one of yes, no, found row 2: 'maybe'. Nothing was added" in wrong.err
    with keepfit.open(served) as project:
        assert project.ports.log.rows(labelled=True)["label"].to_list() == ["yes"]


def test_a_log_that_leaves_out_a_feature_is_a_wrong_setting_that_says_what_to_do(runs: Runs, served: Path) -> None:
    answers(served, "x", 3, labels=1)
    settings = {"KEEPFIT_SERVE__LOG__OMIT": '["x"]'}
    done = runs.run(folder=served, environment=settings)
    assert done.code == 2
    assert "serve.log.omit keeps 'x' out of the prediction log" in done.err
    done = runs.run(folder=served, environment=settings | {"KEEPFIT_SERVE__LOG__INTAKE": "false"})
    assert done.out == "waiting: 0 of 1 new batches have arrived\n"


def test_a_project_that_was_never_served_looks_for_no_log(runs: Runs, tmp_path: Path) -> None:
    folder = make_project(tmp_path / "new")
    run = runs.start("run", folder=folder, effects={"layers": ["files"]})
    assert run.wait().out == "waiting: 0 of 1 new batches have arrived\n"
    assert not (folder / ".keepfit/log").exists()
    assert not (folder / ".keepfit/spool").exists()
