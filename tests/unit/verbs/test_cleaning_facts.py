"""What housekeeping sees, and what it leaves alone."""

from __future__ import annotations

import os
import time
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from keepfit.config import Config
from keepfit.errors import Unavailable
from keepfit.live_records import AuditEntry
from keepfit.ports import Kept, OldVersion
from keepfit.records import (
    Alert,
    Batch,
    Candidate,
    Cycle,
    Delivery,
    Event,
    Outcome,
    Preparation,
    Promotion,
    Severity,
)
from keepfit.testing import MemoryLedger, SetClock
from keepfit.verbs.cleaning.facts import Limits, _expected, _in_store, _served, _stored, forgettable, gather, versions_in_use
from keepfit.verbs.cleaning.files import folders
from keepfit.verbs.cleaning.rule import Kind

START = datetime(2026, 3, 1, tzinfo=UTC)
BATCH = "ab" * 32
WAY = "0123456789abcdef"


def config_at(folder: Path, **sections: Any) -> Config:
    return Config.of({"project": {"name": "walk", "task": "classification"}, "data": {"target": "y"}, **sections}, folder)


def kept(name: str) -> Kept:
    return Kept(name=name, size=1, at=START)


@pytest.mark.parametrize(
    ("name", "kind", "of"),
    [
        (f"rows-{BATCH}-{WAY}", Kind.ROWS, f"way {WAY}"),
        (f"settings-{WAY}", Kind.ROWS, f"way {WAY}"),
        ("profile-20260301T000000-aa", Kind.PROFILE, "cycle 20260301T000000-aa"),
        ("reference-r1", Kind.REFERENCE, "run r1"),
    ],
)
def test_a_frame_is_for_what_its_name_says(name: str, kind: Kind, of: str) -> None:
    thing = _stored(kept(name))
    assert thing is not None
    assert (thing.kind, thing.of) == (kind, {of})


@pytest.mark.parametrize("name", [f"split-{BATCH}", "columns", "classes", f"aside-{BATCH}", f"rows-{BATCH}", "rows-x-y", "mine"])
def test_which_rows_judge_the_contract_and_what_is_not_known_are_never_looked_at(name: str) -> None:
    assert _stored(kept(name)) is None


# --------------------------------------------------------------------------------------------------------------- alerts


def put(ledger: MemoryLedger, key: str, event: Event, status: str = "sent", **parts: Any) -> None:
    words = {"title": "t", "text": "t", "severity": Severity.INFO, "at": START, "project": "walk"}
    alert = Alert(key=key, event=event, **{**words, **{name: parts.pop(name) for name in ("subject",) if name in parts}})
    ledger.outbox.put(Delivery(alert=alert, receiver=parts.pop("receiver", "mail"), status=status, **parts))


def test_the_last_word_on_each_condition_is_not_forgotten(tmp_path: Path) -> None:
    ledger = MemoryLedger()
    put(ledger, "d1", Event.DRIFT)
    put(ledger, "d2", Event.DRIFT)
    put(ledger, "d3", Event.DRIFT, "suppressed")
    put(ledger, "f1", Event.FAILED, subject="train")
    put(ledger, "f2", Event.FAILED, subject="collect")
    put(ledger, "r1", Event.RECOVERED, subject="drift")
    put(ledger, "r2", Event.RECOVERED, "suppressed", subject="drift")
    put(ledger, "p1", Event.PROMOTED, subject="p1")
    put(ledger, "x1", Event.RELEASE)
    put(ledger, "w1", Event.KEPT, "pending")
    found = forgettable(SimpleNamespace(ledger=ledger), config_at(tmp_path))  # type: ignore[arg-type]
    assert sorted(found) == ["d1 to mail", "d3 to mail", "p1 to mail", "r1 to mail"]


# -------------------------------------------------------------------------------------------------------------- versions


def test_who_counts_on_a_version_is_said(tmp_path: Path) -> None:
    routing = {"mode": "shadow", "challenger": "7"}
    (tmp_path / ".keepfit/serving").mkdir(parents=True)
    plan = '{"champion": {"version": "3"}, "challenger": null, "shadows": [{"version": "4"}], "number": 1}'
    (tmp_path / ".keepfit/serving/last.json").write_text(plan)
    ports = SimpleNamespace(ledger=MemoryLedger())
    found = versions_in_use(ports, config_at(tmp_path, serve={"routing": routing}))  # type: ignore[arg-type]
    assert sorted(found) == ["3", "4", "7"]
    assert "server" in found["3"]
    assert "challenger" in found["7"]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"champion": "3"}', '{"champion": {"name": 1}}', "3"])
