"""What keepfit knows of a model in service, as frozen values like those in `records`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from keepfit.records import Interval


class Mode(StrEnum):
    """Who answers."""

    CHAMPION = "champion"  # the champion alone
    SPLIT = "split"  # champion and challenger, by shares
    SHADOW = "shadow"  # the champion; the challenger answers silently and is logged


class Scope(StrEnum):
    """What an API key allows."""

    PREDICT = "predict"
    FEEDBACK = "feedback"
    ADMIN = "admin"  # everything


class Standing(StrEnum):
    """How a new champion's probation stands."""

    RUNNING = "running"
    PASSED = "passed"  # enough labels or time, and not shown to be worse
    ROLLED_BACK = "rolled_back"  # shown to be worse, and taken back
    ENDED = "ended"  # somebody moved the alias meanwhile


class Finding(StrEnum):
    """What a live comparison shows."""

    BETTER = "better"  # the challenger is
    WORSE = "worse"
    UNDECIDED = "undecided"


@dataclass(frozen=True, kw_only=True)
class Routing:
    """How two models share the traffic."""

    mode: Mode = Mode.CHAMPION
    challenger: str | None = None  # a version, or an alias of the registry
    share: float = 0.2  # of the traffic that the challenger answers, under SPLIT
    sticky: str | None = None  # field whose equal values meet the same model
    by: str = "keepfit.toml"  # who said so: the file, or a person
    since: datetime | None = None
    settings: str = ""  # hash of [serve.routing] as it was when a person said otherwise; a later change of the file wins


@dataclass(frozen=True, kw_only=True)
class LiveComparison:
    """Two models on answers whose labels came back, by a test that may be looked at at any time."""

    champion: str  # version
    challenger: str  # version
    paired: bool  # whether both answered the same requests
    n: int  # labelled requests behind it; of both together where they are not paired
    champion_loss: float | None  # mean loss of an answer, 0 (right) to 1
    challenger_loss: float | None
    difference: float | None  # champion's loss - challenger's: positive, the challenger is better
    interval: Interval | None  # of the difference, valid at every moment at once
    margin: float = 0.0  # the challenger is worse when the interval lies below -margin
    finding: Finding = Finding.UNDECIDED
    reason: str = ""
    since: datetime | None = None  # requests before this do not count
    excluded: int = 0  # labelled requests left out because one of the two had no answer


@dataclass(frozen=True, kw_only=True)
class Probation:
    """The time in which a new champion is watched while the one before answers silently."""

    champion: str  # version
    before: str  # the version before
    move: str  # id of the journal's row that made it champion
    since: datetime
    ends_at: datetime
    labels: int  # labelled answers after which it ends
    standing: Standing = Standing.RUNNING
    reason: str = ""
    comparison: LiveComparison | None = None


@dataclass(frozen=True, kw_only=True)
class AuditEntry:
    """An admin act, for good."""

    at: datetime
    actor: str  # name of the API key, "command line" or "keepfit"
    act: str  # rollback, routing, key_added, key_revoked, ...
    detail: str  # in words, without secrets
    outcome: str = "done"  # or why it was refused
    address: str = ""  # where the request came from


@dataclass(frozen=True, kw_only=True)
class ApiKey:
    """An API key as it is kept: its hash, never itself."""

    name: str
    digest: str  # sha256 of the key (256 random bits), 64 hexadecimal digits
    scopes: tuple[Scope, ...]
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Document:
    """A small piece of shared state, with the number of its last change."""

    key: str
    text: str  # JSON
    revision: int  # counts changes from 1


@dataclass(frozen=True, kw_only=True)
class Span:
    """Labelled rows of the prediction log that became a batch of the loop."""

    number: int  # from 1
    name: str  # of the data file in the inbox
    rows: int
    first: datetime | None = None  # when the earliest of them was answered
    last: datetime | None = None
    corrected: int = 0  # rows of earlier spans whose label has changed since; they are not trained on again
    versions: tuple[str, ...] = field(default=())  # that answered them
