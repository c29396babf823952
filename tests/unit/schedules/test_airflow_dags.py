"""The generated DAG files: what they say, and how they call the command. Airflow itself is in tests/acceptance/test_airflow.py."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import textwrap
import types
from pathlib import Path
from typing import Any

import pytest

from keepfit.config import Config
from keepfit.cycle import NAMES
from keepfit.errors import ConfigError
from keepfit.schedules.airflow_dags import files, next_steps
from keepfit.schedules.writing import MARK


class Fails(Exception):
    """Airflow's AirflowFailException."""


class Skips(Exception):
    """Airflow's AirflowSkipException."""


def config(folder: Path, name: str = "walk", **sections: Any) -> Config:
    tree = {"project": {"name": name, "task": "regression"}, "data": {"target": "y"}, **sections}
    return Config.of(tree, folder)


def generated(folder: Path, **sections: Any) -> str:
    (text,) = files(config(folder, **sections), None).values()
    return text


def settings(text: str) -> dict[str, Any]:
    """What the file knows of the project."""
    named = (node for node in ast.parse(text).body if isinstance(node, ast.AnnAssign))
    value = next(node.value for node in named if isinstance(node.target, ast.Name) and node.target.id == "SETTINGS")
    assert value is not None
    found: dict[str, Any] = ast.literal_eval(value)
    return found


PIPELINES = {"deploy": {"airflow": {"layout": "pipelines"}}, "simulate": {"function": "generator:simulate"}}


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the file of a DAG defines, with the least of Airflow that it needs."""

    class Dag:
        def __init__(self, *_: Any, **__: Any) -> None: ...
        def __enter__(self) -> None: ...
        def __exit__(self, *_: object) -> None: ...

    def task(function: Any) -> Any:
        function.override = lambda **_: lambda *_: None
        return function

    sdk, exceptions = types.ModuleType("airflow.sdk"), types.ModuleType("airflow.sdk.exceptions")
    for name in ("CronTriggerTimetable", "Param", "get_current_context"):
        setattr(sdk, name, lambda *_, **__: None)
    sdk.__dict__.update(DAG=Dag, task=task)
    exceptions.__dict__.update(AirflowFailException=Fails, AirflowSkipException=Skips)
    for module in (types.ModuleType("airflow"), sdk, exceptions):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    found: dict[str, Any] = {"__name__": "dag", "__doc__": ""}
    exec(compile(generated(tmp_path), "dag.py", "exec"), found)  # noqa: S102 - our own text
    return found


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts a script of Python in the command's place."""

    def put(script: str) -> None:
        path = tmp_path / "command.py"
        path.write_text("import sys\n" + textwrap.dedent(script))
        monkeypatch.setenv("KEEPFIT_COMMAND", f"{sys.executable} -I -S {path}")

    return put


def cycle(stage: str, outcome: str | None = None, **facts: Any) -> str:
    parts = {"decision": None, "candidate": None, "verdict": None, "promotion": None, "batches": [], "duplicates": []}
    return repr({"id": "one", "stage": stage, "outcome": outcome, "reason": "so", **parts, **facts})


# ---------------------------------------------------------------------------------------------------------- the files


@pytest.mark.parametrize("sections", [{}, PIPELINES], ids=["stages", "pipelines"])
def test_the_file_is_python_as_this_project_writes_it(tmp_path: Path, sections: dict[str, Any]) -> None:
    text = generated(Path("/srv/walk"), **sections)
    assert MARK in text.splitlines()[0]
    assert "@" not in text.replace("@task", "").replace('"@daily"', "")
    ruff = Path(sys.executable).with_name("ruff")
    place = tmp_path / "dag.py"
    place.write_text(text)
    arguments = ["--config", "line-length = 132", "--no-cache", str(place)]
    for done in (
        subprocess.run([ruff, "check", "--isolated", "--select", "E,F,I,B,ARG,SIM", *arguments], capture_output=True, text=True),
        subprocess.run([ruff, "format", "--isolated", "--check", *arguments], capture_output=True, text=True),
    ):
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_file_needs_only_airflow_and_the_standard_library(tmp_path: Path) -> None:
    for sections in ({}, PIPELINES):
        lines = [line.split() for line in generated(tmp_path, **sections).splitlines()]
        imported = {line[1].partition(".")[0] for line in lines if line[:1] in (["import"], ["from"])}
        assert imported - set(sys.stdlib_module_names) == {"airflow"}


def test_each_stage_has_its_own_limits(tmp_path: Path) -> None:
    own = {"retries": 5, "time_limit": "2h", "retry_delay": "1m"}
    stages = settings(generated(tmp_path, deploy={"retries": 1, "stages": {"train": own}}))["stages"]
    assert list(stages) == list(NAMES)
    assert (stages["train"], stages["decide"]) == ([5, 60.0, 7200.0], [1, 30.0, 3600.0])


def test_the_schedule_is_the_projects_in_its_time_zone(tmp_path: Path) -> None:
    told = settings(generated(tmp_path, schedule={"weekly": "mon 06:30", "time_zone": "Europe/Berlin"}))
    assert (told["schedule"], told["time_zone"]) == ("30 6 * * mon", "Europe/Berlin")


def test_a_name_that_airflow_does_not_allow_is_written_otherwise(tmp_path: Path) -> None:
    (path,) = files(config(tmp_path, name="Wer geht wann"), tmp_path / "dags")
    assert path == tmp_path / "dags/keepfit_Wer_geht_wann.py"
    steps = next_steps(config(tmp_path, name="Wer geht wann"), tmp_path / "my dags")
    assert f"DAGS_FOLDER='{tmp_path}/my dags'" in steps
    assert "airflow dags unpause Wer_geht_wann" in steps


