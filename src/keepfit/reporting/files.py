"""Files that are whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

from keepfit.errors import Unavailable


def write(path: Path, text: str) -> Path:
    """Put the text where any reader finds the old file or the new one. Raises `Unavailable`; the old file is untouched then."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # its own: two runners may write at a time
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("w", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise Unavailable(
            f"{path} cannot be written: {error.strerror or error}. Give this user the right to write there, or set another "
            "[reports] folder."
        ) from error
    return path
