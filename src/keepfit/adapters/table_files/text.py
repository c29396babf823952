"""CSV by pyarrow, every cell as text, and JSON Lines by polars, some megabytes of whole records at a time."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import IO, TYPE_CHECKING

from keepfit.adapters.table_files.places import CSV, ENOUGH, Place, beginnings
from keepfit.errors import DataError

if TYPE_CHECKING:
    import polars as pl

CHUNK = 4 << 20  # bytes read at a time
SMALL = 1 << 20  # bytes by which the number of columns is guessed
LONGEST = 512 << 20  # bytes of a record
GLANCE = 8 << 20  # bytes of a glance; what is smaller is looked at as a whole
LOOKS = 16  # places of a file that a glance is taken from
DELIMITERS = (",", ";", "\t", "|")

Parser = Callable[[bytes], "pl.DataFrame"]


@dataclass(frozen=True)
class TextPiece:
    """A whole file."""

    place: Place
    columns: tuple[str, ...] | None

    def __call__(self) -> Iterator[pl.DataFrame]:
        with self.place.opened() as file:
            parse, chunks = _begin(self.place, file, CHUNK)
            for chunk in chunks:
                yield _only(parse(chunk), self.columns)


def text_glance(place: Place, columns: Sequence[str] | None, share: int) -> tuple[list[pl.DataFrame], bool]:
    """Rows from all over a file, within the `share`-th part of a glance; of a packed file those at its beginning."""
    size = max(GLANCE // share, 1 << 16)
    with place.opened() as file:
        parse, chunks = _begin(place, file, size)
        frame = parse(next(chunks))
        if not file.read(1) and not next(chunks, b""):
            return [_only(frame, columns)], True
        spread = not place.packed and not (place.kind == CSV and _has_breaks(frame))
        frames = [frame.head(max(frame.height // LOOKS, 1))] if spread else [frame]
        if spread:
            end = file.seek(0, io.SEEK_END)
            frames += _looks(file, parse, end, size // LOOKS)
    few = sum(frame.height for frame in frames) * share < ENOUGH
    frames += _first_rows(place, -(-ENOUGH // share)) if few else []
    return [_only(frame, columns) for frame in frames], False


def _first_rows(place: Place, rows: int) -> Iterator[pl.DataFrame]:
    """Where so little was seen because cells are long: so many rows, or all of them, of long texts the beginnings."""
    with place.opened() as file:
        parse, chunks = _begin(place, file, SMALL)
        for chunk in chunks:
            frame = beginnings(parse(chunk).head(rows))
            yield frame
            rows -= frame.height
            if rows <= 0:
                return


def _looks(file: IO[bytes], parse: Parser, end: int, size: int) -> Iterator[pl.DataFrame]:
    for number in range(1, LOOKS):
        file.seek(number * end // LOOKS)
        file.readline(size)  # the rest of a record
        content = file.read(size)
        whole = content[: content.rfind(b"\n") + 1]
        try:
            if whole:
                yield parse(whole)
        except DataError:  # the pass over all rows tells of it, if it was not the place at which we looked
            continue


def _begin(place: Place, file: IO[bytes], size: int) -> tuple[Parser, Iterator[bytes]]:
    """How records are read, and all of them, in chunks."""
    start = file.read(SMALL)
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{place.name} is written in UTF-16: save it as UTF-8.")
    start = start.removeprefix(b"\xef\xbb\xbf")
    size = max(size, _columns(start) << 12)  # a frame of few rows would be mostly overhead
    chunks = _chunks(file, size, quoted=place.kind == CSV, name=place.name, rest=start)
    first = next(chunks, b"")
    if not first.strip():
        raise DataError(f"{place.name} is empty: expected {'a header and rows' if place.kind == CSV else 'one object a line'}.")
    if place.kind != CSV:
        return partial(_parse_lines, place.name), chain([first], chunks)
    header, delimiter, length = _header(place.name, first)
    return partial(_parse_csv, place.name, header, delimiter), chain([first[length:]], chunks)


def _columns(beginning: bytes) -> int:
    """About how many there are."""
    line = beginning.partition(b"\n")[0]
    return max(line.count(delimiter.encode()) for delimiter in DELIMITERS)


def _chunks(file: IO[bytes], size: int, *, quoted: bool, name: str, rest: bytes) -> Iterator[bytes]:
    """Bytes that end with a record, `rest` first; in CSV a line break between quotation marks does not end one."""
    while content := file.read(max(size - len(rest), SMALL)):
        rest += content
        end = _end(rest, quoted) if len(rest) >= size else 0
        if end:
            yield rest[:end]
            rest = rest[end:]
        elif len(rest) > LONGEST:
            raise DataError(f"{name}: a record is longer than {LONGEST >> 20} MB. Is a quotation mark never closed?")
    if rest:
        yield rest


def _end(content: bytes, quoted: bool) -> int:
    end = content.rfind(b"\n") + 1
    if not quoted or content.count(b'"', 0, end) % 2 == 0:
        return end
    return content.rfind(b"\n", 0, content.rfind(b'"', 0, end)) + 1  # before the last opened, unless that was within quotes too


# ---------------------------------------------------------------------------------------------------------------- CSV


def _header(name: str, content: bytes) -> tuple[list[str], str, int]:
    """The column names, what separates cells, and how long the header is."""
    try:
        lines = io.StringIO(content[: 4 << 20].decode(errors="replace"), newline="")
        start = next((line for line in iter(lines.readline, "") if line.strip()), "")
        lines.seek(0)
        delimiter = max(DELIMITERS, key=lambda one: len(next(csv.reader([start], delimiter=one))))
        header = next(row for row in csv.reader(lines, delimiter=delimiter) if row)
    except (csv.Error, StopIteration) as error:
        raise DataError(f"{name}: the header line cannot be read: {error}.") from None
    names = [cell.strip() for cell in header]
    length = len(lines.getvalue()[: lines.tell()].encode())
    if any("\ufffd" in cell or not cell.isprintable() for cell in names):
        raise DataError(
            f"{name} does not begin with column names in UTF-8, but with {content[:20]!r}. Save it as a UTF-8 CSV file."
        )
    twice = sorted({cell for cell in names if names.count(cell) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise DataError(f"{name}: the header names {twice[0]!r} more than once: expected each column once.")
    return names, delimiter, length


def _parse_csv(name: str, header: list[str], delimiter: str, content: bytes) -> pl.DataFrame:
    import polars as pl
    import pyarrow as pa
    import pyarrow.csv as pa_csv

    bad: list[pa_csv.InvalidRow] = []

    def refuse(row: pa_csv.InvalidRow) -> str:
        bad.append(row)
        return "skip"

    try:
        table = pa_csv.read_csv(
            pa.BufferReader(content),
            read_options=pa_csv.ReadOptions(column_names=header, block_size=min(max(len(content) + 1, 1 << 20), 2**31 - 1)),
            parse_options=pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=refuse),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.large_string()), strings_can_be_null=True, null_values=[""]
            ),
        )
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            return pl.DataFrame(schema=dict.fromkeys(header, pl.String))
        raise DataError(f"{name} is not a CSV table in UTF-8: {str(error).partition(chr(10))[0]}") from None
    if bad:
        shown = bad[0].text if len(bad[0].text) <= 60 else bad[0].text[:57] + "..."
        raise DataError(f"{name}: expected {len(header)} cells in each row, found {bad[0].actual_columns}: {shown!r}")
    made = pl.from_arrow(table)
    assert isinstance(made, pl.DataFrame)  # noqa: S101 - a table never becomes a series
    if content.count(b'"') % 2 and made.height and any(cell is not None and "\n" in cell for cell in made.row(-1)):
        raise DataError(f'{name}: a quotation mark (") is opened and never closed: expected them in pairs.')
    return made


def _has_breaks(frame: pl.DataFrame) -> bool:
    return any(bool(series.str.contains("\n", literal=True).any()) for series in frame)


# --------------------------------------------------------------------------------------------------------- JSON Lines


def _parse_lines(name: str, content: bytes) -> pl.DataFrame:
    import polars as pl

    try:
        return pl.read_ndjson(content, infer_schema_length=None)
    except (pl.exceptions.PolarsError, OSError, ValueError):  # NaN, types that do not go together, or no JSON at all
        return _parse_each(name, content)


def _parse_each(name: str, content: bytes) -> pl.DataFrame:
    """Line by line: slow, and certain of what is wrong. Where the cells of a column are of several types they become text."""
    import polars as pl

    rows = []
    for line in content.splitlines():
        try:
            row = json.loads(line.decode()) if line.strip() else {}
        except (ValueError, RecursionError) as error:
            raise DataError(f"{name} has a line that is not JSON in UTF-8 ({error}): {_shown(line)}") from None
        if not isinstance(row, dict):
            raise DataError(f"{name} has a line that is no object with one value for each column: {_shown(line)}")
        rows += [row] if line.strip() else []
    columns = dict.fromkeys(key for row in rows for key in row)
    return pl.DataFrame([_cells(column, [row.get(column) for row in rows]) for column in columns])


def _cells(name: str, cells: list[object]) -> pl.Series:
    import polars as pl

    try:
        return pl.Series(name, cells, strict=True)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        return pl.Series(name, [cell if cell is None or isinstance(cell, str) else json.dumps(cell) for cell in cells])


def _shown(line: bytes) -> str:
    return repr(line[:60].decode(errors="replace"))


def _only(frame: pl.DataFrame, columns: Sequence[str] | None) -> pl.DataFrame:
    import polars as pl

    if columns is None:
        return frame
    only = [series for series in frame.get_columns() if series.name in columns]  # a name may look like a pattern to polars
    return pl.DataFrame(only) if only else pl.DataFrame(height=frame.height)
