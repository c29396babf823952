"""Airflow's DAGs of a project: one for any project, or the three pipelines that [deploy.airflow] layout asks for."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

from keepfit.config import Config
from keepfit.cycle import NAMES
from keepfit.errors import ConfigError
from keepfit.schedules.times import cron_of

FOLDER = "dags"  # in the project's folder, where no other is named
PIPELINES = ("01_data_generation_pipeline", "02_data_preparation_pipeline", "03_model_training_pipeline")
_IMPORTS = {"stages": "CronTriggerTimetable, Param", "pipelines": "Asset, Variable"}


def files(config: Config, out: Path | None) -> dict[Path, str]:
    """The file with the project's DAGs in Airflow's folder of them. It needs no other file, and no keepfit beside Airflow.

    Raises `ConfigError` where the project has no generator for the pipelines, or a schedule that cron cannot say.
    """
    layout = config.deploy.airflow.layout
    if layout == "pipelines" and config.simulate is None:
        raise ConfigError(
            "[deploy.airflow] layout = 'pipelines' begins with a pipeline that makes data up, and there is no [simulate] section. "
            "Expected one, or layout = 'stages' where the data come by themselves."
        )
    text = _text("command") + _text(layout)
    for placeholder, value in {"WHAT": _what(config), "NAMES": _IMPORTS[layout], "SETTINGS": _literal(_settings(config))}.items():
        text = text.replace(f"@{placeholder}@", value)
    return {_folder(config, out) / f"keepfit_{_identifier(config).replace('-', '_').replace('.', '_')}.py": text}


def next_steps(config: Config, out: Path | None) -> str:
    """What is left to do in Airflow, as commands."""
    settings, dags, folder = config.deploy.airflow, dag_ids(config), shlex.quote(str(_folder(config, out)))
    return "\n".join(
        [
            "Left to do, in Airflow's environment:",
            "  export AIRFLOW__USAGE_DATA_COLLECTION__ENABLED=False",
            f"  export AIRFLOW__CORE__DAGS_FOLDER={folder}   # or write into the folder that it has, with --out",
            f"  airflow pools set {shlex.quote(settings.pool)} 1 'Tasks of keepfit, one at a time'",
            f"  airflow dags test {dags[0]} {settings.start}   # to try it; nothing else of Airflow need run",
            *(f"  airflow dags unpause {dag}" for dag in reversed(dags)),
        ]
    )


def dag_ids(config: Config) -> tuple[str, ...]:
    """What the DAGs are called."""
    return PIPELINES if config.deploy.airflow.layout == "pipelines" else (_identifier(config),)


def _settings(config: Config) -> dict[str, Any]:
    """What the DAGs know of the project; everything else they ask the command."""
    airflow = config.deploy.airflow
    limits = {name: config.deploy.of(name) for name in NAMES}
    known: dict[str, Any] = {
        "command": _command(),
        "project": str(config.root),
        "name": _identifier(config),
        "pool": airflow.pool,
        "start": airflow.start,
        # stage: retries, seconds before each of them, seconds that each may take
        "stages": {name: [retries, delay.total_seconds(), most.total_seconds()] for name, (retries, delay, most) in limits.items()},
    }
    if airflow.layout == "pipelines":
        return known | {"prepared": airflow.prepared}
    return known | {"schedule": cron_of(config.schedule), "time_zone": config.schedule.time_zone}


def _command() -> list[str]:
    """The command of the installation that runs now."""
    beside = Path(sys.executable).with_name("keepfit")
    found = str(beside) if beside.exists() else shutil.which("keepfit")
    return [found] if found else [sys.executable, "-m", "keepfit.cli.main"]


def _identifier(config: Config) -> str:
    """The project's name in the letters that Airflow allows.

    >>> from keepfit.config import Config
    >>> _identifier(Config.of({"project": {"name": "Churn März.2", "task": "regression"}, "data": {"target": "y"}}))
    'Churn_M_rz.2'
    """
    return re.sub(r"[^A-Za-z0-9_.-]", "_", config.project.name)


def _what(config: Config) -> str:
    if config.deploy.airflow.layout == "pipelines":
        return f"From made-up customers to a model in use: three pipelines of the project {config.project.name}, linked by assets."
    return f"The loop of the project {config.project.name}: one task a stage."


def _literal(value: Any, indent: str = "") -> str:
    """As Python, a line a setting; JSON's texts, numbers and lists are Python's too."""
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    inner = indent + "    "
    lines = (f"{inner}{json.dumps(name)}: {_literal(each, inner)}," for name, each in value.items())
    return "\n".join(["{", *lines, indent + "}"])


def _folder(config: Config, out: Path | None) -> Path:
    return (config.root / FOLDER if out is None else Path(out)).absolute()


def _text(name: str) -> str:
    return (resources("keepfit.schedules") / "airflow" / f"{name}.py.txt").read_text(encoding="utf-8")
