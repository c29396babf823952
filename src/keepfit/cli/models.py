"""`keepfit register`, `promote`, `rollback`: a person moves models, through the same journal as the loop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from keepfit.cli.output import JsonOption, ProjectOption, VerboseOption, document, fact, verb


@verb
def register(
    model: Annotated[Path, typer.Argument(help="A fitted model: .skops, or a pickle or joblib file.")],
    project: ProjectOption = Path(),
    trust_pickle: Annotated[bool, typer.Option("--trust-pickle", help="Read a pickle, which runs the code it holds.")] = False,
    json: JsonOption = False,
    verbose: VerboseOption = False,  # noqa: ARG001 - read by `verb`
) -> None:
    """Register a model made elsewhere, with its baseline metrics; it becomes champion when there is none."""
    from keepfit.project import open

    with open(project) as opened:
        cycle = opened.register(model, trust_pickle=trust_pickle)
    if json:
        document(cycle)
    else:
        fact(cycle.reason)


@verb
def promote(
    version: Annotated[str, typer.Argument(help="The registered version.")],
    project: ProjectOption = Path(),
    reason: Annotated[str, typer.Option("--reason", help="Why; it is kept in the journal.")] = "",
    json: JsonOption = False,
    verbose: VerboseOption = False,  # noqa: ARG001 - read by `verb`
) -> None:
    """Make a registered version the champion."""
    from keepfit.project import open

    with open(project) as opened:
        moved = opened.promote(version, reason)
    if json:
        document(moved)
    else:
        fact(f"{moved.alias}: version {moved.from_version or 'none'} -> {moved.to_version} ({moved.reason})")


@verb
def rollback(
    project: ProjectOption = Path(),
    reason: Annotated[str, typer.Option("--reason", help="Why; it is kept in the journal.")] = "",
    json: JsonOption = False,
    verbose: VerboseOption = False,  # noqa: ARG001 - read by `verb`
) -> None:
    """Go back to the champion before the last promotion."""
    from keepfit.project import open

    with open(project) as opened:
        moved = opened.rollback(reason)
    if json:
        document(moved)
    else:
        fact(f"{moved.alias}: version {moved.from_version} -> {moved.to_version} ({moved.reason})")
