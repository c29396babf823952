"""An answer that was written down is drained once, however its worker ends; one that could not be is never read."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.unit.adapters.prediction_log.rows import a_log, a_spool, die, logged, spools

from keepfit.adapters.prediction_log import spool as spooling
from keepfit.errors import ConfigError, Unavailable
from keepfit.testing.log_contract import NOON, answer


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """No file may grow beyond this many bytes: the system then writes what fits and refuses the rest, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))  # Python ignores the signal that goes with it
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_spool_that_is_written_to_is_left_alone(tmp_path: Path) -> None:
    spool, log = a_spool(tmp_path), a_log(tmp_path)
    spool.write([answer()])
    assert log.drain() == 0
    spool.close()
    assert log.drain() == 1
    assert not spools(tmp_path)


def test_the_spool_of_a_dead_worker_is_drained(tmp_path: Path) -> None:
    spool, log = a_spool(tmp_path), a_log(tmp_path)
    spool.write([answer(), answer()])
    die(spool)
    assert log.drain() == 2


def test_a_file_is_let_go_when_its_time_is_over_whatever_the_wall_clock_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(spooling.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(spooling.time, "time_ns", lambda: int((5e9 - now[0] * 1e6) * 1e9))  # runs backwards, fast
    spool, log = a_spool(tmp_path, segment="5s"), a_log(tmp_path)
    for second in (0, 4.9, 5, 9.9):
        now[0] = 100 + second
        spool.write([answer()])
    assert len(spools(tmp_path)) == 2
    assert log.drain() == 2
    now[0] = 111
    spool.write([])
    assert log.drain() == 2
    assert not spools(tmp_path)
    spool.write([answer()])
    spool.close()
    assert log.drain() == 1


def test_a_large_file_is_let_go_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spooling, "LARGEST", 1000)
    spool = a_spool(tmp_path, segment="1h")
    for _ in range(10):
        spool.write([answer(inputs={"text": "x" * 500})])
    assert len(spools(tmp_path)) == 5


@pytest.mark.parametrize("end", ["closed", "killed"])
def test_a_spool_without_rows_leaves_no_file(tmp_path: Path, end: str) -> None:
    spool, log = a_spool(tmp_path), a_log(tmp_path)
    spool.check()
    assert [path.stat().st_size for path in spools(tmp_path)] == [0]
    spool.close() if end == "closed" else die(spool)
    assert len(spools(tmp_path)) == (0 if end == "closed" else 1)
    assert log.drain() == 0
    assert not spools(tmp_path)


