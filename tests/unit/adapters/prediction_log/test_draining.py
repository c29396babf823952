"""Spools become segments: the same ones however often it is begun, and what cannot be read is kept."""

from __future__ import annotations

import fcntl
import logging
import os
from pathlib import Path

import polars as pl
import pytest
from tests.unit.adapters.prediction_log.places import Away, Deadly, Killed
from tests.unit.adapters.prediction_log.rows import a_log, a_spool, die, logged, spools

from keepfit.adapters.prediction_log.lines import encode
from keepfit.adapters.prediction_log.places import FolderPlace
from keepfit.errors import Unavailable
from keepfit.live_ports import Labelled
from keepfit.testing.log_contract import NOON, answer, label, silent

ABOUT = [answer(at=second) for second in (0, 43_199, 43_201, 90_000)]  # of two days, and one more


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted((folder / "log").rglob("*")) if path.is_file()}


def write_all(folder: Path) -> None:
    spool = a_spool(folder)
    for row in ABOUT:
        spool.write([row, silent(row, "4", "ham"), label(row, "ham", at=200_000)])
    die(spool)


def test_rows_are_in_the_folder_of_their_requests_day(tmp_path: Path) -> None:
    write_all(tmp_path)
    a_log(tmp_path).drain()
    folders = {"/".join(name.split("/")[1:3]) for name in files(tmp_path)}
    days = ("2026-03-01", "2026-03-02")
    assert folders == {f"{kind}/date={day}" for kind in ("predictions", "shadows", "labels") for day in days}
    parts = sorted((tmp_path / "log" / "predictions").rglob("*.parquet"))
    assert [pl.read_parquet(part, hive_partitioning=False).height for part in parts] == [2, 2]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_drainer_that_dies_anywhere_is_repeated_with_the_same_segments(tmp_path: Path, when: str) -> None:
    write_all(tmp_path)
    spool = spools(tmp_path)[0]
    text, expected, effects = spool.read_bytes(), None, 1
    while True:
        deadly = Deadly(FolderPlace(tmp_path / "log"), effects, when)
        try:
            a_log(tmp_path, deadly).drain()
        except Killed:
            assert spools(tmp_path) == [spool]
        else:
            break
        effects += 1
        a_log(tmp_path).drain()
        assert not spools(tmp_path)
        expected = expected or files(tmp_path)
        assert files(tmp_path) == expected
        assert sorted(logged(a_log(tmp_path))) == sorted(row.request_id for row in ABOUT)
        spool.write_bytes(text)
    assert effects == 7  # three kinds of two days
    assert files(tmp_path) == expected


def test_a_drainer_that_dies_before_it_removes_the_spool_leaves_no_row_twice(tmp_path: Path) -> None:
    write_all(tmp_path)
    spool, log = spools(tmp_path)[0], a_log(tmp_path, compact=2)
    text = spool.read_bytes()
    log.drain()
    spool.write_bytes(text)
    before = log.rows()
    assert log.drain() == 12
    assert log.rows().equals(before)


def test_a_spool_that_another_drainer_has_is_left_to_it(tmp_path: Path) -> None:
    write_all(tmp_path)
    with spools(tmp_path)[0].open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert a_log(tmp_path).drain() == 0
    assert a_log(tmp_path).drain() == 12


def test_a_spool_that_vanishes_while_it_is_opened_is_another_drainers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_all(tmp_path)
    lock = fcntl.flock

    def late(file: int, how: int) -> None:
        monkeypatch.undo()
        assert a_log(tmp_path).drain() == 12
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    assert a_log(tmp_path).drain() == 0
    assert a_log(tmp_path).rows().height == 4


def test_while_the_store_is_away_spools_wait(tmp_path: Path) -> None:
    write_all(tmp_path)
    store = Away(FolderPlace(tmp_path / "log"))
    log = a_log(tmp_path, store)
    for _ in range(2):
        with pytest.raises(Unavailable, match="gone fishing"):
            log.drain()
        assert len(spools(tmp_path)) == 1
    store.away = False
    assert log.drain() == 12
    assert not spools(tmp_path)


@pytest.mark.parametrize("cut", [1, 40, 150])
def test_a_torn_line_is_no_row_and_is_kept(tmp_path: Path, cut: int, caplog: pytest.LogCaptureFixture) -> None:
    spool = a_spool(tmp_path)
    spool.write(ABOUT[:2])
    torn = encode(ABOUT[2:])[:-cut]
    os.write(spool._file, torn)
    name = spools(tmp_path)[0].name
    die(spool)
    log = a_log(tmp_path)
    with caplog.at_level(logging.WARNING, "keepfit.log"):
        assert log.drain() == 2
    assert sorted(logged(log)) == sorted(row.request_id for row in ABOUT[:2])
    assert (tmp_path / "spool" / "damaged" / name).read_bytes() == torn
    assert f"action=spool_damaged spool={name} lines=1" in caplog.text
    assert log.drain() == 0


def test_broken_lines_spoil_no_others(tmp_path: Path) -> None:
    lines = [encode(ABOUT[:1]), b"\0" * 300 + b"\n", b'["p"]\n', b"[[]]\n", b'{"a": 1}\n', b"17\n", b"\n\n\n", encode(ABOUT[1:2])]
    wrong_id = encode([Labelled(request_id="not an id", at=1.0, label="ham")])
    no_inputs = encode(ABOUT[2:3]).replace(b",{}]]", b",[]]]")
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "1-w-0.1.jsonl").write_bytes(b"".join([*lines, wrong_id, no_inputs]))
    log = a_log(tmp_path)
    assert log.drain() == 2
    assert log.rows().height == 2
    kept = (tmp_path / "spool" / "damaged" / "1-w-0.1.jsonl").read_bytes()
    assert kept.split(b"\n") == [each[:-1] for each in (*lines[1:6], wrong_id, no_inputs)]


def test_spools_of_another_form_are_left_to_their_keepfit(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    for name in ("1-w-0.2.jsonl", "notes.txt"):
        (tmp_path / "spool" / name).write_text("[]\n")
    assert a_log(tmp_path).drain() == 0
    assert len(spools(tmp_path)) == 2


def test_numbers_and_text_of_one_spool_become_text(tmp_path: Path) -> None:
    spool, log = a_spool(tmp_path), a_log(tmp_path)
    values = [1, 2.0, 2.5, "a", True, None]
    spool.write([answer(at=second, inputs={"size": value}) for second, value in enumerate(values)])
    spool.close()
    log.drain()
    assert log.rows()["input.size"].to_list() == ["1", "2", "2.5", "a", "true", None]


def test_times_are_kept_to_the_microsecond(tmp_path: Path) -> None:
    spool, log = a_spool(tmp_path), a_log(tmp_path)
    spool.write([answer(at=0.123456)])
    spool.close()
    log.drain()
    assert log.rows()["timestamp"][0] == NOON.replace(microsecond=123_456)
