"""The way to one MLflow, and its errors in keepfit's words.

Only the client object is used, never `mlflow.set_tracking_uri` or an active run, so that nothing outside of keepfit changes.
"""

from __future__ import annotations

import logging
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse
from urllib.request import url2pathname

from keepfit.errors import ConfigError, KeepfitError, NotFound, Unavailable
from keepfit.object_storage import is_of_a_store

if TYPE_CHECKING:
    from mlflow import MlflowClient

# MLflow reads these when it is imported or used; who has set them is not overruled. Its own patience is seven retries of
# 120 seconds, it reports its use to its makers, prints addresses on standard output and draws progress bars.
DEFAULTS = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
LOCAL = "sqlite:///"
LONGEST_NUMBER = 9  # digits, so that it fits a database's whole number


class Connection:
    """A lazily opened client. `url` is sqlite:///… , http(s)://… or whatever else MLflow takes as a tracking address."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.shown = re.sub(r"//[^/@\s]*@", "//", url)  # without user and password
        self._client: MlflowClient | None = None

    @property
    def client(self) -> MlflowClient:
        """Imported and opened at the first use: MLflow takes two seconds to import, two more to make an empty database."""
        if self._client is None:
            for name, value in DEFAULTS.items():
                os.environ.setdefault(name, value)
            with self.translated():
                from mlflow import MlflowClient

                # It logs what it raises, with SQL and traceback; what is raised is told in keepfit's words.
                logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
                self._prepare_file()
                self._client = MlflowClient(self.url, self.url)
        return self._client

    def version(self, name: str, number: str) -> Any:
        """A version of a registered model. Raises `NotFound` for what can be none; MLflow's databases fail at large numbers."""
        if not (number.isascii() and number.isdigit() and len(number) <= LONGEST_NUMBER):
            raise NotFound(f"{name} has no version {number}: versions are whole numbers of at most {LONGEST_NUMBER} digits.")
        return self.client.get_model_version(name, number)

    def local_place(self, name: str, number: str) -> Path | None:
        """The folder of a version's model files, where it is on this machine. Raises `Unavailable` when it is not there."""
        uri = self.client.get_model_version_download_uri(name, number)
        address = urlparse(uri)
        if address.scheme not in {"", "file"}:
            return None
        local = Path(url2pathname(address.path) if address.scheme else uri)
        if not local.is_dir():
            raise Unavailable(
                f"The files of {name} version {number} are not at {local}. Was the project's folder moved or renamed? MLflow "
                "keeps the whole addresses of files: move it back, or use a server, see docs/how-to/mlflow-server.md."
            )
        return local

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turns every error of MLflow and what lies beneath it into keepfit's."""
        try:
            yield
        except KeepfitError:
            raise
        except Exception as error:
            if (translation := self._translate(error)) is None:
                raise
            raise translation from None  # the original may tell the password

    def _translate(self, error: Exception) -> KeepfitError | None:
        from mlflow.exceptions import MlflowException
        from requests import RequestException
        from sqlalchemy.exc import SQLAlchemyError

        if is_of_a_store(error):
            return Unavailable(
                f"The store of the models does not answer as it should: {error}. Check [tracking] artifacts, and the credentials "
                "in the environment; nothing is lost, run again."
            )
        if not isinstance(error, MlflowException | RequestException | SQLAlchemyError | OSError | sqlite3.Error):
            return None
        cause = _innermost(error)
        text = re.sub(r"//[^/@\s]*@", "//", str(cause)).strip().split("\n")[0][:500]
        match getattr(error, "error_code", None):
            case "RESOURCE_DOES_NOT_EXIST":
                return NotFound(f"MLflow at {self.shown} does not have it: {text}")
            case "UNAUTHENTICATED" | "PERMISSION_DENIED" | "CUSTOMER_UNAUTHORIZED":
                return ConfigError(
                    f"MLflow at {self.shown} lets nobody in with these credentials: {text}. Set MLFLOW_TRACKING_USERNAME and "
                    "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN."
                )
            case "INVALID_PARAMETER_VALUE":
                return ConfigError(f"MLflow at {self.shown} does not accept this: {text}")
        return Unavailable(
            f"MLflow at {self.shown} does not answer as it should: {text}. Check that it is running, that its disk is not full "
            "and that [tracking] url is right; nothing is lost, run again."
        )

    def _prepare_file(self) -> None:
        """Make the database where there is none yet, and look first whether it can be one: MLflow itself tries ten times, for more
        than a minute. Its migrations cannot be killed half-way without harm, so they run under another name."""
        if not self.url.startswith(LOCAL):
            return
        file = Path(unquote(self.url.removeprefix(LOCAL).partition("?")[0]))
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists() or file.stat().st_size == 0:
            _make_database(file)
        with file.open("rb+") as opened:  # raises the reason when it cannot be written
            start = opened.read(16)
        if start != b"SQLite format 3\x00":
            raise ConfigError(f"{file} is not an SQLite database. Correct [tracking] url, or move the file away.")


def _make_database(file: Path) -> None:
    """Let MLflow make its tables in a file of another name, and put it in place whole."""
    from mlflow import MlflowClient

    for left in file.parent.glob(f".{file.name}.*.tmp"):  # by a process that was killed here
        left.unlink(missing_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    address = f"{LOCAL}{temporary}"
    try:
        MlflowClient(address, address).search_experiments(max_results=1)
        if file.exists():
            temporary.replace(file)  # an empty file, as an older release left it
        else:
            _link(temporary, file)
    except FileExistsError:
        pass  # somebody else was faster
    finally:
        temporary.unlink(missing_ok=True)


def _link(source: Path, target: Path) -> None:
    """Give the file its name unless somebody has that already; by a rename where a file system knows no links."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        source.rename(target)


def _innermost(error: Exception) -> BaseException:
    """What the database's driver said, where it is known, rather than what was wrapped around it."""
    inner: BaseException = error
    while (deeper := getattr(inner, "orig", None) or inner.__cause__) is not None:
        inner = deeper
    return inner if isinstance(inner, sqlite3.Error) else error


def quoted(text: str) -> str:
    """A text as MLflow's filters take it."""
    if "'" not in text:
        return f"'{text}'"
    if '"' not in text:
        return f'"{text}"'
    raise ConfigError(f"{text}: a name can hold single or double quotes, not both.")


def texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {str(key): str(value) for key, value in values.items()}
