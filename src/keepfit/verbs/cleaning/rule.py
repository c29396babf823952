"""What may go. A pure function: facts in, removals with their reasons out.

First it is settled which model versions stay. Everything else follows: what a version that stays rests on (its run, the way its
rows were prepared, the code) is needed, and so is what a cycle under way may look for. The rest goes once it is old enough, and,
where things of a kind are counted, is not among the latest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property

from keepfit.ports import OldRun, OldVersion


class Kind(StrEnum):
    """What piles up."""

    VERSION = "model version"  # its entry in the registry
    TRAINING = "training run"  # with the model and all its files
    MONITORING = "monitoring run"
    DATA = "data version"
    ROWS = "prepared rows"  # and the settings they were prepared with
    PROFILE = "profile"  # of a cycle's new rows
    REFERENCE = "reference"  # a copy of the one kept with a version
    PAGE = "report page"
    CHECK = "check result"
    CODE = "code copy"
    LOG = "logged day"  # of the prediction log, beyond serve.log.keep
    SERVED = "served version"  # in the cache of this machine's servers
    ALERT = "alert"  # that was settled
    SCRATCH = "scratch"  # left behind by a process that died


# Of these the latest stay, however old they are. The others follow from the versions, or are of no use to anybody.
COUNTED = frozenset({Kind.MONITORING, Kind.PROFILE, Kind.PAGE, Kind.CHECK, Kind.ALERT})

# These are old already when they are found, by a measure of their own.
OWN_REASON = {Kind.SCRATCH: "its process has died", Kind.LOG: "beyond serve.log.keep; answers whose label waits to be taken stay"}


@dataclass(frozen=True, kw_only=True)
class Thing:
    """One thing that lies somewhere."""

    kind: Kind
    name: str
    at: datetime  # when it was made, or used last, UTC
    of: frozenset[str] = frozenset()  # what it is for, as `run`, `way`, `code`, `cycle`, `version` name it below
    size: int = 0  # bytes
    theirs: bool = False  # another project's, which keeps it in the same place


@dataclass(frozen=True, kw_only=True)
class Expected:
    """A version that is in the registry, unless that is another one, or was put back to an earlier state."""

    version: str
    run: str | None  # that made it; None: the ledger does not know
    why: str  # it must be there


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that decides what may go."""

    now: datetime
    older: timedelta
    keep: int
    versions: tuple[OldVersion, ...] = ()
    runs: tuple[OldRun, ...] = ()
    things: tuple[Thing, ...] = ()
    named: Mapping[str, str] = field(default_factory=dict)  # version -> why it is needed: the journal names it, ...
    expected: tuple[Expected, ...] = ()  # the versions that must be there
    trained: Sequence[str] = ()  # the cycles that trained, newest first
    cycles: frozenset[str] = frozenset()  # all that the ledger knows
    unfinished: frozenset[str] = frozenset()
    today: frozenset[str] = frozenset()  # what things are for now, whatever becomes of the versions
    monitoring: str = "ModelMonitoring"  # name of the runs that judge; every other trains

    @cached_property
    def latest(self) -> frozenset[str]:
        """The numbers of the latest versions."""
        return frozenset(sorted((each.version for each in self.versions), key=int, reverse=True)[: self.keep])

    @cached_property
    def training(self) -> frozenset[str]:
        """The cycles that trained."""
        return frozenset(self.trained)


@dataclass(frozen=True, kw_only=True)
class Removal:
    """Something that may go, or has gone."""

    kind: Kind
    name: str
    why: str
    size: int = 0  # bytes


def run(id: str) -> str:
    return f"run {id}"


def way(fingerprint: str) -> str:
    """One way of preparing rows."""
    return f"way {fingerprint}"


def code(fingerprint: str) -> str:
    return f"code {fingerprint}"


def cycle(id: str) -> str:
    """A cycle under way."""
    return f"cycle {id}"


def training(id: str) -> str:
    """A cycle whose version stays, and its data with it."""
    return f"training {id}"


def version(number: str) -> str:
    return f"version {number}"


def missing(facts: Facts) -> Expected | None:
    """The first version that must be there and is not. One that another run has made is not it, though it has its number."""
    there = {each.version: each.run for each in facts.versions}
    return next((each for each in facts.expected if not _is_there(each, there)), None)


def _is_there(each: Expected, there: Mapping[str, str]) -> bool:
    return each.version in there and each.run in (None, there[each.version])


