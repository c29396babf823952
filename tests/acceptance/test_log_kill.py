"""An answer whose write returned is in the log exactly once, wherever its worker and the drainer are killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import polars as pl
import pytest
from tests.acceptance import log_actors
from tests.acceptance.log_actors import PROJECT, SETTINGS
from tests.acceptance.runs import eventually

from keepfit.adapters.prediction_log.log import ParquetLog
from keepfit.adapters.prediction_log.places import FolderPlace

pytestmark = pytest.mark.slow

ROUNDS = 10  # two workers and a drainer are killed in each


class Actor:
    """A process, and what it says."""

    def __init__(self, role: str, folder: Path) -> None:
        self.process = subprocess.Popen([sys.executable, log_actors.__file__, role, str(folder)], stdout=subprocess.PIPE)
        self.said = b""
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        while more := os.read(self.process.stdout.fileno(), 65536):
            self.said += more

    def say(self, size: int) -> None:
        """Wait until it has said so many bytes more."""
        size += len(self.said)
        eventually(lambda: len(self.said) >= size, "an actor saying something")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._listener.join()
        assert self.process.stdout is not None
        self.process.stdout.close()

    @property
    def lines(self) -> list[str]:
        """What stands behind the last end of line was not wholly told."""
        return self.said.decode().split("\n")[:-1]


def test_every_answer_that_was_told_is_there_once(tmp_path: Path) -> None:
    """One worker dies while the drainer works, the other outlives it."""
    draw, told, interrupted = random.Random(7), list[str](), 0  # noqa: S311
    for _ in range(ROUNDS):
        first, second, drainer = actors = [Actor(role, tmp_path) for role in ("worker", "worker", "drainer")]
        try:
            drainer.say(1)
            first.say(draw.randint(1, 20_000))
            first.kill()
            second.say(draw.randint(1, 5_000))
            drainer.kill()
            interrupted += was_interrupted(tmp_path)
            second.say(draw.randint(1, 20_000))
        finally:
            for actor in actors:
                actor.kill()
        told += [*first.lines, *second.lines]
    labelled = {line.removeprefix("labelled ") for line in told if line.startswith("labelled ")}
    answered = [line for line in told if not line.startswith("labelled ")]
    log = ParquetLog(FolderPlace(tmp_path / "log"), tmp_path / "spool", PROJECT, SETTINGS)
    log.drain()
    assert log.drain() == 0
    assert len(answered) > 1000
    assert interrupted > 2, "no drainer was killed at its work, so this test saw little"
    rows = log.rows()
    assert rows["request_id"].is_unique().all()
    assert set(answered) - set(rows["request_id"]) == set()
    assert 0 <= rows.height - len(answered) <= 2 * ROUNDS * 16  # one write that was not told of yet, at each worker's death
    assert labelled <= set(log.rows(labelled=True)["request_id"])
    assert rows.select(pl.col("^input.*$").null_count()).sum_horizontal().item() == 0
    segments = list((tmp_path / "log" / "predictions").rglob("*.parquet"))
    assert sum(pl.scan_parquet(path).select(pl.len()).collect().item() for path in segments) == rows.height
    assert not [path for path in (tmp_path / "spool").iterdir() if path.is_file()]


def was_interrupted(folder: Path) -> bool:
    """Whether a drainer has left a spool half done: a segment under way, or the spool beside its segments."""
    written = list((folder / "log").rglob("*"))
    names = {path.name.partition(".")[0] for path in written}
    return any(path.suffix == ".tmp" for path in written) or any(
        path.name.partition(".")[0] in names for path in (folder / "spool").iterdir()
    )
