"""DVC and git for tests: nothing of this machine's user is read or written, and nothing is reported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def kept_apart(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Let DVC and git, here and in processes that are started, keep their own things in this folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (
        "HOME",
        "XDG_CONFIG_HOME",
        "XDG_CACHE_HOME",
        "DVC_GLOBAL_CONFIG_DIR",
        "DVC_SYSTEM_CONFIG_DIR",
        "DVC_SITE_CACHE_DIR",
    ):
        patch.setenv(name, str(folder / name.lower()))
    patch.setenv("DVC_NO_ANALYTICS", "1")
    patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    patch.setenv(
        "GIT_CEILING_DIRECTORIES", str(folder.parent)
    )  # a repository around the folder for temporary files is none of ours
    for name in ("GIT_CONFIG_GLOBAL", "GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "EMAIL"):
        patch.delenv(name, raising=False)


def git(folder: Path, *arguments: str) -> str:
    """Run git, and return what it says."""
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def make_repository(folder: Path, *, identity: bool = True) -> Path:
    """A git repository; without an identity git refuses to commit."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "config", "user.useConfigOnly", "true")
    if identity:
        give_identity(folder)
    return folder


def give_identity(folder: Path) -> None:
    git(folder, "config", "user.name", "Ada")
    git(folder, "config", "user.email", "ada@example.com")


def dvc(folder: Path, *arguments: str, environment: dict[str, str] | None = None) -> str:
    """Run the plain command, as a person would."""
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, cwd=folder, env=os.environ | (environment or {}), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
