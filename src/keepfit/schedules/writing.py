"""Puts generated files where they belong, and never over what somebody else wrote."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from keepfit.errors import ConfigError

MARK = "Written by keepfit"  # stands in the first lines of every generated file, in a comment that says by which command


def put(files: Mapping[Path, str], *, force: bool = False) -> list[Path]:
    """Write each text to its path, all or none; returns those that changed. A file that is there and is not keepfit's own is left
    alone unless `force` is set.

    Raises `ConfigError` naming the file that is in the way or cannot be written.
    """
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
    try:
        there = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    return there == text or MARK in "\n".join(there.splitlines()[:5])
