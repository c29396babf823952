"""Reports are written whole or not at all, and what cannot be written is said in one error."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.reporting.examples import CYCLE, NOW, QUIET, earlier, sides
from tests.unit.reporting.reading import read

from keepfit.errors import Unavailable
from keepfit.reporting.files import write
from keepfit.reporting.status import read_status
from keepfit.reporting.writing import write_reports


def put(folder: Path, cycle: Any = CYCLE, **others: Any) -> list[Path]:
    return write_reports(cycle, earlier(), sides().reference, sides().current, folder, NOW, **others)


def test_the_status_and_the_page_are_written(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "reports"
    assert put(folder) == [folder / "drift_status.json", folder / "keepfit.html"]
    assert read_status(folder / "drift_status.json", max_age=timedelta(0), now=NOW).drifted()
    assert "Drift in 4 of 7 columns" in read((folder / "keepfit.html").read_text(encoding="utf-8")).text
    put(folder, QUIET)
    assert not read_status(folder / "drift_status.json", max_age=None, now=NOW).drifted()
    assert sorted(path.name for path in folder.iterdir()) == ["drift_status.json", "keepfit.html"]


def test_the_page_can_be_left_out(tmp_path: Path) -> None:
    assert put(tmp_path, html=False) == [tmp_path / "drift_status.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["drift_status.json"]


def test_a_folder_that_cannot_be_written_to_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("a file")
    with pytest.raises(Unavailable, match=r"drift_status\.json cannot be written: .*\[reports\] folder"):
        put(tmp_path / "reports")


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_the_old_file_stays_when_the_new_one_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    target = write(tmp_path / "a.json", "old")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full) if broken == "fsync" else monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(Unavailable, match="No space left on device"):
        write(target, "new")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_reader_never_sees_half_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the last moment before the new file takes its place the old one is whole and the new one is on the disk."""
    target = write(tmp_path / "a.json", "old")
    seen: list[str] = []
    real = Path.replace

    def look(self: Path, to: Path) -> Path:
        seen.extend([target.read_text(), self.read_text(), self.parent.name])
        return real(self, to)

    monkeypatch.setattr(Path, "replace", look)
    write(target, "new")
    assert seen == ["old", "new", tmp_path.name]
    assert target.read_text() == "new"


def test_a_cycle_without_anything_is_reported_too(tmp_path: Path) -> None:
    bare = replace(CYCLE, drift=None, performance=None, decision=None, validation=None, provenance=None, batches=())
    for path in write_reports(bare, (), None, None, tmp_path, NOW):
        assert path.stat().st_size > 100
