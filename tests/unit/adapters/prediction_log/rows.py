"""Rows and logs for these tests."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keepfit.adapters.prediction_log.log import ParquetLog
from keepfit.adapters.prediction_log.places import FolderPlace, Place
from keepfit.adapters.prediction_log.spool import FileSpool
from keepfit.serve_settings import LogSettings
from keepfit.testing.log_contract import PROJECT


def a_spool(folder: Path, *, environment: Mapping[str, str] | None = None, **settings: Any) -> FileSpool:
    return FileSpool(folder / "spool", "w1", LogSettings(**settings), environment or {})


def a_log(folder: Path, place: Place | None = None, **settings: Any) -> ParquetLog:
    return ParquetLog(place or FolderPlace(folder / "log"), folder / "spool", PROJECT, LogSettings(**settings))


def die(spool: FileSpool) -> None:
    """What is left of a spool when its worker is killed: the system closes its file, and nobody does anything else."""
    os.close(spool._file)
    spool._file = -1


def spools(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "spool").iterdir() if path.is_file())


def logged(log: ParquetLog) -> list[str]:
    return log.rows()["request_id"].to_list()
