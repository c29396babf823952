"""`keepfit reproduce`: make a model again, and prove that it is the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keepfit.cli.output import JsonOption, ProjectOption, VerboseOption, document, fact, verb

if TYPE_CHECKING:
    from keepfit.verbs.reproduction import Reproduction

SHOWN = 12  # digits of a hash


@verb
def reproduce(
    cycle: Annotated[str, typer.Argument(metavar="CYCLE", help="A cycle's id, or the beginning of it.")],
    project: ProjectOption = Path(),
    json: JsonOption = False,
    verbose: VerboseOption = False,  # noqa: ARG001 - read by `verb`
) -> None:
    """Make a cycle's model again from the data, settings and code that were kept, and compare.

    Nothing of the project changes. Exit code 1 where it is not the same model.
    """
    from keepfit.project import open

    with open(project) as opened:
        found = opened.reproduce(cycle)
    if json:
        document(found)
    else:
        _tell(found)
    if not found.identical:
        raise typer.Exit(1)


def _tell(found: Reproduction) -> None:
    of = f"version {found.version} of cycle {found.cycle}"
    if found.identical:
        fact(f"identical: {of}, made again from its data, settings and code, is the same model (sha256 {found.registered[:SHOWN]})")
    elif found.found is None:
        fact(f"not reproduced: {of}")
    else:
        fact(f"different: {of} is {found.registered[:SHOWN]}, made again it is {found.found[:SHOWN]}")
    used = [difference for difference in found.differences if difference.used]
    others = [difference for difference in found.differences if not difference.used]
    if used:
        fact("differs, without a consequence for the model:" if found.identical else "what differs:")
    elif not found.identical:
        fact("nothing that is known of it differs: the training itself may not give the same twice")
    for difference in used:
        fact(f"  {difference}")
    if others:
        fact("has changed in the project since, and was not used:")
    for difference in others:
        fact(f"  {difference}")
