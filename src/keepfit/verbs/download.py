"""Public data sets that templates know: fetched, checked against the hash that is written here, and put where the project reads."""

from __future__ import annotations

import hashlib
import http.client
import io
import os
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from keepfit.addresses import is_remote
from keepfit.config import Config
from keepfit.errors import ConfigError, DataError, NotFound, Unavailable
from keepfit.templates.sms_spam.real_data import as_csv

LARGEST = 16 << 20  # bytes of an archive, and of the file in it
PATIENCE = 20.0  # seconds for which the server may say nothing
LONGEST = 120.0  # seconds that the whole may take


@dataclass(frozen=True, kw_only=True)
class Source:
    """A data set, and how to know that it is the right one."""

    url: str  # of a zip archive
    member: str  # the file in it
    digest: str  # its sha256
    name: str  # of the file that is written
    columns: tuple[str, ...]  # of that file
    target: str
    licence: str


SOURCES = {
    "sms-spam": Source(
        url="https://archive.ics.uci.edu/static/public/228/sms+spam+collection.zip",
        member="SMSSpamCollection",
        digest="7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d",
        name="sms-spam-collection.csv",
        columns=("label", "message"),
        target="label",
        licence="SMS Spam Collection by T. A. Almeida and J. M. Gomez Hidalgo, UCI Machine Learning Repository, CC BY 4.0",
    )
}


@dataclass(frozen=True, kw_only=True)
class Downloaded:
    """What was written."""

    path: Path
    rows: int
    fetched: str  # the address or the file that it came from
    licence: str
    new: bool  # False: the same file was there already


def download(
    name: str,
    *,
    config: Config | None = None,
    given: Path | None = None,
    out: Path | None = None,
    url: str | None = None,
    patience: float = PATIENCE,
    longest: float = LONGEST,
) -> Downloaded:
    """Fetch a data set and write it into the project's inbox, or to `out` (a .csv file, or a folder).

    `given` is a file that was fetched by other means: the archive, or the file in it. Nothing is written unless its sha256 is the
    known one. Raises `NotFound` for an unknown name or a missing file, `ConfigError` for a project of other columns, `Unavailable`
    where it cannot be fetched or written, `DataError` for anything that is not that data set.
    """
    if name not in SOURCES:
        raise NotFound(f"There is no data set {name!r}: expected one of {', '.join(SOURCES)}.")
    source = SOURCES[name]
    path = _place(source, config, out)
    address = url or source.url
    content = _read(given) if given else _fetch(address, name, patience, longest)
    table = as_csv(_checked(_unpacked(content, source), source, str(given or address)))
    return Downloaded(
        path=path, rows=table.count("\n") - 1, fetched=str(given or address), licence=source.licence, new=_write(path, table)
    )


def _place(source: Source, config: Config | None, out: Path | None) -> Path:
    if out is not None:
        return out if out.suffix == ".csv" else out / source.name
    if config is None:
        raise ConfigError("Name the project's folder with --project, or a place with --out.")
    data = config.data
    if data.target != source.target or (data.columns and not set(source.columns) <= set(data.columns)):
        raise ConfigError(
            f"This project does not read what would be written: the columns {', '.join(source.columns)}, with {source.target} as "
            "the target. `keepfit init sms-spam DIR` makes one that does; --out writes it elsewhere."
        )
    if is_remote(data.inbox):
        raise ConfigError(f"The inbox is at {data.inbox}: fetch the file with --out FILE, and copy it there.")
    return config.path(data.inbox) / source.name


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist.") from None
    except OSError as error:
        raise Unavailable(f"{path} cannot be read: {error.strerror}.") from error
    _check_size(len(content), str(path))
    return content


def _fetch(url: str, name: str, patience: float, longest: float) -> bytes:
    """The body behind a URL, wherever it is redirected to; never for longer than `longest` seconds."""
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"{url!r} is no address to fetch from: expected http:// or https://")
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "keepfit"})  # noqa: S310 - the scheme was looked at
        with urllib.request.urlopen(request, timeout=patience) as response:  # noqa: S310
            return _body(response, url, time.monotonic() + longest)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unavailable(
            f"{url} cannot be fetched: {_why(error)}. Fetch it by other means, then: keepfit data download {name} --from FILE"
        ) from error


def _body(response: http.client.HTTPResponse, url: str, deadline: float) -> bytes:
    """Piece by piece, so that neither a trickle nor a flood goes on for ever."""
    wanted, content = response.headers.get("Content-Length"), bytearray()
    while piece := response.read1(1 << 16):
        content += piece
        _check_size(len(content), url)
        if time.monotonic() > deadline:
            raise TimeoutError(f"it takes too long, {len(content)} bytes have come")
    if wanted is not None and wanted.isdecimal() and len(content) < int(wanted):
        raise ConnectionError(f"it broke off after {len(content)} of {wanted} bytes")
    return bytes(content)


def _check_size(size: int, where: str) -> None:
    if size > LARGEST:
        raise DataError(f"{where} is larger than {LARGEST >> 20} MB: that is not the data set.")


def _unpacked(content: bytes, source: Source) -> bytes:
    """The file in the archive; `content` itself where it is no archive."""
    if not content.startswith(b"PK"):
        return content
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive, archive.open(source.member) as file:
            unpacked = file.read(LARGEST + 1)
    except KeyError:
        raise DataError(f"The archive does not hold {source.member}: that is not the data set.") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise DataError(f"The archive cannot be unpacked: {error}. Was it cut short?") from error
    _check_size(len(unpacked), source.member)
    return unpacked


def _checked(content: bytes, source: Source, where: str) -> str:
    found = hashlib.sha256(content).hexdigest()
    if found != source.digest:
        raise DataError(
            f"{where} is not {source.member} as it was reviewed: expected sha256 {source.digest}, found {found}. "
            "Nothing was written."
        )
    return content.decode()


def _write(path: Path, table: str) -> bool:
    """Under another name first; returns whether it is new."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if path.exists():
            if path.read_bytes() == table.encode():
                return False
            raise DataError(f"{path} is there already and holds something else. Move it away, or name another place with --out.")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(table.encode())
        temporary.replace(path)
    except OSError as error:
        raise Unavailable(f"{path} cannot be written: {error.strerror}.") from error
    return True


def _why(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"{error.code} {error.reason}"
    reason = getattr(error, "reason", error)
    return str(getattr(reason, "strerror", None) or reason or type(error).__name__)
