"""Parquet by pyarrow: row groups, or parts of them, a bounded number of rows at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keepfit.adapters.table_files.places import ENOUGH, Place, beginnings
from keepfit.errors import DataError

if TYPE_CHECKING:
    import polars as pl

FRAME = 8 << 20  # bytes of a frame, about
GLANCE = 16 << 20  # bytes of a glance; what is smaller is looked at as a whole
BUFFERS = 32 << 20  # bytes read ahead, of all columns
LOOKS = 16  # row groups of which a glance takes rows


@dataclass(frozen=True)
class ParquetPiece:
    """Some row groups of a file."""

    place: Place
    groups: tuple[int, ...]
    rows: int  # of a frame
    columns: tuple[str, ...] | None

    def __call__(self) -> Iterator[pl.DataFrame]:
        with _opened(self.place) as file:
            yield from _frames(file, self.place, self.groups, self.rows, self.columns)


def parquet_pieces(place: Place, columns: Sequence[str] | None) -> list[ParquetPiece]:
    """Neighbouring row groups, together about as large as a frame, or single ones that are larger."""
    with _opened(place) as file:
        rows = _rows_of(file, FRAME)
        sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
    pieces: list[list[int]] = []
    room = 0
    for number, size in enumerate(sizes):
        if size > room:
            pieces.append([])
            room = rows
        pieces[-1].append(number)
        room -= size
    only = tuple(columns) if columns is not None else None
    return [ParquetPiece(place, tuple(groups), rows, only) for groups in pieces] or [ParquetPiece(place, (), rows, only)]


def parquet_glance(place: Place, columns: Sequence[str] | None, share: int) -> tuple[list[pl.DataFrame], bool]:
    """Rows from row groups spread over the file, every k-th of each, within the `share`-th part of a glance."""
    with _opened(place) as file:
        wanted = max(_rows_of(file, GLANCE // share), 1)
        count = file.num_row_groups
        complete = file.metadata.num_rows <= wanted
        groups = range(count) if complete or count <= LOOKS else [number * (count - 1) // (LOOKS - 1) for number in range(LOOKS)]
        there = sum(file.metadata.row_group(number).num_rows for number in groups)
        frames = _frames(file, place, tuple(groups), wanted if complete else _rows_of(file, FRAME), columns)
        if complete:
            return list(frames), True
        enough = -(-ENOUGH // share)  # where rows are so long that a glance holds fewer, their beginnings have to do
        seen = _every(-(-there // max(wanted, enough)), frames)
        return [frame if wanted >= enough else beginnings(frame) for frame in seen], False


def _every(step: int, frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The k-th, 2k-th, ... row of all frames together, copied, so that nothing holds on to the others."""
    start = 0
    for frame in frames:
        yield frame[range(-start % step, frame.height, step)]  # gather_every takes seconds where there are many columns
        start += frame.height


def _rows_of(file: Any, size: int) -> int:
    """How many rows take up so many bytes, by what the file says of itself."""
    size = max(size, file.metadata.num_columns << 13)  # a frame of few rows would be mostly overhead
    held = max((file.metadata.row_group(number).total_byte_size for number in range(file.num_row_groups)), default=0)
    most = max((file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)), default=0)
    each = max(held / max(most, 1), 8 * file.metadata.num_columns, 1)
    return max(int(size / each), 1)


def _frames(file: Any, place: Place, groups: Sequence[int], rows: int, columns: Sequence[str] | None) -> Iterator[pl.DataFrame]:
    import polars as pl
    import pyarrow as pa

    names = file.schema_arrow.names
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise DataError(f"{place.name} has the column {twice[0]!r} more than once: expected each column once.")
    only = names if columns is None else [name for name in names if name in columns]
    if not groups:
        yield _frame(pa.RecordBatch.from_pylist([], schema=file.schema_arrow).select(only))
        return
    for batch in file.iter_batches(
        batch_size=rows, row_groups=list(groups), columns=None if columns is None else only, use_threads=False
    ):
        yield _frame(batch) if columns is None or only else pl.DataFrame(height=batch.num_rows)


def _frame(batch: Any) -> pl.DataFrame:
    import polars as pl

    try:
        made = pl.from_arrow(batch)
    except Exception:  # one column of a type that polars does not know takes all down with it
        return pl.DataFrame([_series(name, column) for name, column in zip(batch.schema.names, batch.columns, strict=True)])
    assert isinstance(made, pl.DataFrame)  # noqa: S101 - a batch never becomes a series
    return made


def _series(name: str, column: Any) -> Any:
    import polars as pl

    try:
        return pl.Series(name, column)
    except Exception:  # it is counted, and nothing more is said of it
        return pl.Series(name, [None if cell is None else b"" for cell in column.is_valid().to_pylist()], dtype=pl.Binary)


@contextmanager
def _opened(place: Place) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with place.opened() as raw:
        try:
            footer = pq.read_metadata(raw)
            each = min(max(BUFFERS // max(footer.num_columns, 1), 1 << 12), 1 << 16)
            bit_by_bit = {"pre_buffer": False, "buffer_size": each}  # a row group may be larger than memory
            with pq.ParquetFile(raw, metadata=footer, page_checksum_verification=True, **bit_by_bit) as file:
                yield file
        except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # the disk's, and not about the content
                raise
            raise DataError(f"{place.name} is not a whole Parquet file: {str(error).partition(chr(10))[0]}") from None
