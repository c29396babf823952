"""Days of made-up data, written into the inbox by the project's own generator."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from io import BytesIO
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from keepfit.config import Config
from keepfit.errors import ConfigError, UserCodeError
from keepfit.ports import Inbox
from keepfit.records import Place

if TYPE_CHECKING:
    import pandas as pd

    from keepfit.opened_ports import OpenedPorts


@dataclass(frozen=True, kw_only=True)
class Made:
    """One day's file."""

    file: str  # its name below the inbox
    date: str  # the day
    rows: int
    new: bool  # whether it was written now; False: it was there
    quality: dict[str, Any] | None  # what [simulate] quality says of it


def simulate(
    start: str | None, days: int, options: Mapping[str, Any], ports: OpenedPorts, config: Config, *, once: bool = False
) -> list[Made]:
    """Write one file a day. A day's data depends on its date, the seed and the options. With `once` a day is left as it is whose
    file lies in the inbox or the archive under its name, or with this very content in quarantine.

    Raises `ConfigError` for a project without a generator or a date that is none, `UserCodeError` when the generator fails,
    `Unavailable` where the inbox cannot be written.
    """
    code, made = ports.generator, []
    is_there = _looked_up(ports.inbox) if once and config.simulate is not None else lambda name, content: False
    for day, frame in made_up(start, days, options, code, config):
        assert config.simulate is not None  # noqa: S101 - made_up has looked
        name = config.simulate.file_name.format(day=day)
        content, quality = _content(name, frame), None
        if config.simulate.quality is not None:
            quality = json.loads(json.dumps(code.call("quality", frame), default=str))
        new = not is_there(name, content)
        if new:
            if quality is not None:  # first: a file that is there has its report
                beside = PurePosixPath(name).with_suffix(".quality.json").as_posix()
                ports.originals.add(beside, (json.dumps({"day": day.isoformat(), **quality}, indent=2) + "\n").encode())
            ports.originals.add(name, content)
        made.append(Made(file=name, date=day.isoformat(), rows=len(frame), new=new, quality=quality))
    return made


def _looked_up(inbox: Inbox) -> Callable[[str, bytes], bool]:
    """Tells by name and content whether a day's file has come before."""
    names = {arrival.name for place in (Place.INBOX, Place.ARCHIVE) for arrival in inbox.list(place)}
    refused = inbox.list(Place.QUARANTINE)

    def is_there(name: str, content: bytes) -> bool:
        if name in names:
            return True
        alike = [arrival for arrival in refused if arrival.name.startswith(name.rpartition(".")[0])]
        batches = (inbox.identify(arrival, Place.QUARANTINE) for arrival in alike)
        return any(batch is not None and batch.id == hashlib.sha256(content).hexdigest() for batch in batches)

    return is_there


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


def _content(name: str, frame: pd.DataFrame) -> bytes:
    writers = {".parquet": "to_parquet", ".csv": "to_csv"}
    suffix = PurePosixPath(name).suffix
    if suffix not in writers or not hasattr(frame, "to_parquet"):
        raise UserCodeError(f"[simulate] file_name = '*{suffix}': expected .csv or .parquet, and a frame from the function")
    content = BytesIO()
    getattr(frame, writers[suffix])(content, index=False)
    return content.getvalue()
