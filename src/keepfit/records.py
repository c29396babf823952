"""What keepfit knows, as frozen values: ids, numbers, reasons and addresses, never frames or models.

One `Cycle` is one pass of the loop. Every stage returns a copy with its own part filled in; the ledger keeps it after each
stage. All records are keyword-only, compare by value and survive a round trip through JSON. A number that is undefined is
None, never NaN.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Outcome(StrEnum):
    """How a cycle ended."""

    WAITING = "waiting"  # too little new data to judge
    QUARANTINED = "quarantined"  # the new data is broken; nothing good was left to go on with
    HEALTHY = "healthy"  # judged, and nothing to do
    ALERTED = "alerted"  # a person must look; no model was trained
    KEPT_CHAMPION = "kept_champion"  # the challenger was not better
    INCONCLUSIVE = "inconclusive"  # the holdout cannot tell the two apart
    PROMOTED = "promoted"  # the challenger is the champion now
    FAILED = "failed"  # an error that a person must mend; the batches stay new


class Action(StrEnum):
    """What to do about the champion."""

    RETRAIN = "RETRAIN"
    NO_ACTION = "NO_ACTION"
    ALERT = "ALERT"


class Change(StrEnum):
    """What kind of change the new data shows."""

    DATA_FAULT = "data_fault"  # broken upstream: the data do not keep their contract
    COVARIATE = "covariate"  # the inputs look different
    LABEL = "label"  # the labels are distributed differently
    CONCEPT = "concept"  # performance fell while the inputs look the same


class Severity(StrEnum):
    """How much an alert matters."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Event(StrEnum):
    """What people can be told of."""

    DATA_FAULT = "data_fault"
    DRIFT = "drift"
    PERFORMANCE_FELL = "performance_fell"
    RETRAINING = "retraining"  # one has begun
    PROMOTED = "promoted"
    KEPT = "kept"  # the challenger was not better
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    RECOVERED = "recovered"  # what an earlier alert told of is over
    RELEASE = "release"  # for pipelines, not for people: there is a new champion to deliver


class Place(StrEnum):
    """The three folders; a data file lies in exactly one of them."""

    INBOX = "inbox"
    ARCHIVE = "archive"
    QUARANTINE = "quarantine"


class BatchState(StrEnum):
    """What has become of a batch."""

    NEW = "new"  # arrived, not judged by a finished cycle
    JUDGED = "judged"  # a finished cycle looked at it; it waits in the inbox to be trained on
    QUARANTINED = "quarantined"  # failed validation
    ARCHIVED = "archived"  # a promoted model has consumed it


