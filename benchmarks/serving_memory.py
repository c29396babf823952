"""Whether a worker grows: its memory over a million requests, or as many as fit."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks import measure, serving_load, serving_projects, serving_servers
from benchmarks.measure import Limit, Row

REQUESTS = 1_000_000
MINUTE = 60.0  # seconds for each of --repeat
SLICE = 5.0  # seconds of one load
MB = 1_000_000


def rows(repeat: int) -> list[Row]:
    """A million requests over 16 connections, but no more than `repeat` minutes of them."""
    serving_servers.need_serving()
    with measure.workplace() as place:
        made = serving_projects.make_tabular(place / "project")
        bodies = serving_load.write_bodies(made.folder / "rows.jsonl", made.rows)
        with serving_servers.keepfit(made.folder) as server:
            answered, sizes = asked(server, server.url("/predict"), bodies, repeat * MINUTE)
    found = []
    for who, seen in sizes.items():
        first = next(size for count, size in seen if count >= answered / 10)
        measure.say(f"  {who}: {first:.0f} MB after a tenth, {seen[-1][1]:.0f} MB after {answered:,} answers")
        found.append(
            Row(
                what=f"memory of the {who} after {answered:,} answers",
                unit="MB",
                keepfit=(seen[-1][1],),
                peer=(first,),
                against="after the first tenth of them",
                # The office holds the segments that it is writing; how much, goes up and down with them.
                bar=Limit(share=1.1) if who == "worker" else None,
            )
        )
    return found


def asked(server: serving_servers.Server, url: str, bodies: Path, seconds: float) -> tuple[int, dict[str, list[tuple[int, float]]]]:
    """Answers, and of the worker and the office (answers so far, megabytes) after each slice."""
    people = {"worker": server.workers[0], "office": server.office}
    sizes: dict[str, list[tuple[int, float]]] = {who: [] for who in people}
    answered, until = 0, time.monotonic() + seconds
    while answered < REQUESTS and time.monotonic() < until:
        answered += serving_load.put_on(url, bodies, 16, SLICE).requests
        for who, process in people.items():
            sizes[who].append((answered, process.memory_info().rss / MB))
    return answered, sizes
