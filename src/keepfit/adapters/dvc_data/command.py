"""DVC's own commands, in a process of their own: importing DVC takes long and changes what other libraries do."""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

QUIET = {"DVC_NO_ANALYTICS": "1", "DO_NOT_TRACK": "1"}  # it reports to nobody
FEW = {"AWS_MAX_ATTEMPTS": "3"}  # where nobody has said otherwise
TRIES = 20  # DVC itself waits three seconds for its lock, each time
PATIENCE = 300.0  # seconds in which a command must do something
SOMETHING = 0.05  # seconds of the processor's time; who waits for an answer that does not come needs less, the slowest upload more
LONGEST = 300  # characters of one of DVC's messages that are passed on
NEXT = "\0"  # between what one command says and what the next
LOCKED = ("Unable to acquire lock", "is busy, it is being blocked by")

# Reads the commands from standard input and runs them one after the other as `dvc` would, up to the first that fails or, with
# --all, each. What each says on standard error ends with NEXT.
PROGRAM = """
import json, sys
from dvc.cli import main
worst = 0
for words in json.load(sys.stdin):
    code = main(words)
    worst = worst or code
    print(chr(0), end="", file=sys.stderr, flush=True)
    if code and "--all" not in sys.argv:
        break
sys.exit(1 if worst else 0)
"""


class DvcFailed(Exception):
    """The command ended with an error; the message is its own. `each`: what every single one of several commands said."""

    def __init__(self, message: str, *, each: Sequence[str] = (), silent: bool = False) -> None:
        super().__init__(message)
        self.each = each
        self.silent = silent  # it was ended, because it did nothing any more

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
        name = f"dvc {commands[0][0]}"
        for _ in range(TRIES):
            with subprocess.Popen(
                [sys.executable, "-c", PROGRAM, *(("--all",) if every else ())],
                cwd=self._root,
                env=FEW | os.environ | QUIET,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            ) as process:
                said, complained = _heard(process, json.dumps(commands), name)
            if process.returncode == 0:
                return said
            each = [_told(part) for part in complained.split(NEXT)]
            failed = DvcFailed("; ".join(filter(None, each)) or f"{name} did not succeed", each=each)
            if not failed.locked:
                break
        raise failed


def _heard(process: subprocess.Popen[str], text: str, name: str) -> tuple[str, str]:
    """What it says until its end on standard output and error. Ends it where it does nothing for a long time, such as at a remote
    that takes the connection and stays silent, and wherever this is interrupted."""
    rest: str | None = text
    worked = 0.0
    try:
        while True:
            try:
                return process.communicate(rest, timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                rest, before, worked = None, worked, _work(process.pid)
            if worked - before < SOMETHING:
                raise DvcFailed(f"{name} did nothing for {PATIENCE:g} seconds and was ended", silent=True)
    except BaseException:
        _end(process.pid)
        raise


def _work(pid: int) -> float:
    """Seconds of the processor's time that a process has used; infinite where it is over."""
    import psutil

    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return math.inf
    return float(times.user + times.system)


def _end(pid: int) -> None:
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in (*process.children(recursive=True), process):
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()


def _patience(remote: str, url: str) -> list[list[str]]:
    """A store that does not answer is given up on after a while, so that the cycle goes on."""
    return [["remote", "modify", remote, "connect_timeout", "10"]] if url.startswith("s3://") else []


def _told(text: str) -> str:
    """What DVC says went wrong, in one line, without its advice."""
    said = (line.strip() for line in text.splitlines())
    errors = [line.removeprefix("ERROR:").strip().removeprefix("unexpected error - ") for line in said if line.startswith("ERROR:")]
    whole = "; ".join(dict.fromkeys(errors)).rstrip(".")
    return whole if len(whole) <= LONGEST else f"{whole[:LONGEST].rstrip()} ..."
