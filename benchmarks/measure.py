"""Cold processes, timed in turn, and the rows that come of them."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

KEEPFIT = str(Path(sys.executable).with_name("keepfit"))
PEERS = ("mlflow", "evidently", "great_expectations", "prefect")

# Nobody reports home, neither keepfit's own MLflow nor the peers.
SILENCE = {
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    "DO_NOT_TRACK": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}
# Settings of the person who runs the benchmark must not reach what is measured.
STRANGE = ("AIRFLOW_", "KEEPFIT_", "MLFLOW_", "PREFECT_", "GX_", "PYTHON")


class Skipped(Exception):
    """The benchmark cannot run here; the message says what is missing."""


class Failed(Exception):
    """A measured command did not do what it should; the message holds its last lines."""


@dataclass(frozen=True, kw_only=True)
class Limit:
    """What a figure must not exceed: a share of the peer's, seconds, seconds more than the peer's, or so much of its unit. Or what
    it must reach."""

    share: float | None = None
    seconds: float | None = None
    more: float | None = None  # seconds above the peer's
    most: float | None = None
    least: float | None = None  # times the peer's, where more is better

    def holds(self, keepfit: float, peer: float | None) -> bool:
        if self.seconds is not None:
            return keepfit <= self.seconds
        if self.more is not None:
            return peer is not None and keepfit <= peer + self.more
        if self.most is not None:
            return keepfit <= self.most
        if self.least is not None:
            return peer is not None and keepfit >= self.least * peer
        return peer is not None and self.share is not None and keepfit <= self.share * peer

    def __str__(self) -> str:
        if self.most is not None:
            return f"{self.most:.3g}"
        if self.more is not None:
            return f"{self.more:g} s more"
        if self.least is not None:
            return f"at least {self.least:g}x"
        return f"{self.seconds:g} s" if self.seconds is not None else as_ratio(self.share)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table. Times are seconds of wall clock."""

    what: str
    unit: str = "s"  # of the figures: s, ms, MB, %, req/s, or nothing for a count
    keepfit: tuple[float, ...]  # every run
    peer: tuple[float, ...] = ()  # every run; empty: there is nothing to compare with
    against: str = ""  # what the peer is
    bar: Limit | None = None  # required
    aim: Limit | None = None  # wished for
    parts: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # keepfit or peer -> step -> seconds

    @property
    def ratio(self) -> float | None:
        peer = statistics.median(self.peer) if self.peer else 0.0
        return statistics.median(self.keepfit) / peer if peer else None

    def meets(self, limit: Limit | None) -> bool | None:
        """None where there is no limit."""
        if limit is None:
            return None
        return limit.holds(statistics.median(self.keepfit), statistics.median(self.peer) if self.peer else None)


def as_ratio(ratio: float | None) -> str:
    """0.2 as 1/5.0, 1.5 as 1.5x."""
    if ratio is None:
        return ""
    if ratio == 0:
        return "0"
    return f"1/{1 / ratio:.1f}".removesuffix(".0") if ratio < 1 else f"{ratio:.2g}x"


@dataclass(frozen=True, kw_only=True)
class Command:
    """A process to time."""

    arguments: Sequence[str]
    folder: Path  # where it starts
    environment: Mapping[str, str] = field(default_factory=dict)
    # Entered before each run and left after it, outside the time; what it yields is added to the environment.
    around: Callable[[], AbstractContextManager[Mapping[str, str] | None]] = nullcontext
    check: Callable[[str], None] | None = None  # raises Failed when the output is not what it should be


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What one command took."""

    seconds: tuple[float, ...]
    shown: float  # the run in the middle: the median where their number is odd
    output: str  # its standard output


def in_turn(commands: Mapping[str, Command], repeat: int, *, warm: bool = False) -> dict[str, Timing]:
    """Run each command `repeat` times as a cold process, one after the other in rounds, so that a change of the machine's
    mood meets them all. With `warm` an untimed round comes first, which fills the caches of the file system and of imports."""
    runs: dict[str, list[tuple[float, str]]] = {name: [] for name in commands}
    for number in range(-1 if warm else 0, repeat):
        for name, command in commands.items():
            taken = run(command)
            say(f"  {name}: {taken[0]:.2f} s" + (" (warming up)" if number < 0 else ""))
            if number >= 0:
                runs[name].append(taken)
    return {name: summary(done) for name, done in runs.items()}


def summary(runs: Sequence[tuple[float, str]]) -> Timing:
    shown, output = sorted(runs)[len(runs) // 2]
    return Timing(seconds=tuple(taken for taken, _ in runs), shown=shown, output=output)


def run(command: Command) -> tuple[float, str]:
    """Seconds from the start of the process to its end, and its standard output. Raises `Failed`."""
    with command.around() as more, tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        environment = {**environment_of(command.folder), **command.environment, **(more or {})}
        # Files, not pipes: a server that the command leaves behind would hold a pipe open.
        began = time.perf_counter()
        process = subprocess.Popen(
            list(command.arguments),
            cwd=command.folder,
            env={**environment, "BENCH_STARTED": repr(time.time())},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
        )
        code = process.wait()
        taken = time.perf_counter() - began
        output.seek(0)
        errors.seek(0)
        text = output.read().decode(errors="replace")
        if code != 0:
            last = "\n".join((errors.read().decode(errors="replace") or text).splitlines()[-15:])
            raise Failed(f"`{' '.join(command.arguments)}` returned {code}:\n{last}")
        if command.check:
            command.check(text)
        return taken, text


def environment_of(folder: Path) -> dict[str, str]:
    """The environment without anything that steers what is measured; HOME and TMPDIR are the benchmark's."""
    home = next(parent for parent in (folder, *folder.parents) if parent.name.startswith(PREFIX)) / "home"
    (home / "tmp").mkdir(parents=True, exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(STRANGE)}
    return {**kept, **SILENCE, "HOME": str(home), "TMPDIR": str(home / "tmp")}


PREFIX = "keepfit-bench-"


@contextmanager
def workplace() -> Iterator[Path]:
    """A temporary folder in which everything happens."""
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as folder:
        yield Path(folder).resolve()


def need_keepfit() -> None:
    if not Path(KEEPFIT).exists():
        raise Skipped(f"keepfit is not installed beside {sys.executable}: use `make bench`")


def need_peers() -> None:
    missing = [name for name in PEERS if find_spec(name) is None]
    if missing:
        raise Skipped(f"{', '.join(missing)} not installed: use `make bench`")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
