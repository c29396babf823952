"""Objects below one URL: listed, read, written, copied and removed, each whole or not at all.

Everything raises `Unavailable`, naming the URL and what to do, where the store does not answer, refuses or breaks off. No answer is
waited for without end. Credentials come from the environment, as each store's own library reads them.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from keepfit.addresses import WITH_BUCKETS, scheme
from keepfit.errors import KeepfitError, Unavailable
from keepfit.object_storage import file_system, is_of_a_store

# A server that keeps the line open and says nothing must not hold up whoever lists, reads or answers. s3fs tries anew for broken
# lines, botocore for servers that are busy or fail; each beside the other.
PATIENCE: dict[str, Any] = {"connect_timeout": 5, "read_timeout": 20, "retries": {"total_max_attempts": 3, "mode": "standard"}}
TRIES = 2
PIECE = 16 << 20  # bytes that are in memory at once while an object is read piece by piece
LARGEST_COPY = 5 << 30  # bytes that S3 copies in one request

_ENVIRONMENT = ("AWS_", "GOOGLE_", "AZURE_", "FSSPEC_")
_FILES: dict[tuple[object, ...], Any] = {}
_TIMES = ("LastModified", "updated", "last_modified", "mtime", "created", "timeCreated")
_TAGS = ("ETag", "etag", "generation")


@dataclass(frozen=True, kw_only=True)
class Object:
    """What a store tells of an object."""

    size: int  # bytes
    mark: str | None  # another one whenever the object is written anew; None where the store tells nothing of the kind
    checksum: str | None  # equal for equal bytes only; None where the store tells none
    modified: float | None  # when it was written, seconds since 1970


class ObjectStore:
    """A prefix in object storage. Names are relative to it, with forward slashes.

    `called` stands before the URL in messages, such as "the inbox".
    """

    def __init__(self, url: str, called: str) -> None:
        self.url, self.called, self.scheme = url.rstrip("/"), called, scheme(url)
        self._has_bucket = False

    @cached_property
    def files(self) -> Any:
        """The fsspec file system, opened at the first use. Raises `ConfigError`, `MissingExtra`."""
        with self.asked():
            return _opened(self.url, f"{self.called} at {self.url}")

    @cached_property
    def root(self) -> str:
        """The prefix as the file system writes it: bucket/prefix."""
        return str(self.files._strip_protocol(self.url))

    def path(self, name: str) -> str:
        return f"{self.root}/{name}"

    # ------------------------------------------------------------------------------------------------------------ looking

    def listing(self, under: str = "") -> dict[str, Object]:
        """All objects below a prefix, by name."""
        start = self.path(under) if under else self.root
        with self.asked():
            found: Mapping[str, Mapping[str, Any]] = self.files.find(start, detail=True)
            if not found:
                self._check_bucket()
        below = len(self.root) + 1
        return {name[below:]: _object(found[name]) for name in sorted(found) if found[name].get("type") == "file" and name[below:]}

    def folders(self, under: str) -> list[str]:
        """The names of the prefixes directly below a prefix."""
        with self.asked():
            try:
                found = self.files.ls(self.path(under), detail=True)
            except FileNotFoundError:
                self._check_bucket()
                return []
        return sorted(each["name"].rstrip("/").rpartition("/")[2] for each in found if each["type"] == "directory")

    def look(self, name: str) -> Object | None:
        """What the store tells of one object; None when there is none."""
        with self.asked(name):
            try:
                found = self.files.info(self.path(name))
            except FileNotFoundError:
                self._check_bucket()
                return None
        return None if found.get("type") == "directory" else _object(found)

    # ------------------------------------------------------------------------------------------------------------ reading

    def read(self, name: str) -> bytes:
        """All of an object. Raises FileNotFoundError."""
        with self.asked(name, missing=True):
            return bytes(self.files.cat_file(self.path(name)))

    def read_all(self, names: Sequence[str]) -> list[bytes | None]:
        """Several side by side; None for those that are not there."""
        paths = [self.path(name) for name in names]
        found: Sequence[Any] = ()
        with self.asked():
            if paths:  # `cat` would take a * or ? in a name for any text
                found = self.files.cat_ranges(paths, None, None, on_error="return")
            for content in found:
                if isinstance(content, Exception) and not isinstance(content, FileNotFoundError):
                    raise content
        return [None if isinstance(content, Exception) else bytes(content) for content in found]

    def pieces(self, name: str, size: int) -> Iterator[bytes]:
        """An object of `size` bytes, piece by piece. Raises FileNotFoundError."""
        for start in range(0, size, PIECE):
            with self.asked(name, missing=True):
                piece = self.files.cat_file(self.path(name), start=start, end=min(start + PIECE, size))
            yield piece

    # ------------------------------------------------------------------------------------------------------------ writing

    def write(self, name: str, content: bytes) -> None:
        """In place of what goes by that name. Raises FileExistsError where a store with folders has one of that name, or a file
        where the name has a folder."""
        with self.asked(name):
            try:
                self.files.pipe_file(self.path(name), content)
                return
            except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
                if self.scheme in WITH_BUCKETS:
                    raise
                taken = error
        raise FileExistsError(errno.EEXIST, "something else goes by that name", f"{self.url}/{name}") from taken

    def write_new(self, name: str, content: bytes) -> bool:
        """The same where nothing goes by that name yet; returns whether that was so. Of several who try at once one alone succeeds,
        but in a store that knows no conditional writes."""
        path = self.path(name)
        with self.asked(name):
            try:
                self.files.pipe_file(path, content, mode="create")
            except (OSError, NotImplementedError) as error:  # stores say in many ways that it is there
                there = self.files.exists(path)
                if isinstance(error, NotImplementedError) or error.errno == errno.ENOSYS:  # it knows no conditional writes
                    if not there:
                        self.files.pipe_file(path, content)
                elif not there:
                    raise
                return not there
        return True

    def upload(self, name: str, file: Path) -> None:
        """A local file, of which a part at a time is in memory, in place of what goes by that name."""
        with self.asked(name):
            self.files.put_file(str(file), self.path(name))

    def guards(self, source: Object) -> bool:
        """Whether a copy can be asked for of these bytes and no others."""
        return self.scheme == "s3" and source.checksum is not None and source.size < LARGEST_COPY

    def copy_new(self, name: str, source: Object, target: ObjectStore, other: str) -> bool:
        """Copy an object within the store, as `source` tells of it, to a name in `target` that nothing goes by; returns whether
        that was so. Raises FileNotFoundError when it has gone, or where the store `guards` when it is another by now."""
        path = target.path(other)
        conditions = {"IfNoneMatch": "*", "CopySourceIfMatch": source.checksum} if self.guards(source) else {}
        with target.asked(other, missing=True):
            if self.files.exists(path):  # what looks like S3 may not know the condition
                return False
            try:
                self.files.cp_file(self.path(name), path, **conditions)
            except FileNotFoundError:
                target._check_bucket()
                raise
            except OSError as error:
                if isinstance(error, FileExistsError) or self.files.exists(path):
                    return False
                if "condition" in str(error).lower():
                    raise FileNotFoundError(errno.ENOENT, "it was written anew", self.path(name)) from error
                raise
        return True

    def remove(self, name: str, known: Object | None = None) -> bool:
        """Remove an object, or find it gone. With `known` only while it is still that one, as far as the store can tell; returns
        False when it is another by now."""
        with self.asked(name):
            try:
                if known is None or known.mark is None:
                    self.files.rm_file(self.path(name))
                    return True
                return self._remove_known(name, known)
            except FileNotFoundError:
                return True

    def _remove_known(self, name: str, known: Object) -> bool:
        now = _object(self.files.info(self.path(name)))
        if now.mark != known.mark:
            return False
        if self.scheme == "s3" and known.checksum is not None:
            bucket, key, _ = self.files.split_path(self.path(name))
            try:
                self.files.call_s3("delete_object", Bucket=bucket, Key=key, IfMatch=known.checksum)
                return True
            except OSError as error:
                if "condition" in str(error).lower():
                    return False
                if error.errno not in (errno.ENOSYS, errno.EINVAL):
                    raise
        self.files.rm_file(self.path(name))
        return True

    # ------------------------------------------------------------------------------------------------------------- errors

    @contextlib.contextmanager
    def asked(self, name: str = "", *, missing: bool = False) -> Iterator[None]:
        """Errors of the store in keepfit's words; `missing` lets FileNotFoundError through."""
        try:
            yield
        except KeepfitError:
            raise
        except Exception as error:
            if isinstance(error, FileNotFoundError):
                self._check_bucket()
                if missing:
                    raise
            if not isinstance(error, OSError) and not is_of_a_store(error) and not _is_of_an_endpoint(error):
                raise
            where = f"{self.url}/{name}" if name else self.url
            raise Unavailable(f"{self.called} at {where} cannot be used: {_told(error)}") from error

    def _check_bucket(self) -> None:
        """That nothing is there is one thing, that the bucket is not another. Asked until it was seen."""
        bucket = self.root.partition("/")[0]
        if self.scheme not in WITH_BUCKETS or self._has_bucket:
            return
        with self.asked():
            if not self.files.exists(bucket):
                raise Unavailable(
                    f"{self.called} at {self.url} cannot be used: there is no bucket {bucket!r}. Make it, or put the URL right."
                )
        self._has_bucket = True


