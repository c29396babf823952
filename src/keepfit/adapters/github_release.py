"""Starts a workflow on GitHub for a new champion: its event `workflow_dispatch`, by GitHub's API.

The token is read from `GITHUB_TOKEN` and needs the right to write Actions on the repository. It goes to no other place than the
API's address, and stands in no message.
"""

from __future__ import annotations

import ipaddress
import json
import time
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from urllib.parse import quote, urlsplit

from keepfit.errors import ConfigError, TooSoon, Unavailable
from keepfit.operation_settings import GithubRelease as Settings
from keepfit.posting import Reply, post
from keepfit.records import Announcement

NAME = "GitHub Actions"  # stays the same when the repository's name is corrected, so that what waits is sent there
TOKEN = "GITHUB_TOKEN"  # noqa: S105 - the name of the variable
VERSION = "2022-11-28"  # of the API
LONGEST_PATIENCE = 86_400.0  # seconds that are waited at most, however long the API asks for
QUOTED = 200  # characters of what the API says that are passed on


class GithubRelease:
    """The port `Releaser`."""

    def __init__(self, settings: Settings, environment: Mapping[str, str]) -> None:
        self._settings, self._environment = settings, environment

    @property
    def receivers(self) -> Sequence[str]:
        return (NAME,)

    def release(self, announcement: Announcement, receiver: str) -> None:
        if receiver != NAME:
            raise ConfigError(f"{receiver} is not set up here")
        settings, token = self._settings, self._token()
        parts = ("repos", settings.owner, settings.repository, "actions", "workflows", settings.workflow, "dispatches")
        url = "/".join([settings.url.rstrip("/"), *(quote(part, safe="") for part in parts)])
        headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": VERSION, "Authorization": f"Bearer {token}"}
        timeout = settings.timeout.total_seconds()
        try:
            reply = post(url, {"ref": settings.ref, "inputs": _inputs(announcement)}, headers, timeout, direct=_is_plain(url))
        except Unavailable as error:
            raise Unavailable(f"GitHub {error}") from None
        self._judge(reply, token)

    def check(self) -> None:
        self._token()

    def _token(self) -> str:
        """Raises `ConfigError` where there is none, or where it would go to others."""
        token = self._environment.get(TOKEN, "").strip()
        if not token:
            raise ConfigError(f"{TOKEN} is not set here: give it a token that may write Actions on {self._where}")
        if not token.isascii() or not token.isprintable() or " " in token:
            raise ConfigError(f"{TOKEN} holds signs that no token has: copy it again, as one line")
        url = self._settings.url
        if not _host(url) or (_is_plain(url) and not _is_here(_host(url))):
            raise ConfigError(f"release.github.url: expected an address that begins with https://, found {url!r}")
        return token

    @property
    def _where(self) -> str:
        return f"{self._settings.owner}/{self._settings.repository}"

    def _judge(self, reply: Reply, token: str) -> None:
        if reply.taken:  # 204; newer versions of the API say 200 and the number of the run
            return
        said = " ".join(f"GitHub answered {reply.code} {_message(reply) or reply.reason}".split())
        said = "".join(sign for sign in said.replace(token, "***") if sign.isprintable())[:QUOTED]
        seconds = _patience(reply)
        if reply.code == 429 or (reply.code == 403 and seconds is not None):
            wait = min(seconds or 0.0, LONGEST_PATIENCE)
            raise TooSoon(f"{said}; it asks for {wait:.0f} seconds of patience", seconds=wait)
        if 300 <= reply.code < 400:
            raise ConfigError(f"{said}: {self._where} goes by another name by now. Correct [release.github] owner and repository.")
        if advice := self._advice(reply.code):
            raise ConfigError(f"{said}: {advice}")
        raise Unavailable(said)

    def _advice(self, code: int) -> str:
        settings = self._settings
        return {
            401: f"{TOKEN} is not valid, or not any more. Set a new one.",
            403: f"{TOKEN} may not do this. It needs the right to write Actions on {self._where}.",
            404: (
                f"there is no workflow {settings.workflow} on the default branch of {self._where}, or {TOKEN} may not see it. "
                "Correct [release.github], push the workflow, or give the token the right to write Actions."
            ),
            422: f"{settings.workflow} at {settings.ref} does not take it: it needs `on: workflow_dispatch` with the three inputs.",
        }.get(code, "")


def _inputs(announcement: Announcement) -> dict[str, str]:
    """Texts, as the API wants them; what is not known is empty."""
    value = announcement.value
    return {
        "model_version": announcement.version,
        "model_accuracy": "" if value is None else f"{value:.6g}",
        "trigger_source": announcement.source,
    }


def _message(reply: Reply) -> str:
    try:
        return str(json.loads(reply.body)["message"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


def _patience(reply: Reply) -> float | None:
    """Seconds that the API asks to be left alone for; None where it does not ask."""
    asked = reply.headers.get("Retry-After", "").strip()
    if asked.isascii() and asked.isdecimal():
        return float(asked[:12])
    if asked:
        try:
            return max(0.0, parsedate_to_datetime(asked).timestamp() - time.time())
        except (ValueError, OverflowError):
            return 60.0  # it asks for something, and GitHub advises a minute where it does not say how much
    if reply.headers.get("X-RateLimit-Remaining", "").strip() != "0":
        return None
    reset = reply.headers.get("X-RateLimit-Reset", "").strip()
    return max(0.0, float(reset[:12]) - time.time()) if reset.isascii() and reset.isdecimal() else 60.0


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.port != 0
        return (parts.hostname or "") if good else ""
    except ValueError:
        return ""


def _is_plain(url: str) -> bool:
    return urlsplit(url).scheme == "http"


def _is_here(host: str) -> bool:
    """Without encryption a token is sent to this machine only."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
