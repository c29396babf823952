"""API keys: shown once, kept as hashes, changed by one at a time, every change in the audit."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from keepfit.config import Config
from keepfit.errors import ConfigError, Conflict, NotFound, Unavailable
from keepfit.live.keys import add_key, find, keys, revoke_key
from keepfit.live_records import ApiKey, Scope
from keepfit.testing import MemoryLedger, SetClock

CONFIG = Config.of({"project": {"name": "demo", "task": "regression"}, "data": {"target": "y"}})
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class Ports:
    ledger: Any = field(default_factory=MemoryLedger)
    clock: SetClock = field(default_factory=lambda: SetClock(START))


@pytest.fixture
def ports() -> Any:
    return Ports()


def audit(ports: Any) -> list[tuple[str, str, str, str]]:
    return [(each.actor, each.act, each.detail, each.outcome) for each in reversed(ports.ledger.audit.recent("demo"))]


def test_a_key_is_random_recognisable_and_kept_only_as_its_hash(ports: Any) -> None:
    key, other = add_key("shop", ["predict", "feedback"], ports, CONFIG), add_key("ops", [Scope.ADMIN], ports, CONFIG)
    assert re.fullmatch(r"keepfit_[\w-]{43}", key)
    assert key != other
    digest = hashlib.sha256(key.encode()).hexdigest()
    shop = ApiKey(name="shop", digest=digest, scopes=(Scope.PREDICT, Scope.FEEDBACK), created_at=START)
    assert keys(ports, CONFIG)[0] == shop
    kept = ports.ledger.documents.get("demo", "keys").text
    assert digest in kept
    assert key not in kept
    assert key.removeprefix("keepfit_") not in kept + str(ports.ledger.audit.recent("demo"))


def test_a_key_is_found_by_itself_and_by_nothing_else(ports: Any) -> None:
    key, other = add_key("shop", ["predict"], ports, CONFIG), add_key("ops", ["admin"], ports, CONFIG)
    known = keys(ports, CONFIG)
    assert [getattr(find(each, known), "name", None) for each in (key, other)] == ["shop", "ops"]
    for wrong in ("", key[:-1], key + "x", key.swapcase(), known[0].digest, "ü", "\ud800", "keepfit_" * 1000):
        assert find(wrong, known) is None
    assert find(key, ()) is None


def test_a_scope_that_is_named_twice_is_kept_once(ports: Any) -> None:
    add_key("shop", ["feedback", "predict", "predict"], ports, CONFIG)
    assert keys(ports, CONFIG)[0].scopes == (Scope.PREDICT, Scope.FEEDBACK)


def test_a_revoked_key_is_nobodys_and_its_name_is_free(ports: Any) -> None:
    old = add_key("shop", ["predict"], ports, CONFIG)
    revoke_key("shop", ports, CONFIG, actor="ops", address="10.0.0.1")
    new = add_key("shop", ["predict"], ports, CONFIG)
    assert find(old, keys(ports, CONFIG)) is None
    assert find(new, keys(ports, CONFIG)) is not None
    assert audit(ports) == [
        ("command line", "key_added", "shop: predict", "done"),
        ("ops", "key_revoked", "shop", "done"),
        ("command line", "key_added", "shop: predict", "done"),
    ]
    assert ports.ledger.audit.recent("demo")[1].address == "10.0.0.1"


@pytest.mark.parametrize(
    ("name", "scopes", "error", "words"),
    [
        ("shop", ["predict"], Conflict, "a key named 'shop' already"),
        ("", ["predict"], ConfigError, "cannot name a key"),
        ("a\nb", ["predict"], ConfigError, "cannot name a key"),
        ("x" * 65, ["predict"], ConfigError, "cannot name a key"),
        ("new", [], ConfigError, "expected one or more of predict, feedback, admin"),
        ("new", ["predict", "root"], ConfigError, "'root' is nothing.*expected one of predict, feedback, admin"),
    ],
)
def test_what_cannot_be_a_key_is_refused(ports: Any, name: str, scopes: list[str], error: type[Exception], words: str) -> None:
    add_key("shop", ["predict"], ports, CONFIG)
    before = keys(ports, CONFIG)
    with pytest.raises(error, match=words):
        add_key(name, scopes, ports, CONFIG)
    assert keys(ports, CONFIG) == before


def test_revoking_what_is_not_there_says_what_is(ports: Any) -> None:
    with pytest.raises(NotFound, match="'shop'; there are: none yet"):
        revoke_key("shop", ports, CONFIG)
    add_key("ops", ["admin"], ports, CONFIG)
    with pytest.raises(NotFound, match="there are: 'ops'"):
        revoke_key("shop", ports, CONFIG)
    assert audit(ports)[-1][1] == "key_revoked"
    assert audit(ports)[-1][3].startswith("refused: There is no key named 'shop'")


class Elsewhere:
    """Lets somebody else change the keys just before each `put`."""

    def __init__(self, documents: Any, changes: list[Any]) -> None:
        self._documents, self._changes = documents, changes

    def get(self, *arguments: Any) -> Any:
        return self._documents.get(*arguments)

    def put(self, *arguments: Any) -> Any:
        if self._changes:
            self._changes.pop(0)()
        return self._documents.put(*arguments)


def test_changes_made_at_once_are_all_kept_and_told_once(ports: Any) -> None:
    documents, other = ports.ledger.documents, Ports(ports.ledger)
    meanwhile = [lambda: (setattr(ports.ledger, "documents", documents), add_key("other", ["admin"], other, CONFIG))]
    ports.ledger.documents = Elsewhere(documents, meanwhile)
    add_key("shop", ["predict"], ports, CONFIG)
    assert [each.name for each in keys(ports, CONFIG)] == ["other", "shop"]
    assert sorted(each[2] for each in audit(ports)) == ["other: admin", "shop: predict"]


def test_who_finds_the_name_taken_meanwhile_is_refused_and_the_audit_says_so(ports: Any) -> None:
    documents, other = ports.ledger.documents, Ports(ports.ledger)
    meanwhile = [lambda: (setattr(ports.ledger, "documents", documents), add_key("shop", ["admin"], other, CONFIG))]
    ports.ledger.documents = Elsewhere(documents, meanwhile)
    with pytest.raises(Conflict, match="already"):
        add_key("shop", ["predict"], ports, CONFIG)
    assert [each.scopes for each in keys(ports, CONFIG)] == [(Scope.ADMIN,)]
    assert [each[3].partition(":")[0] for each in audit(ports)] == ["done", "done", "refused"]


def test_a_change_that_cannot_be_told_is_not_made(ports: Any) -> None:
    class Full:
        def record(self, *_: Any) -> None:
            raise Unavailable("the disk is full")

    ports.ledger.audit = Full()
    with pytest.raises(Unavailable, match="disk is full"):
        add_key("shop", ["predict"], ports, CONFIG)
    assert keys(ports, CONFIG) == ()


def test_looking_a_key_up_imports_nothing_heavy() -> None:
    """The processes that answer requests do it."""
    code = (
        "import sys; from keepfit.live.keys import find; print(*(n for n in ('polars', 'sqlalchemy', 'numpy') if n in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == ""
