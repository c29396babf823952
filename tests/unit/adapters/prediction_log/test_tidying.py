"""Merging and removing, killed or done by two at once, changes nothing that may be read."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from tests.unit.adapters.prediction_log.places import Deadly, Killed
from tests.unit.adapters.prediction_log.rows import a_log, a_spool

from keepfit.adapters.prediction_log.places import FolderPlace
from keepfit.testing.log_contract import KEEP, NOON, answer, label, nothing, series, silent

LATER = NOON + timedelta(days=1)


def fill(folder: Path, number: int = 7) -> list[str]:
    """So many segments of a day of every kind; returns the requests, by time."""
    found = []
    for second in range(number):
        asked, spool = answer(at=second, inputs={"size": second}), a_spool(folder)
        spool.write([asked, silent(asked, "4", "ham"), label(asked, f"label {second}")])
        spool.close()
        found.append(asked.request_id)
    a_log(folder).drain()
    return found


def parts(folder: Path, kind: str = "predictions") -> list[str]:
    return sorted(path.name for path in (folder / "log" / kind).rglob("*.parquet"))


def test_a_finished_day_becomes_one_segment_of_each_kind(tmp_path: Path) -> None:
    fill(tmp_path)
    log = a_log(tmp_path, compact=4)
    before = log.rows()
    assert log.tidy(LATER, nothing()) == {"merged": 21, "removed": 0}
    assert [len(parts(tmp_path, kind)) for kind in ("predictions", "shadows", "labels")] == [1, 1, 1]
    assert log.rows().equals(before)
    assert log.tidy(LATER, nothing()) == {"merged": 0, "removed": 0}


def test_few_segments_are_left_as_they_are(tmp_path: Path) -> None:
    fill(tmp_path, 4)
    assert a_log(tmp_path, compact=4).tidy(LATER, nothing())["merged"] == 0


def test_of_today_no_row_is_merged_again_with_every_new_segment(tmp_path: Path) -> None:
    log = a_log(tmp_path, compact=2)
    for _ in range(9):
        fill(tmp_path, 3)
        log.tidy(NOON, nothing())
    assert log.rows().height == 27
    assert [name.partition("-")[0] for name in parts(tmp_path)] == ["merged3"]
    fill(tmp_path, 3)
    log.tidy(NOON, nothing())
    assert [name.partition("-")[0] for name in parts(tmp_path)] == ["merged1", "merged3"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_merging_may_be_killed_anywhere(tmp_path: Path, when: str) -> None:
    fill(tmp_path, 6)
    expected = a_log(tmp_path).rows()
    for effects in range(1, 40):
        try:
            a_log(tmp_path, Deadly(FolderPlace(tmp_path / "log"), effects, when), compact=2).tidy(LATER, nothing())
            break
        except Killed:
            assert a_log(tmp_path).rows().equals(expected)
    assert all(len(parts(tmp_path, kind)) <= 2 for kind in ("predictions", "shadows", "labels"))
    assert a_log(tmp_path).rows().equals(expected)


@pytest.mark.parametrize("when", ["before", "after"])
def test_removing_may_be_killed_anywhere(tmp_path: Path, when: str) -> None:
    requests = fill(tmp_path, 6)
    expected = a_log(tmp_path).rows()["request_id"].to_list()
    now, waiting = LATER + KEEP, requests[2]
    taken = series([each for each in requests if each != waiting])
    effects = 1
    while True:
        place = Deadly(FolderPlace(tmp_path / "log"), effects, when)
        try:
            a_log(tmp_path, place, keep=KEEP, compact=100).tidy(now, taken)
            break
        except Killed:
            effects += 1
            left = a_log(tmp_path).rows()
            assert waiting in left["request_id"].to_list()
            assert set(left["request_id"]) <= set(expected)
            assert left["label"].null_count() == left["shadow_version"].null_count() == 0
    assert a_log(tmp_path).rows()["request_id"].to_list() == [waiting]
    a_log(tmp_path, keep=KEEP).tidy(now, series(requests))
    assert not [*parts(tmp_path), *parts(tmp_path, "shadows"), *parts(tmp_path, "labels")]


def test_a_row_that_waits_to_be_taken_keeps_no_other(tmp_path: Path) -> None:
    """They share a segment: it is written anew with the one that waits."""
    asked = [answer(at=second, inputs={"size": second}) for second in range(5)]
    spool, log = a_spool(tmp_path), a_log(tmp_path, keep=KEEP)
    spool.write([*asked, label(asked[3], "ham"), *(silent(each, "4", "ham") for each in asked)])
    spool.close()
    log.drain()
    for _ in range(2):
        log.tidy(LATER + KEEP, nothing())
        assert log.rows().select("request_id", "label", "input.size", "shadow_version").rows() == [
            (asked[3].request_id, "ham", 3, "4")
        ]
        assert len(parts(tmp_path)) == 1
    log.tidy(LATER + KEEP, series([asked[3].request_id]))
    assert not [*parts(tmp_path), *parts(tmp_path, "shadows"), *parts(tmp_path, "labels")]


def test_where_labels_are_not_taken_in_none_is_waited_for(tmp_path: Path) -> None:
    fill(tmp_path)
    log = a_log(tmp_path, keep=KEEP, intake=False)
    log.tidy(LATER + KEEP - timedelta(days=1), nothing())
    assert log.rows().height == 7
    log.tidy(LATER + KEEP, nothing())
    assert not [*parts(tmp_path), *parts(tmp_path, "shadows"), *parts(tmp_path, "labels")]


def test_labels_of_a_day_without_answers_go_with_it(tmp_path: Path) -> None:
    spool, log = a_spool(tmp_path), a_log(tmp_path, keep=KEEP)
    spool.write([label(answer(), "ham")])
    spool.close()
    log.drain()
    log.tidy(LATER + KEEP - timedelta(days=1), nothing())
    assert parts(tmp_path, "labels")
    log.tidy(LATER + KEEP, nothing())
    assert not parts(tmp_path, "labels")


def test_two_at_once_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path)
    expected = a_log(tmp_path).rows()
    other, scan, calls = a_log(tmp_path, compact=4), pl.scan_parquet, []

    def slow(*arguments: object, **options: object) -> pl.LazyFrame:
        """Between one's listing and reading, the other does all of it."""
        found = scan(*arguments, **options)  # type: ignore[arg-type]
        if not calls:
            calls.append(1)
            other.tidy(LATER, nothing())
        return found

    monkeypatch.setattr(pl, "scan_parquet", slow)
    a_log(tmp_path, compact=4).tidy(LATER, nothing())
    monkeypatch.undo()
    assert calls
    assert a_log(tmp_path).rows().equals(expected)
    assert len(parts(tmp_path)) == 1


def test_a_part_that_comes_back_after_it_was_merged_is_no_second_row(tmp_path: Path) -> None:
    fill(tmp_path)
    expected = a_log(tmp_path).rows()
    part = next((tmp_path / "log" / "predictions").rglob("*.parquet"))
    content = part.read_bytes()
    a_log(tmp_path, compact=4).tidy(LATER, nothing())
    part.write_bytes(content)
    assert a_log(tmp_path).rows().equals(expected)


def test_what_a_killed_writer_left_is_swept_away(tmp_path: Path) -> None:
    import os
    import time

    fill(tmp_path, 1)
    old, new = (tmp_path / "log" / "predictions" / f".{name}.tmp" for name in ("old", "new"))
    for path in (old, new):
        path.write_text("half a segment")
    os.utime(old, (time.time() - 100_000,) * 2)
    assert a_log(tmp_path).rows().height == 1
    a_log(tmp_path).tidy(NOON, nothing())
    assert (old.exists(), new.exists()) == (False, True)
