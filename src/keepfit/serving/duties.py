"""What the office does again and again, each duty in a thread of its own, so that none waits for what another waits for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from keepfit.errors import KeepfitError
from keepfit.telling import place_of, tell

SLOW = 3.0  # seconds after which a duty that has not come back is said to wait
SHARE = 0.1  # of the time that a heavy duty may take


class Duty:
    """A function that is called every `seconds`, or sooner when it is nudged. What it raises is noted; it is called again.

    A `heavy` one that takes long is called less often, so that it has no more than a tenth of the time.
    """

    def __init__(self, name: str, seconds: float, do: Callable[[], None], *, heavy: bool = False) -> None:
        self.name, self._seconds, self._do, self._heavy = name, seconds, do, heavy
        self._nudged, self._stopping = threading.Event(), False
        self._began: float | None = None  # by the monotonic clock; None: it rests
        self._away: tuple[str, datetime] | None = None  # why it fails, and since when
        self._thread = threading.Thread(target=self._run, name=f"keepfit-{name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def nudge(self) -> None:
        """Have it done now."""
        self._nudged.set()

    def stop(self) -> None:
        """Do not begin again."""
        self._stopping = True
        self._nudged.set()

    def join(self, seconds: float) -> bool:
        """Wait for its end; returns whether it came."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    @property
    def trouble(self) -> str:
        """What is wrong with it, in words; empty while all is well."""
        away, began = self._away, self._began
        if away is not None:
            return f"since {away[1]:%Y-%m-%d %H:%M:%S} UTC: {away[0]}"
        if began is not None and (waiting := time.monotonic() - began) > SLOW:
            since = datetime.fromtimestamp(time.time() - waiting, UTC)
            return f"since {since:%Y-%m-%d %H:%M:%S} UTC: it does not answer"
        return ""

    def _run(self) -> None:
        while not self._stopping:
            self._began = time.monotonic()
            self._once()
            took, self._began = time.monotonic() - self._began, None
            self._nudged.wait(max(self._seconds, took / SHARE if self._heavy else 0.0))
            self._nudged.clear()

    def _once(self) -> None:
        try:
            self._do()
        except Exception as error:
            why = str(error) if isinstance(error, KeepfitError) else f"unforeseen: {place_of(error)}"
            if self._away is None:
                tell("away", what=self.name, error=place_of(error))
            self._away = (why, self._away[1] if self._away else datetime.now(UTC))
            return
        if self._away is not None:
            tell("back", what=self.name)
        self._away = None
