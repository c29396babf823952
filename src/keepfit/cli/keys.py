"""`keepfit keys`: who may use the API, and for what."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from keepfit.cli.output import JsonOption, ProjectOption, VerboseOption, document, fact, note, table, verb
from keepfit.live_records import Scope

app = typer.Typer(help="Keys of the API: who may use it, and for what.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="Whose key it is, in words of your own.")]


@app.command()
@verb
def add(
    name: NameArgument,
    scope: Annotated[list[Scope], typer.Option("--scope", "-s", help="What it allows; may be given several times.")],
    project: ProjectOption = Path(),
    json: JsonOption = False,
    verbose: VerboseOption = False,  # noqa: ARG001 - read by `verb`
) -> None:
    """Make a key and print it. Only its hash is kept, so that it cannot be shown again."""
    from keepfit.project import open

    with open(project) as opened:
        key = opened.add_key(name, scope)
    if json:
        document({"name": name, "scopes": list(scope), "key": key})
        return
    fact(key)
    note("this is the only time that it is shown: put it where it is used, in the header X-API-Key")


@app.command("list")
@verb
def list_keys(
    project: ProjectOption = Path(),
    json: JsonOption = False,
    verbose: VerboseOption = False,  # noqa: ARG001 - read by `verb`
) -> None:
    """List the keys: name, what it allows, since when."""
    from keepfit.project import open

    with open(project) as opened:
        found = opened.keys()
    if json:
        document([{"name": key.name, "scopes": list(key.scopes), "created_at": key.created_at} for key in found])
        return
    if not found:
        fact("there are no keys; `keepfit keys add NAME --scope predict` makes one")
        return
    table(
        ("name", "scopes", "created (UTC)"),
        [(key.name, ", ".join(key.scopes), f"{key.created_at:%Y-%m-%d %H:%M}") for key in found],
    )


@app.command()
@verb
def revoke(
    name: NameArgument,
    project: ProjectOption = Path(),
    json: JsonOption = False,
    verbose: VerboseOption = False,  # noqa: ARG001 - read by `verb`
) -> None:
    """Make a key worthless, on every server within seconds."""
    from keepfit.project import open

    with open(project) as opened:
        opened.revoke_key(name)
    if json:
        document({"name": name, "revoked": True})
        return
    fact(f"the key {name!r} opens nothing any more")
