"""Who may ask what, and how often.

Which key opens what; `admin` opens everything. Reading figures needs `predict`; what quotes the texts of others, or costs much,
needs `admin`:

| scope      | endpoints                                                                                                 |
|------------|-----------------------------------------------------------------------------------------------------------|
| none       | GET /health, /ready, /ping (unless serve.public_health = false: then any key)                             |
| `predict`  | POST /predict, /predict/batch, /invocations; GET /models/current, /models/comparison, /models/routing,    |
|            | /metrics, /metrics/performance, /retraining/history, /version, /openapi.json, /docs                       |
| `feedback` | POST /feedback                                                                                            |
| `admin`    | GET and POST /drift/calculate, GET /metrics/drift, PUT /models/routing, POST /models/rollback             |
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import ip_address, ip_network

from keepfit.live.keys import find
from keepfit.live_records import ApiKey, Scope
from keepfit.serve_settings import Serve
from keepfit.serving.calls import Call
from keepfit.serving.problems import Problem

PUBLIC: frozenset[Scope] = frozenset()
PREDICT = frozenset({Scope.PREDICT, Scope.ADMIN})
FEEDBACK = frozenset({Scope.FEEDBACK, Scope.ADMIN})
ADMIN = frozenset({Scope.ADMIN})
ANY = frozenset(Scope)

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
USUAL_RATE = 200.0  # requests a second, where it is not set and the server is not on loopback
BURST = 10  # seconds' worth
MOST_CALLERS = 10_000  # whose rate is remembered
MOST_HOSTS = 64  # spellings of the server's own names that are remembered
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="keepfit"'}


def on_loopback(host: str) -> bool:
    """Whether a server that listens there can be reached from this machine only."""
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:  # a name, which may lead anywhere
        return False


def needs_keys(settings: Serve) -> bool:
    """Whether requests need an API key."""
    return settings.authentication == "required" or (settings.authentication == "auto" and not on_loopback(settings.host))


class Admission:
    """Lets a request in, or raises the `Problem` that says why not."""

    def __init__(self, settings: Serve, keys: Callable[[], Sequence[ApiKey]]) -> None:
        local = on_loopback(settings.host)
        self._needs_keys, self._keys = needs_keys(settings), keys
        self._trusts_all = local and not self._needs_keys
        self._hosts = {name.lower() for name in settings.allowed_hosts or (LOOPBACK_NAMES if local else ("*",))}
        self._known_hosts: set[bytes] = set()
        self._origins = {origin.lower().encode() for origin in settings.cors_origins}
        rate = settings.rate if settings.rate is not None else 0.0 if local else USUAL_RATE
        self._buckets = Buckets(rate) if rate else None

    def admit(self, call: Call, needs: frozenset[Scope]) -> None:
        """`needs`: the scopes of which one is enough; none where everybody may."""
        host = call.fields.get(b"host")
        if host not in self._known_hosts:
            self._check_host(host)
        if b"origin" in call.fields:
            self._check_origin(call.fields[b"origin"], host or b"")
        if not needs:
            return
        if self._needs_keys:
            call.key = self._found(call)
        if self._buckets is not None:
            self._take(call, self._buckets)
        if self._needs_keys:
            self._check_scopes(call.key, needs)

    def trusts(self, call: Call) -> bool:
        """Whether whoever asks may read what tells of this installation: its admins, also where no key is needed, and on loopback
        everybody where none is."""
        key = call.key or self._found(call)
        return self._trusts_all or (key is not None and Scope.ADMIN in key.scopes)

    def _check_host(self, host: bytes | None) -> None:
        """Against a foreign page that has its own name lead to this machine (DNS rebinding)."""
        if host is None:
            raise Problem(400, "Expected the header Host.")
        if "*" not in self._hosts and host_name(host) not in self._hosts:
            raise Problem(421, "The header Host names another server. serve.allowed_hosts lists the names that this one goes by.")
        if len(self._known_hosts) < MOST_HOSTS:
            self._known_hosts.add(host)

    def _check_origin(self, origin: bytes, host: bytes) -> None:
        """A browser says which page asks: its own pages may, and those that were named."""
        same = origin.lower().partition(b"://")[2] == host.lower()
        if not same and origin.lower() not in self._origins and b"*" not in self._origins:
            raise Problem(403, "Pages of another origin may not ask here. serve.cors_origins lists those that may.")

    def _found(self, call: Call) -> ApiKey | None:
        given = call.fields.get(b"x-api-key")
        if given is None:
            scheme, _, token = call.fields.get(b"authorization", b"").partition(b" ")
            given = token.strip() if scheme.lower() == b"bearer" else None
        return find(given.decode("latin-1"), self._keys()) if given else None

    def _take(self, call: Call, buckets: Buckets) -> None:
        """Wrong keys are counted by where they come from."""
        wait = buckets.take(f"key {call.key.name}" if call.key else network(call.address), time.monotonic())
        if wait:
            told = f"Expected at most {buckets.rate:g} requests a second (serve.rate)."
            raise Problem(429, told, headers={"Retry-After": f"{wait:.0f}"})

    def _check_scopes(self, key: ApiKey | None, needs: frozenset[Scope]) -> None:
        if key is None:
            told = "Send a key as X-API-Key, or as Authorization: Bearer. `keepfit keys add` makes one."
            raise Problem(401, told, headers=_CHALLENGE)
        if needs.isdisjoint(key.scopes):
            wanted = " or ".join(sorted(needs))
            raise Problem(403, f"The key {key.name!r} does not allow this: expected one with the scope {wanted}.")


class Buckets:
    """How often each caller may still ask: ten seconds' worth at once, refilled steadily. Remembers so many callers and no more."""

    def __init__(self, rate: float, most: int = MOST_CALLERS) -> None:
        self.rate, self._most = rate, most
        self._full = max(1.0, rate * BURST)
        self._left: dict[str, tuple[float, float]] = {}  # caller -> requests left, when that was

    def take(self, caller: str, now: float) -> float:
        """0 where one more is allowed, else whole seconds to wait."""
        left, since = self._left.pop(caller, (self._full, now))
        left = min(self._full, left + (now - since) * self.rate)
        allowed = left >= 1
        self._left[caller] = (left - 1 if allowed else left, now)  # at the end: who asked last is forgotten last
        if len(self._left) > self._most:
            del self._left[next(iter(self._left))]
        return 0.0 if allowed else max(1.0, -(-(1 - left) // self.rate))

    def __len__(self) -> int:
        return len(self._left)


def host_name(host: bytes) -> str:
    """The name in a Host header, without its port.

    >>> host_name(b"LocalHost:8000"), host_name(b"[::1]:8000"), host_name(b"example.org")
    ('localhost', '[::1]', 'example.org')
    """
    text = host.decode("latin-1").lower()
    if text.startswith("["):
        return text.partition("]")[0] + "]"
    return text.partition(":")[0].rstrip(".")


@lru_cache(MOST_CALLERS)
def network(address: str) -> str:
    """What counts as one caller: an IPv4 address, or the /64 of an IPv6 one, of which a single machine has all.

    >>> network("192.0.2.7"), network("2001:db8::6")
    ('192.0.2.7', '2001:db8::/64')
    """
    return str(ip_network(f"{address}/64", strict=False)) if ":" in address and "%" not in address else address
