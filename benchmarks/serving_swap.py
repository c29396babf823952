"""Fifty promotions under load: two servers of two workers each on one project and one log."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import measure, serving_load, serving_projects, serving_servers
from benchmarks.measure import Failed, Limit, Row

PROMOTIONS = 50
REPLICAS, WORKERS, CONNECTIONS = 2, 2, 4
PAUSE = 1.5  # seconds between two promotions, so that each is followed before the next

# Promotes in a process of its own, as a person's script would; tells when each began, when the alias had moved (as the registry's
# database shows it, looked at every 5 ms) and when the call came back.
PROMOTER = """\
import json, sqlite3, sys, threading, time
import keepfit
count, pause = int(sys.argv[1]), float(sys.argv[2])
moved, over = {}, threading.Event()
def look():
    database = sqlite3.connect("file:.keepfit/mlflow.db?mode=ro", uri=True, timeout=10)
    seen = None
    while not over.wait(0.005):
        version = str(database.execute("select version from registered_model_aliases where alias = 'champion'").fetchone()[0])
        if version != seen:
            seen = version
            moved.setdefault(version, []).append(time.time())
with keepfit.open(".") as project:
    champion = project.ports.registry.champion().version
    versions = [champion, "2" if champion == "1" else "1"]
    watching = threading.Thread(target=look)
    watching.start()
    moves = []
    for number in range(1, count + 1):
        began = time.time()
        project.promote(versions[number % 2], reason="benchmark")
        moves.append([began, time.time(), versions[number % 2]])
        time.sleep(max(0.0, began + pause - time.time()))
    over.set()
    watching.join()
print(json.dumps([[b, next(at for at in moved[version] if at > b), e, version] for b, e, version in moves]))
"""


@dataclass(frozen=True, kw_only=True)
class Move:
    """One promotion. Seconds since 1970."""

    began: float
    moved: float  # the registry shows the new champion
    ended: float
    version: str  # the new champion


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one request got."""

    sent: float
    answered: float
    status: int
    version: str


def rows(repeat: int) -> list[Row]:  # noqa: ARG001 (fifty promotions are many)
    """Failed requests, the latest answer of a version that had been replaced, and how long a swap took."""
    serving_servers.need_serving()
    with measure.workplace() as place, ExitStack() as servers:
        made = serving_projects.make_tabular(place / "project")
        serving_projects.add_version(made, seed=2)
        bodies = serving_load.write_bodies(made.folder / "rows.jsonl", made.rows)
        running = [servers.enter_context(serving_servers.keepfit(made.folder, WORKERS)) for _ in range(REPLICAS)]
        records = [place / f"answers-{number}.jsonl" for number in range(REPLICAS)]
        with ExitStack() as loads:
            for server, record in zip(running, records, strict=True):
                loads.enter_context(load(server.url("/predict"), bodies, record))
            moves = promoted(made.folder)
            time.sleep(PAUSE)
        answers = [read(record) for record in records]
    return judged(moves, answers)


def judged(moves: Sequence[Move], answers: Sequence[Sequence[Answer]]) -> list[Row]:
    every = [answer for replica in answers for answer in replica]
    failed = sum(answer.status != 200 for answer in every)
    swaps = [max(last_stale(moves, number, replica) for replica in answers) for number in range(len(moves))]
    measure.say(f"  {len(every):,} answers, {failed} failed; swaps {statistics.median(swaps):.2f} s, slowest {max(swaps):.2f} s")
    name = f"{len(moves)} promotions under load, {len(answers)} servers of {WORKERS} workers"
    return [
        Row(what=f"{name}: failed of {len(every):,} requests", unit="", keepfit=(failed,), bar=Limit(most=0)),
        Row(what=f"{name}: slowest stale answer", keepfit=(max(swaps),), bar=Limit(seconds=1)),
        Row(what=f"{name}: until the last worker has swapped", keepfit=tuple(swaps)),
        Row(what=f"{name}: `project.promote` itself", keepfit=tuple(move.ended - move.began for move in moves)),
    ]


def last_stale(moves: Sequence[Move], number: int, answers: Sequence[Answer]) -> float:
    """Seconds from the move of the alias until a server gave its last answer of another version."""
    move = moves[number]
    until = moves[number + 1].began if number + 1 < len(moves) else float("inf")
    first = bisect_right(answers, move.moved, key=lambda answer: answer.answered)
    stale = 0.0
    for answer in answers[first:]:
        if answer.answered >= until:
            break
        if answer.status == 200 and answer.version != move.version:
            stale = answer.answered - move.moved
    return stale


def promoted(folder: Path) -> list[Move]:
    """Raises `Failed`."""
    command = [sys.executable, "-c", PROMOTER, str(PROMOTIONS), str(PAUSE)]
    _, output = measure.run(measure.Command(arguments=command, folder=folder))
    return [
        Move(began=began, moved=moved, ended=ended, version=version)
        for began, moved, ended, version in json.loads(output.splitlines()[-1])
    ]


@contextmanager
def load(url: str, bodies: Path, record: Path) -> Iterator[None]:
    """A load that goes on until the end of the block, and writes every answer down."""
    command = [sys.executable, str(serving_load.CLIENT), url, str(bodies), "--connections", str(CONNECTIONS)]
    process = subprocess.Popen([*command, "--record", str(record)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        yield
        process.communicate(timeout=30)  # its standard input ends: it stops
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if process.returncode:
        raise Failed(f"load_client.py returned {process.returncode}")


def read(record: Path) -> list[Answer]:
    """By the time of the answer."""
    lines = record.read_text(encoding="utf-8").splitlines()
    found = [Answer(sent=s, answered=a, status=status, version=version) for s, a, status, version in map(json.loads, lines)]
    return sorted(found, key=lambda answer: answer.answered)
