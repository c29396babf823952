"""Refuses archives that would unpack to far more than they are."""

from __future__ import annotations

import io
import zipfile

from keepfit.errors import ModelRefused

RATIO = 50  # unpacked bytes to packed ones; keepfit's own files are not packed at all, text packs about ten times
ALLOWANCE = 1 << 20  # bytes that are never too many


def check_archive(data: bytes) -> None:
    """Raises `ModelRefused` when `data` is no zip archive or unpacks to more than `RATIO` times its size, the compressed
    matrices inside included. Reading a member never yields more than the size that its entry declares."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _check_sizes(archive, len(data))
            for entry in archive.infolist():
                if entry.filename.endswith(".npz"):
                    with zipfile.ZipFile(io.BytesIO(archive.read(entry))) as inner:
                        _check_sizes(inner, entry.file_size)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise ModelRefused(f"The file is not a skops file: {error}") from error


def _check_sizes(archive: zipfile.ZipFile, packed: int) -> None:
    unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > ALLOWANCE + RATIO * packed:
        raise ModelRefused(f"The file unpacks from {packed} to {unpacked} bytes, which no model does. It was not opened.")
