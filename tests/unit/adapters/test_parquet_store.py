"""What keepfit prepared: written whole or not at all, never twice, and its damage is told."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from keepfit.adapters.parquet_store import ParquetStore
from keepfit.errors import DataError, Unavailable

ONE = pl.DataFrame({"x": [1.0, None], "y": ["a", None]})


def test_a_frame_comes_back_with_its_facts(tmp_path) -> None:
    store = ParquetStore(tmp_path / "deep/kept")
    assert store.facts("a") is None
    store.save("a", ONE, {"rows": 2, "columns": ["x"]})
    assert store.facts("a") == {"rows": 2, "columns": ["x"]}
    assert store.load(["a"]).equals(ONE)
    assert store.load(["a"], ["y"]).columns == ["y"]


def test_what_is_there_is_never_written_again(tmp_path) -> None:
    store = ParquetStore(tmp_path)
    store.save("a", ONE, {"first": True})
    store.save("a", ONE.head(1), {"first": False})
    assert store.load(["a"]).height == 2
    assert store.facts("a") == {"first": True}


def test_frames_come_one_below_the_other_in_the_order_asked_for(tmp_path) -> None:
    store = ParquetStore(tmp_path)
    store.save("a", pl.DataFrame({"x": [1.0]}), {})
    store.save("b", pl.DataFrame({"x": [2.0], "new": ["n"]}), {})
    assert store.load(["b", "a"]).rows() == [(2.0, "n"), (1.0, None)]
    assert store.load([]).height == 0


def test_a_column_that_is_empty_in_one_frame_takes_the_type_of_the_other(tmp_path) -> None:
    store = ParquetStore(tmp_path)
    store.save("a", pl.DataFrame({"x": [None]}), {})
    store.save("b", pl.DataFrame({"x": ["text"]}), {})
    assert store.load(["a", "b"])["x"].to_list() == [None, "text"]


@pytest.mark.parametrize("dies_at", [".json", ".parquet"])
def test_a_writer_that_dies_leaves_nothing_that_looks_whole(tmp_path, monkeypatch, dies_at) -> None:
    store = ParquetStore(tmp_path)
    replace = Path.replace

    def dies(self: Path, target: Path) -> Path:
        if target.suffix == dies_at:
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as dying:
        dying.setattr(Path, "replace", dies)
        with pytest.raises(KeyboardInterrupt):
            store.save("a", ONE, {"rows": 2})
    assert store.facts("a") is None
    assert list(tmp_path.glob(".*")) == []
    store.save("a", ONE, {"rows": 2})
    assert store.facts("a") == {"rows": 2}


def test_a_full_disk_can_be_tried_again(tmp_path, monkeypatch) -> None:
    store = ParquetStore(tmp_path)

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(Path, "replace", full)
        with pytest.raises(Unavailable, match="No space left"):
            store.save("a", ONE, {})
    store.save("a", ONE, {})
    assert store.load(["a"]).height == 2


def test_a_frame_that_was_deleted_or_damaged_is_told_with_what_to_do(tmp_path) -> None:
    store = ParquetStore(tmp_path)
    with pytest.raises(DataError, match=r"nothing\.parquet is missing"):
        store.load(["nothing"])
    store.save("a", ONE, {})
    (tmp_path / "a.parquet").write_bytes(b"nonsense")
    with pytest.raises(DataError, match=r"a\.parquet is damaged.*delete it"):
        store.load(["a"])


@pytest.mark.parametrize("damage", [lambda path: path.write_text("{"), lambda path: path.unlink()])
def test_facts_that_were_damaged_are_told_with_what_to_do(tmp_path, damage) -> None:
    store = ParquetStore(tmp_path)
    store.save("a", ONE, {})
    damage(tmp_path / "a.json")
    with pytest.raises(DataError, match="delete it"):
        store.facts("a")
