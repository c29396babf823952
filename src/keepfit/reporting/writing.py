"""The files that a judged cycle leaves in the folder of the reports."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from keepfit.records import Cycle
from keepfit.reporting.distributions import Sides
from keepfit.reporting.files import write
from keepfit.reporting.page import NOTHING, cycle_page
from keepfit.reporting.status import FILE_NAME, write_status
from keepfit.stats.profile import TableProfile

PAGE_NAME = "keepfit.html"


def write_reports(
    cycle: Cycle,
    earlier: Sequence[Cycle],
    reference_profile: TableProfile | None,
    current_profile: TableProfile | None,
    folder: Path,
    now: datetime,
    *,
    answers: Sides = NOTHING,
    labels: Sides = NOTHING,
    html: bool = True,
) -> list[Path]:
    """Write the status and, unless `html` is False, the page; returns their paths.

    Each file is written as a whole or not at all. Raises `Unavailable` when the folder cannot be written to; whoever calls makes
    a note of it, since no report is worth a cycle.
    """
    written = [write_status(folder / FILE_NAME, cycle, now)]
    if html:
        page = cycle_page(cycle, earlier, reference_profile, current_profile, cycle.project, answers=answers, labels=labels)
        written.append(write(folder / PAGE_NAME, page))
    return written
