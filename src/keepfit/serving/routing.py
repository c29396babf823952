"""Which of two models answers a request."""

from __future__ import annotations

from hashlib import blake2b

from keepfit.serving.plan import Plan

_WHOLE = 2**64


def choose(plan: Plan, key: str | None, request_id: str) -> str:
    """ "challenger" for `plan.share` of all keys, "champion" for the others; the same key always meets the same model.

    Without a key each request is divided for itself, by its id. A larger share keeps everybody who was the challenger's before,
    and with another salt everybody is dealt anew: a checksum would not do, since two of its salts divide alike.

    >>> plan = Plan(share=0.5, salt="spring")
    >>> {choose(plan, "ada", str(number)) for number in range(100)}
    {'champion'}
    """
    dealt = blake2b(f"{plan.salt}\0{key or request_id}".encode(errors="surrogatepass"), digest_size=8).digest()
    return "challenger" if int.from_bytes(dealt, "big") < plan.share * _WHOLE else "champion"
