"""Places in which things go wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from keepfit.adapters.prediction_log.places import Fill, Place
from keepfit.errors import Unavailable


class Killed(BaseException):
    """The process dies here: nothing that catches errors may catch it."""


class Deadly:
    """Kills whoever changes something here for the n-th time, from 1, before or after it is done."""

    def __init__(self, place: Place, at: int, when: str) -> None:
        self._place, self._at, self._when = place, at, when
        self.folders, self.names, self.sources, self.sweep = place.folders, place.names, place.sources, place.sweep

    def write(self, name: str, fill: Fill) -> None:
        self._effect(lambda: self._place.write(name, fill))

    def remove(self, names: Sequence[str]) -> None:
        for name in names:
            self._effect(lambda name=name: self._place.remove([name]))

    def _effect(self, act: Callable[[], Any]) -> None:
        self._at -= 1
        if self._at == 0 and self._when == "before":
            raise Killed
        act()
        if self._at == 0:
            raise Killed


class Away:
    """Cannot be reached while it is away."""

    def __init__(self, place: Place) -> None:
        self._place, self.away = place, True

    def __getattr__(self, name: str) -> Any:
        if self.away:
            raise Unavailable("gone fishing")
        return getattr(self._place, name)
