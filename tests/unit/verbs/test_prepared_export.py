"""Prepared rows for other tools: what is in a folder, and that nothing is mixed, lost or written twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import keepfit
from keepfit.errors import Conflict, DataError, NotFound, Unavailable
from keepfit.testing import MemoryRegistry, MemoryTracker
from keepfit.verbs import prepared_export

SETTINGS = """
[project]
name = "walk"
task = "regression"

[data]
target = "answer"
id = "who"
time = "when"
prepare = "features:prepare"
settle = "0s"

[data.columns]
who = { type = "text" }
when = { type = "datetime" }
x = { type = "number" }
answer = { type = "number" }

[data.holdout]
by = "row"
share = 0.3

[[train.candidates]]
estimator = "sklearn.linear_model.Ridge"
"""
# Rows are left out and turned round, so that ids do not fall into place by themselves.
FEATURES = """
def prepare(frame):
    kept = frame[frame["x"] > 0.1].iloc[::-1]
    return kept.assign(double=kept["x"] * 2)[["x", "double"]]
"""


def write(folder: Path, day: int, *, name: str | None = None, shift: float = 0.0) -> None:
    lines = [f"{day}-{row},2026-03-{day:02} 12:{row:02}:00,{row / 50 + shift:g},{row if row % 5 else ''}" for row in range(50)]
    (folder / "data/inbox" / (name or f"day-{day}.csv")).write_text("\n".join(["who,when,x,answer", *lines]) + "\n")


@pytest.fixture
def project(tmp_path: Path) -> Iterator[keepfit.Project]:
    """Two days have come and been prepared."""
    folder = tmp_path / "project"
    (folder / "data/inbox").mkdir(parents=True)
    (folder / "keepfit.toml").write_text(SETTINGS)
    (folder / "features.py").write_text(FEATURES)
    write(folder, 1)
    write(folder, 2)
    with opened(folder) as found:
        found.run(until="prepare")
        yield found


def opened(folder: Path, **ports: Any) -> keepfit.Project:
    """With a registry that costs no time."""
    return keepfit.open(folder, registry=MemoryRegistry(), tracker=MemoryTracker(), **ports)


def root(project: keepfit.Project) -> Path:
    return project.config.root


def facts(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "metadata.json").read_text())
    return found


def rows(folder: Path) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(folder / f"{part}.parquet") for part in ("training", "holdout")])


def test_each_day_has_a_folder_with_its_rows_under_their_own_names(project: keepfit.Project) -> None:
    written = project.export_prepared()
    assert [folder.date for folder in written.folders] == ["2026-03-01", "2026-03-02"]
    folder = root(project) / "prepared_data/2026-03-01"
    assert written.folders[0].path == str(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["holdout.parquet", "metadata.json", "training.parquet"]
    found = rows(folder).sort("when")
    assert found.columns == ["who", "when", "x", "double", "answer"]
    assert found.schema["when"] == pl.Datetime("us", "UTC")
    assert found["who"].to_list() == [f"1-{row}" for row in range(6, 50)]  # each with its own row
    assert found["when"][0] == datetime(2026, 3, 1, 12, 6, tzinfo=UTC)
    assert (found["double"] == found["x"] * 2).all()
    assert found["answer"].to_list() == [float(row) if row % 5 else None for row in range(6, 50)]


def test_the_metadata_tell_the_columns_the_split_and_where_the_rows_came_from(project: keepfit.Project) -> None:
    written = project.export_prepared(out=root(project) / "all")
    found = facts(root(project) / "all")
    cycle = project.cycle()
    assert found["files"] == [{"name": batch.name, "sha256": batch.id} for batch in cycle.batches]
    assert found["features"] == ["x", "double"]
    assert (found["id"], found["time"], found["target"], found["whole"]) == ("who", "when", "answer", True)
    assert found["columns"]["when"] == "Datetime(time_unit='us', time_zone='UTC')"
    parts = {part: pl.read_parquet(root(project) / f"all/{part}.parquet").height for part in ("training", "holdout")}
    assert cycle.prepared is not None
    assert parts == {"training": cycle.prepared.training, "holdout": cycle.prepared.holdout}
    assert found["rows"] == {**parts, "labelled": rows(root(project) / "all")["answer"].drop_nulls().len()}
    assert (written.folders[0].training, written.folders[0].holdout) == tuple(parts.values())


def test_what_it_tells_of_the_content_is_what_the_training_says_it_was_trained_on(project: keepfit.Project) -> None:
    before = project.export_prepared()
    done = project.run()
    assert done.candidate is not None
    assert before.content == done.candidate.trained_on == project.export_prepared().content


def test_what_is_there_is_not_written_again(project: keepfit.Project) -> None:
    project.export_prepared()
    place = root(project) / "prepared_data"
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    again = project.export_prepared(below=place)
    assert [folder.new for folder in again.folders] == [False, False]
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before


def test_a_folder_that_was_killed_half_way_is_not_whole_and_is_written_to_its_end(
    project: keepfit.Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_file, written = prepared_export._Folder.write, []

    def killed(self: Any, name: str, content: bytes) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(name)
        write_file(self, name, content)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(prepared_export._Folder, "write", killed)
        project.export_prepared()
    folder = root(project) / "prepared_data/2026-03-01"
    assert facts(folder)["whole"] is False
    assert [each.new for each in project.export_prepared().folders] == [True, True]
    assert facts(folder)["whole"] is True
    assert rows(folder).height == 44


def test_rows_that_are_prepared_in_another_way_since_take_the_place_of_the_old(project: keepfit.Project) -> None:
    """The training failed, somebody mended the features, and the same files come again."""

    class Fails:
        def train(self, *_: Any) -> None:
            raise DataError("nothing to train on")

    project.export_prepared()
    with opened(root(project), trainer=Fails()) as failing, pytest.raises(DataError, match="nothing to train on"):
        failing.run()
    (root(project) / "features.py").write_text(FEATURES.replace("* 2", "* 3"))
    with opened(root(project)) as mended:
        mended.run(until="prepare")
        assert [folder.new for folder in mended.export_prepared().folders] == [True, True]
    found = rows(root(project) / "prepared_data/2026-03-01")
    assert (found["double"] == found["x"] * 3).all()


def test_other_files_of_a_day_get_a_folder_of_their_own(project: keepfit.Project) -> None:
    project.export_prepared()
    project.run()
    write(root(project), 1, name="day-1-corrected.csv", shift=0.5)
    project.run(until="prepare")
    (folder,) = project.export_prepared().folders
    assert folder.new
    assert folder.files == ("day-1-corrected.csv",)
    assert Path(folder.path).name.startswith("2026-03-01-")
    assert rows(root(project) / "prepared_data/2026-03-01").height == 44
    assert not project.export_prepared().folders[0].new


@pytest.mark.parametrize("name", ["notes.txt", "training.parquet"])
def test_a_folder_that_holds_anything_else_is_left_alone(project: keepfit.Project, name: str) -> None:
    place = root(project) / "mine"
    place.mkdir()
    (place / name).write_text("mine")
    with pytest.raises(Conflict, match=f"holds {name}, which keepfit did not put there"):
        project.export_prepared(out=place)
    assert [path.read_text() for path in place.iterdir()] == ["mine"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": []}', "mine"])
def test_metadata_of_somebody_else_are_left_alone(project: keepfit.Project, text: str) -> None:
    place = root(project) / "mine"
    place.mkdir()
    (place / "metadata.json").write_text(text)
    with pytest.raises(Conflict, match="not of keepfit's writing"):
        project.export_prepared(out=place)
    assert (place / "metadata.json").read_text() == text


def test_the_rows_of_other_files_are_left_alone(project: keepfit.Project) -> None:
    place = root(project) / "all"
    project.export_prepared(out=place)
    project.run()
    write(root(project), 3)
    project.run(until="prepare")
    with pytest.raises(Conflict, match=r"holds the prepared rows of other files \(day-1.csv, day-2.csv\)"):
        project.export_prepared(out=place)


def test_a_file_in_the_way_is_said(project: keepfit.Project) -> None:
    (root(project) / "prepared_data").write_text("a file")
    with pytest.raises(DataError, match="is a file, or lies below one"):
        project.export_prepared()


def test_a_full_disk_is_said_and_leaves_no_pieces(project: keepfit.Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(Unavailable, match="No space left on device"):
        project.export_prepared()
    assert not list((root(project) / "prepared_data").rglob("*.*"))


def test_ids_that_cannot_be_told_for_sure_are_left_out(project: keepfit.Project) -> None:
    """The file of a row's id has gone; its prepared rows are kept."""
    (root(project) / "data/inbox/day-1.csv").unlink()
    first, second = project.export_prepared().folders
    assert facts(Path(first.path))["id"] is None
    assert rows(Path(first.path)).columns == ["when", "x", "double", "answer"]
    assert facts(Path(second.path))["id"] == "who"


def test_a_cycle_that_has_prepared_nothing_is_said(project: keepfit.Project) -> None:
    project.run()
    waiting = project.run(until="collect")
    with pytest.raises(NotFound, match=r"has no prepared rows: it got as far as collect and ended as waiting"):
        project.export_prepared(waiting.id)
    assert project.export_prepared().cycle != waiting.id


def test_prepared_rows_go_to_a_store_as_well(project: keepfit.Project) -> None:
    written = project.export_prepared(below="memory://bucket/prepared")
    assert [folder.path for folder in written.folders] == [f"memory://bucket/prepared/2026-03-0{day}" for day in (1, 2)]
    assert not any(folder.new for folder in project.export_prepared(below="memory://bucket/prepared").folders)
    files = pytest.importorskip("fsspec").filesystem("memory")
    assert json.loads(files.cat("/bucket/prepared/2026-03-01/metadata.json"))["whole"]
    files.rm("/bucket", recursive=True)
