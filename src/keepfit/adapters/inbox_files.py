"""Folders of data files: CSV, Parquet and JSON Lines.

A file is named by the sha256 of its bytes. Reading checks that the bytes are still those, so a file that is overwritten in the
middle of a cycle is noticed. Moving is find-or-do: within one file system a rename, which a kill cannot halve.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
import stat
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from keepfit.errors import DataError, Unavailable
from keepfit.ports import Arrival
from keepfit.records import Batch, Place
from keepfit.settings import Data

if TYPE_CHECKING:
    import polars as pl

TEMPORARY = (".tmp", ".temp", ".part", ".partial", ".crdownload", ".filepart", ".swp", "~")
SUFFIXES = (".csv", ".parquet", ".pq", ".jsonl", ".ndjson")
NOTE_SUFFIX = ".reason.json"
CLOCKS_APART = 60.0  # seconds by which a file server's clock may be ahead
LONGEST_PAUSE = 5.0  # seconds that listing may wait for a fresh file to settle


class InboxFiles:
    """The three folders on a local or mounted disk.

    `data` holds the folders, the settle time and how CSV files are written; `root` is the project's folder.
    """

    def __init__(self, data: Data, root: Path) -> None:
        self._data = data
        self._folders = {
            Place.INBOX: root / data.inbox,
            Place.ARCHIVE: root / data.archive,
            Place.QUARANTINE: root / data.quarantine,
        }

    def list(self, place: Place) -> Sequence[Arrival]:
        found = self._scan(place)
        pause = self._data.settle.total_seconds()
        if place is Place.INBOX and 0 < pause <= LONGEST_PAUSE and any(self._is_fresh(*item) for item in found):
            time.sleep(pause)  # somebody has just copied a file in: look again rather than send them away
            found = self._scan(place)
        return [
            Arrival(name=name, size=status.st_size, settled=not _is_temporary(name) and not self._is_fresh(name, status))
            for name, status in found
        ]

    def identify(self, arrival: Arrival, place: Place) -> Batch | None:
        path = self._folders[place] / arrival.name
        if not arrival.name.isprintable():
            raise DataError(f"{arrival.name!a} was left where it is: its name has characters that cannot be shown. Rename it.")
        try:
            digest, size = _hash(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DataError(f"{arrival.name} cannot be read: {error.strerror}. Give this user the right to read it.") from error
        return Batch(id=digest, name=arrival.name, size=size, place=place)

    def read(self, batch: Batch) -> pl.DataFrame:
        try:
            content = self._find(batch).read_bytes()
        except OSError as error:  # the file may be sound, so it is no reason for quarantine
            raise Unavailable(f"{batch.name} cannot be read: {error.strerror}. Mend that, and run again.") from error
        if hashlib.sha256(content).hexdigest() != batch.id:
            raise DataError(f"{batch.name} was changed after this cycle took it in. Run again; the new content is a new batch.")
        return _renamed(_parse(batch.name, content, self._data), self._data.rename)

    def move(self, batch: Batch, to: Place, note: str = "") -> Batch:
        try:
            moved = self._move(batch, to)
            if note and to is Place.QUARANTINE:
                _write_note(self._folders[to] / (moved.name + NOTE_SUFFIX), batch, note)
        except OSError as error:
            raise Unavailable(
                f"{batch.name} could not be moved to {self._folders[to]}: {error.strerror}. "
                "It was left whole; mend that and run again."
            ) from error
        return moved

    def set_aside(self, batch: Batch, rows: pl.DataFrame) -> str:
        columnar = Path(batch.name).suffix.lower() != ".csv"
        content = _as_parquet(rows) if columnar else _as_csv(rows, self._data.delimiter)
        relative = Path(batch.name + (".rows.parquet" if columnar else ".rows.csv"))
        taken = relative.with_name(f"{batch.name.rpartition('/')[2]}.{batch.id[:12]}.rows{relative.suffix}")
        try:
            for name in (relative, taken):
                target = self._folders[Place.QUARANTINE] / name
                if not target.exists():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    _write(target, content)
                if target.read_bytes() == content:
                    return name.as_posix()
        except OSError as error:
            raise Unavailable(f"{target} cannot be written: {error.strerror}. Nothing is lost; run again.") from error
        return taken.as_posix()  # it was mended by hand meanwhile

    def _move(self, batch: Batch, to: Place) -> Batch:
        name = self._name_in(to, batch)
        target = self._folders[to] / name
        source = self._folders[batch.place] / batch.name
        if batch.place is to:
            return batch
        if source.exists() and (not target.exists()) and _hash(source)[0] != batch.id:
            raise DataError(f"{batch.name} was changed after this cycle took it in, so it was left in place. Run again.")
        if not target.exists():
            if not source.exists():
                raise DataError(f"{batch.name} is neither in {source.parent} nor in {target.parent}: was it deleted?")
            target.parent.mkdir(parents=True, exist_ok=True)
            _rename(source, target)
        elif source.exists() and _hash(source)[0] == batch.id:
            source.unlink()  # the same bytes are at their destination
        return replace(batch, name=name, place=to)

    def _name_in(self, place: Place, batch: Batch) -> str:
        """The batch's name in a folder: its own, unless other content has it there."""
        path = self._folders[place] / batch.name
        if not path.exists() or _hash(path)[0] == batch.id:
            return batch.name
        relative = Path(batch.name)
        return relative.with_name(f"{relative.stem}.{batch.id[:12]}{relative.suffix}").as_posix()

    def _find(self, batch: Batch) -> Path:
        """Where the batch is: in its place or, after a kill between a move and its record, in another."""
        for place in (batch.place, *Place):
            for name in dict.fromkeys((batch.name, self._name_in(place, batch))):
                path = self._folders[place] / name
                if path.exists() and (place is batch.place or _hash(path)[0] == batch.id):
                    return path
        raise DataError(
            f"{batch.name} has vanished from {self._folders[batch.place]}. It is left out; put it back to have it used."
        )

    def _scan(self, place: Place) -> Sequence[tuple[str, os.stat_result]]:
        folder = self._folders[place]
        found: list[tuple[str, os.stat_result]] = []
        try:
            for parent, folders, names in os.walk(folder, onerror=_raise):
                folders[:] = sorted(name for name in folders if not name.startswith("."))
                for name in names:
                    path = Path(parent, name)
                    relative = path.relative_to(folder).as_posix()
                    if _is_data(name) and not (place is Place.QUARANTINE and _holds_rows(name)):
                        try:
                            status = path.stat()
                        except FileNotFoundError:
                            continue  # moved away while we looked
                        if stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
                            found.append((relative, status))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise Unavailable(
                f"The folder {folder} cannot be read: {error.strerror}. Give this user the right to read it."
            ) from error
        return sorted(found)

    def _is_fresh(self, name: str, status: os.stat_result) -> bool:
        age = time.time() - status.st_mtime  # negative where another clock is ahead; far ahead, it would never settle
        return not _is_temporary(name) and -CLOCKS_APART < age < self._data.settle.total_seconds()


