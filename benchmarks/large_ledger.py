"""Whether keepfit grows slow with age: a ledger of 10,000 cycles and 100,000 batches against one that has just begun."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import measure, projects
from benchmarks.measure import Command, Limit, Row

if TYPE_CHECKING:
    from keepfit.records import Batch, Candidate, Cycle, PerformanceReport

CYCLES = 10_000
BATCHES = 10  # of each cycle
PROMOTED = 20  # one cycle in so many
PROJECT = "sms-spam"  # as in projects.KEEPFIT_TOML


def rows(repeat: int) -> list[Row]:
    """The two projects differ in nothing but the ledger."""
    measure.need_keepfit()
    with measure.workplace() as place:
        large, young = (make(place / name) for name in ("large", "young"))
        began = time.perf_counter()
        fill(large / ".keepfit" / "ledger.db")
        measure.say(f"  {CYCLES:,} cycles and {CYCLES * BATCHES:,} batches written in {time.perf_counter() - began:.1f} s")
        verbs = ("status", "history", "run")
        timings = measure.in_turn(
            {
                f"keepfit {verb}, {name}": Command(arguments=[measure.KEEPFIT, verb], folder=folder)
                for verb in verbs
                for name, folder in (("large", large), ("young", young))
            },
            repeat,
            warm=True,
        )
    return [
        Row(
            what=f"keepfit {verb}, {CYCLES:,} cycles, {CYCLES * BATCHES:,} batches",
            keepfit=timings[f"keepfit {verb}, large"].seconds,
            peer=timings[f"keepfit {verb}, young"].seconds,
            against="the same with 1 cycle",
            bar=Limit(share=2.0),
        )
        for verb in verbs
    ]


def make(folder: Path) -> Path:
    """A project after its first cycle."""
    measure.say(f"  making the project {folder.name}")
    return projects.make_with_champion(folder)


def fill(path: Path) -> None:
    """Write the past through the ledger's own adapter, one checkpoint a cycle, as years of runs would have."""
    from keepfit.adapters.ledger_sql import open_ledger

    ledger = open_ledger(f"sqlite:///{path}")
    try:
        lease = ledger.leases.acquire(PROJECT, "benchmark", 600)
        for cycle in past():
            ledger.cycles.save(cycle, lease)
            if cycle.promotion:
                ledger.journal.intend(PROJECT, cycle.id, cycle.promotion, lease)
                ledger.journal.settle(PROJECT, cycle.id, "done", lease)
        ledger.leases.release(lease)
    finally:
        ledger.close()


def past() -> Iterator[Cycle]:
    """One cycle an hour, the last one an hour ago; every batch archived, one cycle in twenty promoted."""
    from keepfit.records import Action, Conclusion, Cycle, Decision, Outcome, Promotion, Signal, Verdict

    first = datetime.now(UTC) - timedelta(hours=CYCLES)
    healthy = Decision(
        action=Action.NO_ACTION,
        reasons=("nothing calls for a retraining",),
        signals=(Signal(name="new_rows", fired=False, reason="100 of 500 new rows", value=100, threshold=500),),
    )
    wanted = replace(healthy, action=Action.RETRAIN, reasons=("500 new rows",))
    verdict = Verdict(
        gate="non_inferior",
        passed=True,
        conclusion=Conclusion.PASSED,
        reason="not worse by more than 0.05",
        metric="f1",
        greater_is_better=True,
        champion=0.93,
        challenger=0.94,
        difference=0.01,
        interval=None,
        test="bootstrap",
        p_value=0.001,
        alpha=0.025,
        comparison=1,
        n=500,
        units=500,
        negative_flips=2,
    )
    for number in range(CYCLES):
        at = first + timedelta(hours=number)
        moved = Promotion(alias="champion", from_version=str(number // PROMOTED), to_version=str(number // PROMOTED + 1), at=at)
        promoted = number % PROMOTED == 0
        files = batches(number, at)
        yield Cycle(
            id=f"{at:%Y%m%dT%H%M%S}-{number:06d}",
            project=PROJECT,
            started_at=at,
            finished_at=at + timedelta(seconds=5),
            stage="archive" if promoted else "decide",
            outcome=Outcome.PROMOTED if promoted else Outcome.HEALTHY,
            reason="the challenger is not worse" if promoted else "nothing to do",
            batches=files,
            performance=performance(number),
            decision=wanted if promoted else healthy,
            candidate=candidate(number, files) if promoted else None,
            verdict=verdict if promoted else None,
            promotion=moved if promoted else None,
            archived=tuple(batch.id for batch in files),
            timings={"collect": 0.01, "validate": 0.5, "monitor": 0.2, "decide": 0.001},
        )


def batches(number: int, at: datetime) -> tuple[Batch, ...]:
    from keepfit.records import Batch, BatchState, Place

    return tuple(
        Batch(
            id=hashlib.sha256(f"{number}/{file}".encode()).hexdigest(),
            name=f"messages-{number}-{file}.csv",
            size=2_000,
            rows=10,
            state=BatchState.ARCHIVED,
            place=Place.ARCHIVE,
            arrived_at=at,
        )
        for file in range(BATCHES)
    )


def performance(number: int) -> PerformanceReport:
    from keepfit.records import Interval, PerformanceReport

    return PerformanceReport(
        champion=str(number // PROMOTED),
        metric="f1",
        greater_is_better=True,
        value=0.93,
        interval=Interval(low=0.9, high=0.96),
        n=100,
        units=100,
        rows=100,
        reference=0.94,
    )


def candidate(number: int, files: tuple[Batch, ...]) -> Candidate:
    from keepfit.records import Candidate

    version = str(number // PROMOTED + 1)
    return Candidate(
        name="LogisticRegression",
        parameters={"classifier__C": "10.0"},
        version=version,
        run_id=hashlib.sha256(version.encode()).hexdigest()[:32],
        uri=f"models:/{PROJECT}/{version}",
        content_hash=hashlib.sha256(f"model {version}".encode()).hexdigest(),
        rows=10 * BATCHES,
        batches=tuple(batch.id for batch in files),
        trained_on=hashlib.sha256(f"rows {version}".encode()).hexdigest(),
        seed=0,
    )
