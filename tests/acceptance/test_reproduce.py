"""A model is made again from what was kept of it: the same bytes, or what differs is named. The project stays as it is."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.empty_registry import with_empty_registry
from tests.acceptance.project import make_project, tree, write_day
from typer.testing import CliRunner

import keepfit
import keepfit.provenance
from keepfit.cli.main import app
from keepfit.errors import DataError, NotFound, Unavailable
from keepfit.records import Cycle
from keepfit.verbs import reproduction
from keepfit.verbs.reproduction import Reproduction

pytestmark = pytest.mark.slow

FOREST = """
[[train.candidates]]
name = "forest"
estimator = "sklearn.ensemble.RandomForestClassifier"
parameters = { n_estimators = 20 }
"""
TRAINING = """
import numpy as np
from sklearn.linear_model import LogisticRegression

def train(features, target):
    return LogisticRegression(C=np.random.default_rng().uniform(0.5, 2)).fit(features, target)
"""


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Cycle, Cycle]:
    """A classifier's first two cycles that trained; the columns are inferred, and the forest draws by the seed."""
    folder = with_empty_registry(make_project(tmp_path_factory.mktemp("reproduce") / "project"))
    settings = (folder / "keepfit.toml").read_text()
    before, _, after = settings.partition("[data.columns]")
    (folder / "keepfit.toml").write_text(
        before + after[after.index("[data.holdout]") :].replace("\n[promote]", f"{FOREST}\n[promote]")
    )
    write_day(folder, 1, "x")
    first = run(folder)
    write_day(folder, 2, "y")
    return folder, first, run(folder, force=True)


def run(folder: Path, *, force: bool = False) -> Cycle:
    with keepfit.open(folder) as project:
        cycle = project.run(force=force)
    assert cycle.candidate is not None, cycle.reason
    return cycle


@pytest.fixture
def changed(lived: tuple[Path, Cycle, Cycle]) -> Iterator[Callable[[], Path]]:
    """The project, which a test may change: everything is put back afterwards."""
    folder = lived[0]
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy)
    yield lambda: folder
    shutil.rmtree(folder)
    copy.rename(folder)


def reproduce(folder: Path, cycle: Cycle) -> Reproduction:
    """Nothing of the project may be another afterwards."""
    before = tree(folder)
    with keepfit.open(folder) as project:
        found = project.reproduce(cycle.id)
    assert tree(folder) == before
    return found


def said(found: Reproduction) -> list[tuple[str, str]]:
    return [(difference.kind, difference.what) for difference in found.differences]


def test_every_cycle_makes_the_same_model_again(lived: tuple[Path, Cycle, Cycle]) -> None:
    folder, *cycles = lived
    for cycle in cycles:
        found = reproduce(folder, cycle)
        assert (found.identical, found.differences) == (True, ())
        assert found.found == found.registered == cycle.candidate.content_hash  # type: ignore[union-attr]
    assert cycles[0].candidate.content_hash != cycles[1].candidate.content_hash  # type: ignore[union-attr]


def test_a_regression_template_makes_the_same_model_again(tmp_path: Path) -> None:
    keepfit_command("init", "churn", str(tmp_path / "churn"))
    with_empty_registry(tmp_path / "churn")
    with keepfit.open(tmp_path / "churn") as project:
        project.simulate("2026-01-01", 1)
    cycle = run(tmp_path / "churn")
    found = reproduce(tmp_path / "churn", cycle)
    assert (found.identical, found.differences) == (True, ())


def test_code_and_settings_of_today_are_named_and_not_used(lived: tuple[Path, Cycle, Cycle], changed: Callable[[], Path]) -> None:
    folder, first, _ = lived
    changed()
    (folder / "features.py").write_text("def prepare(frame):\n    return frame.assign(apart=frame['x'] - frame['y'])\n")
    settings = (folder / "keepfit.toml").read_text()
    (folder / "keepfit.toml").write_text(
        settings.replace("[train]\n", "[train]\nseed = 7\n").replace("n_estimators = 20", "n_estimators = 30")
    )
    found = reproduce(folder, first)
    assert found.identical
    assert said(found) == [
        ("code", "features.py"),
        ("settings", "train.candidates.1.parameters.n_estimators"),
        ("settings", "train.seed"),
    ]
    assert [str(each) for each in found.differences][2] == "settings: train.seed: 0 then, 7 now"
    assert not any(each.used for each in found.differences)
    (folder / "features.py").unlink()
    assert ("code", "the project's own files") in said(reproduce(folder, first))


