"""The project's own functions: found by name, told where they fail, remembered as they were."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from keepfit.adapters.project_code import FolderCode, forget, kept_code
from keepfit.errors import ConfigError, DataError, ModelRefused, UserCodeError

FRAME = pd.DataFrame({"x": [1.0, 2.0]})


def code(folder: Path, text: str | None = None, **functions: str) -> FolderCode:
    if text is not None:
        (folder / "features.py").write_text(text)
    return FolderCode(folder, functions or {"prepare": "features:prepare"}, folder / "kept")


def test_a_function_is_called_by_its_role(tmp_path) -> None:
    found = code(tmp_path, "def prepare(frame):\n    return frame.assign(twice=frame['x'] * 2)\n").prepare(FRAME)
    assert found["twice"].tolist() == [2.0, 4.0]


def test_without_a_prepare_the_frame_itself_is_what_is_prepared(tmp_path) -> None:
    none = FolderCode(tmp_path, {}, tmp_path / "kept")
    assert none.prepare(FRAME) is FRAME
    assert none.sources() == {}
    assert not (tmp_path / "kept").exists()


def test_a_module_may_import_its_neighbours_and_the_path_is_as_it_was_afterwards(tmp_path) -> None:
    (tmp_path / "neighbour.py").write_text("FACTOR = 3\n")
    before = list(sys.path)
    text = "from neighbour import FACTOR\n\n\ndef prepare(frame):\n    return frame * FACTOR\n"
    assert code(tmp_path, text).prepare(FRAME)["x"].tolist() == [3.0, 6.0]
    assert sys.path == before


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("raise KeyError('speed')", "features:prepare failed in features.py, line 2: KeyError: 'speed'"),
        ("return frame['nope']", "features:prepare failed in features.py, line 2: KeyError: 'nope'"),
        ("return prepare(frame)", "RecursionError"),
        ("raise SystemExit(0)", "features:prepare"),
        ("import sys; sys.exit()", "features:prepare"),
        ("return None", "features:prepare returned NoneType: expected a pandas DataFrame"),
        ("return 3", "returned int"),
        ("assert False", "AssertionError"),
    ],
)
def test_a_failure_is_the_functions_own_and_names_its_line(tmp_path, body, told) -> None:
    with pytest.raises(UserCodeError) as caught:
        code(tmp_path, f"def prepare(frame):\n    {body}\n").prepare(FRAME)
    assert told in str(caught.value)


def test_an_error_of_keepfits_own_keeps_its_kind(tmp_path) -> None:
    text = "from keepfit.errors import DataError\n\n\ndef prepare(frame):\n    raise DataError('known')\n"
    with pytest.raises(DataError, match="known"):
        code(tmp_path, text).prepare(FRAME)


def test_an_interruption_is_not_taken_for_a_failure(tmp_path) -> None:
    with pytest.raises(KeyboardInterrupt):
        code(tmp_path, "def prepare(frame):\n    raise KeyboardInterrupt\n").prepare(FRAME)


@pytest.mark.parametrize("text", ["def prepare(frame)\n", "import nowhere_at_all\n", "1 / 0\n", "raise SystemExit(0)\n", "x = '\\"])
def test_a_module_that_cannot_be_imported_is_told(tmp_path, text) -> None:
    with pytest.raises(UserCodeError, match=r"features\.py cannot be imported"):
        code(tmp_path, text).prepare(FRAME)
    assert "features" not in sys.modules


@pytest.mark.parametrize(
    ("text", "functions"),
    [
        (None, {"prepare": "features:prepare"}),
        ("x = 1\n", {"prepare": "features:prepare"}),
        ("prepare = 3\n", {"prepare": "features:prepare"}),
        ("def prepare(frame):\n    return frame\n", {"prepare": "nowhere:prepare"}),
    ],
)
def test_a_name_that_leads_nowhere_is_a_configuration_error(tmp_path, text, functions) -> None:
    with pytest.raises(ConfigError, match=r"keepfit\.toml names"):
        code(tmp_path, text, **functions).prepare(FRAME)


def test_what_functions_print_goes_to_stderr(tmp_path, capsys) -> None:
    text = "print('importing')\n\n\ndef prepare(frame):\n    print('preparing')\n    return frame\n"
    code(tmp_path, text).prepare(FRAME)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.split() == ["importing", "preparing"]


# ------------------------------------------------------------------------------------------------------------ fingerprints

ONE = "def prepare(frame):\n    return frame\n"
TWO = "def prepare(frame):\n    return frame.assign(z=1.0)\n"


def test_the_fingerprint_is_of_the_named_files_and_nothing_else(tmp_path) -> None:
    first = code(tmp_path, ONE)
    (tmp_path / "notes.py").write_text("x = 1\n")
    assert code(tmp_path).fingerprint == first.fingerprint
    assert code(tmp_path, TWO).fingerprint != first.fingerprint
    assert first.sources() == {"features.py": ONE}


def test_a_module_in_a_folder_is_named_with_dots(tmp_path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/features.py").write_text(TWO)
    found = code(tmp_path, prepare="inner.features:prepare")
    assert "z" in found.prepare(FRAME).columns
    again = found.at(found.fingerprint)
    assert again is not None
    assert again.fingerprint == found.fingerprint


def test_code_that_has_prepared_rows_is_remembered_as_it_was(tmp_path) -> None:
    old = code(tmp_path, ONE)
    assert old.at(old.fingerprint) is None  # it has prepared nothing yet
    old.prepare(FRAME)
    new = code(tmp_path, TWO)
    before = new.at(old.fingerprint)
    assert before is not None
    assert before.fingerprint == old.fingerprint
    assert "z" not in before.prepare(FRAME).columns
    assert "z" in new.prepare(FRAME).columns
    assert new.at("0" * 16) is None


def test_a_process_that_died_while_remembering_leaves_nothing_that_looks_whole(tmp_path, monkeypatch) -> None:
    found = code(tmp_path, ONE)
    rename = Path.rename

    def dies(self: Path, target: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", dies)
    with pytest.raises(KeyboardInterrupt):
        found.prepare(FRAME)
    monkeypatch.setattr(Path, "rename", rename)
    assert found.at(found.fingerprint) is None
    found.prepare(FRAME)
    assert found.at(found.fingerprint) is not None


def kept(folder: Path, sources: dict[str, str]) -> Path:
    """The files as they are kept with a version."""
    (folder / "version").mkdir(exist_ok=True)
    for name, text in sources.items():
        (folder / "version" / name).write_text(text)
    return folder / "version"


def test_code_of_a_version_is_run_only_if_it_is_what_was_registered(tmp_path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/scale.py").write_text("FACTOR = 3\n")
    text = "from inner.scale import FACTOR\n\n\ndef prepare(frame):\n    return frame * FACTOR\n"
    registered = code(tmp_path, text)
    there = kept(tmp_path, registered.sources())
    functions = {"prepare": "features:prepare"}
    assert kept_code(there, functions, registered.fingerprint).prepare(FRAME)["x"].tolist() == [3.0, 6.0]
    kept(tmp_path, {"inner.scale.py": f"import os\nos.mkdir({str(tmp_path / 'run')!r})\nFACTOR = 3\n"})
    with pytest.raises(ModelRefused, match="not what the version was registered with"):
        kept_code(there, functions, registered.fingerprint)
    assert not (tmp_path / "run").exists()
    kept_code(there, functions)  # nobody vouches for it: as older versions were taken
    assert (tmp_path / "run").exists()


def test_of_what_lies_beside_the_code_of_a_version_nothing_is_run(tmp_path) -> None:
    registered = code(tmp_path, "try:\n    import beside\nexcept ImportError:\n    beside = None\n\n\n" + ONE)
    there = kept(tmp_path, registered.sources())
    (there / "beside").mkdir()
    (there / "beside/__init__.py").write_text("")
    assert kept_code(there, {"prepare": "features:prepare"}, registered.fingerprint)._module("features").beside is None


def test_importing_keepfit_imports_none_of_the_projects_code(tmp_path) -> None:
    (tmp_path / "features.py").write_text("raise SystemExit('imported')\n")
    script = "\n".join(
        (
            "from pathlib import Path",
            "from keepfit.adapters.project_code import FolderCode",
            "FolderCode(Path(), {'prepare': 'features:prepare'}, Path('kept')).fingerprint",
        )
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=tmp_path).returncode == 0


def test_a_project_that_is_forgotten_leaves_no_module_to_the_next(tmp_path) -> None:
    """Two in one process, as under `keepfit watch`: both have a features.py, and only one of them has what it imports."""
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    (first / "shared").mkdir()
    (first / "shared/words.py").write_text("FACTOR = 3\n")
    text = "from shared.words import FACTOR\n\n\ndef prepare(frame):\n    return frame * FACTOR\n"
    assert code(first, text).prepare(FRAME)["x"].tolist() == [3.0, 6.0]
    forget(first)
    with pytest.raises(UserCodeError, match="No module named 'shared'"):
        code(second, text).prepare(FRAME)
    assert code(first).prepare(FRAME)["x"].tolist() == [3.0, 6.0]
    forget(first)
    (first / "shared/words.py").write_text("FACTOR = 40\n")
    assert code(first).prepare(FRAME)["x"].tolist() == [40.0, 80.0]
    forget(first)
    assert not {"features", "shared", "shared.words"} & sys.modules.keys()


def test_what_is_installed_in_the_projects_folder_is_not_forgotten(tmp_path, monkeypatch) -> None:
    """An environment in the folder is the interpreter's own: numpy does not bear being imported twice."""
    place = tmp_path / ".venv/lib/site-packages"
    place.mkdir(parents=True)
    (place / "installed_there.py").write_text("")
    monkeypatch.syspath_prepend(place)
    installed = importlib.import_module("installed_there")
    try:
        forget(tmp_path)
        assert sys.modules["installed_there"] is installed
    finally:
        del sys.modules["installed_there"]
    assert {"keepfit", "pandas", "__main__"} <= sys.modules.keys()
