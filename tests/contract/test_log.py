"""Every prediction log passes the contract."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from keepfit.adapters.prediction_log.log import ParquetLog
from keepfit.adapters.prediction_log.places import FolderPlace, Place, place_at
from keepfit.adapters.prediction_log.spans import ParquetSpans
from keepfit.adapters.prediction_log.spool import FileSpool
from keepfit.live_ports import PredictionLog, Spans, Spool
from keepfit.serve_settings import LogSettings
from keepfit.testing import LogContract, MemoryLog, MemorySpans
from keepfit.testing.log_contract import KEEP, PROJECT

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


class TestFolder(InPlace):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return FolderPlace(tmp_path / "log")


class TestStore(InPlace):
    """Object storage, in fsspec's memory; a real S3 server answers in the acceptance tests."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return place_at(f"memory://{uuid.uuid4()}/log", tmp_path)