def test_texts_of_the_settings_stay_texts(tmp_path: Path) -> None:
    pool = "a' \"b\\n{c} @SETTINGS@"
    assert settings(generated(tmp_path, deploy={"airflow": {"pool": pool}}))["pool"] == pool


def test_pipelines_need_a_generator(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no \\[simulate\\] section"):
        files(config(tmp_path, deploy=PIPELINES["deploy"]), None)


@pytest.mark.parametrize("start", ["2026-02-30", "yesterday", ""])
def test_a_start_that_is_no_date_is_refused(tmp_path: Path, start: str) -> None:
    with pytest.raises(ConfigError, match=r"deploy.airflow.start.*expected a date"):
        config(tmp_path, deploy={"airflow": {"start": start}})


# ------------------------------------------------------------------------------------------------- calling the command


def test_what_the_command_says_is_logged_and_what_it_answers_returned(
    loaded: dict[str, Any], command: Any, caplog: pytest.LogCaptureFixture
) -> None:
    command("print('one collect', file=sys.stderr); print('{\"words\": \"' + ' '.join(sys.argv[1:]) + '\"}')")
    with caplog.at_level("INFO"):
        answer = loaded["keepfit"]("run", "--until", "collect")
    assert answer == {"words": f"run --until collect --project {loaded['SETTINGS']['project']} --json"}
    assert [record.getMessage() for record in caplog.records] == ["one collect"]


@pytest.mark.parametrize(("code", "error"), [(1, RuntimeError), (2, Fails), (3, RuntimeError), (-9, RuntimeError)])
def test_wrong_settings_fail_for_good_and_everything_else_is_tried_again(
    loaded: dict[str, Any], command: Any, code: int, error: type[Exception]
) -> None:
    command(
        f"import os; print('error: why', file=sys.stderr, flush=True); os._exit({code}) if {code} > 0 else os.kill(os.getpid(), 9)"
    )
    with pytest.raises(error, match="error: why"):
        loaded["keepfit"]("run")


def test_a_command_that_is_not_there_says_what_to_set(loaded: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEEPFIT_COMMAND", "/nowhere/keepfit")
    with pytest.raises(Fails, match=r"/nowhere/keepfit cannot be started .*: set KEEPFIT_COMMAND"):
        loaded["keepfit"]("run")


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_task_that_is_stopped_ends_its_command(
    loaded: dict[str, Any], command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stubborn: bool
) -> None:
    """Gently, so that it gives its lease back; but it does end."""
    loaded["GRACE"] = 5.0 if not stubborn else 0.2
    handler = "SIG_IGN" if stubborn else "default_int_handler"
    command(
        f"""
        import os, signal, pathlib, time
        signal.signal(signal.SIGINT, signal.{handler})
        place = pathlib.Path({str(tmp_path)!r})
        (place / "pid.new").write_text(str(os.getpid()))
        (place / "pid.new").rename(place / "pid")
        try:
            print("working", file=sys.stderr, flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            (place / "interrupted").touch()
        """
    )

    class Stopped(BaseException):
        """As Airflow's time limit."""

    def stop(*_: Any) -> None:
        raise Stopped

    monkeypatch.setattr(loaded["log"], "info", stop)
    with pytest.raises(Stopped):
        loaded["keepfit"]("run")
    pid = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert (tmp_path / "interrupted").exists() is not stubborn


# ------------------------------------------------------------------------------------------------------------- stages


def test_a_stage_goes_on_with_the_cycle_that_it_was_told_of(loaded: dict[str, Any], command: Any) -> None:
    command(f"import json; json.dump({{**{cycle('train')}, 'reason': ' '.join(sys.argv[1:])}}, sys.stdout)")
    facts = {"cycle": "one", "stage": "decide", "outcome": None, "reason": ""}
    done = loaded["advance"]("train", facts, force=True)
    assert done["stage"] == "train"
    assert done["reason"].startswith("run --until train --cycle one --force --project")
    assert "--cycle" not in loaded["advance"]("collect")["reason"]


def test_a_stage_that_is_done_is_not_done_again(loaded: dict[str, Any], command: Any) -> None:
    command("sys.exit(1)")
    facts = {"cycle": "one", "stage": "compare", "outcome": None, "reason": ""}
    assert loaded["advance"]("train", facts) is facts


@pytest.mark.parametrize("known", [True, False])
def test_after_its_end_a_cycles_stages_are_skipped_with_the_reason(loaded: dict[str, Any], command: Any, known: bool) -> None:
    command(f"import json; json.dump({cycle('decide', 'healthy')}, sys.stdout)" if not known else "sys.exit(1)")
    facts = {"cycle": "one", "stage": "decide", "outcome": "healthy" if known else None, "reason": "nothing to do"}
    with pytest.raises(Skips, match="cycle one has ended as healthy: "):
        loaded["advance"]("train", facts)


def test_a_cycle_that_has_failed_fails_the_task_for_good(loaded: dict[str, Any], command: Any) -> None:
    """Otherwise the second try, which finds the cycle ended, would look like a success."""
    command(f"import json; json.dump({cycle('decide', 'failed')}, sys.stdout)")
    with pytest.raises(Fails, match="cycle one has ended as failed: so"):
        loaded["advance"]("train", {"cycle": "one", "stage": "decide", "outcome": None, "reason": ""})
