"""Object storage by fsspec: opened by URL, its errors told apart from ours."""

from __future__ import annotations

from typing import Any

from keepfit.errors import ConfigError
from keepfit.extras import require

_STORES = ("botocore", "aiobotocore", "aiohttp", "s3fs", "fsspec")


def scheme(address: str) -> str:
    """What stands before ://, empty for a path.

    >>> scheme("s3://bucket/log"), scheme("data/log")
    ('s3', '')
    """
    found, separator, _ = address.partition("://")
    return found if separator else ""


def file_system(address: str, why: str, *, expected: str = "a path or an s3:// URL", **options: Any) -> Any:
    """The fsspec file system of a URL; `why` says what needs it, `expected` what might be there instead.

    Raises `ConfigError`, `MissingExtra`."""
    name = scheme(address)
    if name == "s3":
        require("s3fs", extra="s3", why=why)
    fsspec = require("fsspec", extra="s3", why=why)
    try:
        return fsspec.filesystem(name, **options)
    except (ValueError, ImportError) as error:
        raise ConfigError(f"{why} is not possible: {error}. Expected {expected}.") from None


def is_of_a_store(error: Exception) -> bool:
    """Whether a store's library raised it, so that it says something of the store and not of our code."""
    return type(error).__module__.partition(".")[0] in _STORES
