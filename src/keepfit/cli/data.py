"""`keepfit data`: data going in and out of a project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from keepfit.cli.output import JsonOption, ProjectOption, VerboseOption, document, fact, note, verb

app = typer.Typer(help="Data going in and out of a project.", no_args_is_help=True)


@app.callback()
def data() -> None:
    """Data going in and out of a project."""


@app.command()
@verb
def export(
    project: ProjectOption = Path(),
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A .csv or .parquet file.", show_default="data/logs/predictions.csv")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="WHEN", help="From here: 2026-03-01, 2026-03-01T12:00 (UTC) or 7d ago.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="WHEN", help="Up to here, without the moment itself.")] = None,
    labelled: Annotated[bool, typer.Option("--labelled", help="Only predictions whose label has come back.")] = False,
    json: JsonOption = False,
    verbose: VerboseOption = False,  # noqa: ARG001 - read by `verb`
) -> None:
    """Write the prediction log into one file: when, what was asked, what was answered by which version, and the label.

    Cells are exact. A text that begins with = + - or @ is a formula to a spreadsheet: import its columns as text.
    """
    from keepfit.live.exporting import moment
    from keepfit.project import open

    with open(project) as opened:
        now = opened.ports.clock.now()
        span = {name: moment(text, now) if text else None for name, text in (("since", since), ("until", until))}
        written = opened.export(out, labelled=True if labelled else None, **span)
    if json:
        document(written)
        return
    fact(f"{written.path}: {written.rows} predictions, {written.labelled} with a label")


@app.command()
@verb
def download(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A public data set: sms-spam.")],
    project: ProjectOption = Path(),
    given: Annotated[Path | None, typer.Option("--from", metavar="FILE", help="A file that was fetched by other means.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A .csv file or a folder.", show_default="the project's inbox")
    ] = None,
    url: Annotated[str | None, typer.Option("--url", hidden=True, help="Another address of the same archive.")] = None,
    json: JsonOption = False,
    verbose: VerboseOption = False,  # noqa: ARG001 - read by `verb`
) -> None:
    """Fetch a public data set, check its hash, and put it where the project reads."""
    from keepfit.config import load
    from keepfit.verbs.download import download as fetch

    found = fetch(name, config=None if out else load(project), given=given, out=out, url=url)
    if json:
        document({"path": found.path, "rows": found.rows, "from": found.fetched, "licence": found.licence, "new": found.new})
        return
    fact(f"{found.path}: {found.rows} rows" + ("" if found.new else ", as before"))
    note(found.licence)
