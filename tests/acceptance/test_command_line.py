"""The command as a person and a script meet it: help, one document on stdout, exit codes, and models moved by hand."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.runs import Done, Runs
from tests.acceptance.test_bad_input import SETTINGS, put, table

VERBS = (
    "init",
    "demo",
    "doctor",
    "config",
    "run",
    "status",
    "history",
    "explain",
    "monitor",
    "drift",
    "alerts",
    "register",
    "promote",
    "rollback",
    "simulate",
)
FORCED = {"KEEPFIT_PROMOTE__GATE": "non_inferior", "KEEPFIT_PROMOTE__MARGIN": "0.9"}  # a forced challenger passes


@pytest.fixture(scope="session")
def three(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[Any]]:
    """A project with versions 1, 2 and 3, of which each was champion, and the cycles that made them."""
    place = tmp_path_factory.mktemp("three")
    folder, copy = place / "project", place / "kept"
    folder.mkdir()
    (folder / "keepfit.toml").write_text(SETTINGS)
    cycles = []
    for number in range(3):
        put(folder, f"{number}.csv", table(400, seed=number))
        done = runs.learn("run", folder=folder) if not number else None
        done = runs.run("--force", "--json", folder=folder, environment=FORCED) if number else done
        assert done is not None
        assert done.code == 0, done
        cycles.append(done.facts if number else runs.start("explain", "--json", folder=folder).wait().facts)
    shutil.copytree(folder, copy)
    return folder, copy, cycles


@pytest.fixture
def project(three: tuple[Path, Path, list[Any]]) -> Iterator[Path]:
    folder, copy, _ = three
    shutil.rmtree(folder)
    shutil.copytree(copy, folder)
    yield folder


def command(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The installed command itself."""
    program = Path(sys.executable).with_name("keepfit")
    return subprocess.run([program, *arguments], cwd=cwd, env=os.environ | environment, capture_output=True, text=True, timeout=120)


def champion(runs: Runs, folder: Path) -> Any:
    return runs.start("status", "--json", folder=folder).wait().facts["champion"]["to_version"]


# ------------------------------------------------------------------------------------------------------------------- help


def test_the_command_lists_its_verbs(tmp_path) -> None:
    shown = command("--help", cwd=tmp_path)
    assert shown.returncode == 0
    assert [verb for verb in VERBS if f"\n  {verb} " not in shown.stdout] == []


@pytest.mark.parametrize("verb", VERBS)
def test_help_says_what_a_verb_does_and_what_each_of_its_options_means(runs, tmp_path, verb) -> None:
    import typer.main

    from keepfit.cli.main import app

    shown = runs.start(verb, "--help", folder=tmp_path).wait()
    assert (shown.code, shown.err) == (0, "")
    known = typer.main.get_command(app).commands[verb]  # type: ignore[attr-defined]
    said = " ".join(shown.out.split())
    assert " ".join(known.help.split()) in said
    named = [option for option in known.params if option.opts[0].startswith("--")]
    assert [option.name for option in named if not option.help] == []
    assert [option.name for option in named if option.opts[0] not in said] == []
    assert list(tmp_path.iterdir()) == []  # looking at help makes nothing


def test_the_version_is_that_of_the_package(tmp_path) -> None:
    import keepfit

    assert command("--version", cwd=tmp_path).stdout.strip() == keepfit.__version__


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["run", "--nonsense"],
        ["run", "surplus"],
        ["run", "--until", "nowhere"],
        ["history", "--limit", "0"],
        ["history", "--limit", "many"],
        ["promote"],
        ["register"],
        ["run", "--project", "nowhere"],
        ["config", "--project", "nowhere"],
        ["explain", "nothing-by-that-name"],
        ["promote", "99"],
        ["run", "--resume"],
        ["init", "nonsense", "somewhere"],
        ["init", "somewhere"],
    ],
    ids=" ".join,
)
def test_what_is_used_wrongly_exits_with_2_and_says_why_on_stderr(project, runs, arguments) -> None:
    done = runs.start(*arguments, folder=project).wait()
    assert (done.code, done.out) == (2, "")
    assert done.err.strip()
    assert "Traceback" not in done.err


def test_what_is_wrong_with_a_stage_names_the_stages(project, runs) -> None:
    assert "collect, validate, prepare" in runs.run("--until", "nowhere", folder=project).err


def test_verbose_shows_where_an_error_arose(project, runs) -> None:
    (project / "keepfit.toml").write_text("nonsense")
    assert "Traceback" in runs.run("--verbose", folder=project).err


# --------------------------------------------------------------------------------------------------------- one document


READING = [
    ["config"],
    ["status"],
    ["history"],
    ["explain"],
    ["doctor"],
    ["run"],
    ["run", "--dry-run"],
    ["run", "--until", "collect"],
]


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_json_is_one_document_on_stdout_and_all_else_is_on_stderr(project, runs, arguments) -> None:
    done = runs.start(*arguments, "--json", folder=project).wait()
    assert done.code == 0, done
    document, end = json.JSONDecoder().raw_decode(done.out)
    assert done.out[end:] == "\n"
    assert document


