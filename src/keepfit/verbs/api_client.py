"""Speaks to a running keepfit API, over one connection that is kept open. The standard library's client is enough for that."""

from __future__ import annotations

import http.client
import json
import time
from typing import Any
from urllib.parse import urlsplit

from keepfit.errors import ConfigError, KeepfitError, Unavailable

TIMEOUT = 30.0  # seconds in which an answer must come
TRIES = 5  # of a request that the API asks to repeat, or whose connection broke
LONGEST_WAIT = 10.0  # seconds between two tries, however long the API asks for
BODY = 64 << 20  # bytes of an answer that are read


class Refused(KeepfitError):
    """The API did not take a request; the next one may do."""


class ApiClient:
    """One connection to an API."""

    def __init__(self, url: str, key: str | None = None) -> None:
        """Raises `ConfigError` for an address that is none."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ConfigError(f"{url!r} is no address: {error}") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
            raise ConfigError(f"{url!r} is no address of an API: expected one such as http://127.0.0.1:8000")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname, port, timeout=TIMEOUT)
        self._url, self._path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"} | ({"X-API-Key": key} if key else {})

    def __enter__(self) -> ApiClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def get(self, path: str) -> Any:
        """As `post`, without a body."""
        return self._ask("GET", path, None)

    def post(self, path: str, body: Any) -> Any:
        """The API's answer. Asks again where it says that it cannot just now.

        Raises `Refused` for a request that it does not take, `ConfigError` for a key that it does not accept, `Unavailable` where
        nobody answers.
        """
        return self._ask("POST", path, json.dumps(body, ensure_ascii=False, allow_nan=False).encode())

    def _ask(self, method: str, path: str, body: bytes | None) -> Any:
        for left in range(TRIES - 1, -1, -1):
            try:
                self._connection.request(method, self._path + path, body, self._headers)
                response = self._connection.getresponse()
                content = response.read(BODY)
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()  # the next try opens it again
                if not left or isinstance(error, ConnectionRefusedError | TimeoutError):
                    raise Unavailable(
                        f"Nobody answers at {self._url} ({_why(error)}). Is `keepfit serve` running there?"
                    ) from error
                continue
            if response.status == 200:
                return self._read(content)
            told = _detail(content) or response.reason
            if response.status in (429, 503) and left:
                time.sleep(_seconds(response.headers.get("Retry-After")))
                continue
            raise self._failure(response.status, told)
        raise AssertionError("every try returns or raises")

    def _failure(self, status: int, told: str) -> KeepfitError:
        if status in (401, 403):
            return ConfigError(f"{self._url} does not accept the API key ({told}). It is read from KEEPFIT_API_KEY.")
        if status >= 500 or status == 429:
            return Unavailable(f"{self._url} cannot answer now: {status} {told}")
        return Refused(f"{status} {told}")

    def _read(self, content: bytes) -> Any:
        try:
            return json.loads(content)
        except ValueError:
            raise Unavailable(f"What {self._url} answers is no JSON: is it a keepfit API?") from None


def _detail(content: bytes) -> str:
    """What a problem document says; "" where it is none."""
    try:
        return str(json.loads(content)["detail"])
    except (ValueError, KeyError, TypeError):
        return ""


def _seconds(text: str | None) -> float:
    """What Retry-After says, within bounds; a second where it says nothing."""
    return min(max(float(text), 0.05), LONGEST_WAIT) if text and text.isdecimal() else 1.0


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
