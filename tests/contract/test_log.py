"""Every prediction log passes the contract."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from keepfit.adapters.prediction_log.log import ParquetLog
from keepfit.adapters.prediction_log.places import Fill, FolderPlace, Place, place_at
from keepfit.adapters.prediction_log.spans import ParquetSpans
from keepfit.adapters.prediction_log.spool import FileSpool
from keepfit.live_ports import PredictionLog, Spans, Spool
from keepfit.serve_settings import LogSettings
from keepfit.testing import LogContract, MemoryLog, MemorySpans
from keepfit.testing.log_contract import KEEP, PROJECT, bulk

SETTINGS = LogSettings(keep=KEEP, compact=4)


class TestMemory(LogContract):
    @pytest.fixture
    def log(self) -> MemoryLog:
        return MemoryLog(PROJECT, keep=KEEP)

    @pytest.fixture
    def open_spool(self, log: MemoryLog) -> Callable[[str], Spool]:
        return log.open_spool

    @pytest.fixture
    def spans(self) -> Spans:
        return MemorySpans()


class InPlace(LogContract):
    """Segments in a place."""

    @pytest.fixture
    def place(self) -> Place:
        raise NotImplementedError

    @pytest.fixture
    def log(self, place: Place, tmp_path: Path) -> PredictionLog:
        return ParquetLog(place, tmp_path / "spool", PROJECT, SETTINGS)

    @pytest.fixture
    def open_spool(self, tmp_path: Path) -> Callable[[str], Spool]:
        return partial(FileSpool, tmp_path / "spool", settings=SETTINGS, environment={})

    @pytest.fixture
    def spans(self, place: Place) -> Spans:
        return ParquetSpans(place)

    def test_two_who_take_at_once_have_spans_of_their_own(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        """The first has listed the spans when the second comes; it wakes with the lease lost, and writes."""
        slow, quick, write = ParquetSpans(place), ParquetSpans(place), place.write_new

        def late(name: str, fill: Fill) -> bool:
            monkeypatch.setattr(place, "write_new", write)
            assert quick.take(bulk(["a", "b", "c"], ["ham"] * 3, 0)) == 1
            return write(name, fill)

        monkeypatch.setattr(place, "write_new", late)
        assert slow.take(bulk(["a", "b"], ["ham"] * 2, 0)) == 2
        assert (slow.count(), slow.read(1).height, slow.read(2).height) == (2, 3, 2)
        assert sorted(slow.taken().select("span", "request_id").rows()) == [(1, "a"), (1, "b"), (1, "c"), (2, "a"), (2, "b")]

    def test_what_is_there_is_not_written_anew(self, place: Place) -> None:
        assert place.write_new("a/b.txt", lambda file: file.write(b"first"))
        assert not place.write_new("a/b.txt", lambda file: file.write(b"second"))
        assert place.names("a") == ["a/b.txt"]
        place.write("a/b.txt", lambda file: file.write(b"third"))
        assert not place.write_new("a/b.txt", lambda file: file.write(b"fourth"))


class TestFolder(InPlace):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return FolderPlace(tmp_path / "log")

    def test_the_log_is_its_owners_alone_where_keepfit_makes_its_folder(self, tmp_path: Path) -> None:
        root = tmp_path / "a" / "log"
        FolderPlace(root).write("predictions/b.txt", lambda file: file.write(b"private"))
        assert root.stat().st_mode & 0o777 == 0o700
        root.chmod(0o750)
        FolderPlace(root).write("predictions/c.txt", lambda file: file.write(b"private"))
        assert root.stat().st_mode & 0o777 == 0o750, "who opened it for others meant it"


class TestStore(InPlace):
    """Object storage, in fsspec's memory; a real S3 server answers in the acceptance tests."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return place_at(f"memory://{uuid.uuid4()}/log", tmp_path)
