"""prefect.yaml says what the settings say, whatever is in the names."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml

from keepfit.config import Config, load
from keepfit.errors import ConfigError
from keepfit.schedules.prefect_deployment import ENTRYPOINT, files, next_steps


def project(folder: Path, more: str = "") -> Config:
    folder.mkdir(parents=True)
    (folder / "keepfit.toml").write_text(
        f'[project]\nname = "walk"\ntask = "classification"\n[data]\ntarget = "y"\n{more}', encoding="utf-8"
    )
    return load(folder)


def deployment(config: Config, out: Path | None = None) -> dict[str, Any]:
    document = yaml.safe_load(files(config, out)[(out or config.root) / "prefect.yaml"])
    return dict(document["deployments"][0])


def test_without_any_setting_it_runs_daily_from_keepfit_itself(tmp_path: Path) -> None:
    config = project(tmp_path / "a project: with 'signs' # ü")
    made = deployment(config)
    assert (made["name"], made["entrypoint"], made["pull"]) == ("main-retraining-deployment", ENTRYPOINT, [])
    assert made["parameters"] == {"project": str(config.root), "force_retrain": False}
    assert made["schedules"] == [{"cron": "0 6 * * *", "timezone": "UTC"}]
    assert made["work_pool"] == {"name": "keepfit"}
    assert made["concurrency_limit"] == {"limit": 1, "collision_strategy": "ENQUEUE"}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ('weekly = "mon 06:30"\ntime_zone = "Europe/Berlin"', {"cron": "30 6 * * mon", "timezone": "Europe/Berlin"}),
        ('every = "7m"', {"interval": 420.0, "anchor_date": "2024-01-01T00:00:00+00:00", "timezone": "UTC"}),
    ],
)
def test_the_schedule_is_prefect_s_own(tmp_path: Path, settings: str, expected: dict[str, Any]) -> None:
    assert deployment(project(tmp_path / "p", f"[schedule]\n{settings}\n"))["schedules"] == [expected]


def test_a_flow_of_another_name_gets_a_file_of_its_own(tmp_path: Path) -> None:
    name = "Nightly \"'\\ {0} run"
    config = project(tmp_path / "p", f"[deploy.prefect]\nflow = '''{name}'''\n")
    out = tmp_path / "repository"
    written = files(config, out)
    assert set(written) == {out / "prefect.yaml", out / "retraining_flow.py"}
    made = deployment(config, out)
    assert made["entrypoint"] == "retraining_flow.py:automated_retraining"
    assert made["pull"] == [{"prefect.deployments.steps.set_working_directory": {"directory": str(out)}}]
    call = ast.parse(written[out / "retraining_flow.py"]).body[-1]
    assert isinstance(call, ast.Assign)
    assert isinstance(call.value, ast.Call)
    assert ast.literal_eval(call.value.keywords[0].value) == name


def test_a_path_that_prefect_would_rewrite_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="placeholder"):
        files(project(tmp_path / "{{ user }}"))


def test_the_next_steps_can_be_pasted(tmp_path: Path) -> None:
    said = next_steps(project(tmp_path / "my project", '[deploy.prefect]\nwork_pool = "my pool"\n'))
    assert f"cd '{tmp_path}/my project'" in said
    assert "prefect work-pool create 'my pool' --type process" in said
    assert "prefect deployment run 'Automated Retraining Flow/main-retraining-deployment'" in said
