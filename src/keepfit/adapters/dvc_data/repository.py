"""The git repository that a project lies in, if it does: single files are committed, and nothing else is touched."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

PATIENCE = 120.0  # seconds; a hook of the user's may take its time
NO_REPOSITORY = "not a git repository"  # as git says it in English
OURS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")  # set where keepfit is run by one of git's hooks


class GitRefused(Exception):
    """git did not do it; the message says why."""


class GitRepository:
    """The repository around `root`. Paths are relative to `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @classmethod
    def around(cls, root: Path) -> GitRepository | None:
        """None without git, outside of a repository, and where git is told to ignore the project. Raises `GitRefused` where git
        does not say, such as in a repository of another user."""
        if shutil.which("git") is None:
            return None
        found = cls(root)
        inside = found._run("rev-parse", "--is-inside-work-tree")
        if inside.returncode != 0:
            if NO_REPOSITORY in inside.stderr:
                return None
            found._confirm(inside)
        if inside.stdout.strip() != "true" or found._run("check-ignore", "-q", "keepfit.toml").returncode == 0:
            return None
        return found

    @property
    def top(self) -> Path:
        """Its folder."""
        return Path(self._run("rev-parse", "--show-toplevel").stdout.strip())

    def has_changes(self, path: str) -> bool:
        """Whether a file that git knows differs from what was committed."""
        return bool(self._run("status", "--porcelain", "--untracked-files=no", "--", path).stdout.strip())

    def commit(self, paths: Sequence[str], message: str) -> None:
        """Commit these paths as they are on disk, and nothing else; what is staged stays staged. Raises `GitRefused`."""
        if self._run("symbolic-ref", "-q", "HEAD").returncode != 0:
            raise GitRefused("HEAD is detached, so a commit would be on no branch")
        known = self._run("ls-files", "-z", "--", *paths).stdout.split("\0")
        paths = [path for path in paths if path in known or (self._root / path).exists()]
        if not paths or not self._run("status", "--porcelain", "--", *paths).stdout.strip():
            return
        self._confirm(self._run("add", "-A", "--", *paths))
        done = self._run("commit", "-q", "--only", "-m", message, "--", *paths)
        if done.returncode != 0:
            self._run("reset", "-q", "--", *paths)  # as it was: not staged
            self._confirm(done)

    def last(self, path: str) -> str | None:
        """The commit that changed a path last; None where none has."""
        return self._run("log", "-1", "--format=%H", "--", path).stdout.strip() or None

    def _confirm(self, done: subprocess.CompletedProcess[str]) -> None:
        if done.returncode != 0:
            told = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
            raise GitRefused(" ".join(told)[:300] or f"git ended with exit code {done.returncode}")

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if name not in OURS}
        try:
            return subprocess.run(
                ["git", *arguments],
                cwd=self._root,
                env=environment | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=PATIENCE,
                check=False,
            )
        except OSError as error:
            raise GitRefused(f"git cannot be started: {error.strerror}") from None
        except subprocess.TimeoutExpired:
            raise GitRefused(f"git {arguments[0]} did not end within {PATIENCE:g} seconds") from None
