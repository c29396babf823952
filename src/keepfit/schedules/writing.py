"""Puts generated files where they belong, and never over what somebody else wrote."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from keepfit.errors import ConfigError

MARK = "Written by keepfit"  # stands in the first lines of every generated file, in a comment that says by which command
OWNER = re.compile(rf"{MARK} for (.+?): ")  # where several projects write to one place, it says for which of them


def put(files: Mapping[Path, str], *, force: bool = False) -> list[Path]:
    """Write each text to its path, all or none; returns those that changed. A file that is there and is not keepfit's own is left
    alone unless `force` is set.

    Raises `ConfigError` naming the file that is in the way, of another project perhaps, or cannot be written.
    """
    for path, text in files.items():
        if not force and (theirs := _owner(_text(path))) and (ours := _owner(text)) and theirs != ours:
            raise ConfigError(
                f"{path} was written for the project {theirs}, and this is {ours}, so nothing was written. "
                "Say --name NAME for files with another name beside them, or --force to replace them."
            )
    foreign = [path for path, text in files.items() if path.exists() and not _is_ours(path, text)]
    if foreign and not force:
        raise ConfigError(
            f"{foreign[0]} is there and was not written by keepfit, so nothing was written. Move it, or say --force to replace it."
        )
    changed = []
    for path, text in files.items():
        try:
            if path.exists() and path.read_text(encoding="utf-8") == text:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
        changed.append(path)
    return changed


def _is_ours(path: Path, text: str) -> bool:
    there = _text(path)
    return there == text or MARK in _beginning(there)


def _owner(text: str) -> str:
    """The project that a file was written for; empty where it does not say."""
    found = OWNER.search(_beginning(text))
    return found[1] if found else ""


def _beginning(text: str) -> str:
    return "\n".join(text.splitlines()[:5])


def _text(path: Path) -> str:
    """What lies there; nothing that keepfit could have written where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