def test_a_write_that_finds_no_room_is_taken_back_whole(tmp_path: Path) -> None:
    spool, log = a_spool(tmp_path), a_log(tmp_path)
    kept = [answer() for _ in range(4)]
    spool.write(kept)
    size = spools(tmp_path)[0].stat().st_size
    with files_up_to(size + size // 2):
        for _ in range(3):
            with pytest.raises(Unavailable, match="cannot be written"):
                spool.write([answer() for _ in range(4)])
        with pytest.raises(Unavailable):
            spool.check()
        assert spools(tmp_path)[0].stat().st_size == size
    later = answer()
    spool.check()
    spool.write([later])
    spool.close()
    assert log.drain() == 5
    assert sorted(logged(log)) == sorted(row.request_id for row in [*kept, later])
    assert not (tmp_path / "spool" / "damaged").exists()


def test_nothing_is_put_behind_what_could_not_be_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool, log = a_spool(tmp_path), a_log(tmp_path)
    first, lost, later = answer(), answer(), answer()
    spool.write([first])
    size = spools(tmp_path)[0].stat().st_size

    def broken(*arguments: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with files_up_to(size + 30), monkeypatch.context() as patch:
        patch.setattr(spooling.os, "ftruncate", broken)
        with pytest.raises(Unavailable):
            spool.write([lost])
    spool.write([later])
    spool.close()
    assert log.drain() == 2
    assert sorted(logged(log)) == sorted([first.request_id, later.request_id])


def test_a_durable_answer_is_on_the_disk_before_the_write_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(spooling, "_sync", lambda file: synced.append(os.fstat(file).st_size))
    a_spool(tmp_path).write([answer()])
    assert synced == []
    spool = a_spool(tmp_path, durable=True)
    spool.write([answer()])
    assert synced == [spools(tmp_path)[-1].stat().st_size]


def test_an_answer_that_the_disk_did_not_take_is_not_in_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(file: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    spool, log = a_spool(tmp_path, durable=True), a_log(tmp_path)
    monkeypatch.setattr(spooling, "_sync", broken)
    with pytest.raises(Unavailable, match="Input/output error"):
        spool.write([answer()])
    spool.close()
    assert log.drain() == 0


def test_a_spool_that_was_removed_by_hand_loses_nothing(tmp_path: Path) -> None:
    spool, log = a_spool(tmp_path), a_log(tmp_path)
    rows = [answer() for _ in range(3)]
    spool.write(rows[:2])
    spools(tmp_path)[0].unlink()
    spool.write(rows[2:])
    spool.close()
    log.drain()
    assert sorted(logged(log)) == sorted(row.request_id for row in rows)


def test_a_drainer_between_making_and_locking_takes_no_answer_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool, log = a_spool(tmp_path), a_log(tmp_path)
    lock, tried = fcntl.flock, []

    def late(file: int, how: int) -> None:
        if not tried:
            tried.append(len(spools(tmp_path)))
            assert log.drain() == 0  # finds a file without rows that nobody holds
        lock(file, how)

    with monkeypatch.context() as patch:
        patch.setattr(spooling.fcntl, "flock", late)
        spool.write([answer()])
    assert tried == [1]
    assert len(spools(tmp_path)) == 1
    spool.close()
    assert log.drain() == 1


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file")
    with pytest.raises(Unavailable, match="cannot be made"):
        a_spool(tmp_path).write([answer()])


def test_spools_are_for_nobody_else(tmp_path: Path) -> None:
    a_spool(tmp_path).write([answer()])
    assert (tmp_path / "spool").stat().st_mode & 0o077 == 0
    assert spools(tmp_path)[0].stat().st_mode & 0o077 == 0


def test_what_json_cannot_say_is_written_down_all_the_same(tmp_path: Path) -> None:
    spool, log = a_spool(tmp_path), a_log(tmp_path)
    spool.write([answer(inputs={"half": "a\ud800b", "huge": 2**70, "when": NOON, "odd": {1}, "list": [1, "a"]}), answer()])
    spool.close()
    assert log.drain() == 2
    found = log.rows().select("input.half", "input.huge", "input.when", "input.odd", "input.list").row(0)
    assert sorted(log.rows()["input.half"].drop_nulls()) == ["a?b"]
    assert found in {("a?b", str(2**70), "2026-03-01T12:00:00+00:00", "{1}", '[1, "a"]'), (None,) * 5}


# --------------------------------------------------------------------------------------------------------------- privacy


def test_fields_are_omitted_or_hashed_before_they_are_written(tmp_path: Path) -> None:
    settings = {"omit": ("text",), "hash": ("sender", "age")}
    inputs = {"text": "secret words", "sender": "+44 7700 900123", "age": 41, "size": 2.5}
    spool = a_spool(tmp_path, environment={"KEEPFIT_LOG_KEY": "k" * 40}, **settings)
    spool.write([answer(at=0, inputs=inputs), answer(at=1, inputs=inputs), answer(at=2, inputs={**inputs, "sender": None})])
    assert not {b"secret", b"7700", b"41,"} & set(spools(tmp_path)[0].read_bytes().replace(b'"', b" ").split())
    spool.close()
    log = a_log(tmp_path, **settings)
    log.drain()
    found = log.rows()
    assert [name for name in found.columns if name.startswith("input.")] == ["input.sender", "input.age", "input.size"]
    key = hashlib.blake2b(b"k" * 40, digest_size=32).digest()
    expected = hashlib.blake2b(b"+44 7700 900123", digest_size=16, key=key).hexdigest()
    assert found["input.sender"].to_list() == [expected, expected, None]
    assert len(found["input.age"][0]) == 32


def test_another_key_makes_other_hashes(tmp_path: Path) -> None:
    for key in ("one", "another"):
        spool = a_spool(tmp_path, environment={"KEEPFIT_LOG_KEY": key}, hash=("sender",))
        spool.write([answer(inputs={"sender": "me"})])
        spool.close()
    log = a_log(tmp_path)
    log.drain()
    assert log.rows()["input.sender"].n_unique() == 2


def test_hashing_without_a_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"serve\.log\.hash names sender, and KEEPFIT_LOG_KEY is not set"):
        a_spool(tmp_path, hash=("sender",))
    a_spool(tmp_path, omit=("sender",))


def test_a_worker_that_only_writes_loads_nothing_heavy(tmp_path: Path) -> None:
    probe = (
        "import sys; from keepfit.adapters.prediction_log import spool, log, places; from pathlib import Path\n"
        "from keepfit.serve_settings import LogSettings\n"
        "from keepfit.live_ports import Labelled\n"
        "written = spool.FileSpool(Path(sys.argv[1]), 'w', LogSettings(), {})\n"
        "written.write([Labelled(request_id='x', at=1.0, label='ham')])\n"
        "print(sorted({'polars', 'numpy', 'pandas', 'pyarrow', 'fsspec', 'sklearn', 'mlflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", probe, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