class Conclusion(StrEnum):
    """What a comparison showed."""

    PASSED = "passed"
    REJECTED = "rejected"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A unit of arriving data, named by its content."""

    id: str  # sha256 of the bytes, 64 hexadecimal digits
    name: str  # the file's path below its folder
    size: int  # bytes
    rows: int | None = None  # data rows; None until it was read
    state: BatchState = BatchState.NEW
    place: Place = Place.INBOX
    arrived_at: datetime | None = None  # when keepfit first saw it, UTC


@dataclass(frozen=True, kw_only=True)
class Duplicate:
    """A file whose content was already there under this or another name; it is never trained on."""

    name: str  # the file that came second
    batch: str  # id of the batch with the same content
    original: str  # the name under which that content was first seen


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A confidence interval."""

    low: float
    high: float
    level: float = 0.95  # share of such intervals that hold the true value


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One expectation that a batch did not meet, in words a person can act on."""

    check: str  # what was checked: type, null_share, range, values, ...
    column: str | None  # None when it concerns the whole file
    expected: str
    found: str
    rows: int  # how many rows are concerned
    examples: tuple[str, ...] = ()  # at most three, as "row 17: 'abc'"

    def __str__(self) -> str:
        name = self.column if self.column is None or self.column.isprintable() else ascii(self.column)
        where = f"{name}: " if name else ""
        shown = f" ({'; '.join(self.examples)})" if self.examples else ""
        return f"{where}expected {self.expected}, found {self.found}{shown}"


@dataclass(frozen=True, kw_only=True)
class BatchValidation:
    """What validation found in one batch."""

    batch: str  # id
    name: str
    passed: bool
    quality: float  # 0 to 100; the formula is in stages/validate.py
    rows: int
    labelled: int  # rows with a label, of those that go on
    dropped: int = 0  # rows that went to quarantine while the others go on
    findings: tuple[Finding, ...] = ()  # why it did not pass; where it passed, why rows were dropped
    notes: tuple[str, ...] = ()  # what was seen and is no reason to stop: extra columns, blank rows


@dataclass(frozen=True, kw_only=True)
class Validation:
    """What validation found in the cycle's batches."""

    passed: int  # batches
    quarantined: int  # batches
    quality: float | None  # the lowest of the batches that passed; None when none did
    batches: tuple[BatchValidation, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """Where the prepared rows are and how they were divided, for good."""

    fingerprint: str  # of the code and settings that prepared them
    rows: int  # prepared rows of this cycle's batches
    training: int  # of these, for training
    holdout: int  # of these, for judging
    columns: tuple[str, ...]  # feature columns
    labelled: int = 0  # labelled training rows of this and earlier cycles' batches, new to the champion
    labels: dict[str, int] = field(default_factory=dict)  # of each of these batches: its labelled rows


@dataclass(frozen=True, kw_only=True)
class PerformanceReport:
    """How the champion did on this cycle's new labelled rows."""

    champion: str  # model version
    metric: str
    greater_is_better: bool
    value: float | None  # None when it is undefined on these rows
    interval: Interval | None  # None with fewer than two units
    n: int  # labelled rows
    units: int  # independent units that the interval rests on: rows, or groups
    rows: int  # rows in all; n / rows is the coverage of labels
    reference: float | None = None  # the champion's value on the holdout it was accepted on
    reference_interval: Interval | None = None
    left_out: int = 0  # groups on which the metric is undefined
    outside: bool = False  # the champion was registered from a file: its reference may rest on rows it was trained on
    note: str = ""  # why it could not be judged
    slices: tuple[SlicePerformance, ...] = ()  # by the columns of monitor.slices
    estimate: PerformanceEstimate | None = None  # where labels lag


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One distance between two samples, beside what it shows when nothing has drifted."""

    name: str  # ks, jensen_shannon, psi, wasserstein, chi_square, vocabulary, tfidf, characters, missing
    value: float | None  # the distance itself; None where it is undefined
    expected: float | None = None  # its mean when nothing has drifted, at these sample sizes
    score: float | None = None  # value - expected: 0 means nothing at any size
    p_value: float | None = None  # chance of such a value when nothing has drifted


@dataclass(frozen=True, kw_only=True)
class ColumnDrift:
    """How far one column's new values lie from the reference's."""

    name: str
    kind: str  # number, category, boolean, datetime, text
    method: str  # the measure that decided, one of `measures`; "type" where the two are of different kinds
    score: float | None  # its excess over what no drift shows; the distance itself under a fixed threshold; None: not judged
    threshold: float | None  # the score that counts: the smallest effect, or the fixed threshold
    p_value: float | None  # of the column, adjusted for the columns that were looked at together; None under a fixed threshold
    drifted: bool
    reference: int  # cells with a value
    current: int
    missing_reference: float = 0.0  # share of empty cells
    missing_current: float = 0.0
    importance: float | None = None  # how much the column matters to the model, 0 to 1; None: unknown
    measures: tuple[Measure, ...] = ()
    findings: tuple[str, ...] = ()  # in words: new and vanished categories, values outside the reference's range
    note: str = ""  # why it was not judged

    @property
    def judged(self) -> bool:
        """Whether anything could be said of it."""
        return self.drifted or self.score is not None


@dataclass(frozen=True, kw_only=True)
class NewPattern:
    """A term that texts of one class hold clearly more often than the reference's texts of that class do."""

    column: str
    label: str  # the class: the label where there is one, else the champion's answer
    term: str  # a word, or two neighbouring words, lower-cased
    count: int  # new texts of the class that hold it
    reference_count: int  # the reference's
    log_odds: float  # how much more common it is, drawn towards 0 where texts are few
    z: float  # how sure that is, in standard errors


@dataclass(frozen=True, kw_only=True)
class DriftReport:
    """How far the new rows lie from the champion's reference."""

    detected: bool | None = None  # None: not measured
    columns: tuple[ColumnDrift, ...] = ()  # those that drifted first, by how much they matter to the model
    output: tuple[ColumnDrift, ...] = ()  # of the model's predictions and scores
    label: ColumnDrift | None = None  # of the labels, where there are any
    patterns: tuple[NewPattern, ...] = ()  # of each text column that drifted, by class
    reference_rows: int = 0
    rows: int = 0
    false_alarms: float | None = None  # how often this look may find drift where there is none, over all columns together
    look: int = 1  # counts the looks at this champion, from 1
    champion: str | None = None  # version whose reference it is
    note: str = ""  # why it was not measured

    @property
    def everything(self) -> tuple[ColumnDrift, ...]:
        """Features, answers and labels; those that drifted first."""
        whole = (*self.columns, *self.output, *((self.label,) if self.label else ()))
        return tuple(sorted(whole, key=lambda column: not column.drifted))

    @property
    def drifted(self) -> tuple[str, ...]:
        """The names of the features that drifted."""
        return tuple(column.name for column in self.columns if column.drifted)


@dataclass(frozen=True, kw_only=True)
class SlicePerformance:
    """The champion's metric on the new labelled rows where one column has one value."""

    column: str
    value: str
    metric: float | None  # None when it is undefined there
    interval: Interval | None
    n: int


@dataclass(frozen=True, kw_only=True)
class PerformanceEstimate:
    """What the metric probably is on the new rows, told without their labels. Labels always outvote it."""

    method: str  # confidence: from calibrated probabilities; loss_model: from a model of the champion's errors
    metric: str
    value: float | None
    interval: Interval | None
    n: int  # rows it speaks of
    error: float | None = None  # |estimate - truth| where labels have come, on this cycle's labelled rows
    labelled: int = 0  # rows behind `error`
    usual_error: float | None = None  # the mean of `error` over this champion's cycles
    note: str = ""  # why there is none


@dataclass(frozen=True, kw_only=True)
class Signal:
    """One measured value with its threshold."""

    name: str  # no_champion, forced, floor, degradation, new_rows, age, schedule, data_fault, ...
    fired: bool
    reason: str  # the sentence a person reads
    value: float | None = None
    threshold: float | None = None
    interval: Interval | None = None
    n: int | None = None  # sample size behind the value
    enough: bool = True  # False: too little evidence to say
    source: str = ""  # where the threshold was set
    would_change: str = ""  # what would have made it say the opposite
    beyond: bool = False  # the value lies beyond the threshold; it may need to in several cycles before the signal fires


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What to do and why."""

    action: Action
    reasons: tuple[str, ...]
    signals: tuple[Signal, ...] = ()
    change: Change | None = None  # what kind of change the evidence shows; None: none, or nothing could be said


@dataclass(frozen=True, kw_only=True)
class CandidateScore:
    """One candidate's score inside the training rows."""

    name: str
    parameters: dict[str, str]
    window: str  # which rows it was trained on: "all", "last 5"
    score: float | None  # of the project's metric; None when it could not be scored


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """The challenger: trained, logged and registered, not yet judged."""

    name: str  # the chosen candidate
    parameters: dict[str, str]
    version: str  # registered model version
    run_id: str
    uri: str
    content_hash: str  # sha256 of what the model is, equal for equal data, code and seed
    rows: int  # training rows
    batches: tuple[str, ...]  # ids of the batches trained on
    trained_on: str  # hash of batches, code, settings and seed: the same set is not trained on twice
    seed: int
    window: str = "all"
    scores: tuple[CandidateScore, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SliceVerdict:
    """Both models on the holdout rows where one column has one value."""

    column: str
    value: str
    n: int
    champion: float | None
    challenger: float | None
    passed: bool
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The outcome of a comparison on rows that neither model was trained on."""

    gate: str  # first, greater, min_gain, superior, non_inferior, registered
    passed: bool
    conclusion: Conclusion
    reason: str
    metric: str
    greater_is_better: bool
    champion: float | None  # None when there was no champion
    challenger: float | None
    difference: float | None  # positive: the challenger is better, whichever way the metric points
    interval: Interval | None  # of the difference
    test: str | None  # mcnemar, bootstrap, binomial, or None where the gate needs no test
    p_value: float | None
    alpha: float | None  # what p was held against, after the spending over the champion's life
    comparison: int  # counts the challengers that were tested against this champion, from 1
    n: int  # labelled holdout rows
    units: int  # independent units: rows or groups
    negative_flips: int | None  # rows the champion had right and the challenger has wrong; None for regression
    positive_flips: int | None = None  # the other way round
    champion_version: str | None = None  # whom it was compared with
    baseline: float | None = None  # a model that ignores its input, on the same rows
    slices: tuple[SliceVerdict, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """A move of the registry's alias."""

    alias: str
    from_version: str | None  # None: the alias did not exist
    to_version: str
    reason: str = ""
    at: datetime | None = None
    kind: str = "promotion"  # promotion, rollback, registration, by_hand


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a cycle's numbers come from."""

    keepfit: str  # version
    python: str
    libraries: dict[str, str]
    config: str  # sha256 of the effective settings
    code: str  # sha256 of the project's Python files
    commit: str | None  # git commit of the project, "+changes" when the tree was not clean
    seed: int
    platform: str = ""  # system, processor and C library


@dataclass(frozen=True, kw_only=True)
class DataVersion:
    """Which data a cycle trained on, and how they are kept. `keepfit data checkout` brings them back."""

    id: str  # sha256 of the files' paths and hashes: equal for equal data
    kept_by: str  # manifest, dvc
    files: int
    bytes: int
    missing: tuple[str, ...] = ()  # paths of what was gone when the cycle trained
    folders: dict[str, str] = field(default_factory=dict)  # raw, processed, reference -> DVC's md5; empty without DVC
    commit: str | None = None  # git commit that has DVC's pointers; None: none has
    artifacts: dict[str, str] = field(default_factory=dict)  # sha256 of the version's manifest and settings; empty: not known


@dataclass(frozen=True, kw_only=True)
class Cycle:
    """One pass of the loop."""

    id: str  # sorts by time
    project: str
    started_at: datetime  # UTC
    finished_at: datetime | None = None
    fence: int = 0  # number of the lease under which it was last written
    forced: bool = False
    stage: str | None = None  # the last stage that is done; None: none yet
    outcome: Outcome | None = None  # None: unfinished, will be resumed
    reason: str = ""
    batches: tuple[Batch, ...] = ()  # those that this cycle judges
    earlier: tuple[Batch, ...] = ()  # judged by earlier cycles, not yet part of a champion's training
    duplicates: tuple[Duplicate, ...] = ()
    validation: Validation | None = None
    prepared: Preparation | None = None
    performance: PerformanceReport | None = None
    drift: DriftReport | None = None
    decision: Decision | None = None
    data: DataVersion | None = None  # what the candidate was trained on
    candidate: Candidate | None = None
    verdict: Verdict | None = None
    promotion: Promotion | None = None
    released: str | None = None  # what the release stage did; None: not reached
    archived: tuple[str, ...] = ()  # ids of the batches moved to the archive
    provenance: Provenance | None = None
    notes: tuple[str, ...] = ()  # what else is to be known: labels that came in from the log; a report that could not be written
    timings: dict[str, float] = field(default_factory=dict)  # stage -> seconds


@dataclass(frozen=True, kw_only=True)
class ModelVersion:
    """A version in the model registry."""

    name: str  # registered model
    version: str
    run_id: str
    uri: str
    cycle: str | None  # the cycle that made it; None: made elsewhere
    metric: str | None = None
    reference: float | None = None  # metric on the holdout it was accepted on
    reference_low: float | None = None  # its interval
    reference_high: float | None = None
    trained_at: datetime | None = None
    content_hash: str | None = None
    code: str | None = None  # fingerprint of the project's code it was trained with
    prepared: str | None = None  # fingerprint of the code and settings that prepared its rows
    outside: bool = False  # registered from a file: what it was trained on is unknown


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The right to work on a project, until it expires or is released."""

    project: str
    holder: str  # host:process:nonce
    fence: int  # grows with every new holder; the ledger refuses an old one
    since: datetime
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class JournalEntry:
    """A promotion as the journal keeps it: written before the alias moves, settled after."""

    id: str  # the cycle's id, or one of its own for a move by a person
    promotion: Promotion
    status: str  # intended, done, abandoned
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Training:
    """That a cycle trained and what came of it: what cool-down, budget and error spending count."""

    cycle: str
    at: datetime
    trained_on: str
    champion: str | None  # version it was compared with
    gate: str | None
    conclusion: Conclusion | None


@dataclass(frozen=True, kw_only=True)
class Announcement:
    """That a version has become the champion, for whatever delivers it."""

    move: str  # id of the journal's row
    version: str
    source: str  # promotion, promotion_by_hand, rollback, probation, registration, moved_by_hand
    metric: str | None = None
    value: float | None = None  # of the metric, on the rows that the version was accepted on; None: not known


@dataclass(frozen=True, kw_only=True)
class Alert:
    """Something to tell people, as it leaves through the ledger's outbox."""

    key: str  # names the event for good; the receiver may drop what comes twice
    project: str
    event: Event
    severity: Severity
    title: str  # one line
    text: str  # a few lines: what happened, why, what to do
    at: datetime  # when it happened, UTC
    cycle: str | None = None  # the cycle it happened in
    subject: str = ""  # what a recovery refers to: alerts of one event and subject belong together
    announcement: Announcement | None = None  # of the event `release`, and of no other


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What has become of an alert to one receiver in the outbox."""

    alert: Alert
    receiver: str  # who is told, as `Notifier.receivers` names them; empty for an alert that is for nobody
    status: str  # pending, sent, suppressed
    attempts: int = 0  # counts the claims too: who was overtaken settles nothing
    not_before: datetime | None = None  # when it may be tried next
    sent_at: datetime | None = None
    reason: str = ""  # why it was suppressed, or how the last attempt failed
