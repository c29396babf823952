"""`keepfit deploy prefect`: prefect.yaml, from which `prefect deploy` makes the deployment."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from keepfit.config import Config
from keepfit.errors import ConfigError
from keepfit.operation_settings import PrefectDeployment, Schedule
from keepfit.schedules.times import cron_of
from keepfit.schedules.writing import MARK

ENTRYPOINT = "keepfit.schedules.prefect_flow:automated_retraining"
RENAMED = "retraining_flow.py"  # written where the flow has another name than the module gives it
MONDAY = "2024-01-01T00:00:00+00:00"  # intervals are counted from here, so that they do not move when it is deployed again

YAML = """\
# {mark} deploy prefect. It is written anew by the same command.
# `prefect deploy --all` in this folder makes the deployment.
name: {name}

deployments:
  - name: {deployment}
    entrypoint: {entrypoint}
    pull: {pull}
    description: {description}
    tags: {tags}
    parameters:
      project: {project}
      force_retrain: false
    schedules:
{schedule}
    work_pool:
      name: {pool}
    # Two runs of one project would only wait for each other: the second one begins when the first one has ended.
    concurrency_limit:
      limit: 1
      collision_strategy: ENQUEUE
"""

FLOW = '''\
# {mark} deploy prefect. It is written anew by the same command.
"""The flow of keepfit under a name of your own ([deploy.prefect] flow)."""

from keepfit.schedules.prefect_flow import automated_retraining as keepfit_flow

automated_retraining = keepfit_flow.with_options(name={name})
'''


def files(config: Config, out: Path | None = None) -> dict[Path, str]:
    """The files by which Prefect runs the project, for the folder `out`, or the project's own: path -> text.

    Raises `ConfigError` for a schedule that Prefect cannot keep, and for a path that it would take for a placeholder.
    """
    folder, project = _folder(config, out), config.root.absolute()
    for path in (folder, project):
        if "{{" in str(path):
            raise ConfigError(f"{path} holds '{{{{', which Prefect takes for a placeholder. Move it to a folder of another name.")
    settings = config.deploy.prefect
    renamed = settings.flow != PrefectDeployment().flow
    yaml = YAML.format(
        mark=MARK,
        name=_text(config.project.name),
        deployment=_text(settings.deployment),
        entrypoint=_text(f"{RENAMED}:automated_retraining" if renamed else ENTRYPOINT),
        pull=_pull(folder) if renamed else "[]",
        description=_text(f"keepfit keeps {config.project.name} fit: one cycle a run, one task a stage."),
        tags=json.dumps(["keepfit", config.project.name], ensure_ascii=False),
        project=_text(str(project)),
        schedule=_schedule(config.schedule),
        pool=_text(settings.work_pool),
    )
    texts = {folder / "prefect.yaml": yaml}
    if renamed:
        texts[folder / RENAMED] = FLOW.format(mark=MARK, name=repr(settings.flow))
    return texts


def next_steps(config: Config, out: Path | None = None) -> str:
    """What to type next, in order."""
    settings = config.deploy.prefect
    run = f"{settings.flow}/{settings.deployment}"
    return f"""\
Next, in this order (leave out what there is already):
  export DO_NOT_TRACK=1 PREFECT_SERVER_ANALYTICS_ENABLED=false     # neither side reports home
  prefect server start --background                                # or set PREFECT_API_URL to a server that runs
  export PREFECT_API_URL=http://127.0.0.1:4200/api
  cd {shlex.quote(str(_folder(config, out)))}
  prefect work-pool create {shlex.quote(settings.work_pool)} --type process
  prefect deploy --all
  prefect worker start --pool {shlex.quote(settings.work_pool)}    # goes on; the next line in another terminal
  prefect deployment run {shlex.quote(run)}
It asks for the extra 'prefect' wherever these run: pip install "keepfit[prefect]"."""


def _folder(config: Config, out: Path | None) -> Path:
    return (config.root if out is None else out).absolute()


def _pull(folder: Path) -> str:
    """The flow's file is found from the folder in which it lies."""
    return json.dumps([{"prefect.deployments.steps.set_working_directory": {"directory": str(folder)}}], ensure_ascii=False)


def _schedule(schedule: Schedule) -> str:
    """An interval as it is, everything else as cron's five fields."""
    if schedule.every is not None:
        when = {"interval": schedule.every.total_seconds(), "anchor_date": MONDAY, "timezone": schedule.time_zone}
    else:
        when = {"cron": cron_of(schedule), "timezone": schedule.time_zone}
    lines = [f"{name}: {json.dumps(value)}" for name, value in when.items()]
    return "\n".join(f"      {'- ' if number == 0 else '  '}{line}" for number, line in enumerate(lines))


def _text(value: str) -> str:
    """As YAML and JSON both read it."""
    return json.dumps(value, ensure_ascii=False)