def test_a_plan_that_cannot_be_read_names_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / ".keepfit/serving").mkdir(parents=True)
    (tmp_path / ".keepfit/serving/last.json").write_text(text)
    assert _served(config_at(tmp_path)) == set()


def trained(day: int) -> Cycle:
    """The cycle of this day, whose run `r<day>` made version `<day>`, with the file `<day>…`."""
    candidate = Candidate(
        name="a",
        parameters={},
        version=str(day),
        run_id=f"r{day}",
        uri="u",
        content_hash="h",
        rows=1,
        batches=(),
        trained_on="t",
        seed=1,
    )
    prepared = Preparation(fingerprint=f"{day}" * 16, rows=1, training=1, holdout=0, columns=("x",))
    batch = Batch(id=f"{day}" * 64, name="a.csv", size=1)
    at = START + timedelta(days=day)
    return Cycle(
        id=f"c{day}",
        project="walk",
        started_at=at,
        finished_at=at,
        candidate=candidate,
        prepared=prepared,
        batches=(batch,),
        outcome=Outcome.PROMOTED,
    )


@pytest.fixture
def ledger() -> MemoryLedger:
    """Three trained, and the first became the champion."""
    ledger = MemoryLedger()
    lease = ledger.leases.acquire("walk", "me", 60)
    for day in (1, 2, 3):
        ledger.cycles.save(trained(day), lease)
    ledger.journal.note("walk", "c1", Promotion(alias="champion", from_version=None, to_version="1"), lease)
    return ledger


def expected(ledger: MemoryLedger, config: Config, keep: int = 2) -> list[tuple[str, str | None]]:
    ports: Any = SimpleNamespace(ledger=ledger)
    found = _expected(ledger.cycles.recent("walk", 9), Limits(older=timedelta(), keep=keep), ports, config)
    return [(each.version, each.run) for each in found]


def test_the_champion_the_traffic_s_the_servers_and_the_latest_must_be_in_the_registry(
    ledger: MemoryLedger, tmp_path: Path
) -> None:
    latest = [("3", "r3"), ("2", "r2")]
    assert expected(ledger, config_at(tmp_path)) == [("1", "r1"), *latest]
    routed = config_at(tmp_path, serve={"routing": {"mode": "shadow", "challenger": "7"}})
    assert expected(ledger, routed) == [("1", "r1"), ("7", None), *latest]
    named = config_at(tmp_path, serve={"routing": {"mode": "shadow", "challenger": "an alias"}})
    assert expected(ledger, named) == [("1", "r1"), *latest], "an alias may be there tomorrow"
    made(tmp_path / ".keepfit/serving/last.json", '{"champion": {"version": "2"}}')
    assert expected(ledger, config_at(tmp_path)) == [("1", "r1"), ("2", "r2"), *latest]


def test_what_an_earlier_cleaning_may_have_removed_need_not_be_there(ledger: MemoryLedger, tmp_path: Path) -> None:
    for days, act in ((2.5, "clean"), (1, "clean"), (9, "reload")):
        ledger.audit.record("walk", AuditEntry(at=START + timedelta(days=days), actor="me", act=act, detail=""))
    assert expected(ledger, config_at(tmp_path), keep=3) == [("1", "r1"), ("3", "r3")]
    ledger.audit.record("walk", AuditEntry(at=START + timedelta(days=9), actor="me", act="clean", detail=""))
    assert expected(ledger, config_at(tmp_path), keep=3) == [("1", "r1"), ("3", "r3")], "it kept the latest"


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        ((), "no version of walk, though 3"),
        (("1 r9", "2 r2", "3 r3"), "no version 1 of walk that the run r1 made, though by the journal it is the champion"),
        (("1 r1", "2 r2"), "no version 3 of walk that the run r3 made, though the cycle c3 has trained it"),
        (("1 r1", "2 r2", "3 r3", "4 theirs"), ""),
    ],
)
def test_under_another_registry_or_an_earlier_state_of_it_nothing_is_planned(
    ledger: MemoryLedger, tmp_path: Path, versions: tuple[str, ...], said: str
) -> None:
    there = [OldVersion(name="walk", version=each.split()[0], run=each.split()[1], cycle=None, at=START) for each in versions]
    empty = SimpleNamespace(kept=list)
    ports: Any = SimpleNamespace(
        ledger=ledger,
        store=empty,
        versions=empty,
        check_results=empty,
        clock=SetClock(START),
        code=SimpleNamespace(fingerprint="f"),
    )
    ports.attic = SimpleNamespace(versions=lambda: there, runs=list)
    config = config_at(tmp_path)
    with pytest.raises(Unavailable, match=said) if said else nullcontext():
        gather(Limits(older=timedelta(), keep=2), ports, config)


