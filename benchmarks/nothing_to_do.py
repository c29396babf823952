"""What a person or a cron line waits for when there is nothing to do, against importing the four tools."""

from __future__ import annotations

import sys

from benchmarks import measure, projects
from benchmarks.measure import KEEPFIT, PEERS, Command, Limit, Row

IMPORT = f"import {', '.join(PEERS)}"


def rows(repeat: int) -> list[Row]:
    """In a project with a champion and an empty inbox."""
    measure.need_keepfit()
    measure.need_peers()
    with measure.workplace() as place:
        measure.say("  making the champion")
        folder = projects.make_with_champion(place / "project")
        commands = {
            "keepfit run": Command(arguments=[KEEPFIT, "run"], folder=folder),
            "keepfit status": Command(arguments=[KEEPFIT, "status"], folder=folder),
            "keepfit --help": Command(arguments=[KEEPFIT, "--help"], folder=folder),
            IMPORT: Command(arguments=[sys.executable, "-c", IMPORT], folder=folder),
        }
        timings = measure.in_turn(commands, repeat, warm=True)
    limits = {
        "keepfit run": (Limit(share=1 / 15), Limit(seconds=0.6)),
        "keepfit status": (None, None),
        "keepfit --help": (Limit(seconds=0.3), None),
    }
    return [
        Row(
            what=f"{name}, nothing to do" if name == "keepfit run" else name,
            keepfit=timings[name].seconds,
            peer=timings[IMPORT].seconds,
            against="importing the four",
            bar=bar,
            aim=aim,
        )
        for name, (bar, aim) in limits.items()
    ]
