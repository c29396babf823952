"""Where files are: paths and globs here, URLs of object storage by fsspec; and how much of them a glance takes."""

from __future__ import annotations

import glob
import gzip
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from keepfit.errors import ConfigError, DataError, KeepfitError, NotFound, Unavailable
from keepfit.object_storage import file_system, is_of_a_store, scheme

if TYPE_CHECKING:
    import polars as pl

CSV, PARQUET, LINES = "CSV", "Parquet", "JSON Lines"
ENDINGS = {".csv": CSV, ".parquet": PARQUET, ".pq": PARQUET, ".jsonl": LINES, ".ndjson": LINES}
ENOUGH = 200  # rows of a table that a glance sees, however long they are
BEGINNING = 2_000  # characters of a text, where few rows make up a glance
EXPECTED = ".csv, .parquet, .pq, .jsonl or .ndjson; CSV and JSON Lines also with .gz behind it"


@dataclass(frozen=True)
class Place:
    """One data file."""

    name: str  # a path, or a URL
    folder: str = ""  # that a path is below of, when somebody else reads it

    @property
    def kind(self) -> str:
        """CSV, Parquet or JSON Lines by its ending; empty for others."""
        kind = ENDINGS.get(Path(self.name.lower().removesuffix(".gz")).suffix, "")
        return "" if kind == PARQUET and self.packed else kind

    @property
    def packed(self) -> bool:
        """Whether it is compressed as a whole."""
        return self.name.lower().endswith(".gz")

    @contextmanager
    def opened(self) -> Iterator[IO[bytes]]:
        """Its bytes, unpacked. Raises `DataError` for what goes wrong while they are read, `Unavailable` for a store."""
        with _translated(self.name), self._raw() as raw:
            if not self.packed:
                yield raw
                return
            with gzip.GzipFile(fileobj=raw) as unpacked:
                yield cast("IO[bytes]", unpacked)

    def _raw(self) -> IO[bytes]:
        if not scheme(self.name):
            return Path(self.folder, self.name).open("rb")
        return cast("IO[bytes]", _files_of(self.name).open(self.name, "rb"))


def beginnings(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with only the beginnings of its texts, copied: what polars cuts holds on to the whole."""
    import polars as pl

    def short(series: pl.Series) -> pl.Series:
        return pl.Series(series.name, series.str.head(BEGINNING).to_list(), dtype=pl.String)

    return pl.DataFrame([short(series) if series.dtype == pl.String else series for series in frame.get_columns()])


def find(address: str) -> tuple[Place, ...]:
    """The data files of a path, a folder, a glob or a URL, by name.

    Raises `NotFound`, `ConfigError`, `MissingExtra`, `Unavailable`.
    """
    with _translated(address):
        names = _remote(address) if scheme(address) else _local(address)
    here = "" if scheme(address) else str(Path.cwd())
    places = tuple(Place(name, here) for name in sorted(names))
    for place in places:
        if not place.kind:
            raise ConfigError(f"{place.name} is of no kind that keepfit reads: expected a name that ends in {EXPECTED}.")
    return places


def _local(address: str) -> list[str]:
    path = Path(address)
    if path.is_dir():
        return _data_files(address, (str(file) for file in path.rglob("*") if file.is_file()))
    if path.exists():
        return [address]
    if not glob.has_magic(address):
        raise NotFound(f"{address}: there is no such file.")
    names = [name for name in glob.glob(address, recursive=True) if Path(name).is_file()]  # noqa: PTH207 - absolute ones too
    if not names:
        raise NotFound(f"{address}: no file matches. In quotation marks the pattern reaches keepfit as it is.")
    return names


def _remote(address: str) -> list[str]:
    files = _files_of(address)
    if not glob.has_magic(address):
        if not files.exists(address):
            raise NotFound(f"{address}: there is no such file.")
        if files.isdir(address):
            return _data_files(address, map(files.unstrip_protocol, files.find(address)))
        return [address]
    names = [files.unstrip_protocol(name) for name in files.glob(address) if not files.isdir(name)]
    if not names:
        raise NotFound(f"{address}: no file matches.")
    return names


def _data_files(folder: str, names: Iterable[str]) -> list[str]:
    """Those of a kind that is read, below a folder; hidden ones and markers such as Spark's _SUCCESS are no data."""
    below = len(folder.rstrip("/")) + 1
    found = [name for name in names if Place(name).kind and not any(part[:1] in "._" for part in name[below:].split("/"))]
    if not found:
        raise NotFound(f"{folder} is a folder without data files: expected names that end in {EXPECTED}.")
    return found


def _files_of(address: str) -> Any:
    return file_system(address, f"reading {address}", expected="a path, a folder, a glob or an s3:// URL")


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """Errors of files and stores in keepfit's words."""
    try:
        yield
    except KeepfitError:
        raise
    except (EOFError, gzip.BadGzipFile) as error:
        raise DataError(f"{name} is not a whole gzip file: {error}.") from None
    except PermissionError as error:
        raise Unavailable(f"{name} cannot be read: {error}. Give this user the right to read it.") from error
    except OSError as error:
        raise Unavailable(f"{name} cannot be read: {error.strerror or error}.") from error
    except Exception as error:
        if not (is_of_a_store(error) or isinstance(error, zlib.error)):
            raise
        raise Unavailable(f"{name} cannot be read: {type(error).__name__}: {error}.") from error
