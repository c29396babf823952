"""Looking for drift in tables: against Evidently and a loop over scipy's KS, in time, in memory, and by the reference's size."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.measure import Command, Failed, Limit, Row

ONCE = Path(__file__).with_name("drift_once.py")
NUMBERS, CATEGORIES = 16, 4
SHIFTED = "number 0"
SIZES = {10_000: 30, 100_000: 30, 1_000_000: 50}  # rows on each side -> how many times faster than Evidently, from scratch
PROFILED = 100  # times faster at the largest size with the reference's profile at hand
MOST_EVIDENTLY = 100_000  # rows above which Evidently runs once only: a minute each


@dataclass(frozen=True, kw_only=True)
class Took:
    """What one tool took with one pair of files."""

    seconds: tuple[float, ...]
    whole: float  # seconds of the process
    megabytes: float  # peak of its memory


def rows(repeat: int) -> list[Row]:
    """Frames in memory; then whole processes on Parquet files; then by the size of the reference."""
    measure.need_keepfit()
    measure.need_peers()
    found: list[Row] = []
    with measure.workplace() as place:
        for size, times in SIZES.items():
            before, after = write(place, size, shift=0.0), write(place, size, shift=0.5)
            took = {
                tool: once(tool, before, after, 1 if tool == "evidently" and size > MOST_EVIDENTLY else repeat)
                for tool in ("keepfit", "profiled", "scipy", "evidently")
            }
            found += in_memory(
                f"{size:,} x {NUMBERS + CATEGORIES} each side", took, times, PROFILED if size == max(SIZES) else None
            )
        whole = once("process", before, after, repeat)
        found += as_processes(whole, took["evidently"])
        found.append(by_reference(place, max(repeat, 5)))
    return found


def in_memory(what: str, took: dict[str, Took], times: int, times_profiled: int | None) -> list[Row]:
    keepfit, profiled, peer = took["keepfit"].seconds, took["profiled"].seconds, took["evidently"].seconds
    against = "Evidently's DataDriftPreset"
    bar = Limit(share=1 / times_profiled) if times_profiled else None
    return [
        Row(what=what, keepfit=keepfit, peer=peer, against=against, bar=Limit(share=1 / times)),
        Row(what=f"{what}, reference profiled", keepfit=profiled, peer=peer, against=against, bar=bar),
        Row(
            what=f"{what}, numbers only for the peer",
            keepfit=keepfit,
            peer=took["scipy"].seconds,
            against="a loop of scipy's ks_2samp",
        ),
    ]


def as_processes(whole: Took, evidently: Took) -> list[Row]:
    return [
        Row(
            what="keepfit drift, Parquet to verdict", keepfit=whole.seconds, peer=(evidently.whole,), against="Evidently, likewise"
        ),
        Row(
            what="the same, peak of memory",
            unit="MB",
            keepfit=(whole.megabytes,),
            peer=(evidently.megabytes,),
            against="Evidently, likewise",
            bar=Limit(share=1 / 4),
        ),
    ]


def by_reference(place: Path, repeat: int) -> Row:
    """The same new rows against the profile of a small and of a large reference."""
    large, small = (write(place, size, shift=0.0, columns=4) for size in (10_000_000, 10_000))
    new = write(place, 10_000, shift=0.5, columns=4)
    took = [once("profiled", reference, new, repeat).seconds for reference in (large, small)]
    return Row(
        what="10,000 new rows x 4 against the profile of 10,000,000",
        keepfit=took[0],
        peer=took[1],
        against="of 10,000",
        bar=Limit(share=1.5),
    )


def once(tool: str, reference: Path, current: Path, repeat: int) -> Took:
    """Run `drift_once.py` in a process of its own. The first of several runs warms up and is left out."""
    runs = repeat + 1 if repeat > 1 else 1
    arguments = [sys.executable, str(ONCE), tool, str(reference), str(current), "--repeat", str(runs)]
    taken, output = measure.run(Command(arguments=arguments, folder=reference.parent))
    document: dict[str, Any] = json.loads(output.splitlines()[-1])
    if SHIFTED not in document["drifted"] and tool != "evidently":
        raise Failed(f"{tool} did not find the column that was shifted; it found {document['drifted']}")
    seconds: Sequence[float] = document["seconds"]
    measure.say(f"  {tool}, {reference.name}: {statistics.median(seconds):.3f} s, {document['megabytes']:.0f} MB")
    whole = taken - sum(seconds) + statistics.median(seconds)
    return Took(seconds=tuple(seconds[1:] or seconds), whole=whole, megabytes=document["megabytes"])


def write(place: Path, size: int, *, shift: float, columns: int = NUMBERS + CATEGORIES) -> Path:
    """A table in a Parquet file; it is made once."""
    path = place / f"{size}-{columns}-{'new' if shift else 'reference'}.parquet"
    if not path.exists():
        table(size, seed=1 if shift else 0, shift=shift, columns=columns).write_parquet(path)
    return path


def table(size: int, *, seed: int, shift: float, columns: int = NUMBERS + CATEGORIES) -> Any:
    """Numbers with light tails, heavy ones and ties, and categories, in turn; the first column is moved by `shift` deviations."""
    import numpy as np
    import polars as pl

    generator = np.random.default_rng([seed, size])
    cells: dict[str, Any] = {}
    for place in range(columns):
        if place % 5 == 4:
            names = np.array([f"category {number}" for number in range(20)])
            share = 1 / np.arange(1, 21)
            cells[f"category {place}"] = names[generator.choice(20, size, p=share / share.sum())]
        elif place % 5 == 3:
            cells[f"number {place}"] = generator.poisson(4, size)
        elif place % 5 == 2:
            cells[f"number {place}"] = generator.lognormal(size=size)
        else:
            cells[f"number {place}"] = generator.normal(size=size) + (shift if place == 0 else 0.0)
    return pl.DataFrame(cells)
