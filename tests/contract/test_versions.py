"""Both keepers of data keep the contract, and DVC what git and a remote bring with them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.dvc import dvc, git, give_identity, kept_apart, make_repository

from keepfit.adapters.dvc_data import DvcVersions
from keepfit.adapters.dvc_data.publishing import Publishing
from keepfit.adapters.manifest_data import ManifestVersions
from keepfit.errors import ConfigError
from keepfit.settings import Dvc
from keepfit.testing import VersionsContract
from keepfit.testing.versions_contract import VERSION, DataAtHand, brought

Open = Callable[[DataAtHand], Any]


def sources(data: DataAtHand) -> ManifestVersions:
    originals, frames = SimpleNamespace(fetch=data.fetch_file), SimpleNamespace(fetch=data.fetch_frame)
    return ManifestVersions(originals, frames, lambda: SimpleNamespace(fetch=data.fetch_artifact), data.known)  # type: ignore[arg-type]


def dvc_in(folder: Path, data: DataAtHand, **settings: Any) -> DvcVersions:
    state = folder / ".keepfit"
    return DvcVersions(folder, Dvc(**settings), sources(data), state / "data-versions.json", state / "tmp")


class TestManifest(VersionsContract):
    @pytest.fixture
    def open_versions(self) -> Open:
        return sources


class TestDvc(VersionsContract):
    @pytest.fixture
    def open_versions(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
        kept_apart(tmp_path / "home", monkeypatch)
        project = make_repository(tmp_path / "project")
        return lambda data: dvc_in(project, data, push=False)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, in no repository."""
    kept_apart(tmp_path / "home", monkeypatch)
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


def test_git_that_refuses_is_said_and_made_up_for(project: Path) -> None:
    make_repository(project, identity=False)
    data = DataAtHand()
    first = dvc_in(project, data, push=False).keep(data.manifest(), data.made)
    assert first.commit is None
    assert [note for note in first.notes if "were not committed" not in note] == []
    assert git(project, "status", "--porcelain", "--untracked-files=no") == ""  # nothing is left staged
    give_identity(project)
    second = dvc_in(project, data, push=False).keep(data.manifest("c2"), data.made)
    assert (second.notes, second.commit) == ((), git(project, "rev-parse", "HEAD"))
    listed = git(project, "ls-files").splitlines()
    assert {".dvc/config", "data-versions/c1/raw.dvc", "data-versions/c2/raw.dvc"} <= set(listed)


def test_a_project_in_a_subfolder_of_a_repository_has_its_own_pointers(project: Path, tmp_path: Path) -> None:
    make_repository(project)
    inner, data = project / "models/spam", DataAtHand()
    inner.mkdir(parents=True)
    kept = dvc_in(inner, data, remote=str(tmp_path / "remote")).keep(data.manifest(), data.made)
    assert kept.notes == ()
    assert "models/spam/data-versions/c1/raw.dvc" in git(project, "ls-files").splitlines()
    shutil.rmtree(inner / ".dvc/cache")
    lost = [tmp_path / "remote", *(inner / "data-versions/c1").glob("raw.dvc")]
    lost[1].unlink()  # a pointer that is gone is put back from the manifest
    assert dvc_in(inner, data).bring(kept.manifest, tmp_path / "out", VERSION) == {}
    assert brought(tmp_path / "out") == data.files


def test_a_repository_of_the_users_keeps_its_settings_and_default_remote(project: Path, tmp_path: Path) -> None:
    make_repository(project)
    dvc(project, "init")
    dvc(project, "remote", "add", "-d", "theirs", "../theirs")
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", "dvc")
    data = DataAtHand()
    dvc_in(project, data, remote=str(tmp_path / "ours")).keep(data.manifest(), data.made)
    assert not (tmp_path / "theirs").exists()
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(project), str(clone))
    assert "remote = theirs" in (clone / ".dvc/config").read_text()
    dvc(clone, "pull")
    assert files_below(clone / "data-versions/c1") == data.files


def test_without_git_what_a_killed_run_left_is_filled_anew_and_the_cache_has_each_file_once(project: Path, tmp_path: Path) -> None:
    data = DataAtHand()
    half = project / "data-versions/c1/raw/stray.csv"
    half.parent.mkdir(parents=True)
    half.write_text("half of it")
    versions = dvc_in(project, data)
    first = versions.keep(data.manifest(), data.made)
    assert first.commit is None
    assert [note for note in first.notes if "no remote" not in note] == []
    versions.keep(data.manifest("c2"), data.made)
    left = {path.name for path in (project / "data-versions").rglob("*") if path.is_file()}
    assert left == {"raw.dvc", "processed.dvc", "reference.dvc", "manifest.json"}
    cached = [path for path in (project / ".dvc/cache").rglob("*") if path.is_file() and path.suffix != ".dir"]
    assert len(cached) == len(data.files)
    # What DVC has lost comes from where it lies, or is named.
    shutil.rmtree(project / ".dvc/cache")
    del data.files["raw/day-1.csv"]
    problems = versions.bring(first.manifest, tmp_path / "out", VERSION)
    assert set(problems) == {"raw/day-1.csv"}
    assert "gone" in problems["raw/day-1.csv"]
    assert brought(tmp_path / "out") == data.files


@pytest.mark.parametrize("before", ["commit", "push"])
def test_what_was_interrupted_is_gone_on_with(project: Path, monkeypatch: pytest.MonkeyPatch, before: str) -> None:
    make_repository(project)
    data = DataAtHand()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Publishing, before, interrupt)
        dvc_in(project, data, remote="../remote").keep(data.manifest(), data.made)
    again = dvc_in(project, data, remote="../remote")
    with monkeypatch.context() as patch:
        patch.setattr(DvcVersions, "_add", interrupt)  # it is there already
        kept = again.keep(data.manifest(), data.made)
    assert kept.notes == ()
    assert git(project, "rev-list", "--count", "HEAD") == "1"
    stored = [path for path in (project.parent / "remote").rglob("*") if path.is_file() and path.suffix != ".dir"]
    assert len(stored) == len(data.files)


def interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("ignoring", [".gitignore", ".dvcignore"])
def test_pointers_and_files_that_are_ignored_are_told(project: Path, ignoring: str) -> None:
    make_repository(project)
    (project / ignoring).write_text("data-versions/\n" if ignoring == ".gitignore" else "*.csv\n")
    data = DataAtHand()
    with pytest.raises(ConfigError, match="ignore"):
        dvc_in(project, data, push=False).keep(data.manifest(), data.made)
    assert not list((project / "data-versions/c1").glob("*/*"))


def files_below(folder: Path) -> dict[str, bytes]:
    """What lies in the folders, without the pointers to them."""
    return {path: content for path, content in brought(folder).items() if "/" in path}
