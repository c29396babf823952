"""`keepfit watch`: a scheduler of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from keepfit.cli.output import VerboseOption, verb


@verb
def watch(
    project: Annotated[
        list[Path] | None, typer.Option("--project", "-p", help="A project's folder; may be repeated.", show_default="here")
    ] = None,
    host: Annotated[str | None, typer.Option("--host", help="Address of the health endpoint.", show_default="[watch] host")] = None,
    port: Annotated[
        int | None, typer.Option("--port", help="Its port; 0 takes a free one.", min=0, max=65535, show_default="[watch] port")
    ] = None,
    verbose: VerboseOption = False,  # noqa: ARG001 - read by `verb`
) -> None:
    """Run cycles by [schedule] and when files or labels come, until Ctrl-C."""
    from keepfit.schedules.watch import watch

    code = watch(project or [Path()], host=host, port=port, say=lambda text: print(text, flush=True))
    if code:
        raise typer.Exit(code)
