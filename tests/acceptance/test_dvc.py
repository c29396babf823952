"""Cycles whose data are under DVC: with a folder and with a real S3 server as the remote, in a git repository and in none."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.acceptance.empty_registry import with_empty_registry
from tests.acceptance.project import make_project, registered, tree, write_day
from tests.acceptance.runs import Runs
from tests.acceptance.test_drift_on_s3 import store
from tests.dvc import dvc, git, kept_apart, make_repository

import keepfit
from keepfit.codec import loads
from keepfit.data_records import Manifest
from keepfit.errors import DataError, NotFound
from keepfit.records import Cycle

__all__ = ["store"]  # the server
pytestmark = pytest.mark.slow


def under_dvc(folder: Path, remote: str) -> Path:
    """A project in a git repository of its own, with its first day of data."""
    make_repository(with_empty_registry(make_project(folder)))
    settings = (folder / "keepfit.toml").read_text().replace("[data]\n", '[data]\nversioning = "dvc"\n')
    (folder / "keepfit.toml").write_text(f'{settings}\n[data.dvc]\nremote = "{remote}"\n')
    (folder / ".gitignore").write_text(".keepfit/\ndata/\nreports/\n__pycache__/\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "the project")
    write_day(folder, 1, "x")
    return folder


def run(folder: Path, *, force: bool = False) -> Cycle:
    with keepfit.open(folder) as project:
        return project.run(force=force)


def hashes(folder: Path, cycle: str) -> dict[str, str]:
    """sha256 of a cycle's files where `dvc pull` puts them, by path."""
    files = tree(folder / "data-versions" / cycle)
    return {path: digest for path, digest in files.items() if "/" in path}


def promised(folder: Path, cycle: str) -> dict[str, str]:
    manifest = loads(Manifest, (folder / "data-versions" / cycle / "manifest.json").read_text())
    return {file.path: file.sha256 for file in manifest.files}


def clone_of(folder: Path, to: Path) -> Path:
    git(folder.parent, "clone", "-q", str(folder), str(to))
    return to


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A place in which DVC and git keep their own things."""
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("dvc")
        kept_apart(place / "home", patch)
        yield place


@pytest.fixture(scope="module")
def lived(home: Path) -> tuple[Path, Cycle]:
    """A project whose first cycle has promoted, beside work of the user's that is not committed."""
    folder = under_dvc(home / "project", "../remote")
    (folder / "notes.txt").write_text("staged\n")
    git(folder, "add", "notes.txt")
    (folder / "features.py").write_text((folder / "features.py").read_text() + "\n# a thought\n")
    return folder, run(folder)


def test_a_cycle_keeps_its_data_and_says_so(lived: tuple[Path, Cycle]) -> None:
    folder, cycle = lived
    assert cycle.notes == ()
    assert cycle.data is not None
    assert cycle.data.commit == git(folder, "rev-parse", "HEAD")
    assert set(cycle.data.folders) == {"raw", "processed", "reference"}
    with sqlite3.connect(folder / ".keepfit/mlflow.db") as database:
        tags = dict(database.execute("select key, value from model_version_tags where version = 1").fetchall())
    assert tags["keepfit.data_version"] == cycle.data.id
    assert tags["keepfit.data_commit"] == cycle.data.commit
    assert tags["keepfit.dvc.raw"] == cycle.data.folders["raw"]
    assert f"md5: {tags['keepfit.dvc.raw']}" in (folder / "data-versions" / cycle.id / "raw.dvc").read_text()
    with keepfit.open(folder) as project:
        told = project.explain(cycle.id)
    assert f"version {cycle.data.id[:12]}" in told
    assert cycle.data.commit[:12] in told


def test_only_the_pointers_are_committed_and_nothing_else_is_left(lived: tuple[Path, Cycle]) -> None:
    folder, cycle = lived
    changed = git(folder, "show", "--name-only", "--format=", "HEAD").split()
    assert {path for path in changed if not path.startswith(f"data-versions/{cycle.id}/")} == {
        ".dvc/.gitignore",
        ".dvc/config",
        ".dvcignore",
    }
    assert git(folder, "diff", "--name-only", "--cached") == "notes.txt"
    assert git(folder, "diff", "--name-only") == "features.py"
    assert git(folder, "ls-files", "--others", "--exclude-standard") == ""
    assert hashes(folder, cycle.id) == {}  # each file is in the cache, and in no second place


