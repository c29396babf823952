"""`keepfit serve`: the champion behind an API."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from keepfit.cli.output import ProjectOption, VerboseOption, verb


@verb
def serve(
    project: ProjectOption = Path(),
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on.", show_default="[serve] host")] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port; 0 takes a free one.", show_default="[serve] port")] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            "--model", metavar="DIR", help="Answer with this version; see keepfit data model.", show_default="the champion"
        ),
    ] = None,
    workers: Annotated[int | None, typer.Option("--workers", help="Processes that answer.", show_default="[serve] workers")] = None,
    verbose: VerboseOption = False,  # noqa: ARG001 - read by `verb`
) -> None:
    """Answer requests with the champion, until Ctrl-C."""
    from keepfit.serving.supervisor import serve

    folder = str(model.absolute()) if model is not None else None
    flags = {"serve.model": folder, "serve.host": host, "serve.port": port, "serve.workers": workers}
    serve(project, {name: value for name, value in flags.items() if value is not None}, lambda text: print(text, flush=True))
