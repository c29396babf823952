from __future__ import annotations

import os
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from keepfit import project
from keepfit.clock import SystemClock
from keepfit.config import load
from keepfit.errors import ModelRefused, Unavailable
from keepfit.lease import new_holder
from keepfit.live_ports import Labelled, Logged
from keepfit.opened_ports import OpenedPorts
from keepfit.records import ModelVersion
from keepfit.request_ids import RequestIds
from keepfit.testing import MemoryLedger, MemoryLog, MemorySpans
from keepfit.verbs.checkup import examine

SETTINGS = """
[project]
name = "shop"
task = "classification"

[data]
target = "bought"
settle = "0s"

[data.columns]
price = { type = "number" }
day = { type = "datetime" }
town = { type = "category" }
bought = { type = "category" }
"""
CANDIDATE = '\n[[train.candidates]]\nname = "linear"\nestimator = "sklearn.linear_model.LogisticRegression"\n'


class Registry:
    """Answers as it is told to; a registry that knows one champion."""

    def __init__(self, champion: str | None = "1", refusal: Exception | None = None, away: Exception | None = None) -> None:
        self._champion, self._refusal, self._away = champion, refusal, away

    def champion(self) -> Any:
        if self._away:
            raise self._away
        found = ModelVersion.__new__(ModelVersion)
        object.__setattr__(found, "version", self._champion)
        return found if self._champion else None

    def load(self, version: str) -> Any:
        if self._refusal:
            raise self._refusal


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in ("inbox", "archive", "quarantine"):
        (tmp_path / "data" / name).mkdir(parents=True)
    return tmp_path


def examined(folder: Path, more: str = "", data: str = "", **given: Any) -> dict[str, tuple[bool, str]]:
    (folder / "keepfit.toml").write_text(SETTINGS.replace("settle", f"{data}\nsettle") + more)
    config = load(folder, environment={})
    ports = OpenedPorts(config, SystemClock(), {"ledger": MemoryLedger(), "registry": Registry(None), **given})
    return {what: (well, words) for what, well, words in examine(ports, config)}


def faults(folder: Path, more: str = "", **given: Any) -> dict[str, str]:
    return {what: words for what, (well, words) in examined(folder, more, **given).items() if not well}


def test_a_project_that_lacks_nothing_is_well_and_stays_as_it_is(folder) -> None:
    assert faults(folder, CANDIDATE) == {}
    assert sorted(path.name for path in folder.iterdir()) == ["data", "keepfit.toml"]


def test_databases_that_no_run_has_made_are_not_made_here(folder) -> None:
    (folder / "keepfit.toml").write_text(SETTINGS)
    config = load(folder, environment={})
    found = {what: words for what, _, words in examine(OpenedPorts(config, SystemClock(), {}), config)}
    assert "made by the first run" in found["ledger"]
    assert "made by the first run" in found["MLflow"]
    assert not (folder / ".keepfit").exists()


# ----------------------------------------------------------------------------------------------------------------- disk


def test_a_missing_inbox_is_a_fault_and_a_missing_archive_is_not(folder) -> None:
    shutil.rmtree(folder / "data")
    found = examined(folder)
    assert not found["inbox"][0]
    assert "make it" in found["inbox"][1]
    assert found["archive"][0]
    assert "files" not in found


def test_a_file_where_a_folder_should_be_is_a_fault(folder) -> None:
    (folder / "data/archive").rmdir()
    (folder / "data/archive").write_text("")
    assert "is a file" in faults(folder)["archive"]


def test_a_folder_that_may_not_be_written_to_is_a_fault(folder, monkeypatch) -> None:
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "quarantine" and may(path, mode))
    assert "give this user the right" in faults(folder)["quarantine"]


def test_places_in_a_store_are_asked(folder) -> None:
    root = f"memory://{folder.name}-doctor"
    places = "".join(f'{name} = "{root}/{name}"\n' for name in ("inbox", "archive", "quarantine", "prepared"))
    (folder / "keepfit.toml").write_text(SETTINGS.replace("[data]\n", f"[data]\n{places}"))
    with project.open(folder) as opened:
        opened.ports.originals.add("a.csv", b"price,day,town,bought\n1,2026-01-01,a,yes\n")
        said = {what: words for what, well, words in opened.doctor() if well}
    assert "holds 1 files" in said["inbox"]
    assert said["files"] == "1 files are ready"
    assert "holds 0 frames" in said["prepared"]


def test_a_store_that_does_not_answer_is_said_once(folder, monkeypatch) -> None:
    monkeypatch.setattr("keepfit.object_storage.store._FILES", {})
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "not-a-secret")
    (folder / "keepfit.toml").write_text(SETTINGS.replace("[data]\n", '[data]\ninbox = "s3://bucket/raw"\n'))
    monkeypatch.setattr("keepfit.object_storage.store.TRIES", 1)
    monkeypatch.setattr("keepfit.object_storage.store.PATIENCE", {"retries": {"total_max_attempts": 1}})
    with project.open(folder) as opened:
        wrong = {what: words for what, well, words in opened.doctor() if not well}
    assert [name for name, words in wrong.items() if "s3://bucket/raw" in words] == ["inbox"]


