"""DVC's process is given up on where it does nothing, and what it says is passed on once."""

from __future__ import annotations

import math
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from keepfit.adapters.dvc_data import command
from keepfit.adapters.dvc_data.bringing import bring
from keepfit.adapters.dvc_data.command import Dvc, DvcFailed
from keepfit.adapters.dvc_data.pending import Pending
from keepfit.adapters.dvc_data.publishing import Publishing
from keepfit.data_records import DataFile, Manifest
from keepfit.settings import Dvc as DvcSettings

SILENT = "import signal; signal.pause()"
FAILING = """
import json, sys
for words in json.load(sys.stdin):
    if not words[2].endswith("reference"):
        sys.stderr.write("ERROR: failed to get '" + words[2] + "' " + "x" * 1000 + chr(10))
    sys.stderr.write(chr(0))
sys.exit(1)
"""


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    monkeypatch.setattr(command, "PATIENCE", 0.3)
    return lambda text: monkeypatch.setattr(command, "PROGRAM", text)


def test_a_push_that_does_nothing_is_ended_and_made_up_for_later(program: Callable[[str], None], tmp_path: Path) -> None:
    program(SILENT)
    pending = Pending(tmp_path / "state.json")
    pending.add(push=["c1"])
    settings = DvcSettings(remote="http://127.0.0.1:9/data")
    (note,) = Publishing(tmp_path, settings, Dvc(tmp_path), pending).push(lambda cycle: [f"{cycle}/raw.dvc"])
    assert "not pushed to http://127.0.0.1:9/data: dvc push did nothing for 0.3 seconds and was ended" in note
    assert pending.push == ["c1"]
    assert not [each for each in psutil.Process().children() if SILENT in each.cmdline()]


def test_a_command_that_is_at_work_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    used = iter([0.2, 0.4, 0.6])  # seconds of the processor's time
    monkeypatch.setattr(command, "_work", lambda _: next(used))
    heard: list[str | None] = []

    def communicate(text: str | None, timeout: float) -> tuple[str, str]:
        heard.append(text)
        if len(heard) < 4:
            raise subprocess.TimeoutExpired("dvc", timeout)
        return "done", ""

    process: Any = SimpleNamespace(communicate=communicate, pid=0)
    assert command._heard(process, "words", "dvc push") == ("done", "")
    assert heard == ["words", None, None, None]


def test_the_work_of_a_process_is_its_processors_time() -> None:
    assert 0 < command._work(os.getpid()) < math.inf
    assert command._work(2**22 + 1) == math.inf  # greater than any


def test_what_dvc_says_is_told_once_at_the_folder_that_it_is_about(program: Callable[[str], None], tmp_path: Path) -> None:
    program(FAILING)
    names = ["raw/1.csv", "raw/2.csv", "processed/rows-1.parquet", "reference/reference.parquet"]
    files = tuple(DataFile(path=name, sha256="0" * 64, size=1, name=name) for name in names)
    pointers = dict.fromkeys(("raw", "processed", "reference"), "outs: []")
    manifest = Manifest(project="demo", cycle="c1", files=files, pointers=pointers)
    problems = bring(manifest, tmp_path / "out", tmp_path / "data-versions/c1", Dvc(tmp_path), tmp_path / "scratch")
    assert "failed to get 'data-versions/c1/raw'" in problems["raw/1.csv"]
    assert "failed to get 'data-versions/c1/processed'" in problems["processed/rows-1.parquet"]
    assert problems["raw/2.csv"] == problems["reference/reference.parquet"] == "DVC has it neither in its cache nor at its remote"
    assert max(map(len, problems.values())) < 400


def test_a_folder_that_was_not_reached_is_not_told_of_another(tmp_path: Path) -> None:
    def get(_: object) -> None:
        raise DvcFailed("dvc get did nothing", silent=True)

    manifest = Manifest(
        project="demo",
        cycle="c1",
        files=tuple(DataFile(path=f"raw/{n}.csv", sha256="0" * 64, size=1, name=f"{n}.csv") for n in range(3)),
        pointers={"raw": "outs: []"},
    )
    dvc = SimpleNamespace(get=get)
    problems = bring(manifest, tmp_path / "out", tmp_path / "data-versions/c1", dvc, tmp_path / "scratch")  # type: ignore[arg-type]
    assert [why for why in problems.values() if "did nothing" in why] == ["DVC says dvc get did nothing"]
