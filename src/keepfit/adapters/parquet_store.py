"""Frames that keepfit made, as Parquet files with their facts in JSON beside them.

The facts are written first and the frame last, each under a temporary name that is then renamed, so that a frame that is
there is whole and has its facts. What is there already is never written again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from keepfit.errors import DataError, Unavailable


class ParquetStore:
    """A folder of prepared data; see `keepfit.ports.Store`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, name: str, frame: pl.DataFrame, facts: Mapping[str, Any]) -> None:
        target = self._path(name)
        if target.exists():
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            _write(target.with_suffix(".json"), lambda path: path.write_text(json.dumps(facts, indent=1), encoding="utf-8"))
            _write(target, lambda path: frame.write_parquet(path, compression="zstd"))
        except OSError as error:
            raise Unavailable(f"{target} cannot be written: {error.strerror or error}. Nothing is lost; run again.") from error

    def facts(self, name: str) -> dict[str, Any] | None:
        target = self._path(name)
        try:
            if not target.exists():
                return None
            facts: dict[str, Any] = json.loads(target.with_suffix(".json").read_text(encoding="utf-8"))
        except PermissionError as error:
            raise _not_allowed(target) from error
        except (OSError, ValueError) as error:
            raise DataError(
                f"{target.with_suffix('.json')} is damaged ({error}): delete it and {target.name}, and run again"
            ) from error
        return facts

    def load(self, names: Iterable[str], columns: Sequence[str] | None = None) -> pl.DataFrame:
        frames = [self._load(self._path(name), columns) for name in names]
        return pl.concat(frames, how="diagonal_relaxed") if frames else pl.DataFrame()

    def _load(self, path: Path, columns: Sequence[str] | None) -> pl.DataFrame:
        try:
            return pl.read_parquet(path, columns=list(columns) if columns else None)
        except FileNotFoundError:
            raise DataError(
                f"{path} is missing: it was prepared before and has been deleted. Put it back, or the raw file."
            ) from None
        except PermissionError as error:
            raise _not_allowed(path) from error
        except (OSError, pl.exceptions.PolarsError) as error:
            raise DataError(f"{path} is damaged ({error}): delete it, and run again to prepare it anew") from error

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.parquet"


def _not_allowed(path: Path) -> Unavailable:
    return Unavailable(f"{path} may not be read. Give this user the right to read it and its folder, and run again.")


def _write(target: Path, write: Any) -> None:
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")  # its own: a suspended runner may still hold another
    try:
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