def what_may_go(facts: Facts) -> list[Removal]:
    """In the order in which it is removed: what refers to something goes before that."""
    staying = {each.version: why for each in facts.versions if (why := why_it_stays(each, facts))}
    under_way = {name(id) for id in facts.unfinished for name in (cycle, training)}
    latest = {training(id) for id in facts.trained[: facts.keep]}
    needed = facts.today | under_way | latest | {key for each in facts.versions for key in _rests_on(each, staying)}
    return [*_versions(facts, staying), *_runs(facts, staying), *_things(facts, needed)]


def why_it_stays(each: OldVersion, facts: Facts) -> str:
    """The reason for which a version stays; empty where there is none."""
    if each.aliases:
        return f"the alias {each.aliases[0]} points to it"
    if each.version in facts.named:
        return facts.named[each.version]
    if each.cycle is None or each.cycle not in facts.training:
        return "no cycle of this project has trained it"
    if each.cycle in facts.unfinished:
        return "its cycle is under way"
    if each.cycle in facts.trained[: facts.keep]:
        return f"its cycle is one of the latest {facts.keep} that trained"
    if each.version in facts.latest:
        return f"it is one of the latest {facts.keep}"
    return "" if _is_old(each.at, facts) else f"it is younger than {_days(facts.older)}"


def _rests_on(each: OldVersion, staying: Mapping[str, str]) -> set[str]:
    """What a version needs, if it stays."""
    if each.version not in staying:
        return set()
    known = (run(each.run), way(each.prepared or ""), code(each.code or ""), training(each.cycle or ""))
    return {version(each.version), *known}


def _versions(facts: Facts, staying: Mapping[str, str]) -> Iterator[Removal]:
    for each in facts.versions:
        if each.version not in staying:
            yield Removal(kind=Kind.VERSION, name=each.version, why=f"{_age(each.at, facts)} and needed by nothing")


def _runs(facts: Facts, staying: Mapping[str, str]) -> Iterator[Removal]:
    """A run that trained goes with the last version that was made from it, one that judged when it is not among the latest."""
    going = {f"{each.name}/{each.version}" for each in facts.versions if each.version not in staying}
    ours = [each for each in facts.runs if _is_ours(each, facts) and each.cycle not in facts.unfinished]
    judged = sorted((each for each in ours if each.name == facts.monitoring), key=lambda each: (each.at, each.id), reverse=True)
    latest = {each.id for each in judged[: facts.keep]}
    for each in ours:
        if each.id in latest or not going.issuperset(each.users) or not _is_old(each.at, facts):
            continue
        if each.name == facts.monitoring:
            yield Removal(kind=Kind.MONITORING, name=each.id, why=f"{_age(each.at, facts)} and not among the latest {facts.keep}")
        else:
            why = "its model version goes" if each.users else "it has no model version"
            yield Removal(kind=Kind.TRAINING, name=each.id, why=f"{_age(each.at, facts)}, and {why}")


def _is_ours(each: OldRun, facts: Facts) -> bool:
    """Others may use the same experiment. A registration from a file has a name of its own, and is a person's."""
    return each.cycle in facts.cycles


def _things(facts: Facts, needed: frozenset[str]) -> Iterator[Removal]:
    for kind in Kind:
        mine = [each for each in facts.things if each.kind is kind and not each.theirs]
        mine.sort(key=lambda each: (each.at, each.name), reverse=True)
        for each in mine[facts.keep :] if kind in COUNTED else mine:
            if kind is Kind.DATA and each.name not in facts.cycles:
                continue  # others may keep theirs in the same place
            if kind in OWN_REASON:
                yield Removal(kind=kind, name=each.name, why=OWN_REASON[kind], size=each.size)
            elif not each.of & needed and _is_old(each.at, facts):
                why = f"not among the latest {facts.keep}" if kind in COUNTED else "needed by nothing"
                yield Removal(kind=kind, name=each.name, why=f"{_age(each.at, facts)} and {why}", size=each.size)


def _is_old(moment: datetime, facts: Facts) -> bool:
    return moment < facts.now - facts.older


def _age(moment: datetime, facts: Facts) -> str:
    return f"{_days(facts.now - moment)} old"


def _days(span: timedelta) -> str:
    """
    >>> _days(timedelta(days=90)), _days(timedelta(hours=5)), _days(timedelta(seconds=1))
    ('90 days', '5 hours', '0 hours')
    """
    return f"{span.days} days" if span.days >= 2 else f"{int(span.total_seconds() // 3600)} hours"