def test_code_that_is_not_what_was_registered_is_named_and_not_run(
    lived: tuple[Path, Cycle, Cycle], changed: Callable[[], Path]
) -> None:
    folder, first, _ = lived
    changed()
    for kept in (folder / ".keepfit/artifacts").glob("*/artifacts/code/features.py"):
        kept.write_text("raise SystemExit('this was run')\n")
    result = keepfit_command("reproduce", first.id, "--project", str(folder), code=1)
    assert "not reproduced: version 1" in result.stdout
    assert "code: files kept with the version" in result.stdout


@pytest.mark.parametrize(
    "path, change, told",
    [
        (
            "settings/settings.json",
            lambda text: re.sub(r'"estimator": "[^"]*"', '"estimator": "subprocess.Popen"', text),
            "settings: ",
        ),
        ("settings/settings.json", lambda _: "[3]", "settings: "),
        ("data/manifest.json", lambda text: text.replace("rows-", "rows-../"), "data: "),
        ("code/.pwned.features.py", lambda _: "PWNED = True", "code: "),
    ],
)
def test_nothing_that_others_put_among_the_artifacts_is_used(
    lived: tuple[Path, Cycle, Cycle],
    changed: Callable[[], Path],
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    change: Callable[[str], str],
    told: str,
) -> None:
    folder, first, _ = lived
    changed()
    for artifacts in (folder / ".keepfit/artifacts").glob("*/artifacts"):
        if (artifacts / "settings").is_dir():
            before = (artifacts / path).read_text() if (artifacts / path).exists() else ""
            (artifacts / path).write_text(change(before))
            assert (artifacts / path).read_text() != before
    for name in ("_made_again", "write_sources", "_settings"):
        monkeypatch.setattr(reproduction, name, unused)
    found = reproduce(folder, first)
    assert (found.identical, found.found) == (False, None)
    assert [str(each).startswith(told) for each in found.differences if each.used] == [True]


def unused(*_: Any) -> None:
    raise AssertionError("this was used")


def test_a_cycle_of_which_the_ledger_does_not_know_how_it_was_made_is_not_made_again(lived: tuple[Path, Cycle, Cycle]) -> None:
    folder, first, _ = lived
    assert first.data is not None
    older = replace(first, data=replace(first.data, artifacts={}), provenance=None)
    with keepfit.open(folder) as project:
        found = reproduction.reproduce(older, unused, project.ports, project.config)
    assert said(found) == [
        ("settings", "settings/settings.json, kept with the version"),
        ("data", "data/manifest.json, kept with the version"),
        ("code", "files kept with the version"),
    ]


def test_a_project_that_was_moved_is_told_so(lived: tuple[Path, Cycle, Cycle], changed: Callable[[], Path]) -> None:
    folder, first, _ = lived
    changed()
    (folder / ".keepfit/artifacts").rename(folder / ".keepfit/elsewhere")
    with keepfit.open(folder) as project:
        for look in (project.reproduce, project.checkout_data):
            with pytest.raises(Unavailable, match=r"moved or renamed\?.*mlflow-server"):
                look(first.id)


def test_what_was_brought_is_kept_from_git_and_nothing_goes_where_a_file_is(
    lived: tuple[Path, Cycle, Cycle], changed: Callable[[], Path], tmp_path: Path
) -> None:
    folder, first, _ = lived
    changed()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "half").mkdir()
    (tmp_path / "half/processed").write_text("mine")
    with keepfit.open(folder) as project:
        for name in ("file", "dangling", "half", "file/below"):
            with pytest.raises(DataError, match=r"no folder. Nothing was written: name another"):
                project.checkout_data(first.id, tmp_path / name)
        assert not (tmp_path / "half/raw").exists()
        brought = Path(project.checkout_data(first.id).folder)
        assert (brought / ".gitignore").read_text() == "*\n"
        project.checkout_data(first.id, tmp_path / "out")
        assert not (tmp_path / "out/.gitignore").exists()  # a place of the user's
        for kept in (folder / ".keepfit/artifacts").glob("*/artifacts/data/manifest.json"):
            kept.write_text(kept.read_text().replace("rows-", "rows-0"))
        with pytest.raises(DataError, match="not what was registered"):
            project.checkout_data(first.id, tmp_path / "other")


