"""Tables in files: CSV, Parquet and JSON Lines, one or many of them, here or in object storage, in frames of bounded size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keepfit.adapters.table_files.parquet import parquet_glance, parquet_pieces
from keepfit.adapters.table_files.places import PARQUET, Place, find
from keepfit.adapters.table_files.text import TextPiece, text_glance

if TYPE_CHECKING:
    import polars as pl

__all__ = ["TableFiles"]


@dataclass(frozen=True)
class TableFiles:
    """The files of one table."""

    files: tuple[Place, ...]
    columns: tuple[str, ...] | None = None  # only these, as far as they are there; None: all

    @classmethod
    def at(cls, address: str, columns: Sequence[str] | None = None) -> TableFiles:
        """The files of a path, a glob or a URL. Raises `ConfigError`, `NotFound`, `MissingExtra`, `Unavailable`."""
        return cls(find(address), tuple(columns) if columns is not None else None)

    def glance(self) -> tuple[list[pl.DataFrame], bool]:
        """Rows from all over the files, by which a layout is made, and whether these are all rows. Raises `DataError`."""
        found = [self._glance(file) for file in self.files]
        frames = [frame for frames, _ in found for frame in frames]
        return frames, all(complete for _, complete in found)

    def pieces(self) -> list[Callable[[], Iterator[pl.DataFrame]]]:
        """What can be read side by side; each yields frames when it is called. Raises `DataError` then."""
        return [piece for file in self.files for piece in self._pieces(file)]

    def _glance(self, file: Place) -> tuple[list[pl.DataFrame], bool]:
        share = len(self.files)
        return parquet_glance(file, self.columns, share) if file.kind == PARQUET else text_glance(file, self.columns, share)

    def _pieces(self, file: Place) -> Sequence[Callable[[], Iterator[pl.DataFrame]]]:
        return parquet_pieces(file, self.columns) if file.kind == PARQUET else [TextPiece(file, self.columns)]
