"""Reading while others merge and remove; segments whose columns differ."""

from __future__ import annotations

from datetime import timedelta
from io import BytesIO
from pathlib import Path

import polars as pl
import pytest
from tests.unit.adapters.prediction_log.rows import a_log, a_spool
from tests.unit.adapters.prediction_log.test_tidying import LATER, fill, parts

from keepfit.adapters.prediction_log import segments as segmented
from keepfit.adapters.prediction_log.places import FolderPlace, place_at
from keepfit.adapters.prediction_log.segments import Segments, common_type, united
from keepfit.errors import DataError, Unavailable
from keepfit.testing.log_contract import NOON, answer, nothing


def test_a_reader_whose_segments_are_merged_meanwhile_reads_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path)
    expected, collect, seen = a_log(tmp_path).rows(), pl.LazyFrame.collect, []

    def late(frame: pl.LazyFrame, **options: object) -> pl.DataFrame:
        if not seen:
            seen.append(1)
            assert a_log(tmp_path, compact=4).tidy(LATER, nothing())["merged"]
        return collect(frame, **options)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(pl.LazyFrame, "collect", late)
    assert a_log(tmp_path).rows().equals(expected)
    assert seen


@pytest.mark.parametrize("during", [1, 2])
def test_a_listing_during_a_merge_misses_nothing(tmp_path: Path, during: int) -> None:
    """A folder is not listed at one instant: a merged segment may come behind the reader's place, and its parts go before it."""
    fill(tmp_path)
    listed: list[int] = []

    class Slow(FolderPlace):
        def names(self, under: str) -> list[str]:
            before = super().names(under)
            listed.append(len(before))
            if len(listed) == during:
                a_log(tmp_path, compact=4).tidy(LATER, nothing())
                return sorted(set(before) & set(super().names(under)))
            return before

    found = Segments(Slow(tmp_path / "log")).names("predictions")
    assert 7 in listed
    assert len(found) == len(parts(tmp_path)) == 1


def test_only_the_days_that_are_asked_for_are_listed(tmp_path: Path) -> None:
    spool, log = a_spool(tmp_path), a_log(tmp_path)
    spool.write([answer(at=day * 86_400) for day in range(5)])
    spool.close()
    log.drain()
    found = Segments(FolderPlace(tmp_path / "log")).names("predictions", NOON + timedelta(days=1), NOON + timedelta(days=2))
    assert [name.split("/")[1] for name in found] == ["date=2026-03-02", "date=2026-03-03"]


def test_a_damaged_segment_is_said(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    next((tmp_path / "log" / "predictions").rglob("*.parquet")).write_bytes(b"not Parquet at all")
    with pytest.raises(DataError, match="damaged"):
        a_log(tmp_path).rows()


def test_a_log_that_never_keeps_still_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmented, "PATIENCE", 3)

    def gone() -> None:
        raise FileNotFoundError("x")

    with pytest.raises(Unavailable, match="changes faster"):
        Segments(FolderPlace(tmp_path)).reading(gone)


def test_frames_are_united_by_what_holds_their_values() -> None:
    frames = [
        pl.LazyFrame({"a": [1], "b": [None]}),
        pl.LazyFrame({"a": [1.5], "b": ["x"]}),
        pl.LazyFrame({"c": [True], "a": [None]}),
    ]
    found = united(frames).collect()
    assert found["a"].to_list() == [1.0, 1.5, None]
    assert found["b"].to_list() == [None, "x", None]
    assert found["c"].to_list() == [None, None, True]
    assert common_type([pl.Int64(), pl.String()]) == pl.String
    assert common_type([pl.Null(), pl.Null()]) == pl.Null
    assert common_type([pl.Boolean(), pl.Int64()]) == pl.String


def test_places_are_paths_and_urls(tmp_path: Path) -> None:
    for url in ("log", str(tmp_path / "log"), f"file://{tmp_path}/log"):
        place_at(url, tmp_path).write("a/b.txt", lambda file: file.write(b"c"))
        assert (tmp_path / "log" / "a" / "b.txt").read_bytes() == b"c"
        (tmp_path / "log" / "a" / "b.txt").unlink()


def test_a_place_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a file")
    place = FolderPlace(tmp_path / "log")
    for act in (lambda: place.write("a/b", lambda file: None), lambda: place.folders("a")):
        with pytest.raises(Unavailable, match="The prediction log at"):
            act()


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(file: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    place = FolderPlace(tmp_path)
    place.write("a", lambda file: file.write(b"before"))
    with pytest.raises(Unavailable, match="No space left"):
        place.write("a", half)
    with monkeypatch.context() as patch, pytest.raises(Unavailable):
        patch.setattr(Path, "replace", lambda *names: half(BytesIO()))
        place.write("a", lambda file: file.write(b"whole"))
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"before"