@pytest.mark.parametrize("words", [("reproduce", ""), ("data", "checkout", ""), ("explain", "")])
def test_an_empty_id_is_no_cycles(lived: tuple[Path, Cycle, Cycle], words: tuple[str, ...]) -> None:
    result = keepfit_command(*words, "--project", str(lived[0]), code=2)
    assert "id is empty" in result.stderr


def test_data_that_changed_or_are_gone_are_named(lived: tuple[Path, Cycle, Cycle], changed: Callable[[], Path]) -> None:
    folder, first, second = lived
    changed()
    raw = next((folder / "data").glob("*/day-1.csv"))
    raw.write_text(raw.read_text().replace("yes", "no", 5))
    found = reproduce(folder, second)
    assert found.identical  # its rows are kept as they were prepared
    assert said(found) == [("data", "raw/day-1.csv")]
    rows = next((folder / ".keepfit/prepared").glob(f"rows-{first.batches[0].id}-*.parquet"))
    rows.unlink()
    found = reproduce(folder, second)
    assert (found.identical, found.found) == (False, None)
    assert said(found) == [("data", "raw/day-1.csv"), ("data", f"processed/{rows.name}"), ("model", "it cannot be made again")]
    result = keepfit_command("reproduce", second.id, "--project", str(folder), code=1)
    assert f"data: processed/{rows.name}: " in result.stdout


def test_rows_that_were_lost_are_prepared_anew(lived: tuple[Path, Cycle, Cycle], changed: Callable[[], Path]) -> None:
    folder, _, second = lived
    changed()
    for rows in (folder / ".keepfit/prepared").glob("rows-*.parquet"):
        rows.unlink()
    found = reproduce(folder, second)
    assert found.identical
    assert {kind for kind, _ in said(found)} == {"data"}


def test_libraries_and_machine_are_told_then_and_now(lived: tuple[Path, Cycle, Cycle], monkeypatch: pytest.MonkeyPatch) -> None:
    installed = keepfit.provenance._installed
    monkeypatch.setattr(keepfit.provenance, "_installed", lambda name: "99.0" if name == "scikit-learn" else installed(name))
    monkeypatch.setattr("platform.machine", lambda: "abacus")
    found = reproduce(lived[0], lived[1])
    assert found.identical
    assert said(found) == [("library", "scikit-learn"), ("platform", "machine")]
    assert all(each.used for each in found.differences)
    assert str(found.differences[0]).endswith("then, 99.0 now")


def test_a_training_that_draws_by_no_seed_is_told(tmp_path: Path) -> None:
    folder = with_empty_registry(make_project(tmp_path / "project"))
    settings = (folder / "keepfit.toml").read_text().replace("[train]\n", '[train]\nfunction = "training:train"\n')
    head, _, tail = settings.partition("[[train.candidates]]")
    (folder / "keepfit.toml").write_text(head + tail[tail.index("[promote]") :])
    (folder / "training.py").write_text(TRAINING)
    write_day(folder, 1, "x")
    cycle = run(folder)
    found = reproduce(folder, cycle)
    assert not found.identical
    assert found.found is not None
    assert found.differences == ()
    result = keepfit_command("reproduce", cycle.id, "--project", str(folder), code=1)
    assert "different: version 1" in result.stdout
    assert "the training itself may not give the same twice" in result.stdout


def test_a_cycle_that_trained_nothing_cannot_be_reproduced(lived: tuple[Path, Cycle, Cycle]) -> None:
    folder = lived[0]
    waiting = run_idle(folder)
    with keepfit.open(folder) as project, pytest.raises(NotFound, match="trained nothing"):
        project.reproduce(waiting.id)


def run_idle(folder: Path) -> Cycle:
    with keepfit.open(folder) as project:
        return project.run()


def keepfit_command(*arguments: str, code: int = 0) -> Any:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    return result
