"""How a data file is written: its kind, its encoding, what separates its cells; and the name by which the inbox takes it.

What is claimed is found in the bytes, and everything that was not certain is said.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from keepfit.errors import ConfigError, DataError

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
RECORDS = 200  # of the beginning, by which the delimiter is found
SAMPLE = 1_000_000  # characters of the beginning that these records are taken from
_NO_TABLES = {  # how a file begins that looks like data to its owner, and what to do
    b"PK\x03\x04": "a ZIP archive or an Excel workbook: unpack it, or save the sheet as CSV",
    b"\x1f\x8b": "compressed with gzip: unpack it first",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook: save the sheet as CSV",
    b"SQLite format 3": "an SQLite database: export the table as CSV",
    b"%PDF": "a PDF: export the table as CSV",
}


@dataclass(frozen=True, kw_only=True)
class Written:
    """What was found out."""

    name: str  # by which the inbox takes the file
    kind: str  # "CSV", "Parquet" or "JSON Lines"
    delimiter: str  # of CSV; "," otherwise
    encoding: str  # as [data] encoding names it
    remarks: tuple[str, ...]  # what was chosen, in words


def sniff(path: Path, target: str) -> Written:
    """How the file at `path` is written; a header that holds `target` speaks for its delimiter.

    Raises `ConfigError` when there is no such file, `DataError` when it is empty or no table of a kind that keepfit reads.
    """
    content = _content(path)
    if content.startswith(b"PAR1"):
        name = _name(path, (".parquet", ".pq"))
        return Written(name=name, kind="Parquet", delimiter=",", encoding="utf-8", remarks=_renamed(path, name))
    for beginning, words in _NO_TABLES.items():
        if content.startswith(beginning):
            raise DataError(f"{path} is no table that keepfit reads but {words}.")
    encoding, remark = _encoding(path, content)
    text = content.decode(encoding).removeprefix("\ufeff")
    lines = path.suffix.lower() in (".jsonl", ".ndjson") or (path.suffix.lower() != ".csv" and text.lstrip()[:1] == "{")
    if text.lstrip()[:1] == "[" and not lines and path.suffix.lower() == ".json":
        raise DataError(f"{path} is one JSON list: write one object a line (jq -c '.[]' does), and name it .jsonl.")
    name = _name(path, (".jsonl", ".ndjson") if lines else (".csv",))
    delimiter = "," if lines else _delimiter(text, target)
    found = [remark, "" if lines or delimiter == "," else f"its cells are separated by {DELIMITERS[delimiter]}"]
    return Written(
        name=name,
        kind="JSON Lines" if lines else "CSV",
        delimiter=delimiter,
        encoding=encoding,
        remarks=(*(words for words in found if words), *_renamed(path, name)),
    )


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"--data {path}: there is no such file") from None
    except IsADirectoryError:
        raise ConfigError(f"--data {path} is a folder: name one file in it") from None
    except OSError as error:
        raise ConfigError(f"--data {path} cannot be read: {error.strerror}") from error
    if not content.strip():
        raise DataError(f"{path} is empty: expected a header and rows")
    return content


def _name(path: Path, endings: tuple[str, ...]) -> str:
    """The file's own name, made one that the inbox lists: visible, printable, with an ending that tells the kind."""
    plain = "".join(letter if letter.isprintable() else "_" for letter in path.name).lstrip(".") or "data"
    return plain if plain.lower().endswith(endings) else f"{plain}{endings[0]}"


def _renamed(path: Path, name: str) -> tuple[str, ...]:
    return () if name == path.name else (f"it is called {name} in the inbox, by whose ending its kind is known",)


def _encoding(path: Path, content: bytes) -> tuple[str, str]:
    """The encoding and, where it is not plain UTF-8, the words that say so."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return _decodes(path, content, "utf-16"), "it is written in UTF-16, as its byte order mark says"
    if content[:2000].count(0) > 0.3 * len(content[:2000]):
        encoding = "utf-16-le" if content[1:2000:2].count(0) > content[0:2000:2].count(0) else "utf-16-be"
        return _decodes(path, content, encoding), f"it is taken for {encoding.upper()}, though it has no byte order mark"
    if b"\0" in content:
        raise DataError(f"{path} is no table that keepfit reads: it holds bytes that no text has.")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        encoding = _decodes(path, content, "cp1252")
        shown = content[max(0, error.start - 8) : error.start + 8].decode(encoding, errors="replace")
        return (
            encoding,
            f"it is not UTF-8 (line {line}) and is read as {encoding}, Western European: see whether {shown!r} is right",
        )
    return "utf-8", ""


def _decodes(path: Path, content: bytes, encoding: str) -> str:
    try:
        content.decode(encoding)
    except UnicodeDecodeError as error:
        place = f"byte {error.start} is 0x{content[error.start]:02x}"
        raise DataError(f"{path} is neither UTF-8 nor {encoding} text: {place}. Save it as UTF-8.") from None
    return encoding


def _delimiter(text: str, target: str) -> str:
    """What cuts most records into equally many cells, more than one; one that makes a cell of the target's name wins."""
    scores = {delimiter: _score(text, delimiter, target) for delimiter in DELIMITERS}
    best = max(scores, key=lambda delimiter: scores[delimiter])
    return best if scores[best][1] > 0 else ","


def _score(text: str, delimiter: str, target: str) -> tuple[bool, float, int]:
    sample = text[:SAMPLE]
    records: list[list[str]] = []
    try:
        for record in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter):
            records += [record] if record else []
            if len(records) == RECORDS:
                break
    except csv.Error:  # an enormous cell: an open quotation mark under this delimiter, perhaps not under another
        return False, 0.0, 0
    if not records:
        return False, 0.0, 0
    if len(records) < RECORDS and len(text) > SAMPLE:
        records = records[:-1] or records  # the last is cut off
    (cells, frequency), *_ = Counter(len(record) for record in records).most_common(1)
    named = target in [name.strip() for name in records[0]]
    return named, frequency / len(records) if cells > 1 else 0.0, cells