def test_a_full_disk_is_a_fault(folder, monkeypatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**12, 10**12, 10**7))
    assert "Free some space" in faults(folder)["disk"]


def test_tables_that_no_run_takes_in_are_named(folder) -> None:
    for name in ("a.csv", "b.xlsx", "c.TSV", "d.quality.json", "e.md", ".f.xlsx"):
        (folder / "data/inbox" / name).write_text("a\n")
    words = faults(folder)["ignored files"]
    assert words.startswith("b.xlsx, c.TSV:")


def test_a_note_beside_the_data_is_no_fault(folder) -> None:
    (folder / "data/inbox/readme.md").write_text("hello")
    assert examined(folder)["ignored files"] == (True, "readme.md: no data by their names")


def test_files_still_being_written_are_counted_and_those_given_up_are_a_fault(folder) -> None:
    (folder / "data/inbox/a.csv").write_text("a\n")
    part = folder / "data/inbox/b.csv.part"
    part.write_text("a\n")
    assert "1 files are ready, 1 still being written" in examined(folder)["files"][1]
    os.utime(part, (1e9, 1e9))
    assert "b.csv.part did not change for an hour" in faults(folder)["files"]


# ------------------------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("more", "what", "words"),
    [
        ("\n[data.holdout]\nby = 'group'", "data.holdout.by", "name the column with [data] group"),
        ("\n[data.holdout]\nstratify = 'twon'", "data.holdout.stratify", "did you mean 'town'"),
        ("\n[data.holdout]\nstratify = 'bought'\nby = 'file'", "data.holdout.stratify", "no effect"),
        ("\n[promote.slices]\ncolumns = ['twn']", "promote.slices", "did you mean 'town'"),
        ("\n[train]\nmetric = 'acuracy'", "metric", "acuracy"),
        ("\n[train]\nmetric = 'f1'", "metric", "positive"),
        ("\n[train]\nmetric = 'f1'\npositive = 'y'\n[data.labels]\nyes = 'yes'\nno = 'no'", "train.positive", "no class"),
        (CANDIDATE + "parameters = { c = 1 }", "candidate linear", "does not accept"),
        (CANDIDATE + "parameters = { C = -1.0 }", "candidate linear", "does not accept"),
        (CANDIDATE + "search = { estimator__c = [1] }", "candidate linear", "did you mean 'estimator__C'"),
        (CANDIDATE + "search = { C = [1] }", "candidate linear", "begin with estimator__"),
        (CANDIDATE.replace("linear_model", "linear"), "candidate linear", "cannot be imported"),
        (CANDIDATE.replace("LogisticR", "R"), "candidate linear", "has no Regression"),
        ("\n[data.columns.other]\ntype = 'number'", None, ""),
    ],
)
def test_a_setting_that_names_nothing_is_a_fault_with_what_to_do(folder, more, what, words) -> None:
    found = faults(folder, more)
    assert list(found) == ([what] if what else [])
    assert words in found.get(str(what), "")


@pytest.mark.parametrize("setting", ["id", "time", "group", "unit", "keep"])
def test_a_column_that_the_contract_does_not_have_is_a_fault(folder, setting) -> None:
    value = '["dya"]' if setting == "keep" else '"dya"'
    assert "did you mean 'day'" in faults(folder, data=f"{setting} = {value}")[f"data.{setting}"]


def test_a_time_that_is_no_datetime_is_a_fault(folder) -> None:
    assert "make it a datetime" in faults(folder, data='time = "price"')["data.time"]


# ------------------------------------------------------------------------------------------------------- own functions

OWN = '\n[train]\nmetric = "mine:score"\ngreater_is_better = true\n'


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def score(rows): return 1.0", None),
        ("def score(rows, weights): return 1.0", "called as metric(rows)"),
        ("def other(rows): return 1.0", "has no function 'score'"),
        ("def score(rows) return 1.0", "SyntaxError"),
        ("import nothing_of_that_name", "nothing_of_that_name"),
        (None, "cannot be read"),
    ],
)
def test_the_projects_functions_are_loaded_and_their_parameters_looked_at(folder, code, words) -> None:
    if code is not None:
        (folder / "mine.py").write_text(code)
    found = faults(folder, OWN)
    assert list(found) == (["function mine:score"] if words else [])
    assert (words or "") in found.get("function mine:score", "")


def test_a_module_that_ends_the_process_is_a_finding(folder) -> None:
    (folder / "mine.py").write_text("raise SystemExit(3)")
    [words] = faults(folder, OWN).values()
    assert "SystemExit: 3" in words


# ------------------------------------------------------------------------------------------------------------ databases


def test_who_holds_the_lease_is_told(folder) -> None:
    ledger = MemoryLedger()
    assert examined(folder, ledger=ledger)["lease"] == (True, "is free")
    ledger.leases.acquire("shop", new_holder(), 60)
    assert "is at work since" in examined(folder, ledger=ledger)["lease"][1]


