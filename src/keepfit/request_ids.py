"""Ids of requests: UUIDs of version 8 that sort by time and tell whether a project gave them out.

48 bits of time (milliseconds since 1970), 42 of chance, and 32 of a keyed hash over both and the project's name. So an id that
was mistyped, cut short or made up is refused without a look at the log (one in four thousand million passes by chance). It is a
checksum, not a secret: whoever knows the project's name could make one up.
"""

from __future__ import annotations

import hashlib
import os
import time
from datetime import UTC, datetime

_VERSION, _VARIANT = 0x8, 0b10


class RequestIds:
    """The ids of one project."""

    def __init__(self, project: str) -> None:
        self._key = hashlib.blake2b(project.encode(), digest_size=16, person=b"keepfit-request").digest()
        self._chance: list[int] = []

    def new(self, at: float | None = None) -> str:
        """A new id, of this time (seconds since 1970) or now."""
        milliseconds = int((time.time() if at is None else at) * 1000) & 0xFFFFFFFFFFFF
        return self._written(milliseconds, self._draw())

    def is_ours(self, id: str) -> bool:
        """Whether this project gave it out; upper and lower case are the same.

        >>> ids = RequestIds("demo")
        >>> ids.is_ours(ids.new()), ids.is_ours(RequestIds("other").new()), ids.is_ours("not an id")
        (True, False, False)
        """
        if len(id) != 36 or not id.isascii():
            return False
        try:
            whole = int(id.replace("-", ""), 16)
        except ValueError:
            return False
        milliseconds = whole >> 80
        chance = (whole >> 64 & 0xFFF) << 30 | (whole >> 32 & 0x3FFFFFFF)
        return self._written(milliseconds, chance) == id.lower()

    def _draw(self) -> int:
        """42 random bits; the system is asked for many at a time."""
        if not self._chance:
            drawn = os.urandom(6 * 256)
            self._chance = [int.from_bytes(drawn[i : i + 6], "big") & 0x3FFFFFFFFFF for i in range(0, len(drawn), 6)]
        return self._chance.pop()

    def _written(self, milliseconds: int, chance: int) -> str:
        told = (milliseconds << 42 | chance).to_bytes(12, "big")
        check = int.from_bytes(hashlib.blake2b(told, digest_size=4, key=self._key).digest(), "big")
        whole = milliseconds << 80 | _VERSION << 76 | (chance >> 30) << 64 | _VARIANT << 62 | (chance & 0x3FFFFFFF) << 32 | check
        text = f"{whole:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def time_of(id: str) -> datetime:
    """When an id was given out, UTC, to the millisecond. Raises ValueError for what is no id.

    >>> time_of(RequestIds("demo").new(1_800_000_000.25)).isoformat()
    '2027-01-15T08:00:00.250000+00:00'
    """
    return datetime.fromtimestamp((int(id.replace("-", ""), 16) >> 80) / 1000, UTC)
