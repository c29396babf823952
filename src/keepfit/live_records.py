"""What keepfit knows of a model in service, as frozen values like those in `records`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from keepfit.records import Action, ColumnDrift, DriftReport, Interval, NewPattern, Outcome, PerformanceEstimate


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
    units: int = 0  # what the test counts: the requests, or what belongs together among them (data.group, the sticky field)
    notes: tuple[str, ...] = ()  # what a reader should know of how it was measured


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
class Comparisons:
    """The versions in service beside each other."""

    champion: str | None  # version; None: there is none
    routing: Routing
    challenger: str | None  # version that routing.challenger means; None: there is none
    comparison: LiveComparison | None  # None: nothing is compared, `reason` says why
    probation: Probation | None  # the latest, with its comparison where it is running
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class VersionPerformance:
    """How right one version's answers of the window were, silent ones left out."""

    version: str
    rows: int  # answers
    n: int  # with a label
    value: float | None  # None where it is undefined, or there are no labels
    interval: Interval | None  # None with fewer than two labels, or groups


@dataclass(frozen=True, kw_only=True)
class LivePerformance:
    """How right the champion's answers were whose labels came back."""

    champion: str | None  # version; None: there is none
    since: datetime  # the window
    until: datetime
    metric: str
    greater_is_better: bool
    value: float | None  # of the champion's answers in the window; None where it is undefined, or there are no labels
    interval: Interval | None
    n: int  # labelled answers behind it
    units: int  # what the interval rests on: answers, or groups
    rows: int  # answers of the champion; n / rows is the coverage of labels
    reference: float | None = None  # what the champion was accepted with; None: unknown, or another metric
    estimate: PerformanceEstimate | None = None  # of the answers that have no label yet; labels always outvote it
    versions: tuple[VersionPerformance, ...] = ()  # every version that answered in the window, the latest first
    probation: Probation | None = None  # the latest; its comparison stands in /models/comparison
    notes: tuple[str, ...] = ()  # what a reader should know: another metric than the project's, and why


@dataclass(frozen=True, kw_only=True)
class LatestDrift:
    """What the loop measured last."""

    cycle: str
    at: datetime
    drift_detected: bool | None  # None: it was not measured, `report.note` says why
    action: Action | None  # what was decided
    reasons: tuple[str, ...]
    report: DriftReport
    files: dict[str, str]  # the reports that lie in the project's folder: name -> path


@dataclass(frozen=True, kw_only=True)
class DriftCalculation:
    """A look at drift that was asked for. It is one of its own and changes nothing: the loop's looks, and how often they may be
    wrong over a champion's life, stay what they are."""

    champion: str | None
    drift_detected: bool | None  # None: it could not be measured, `reason` says why
    vocabulary_drift: float | None  # of the text that shows most of it, in the terms of `threshold`; None: no text, or not measured
    tfidf_drift: float | None
    threshold: float | None  # of the text columns, else of the column closest to its own
    drifted: tuple[str, ...]  # columns
    columns: tuple[ColumnDrift, ...]  # of the features, those that drifted first, with all that was measured
    output: tuple[ColumnDrift, ...]  # of the model's answers
    label: ColumnDrift | None
    new_patterns: dict[str, tuple[NewPattern, ...]]  # class -> terms of its texts
    recommendation: Action  # what the loop's rules would say to this alone
    reason: str
    rows: int  # that were looked at
    of: int  # rows there were; more than `rows` where they are too many for one look
    reference_rows: int
    false_alarms: float | None  # how often such a look finds drift where there is none; many looks find some sooner or later
    since: datetime | None = None  # the window of the log; None where rows were given
    until: datetime | None = None
    enough: bool = True  # False: too little evidence to say


@dataclass(frozen=True, kw_only=True)
class CycleFact:
    """One cycle of the loop in short."""

    cycle: str
    started_at: datetime
    finished_at: datetime | None
    outcome: Outcome | None  # None: it is under way
    reason: str
    action: Action | None  # None: it did not come to a decision
    drift_detected: bool | None
    champion: str | None  # version that was judged
    metric: str | None
    value: float | None  # of the champion on the new rows
    challenger: str | None  # version that was trained
    promoted: str | None  # version that became the champion


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
