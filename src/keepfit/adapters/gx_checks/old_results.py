"""The results and pages of earlier checks, as files; Great Expectations itself is not loaded."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from keepfit.errors import Unavailable
from keepfit.ports import Kept

RESULTS, PAGES = "uncommitted/validations", "uncommitted/data_docs/local_site/validations"
STEM = "keepfit-batches"  # of keepfit's own runs; what others have validated in the same folder is theirs


class GxResults:
    """`Pile` over the folder of a Great Expectations context, as far as it keeps its results there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def kept(self) -> Sequence[Kept]:
        try:
            results = sorted((self._folder / RESULTS).rglob(f"{STEM}.json"))
            return [self._described(path) for path in results if path.is_file()]
        except OSError as error:
            raise _unusable(self._folder, error) from error

    def remove(self, name: str) -> None:
        """The page first: a result without one is found again."""
        path = PurePosixPath(name)
        for file in (self._page(path), self._folder / RESULTS / path):
            try:
                file.unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # others lie there too
                    for folder in list(file.parents)[:2]:
                        folder.rmdir()
            except OSError as error:
                raise _unusable(file, error) from error

    def _described(self, result: Path) -> Kept:
        name = PurePosixPath(result.relative_to(self._folder / RESULTS).as_posix())
        there = [path.stat() for path in (result, self._page(name)) if path.is_file()]
        at = datetime.fromtimestamp(result.stat().st_mtime, UTC)
        return Kept(name=str(name), size=sum(each.st_size for each in there), at=at)

    def _page(self, result: PurePosixPath) -> Path:
        return self._folder / PAGES / result.with_suffix(".html")


def _unusable(path: Path, error: OSError) -> Unavailable:
    return Unavailable(
        f"{path} cannot be looked at or removed: {error.strerror or error}. Give this user the right to write there."
    )
