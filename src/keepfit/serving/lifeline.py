"""Nobody outlives the front: it holds the writing end of a pipe, and when it dies, however it dies, the others' reads end."""

from __future__ import annotations

import os
import signal
import threading
import time


def hold(descriptor: int, patience: float) -> None:
    """Watch the reading end in a thread: when it ends, this process is asked to stop, and is ended `patience` seconds later."""
    threading.Thread(target=_wait, args=(descriptor, patience), name="keepfit-lifeline", daemon=True).start()


def _wait(descriptor: int, patience: float) -> None:
    while os.read(descriptor, 1):  # nobody writes; it returns when the last writer is gone
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(patience)
    os._exit(1)
