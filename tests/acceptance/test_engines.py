"""The same champion and the same drift wherever the work is done: on real clusters of this machine, a worker of which is killed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psutil
import pytest
from tests import postgres
from tests.acceptance.runs import eventually

pytestmark = pytest.mark.slow

SETTINGS = """
[project]
name = "engines"
task = "classification"

[data]
target = "answer"
prepare = "features:prepare"
settle = "0s"

[data.columns]
x = { type = "number" }
y = { type = "number" }
answer = { type = "category", values = ["yes", "no"] }

[data.holdout]
by = "row"
share = 0.3

[train]
folds = 2
metric = "features:twice_right"
greater_is_better = true

[[train.candidates]]
name = "own"
build = "features:build"

[[train.candidates]]
estimator = "sklearn.ensemble.RandomForestClassifier"
parameters = { n_estimators = 10 }
search = { estimator__max_depth = [2, 4] }

[[train.candidates]]
estimator = "sklearn.svm.LinearSVC"
search = { estimator__C = [0.1, 1] }

[promote]
resamples = 200
"""
# Functions and a class that no worker finds by name. The first fit of the class anywhere waits to be killed.
FEATURES = """
import os
import time

import numpy as np
from sklearn.linear_model import LogisticRegression

from arithmetic import doubled


def prepare(frame):
    return frame.assign(together=frame["x"] + frame["y"])


def twice_right(rows):
    return float(np.mean(doubled(rows["truth"] == rows["predicted"])))


class Patient(LogisticRegression):
    def fit(self, X, y):
        place = os.environ.get("WAIT_AT")
        if place:
            try:
                with open(place, "x") as mark:
                    mark.write(f"{os.getpid()}\\n")
            except FileExistsError:
                pass
            else:
                time.sleep(600)
        return super().fit(X, y)


def build():
    return Patient()
"""
ARITHMETIC = """
def doubled(numbers):
    return 2 * numbers
