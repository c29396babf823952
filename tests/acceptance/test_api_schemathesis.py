"""schemathesis asks what the API's description allows, and what it does not: no 5xx, no status, no answer beyond it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.acceptance.api import KEYS, Api, api

pytestmark = pytest.mark.slow


def ask(running: Api, folder: Path, *words: str, examples: int = 40) -> None:
    """Have schemathesis ask; it must find nothing."""
    program = [sys.executable, "-m", "schemathesis.cli", "run", f"{running.url}/openapi.json", "--no-color"]
    how = ["--max-examples", str(examples), "--phases", "examples,coverage,fuzzing", "--mode", "all", "--seed", "1"]
    command = [*program, *how, "--generation-database", "none", "--warnings", "off", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr


def test_nothing_but_what_is_described_happens(tmp_path: Path) -> None:
    with api() as running:
        ask(running, tmp_path, "--exclude-path", "/invocations")
        assert running.desk.ready


def test_mlflows_protocol_is_described_but_for_what_its_rows_hold(tmp_path: Path) -> None:
    with api() as running:
        ask(running, tmp_path, "--include-path", "/invocations", "--exclude-checks", "positive_data_acceptance", examples=60)


def test_keys_are_asked_for_where_the_description_says_so(tmp_path: Path) -> None:
    with api({"authentication": "required", "rate": 0}, keys=KEYS) as running:
        ask(running, tmp_path, "--header", "X-API-Key: the key of boss", "--exclude-path", "/invocations", examples=5)


def test_before_there_is_a_champion_nothing_fails_but_by_saying_so(tmp_path: Path) -> None:
    with api(champion=False) as running:
        ask(
            running, tmp_path, "--exclude-checks", "positive_data_acceptance,not_a_server_error,negative_data_rejection", examples=5
        )
