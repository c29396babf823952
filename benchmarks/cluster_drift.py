"""`keepfit drift` on 10 million rows in 100 Parquet files behind an S3 address: memory, and two Dask workers against one."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.measure import Command, Failed, Limit, Row, Skipped
from benchmarks.static_s3 import BUCKET

FILES, ROWS = 100, 100_000  # of each side, and of each file
SHIFTED = "amount"
MEMORY = 1000  # MB
SERVER = Path(__file__).with_name("static_s3.py")
# One thread each: a worker that is said to have one must not use the cores of another.
ONE_THREAD = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
CLIENT = """
import json, resource
from keepfit.cli.main import main
try:
    main()
finally:
    print(json.dumps({"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A scheduler with some workers of one thread."""

    url: str
    workers: tuple[int, ...]  # their process ids

    def peak(self) -> float:
        """MB that the largest worker has held at most."""
        return max(_peak_of(pid) for pid in self.workers)


def rows(repeat: int) -> list[Row]:
    """Two clusters stand ready, one with one worker and one with two; the command asks them in turn."""
    measure.need_keepfit()
    for name in ("distributed", "s3fs"):
        if find_spec(name) is None:
            raise Skipped(f"{name} is not installed: use `make bench`")
    if not Path("/proc/self/status").exists():
        raise Skipped("the peak of a worker's memory is read from /proc, which is not here")
    with measure.workplace() as place, contextlib.ExitStack() as stack:
        write(place / "objects")
        store = stack.enter_context(served(place / "objects"))
        clusters = {count: stack.enter_context(cluster(place, count, store)) for count in (1, 2)}
        commands = {f"{count} of {count} workers": command(place, each.url, store) for count, each in clusters.items()}
        timings = measure.in_turn(commands, repeat, warm=True)
        alone, both = timings.values()
        peaks = [json.loads(timing.output.splitlines()[-1])["peak"] for timing in (alone, both)]
        workers = [each.peak() for each in clusters.values()]
    what = f"keepfit drift, {FILES * ROWS:,} rows x 8 in {FILES} files on S3"
    return [
        Row(
            what=f"{what}, two Dask workers",
            keepfit=both.seconds,
            peer=alone.seconds,
            against="one worker, the same command",
            bar=Limit(share=1 / 1.5),
        ),
        Row(what="the same, peak of memory of the command", unit="MB", keepfit=(max(peaks),), bar=Limit(most=MEMORY)),
        Row(what="the same, peak of memory of a worker", unit="MB", keepfit=(max(workers),), bar=Limit(most=MEMORY)),
    ]


def command(place: Path, url: str, store: dict[str, str]) -> Command:
    tables = [f"s3://{BUCKET}/{side}/*.parquet" for side in ("reference", "new")]
    return Command(
        arguments=[sys.executable, "-c", CLIENT, "drift", *tables, "--engine", url, "--json"],
        folder=place,
        environment=store,
        check=check,
    )


def check(output: str) -> None:
    found: dict[str, Any] = json.loads(output[: output.rindex('{"peak"')])
    counted = [found["reference"]["rows"], found["current"]["rows"]]
    drifted = [column["name"] for column in found["columns"] if column["drifted"]]
    if counted != [FILES * ROWS] * 2 or drifted != [SHIFTED]:
        raise Failed(f"of {counted} rows {drifted} are said to have drifted")


def write(folder: Path) -> None:
    """Both sides, a file at a time; the new one's first column is moved. Numbers are rounded as people write them."""
    import numpy as np
    import polars as pl

    measure.say(f"  writing {2 * FILES} files")
    shops, towns = (np.array([f"{kind} {number}" for number in range(count)]) for kind, count in (("shop", 20), ("town", 200)))
    for seed, side in enumerate(("reference", "new")):
        (folder / side).mkdir(parents=True)
        for number in range(FILES):
            draw = np.random.default_rng([seed, number])
            frame = pl.DataFrame(
                {
                    SHIFTED: draw.normal(100 + 6 * seed, 20, ROWS).round(2),
                    "price": (10 * draw.lognormal(size=ROWS)).round(2),
                    "weight": draw.normal(70, 12, ROWS).round(3),
                    "distance": draw.exponential(15, ROWS).round(3),
                    "pieces": draw.poisson(4, ROWS),
                    "shop": shops[draw.integers(0, 20, ROWS)],
                    "town": towns[draw.integers(0, 200, ROWS)],
                    "returned": draw.random(ROWS) < 0.1,
                }
            )
            frame.write_parquet(folder / side / f"{number:03}.parquet")


# ------------------------------------------------------------------------------------------------------------ processes


@contextlib.contextmanager
def served(folder: Path) -> Iterator[dict[str, str]]:
    """The environment in which the files are objects."""
    with started([sys.executable, str(SERVER), str(folder)], folder.parent, {}, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        yield {
            "AWS_ACCESS_KEY_ID": "someone",
            "AWS_SECRET_ACCESS_KEY": "not-a-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        }


@contextlib.contextmanager
def cluster(place: Path, count: int, store: dict[str, str]) -> Iterator[Cluster]:
    """A scheduler and its workers, all on the loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    here = ["--host", "127.0.0.1", "--no-dashboard"]
    with contextlib.ExitStack() as stack:
        scheduler = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--port", str(port), *here]
        stack.enter_context(started(scheduler, place, {}))
        worker = [sys.executable, "-m", "distributed.cli.dask_worker", f"tcp://127.0.0.1:{port}", "--nthreads", "1", "--no-nanny"]
        processes = [stack.enter_context(started([*worker, *here], place, store | ONE_THREAD)) for _ in range(count)]
        wait_for(port, count)
        yield Cluster(url=f"dask://127.0.0.1:{port}", workers=tuple(process.pid for process in processes))


@contextlib.contextmanager
def started(
    arguments: list[str], place: Path, more: dict[str, str], stdout: int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        arguments, cwd=place, env=measure.environment_of(place) | more, stdout=stdout, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(port: int, count: int) -> None:
    from distributed import Client

    deadline = time.monotonic() + 60
    while True:
        try:
            with Client(f"tcp://127.0.0.1:{port}", timeout=5, set_as_default=False) as client:
                client.wait_for_workers(count, timeout=60)
                return
        except OSError as error:
            if time.monotonic() > deadline:
                raise Failed(f"the scheduler or its workers did not start: {error}") from error
            time.sleep(0.2)


def _peak_of(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in text.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
