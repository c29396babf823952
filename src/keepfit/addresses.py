"""Addresses of folders: paths, file:// URLs and URLs of object storage, told apart and compared without opening anything."""

from __future__ import annotations

import os
from pathlib import Path, PurePath, PurePosixPath
from urllib.parse import unquote, urlsplit

WITH_BUCKETS = ("s3", "gs", "gcs", "az", "abfs", "abfss")  # schemes whose URLs begin with a bucket or container
_SAME = {"gcs": "gs", "abfs": "az", "abfss": "az"}  # schemes that mean another
_OTHERS = {"s3a": "s3", "s3n": "s3"}  # names that other tools have for one
_ELSEWHERE = (
    "expected no password, key or token in it: a store's library reads them from the environment (AWS_*, GOOGLE_*, AZURE_*)"
)


class HoldsSecretError(ValueError):
    """An address must not be shown: there is a secret in it."""


def scheme(address: str) -> str:
    """What stands before ://, empty for a path.

    >>> scheme("s3://bucket/log"), scheme("data/log")
    ('s3', '')
    """
    found, separator, _ = address.partition("://")
    return found if separator else ""


def is_remote(address: str) -> bool:
    """Whether it is a URL of a store: neither a path nor the file:// URL of one.

    >>> [is_remote(address) for address in ("s3://bucket/raw", "file:///srv/raw", "data/raw")]
    [True, False, False]
    """
    return scheme(address) not in ("", "file")


def local_path(address: str) -> Path:
    """The path that an address on this machine means.

    >>> local_path("data/raw").as_posix(), local_path("file:///srv/my%20data").as_posix()
    ('data/raw', '/srv/my data')
    """
    return Path(unquote(urlsplit(address).path)) if scheme(address) == "file" else Path(address)


def checked(address: str) -> str:
    """The address as it is. Raises ValueError where it can be none, `HoldsSecretError` where it must not be shown.

    >>> checked("s3://bucket/raw")
    's3://bucket/raw'
    """
    kind = scheme(address)
    if not kind:
        return address
    if (meant := _OTHERS.get(kind.lower(), kind.lower())) != kind:
        raise ValueError(f"expected {meant}:// rather than {kind}://")
    host, _, path = address.partition("://")[2].partition("/")
    user, at, _ = host.rpartition("@")
    if (
        "?" in address
        or "#" in address
        or ":" in user
        or (kind in WITH_BUCKETS and ":" in host)
        or (kind in ("s3", "gs", "gcs") and at)
    ):
        raise HoldsSecretError(_ELSEWHERE)
    if not kind.isalnum():
        raise ValueError("expected a plain URL, such as s3://bucket/prefix")
    if kind == "file" and host not in ("", "localhost"):
        raise ValueError("expected file:// and an absolute path, such as file:///srv/data")
    if kind in WITH_BUCKETS and not host:
        raise ValueError(f"expected a bucket, such as {kind}://bucket/prefix")
    if {"", ".", ".."} & set(path.rstrip("/").split("/")) and path:
        raise ValueError("expected a URL without empty, . and .. parts")
    return address


def lies_in(inner: str, outer: str) -> bool:
    """Whether what lies at one address would be found by whoever looks through another for files that are not hidden.

    >>> lies_in("s3://bucket/raw/old", "s3://bucket/raw"), lies_in("data/old", "data/raw"), lies_in(".keepfit/log", ".")
    (True, False, False)
    """
    first, second = _parts(inner), _parts(outer)
    return first.is_relative_to(second) and not any(part.startswith(".") for part in first.relative_to(second).parts)


def _parts(address: str) -> PurePath:
    if not is_remote(address):
        return PurePath(os.path.normpath(local_path(address)))
    kind, rest = _SAME.get(scheme(address), scheme(address)), address.partition("://")[2]
    host, _, path = rest.partition("/")
    container = host.partition("@")[0] if kind == "az" else host  # the account may be in the URL or in the environment
    return PurePosixPath("://", kind, container, path.strip("/"))
