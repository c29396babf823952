"""What is written into the workflows and the Dockerfile follows from the settings, and nothing of it breaks out of its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from keepfit.config import Config
from keepfit.errors import ConfigError
from keepfit.schedules.github_actions import files
from keepfit.schedules.writing import put

MONITOR, DELIVER = ".github/workflows/monitor-and-retrain.yml", ".github/workflows/cd_pipeline.yml"


def config(root: Path, **sections: Any) -> Config:
    tree = {"project": {"name": "demo", "task": "regression"}, "data": {"target": "y"}}
    return Config.of({name: {**tree.get(name, {}), **sections.get(name, {})} for name in {*tree, *sections}}, root)


def tree(root: Path) -> dict[str, str]:
    return {path.relative_to(root).as_posix(): path.read_text() for path in root.rglob("*") if path.is_file()}


def written(root: Path, out: Path | None = None, **sections: Any) -> dict[str, str]:
    base = out or root
    return {path.relative_to(base).as_posix(): text for path, text in files(config(root, **sections), out).items()}


def test_the_files_lie_where_github_and_docker_look_for_them(tmp_path: Path) -> None:
    texts = written(tmp_path)
    assert set(texts) == {MONITOR, DELIVER, "Dockerfile", ".dockerignore"}
    assert not [name for name, text in texts.items() if "Written by keepfit" not in "\n".join(text.splitlines()[:5])]
    assert not [name for name, text in texts.items() if "@RESTORE" in text or "@SAVE" in text]


def test_the_schedule_and_the_limits_are_those_of_the_settings(tmp_path: Path) -> None:
    texts = written(tmp_path, schedule={"weekly": "mon 06:30", "time_zone": "Europe/Berlin"}, deploy={"time_limit": "3m"})
    monitor = yaml.safe_load(texts[MONITOR])
    assert monitor[True]["schedule"] == [{"cron": "30 6 * * mon"}]  # `on` is YAML's true
    assert "time_zone = Europe/Berlin is not followed" in texts[MONITOR]
    assert monitor["jobs"]["loop"]["timeout-minutes"] == 40
    for often in ({"every": "2m"}, {"cron": "0,1,2 * * * *"}, {"cron": "0-59/2 6 * * *"}, {"cron": "0,57 6-8 * * *"}):
        with pytest.raises(ConfigError, match="nothing more often than every five minutes"):
            written(tmp_path, schedule=often)
    for kept in ("*/5 * * * *", "2,58 */2 * * *", "7 7 7 7 *"):
        assert f'cron: "{kept}"' in written(tmp_path, schedule={"cron": kept})[MONITOR]
    with pytest.raises(ConfigError, match="from 0 to 6: say sun, or 0"):
        written(tmp_path, schedule={"cron": "0 6 * * 5-7"})


def test_every_permission_that_is_not_needed_is_missing(tmp_path: Path) -> None:
    texts = written(tmp_path)
    assert yaml.safe_load(texts[MONITOR])["permissions"] == {"contents": "write", "actions": "write"}
    assert yaml.safe_load(texts[DELIVER])["permissions"] == {"contents": "read", "packages": "write"}


def test_what_lies_elsewhere_is_not_kept_with_the_state(tmp_path: Path) -> None:
    def state(**sections: Any) -> list[str]:
        return str(yaml.safe_load(written(tmp_path, **sections)[MONITOR])["env"]["STATE_PATHS"]).splitlines()

    assert state() == [".keepfit", "data/archive", "data/inbox", "data/quarantine", "reports"]
    assert state(ledger={"url": "sqlite:///state/ledger.db"}, reports={"folder": "data"}) == [".keepfit", "data", "state/ledger.db"]
    with pytest.raises(ConfigError, match="lies outside"):
        state(ledger={"url": "sqlite:////var/ledger.db"})


def test_what_the_settings_need_is_installed_and_handed_over(tmp_path: Path) -> None:
    plain = written(tmp_path)
    assert "AWS_" not in plain[MONITOR]
    assert "libgomp1" not in plain["Dockerfile"]
    large = written(
        tmp_path,
        ledger={"url": "postgresql://db/x"},
        serve={"log": {"url": "s3://bucket/log"}},
        train={"candidates": [{"estimator": "lightgbm.LGBMRegressor"}]},
    )
    environment = yaml.safe_load(large[MONITOR])["env"]
    assert environment["KEEPFIT"].startswith("keepfit[lightgbm,postgres,s3]==")
    assert {"KEEPFIT_LEDGER__URL", "AWS_ACCESS_KEY_ID"} <= environment.keys()
    assert "libgomp1" in large["Dockerfile"]
    assert 'ARG KEEPFIT="keepfit[lightgbm,postgres,s3,serve]==' in large["Dockerfile"]


def test_an_owner_in_the_settings_is_not_overruled_by_the_repository(tmp_path: Path) -> None:
    assert "GITHUB_REPO_OWNER" in written(tmp_path)[MONITOR]
    assert "GITHUB_REPO_OWNER" not in written(tmp_path, release={"github": {"owner": "me", "repository": "r"}})[MONITOR]


def test_a_project_within_a_repository_is_named_by_its_path(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    folder = tmp_path / "models/my model"
    texts = {path.relative_to(tmp_path).as_posix(): text for path, text in files(config(folder)).items()}
    assert yaml.safe_load(texts[MONITOR])["env"]["PROJECT"] == "models/my model"
    assert yaml.safe_load(texts[MONITOR])["env"]["STATE_BRANCH"] == "keepfit-state-demo"
    assert yaml.safe_load(texts[DELIVER])["env"]["IMAGE_NAME"] == "ghcr.io/${{ github.repository }}/demo"
    assert 'COPY --chown=keepfit ["models/my model/keepfit.toml", "/app/"]' in texts["Dockerfile"]
    with pytest.raises(ConfigError, match="lies outside"):
        files(config(folder), tmp_path / "elsewhere")


@pytest.mark.parametrize("name", ["$(rm -rf x)", 'a"b', "a'b", "a${{ github.token }}", "a*", "a\nb"])
def test_a_folder_whose_name_could_break_out_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="for a workflow a name may have letters"):
        files(config(tmp_path / name), tmp_path)


def test_a_second_project_of_a_repository_does_not_replace_the_first(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    first, second = (config(tmp_path / each, project={"name": each}) for each in ("spam", "churn"))
    put(files(first))
    before = tree(tmp_path)
    with pytest.raises(ConfigError, match=r'written for the project "spam" in spam, and this is "churn" in churn.*--name NAME'):
        put(files(second))
    assert tree(tmp_path) == before
    beside = put(files(second, name="Churn"))
    assert {path.relative_to(tmp_path).as_posix() for path in beside} == {
        ".github/workflows/monitor-and-retrain-churn.yml",
        ".github/workflows/cd_pipeline-churn.yml",
        "Dockerfile.churn",
        "Dockerfile.churn.dockerignore",
    }
    assert {path: text for path, text in tree(tmp_path).items() if path in before} == before
    own = yaml.safe_load((tmp_path / ".github/workflows/monitor-and-retrain-churn.yml").read_text())
    assert own["env"]["KEEPFIT_RELEASE__GITHUB__WORKFLOW"] == "cd_pipeline-churn.yml"
    assert "--file Dockerfile.churn " in (tmp_path / ".github/workflows/cd_pipeline-churn.yml").read_text()
    assert put(files(first)) == []
    put(files(second), force=True)
    assert '"churn" in churn' in (tmp_path / "Dockerfile").read_text()


def test_under_dvc_the_pointers_are_kept_with_the_state_and_the_remote_must_outlive_the_runner(tmp_path: Path) -> None:
    def monitor(remote: str, push: bool = True) -> Any:
        data = {"target": "y", "versioning": "dvc", "dvc": {"remote": remote, "push": push}}
        return yaml.safe_load(written(tmp_path, data=data)[MONITOR])["env"]

    kept = set(monitor("s3://bucket/dvc")["STATE_PATHS"].splitlines())
    assert {"data-versions", ".dvc/config", ".dvc/.gitignore", ".dvcignore"} <= kept
    assert not [path for path in kept if ".dvc".startswith(path) or path.startswith(".dvc/cache")]
    assert "AWS_ACCESS_KEY_ID" in monitor("s3://bucket/dvc")
    assert "remote" in monitor("remote")["STATE_PATHS"].splitlines()
    assert ".." not in monitor("../remote", push=False)["STATE_PATHS"]
    with pytest.raises(ConfigError, match=r"'\.\./remote' lies outside .* give it a URL"):
        monitor("../remote")


def test_the_names_of_the_repository_are_known_on_every_event(tmp_path: Path) -> None:
    """`github.event.repository` is empty where the clock starts a run."""
    for text in written(tmp_path).values():
        assert "github.event." not in text
