"""Processes that are killed: a worker that answers, and a drainer. `python log_actors.py worker|drainer FOLDER`."""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

from keepfit.adapters.prediction_log.spool import FileSpool
from keepfit.live_ports import Labelled, Logged
from keepfit.request_ids import RequestIds
from keepfit.serve_settings import LogSettings

PROJECT = "killed"
SETTINGS = LogSettings(segment="0.02s")


def work(folder: Path) -> None:
    """Write answers without end. An id is told once the write of its row has returned, and not before."""
    spool, ids = FileSpool(folder / "spool", f"w{os.getpid()}", SETTINGS, {}), RequestIds(PROJECT)
    while True:
        now = time.time()
        rows = [_row(ids.new(now), now) for _ in range(random.randint(1, 16))]  # noqa: S311
        spool.write(rows)
        os.write(1, "".join(f"{row.request_id}\n" for row in rows).encode())
        if random.random() < 0.3:  # noqa: S311
            spool.write([Labelled(request_id=rows[-1].request_id, at=now, label="spam")])
            os.write(1, f"labelled {rows[-1].request_id}\n".encode())
        time.sleep(0.002)  # some hundred writes a second; more would only fill the disk


def drain(folder: Path) -> None:
    """Drain without end."""
    from keepfit.adapters.prediction_log.log import ParquetLog
    from keepfit.adapters.prediction_log.places import FolderPlace

    log = ParquetLog(FolderPlace(folder / "log"), folder / "spool", PROJECT, SETTINGS)
    while True:
        if log.drain():
            os.write(1, b"drained\n")


def _row(id: str, now: float) -> Logged:
    numbers = {f"column_{number}": random.random() for number in range(3)}  # noqa: S311
    return Logged(request_id=id, at=now, model="m", version="3", inputs=numbers, prediction="spam", score=0.9)


if __name__ == "__main__":
    {"worker": work, "drainer": drain}[sys.argv[1]](Path(sys.argv[2]))
