"""Lines for whoever looks after a server or a watcher: `action=` and ids on standard error, never rows or what was asked."""

from __future__ import annotations

import os
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path


def tell(action: str, **ids: object) -> None:
    """One line, in one write, so that lines of several processes do not mix:

    action=swap worker=1 version=4 at=2026-03-01T12:00:00.000Z
    """
    moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    words = [f"action={action}", *(f"{name}={_word(value)}" for name, value in ids.items()), f"at={moment}"]
    try:
        os.write(sys.stderr.fileno(), f"{' '.join(words)}\n".encode("utf-8", "replace"))
    except (OSError, ValueError):  # nobody listens any more
        return


def place_of(error: BaseException) -> str:
    """What kind of error and where it came up, without its text: that may quote data.

    >>> place_of(ValueError("secret"))
    'ValueError'
    """
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return type(error).__name__ + where


def _word(value: object) -> str:
    text = " ".join(str(value).split())
    return '"' + text.replace('"', "'") + '"' if not text or " " in text else text
