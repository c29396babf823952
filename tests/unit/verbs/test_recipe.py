"""What was kept of how a model was made is read only where it can be."""

from __future__ import annotations

from pathlib import Path

import pytest

from keepfit.errors import DataError, ModelRefused
from keepfit.verbs.recipe import read
from keepfit.versions import kept_sources


@pytest.mark.parametrize("text", ["", "[", "3", "[]", "{}", '{"settings": {}}', '{"settings": {"data": 3}, "columns": {}}', "\xff"])
def test_damaged_settings_are_told_as_such(tmp_path: Path, text: str) -> None:
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings/settings.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"settings/settings\.json of the version is damaged"):
        read(tmp_path)


@pytest.mark.parametrize("name", [".tmp.pwned.py", ".py", "a..b.py", "a b.py", "a-b.py", "inner..py"])
def test_a_file_whose_name_is_no_modules_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "inner.scale.py").write_text("FACTOR = 3\n")
    assert kept_sources(tmp_path) == {"inner.scale": "FACTOR = 3\n"}
    (tmp_path / name).write_text("")
    with pytest.raises(ModelRefused, match="no module's name"):
        kept_sources(tmp_path)


def test_a_project_without_code_has_no_sources(tmp_path: Path) -> None:
    assert kept_sources(tmp_path / "none") == {}