def test_a_lease_that_was_left_is_told(folder) -> None:
    class Yesterday:
        def now(self) -> Any:
            return SystemClock().now() - timedelta(days=1)

    ledger = MemoryLedger(Yesterday())
    ledger.leases.acquire("shop", "elsewhere:1:0", 60)
    assert examined(folder, ledger=ledger)["lease"] == (True, "was left by elsewhere:1:0; the next run takes it over")


def test_a_ledger_that_does_not_answer_is_a_fault_and_nothing_else_suffers(folder) -> None:
    url = '\n[ledger]\nurl = "sqlite:///keepfit.toml"\n'
    (folder / "keepfit.toml").write_text(SETTINGS + url)
    config = load(folder, environment={})
    found = examine(OpenedPorts(config, SystemClock(), {"registry": Registry("3")}), config)
    assert [what for what, well, _ in found if not well] == ["ledger"]
    assert ("champion", True, "shop version 3, alias champion can be loaded") in found


def test_a_champion_that_cannot_be_loaded_is_a_fault(folder) -> None:
    found = faults(folder, registry=Registry("3", refusal=ModelRefused("it holds a pickle")))
    assert found == {"champion": "shop version 3, alias champion cannot be loaded: it holds a pickle"}


def test_a_registry_that_is_away_is_a_fault(folder) -> None:
    assert faults(folder, registry=Registry(away=Unavailable("nobody answers"))) == {"MLflow": "nobody answers"}
    assert faults(folder, registry=Registry(away=RuntimeError("odd"))) == {"MLflow": "RuntimeError: odd"}


def test_an_address_is_shown_without_its_password(folder) -> None:
    url = '\n[tracking]\nurl = "http://ann:secret@mlflow.example"\n'
    found = examined(folder, url)["MLflow"]
    assert found == (True, "http://mlflow.example answers")


# ------------------------------------------------------------------------------------------------------------ libraries


def test_what_an_optional_part_needs_is_a_fault_only_where_it_is_used(folder, monkeypatch) -> None:
    from importlib import metadata

    known = metadata.version

    def version(name: str) -> str:
        if name in ("psycopg", "lightgbm"):
            raise metadata.PackageNotFoundError(name)
        return "0.0.1" if name == "polars" else known(name)

    monkeypatch.setattr(metadata, "version", version)
    found = examined(folder, CANDIDATE.replace("sklearn.linear_model.LogisticRegression", "lightgbm.LGBMClassifier"))
    assert found["optional: lightgbm"] == (
        *(False, "is not installed; LightGBM's models would need it: pip install 'keepfit[lightgbm]'"),
    )
    assert found["optional: postgres"][0]
    assert not found["libraries"][0]
    assert "polars is 0.0.1, tested are >=1.30" in found["libraries"][1]


def test_the_project_asks_for_this(folder) -> None:
    (folder / "keepfit.toml").write_text(SETTINGS)
    with project.open(folder, ledger=MemoryLedger(), registry=Registry(None)) as opened:
        assert all(well for _, well, _ in opened.doctor())


def test_what_waits_in_the_prediction_log_is_told_where_there_is_one(folder) -> None:
    assert "prediction log" not in examined(folder, CANDIDATE)
    log = MemoryLog("test")
    ids = [RequestIds("test").new() for _ in range(3)]
    spool = log.open_spool("worker")
    row = {"at": 0.0, "model": "m", "version": "1", "inputs": {}, "prediction": "yes", "score": None}
    spool.write([*(Logged(request_id=id, **row) for id in ids)])
    spool.write([*(Labelled(request_id=id, at=1.0, label="yes") for id in ids[:2])])
    spool.close()
    log.drain()
    (folder / ".keepfit/log").mkdir(parents=True)
    assert examined(folder, CANDIDATE, log=log, spans=MemorySpans())["prediction log"] == (
        True,
        ".keepfit/log: 2 labelled answers, 2 not yet taken into the loop",
    )


def test_a_server_that_could_answer_nobody_is_a_fault(folder) -> None:
    more = CANDIDATE + '\n[serve]\nhost = "0.0.0.0"\n'
    assert "keepfit keys add" in faults(folder, more)["API keys"]
    assert "API keys" not in faults(folder, CANDIDATE)
    assert "API keys" not in faults(folder, more + 'authentication = "off"\n')


def test_where_dvc_pushes_to_is_told_and_a_remote_that_is_not_named_is_a_fault(folder) -> None:
    dvc = '\nversioning = "dvc"'
    named = examined(folder, CANDIDATE + '\n[data.dvc]\nremote = "s3://bucket/data"\n', dvc)
    assert named["optional: dvc"][0]
    assert named["data versions"] == (True, "kept by DVC, pushed to s3://bucket/data; nobody was asked")
    assert "DVC has no remote" in faults(folder, CANDIDATE, data=dvc)["data versions"]
    assert faults(folder, CANDIDATE + "\n[data.dvc]\npush = false\n", data=dvc) == {}
    (folder / ".dvc").mkdir()
    (folder / ".dvc/config").write_text("[core]\n    remote = theirs\n")
    assert "remote 'theirs'" in examined(folder, CANDIDATE, dvc)["data versions"][1]
    assert "data versions" not in examined(folder, CANDIDATE)
