"""Tables in files: CSV, Parquet and JSON Lines, one or many of them, here or in object storage, in frames of bounded size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keepfit.adapters.table_files.parquet import parquet_glance, parquet_pieces
from keepfit.adapters.table_files.places import PARQUET, Place, find
from keepfit.adapters.table_files.text import TextPiece, text_glance

if TYPE_CHECKING:
    import polars as pl

__all__ = ["TableFiles"]

Piece = Callable[[], Iterator["pl.DataFrame"]]
Each = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]


@dataclass(frozen=True)
class TableFiles:
    """The files of one table."""

    files: tuple[Place, ...]
    columns: tuple[str, ...] | None = None  # only these, as far as they are there; None: all

    @classmethod
    def at(cls, address: str, columns: Sequence[str] | None = None) -> TableFiles:
        """The files of a path, a glob or a URL. Raises `ConfigError`, `NotFound`, `MissingExtra`, `Unavailable`."""
        return cls(find(address), tuple(columns) if columns is not None else None)

    def glance(self, each: Each = map) -> tuple[list[pl.DataFrame], bool]:
        """Rows from all over the files, by which a layout is made, and whether these are all rows. Raises `DataError`.

        `each` says who looks: it does something for each of some items, in order.
        """
        found = list(each(_Glance(self.columns, len(self.files)), self.files))
        frames = [frame for frames, _ in found for frame in frames]
        return frames, all(complete for _, complete in found)

    def pieces(self, each: Each = map) -> list[Piece]:
        """What can be read side by side; each yields frames when it is called. Raises `DataError` then."""
        return [piece for pieces in each(_Pieces(self.columns), self.files) for piece in pieces]


@dataclass(frozen=True)
class _Glance:
    """A look at a file; an object, since a function within a function cannot travel to another process."""

    columns: tuple[str, ...] | None
    share: int  # of a glance, one part of so many

    def __call__(self, file: Place) -> tuple[list[pl.DataFrame], bool]:
        look = parquet_glance if file.kind == PARQUET else text_glance
        return look(file, self.columns, self.share)


@dataclass(frozen=True)
class _Pieces:
    """The pieces of a file, likewise."""

    columns: tuple[str, ...] | None

    def __call__(self, file: Place) -> Sequence[Piece]:
        return parquet_pieces(file, self.columns) if file.kind == PARQUET else [TextPiece(file, self.columns)]
