"""`keepfit data`: data going in and out of a project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from keepfit.cli.output import JsonOption, ProjectOption, VerboseOption, document, fact, note, verb
from keepfit.errors import ConfigError

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
def model(
    version: Annotated[str | None, typer.Argument(metavar="[VERSION]", help="The champion without.", show_default=False)] = None,
    project: ProjectOption = Path(),
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="A folder.")] = Path("model"),
    json: JsonOption = False,
    verbose: VerboseOption = False,  # noqa: ARG001 - read by `verb`
) -> None:
    """Write a model version with all that a server needs into a folder, for `keepfit serve --model` in an image."""
    from keepfit.project import open

    with open(project) as opened:
        written = opened.export_model(version, out)
    if json:
        document(written)
        return
    fact(f"{written.path}: version {written.version} of {written.model}{'' if written.new else ', as before'}")


@app.command()
@verb
def prepared(
    cycle: Annotated[
        str | None,
        typer.Argument(metavar="[CYCLE]", help="The latest with prepared rows, where none is named.", show_default=False),
    ] = None,
    project: ProjectOption = Path(),
    out: Annotated[str | None, typer.Option("--out", "-o", metavar="DIR", help="A folder or URL for all of it.")] = None,
    below: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Or one in which each day gets a folder of its own.", show_default="prepared_data"),
    ] = None,
    json: JsonOption = False,
    verbose: VerboseOption = False,  # noqa: ARG001 - read by `verb`
) -> None:
    """Write what a cycle has prepared of its files as training.parquet, holdout.parquet and metadata.json.

    A relative DIR lies in the project's folder. What is there already is left as it is.
    """
    from keepfit.project import open

    if out is not None and below is not None:
        raise ConfigError("--out and --below are both given: expected one folder for all, or one below which each day has its own.")
    with open(project) as opened:
        written = opened.export_prepared(cycle, out, below=below)
    if json:
        document(written)
        return
    for folder in written.folders:
        before = "" if folder.new else ", as before"
        fact(f"{folder.path}: {folder.training} rows for training, {folder.holdout} for judging{before}")
    if not written.folders:
        note(f"no file came in cycle {written.cycle}, so there is nothing to write")


@app.command()
@verb
def checkout(
    cycle: Annotated[str | None, typer.Argument(metavar="[CYCLE]", help="A cycle that trained.", show_default=False)] = None,
    project: ProjectOption = Path(),
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="A folder.", show_default="data-versions/CYCLE")
    ] = None,
    version: Annotated[str | None, typer.Option("--version", metavar="N", help="In place of the cycle: its model version.")] = None,
    json: JsonOption = False,
    verbose: VerboseOption = False,  # noqa: ARG001 - read by `verb`
) -> None:
    """Bring back the data that a model was trained on, byte for byte: raw files, prepared rows, reference.

    Files that are there already stay; others of the same name are not overwritten. Exit code 1 where something is gone.
    """
    from keepfit.project import open

    with open(project) as opened:
        found = opened.checkout_data(cycle, out, version=version)
    if json:
        document(found)
    else:
        fact(f"{found.folder}: {found.files} files, {found.bytes} bytes, as cycle {found.cycle} was trained on them")
    for path, why in found.missing.items():
        note(f"gone: {path}: {why}")
    if found.missing:
        raise typer.Exit(1)


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
