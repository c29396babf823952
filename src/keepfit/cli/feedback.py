"""`keepfit feedback`: labels from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from keepfit.cli.output import JsonOption, ProjectOption, VerboseOption, document, fact, note, verb


@verb
def feedback(
    file: Annotated[Path, typer.Argument(help="CSV, Parquet or JSON Lines with request_id, label and, where known, labelled_at.")],
    project: ProjectOption = Path(),
    json: JsonOption = False,
    verbose: VerboseOption = False,  # noqa: ARG001 - read by `verb`
) -> None:
    """Put labels into the prediction log. The same file may come again; of several labels of one prediction the last wins."""
    from keepfit.project import open

    with open(project) as opened:
        told = opened.feedback(file)
    if json:
        document(told)
        return
    fact(f"{told.added} labels are in the log")
    if told.unknown:
        note(f"{told.unknown} belong to no prediction that the log holds, or holds yet; they are kept")
    if told.malformed:
        note(f"{told.malformed} were left out, because their request_id was never given out here: {'; '.join(told.examples)}")
    if told.blank:
        note(f"{told.blank} rows have no label")
    if told.repeated:
        note(f"{told.repeated} labels are replaced by a later one of the same prediction in the file")