def _raise(error: OSError) -> None:
    raise error


def _is_temporary(name: str) -> bool:
    return name.lower().endswith(TEMPORARY)


def _is_data(name: str) -> bool:
    lowered = name.lower()
    for ending in TEMPORARY:
        lowered = lowered.removesuffix(ending)
    return lowered.endswith(SUFFIXES) and not name.startswith(".")


def _holds_rows(name: str) -> bool:
    """Whether it holds rows that were set aside, of a batch that lies elsewhere."""
    return name.lower().endswith((".rows.csv", ".rows.parquet"))


def _hash(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return digest.hexdigest(), file.tell()


def _rename(source: Path, target: Path) -> None:
    """Within a file system one rename, so that the file is never in two places; across them copy, make durable, remove."""
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        temporary = target.with_name(f".{target.name}.moving")
        shutil.copy2(source, temporary)
        _flush(temporary)
        temporary.rename(target)
        source.unlink()


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _write_note(path: Path, batch: Batch, note: str) -> None:
    text = json.dumps({"file": batch.name, "batch": batch.id, "reason": note.splitlines()}, indent=2, ensure_ascii=False)
    _write(path, (text + "\n").encode())


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(content)
    temporary.replace(path)


def _as_csv(rows: pl.DataFrame, delimiter: str) -> bytes:
    """With a byte order mark, so that it is read as UTF-8 whatever the settings say of other files."""
    return b"\xef\xbb\xbf" + rows.write_csv(separator=delimiter).encode()


def _as_parquet(rows: pl.DataFrame) -> bytes:
    content = io.BytesIO()
    rows.write_parquet(content)
    return content.getvalue()


# ------------------------------------------------------------------------------------------------------------- parsing


def _parse(name: str, content: bytes, data: Data) -> pl.DataFrame:
    if not content.strip():
        raise DataError("the file is empty: expected a header and rows")
    suffix = Path(name).suffix.lower()
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
