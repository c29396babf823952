"""What has nothing to do loads nothing heavy: help is instant, and a waiting project costs a glance every minute."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from tests.acceptance.runs import eventually

HEAVY = {
    "airflow",
    "apprise",
    "botocore",
    "dask",
    "distributed",
    "evidently",
    "fsspec",
    "great_expectations",
    "langchain",
    "mlflow",
    "numpy",
    "pandas",
    "pandera",
    "polars",
    "prefect",
    "pyarrow",
    "ray",
    "scipy",
    "sklearn",
    "skops",
    "streamlit",
}
DATABASE = {"sqlalchemy"}  # the ledger's; a command that looks at no ledger does without

PROBE = """
import json, sys
from pathlib import Path
report, *arguments = sys.argv[1:]
sys.argv = ["keepfit", *arguments]
code = 0
if arguments:
    from keepfit.cli.main import main
    try:
        main()
    except SystemExit as leaving:
        code = leaving.code or 0
else:
    import keepfit
Path(report).write_text(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
sys.exit(code)
"""

SETTINGS = """
[project]
name = "light"
task = "classification"

[data]
target = "answer"
settle = "0s"

[data.columns]
x = { type = "number" }
answer = { type = "category", values = ["yes", "no"] }

[[train.candidates]]
estimator = "sklearn.linear_model.LogisticRegression"
"""


def loaded(folder: Path, *arguments: str) -> tuple[set[str], str]:
    """The packages that a fresh Python has loaded after the command, and what the command said."""
    report = folder / "modules.json"
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(report), *arguments], capture_output=True, text=True, env=os.environ, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(report.read_text())), done.stdout


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project to which nothing has come yet."""
    folder = tmp_path_factory.mktemp("new")
    (folder / "keepfit.toml").write_text(SETTINGS)
    (folder / "data" / "inbox").mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a champion, and nothing new since."""
    folder = tmp_path_factory.mktemp("serving")
    (folder / "keepfit.toml").write_text(SETTINGS)
    (folder / "data" / "inbox").mkdir(parents=True)
    rows = "".join(f"{number / 100},{'yes' if number % 7 < 4 else 'no'}\n" for number in range(400))
    (folder / "data" / "inbox" / "first.csv").write_text(f"x,answer\n{rows}")
    packages, said = loaded(folder, "run", "--project", str(folder))
    assert said.startswith("promoted"), said
    assert {"mlflow", "sklearn"} <= packages, "a run that trains loads them, or this test sees nothing"
    return folder


def test_importing_keepfit_loads_nothing_but_python(new: Path) -> None:
    packages, _ = loaded(new)
    assert not packages & (HEAVY | DATABASE | {"pydantic", "typer", "rich", "click"})


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["run", "--help"], ["init", "--help"], ["watch", "--help"]], ids=" ".join
)
def test_help_loads_nothing_heavy(new: Path, arguments: list[str]) -> None:
    packages, said = loaded(new, *arguments)
    assert said
    assert not packages & (HEAVY | DATABASE)


@pytest.mark.parametrize("verb", ["status", "history", "config"])
def test_looking_loads_nothing_heavy(new: Path, serving: Path, verb: str) -> None:
    for project in (new, serving):
        packages, said = loaded(project, verb, "--project", str(project))
        assert said
        assert not packages & HEAVY


def test_explaining_loads_nothing_heavy(serving: Path) -> None:
    packages, said = loaded(serving, "explain", "--project", str(serving))
    assert "ended as promoted" in said or "ended as waiting" in said
    assert not packages & HEAVY


@pytest.mark.parametrize("name", ["new", "serving"])
def test_a_run_with_nothing_to_do_loads_nothing_heavy(name: str, request: pytest.FixtureRequest) -> None:
    project: Path = request.getfixturevalue(name)
    for _ in ("asked", "remembered"):
        packages, said = loaded(project, "run", "--project", str(project))
        assert said.startswith("waiting: 0 of 1 new batches"), said
        assert not packages & HEAVY


def test_a_watch_with_nothing_to_do_loads_nothing_heavy(serving: Path) -> None:
    report, command = serving / "watch.json", ["watch", "--project", str(serving), "--port", "0"]
    watch = subprocess.Popen([sys.executable, "-c", PROBE, str(report), *command], stdout=subprocess.PIPE, text=True)
    try:
        assert watch.stdout is not None
        address = next(line for line in watch.stdout if line.startswith("health at ")).split()[-1]
        eventually(lambda: httpx.get(address, timeout=30).json()["projects"][0]["last"], "its first look")
        watch.terminate()
        assert watch.wait(60) == 0
    finally:
        watch.kill()
        watch.communicate()
    assert not set(json.loads(report.read_text())) & HEAVY


def test_a_wait_for_labels_is_remembered_and_loads_nothing_heavy(serving: Path) -> None:
    log = serving / ".keepfit" / "log" / "labels"
    log.mkdir(parents=True)
    try:
        packages, said = loaded(serving, "run", "--project", str(serving))
        assert said.endswith("; 0 of 100 newly labelled predictions\n"), said
        assert "polars" in packages, "whoever reads the log loads it, or this test sees nothing"
        packages, again = loaded(serving, "run", "--project", str(serving))
        assert again == said
        assert not packages & (HEAVY | DATABASE)
    finally:
        log.rmdir()
        log.parent.rmdir()
