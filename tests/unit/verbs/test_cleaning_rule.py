"""What may go, and above all what may not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepfit.ports import OldRun, OldVersion
from keepfit.verbs.cleaning import rule
from keepfit.verbs.cleaning.rule import COUNTED, Expected, Facts, Kind, Removal, Thing, missing, what_may_go, why_it_stays

NOW = datetime(2026, 6, 1, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=200)
MODEL = "walk"
JUDGES = "ModelMonitoring"


def old(number: int, **parts: Any) -> OldVersion:
    """A version that its cycle trained long ago."""
    given = {"run": f"r{number}", "cycle": f"c{number}", "at": LONG_AGO, "prepared": f"w{number}", "code": f"k{number}", **parts}
    return OldVersion(name=MODEL, version=str(number), **given)


def run_of(version: OldVersion) -> OldRun:
    return OldRun(
        id=version.run, name="ModelRetraining", cycle=version.cycle or "", at=version.at, users=(f"{MODEL}/{version.version}",)
    )


def facts(*versions: OldVersion, keep: int = 1, **parts: Any) -> Facts:
    cycles = [each.cycle for each in reversed(versions) if each.cycle]
    known = {"runs": tuple(map(run_of, versions)), "trained": cycles, "cycles": frozenset(cycles), **parts}
    return Facts(now=NOW, older=timedelta(days=90), keep=keep, versions=versions, **known)


def going(facts: Facts, *kinds: Kind) -> list[str]:
    return [each.name for each in what_may_go(facts) if not kinds or each.kind in kinds]


def test_an_old_version_that_nobody_needs_goes_with_its_run() -> None:
    assert [(each.kind, each.name) for each in what_may_go(facts(old(1), old(2)))] == [(Kind.VERSION, "1"), (Kind.TRAINING, "r1")]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"versions": (old(1, aliases=("theirs",)), old(2))}, "alias theirs"),
        ({"versions": (old(1, at=NOW - timedelta(days=89)), old(2))}, "younger than 90 days"),
        ({"versions": (old(1, cycle=None), old(2))}, "no cycle of this project"),
        ({"versions": (old(1, cycle="file-0123"), old(2))}, "no cycle of this project"),
        ({"named": {"1": "the journal names it"}}, "journal"),
        ({"unfinished": frozenset({"c1"})}, "under way"),
        ({"keep": 2}, "latest 2 that trained"),
        ({"keep": 2, "trained": ("c9", "c8", "c2", "c1")}, "one of the latest 2"),
    ],
)
def test_a_version_stays_for_any_of_these_reasons(changes: dict[str, Any], why: str) -> None:
    before = facts(old(1), old(2))
    assert "1" in going(before, Kind.VERSION)
    after = replace(before, **changes)
    assert "1" not in going(after, Kind.VERSION)
    assert "r1" not in going(after), "its files stay with it"
    assert why in why_it_stays(after.versions[0], after)


def test_a_run_that_somebody_elses_model_was_made_from_stays() -> None:
    whole = facts(old(1), old(2))
    shared = replace(whole.runs[0], users=("walk/1", "theirs/4"))
    assert going(replace(whole, runs=(shared, whole.runs[1]))) == ["1"]


def test_a_run_whose_version_went_before_is_found_again() -> None:
    orphan = OldRun(id="r1", name="ModelRetraining", cycle="c1", at=LONG_AGO)
    assert going(facts(old(2), runs=(orphan,), cycles=frozenset({"c1", "c2"}))) == ["r1"]
    assert going(facts(old(2), runs=(orphan,), cycles=frozenset({"c2"}))) == [], "another project's, in the same experiment"
    assert going(facts(old(2), runs=(orphan,), cycles=frozenset({"c1"}), unfinished=frozenset({"c1"}))) == []


def test_of_the_runs_that_judge_the_latest_stay() -> None:
    runs = tuple(OldRun(id=f"m{day}", name=JUDGES, cycle=f"c{day}", at=LONG_AGO + timedelta(days=day)) for day in range(4))
    others = OldRun(id="m9", name=JUDGES, cycle="theirs", at=NOW)
    known = frozenset(f"c{day}" for day in range(4))
    assert going(facts(runs=(*runs, others), cycles=known, keep=3)) == ["m0"]


def test_what_rests_on_a_version_goes_with_it_alone() -> None:
    things = tuple(
        Thing(kind=kind, name=f"{kind} {number}", at=LONG_AGO, of=frozenset({of(f"{letter}{number}")}))
        for number in (1, 2)
        for kind, of, letter in [
            (Kind.ROWS, rule.way, "w"),
            (Kind.CODE, rule.code, "k"),
            (Kind.REFERENCE, rule.run, "r"),
            (Kind.SERVED, rule.version, ""),
        ]
    )
    whole = facts(old(1), old(2), things=things)
    gone = going(whole, Kind.ROWS, Kind.CODE, Kind.REFERENCE, Kind.SERVED)
    assert sorted(gone) == sorted(each.name for each in things if each.name.endswith("1"))
    today = replace(whole, today=frozenset({rule.way("w1"), rule.code("k1")}))
    assert sorted(going(today, Kind.ROWS, Kind.CODE, Kind.REFERENCE)) == ["reference 1"], "what is prepared today is needed"


def test_data_stay_with_their_version_with_the_latest_trainings_and_with_other_projects() -> None:
    kept = tuple(
        Thing(kind=Kind.DATA, name=name, at=LONG_AGO, of=frozenset({rule.training(name)})) for name in ("c1", "c2", "c3", "x")
    )
    whole = facts(old(1, aliases=("champion",)), old(2), old(3), things=kept)
    assert going(whole, Kind.DATA) == ["c2"]
    assert going(replace(whole, unfinished=frozenset({"c2"})), Kind.DATA) == []


def test_what_other_projects_keep_in_the_same_place_stays_and_is_not_counted() -> None:
    things = tuple(
        Thing(kind=kind, name=f"{kind} {whose}", at=LONG_AGO + timedelta(days=theirs), theirs=bool(theirs))
        for kind in (Kind.ROWS, Kind.PROFILE, Kind.REFERENCE)
        for whose, theirs in (("ours", 0), ("theirs", 1))
    )
    assert going(facts(things=things)) == ["prepared rows ours", "reference ours"], "of the profiles, ours is the latest of ours"


@pytest.mark.parametrize(
    ("number", "run", "there"), [("2", "r2", True), ("2", None, True), ("2", "r9", False), ("3", "r3", False), ("3", None, False)]
)
def test_a_version_that_must_be_there_is_so_by_its_number_and_its_run(number: str, run: str | None, there: bool) -> None:
    wanted = Expected(version=number, run=run, why="it is the champion")
    known = Expected(version="1", run="r1", why="a server answers with it")
    assert missing(facts(old(1), old(2), expected=(known, wanted))) == (None if there else wanted)


def test_what_the_dead_left_behind_goes_however_young() -> None:
    assert going(facts(things=(Thing(kind=Kind.SCRATCH, name=".a.1.tmp", at=NOW),), keep=5)) == [".a.1.tmp"]


# ------------------------------------------------------------------------------------------------------ any circumstances

NUMBERS = st.integers(1, 8)
MOMENTS = st.integers(0, 200).map(lambda days: NOW - timedelta(days=days))
PURPOSES = st.one_of(
    *(
        NUMBERS.map(lambda number, of=of, letter=letter: of(f"{letter}{number}"))
        for of, letter in (
            (rule.run, "r"),
            (rule.way, "w"),
            (rule.code, "k"),
            (rule.cycle, "c"),
            (rule.training, "c"),
            (rule.version, ""),
        )
    )
)
CYCLES = st.frozensets(NUMBERS.map(lambda number: f"c{number}"))


@st.composite
def circumstances(draw: st.DrawFn) -> Facts:
    numbers = draw(st.lists(NUMBERS, unique=True))
    versions = tuple(
        old(
            number,
            at=draw(MOMENTS),
            cycle=draw(st.sampled_from([None, f"c{number}"])),
            aliases=draw(st.sampled_from([(), (), ("champion",)])),
            prepared=draw(st.sampled_from([None, f"w{number}", "w1"])),
        )
        for number in numbers
    )
    runs = tuple(
        OldRun(
            id=f"r{number}",
            name=draw(st.sampled_from(["ModelRetraining", JUDGES])),
            cycle=f"c{number}",
            at=draw(MOMENTS),
            users=draw(st.sampled_from([(), (f"{MODEL}/{number}",) if number in numbers else (), ("theirs/1",)])),
        )
        for number in draw(st.lists(NUMBERS, unique=True))
    )
    things = st.builds(
        Thing, kind=st.sampled_from(Kind), name=st.uuids().map(str), at=MOMENTS, of=st.frozensets(PURPOSES, max_size=2)
    )
    return Facts(
        now=NOW,
        older=timedelta(days=draw(st.integers(0, 150))),
        keep=draw(st.integers(1, 4)),
        versions=versions,
        runs=runs,
        things=tuple(draw(st.lists(things, max_size=12))),
        named=draw(st.dictionaries(NUMBERS.map(str), st.just("named"), max_size=3)),
        trained=draw(st.lists(NUMBERS.map(lambda number: f"c{number}"), unique=True)),
        cycles=draw(CYCLES),
        unfinished=draw(CYCLES),
        today=draw(st.frozensets(PURPOSES, max_size=2)),
    )


def after(facts: Facts, removals: list[Removal]) -> Facts:
    """The circumstances once this has gone."""
    gone = {(each.kind, each.name) for each in removals}
    versions = tuple(each for each in facts.versions if (Kind.VERSION, each.version) not in gone)
    there = {f"{each.name}/{each.version}" for each in versions} | {"theirs/1"}
    runs = (each for each in facts.runs if not {(Kind.TRAINING, each.id), (Kind.MONITORING, each.id)} & gone)
    return replace(
        facts,
        versions=versions,
        runs=tuple(replace(each, users=tuple(user for user in each.users if user in there)) for each in runs),
        things=tuple(each for each in facts.things if (each.kind, each.name) not in gone),
    )


@given(circumstances())
def test_nothing_that_is_needed_ever_goes(facts: Facts) -> None:
    removals = what_may_go(facts)
    gone = {(each.kind, each.name) for each in removals}
    left = after(facts, removals)
    for each in facts.versions:
        if (Kind.VERSION, each.version) in gone:
            assert not each.aliases
            assert each.version not in facts.named
            assert each.cycle in facts.trained
            assert each.cycle not in facts.unfinished
            assert each.at < NOW - facts.older
    needed = set(facts.today)
    for each in left.versions:
        needed |= {rule.run(each.run), rule.way(each.prepared or ""), rule.code(each.code or ""), rule.version(each.version)}
        needed |= {rule.training(each.cycle or "")}
    for id in facts.unfinished:
        needed |= {rule.cycle(id), rule.training(id)}
    for thing in facts.things:
        if (thing.kind, thing.name) in gone and thing.kind not in (Kind.SCRATCH, Kind.LOG):
            assert not thing.of & needed
            assert thing.at < NOW - facts.older
    for run in facts.runs:
        if {(Kind.TRAINING, run.id), (Kind.MONITORING, run.id)} & gone:
            assert not {f"{each.name}/{each.version}" for each in left.versions} & set(run.users)
            assert "theirs/1" not in run.users
            assert run.cycle in facts.cycles - facts.unfinished


@given(circumstances())
def test_the_latest_of_what_is_counted_stay(facts: Facts) -> None:
    left = after(facts, what_may_go(facts))
    for kind in COUNTED - {Kind.MONITORING}:
        before = sorted((each.at, each.name) for each in facts.things if each.kind is kind)
        assert before[-facts.keep :] == sorted((each.at, each.name) for each in left.things if each.kind is kind)[-facts.keep :]
    numbers = sorted(int(each.version) for each in facts.versions)
    assert numbers[-facts.keep :] == sorted(int(each.version) for each in left.versions)[-facts.keep :]


@given(circumstances())
def test_once_all_has_gone_nothing_more_may_go(facts: Facts) -> None:
    assert what_may_go(after(facts, what_may_go(facts))) == []


@settings(max_examples=50)
@given(circumstances(), st.data())
def test_what_was_cut_off_anywhere_is_gone_on_with(facts: Facts, data: st.DataObject) -> None:
    planned = what_may_go(facts)
    done = planned[: data.draw(st.integers(0, len(planned)))]
    rest = what_may_go(after(facts, done))
    names = [(each.kind, each.name) for each in planned]
    assert [(each.kind, each.name) for each in (*done, *rest)] == names


@given(circumstances())
def test_to_ask_for_more_to_be_kept_removes_nothing_else(facts: Facts) -> None:
    before = {(each.kind, each.name) for each in what_may_go(facts)}
    for careful in (replace(facts, keep=facts.keep + 1), replace(facts, older=facts.older + timedelta(days=30))):
        assert {(each.kind, each.name) for each in what_may_go(careful)} <= before
