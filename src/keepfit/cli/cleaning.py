"""`keepfit clean`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keepfit.cli.output import JsonOption, ProjectOption, VerboseOption, document, fact, note, table, verb

if TYPE_CHECKING:
    from keepfit.verbs.cleaning import Cleaned, Removal

SHOWN, LONGEST_NAME = 2, 40  # names of each kind, and characters of one; --json has them all, and whole


@verb
def clean(
    project: ProjectOption = Path(),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and remove nothing.")] = False,
    older: Annotated[
        str | None,
        typer.Option("--older", metavar="DURATION", help="Only what is older, such as 90d; [clean] older without it."),
    ] = None,
    keep: Annotated[
        int | None,
        typer.Option("--keep", metavar="NUMBER", help="Never the latest this many of a kind; [clean] keep without it."),
    ] = None,
    json: JsonOption = False,
    verbose: VerboseOption = False,  # noqa: ARG001 - read by `verb`
) -> None:
    """Remove old model versions, runs, reports and the like that nothing needs. Look first with --dry-run."""
    from keepfit.project import open

    with open(project) as opened:
        done = opened.clean(older, keep, dry_run=dry_run)
    if json:
        document(done)
    else:
        _say(done)


def _say(done: Cleaned) -> None:
    if done.removed:
        table(("what", "how many", "bytes", "which"), _rows(done.removed))
    for each in done.kept:
        note(f"{each.kind} {each.name} stays: {each.why}")
    limits = f"older than {done.older}, not among the latest {done.keep} and needed by nothing"
    if not done.removed:
        fact(f"nothing to remove: nothing is {limits}")
    elif done.dry_run:
        fact(f"{len(done.removed)} would go, {sized(done.size)}: {limits}; without --dry-run they go")
    else:
        fact(f"{len(done.removed)} removed, {sized(done.size)} freed")


def _rows(removed: Sequence[Removal]) -> Iterator[tuple[str, str, str, str]]:
    for kind, group in groupby(sorted(removed, key=lambda each: each.kind.value), lambda each: each.kind):
        each = list(group)
        names = ", ".join(_short(one.name) for one in each[:SHOWN]) + (f" and {len(each) - SHOWN} more" if each[SHOWN:] else "")
        yield kind.value, str(len(each)), sized(sum(one.size for one in each)), names


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def sized(size: int) -> str:
    """Bytes as a person reads them.

    >>> sized(512), sized(20_480), sized(5_000_000_000)
    ('512 B', '20.5 kB', '5.0 GB')
    """
    shown, units = float(size), ["B", "kB", "MB", "GB", "TB"]
    while shown >= 1000 and units[1:]:
        shown, units = shown / 1000, units[1:]
    return f"{shown:.0f} B" if units[0] == "B" else f"{shown:.1f} {units[0]}"