def test_what_this_ledger_does_not_know_is_another_project_s(ledger: MemoryLedger, tmp_path: Path) -> None:
    ways, batches = ["1" * 16, "2" * 16, "9" * 16], ["1" * 64, "9" * 64]
    names = [f"rows-{batch}-{way}" for batch in batches for way in ways if (batch, way) != (batches[1], ways[0])]
    names += [f"settings-{way}" for way in ways] + ["profile-c1", "profile-c9", "reference-r1", "reference-r9"]
    ports: Any = SimpleNamespace(ledger=ledger, store=SimpleNamespace(kept=lambda: list(map(kept, names))))
    found = _in_store(ledger.cycles.recent("walk", 9), ports, config_at(tmp_path))
    assert [thing.name for thing in found if not thing.theirs] == [
        f"rows-{batches[0]}-{ways[0]}",
        f"rows-{batches[0]}-{ways[1]}",
        f"settings-{ways[0]}",  # those of the second way are what another project's rows were prepared with
        "profile-c1",
        "reference-r1",
    ]


# --------------------------------------------------------------------------------------------------------------- folders


def made(path: Path, text: str = "x", age: float = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_folders_that_are_not_there_are_empty(tmp_path: Path) -> None:
    assert [pile.kept() for pile in folders(config_at(tmp_path)).values()] == [[], [], [], []]


def test_only_what_keepfit_made_is_found_and_a_folder_goes_whole(tmp_path: Path) -> None:
    copies = tmp_path / ".keepfit/code"
    made(copies / WAY / "features.py", "one")
    made(copies / WAY / "deep/other.py", "three")
    made(copies / "mine/features.py")
    made(copies / "0123456789abcde0")
    (copies / "fedcba9876543210").symlink_to(tmp_path)
    code = folders(config_at(tmp_path))[Kind.CODE]
    assert sorted(each.name for each in code.kept()) == ["0123456789abcde0", WAY, "fedcba9876543210"]
    assert next(each.size for each in code.kept() if each.name == WAY) == len("one") + len("three")
    for each in code.kept():
        code.remove(each.name)
        code.remove(each.name)  # gone already is fine
    assert [path.name for path in copies.iterdir()] == ["mine"]
    assert (tmp_path / ".keepfit").is_dir(), "what a link points to stays"


def test_what_a_living_process_or_nobody_knows_writes_is_not_scratch(tmp_path: Path) -> None:
    state, versions = tmp_path / ".keepfit", tmp_path / ".keepfit/serving/versions"
    dead = [made(state / ".mlflow.db.4194305.tmp"), made(tmp_path / "reports/.keepfit.html.4194305.tmp")]
    dead += [made(state / f"code/.{WAY}.tmp", age=100_000), made(versions / ".gone-3-ab-12/x").parent]
    making = made(versions / ".making-3-abcd/x").parent
    for path in (
        state / f".mlflow.db.{os.getpid()}.tmp",
        state / "code/.fedcba9876543210.tmp",
        state / ".mine.tmp",
        state / "ledger.db",
    ):
        made(path)
    scratch = folders(config_at(tmp_path))[Kind.SCRATCH]
    assert sorted(each.name for each in scratch.kept()) == sorted(str(path.relative_to(tmp_path)) for path in dead)
    os.utime(making, (time.time() - 100_000,) * 2)
    for each in scratch.kept():
        scratch.remove(each.name)
    assert scratch.kept() == []
    assert not any(path.exists() for path in (*dead, making))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may remove anything")
def test_what_may_not_be_removed_is_named(tmp_path: Path) -> None:
    page = made(tmp_path / "reports/evidently/data_drift_20260101T000000.html")
    page.parent.chmod(0o500)
    pages = folders(config_at(tmp_path))[Kind.PAGE]
    try:
        with pytest.raises(Unavailable, match="evidently"):
            pages.remove(page.name)
    finally:
        page.parent.chmod(0o700)


def test_a_page_is_as_old_as_its_last_change(tmp_path: Path) -> None:
    made(tmp_path / "reports/evidently/regression_20260101T000000.html", age=86_400)
    [page] = folders(config_at(tmp_path))[Kind.PAGE].kept()
    assert abs(datetime.now(UTC) - timedelta(days=1) - page.at) < timedelta(minutes=5)
