"""A runner that never rests: it keeps calling `Project.run`, as a scheduler does that somebody starts twenty times by mistake."""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path

import keepfit
from keepfit.errors import LeaseHeld, Unavailable


def work(said: str, stop: str) -> None:
    """Run the project of this folder until the file `stop` is there; every run leaves a line in the file `said`."""
    draw = random.Random(os.getpid())  # noqa: S311
    log = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    while not Path(stop).exists():
        line = {"runner": os.getpid(), **_once()}
        os.write(log, f"{json.dumps(line)}\n".encode())
        time.sleep(draw.uniform(0, 2))  # a scheduler's pause; nothing waits for it


def _once() -> dict[str, object]:
    """What came of one run. What is not foreseen is told too, and the test fails."""
    try:
        with keepfit.open(".") as project:
            done = project.run()
    except LeaseHeld:
        return {"met": "held"}
    except Unavailable as error:
        return {"met": "away", "words": str(error)}
    except Exception as error:
        return {"met": "error", "words": f"{type(error).__name__}: {error}"}
    return {"met": "done", "cycle": done.id, "fence": done.fence, "outcome": done.outcome}
