"""`keepfit deploy`: the files by which others run a project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from keepfit.cli.output import ProjectOption, VerboseOption, fact, note, verb

app = typer.Typer(help="Write the files by which cron, Prefect, Airflow or GitHub Actions run a project.", no_args_is_help=True)

ForceOption = Annotated[bool, typer.Option("--force", help="Replace files that keepfit did not write.")]


@app.callback()
def deploy() -> None:
    """Write the files by which cron, Prefect, Airflow or GitHub Actions run a project."""


@app.command()
@verb
def cron(
    project: ProjectOption = Path(),
    verbose: VerboseOption = False,  # noqa: ARG001 - read by `verb`
) -> None:
    """Print a line for crontab that works from any folder, with a lock and a log."""
    from keepfit.config import load
    from keepfit.schedules.cron import LOG, line

    config = load(project)
    fact(line(config))
    note(f"`crontab -e` takes it. What the runs say goes to {config.path(LOG)}.")
    if config.schedule.every is None:
        note(f"cron goes by this computer's clock, [schedule] by {config.schedule.time_zone}: make sure that they agree.")


@app.command()
@verb
def github(
    project: ProjectOption = Path(),
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The repository.", show_default="the project's")] = None,
    name: Annotated[str, typer.Option("--name", help="A part of the files' names, beside another project's.")] = "",
    force: ForceOption = False,
    verbose: VerboseOption = False,  # noqa: ARG001 - read by `verb`
) -> None:
    """Write the workflows monitor-and-retrain.yml and cd_pipeline.yml, and the Dockerfile that the second one builds."""
    from keepfit.config import load
    from keepfit.schedules.github_actions import files, next_steps

    config = load(project)
    _put(files(config, out, name), force)
    note(next_steps(config))


@app.command()
@verb
def prefect(
    project: ProjectOption = Path(),
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A folder.", show_default="the project's folder")] = None,
    force: ForceOption = False,
    verbose: VerboseOption = False,  # noqa: ARG001 - read by `verb`
) -> None:
    """Write prefect.yaml: the deployment of the flow, with its schedule and work pool."""
    from keepfit.config import load
    from keepfit.schedules.prefect_deployment import files, next_steps

    config = load(project)
    _put(files(config, out), force)
    note(next_steps(config, out))


@app.command()
@verb
def airflow(
    project: ProjectOption = Path(),
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Airflow's folder of DAGs.", show_default="dags in the project's folder")
    ] = None,
    force: ForceOption = False,
    verbose: VerboseOption = False,  # noqa: ARG001 - read by `verb`
) -> None:
    """Write DAGs, one task a stage."""
    from keepfit.config import load
    from keepfit.schedules.airflow_dags import files, next_steps

    config = load(project)
    _put(files(config, out), force)
    note(next_steps(config, out))


def _put(texts: dict[Path, str], force: bool) -> None:
    from keepfit.schedules.writing import put

    changed = put(texts, force=force)
    for path in texts:
        fact(f"{path}{'' if path in changed else ', as before'}")
