"""Days of made-up data, written into the inbox by the project's own generator."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keepfit.config import Config
from keepfit.errors import ConfigError, UserCodeError

if TYPE_CHECKING:
    import pandas as pd


def simulate(start: str | None, days: int, options: Mapping[str, Any], code: Any, config: Config) -> list[str]:
    """Write one file a day; returns their names below the inbox. A day's data depends on its date, the seed and the options.

    Raises `ConfigError` for a project without a generator or a date that is none, `UserCodeError` when the generator fails.
    """
    inbox = config.path(config.data.inbox)
    names = []
    for day, frame in made_up(start, days, options, code, config):
        assert config.simulate is not None  # noqa: S101 - made_up has looked
        name = config.simulate.file_name.format(day=day)
        _write(inbox / name, frame)
        if config.simulate.quality is not None:
            report = {"day": day.isoformat(), **code.call("quality", frame)}
            _write_text((inbox / name).with_suffix(".quality.json"), json.dumps(report, indent=2, default=str) + "\n")
        names.append(name)
    return names


def made_up(
    start: str | None, days: int, options: Mapping[str, Any], code: Any, config: Config
) -> Iterator[tuple[date, pd.DataFrame]]:
    """Each day with its rows. Raises as `simulate` does, before the first day where it is about the project or the date."""
    settings = config.simulate
    if settings is None:
        raise ConfigError("This project has no [simulate] section, so there is nothing to make data with.")
    first = _date(start)
    for day in (first + timedelta(days=offset) for offset in range(days)):
        yield day, code.call("simulate", day, settings.seed, **{**settings.options, **options})


def _date(text: str | None) -> date:
    try:
        return date.fromisoformat(text) if text else date.today()  # noqa: DTZ011 - a calendar day, as a person says it
    except ValueError:
        raise ConfigError(f"--start {text!r} is no date: expected one like 2026-01-31") from None


def _write(path: Path, frame: pd.DataFrame) -> None:
    """Under a temporary name first: a file that has its name is whole."""
    writers = {".parquet": "to_parquet", ".csv": "to_csv"}
    if path.suffix not in writers or not hasattr(frame, "to_parquet"):
        raise UserCodeError(f"[simulate] file_name = '*{path.suffix}': expected .csv or .parquet, and a frame from the function")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    getattr(frame, writers[path.suffix])(temporary, index=False)
    temporary.replace(path)


def _write_text(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
