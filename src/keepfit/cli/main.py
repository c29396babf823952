"""The verbs of the command line. Every one imports what it needs only when it is called, so that help is instant."""

from __future__ import annotations

import gc
import os

import typer

from keepfit.cli import (
    alerting,
    cleaning,
    data,
    deploying,
    drifting,
    feedback,
    inspecting,
    keys,
    models,
    monitoring,
    reproducing,
    running,
    serving,
    starting,
    watching,
)

# Neither keepfit nor a library it uses reports to anybody.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "1")

app = typer.Typer(
    name="keepfit",
    help="Keep production models fit: validate new data, decide with evidence, retrain, compare honestly, promote.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command()(starting.init)
app.command()(starting.demo)
app.command()(starting.doctor)
app.command()(inspecting.config)
app.command()(running.run)
app.command()(inspecting.status)
app.command()(inspecting.history)
app.command()(inspecting.explain)
app.command()(monitoring.monitor)
app.command()(alerting.alerts)
app.command()(models.register)
app.command()(models.promote)
app.command()(models.rollback)
app.command()(starting.simulate)
app.command()(drifting.drift)
app.command()(reproducing.reproduce)
app.command()(serving.serve)
app.command()(watching.watch)
app.command()(feedback.feedback)
app.command()(cleaning.clean)
app.add_typer(data.app, name="data")
app.add_typer(deploying.app, name="deploy")
app.add_typer(keys.app, name="keys")


@app.callback(invoke_without_command=True)
def keepfit(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    """Keep production models fit: validate new data, decide with evidence, retrain, compare honestly, promote."""
    if version:
        from keepfit import __version__

        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """The entry point. Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 another runner holds the lease, 4 drift."""
    try:
        app()
    finally:
        gc.freeze()  # spares the end of the process a search through all that the libraries hold, a third of a second


if __name__ == "__main__":
    main()
