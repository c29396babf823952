"""API keys: made here, shown once, and known by their hash from then on.

They are kept in the ledger, as the document `keys`, so that every server of a project follows. Nothing heavy is imported: the
processes that answer requests look keys up here.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from keepfit.codec import dumps, loads
from keepfit.errors import ConfigError, Conflict, KeepfitError, NotFound
from keepfit.live_records import ApiKey, AuditEntry, Scope

if TYPE_CHECKING:
    from keepfit.config import Config
    from keepfit.ports import Ports

DOCUMENT = "keys"
PREFIX = "keepfit_"  # so that a key that has got into a repository is recognised as one
ATTEMPTS = 10  # at a change while others change keys too
_NAME = re.compile(r"\w[\w .@-]{0,63}")

Keys = tuple[ApiKey, ...]


def find(key: str, keys: Sequence[ApiKey]) -> ApiKey | None:
    """Whose key this is; None for nobody's.

    How long it takes says nothing about how much of a key was right: whole hashes are compared, in constant time, and all of them.
    """
    digest, found = digest_of(key), None
    for each in keys:
        if hmac.compare_digest(digest, each.digest):
            found = each
    return found


def digest_of(key: str) -> str:
    """The sha256 of a key, 64 hexadecimal digits.

    Passwords are stretched (scrypt, argon2) because people choose guessable ones. A key here is 256 random bits: who has its
    hash would need 2**255 guesses on average, which no hash function has to slow down, and every request is checked.
    """
    return hashlib.sha256(key.encode(errors="replace")).hexdigest()


def keys(ports: Ports, config: Config) -> Keys:
    """All keys, the oldest first, as far as they are kept: not themselves."""
    return _read(ports, config)[0]


def add_key(
    name: str, scopes: Iterable[Scope | str], ports: Ports, config: Config, *, actor: str = "command line", address: str = ""
) -> str:
    """Make a key; returns it. This is the only moment at which it is known.

    Raises `ConfigError` for a name or scopes that cannot be, `Conflict` when there is a key of this name already.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} cannot name a key: expected 1 to 64 letters, digits, spaces, dots, dashes, at-signs.")
    allowed = _scopes(scopes)
    key = PREFIX + secrets.token_urlsafe(32)
    made = ApiKey(name=name, digest=digest_of(key), scopes=allowed, created_at=ports.clock.now())

    def add(before: Keys) -> Keys:
        if any(each.name == name for each in before):
            raise Conflict(f"There is a key named {name!r} already. Revoke it first (`keepfit keys revoke`), or take another name.")
        return (*before, made)

    act = AuditEntry(at=made.created_at, actor=actor, act="key_added", detail=f"{name}: {', '.join(allowed)}", address=address)
    _change(add, act, ports, config)
    return key


def revoke_key(name: str, ports: Ports, config: Config, *, actor: str = "command line", address: str = "") -> None:
    """Make a key worthless; servers follow within seconds. Raises `NotFound`."""

    def remove(before: Keys) -> Keys:
        after = tuple(each for each in before if each.name != name)
        if after == before:
            known = ", ".join(repr(each.name) for each in before) or "none yet"
            raise NotFound(f"There is no key named {name!r}; there are: {known}.")
        return after

    _change(remove, AuditEntry(at=ports.clock.now(), actor=actor, act="key_revoked", detail=name, address=address), ports, config)


def _change(change: Callable[[Keys], Keys], act: AuditEntry, ports: Ports, config: Config) -> None:
    """Change the keys, whatever others do meanwhile.

    The audit is written first. So it may tell of an act of which nothing came (where it can, it says that too), but leaves none
    out.
    """
    audit, project = ports.ledger.audit, config.project.name
    try:
        for attempt in range(ATTEMPTS):
            before, revision = _read(ports, config)
            after = change(before)
            if attempt == 0:
                audit.record(project, act)
            with contextlib.suppress(Conflict):
                ports.ledger.documents.put(project, DOCUMENT, dumps(after), revision)
                return
        raise Conflict("Others are changing this project's keys all the time, so nothing was changed. Try again.")
    except KeepfitError as error:
        with contextlib.suppress(KeepfitError):  # the ledger may be what is away
            audit.record(project, replace(act, outcome=f"refused: {error}"))
        raise


def _read(ports: Ports, config: Config) -> tuple[Keys, int]:
    """The keys, and the revision of their document."""
    document = ports.ledger.documents.get(config.project.name, DOCUMENT)
    return (loads(Keys, document.text), document.revision) if document else ((), 0)


def _scopes(given: Iterable[Scope | str]) -> tuple[Scope, ...]:
    known = ", ".join(Scope)
    found = set()
    for each in given:
        try:
            found.add(Scope(each))
        except ValueError:
            raise ConfigError(f"{str(each)!r} is nothing that a key can allow: expected one of {known}.") from None
    if not found:
        raise ConfigError(f"A key that allows nothing is of no use: expected one or more of {known}.")
    return tuple(scope for scope in Scope if scope in found)
