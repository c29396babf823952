"""git is given single files, and nothing else of the user's is touched."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.dvc import git, kept_apart, make_repository

from keepfit.adapters.dvc_data.command import Dvc
from keepfit.adapters.dvc_data.pending import Pending
from keepfit.adapters.dvc_data.publishing import Publishing
from keepfit.adapters.dvc_data.repository import GitRefused, GitRepository
from keepfit.errors import ConfigError
from keepfit.settings import Dvc as DvcSettings

OURS = "data-versions/c1/raw.dvc"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with work of the user's: a changed file, a staged one, a new one, and a pointer of keepfit's."""
    kept_apart(tmp_path / "home", monkeypatch)
    folder = make_repository(tmp_path / "project")
    for name in ("staged.txt", "dirty.txt", "new.txt", "keepfit.toml", OURS):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("one\n")
    git(folder, "add", "dirty.txt", "keepfit.toml")
    git(folder, "commit", "-q", "-m", "one")
    git(folder, "add", "staged.txt")
    (folder / "dirty.txt").write_text("two\n")
    return folder


def repository(folder: Path) -> GitRepository:
    found = GitRepository.around(folder)
    assert found is not None
    return found


THEIRS = [" M dirty.txt", "A  staged.txt", "?? new.txt"]


def state(folder: Path) -> list[str]:
    return [
        line for line in ("\n" + git(folder, "-c", "core.quotePath=false", "status", "--porcelain", "-uall")).split("\n") if line
    ]


def test_only_the_named_paths_are_committed(folder: Path) -> None:
    repository(folder).commit([OURS, "data-versions/c1/.gitignore"], "Data of cycle c1")
    assert git(folder, "show", "--name-only", "--format=%an %s", "HEAD").split("\n") == ["Ada Data of cycle c1", "", OURS]
    assert set(git(folder, "diff", "--name-only").split()) == {"dirty.txt"}
    assert set(git(folder, "diff", "--name-only", "--cached").split()) == {"staged.txt"}
    assert git(folder, "ls-files", "--others") == "new.txt"
    assert repository(folder).last("data-versions/c1") == git(folder, "rev-parse", "HEAD")


def test_what_is_committed_already_makes_no_second_commit(folder: Path) -> None:
    for _ in range(2):
        repository(folder).commit([OURS], "Data of cycle c1")
    assert git(folder, "rev-list", "--count", "HEAD") == "2"


def test_what_was_removed_is_committed_as_removed(folder: Path) -> None:
    repository(folder).commit([OURS], "Data of cycle c1")
    (folder / OURS).unlink()
    repository(folder).commit([OURS], "They are no longer kept")
    assert OURS not in git(folder, "ls-files").split()


def test_a_repository_without_any_commit_gets_its_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept_apart(tmp_path / "home", monkeypatch)
    folder = make_repository(tmp_path / "project")
    (folder / "raw.dvc").write_text("one\n")
    repository(folder).commit(["raw.dvc"], "Data")
    assert git(folder, "ls-files") == "raw.dvc"


@pytest.mark.parametrize("refusing", ["identity", "hook", "detached", "merging"])
def test_what_git_refuses_is_told_and_leaves_all_as_it_was(folder: Path, refusing: str) -> None:
    git(folder, "reset", "-q", "staged.txt")  # in a merge git takes nothing staged
    (folder / "staged.txt").unlink()
    match refusing:
        case "identity":
            git(folder, "config", "--unset", "user.email")
        case "hook":
            hook = folder / ".git/hooks/pre-commit"
            hook.write_text("#!/bin/sh\necho 'not on a Friday' >&2\nexit 1\n")
            hook.chmod(0o755)
        case "detached":
            git(folder, "checkout", "-q", "--detach")
        case "merging":
            git(folder, "checkout", "-q", "-b", "other")
            git(folder, "commit", "-q", "--allow-empty", "-m", "other")
            git(folder, "checkout", "-q", "main")
            git(folder, "commit", "-q", "--allow-empty", "-m", "mine")
            git(folder, "merge", "-q", "--no-commit", "--no-ff", "other")
    before, head = state(folder), git(folder, "rev-parse", "HEAD")
    with pytest.raises(GitRefused, match=r"email|Friday|detached|merge"):
        repository(folder).commit([OURS], "Data of cycle c1")
    assert (state(folder), git(folder, "rev-parse", "HEAD")) == (before, head)


def test_a_folder_in_no_repository_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept_apart(tmp_path / "home", monkeypatch)
    assert GitRepository.around(tmp_path) is None


def test_a_project_that_git_is_told_to_ignore_is_in_no_repository(folder: Path) -> None:
    (folder / ".gitignore").write_text("scratch/\n")
    (folder / "scratch").mkdir()
    (folder / "scratch/keepfit.toml").write_text("")
    assert GitRepository.around(folder / "scratch") is None


def test_without_git_there_is_no_repository(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder))
    assert GitRepository.around(folder) is None


def test_where_git_refuses_to_look_no_repository_of_dvcs_is_made_without_git(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(GitRefused, match="dubious ownership"):
        GitRepository.around(folder)
    publishing = Publishing(folder, DvcSettings(push=False), Dvc(folder), Pending(folder / "state.json"))
    with pytest.raises(ConfigError, match="dubious ownership"):
        publishing.prepare()
    assert not (folder / ".dvc").exists()
    with pytest.raises(ConfigError, match="dubious ownership"):
        _ = publishing.told
    (folder / ".dvc").mkdir()
    (folder / ".dvc/config").write_text("[core]\n    remote = theirs\n")
    assert publishing.prepare() is None  # made in better times
    commit, (note,) = publishing.commit("Data of cycle c1", "data-versions/c1")
    assert commit is None
    assert "not committed: fatal: detected dubious ownership" in note
