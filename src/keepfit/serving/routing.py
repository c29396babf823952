"""Which of two models answers a request."""

from __future__ import annotations

import zlib

from keepfit.serving.plan import Plan

_WHOLE = 2**32


def choose(plan: Plan, key: str | None, request_id: str) -> str:
    """ "challenger" for `plan.share` of all keys, "champion" for the others; the same key always meets the same model.

    Without a key each request is divided for itself, by its id. A larger share keeps everybody who was the challenger's before.
    """
    where = zlib.crc32((key or request_id).encode(), zlib.crc32(plan.salt.encode())) * 0x9E3779B1 % _WHOLE
    return "challenger" if where < plan.share * _WHOLE else "champion"