def test_the_whole_command_started_by_cron_keeps_stdout_clean(project, tmp_path) -> None:
    """A process of its own, without a terminal, from another folder, with the least of an environment."""
    put(project, "new.csv", table(seed=50))
    program = Path(sys.executable).with_name("keepfit")
    arguments = [str(program), "run", "--json", "--project", str(project)]
    done = subprocess.run(
        arguments, cwd="/", env={"HOME": str(tmp_path)}, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done
    assert json.loads(done.stdout)["outcome"] == "healthy"
    assert "Warning" not in done.stderr
    assert all(line.split()[-1] in ("collect", "validate", "prepare", "monitor", "decide") for line in done.stderr.splitlines())


def test_without_json_the_answer_is_a_sentence_on_stdout(project, runs) -> None:
    done = runs.run(folder=project)
    assert done.out == "waiting: 0 of 1 new batches have arrived\n"


def test_an_answer_into_a_closed_pipe_is_no_traceback(project) -> None:
    program = Path(sys.executable).with_name("keepfit")
    done = subprocess.run(f"{program} config --json --project {project} | head -c 10", shell=True, capture_output=True, text=True)  # noqa: S602
    assert "Traceback" not in done.stderr


DOCUMENTED = {
    "": {
        "id",
        "outcome",
        "reason",
        "batches",
        "validation",
        "performance",
        "drift",
        "decision",
        "candidate",
        "verdict",
        "promotion",
        "timings",
    },
    "decision": {"action", "reasons", "signals"},
    "verdict": {
        "gate",
        "passed",
        "reason",
        "metric",
        "champion",
        "challenger",
        "difference",
        "interval",
        "test",
        "p_value",
        "n",
        "negative_flips",
        "slices",
    },
    "promotion": {"alias", "from_version", "to_version"},
    "performance": {"metric", "value", "interval", "n"},
    "validation": {"passed", "quarantined", "batches"},
    "candidate": {"version", "rows", "batches", "name"},
}


def test_the_documented_fields_of_a_cycle_are_there(three) -> None:
    cycle = three[2][1]
    for part, fields in DOCUMENTED.items():
        found = cycle[part] if part else cycle
        assert fields <= set(found), part
    assert cycle["outcome"] == "promoted"
    assert cycle["decision"]["action"] == "RETRAIN"
    assert cycle["promotion"] | {"alias": "champion", "from_version": "1", "to_version": "2"} == cycle["promotion"]
    assert set(cycle["verdict"]["interval"]) == {"low", "high", "level"}
    assert set(cycle["timings"]) == {
        "collect",
        "validate",
        "prepare",
        "monitor",
        "decide",
        "train",
        "compare",
        "promote",
        "release",
        "archive",
    }
    assert all(seconds >= 0 for seconds in cycle["timings"].values())


# ---------------------------------------------------------------------------------------------------------------- looking


def test_config_shows_every_setting_with_its_source(project, runs) -> None:
    rows = runs.start("config", "--json", folder=project, environment={"KEEPFIT_TRAIN__SEED": "5"}).wait().facts
    by_key = {row["key"]: row for row in rows}
    assert by_key["train.seed"] == {"key": "train.seed", "value": 5, "source": "environment KEEPFIT_TRAIN__SEED"}
    assert by_key["data.target"]["source"] == "keepfit.toml"
    assert by_key["promote.gate"]["source"] == "default"
    table = runs.start("config", folder=project, environment={"KEEPFIT_TRAIN__SEED": "5"}).wait().out
    assert [line.split() for line in table.splitlines() if line.startswith("train.seed")] == [
        ["train.seed", "5", "environment", "KEEPFIT_TRAIN__SEED"]
    ]


def test_config_hides_passwords(project, runs) -> None:
    for flag in ((), ("--json",)):
        done = runs.start(
            "config", *flag, folder=project, environment={"KEEPFIT_LEDGER__URL": "postgresql://me:s3cret@h/db"}
        ).wait()
        assert "s3cret" not in done.out + done.err
    failed = runs.start(
        "status", folder=project, environment={"KEEPFIT_LEDGER__URL": "postgresql://me:s3cret@127.0.0.1:1/db"}
    ).wait()
    assert failed.code in (1, 2)
    assert "s3cret" not in failed.err


def test_history_is_newest_first_and_as_long_as_asked(project, runs, three) -> None:
    cycles = runs.start("history", "--json", folder=project).wait().facts
    assert [cycle["id"] for cycle in cycles] == [cycle["id"] for cycle in three[2]][::-1]
    assert len(runs.start("history", "--json", "--limit", "2", folder=project).wait().facts) == 2
    table = runs.start("history", folder=project).wait().out.splitlines()
    assert len(table) == 4
    assert cycles[0]["id"] in table[1]


def test_explain_takes_the_beginning_of_an_id_and_the_latest_without(project, runs, three) -> None:
    for cycle in three[2]:
        whole = runs.start("explain", cycle["id"], folder=project).wait()
        begun = runs.start("explain", cycle["id"][:-3], folder=project).wait()
        assert whole.out == begun.out
        assert cycle["id"] in whole.out
        assert "None" not in whole.out
        assert " nan" not in whole.out
    assert runs.start("explain", folder=project).wait().out == whole.out
    ambiguous = runs.start("explain", "2", folder=project).wait()
    assert ambiguous.code == 2
    assert "3 cycles begin with '2'" in ambiguous.err


def test_status_says_who_is_champion_and_what_lies_where(project, runs) -> None:
    now = runs.start("status", "--json", folder=project).wait().facts
    assert (now["champion"]["to_version"], now["batches"]["archived"], now["unfinished"], now["lease"]) == ("3", 3, False, None)
    shown = runs.start("status", folder=project).wait().out
    assert "champion  version 3" in shown


# ------------------------------------------------------------------------------------------------------------------- runs


def test_until_stops_and_the_next_run_goes_on_from_there(project, runs) -> None:
    put(project, "new.csv", table(seed=60))
    stopped = runs.run("--until", "prepare", "--json", folder=project).facts
    assert (stopped["stage"], stopped["outcome"]) == ("prepare", None)
    assert "stopped after monitor" in runs.run("--until", "monitor", folder=project).out
    resumed = runs.run("--resume", "--json", folder=project).facts
    assert (resumed["id"], resumed["outcome"]) == (stopped["id"], "healthy")


def test_a_dry_run_decides_and_changes_nothing(project, runs) -> None:
    put(project, "new.csv", table(seed=60))
    before = sorted(str(path) for path in (project / "data").rglob("*"))
    assert runs.run("--dry-run", folder=project).out.startswith("would decide NO_ACTION")
    assert runs.run("--dry-run", "--force", folder=project).out.startswith("would decide RETRAIN")
    assert sorted(str(path) for path in (project / "data").rglob("*")) == before
    assert len(runs.start("history", "--json", folder=project).wait().facts) == 3


def test_a_dry_run_with_nothing_new_says_what_it_would_wait_for(project, runs) -> None:
    assert runs.run("--dry-run", folder=project).out == "would end as waiting: 0 of 1 new batches have arrived\n"


# -------------------------------------------------------------------------------------------------------- models by hand


def test_rolling_back_twice_goes_back_two_champions_and_then_there_is_nothing(project, runs) -> None:
    assert champion(runs, project) == "3"
    moved = runs.start("rollback", "--reason", "it was wrong", "--json", folder=project).wait().facts
    assert (moved["from_version"], moved["to_version"], moved["reason"], moved["kind"]) == ("3", "2", "it was wrong", "rollback")
    assert champion(runs, project) == "2"
    assert "version 2 -> 1" in runs.start("rollback", folder=project).wait().out
    assert champion(runs, project) == "1"
    nothing = runs.start("rollback", folder=project).wait()
    assert (nothing.code, nothing.out) == (2, "")
    assert "nothing to go back to" in nothing.err
    assert champion(runs, project) == "1"


def test_what_was_rolled_back_can_be_promoted_again_and_rolled_back_again(project, runs) -> None:
    runs.start("rollback", folder=project).wait()
    done = runs.start("promote", "3", "--reason", "after all", "--json", folder=project).wait()
    assert (done.facts["from_version"], done.facts["to_version"], done.facts["reason"]) == ("2", "3", "after all")
    again = runs.start("promote", "3", folder=project).wait()
    assert again.code == 2
    assert "champion already" in again.err
    assert runs.start("rollback", "--json", folder=project).wait().facts["to_version"] == "2"


def test_without_a_champion_there_is_nothing_to_roll_back(tmp_path, runs, project) -> None:
    folder = tmp_path / "empty"
    (folder / ".keepfit").mkdir(parents=True)
    (folder / "keepfit.toml").write_text(SETTINGS)
    done = runs.start("rollback", folder=folder).wait()
    assert done.code == 2
    assert "no champion" in done.err


def test_the_champion_that_was_put_back_judges_the_next_data(project, runs) -> None:
    runs.start("rollback", folder=project).wait()
    put(project, "new.csv", table(seed=60))
    assert runs.run("--json", folder=project).facts["performance"]["champion"] == "2"


def done_well(done: Done) -> bool:
    return done.code == 0 and "Traceback" not in done.err


@pytest.mark.slow
@pytest.mark.parametrize("template", ["stem", "churn"])
def test_every_template_runs_out_of_the_box(tmp_path, runs, template) -> None:
    folder = tmp_path / template
    assert done_well(runs.start("init", template, str(folder), folder=tmp_path).wait())
    again = runs.start("init", template, str(folder), folder=tmp_path).wait()
    assert again.code == 2
    assert done_well(runs.start("simulate", "--days", "20", "--start", "2026-01-01", folder=folder).wait())
    done = runs.run("--json", folder=folder)
    assert done_well(done)
    assert done.facts["outcome"] == "promoted", done.facts["reason"]