def test_dvc_pull_in_a_fresh_clone_brings_the_bytes_of_the_cycle(lived: tuple[Path, Cycle], tmp_path: Path) -> None:
    folder, cycle = lived
    clone = clone_of(folder, tmp_path / "clone")
    dvc(clone, "pull")
    found = hashes(clone, cycle.id)
    assert found == promised(folder, cycle.id)
    archived = hashlib.sha256((folder / "data/archive/day-1.csv").read_bytes()).hexdigest()
    assert found["raw/day-1.csv"] == archived == cycle.batches[0].id
    prepared = {f"processed/{path.name}": digest for path, digest in _parquet(folder / ".keepfit/prepared").items()}
    assert {path: found[path] for path in found if path.startswith("processed/")} == {path: prepared[path] for path in prepared}


def _parquet(folder: Path) -> dict[Path, str]:
    """sha256 of the prepared rows, and of what divides them."""
    files = (path for kind in ("rows", "split") for path in folder.glob(f"{kind}-*.parquet"))
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_checkout_brings_the_bytes_and_overwrites_nothing(lived: tuple[Path, Cycle], tmp_path: Path) -> None:
    folder, cycle = lived
    before = {path: digest for path, digest in tree(folder).items() if not path.startswith(".git/")}
    with keepfit.open(folder) as project:
        found = project.checkout_data(cycle.id[:12], tmp_path / "out")
        assert (found.cycle, found.files, found.missing) == (cycle.id, len(promised(folder, cycle.id)), {})
        assert tree(tmp_path / "out") == promised(folder, cycle.id)
        (tmp_path / "out/reference/reference.parquet").unlink()
        assert project.checkout_data(version="1", out=tmp_path / "out").files == found.files  # what is there stays
        assert tree(tmp_path / "out") == promised(folder, cycle.id)
        (tmp_path / "out/raw/day-1.csv").write_text("mine")
        (tmp_path / "out/reference/reference.parquet").unlink()
        with pytest.raises(DataError, match=r"day-1\.csv is there and holds something else"):
            project.checkout_data(cycle.id, tmp_path / "out")
        assert not (tmp_path / "out/reference/reference.parquet").exists()
        with pytest.raises(NotFound):
            project.checkout_data(version="7", out=tmp_path / "none")
    assert {path: digest for path, digest in tree(folder).items() if not path.startswith(".git/")} == before


def test_a_remote_that_is_away_is_said_and_the_next_cycle_makes_up_for_it(
    home: Path, store: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in store.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    folder = under_dvc(tmp_path / "project", "s3://tables/dvc")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    first = run(folder)
    assert first.outcome == "promoted"
    assert len(first.notes) == 1
    assert "not pushed to s3://tables/dvc" in first.notes[0]
    monkeypatch.setenv("AWS_ENDPOINT_URL", store["AWS_ENDPOINT_URL"])
    write_day(folder, 2, "x")
    second = run(folder, force=True)
    assert second.candidate is not None
    assert second.notes == ()
    clone = clone_of(folder, tmp_path / "clone")
    dvc(clone, "pull")
    for cycle in (first.id, second.id):
        assert hashes(clone, cycle) == promised(folder, cycle)
    written = (path.read_text(errors="replace") for path in (*(folder / ".dvc").glob("config*"), folder / "keepfit.toml"))
    assert not any(store[name] in text for text in written for name in ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"))


def test_a_run_that_is_killed_after_its_data_were_kept_makes_one_version_and_one_commit(
    home: Path, runs: Runs, tmp_path: Path
) -> None:
    folder = under_dvc(tmp_path / "project", "../remote")
    killed = runs.start("run", folder=folder, effects={"name": "registry.register", "at": 1, "send": signal.SIGKILL})
    assert killed.wait().code == -signal.SIGKILL
    assert len(list((folder / "data-versions").iterdir())) == 1
    done = runs.run("--json", folder=folder)
    assert done.code == 0, done.err
    assert done.facts["outcome"] == "promoted"
    assert [path.name for path in (folder / "data-versions").iterdir()] == [done.facts["id"]]
    assert git(folder, "rev-list", "--count", "HEAD") == "2"
    assert len(registered(folder)["versions"]) == 1
    assert json.loads((folder / ".keepfit/data-versions.json").read_text()) == {"push": [], "commit": []}
    # With the cache and the remote gone, what lies in the project still comes back; what does not is named.
    shutil.rmtree(folder / ".dvc/cache")
    shutil.rmtree(tmp_path / "remote")
    (folder / "data/archive/day-1.csv").unlink()
    brought = runs.start("data", "checkout", done.facts["id"], "--out", str(tmp_path / "out"), folder=folder).wait()
    assert brought.code == 1
    assert "gone: raw/day-1.csv" in brought.err
    wanted = promised(folder, done.facts["id"])
    assert tree(tmp_path / "out") == {path: digest for path, digest in wanted.items() if path != "raw/day-1.csv"}
