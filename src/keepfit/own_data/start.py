"""`keepfit init DIR --data FILE --target COLUMN`: a project for somebody's own data, ready to run.

All or nothing: everything is made in a folder beside the new one and checked there, as a run would; only then it is put in
place, keepfit.toml last.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from keepfit.clock import SystemClock
from keepfit.config import Config, load
from keepfit.contract import conform, without_blank_rows
from keepfit.errors import ConfigError, DataError
from keepfit.opened_ports import OpenedPorts
from keepfit.own_data.first_settings import first_settings
from keepfit.own_data.proposal import Proposal, propose
from keepfit.own_data.sniffing import Written, sniff
from keepfit.ports import Arrival
from keepfit.records import Place
from keepfit.templates import begin_folder, make_data_folders

SETTINGS = "keepfit.toml"
FEW_VALUES = 12  # a category of up to so many values has them listed in a comment


def start_project(folder: Path, data: Path, target: str) -> list[str]:
    """Make a project in `folder` that predicts the column `target` of the file `data`; returns lines for its owner to read.

    Raises `ConfigError` for a folder that holds a project, a file that is not there or a target that is no column, and
    `DataError` for a file that nothing can be learned from. The folder is then as it was before.
    """
    if (folder / SETTINGS).exists():
        raise ConfigError(f"{folder} holds a project already; nothing was changed. Name another folder.")
    if not target:
        raise ConfigError("--target is empty: name the column to predict. One without a name must be given one first.")
    written = sniff(data, target)
    with _staging(folder) as staged:
        _copy(data, staged / "data" / "inbox" / written.name)
        proposal, frame = _look(staged, written, target, data)
        text = first_settings(proposal, written, _project_name(folder), _few_values(frame, proposal))
        begin_folder(staged)
        (staged / SETTINGS).write_text(text, encoding="utf-8")
        make_data_folders(staged)
        _check(frame, load(staged, environment={}))
        _put_in_place(staged, folder)
    return _told(folder, data, written, proposal)


@contextlib.contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """A folder on the same disk as the project's, which is gone at the end."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    try:
        made = Path(tempfile.mkdtemp(prefix=".keepfit-init-", dir=place))
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made: {error.strerror}") from error
    try:
        staged = made / "project"
        staged.mkdir()
        yield staged
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _copy(data: Path, to: Path) -> None:
    """The same bytes and time of change, so that the file counts as settled."""
    try:
        to.parent.mkdir(parents=True)
        shutil.copy2(data, to)
        if to.stat().st_mtime > time.time():  # a file from the future would never settle
            os.utime(to)
    except OSError as error:
        raise ConfigError(f"{data} cannot be copied: {error.strerror}") from error


def _look(staged: Path, written: Written, target: str, data: Path) -> tuple[Proposal, pl.DataFrame]:
    """Read the file and choose."""
    settings = {"target": target, "delimiter": written.delimiter, "encoding": written.encoding}
    config = Config.of({"project": {"name": "first-look", "task": "classification"}, "data": settings}, staged)
    inbox = OpenedPorts(config, SystemClock(), {}).inbox  # so that the file is read as a run will read it
    batch = inbox.identify(Arrival(name=written.name, size=0, settled=True), Place.INBOX)
    if batch is None:
        raise DataError(f"{data} has vanished")
    try:
        frame = without_blank_rows(inbox.read(batch))
    except DataError as error:
        raise DataError(f"{data}: {error}") from error
    return propose(frame, target), frame


def _few_values(frame: pl.DataFrame, proposal: Proposal) -> dict[str, list[str]]:
    """The values of the categories that have few, most frequent first."""
    found = {}
    for name, column in proposal.columns.items():
        if column.type == "category" and name in proposal.features:
            values = frame[name].cast(pl.String).str.strip_chars().drop_nulls().value_counts(sort=True)[name]
            if len(values) <= FEW_VALUES:
                found[name] = values.to_list()
    return found


def _check(frame: pl.DataFrame, config: Config) -> None:
    """That the settings say what was meant: the file keeps the contract as it was written down."""
    _, findings = conform(frame, config.data.columns)
    if findings:
        raise DataError("The inferred contract does not hold: " + "; ".join(map(str, findings[:3])))


def _project_name(folder: Path) -> str:
    """The folder's name, as a project, a database and a registered model can be called."""
    plain = re.sub(r"[^\w .-]", "-", folder.absolute().name).strip(" .-")
    return plain[:100] or "project"


# ------------------------------------------------------------------------------------------------------ putting in place


def _put_in_place(staged: Path, folder: Path) -> None:
    """Move what was made into the project's folder; take everything back when that fails half-way."""
    made: list[Path] = []
    try:
        for path in sorted(staged.rglob("*"), key=lambda path: (path.name == SETTINGS, path)):
            to = folder / path.relative_to(staged)
            if path.is_dir():
                _make_folders(to, made)
            else:
                _make_folders(to.parent, made)
                _move(path, to, made)
    except BaseException as error:
        for path in reversed(made):
            with contextlib.suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
        if isinstance(error, OSError):
            raise ConfigError(f"{folder} cannot be made: {error.strerror}; nothing was changed.") from error
        raise


def _make_folders(folder: Path, made: list[Path]) -> None:
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir()
        made.append(path)


def _move(path: Path, to: Path, made: list[Path]) -> None:
    """A file that is there already stays, and must be the same data where it is data."""
    if not to.exists():
        path.rename(to)
        made.append(to)
    elif to.name == SETTINGS:
        raise ConfigError(f"{to.parent} holds a project already; nothing was changed. Name another folder.")
    elif to.name != ".gitignore" and to.read_bytes() != path.read_bytes():
        raise ConfigError(f"{to} is there already and is another file; nothing was changed. Move it away, or name another folder.")


# -------------------------------------------------------------------------------------------------------------- telling


def _told(folder: Path, data: Path, written: Written, proposal: Proposal) -> list[str]:
    lines = [
        f"{folder} is ready: it predicts {proposal.target!r} from {len(proposal.features)} columns",
        f"  data: {data} ({written.kind}, {proposal.rows} rows)",
        *(f"  data: {remark}" for remark in written.remarks),
        f"  task: {proposal.task.value}, because {proposal.task.why}",
        f"  metric: {proposal.metric.value}, because {proposal.metric.why}",
        f"  held out: {proposal.share:.0%}, by {proposal.holdout.value}, because {proposal.holdout.why}",
        *(f"  not a feature: {name!r}: {why}" for name, why in proposal.notes.items()),
        *(f"  left out: {name!r}: it holds what no contract can promise" for name in proposal.left_out),
        *(f"  look: {warning}" for warning in proposal.warnings),
        *([f"  look: should rows of one {proposal.group!r} be held out together? Then set [data] group"] if proposal.group else []),
    ]
    return [
        *lines,
        f"  1. read {folder / SETTINGS}, the lines that say LOOK first",
        f"  2. keepfit run --project {shlex.quote(str(folder))}",
        f"  3. keepfit explain --project {shlex.quote(str(folder))}",
    ]
