"""The commands that Airflow's tasks call, one after the other: `stage_by_stage.py KEEPFIT`, in a project."""

from __future__ import annotations

import json
import subprocess
import sys

STAGES = ("monitor", "decide", "train", "compare", "promote", "release", "archive")


def main(keepfit: str) -> None:
    cycle = run(keepfit, "--until", "prepare")
    for stage in STAGES:
        run(keepfit, "--until", stage, "--cycle", cycle)


def run(keepfit: str, *arguments: str) -> str:
    """The cycle's id."""
    done = subprocess.run([keepfit, "run", *arguments, "--json"], check=True, stdout=subprocess.PIPE)
    return str(json.loads(done.stdout)["id"])


if __name__ == "__main__":
    main(sys.argv[1])
