"""DVC's own commands, in a process of their own: importing DVC takes long and changes what other libraries do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

QUIET = {"DVC_NO_ANALYTICS": "1", "DO_NOT_TRACK": "1"}  # it reports to nobody
FEW = {"AWS_MAX_ATTEMPTS": "3"}  # where nobody has said otherwise
TRIES = 20  # DVC itself waits three seconds for its lock, each time
LOCKED = ("Unable to acquire lock", "is busy, it is being blocked by")

# Reads the commands from standard input and runs them one after the other as `dvc` would, up to the first that fails or, with
# --all, each.
PROGRAM = """
import json, sys
from dvc.cli import main
worst = 0
for words in json.load(sys.stdin):
    code = main(words)
    worst = worst or code
    if code and "--all" not in sys.argv:
        break
sys.exit(1 if worst else 0)
"""


class DvcFailed(Exception):
    """The command ended with an error; the message is its own."""

    @property
    def locked(self) -> bool:
        """Whether somebody else was using the repository all the time."""
        return any(words in str(self) for words in LOCKED)


class Dvc:
    """The commands that keepfit needs, in the project's folder. Each raises `DvcFailed`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def begin(self, scm: Sequence[str], remote: str, url: str) -> None:
        """Make a repository here, with this remote as its default where there is a URL. Each file is in the cache once: what lies
        in folders is links to it where the disk has any."""
        named = [["remote", "add", "-d", remote, url], *_patience(remote, url)] if url else []
        self._run(["init", *scm], ["config", "cache.type", "reflink,hardlink,copy"], *named)

    def name_remote(self, name: str, url: str, *, default: bool) -> None:
        """Let a remote be at this URL or path. With `default`, `dvc pull` and `dvc push` use it without being told."""
        self._run(["remote", "add", "-f", *(("-d",) if default else ()), name, url], *_patience(name, url))

    def add(self, folders: Sequence[str]) -> None:
        """Take folders into the cache; a file NAME.dvc beside each points to it."""
        self._run(["add", *folders])

    def push(self, pointers: Sequence[str], remote: str | None) -> None:
        """Upload what the remote has not."""
        self._run(["push", *(("-r", remote) if remote else ()), *pointers])

    def get(self, folders: Sequence[tuple[str, Path]]) -> None:
        """Bring folders' files to where they are wanted, as links to the cache where they are in it. Where some are gone the
        others are there all the same."""
        self._run(*(["get", ".", folder, "-o", str(to)] for folder, to in folders), every=True)

    def _run(self, *commands: Sequence[str], every: bool = False) -> str:
        for _ in range(TRIES):
            done = subprocess.run(
                [sys.executable, "-c", PROGRAM, *(("--all",) if every else ())],
                cwd=self._root,
                env=FEW | os.environ | QUIET,
                input=json.dumps(commands),
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
            )
            if done.returncode == 0:
                return done.stdout
            failed = DvcFailed(_told(done.stderr) or f"dvc {commands[0][0]} did not succeed")
            if not failed.locked:
                break
        raise failed


def _patience(remote: str, url: str) -> list[list[str]]:
    """A store that does not answer is given up on after a while, so that the cycle goes on."""
    return [["remote", "modify", remote, "connect_timeout", "10"]] if url.startswith("s3://") else []


def _told(text: str) -> str:
    """What DVC says went wrong, in one line, without its advice."""
    said = (line.strip() for line in text.splitlines())
    errors = [line.removeprefix("ERROR:").strip().removeprefix("unexpected error - ") for line in said if line.startswith("ERROR:")]
    return "; ".join(dict.fromkeys(errors)).rstrip(".")
