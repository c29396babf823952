"""Object storage by fsspec: opened by URL, its errors told apart from ours."""

from __future__ import annotations

from typing import Any

from keepfit.addresses import is_remote as is_remote
from keepfit.addresses import scheme as scheme
from keepfit.errors import ConfigError
from keepfit.extras import require

_STORES = ("botocore", "aiobotocore", "boto3", "s3transfer", "aiohttp", "s3fs", "fsspec", "gcsfs", "google", "adlfs", "azure")
_LIBRARIES = {  # scheme -> the library that fsspec opens it with, and the extra that brings it
    "s3": ("s3fs", "s3"),
    "gs": ("gcsfs", "gcs"),
    "gcs": ("gcsfs", "gcs"),
    "az": ("adlfs", "azure"),
    "abfs": ("adlfs", "azure"),
    "abfss": ("adlfs", "azure"),
}
WHOLE = (*_LIBRARIES, "memory")  # schemes under which nobody ever sees half of an object


def file_system(address: str, why: str, *, expected: str = "a path or an s3:// URL", **options: Any) -> Any:
    """The fsspec file system of a URL; `why` says what needs it, `expected` what might be there instead.

    Raises `ConfigError`, `MissingExtra`."""
    name = scheme(address)
    if name in _LIBRARIES:
        module, extra = _LIBRARIES[name]
        require(module, extra=extra, why=why)
    fsspec = require("fsspec", extra="s3", why=why)
    try:
        return fsspec.filesystem(name, **options)
    except (ValueError, ImportError) as error:
        raise ConfigError(f"{why} is not possible: {error}. Expected {expected}.") from None


def is_of_a_store(error: Exception) -> bool:
    """Whether a store's library raised it, so that it says something of the store and not of our code."""
    return type(error).__module__.partition(".")[0] in _STORES
