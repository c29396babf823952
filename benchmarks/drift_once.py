"""One tool looks for drift between two Parquet files: how long with the frames in memory, and how much memory in all.

    python drift_once.py TOOL REFERENCE CURRENT [--repeat N]

TOOL is keepfit (from scratch), profiled (keepfit with the reference's profile at hand), evidently, scipy (ks_2samp column by
column, numbers only, which is what alibi-detect's KSDrift does), or process (the command `keepfit drift`, from start to end).
Prints a JSON document: seconds of every run, the peak of resident memory in MB, and the columns that were found to have drifted.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Look = Callable[[], list[str]]  # the names of the columns that drifted


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("tool", choices=sorted(TOOLS))
    parser.add_argument("reference", type=Path)
    parser.add_argument("current", type=Path)
    parser.add_argument("--repeat", type=int, default=1)
    arguments = parser.parse_args()
    began = time.perf_counter()
    look = TOOLS[arguments.tool](arguments.reference, arguments.current)
    ready = time.perf_counter() - began
    seconds: list[float] = []
    for _ in range(arguments.repeat):
        began = time.perf_counter()
        drifted = look()
        seconds.append(time.perf_counter() - began)
    whose = resource.RUSAGE_CHILDREN if arguments.tool == "process" else resource.RUSAGE_SELF
    peak = resource.getrusage(whose).ru_maxrss / 1024
    print(json.dumps({"ready": ready, "seconds": seconds, "megabytes": peak, "drifted": sorted(drifted)}))


def keepfit(reference: Path, current: Path) -> Look:
    import polars as pl

    from keepfit.profiling import profile
    from keepfit.stats.drift import Rules, drift_of

    one, other = pl.read_parquet(reference), pl.read_parquet(current)

    def look() -> list[str]:
        before = profile(one)
        return [drift.name for drift in drift_of(before, profile(other, like=before), Rules()) if drift.drifted]

    return look


def profiled(reference: Path, current: Path) -> Look:
    import polars as pl

    from keepfit.profiling import profile
    from keepfit.stats.drift import Rules, drift_of
    from keepfit.stats.profile import dumps, loads

    before = loads(dumps(profile(pl.read_parquet(reference))))  # as it is stored with a model version
    other = pl.read_parquet(current)
    return lambda: [drift.name for drift in drift_of(before, profile(other, like=before), Rules()) if drift.drifted]


def evidently(reference: Path, current: Path) -> Look:
    import pandas as pd
    from evidently import Dataset, Report
    from evidently.presets import DataDriftPreset

    one, other = pd.read_parquet(reference), pd.read_parquet(current)

    def look() -> list[str]:
        snapshot = Report([DataDriftPreset()]).run(Dataset.from_pandas(other), Dataset.from_pandas(one))
        return drifted_columns(snapshot.dict())

    return look


def drifted_columns(document: dict[str, Any]) -> list[str]:
    """The columns that Evidently's report calls drifted: a p-value below its threshold, or a distance at or above it."""
    found = []
    for metric in document["metrics"]:
        config = metric.get("config", {})
        if config.get("type", "").endswith("ValueDrift"):
            value, threshold = float(metric["value"]), float(config.get("threshold") or 0.05)
            by_p = "p_value" in str(config.get("method", ""))
            if value < threshold if by_p else value >= threshold:
                found.append(str(config["column"]))
    return found


def scipy(reference: Path, current: Path) -> Look:
    import pandas as pd
    from scipy.stats import ks_2samp

    one, other = (pd.read_parquet(path).select_dtypes("number") for path in (reference, current))
    level = 0.01 / one.shape[1]
    return lambda: [str(name) for name in one if ks_2samp(one[name], other[name], method="asymp").pvalue < level]


def process(reference: Path, current: Path) -> Look:
    command = [str(Path(sys.executable).with_name("keepfit")), "drift", str(reference), str(current), "--json"]

    def look() -> list[str]:
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return [column["name"] for column in json.loads(done.stdout)["columns"] if column["drifted"]]

    return look


TOOLS: dict[str, Callable[[Path, Path], Look]] = {
    "evidently": evidently,
    "keepfit": keepfit,
    "process": process,
    "profiled": profiled,
    "scipy": scipy,
}

if __name__ == "__main__":
    main()
