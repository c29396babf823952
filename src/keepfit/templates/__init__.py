"""Ready projects: each a keepfit.toml, the few functions that a user would write, and a README."""

from __future__ import annotations

import importlib
import shlex
import shutil
from pathlib import Path

from keepfit.config import load
from keepfit.errors import ConfigError

NAMES = ("stem", "sentiment", "churn", "sms-spam", "iris")
_IGNORED = ("__pycache__", "__init__.py")


def copy_template(name: str, folder: Path) -> list[str]:
    """Copy a template into a folder; returns what was made and what to do next.

    Raises `ConfigError` for an unknown name and for a folder that holds a project already.
    """
    if name not in NAMES:
        raise ConfigError(f"There is no template {name!r}: choose one of {', '.join(NAMES)}.")
    begin_folder(folder)
    source = Path(__file__).parent / name.replace("-", "_")
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns(*_IGNORED), copy_function=shutil.copyfile, dirs_exist_ok=True)
    make_data_folders(folder)
    if (source / "first_data.py").exists():
        _write_first_data(source.name, folder)
    return [f"{name} is ready in {folder}", *_next_steps(folder)]


def _write_first_data(template: str, folder: Path) -> None:
    """Put a public data set into the inbox of a template that begins with one."""
    maker = importlib.import_module(f"keepfit.templates.{template}.first_data")
    maker.main(str(folder / load(folder, environment={}).data.inbox))


def begin_folder(folder: Path) -> None:
    """Make the folder of a new project, which must not hold one. Raises `ConfigError`."""
    if (folder / "keepfit.toml").exists():
        raise ConfigError(f"{folder} holds a project already; nothing was changed. Name another folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        ignored = folder / ".gitignore"
        if not ignored.exists():
            ignored.write_text(".keepfit/\n__pycache__/\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made: {error.strerror}") from error


def make_data_folders(folder: Path) -> None:
    """Make the inbox, archive and quarantine that the project's settings name."""
    data = load(folder, environment={}).data
    for name in (data.inbox, data.archive, data.quarantine):
        (folder / name).mkdir(parents=True, exist_ok=True)


def _next_steps(folder: Path) -> list[str]:
    config, quoted = load(folder, environment={}), shlex.quote(str(folder))
    first = f"put data files into {folder / config.data.inbox}"
    if config.simulate is not None:
        first += f", or make some up: keepfit simulate --project {quoted} --days 30"
    return [f"  1. {first}", f"  2. keepfit run --project {quoted}", f"  3. keepfit explain --project {quoted}"]
