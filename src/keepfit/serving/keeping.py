"""Answers that cost a look through the whole log, kept for a few seconds: whoever asks often costs no more than who asks seldom."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

KEPT = 3.0  # seconds
MOST = 16  # answers


@dataclass(eq=False)
class _Answer:
    lock: threading.Lock = field(default_factory=threading.Lock)  # held while it is looked for
    until: float | None = None  # by the monotonic clock; None: it is not known yet
    value: Any = None


class Kept:
    """Remembers the last answers. Who asks for what is being looked for waits for that; what fails is not kept."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._answers: dict[Hashable, _Answer] = {}

    def answer(self, question: Hashable, find: Callable[[], Any]) -> Any:
        """What `find` returned to the same question a moment ago, or returns now."""
        with self._lock:
            known = self._answers.pop(question, None)
            if known is None or (known.until is not None and self._clock() >= known.until):
                known = _Answer()
            self._answers[question] = known  # at the end: what was asked last is forgotten last
            if len(self._answers) > MOST:
                del self._answers[next(iter(self._answers))]
        with known.lock:
            if known.until is None:
                known.value = find()
                known.until = self._clock() + KEPT
            return known.value

    def forget(self) -> None:
        """Something has changed that answers may depend on."""
        with self._lock:
            self._answers.clear()
