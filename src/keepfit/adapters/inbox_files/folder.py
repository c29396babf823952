"""What the inbox, the archive and the quarantine are to whoever moves files between them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Protocol

from keepfit.ports import Arrival


class Folder(Protocol):
    """Data files by names with forward slashes. All that goes wrong raises OSError, or `Unavailable` where it is a store that does
    not answer. A file that is not there is FileNotFoundError; so is one whose name can be nobody's there (too long, through a file,
    out of the folder), and to write under such a name is FileExistsError."""

    @property
    def address(self) -> str:
        """Where it is, for people."""
        ...

    def list(self, *, wait: bool) -> Sequence[Arrival]:
        """The data files by name; with `wait` a fresh one may be waited for. Raises `Unavailable`."""
        ...

    def digest(self, name: str) -> tuple[str, int]:
        """The sha256 of a file's bytes, and how many they are."""
        ...

    def known(self, name: str) -> tuple[str, int]:
        """The same, though what was found before may be told again while nothing says that the file has changed."""
        ...

    def read(self, name: str) -> bytes: ...

    def write(self, name: str, content: bytes, at: datetime | None = None) -> None:
        """Whole, in place of what goes by that name; dated `at` where the folder keeps dates."""
        ...

    def put(self, name: str, file: Path, digest: str) -> None:
        """A copy of a local file, verified. FileExistsError where something goes by that name; `DataError` where the file is not
        of that sha256."""
        ...

    def move_from(self, other: Folder, old: str, name: str, digest: str) -> bool:
        """Move a file of that sha256 here from another folder, where both are of one kind; False where they are not.

        FileExistsError where something goes by that name; `DataError` where the file is not of that sha256."""
        ...

    def as_local(self, name: str) -> AbstractContextManager[Path]:
        """A local file with the same bytes, for a while."""
        ...

    def remove(self, name: str, digest: str) -> None:
        """Remove a file while it is of that sha256, or find it gone. Raises `DataError` when it is not."""
        ...