def _opened(url: str, why: str) -> Any:
    """One file system for all places of a store, as long as the credentials in the environment stay what they are: to open one
    takes a part of a second."""
    environment = tuple(sorted(item for item in os.environ.items() if item[0].startswith(_ENVIRONMENT)))
    key = (scheme(url), os.getpid(), environment)
    if key not in _FILES:
        s3 = scheme(url) == "s3"
        expected = "a path, or an s3://, gs:// or az:// URL"
        # Side by side it would first ask for the size of all that it reads, and hold more of it in memory.
        options: dict[str, Any] = {"config_kwargs": PATIENCE, "max_concurrency": 1} if s3 else {}
        files = file_system(url, why, expected=expected, use_listings_cache=False, skip_instance_cache=True, **options)
        if s3:
            files.retries = TRIES
        _FILES[key] = files
    return _FILES[key]


def _is_of_an_endpoint(error: Exception) -> bool:
    """Whether it says that the address of the server in the environment can be none; botocore has no class of its own for it."""
    return isinstance(error, ValueError) and str(error).startswith("Invalid endpoint")


def _told(error: Exception) -> str:
    """What a store says, and what to do about it."""
    if _is_of_an_endpoint(error):
        return f"{error}. Put AWS_ENDPOINT_URL right: expected a URL, such as http://127.0.0.1:9000."
    said = str(getattr(error, "strerror", None) or error or type(error).__name__).strip().rstrip(".")
    kind = type(error).__name__
    if isinstance(error, PermissionError):
        return f"{said}. Give these credentials the right to list, read, write and delete there; nothing is lost, run again then."
    if "Credentials" in kind or "credentials" in said:
        return f"{said}. Set them in the environment, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE."
    return f"{said}. Nothing is lost; it is tried again by the next run."


def _object(details: Mapping[str, Any]) -> Object:
    size = int(details.get("size") or 0)
    moment = next((_seconds(details[key]) for key in _TIMES if details.get(key) is not None), None)
    tags = [str(details[key]) for key in _TAGS if details.get(key)]
    told = int(moment) if tags and moment is not None else moment  # a listing may be more exact than a look
    mark = " ".join([*tags, str(told), str(size)]) if tags or moment is not None else None
    return Object(size=size, mark=mark, checksum=_checksum(details), modified=moment)


def _checksum(details: Mapping[str, Any]) -> str | None:
    """S3's ETag is equal for equal bytes only, though equal bytes may have another; Google tells an MD5 sum."""
    return details.get("ETag") or details.get("md5Hash") or None


def _seconds(moment: Any) -> float | None:
    if isinstance(moment, int | float):
        return float(moment)
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError:
            return None
    return moment.timestamp() if isinstance(moment, datetime) else None
