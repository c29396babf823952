"""Data files as tables: CSV as the text that is written, Parquet and JSON Lines as they are typed.

Every cell comes as it stands in the file; what cannot be read is told with its line.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

from keepfit.errors import DataError
from keepfit.settings import Data

if TYPE_CHECKING:
    import polars as pl


def parse(name: str, content: bytes, data: Data) -> pl.DataFrame:
    """The table in a file's bytes; its kind is known by the ending of `name`, columns are renamed as `data` says.

    Raises `DataError` naming the place of the fault.
    """
    return _renamed(_parsed(name, content, data), data.rename)


def _parsed(name: str, content: bytes, data: Data) -> pl.DataFrame:
    if not content.strip():
        raise DataError("the file is empty: expected a header and rows")
    suffix = PurePath(name).suffix.lower()
    if suffix in (".parquet", ".pq"):
        return _parse_parquet(content)
    text = _as_utf8(content, data.encoding)
    return _parse_json_lines(text) if suffix in (".jsonl", ".ndjson") else _parse_csv(text, data)


def _renamed(frame: pl.DataFrame, rename: Mapping[str, str]) -> pl.DataFrame:
    names = [rename.get(name, name) for name in frame.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"the file has {twice[0]!r} under two names of [data.rename]: expected each column once")
    frame.columns = names
    return frame


def _as_utf8(content: bytes, encoding: str) -> bytes:
    """The bytes as UTF-8 without a byte order mark. Raises `DataError` naming the first byte that does not fit."""
    if content.startswith(b"\xef\xbb\xbf"):
        content = content[3:]
    elif content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    try:
        decoded = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"line {line}: expected {encoding} text, found the byte 0x{content[error.start]:02x}. "
            'If the file is written otherwise, say so: [data] encoding = "cp1252".'
        ) from None
    except (LookupError, UnicodeError):
        raise DataError(f"[data] encoding = {encoding!r} is no encoding that Python knows") from None
    return content if encoding.lower().replace("_", "-") in ("utf-8", "utf8", "ascii") else decoded.encode()


def _parse_csv(content: bytes, data: Data) -> pl.DataFrame:
    import polars as pl
    import pyarrow as pa
    import pyarrow.csv as csv

    header, lines = (list(data.header), 0) if data.header else _csv_header(content, data.delimiter)
    _check_header(header)
    bad: list[csv.InvalidRow] = []
    block = min(max(1 << 20, len(content) + 1), 2**31 - 1)  # a row must fit into a block, and cells may be long

    def refuse(row: csv.InvalidRow) -> str:
        bad.append(row)
        return "skip"

    try:
        table = csv.read_csv(
            io.BytesIO(content),
            read_options=csv.ReadOptions(column_names=header, skip_rows=lines, use_threads=False, block_size=block),
            parse_options=csv.ParseOptions(delimiter=data.delimiter, newlines_in_values=True, invalid_row_handler=refuse),
            convert_options=csv.ConvertOptions(
                column_types={name: pa.large_string() for name in header}, strings_can_be_null=True, null_values=[""]
            ),
        )
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error) or "Could not skip initial" in str(error):
            return pl.DataFrame(schema=dict.fromkeys(header, pl.String))
        raise DataError(f"the file is not a CSV table: {error}") from None
    if bad:
        shown = "; ".join(f"line {row.number}: {row.actual_columns} cells" for row in bad[:3])
        raise DataError(f"{len(bad)} ragged rows: expected {len(header)} cells in each, found {shown}")
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)  # noqa: S101 - a table never becomes a series
    _check_quotes(content, frame)
    return frame


def _csv_header(content: bytes, delimiter: str) -> tuple[list[str], int]:
    """The column names, and the number of lines down to the end of the header."""
    import csv

    reader = csv.reader(io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", newline=""), delimiter=delimiter)
    try:
        row = next((row for row in reader if row), [])
    except csv.Error as error:
        raise DataError(f"the header line cannot be read: {error}") from None
    return [name.strip() for name in row], reader.line_num


def _check_quotes(content: bytes, frame: pl.DataFrame) -> None:
    """A quote that is never closed takes all the rows after it into one cell of the last row."""
    last = frame.row(-1) if frame.height else ()
    if content.count(b'"') % 2 and any(cell is not None and "\n" in cell for cell in last):
        line = content.count(b"\n", 0, content.rfind(b'"')) + 1
        raise DataError(f'a quote (") is opened and never closed, at the latest in line {line}: expected them in pairs')


def _check_header(header: Sequence[str]) -> None:
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DataError(f"the header names {', '.join(map(repr, twice))} more than once: expected each column once")


def _parse_parquet(content: bytes) -> pl.DataFrame:
    import polars as pl

    try:
        return pl.read_parquet(io.BytesIO(content))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"the file is not a Parquet table: {_first_line(error)}") from None


def _parse_json_lines(content: bytes) -> pl.DataFrame:
    import polars as pl

    rows: list[Mapping[str, object]] = []
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        try:
            line.decode()
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"line {number} is not JSON: {_first_line(error)}") from None
        if not isinstance(row, dict):
            raise DataError(f"line {number}: expected an object with one value for each column, found {type(row).__name__}")
        rows.append(row)
    try:
        return pl.DataFrame(rows, infer_schema_length=None)
    except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"the rows do not agree on the columns' types: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