"""
QUIET = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}


@dataclass(frozen=True)
class Work:
    """A project that nothing was trained in yet, two tables, and what both come to on this machine."""

    folder: Path
    tables: Path
    home: Path
    expected: dict[str, Any]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    place = tmp_path_factory.mktemp("engines")
    for name in ("home", "project/data/inbox", "tables/old", "tables/new"):
        (place / name).mkdir(parents=True)
    (place / "project/keepfit.toml").write_text(SETTINGS)
    (place / "project/features.py").write_text(FEATURES)
    (place / "project/arithmetic.py").write_text(ARITHMETIC)
    draw = random.Random(0)  # noqa: S311 - made-up data
    rows = [(draw.uniform(-1, 1), draw.uniform(-1, 1), draw.random() < 0.1) for _ in range(400)]
    lines = [f"{x:.6f},{y:.6f},{'yes' if (x > 0) != odd else 'no'}" for x, y, odd in rows]
    (place / "project/data/inbox/day.csv").write_text("\n".join(["x,y,answer", *lines]) + "\n")
    for seed, side in enumerate(("old", "new")):
        for number in range(8):
            generator = np.random.default_rng([seed, number])
            columns = {"size": generator.normal(0.3 * seed, 1, 500), "shop": generator.choice(["north", "south"], 500)}
            pl.DataFrame(columns).write_parquet(place / f"tables/{side}/{number}.parquet")
    started = Work(place / "project", place / "tables", place / "home", {})
    return Work(started.folder, started.tables, started.home, on_engine(started, place / "local", "local", "run", "drift"))


def on_engine(work: Work, copy: Path, url: str, *wanted: str, kill_at: Path | None = None, **environment: str) -> dict[str, Any]:
    """What the script of that name says of a copy of the project; who writes down its process in `kill_at` is killed."""
    if not copy.exists():
        shutil.copytree(work.folder, copy)
    script = Path(__file__).with_name("on_engine.py")
    more = {"WAIT_AT": str(kill_at)} if kill_at else {}
    with started([sys.executable, str(script), str(copy), url, str(work.tables), *wanted], work, more | environment) as process:
        if kill_at:
            kill(kill_at, process)
        out, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    return {**json.loads(out), "errors": errors}


def kill(mark: Path, process: subprocess.Popen[str]) -> None:
    """End who has written down its process there, as kill -9 does; unless the script has ended without it."""
    eventually(lambda: _written(mark) or process.poll() is not None, "a fit that waits to be killed", 150)
    if _written(mark):
        os.kill(int(mark.read_text()), signal.SIGKILL)


def _written(mark: Path) -> bool:
    return mark.exists() and mark.read_text().endswith("\n")


def same_as_here(found: dict[str, Any], work: Work) -> None:
    for name in {"champion", "drift"} & found.keys():
        expected = {**work.expected, "champion": {**work.expected["champion"], "id": found["champion"]["id"]}}
        assert found[name] == expected[name]


@contextlib.contextmanager
def started(arguments: list[str], work: Work, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A process that ends with the test, with all that it started."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KEEPFIT_", "RAY_", "DASK_", "SPARK_"))}
    process = subprocess.Popen(
        arguments,
        cwd=work.home,
        env={**kept, **QUIET, "HOME": str(work.home), "TMPDIR": str(work.home), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=postgres._end_with_parent,  # noqa: PLW1509 - no other thread runs yet that could hold a lock
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


# ----------------------------------------------------------------------------------------------------------------- Dask


@dataclass(frozen=True)
class Dask:
    """A scheduler with two workers of one thread."""

    url: str
    mark: Path  # where a fit of a worker's waits to be killed, unless it is there
    scheduler: subprocess.Popen[str]


@pytest.fixture(scope="module")
def dask(work: Work, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dask]:
    pytest.importorskip("distributed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mark = tmp_path_factory.mktemp("dask") / "mark"
    here = ["--host", "127.0.0.1", "--no-dashboard"]
    module = [sys.executable, "-m"]
    with contextlib.ExitStack() as stack:
        scheduler = stack.enter_context(started([*module, "distributed.cli.dask_scheduler", "--port", str(port), *here], work, {}))
        one = [*module, "distributed.cli.dask_worker", f"tcp://127.0.0.1:{port}", "--nthreads", "1", "--no-nanny", *here]
        for _ in range(2):
            stack.enter_context(started(one, work, {"WAIT_AT": str(mark)}))
        eventually(lambda: answers(port, 2), "two workers at a scheduler")
        yield Dask(f"dask://127.0.0.1:{port}", mark, scheduler)


def answers(port: int, workers: int) -> bool:
    from distributed import Client

    try:
        with Client(f"tcp://127.0.0.1:{port}", timeout=5, set_as_default=False) as client:
            return len(client.ncores()) == workers
    except OSError:
        return False


def test_dask_finds_the_same_drift(dask: Dask, work: Work, tmp_path: Path) -> None:
    same_as_here({**on_engine(work, tmp_path / "copy", dask.url, "drift"), "champion": work.expected["champion"]}, work)


def test_dask_makes_the_same_champion_though_a_worker_is_killed(dask: Dask, work: Work, tmp_path: Path) -> None:
    found = on_engine(work, tmp_path / "copy", dask.url, "run", kill_at=dask.mark)
    same_as_here(found, work)
    assert _written(dask.mark)


def test_without_the_cluster_the_cycle_stays_unfinished_and_the_next_run_goes_on(dask: Dask, work: Work, tmp_path: Path) -> None:
    """The last of Dask's: its scheduler is killed. One worker was killed before; the other one alone does not work here either."""
    dask.mark.unlink()
    copy = tmp_path / "copy"
    shutil.copytree(work.folder, copy)
    script = [sys.executable, str(Path(__file__).with_name("on_engine.py")), str(copy), dask.url, str(work.tables), "run"]
    with started(script, work, {"KEEPFIT_ENGINE__PATIENCE": "5s"}) as process:
        eventually(lambda: _written(dask.mark), "a fit on the worker")
        dask.scheduler.kill()
        out, errors = process.communicate(timeout=60)
    kind, words = json.loads(out)["error"]
    assert kind == "Unavailable", errors
    assert dask.url in words
    assert "run again" in words
    assert "Traceback" not in errors
    same_as_here(on_engine(work, copy, "local", "run"), work)


# -------------------------------------------------------------------------------------------------------- Ray and Spark


def test_ray_comes_to_the_same_though_a_worker_is_killed(work: Work, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    place = Path(tempfile.mkdtemp(prefix="kr", dir="/tmp"))  # a socket's path must stay below 108 characters
    bounded = {"RAY_TMPDIR": str(place), "RAY_DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES": str(100 << 20)}
    try:
        found = on_engine(work, tmp_path / "copy", "ray://local", "run", "drift", kill_at=tmp_path / "mark", **bounded)
        eventually(lambda: not those_of(place), "Ray's processes ending")
    finally:
        for process in those_of(place):
            process.kill()
        shutil.rmtree(place, ignore_errors=True)
    same_as_here(found, work)
    assert found["errors"] == ""
    assert _written(tmp_path / "mark")


def those_of(place: Path) -> list[psutil.Process]:
    """The processes that were told of this folder."""
    every = psutil.process_iter(["cmdline"])
    return [process for process in every if any(str(place) in word for word in process.info["cmdline"] or ())]


@pytest.mark.skipif(not shutil.which("java"), reason="Spark needs Java, which is not here")
def test_spark_comes_to_the_same_though_a_worker_is_killed(work: Work, tmp_path: Path) -> None:
    pytest.importorskip("joblibspark")
    java = f"-Djava.io.tmpdir={tmp_path} -XX:-UsePerfData -XX:TieredStopAtLevel=1 -XX:+UseSerialGC"  # nothing that pays off later
    local = {"SPARK_LOCAL_DIRS": str(tmp_path), "JAVA_TOOL_OPTIONS": java}
    found = on_engine(work, tmp_path / "copy", "spark://local[2]", "run", "drift", kill_at=tmp_path / "mark", **local)
    same_as_here(found, work)
    assert found["errors"] == ""
    assert _written(tmp_path / "mark")
