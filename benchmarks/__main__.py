"""Run the benchmarks: `python -m benchmarks [NAME ...] [--repeat N] [--json]`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import signal
import statistics
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.measure import Failed, Limit, Row, Skipped, as_ratio, say

SERVING = ("serving_tabular", "serving_text", "serving_ready", "serving_memory", "serving_swap")
ORCHESTRATED = ("prefect_overhead", "airflow_overhead")
NAMES = ("nothing_to_do", "large_ledger", "cold_cycle", *ORCHESTRATED, "drift_speed", "drift_alarms", "cluster_drift", *SERVING)
PACKAGES = (
    "keepfit",
    "mlflow",
    "evidently",
    "great-expectations",
    "prefect",
    "scikit-learn",
    "pandas",
    "polars",
    "fastapi",
    "uvicorn",
)


def main() -> int:
    """0: every bar was met; 1: one was not, or a command failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Speed against the tools that keepfit replaces.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which ones: {', '.join(NAMES)}; all where none is named")
    parser.add_argument("--repeat", type=int, default=3, help="cold runs of each command; their median counts")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of the table")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(NAMES))
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}; known are {', '.join(NAMES)}")
    if arguments.repeat < 1:
        parser.error("--repeat must be at least 1")

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as Ctrl-C does: servers that are under load are ended too
    machine = describe_machine()
    rows: list[Row] = []
    skipped: dict[str, str] = {}
    failed: dict[str, str] = {}
    for name in arguments.names or NAMES:
        say(name)
        try:
            rows += import_module(f"benchmarks.{name}").rows(arguments.repeat)
        except Skipped as reason:
            skipped[name] = str(reason)
        except Failed as reason:
            failed[name] = str(reason)
    if arguments.json:
        print(json.dumps(as_document(machine, arguments.repeat, rows, skipped, failed), indent=2))
    else:
        show(machine, arguments.repeat, rows, skipped, failed)
    return 1 if failed or any(row.meets(row.bar) is False for row in rows) else 0


def describe_machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := installed(name))},
    }


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def as_document(
    machine: dict[str, Any], repeat: int, rows: Sequence[Row], skipped: dict[str, str], failed: dict[str, str]
) -> dict[str, Any]:
    return {
        "machine": machine,
        "repeat": repeat,
        "rows": [
            {
                **dataclasses.asdict(row),
                "keepfit": statistics.median(row.keepfit),
                "keepfit_runs": row.keepfit,
                "peer": statistics.median(row.peer) if row.peer else None,
                "peer_runs": row.peer,
                "ratio": row.ratio,
                "meets_bar": row.meets(row.bar),
                "meets_aim": row.meets(row.aim),
            }
            for row in rows
        ],
        "skipped": skipped,
        "failed": failed,
    }


def show(machine: dict[str, Any], repeat: int, rows: Sequence[Row], skipped: dict[str, str], failed: dict[str, str]) -> None:
    console = Console(width=None if sys.stdout.isatty() else 150, highlight=False)
    if rows:
        times = "one run each" if repeat == 1 else f"median of {repeat}, least and most in brackets"
        table = Table(
            title=f"Seconds, {times}",
            caption=f"{machine['cores']} cores, load {machine['load']} at the start, Python {machine['python']}; "
            + ", ".join(f"{name} {number}" for name, number in machine["packages"].items()),
        )
        for heading in ("what", "keepfit", "peer", "against", "ratio", "bar", "aim"):
            table.add_column(heading, justify="right" if heading in ("keepfit", "peer", "ratio") else "left")
        for row in rows:
            limits = [mark(limit, row.meets(limit)) for limit in (row.bar, row.aim)]
            table.add_row(
                row.what, spread(row.keepfit, row.unit), spread(row.peer, row.unit), row.against, as_ratio(row.ratio), *limits
            )
        console.print(table)
        for row in rows:
            for who, parts in row.parts.items():
                listed = ", ".join(f"{step} {taken:.2f}" for step, taken in parts.items() if taken >= 0.005)
                if listed and (who == "peer" or row is rows[0] or row.bar is not None):
                    console.print(f"[dim]{row.what}, {row.against if who == 'peer' else who}: {listed}[/dim]")
    for name, reason in skipped.items():
        console.print(f"[yellow]{name} was skipped[/yellow]: {reason}", markup=True)
    for name, reason in failed.items():
        console.print(f"[red]{name} failed[/red]:")
        console.print(reason, markup=False)


def spread(figures: Sequence[float], unit: str = "s") -> str:
    """The median, and the least and the most beside it."""
    if not figures:
        return ""
    digits = 3 if unit == "s" and max(figures) < 0.5 else {"s": 2, "ms": 2, "MB": 0, "%": 1, "req/s": 0, "": 0}[unit]
    after = "" if unit in ("s", "") else f" {unit}"
    middle = f"{statistics.median(figures):.{digits}f}{after}"
    return middle if len(figures) == 1 else f"{middle} ({min(figures):.{digits}f}–{max(figures):.{digits}f})"


def mark(limit: Limit | None, met: bool | None) -> str:
    if limit is None:
        return ""
    return f"[green]{limit} met[/green]" if met else f"[red]{limit} missed[/red]"


if __name__ == "__main__":
    sys.exit(main())
