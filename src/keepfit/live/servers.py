"""Servers that run on a project, and how to ask the office of one.

Each `keepfit serve` leaves a small file while it runs. Its office listens on a Unix socket that nobody but the owner can reach;
a question and its answer are one line of JSON each. Only the standard library is used, so that `keepfit rollback` is quick.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from keepfit import errors
from keepfit.errors import KeepfitError, Unavailable
from keepfit.lease import is_dead

SERVING = ".keepfit/serving"  # below the project's folder
RUN_PREFIX = "keepfit-serve-"  # of the temporary folder of one run
CONNECTING, ANSWERING = 1.0, 60.0  # seconds


class OfficeAway(Unavailable):
    """The office of the server does not answer just now. It is started again by itself: try again in a second."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A `keepfit serve` that runs, or ran, on this machine."""

    holder: str  # its process, as in `keepfit.lease`
    address: str  # http://...
    folder: str  # of the run: plan, control socket, figures

    @property
    def socket(self) -> str:
        """Where its office listens."""
        return str(Path(self.folder) / "office")


def announce(server: Server, root: Path) -> Path:
    """Leave the file that says that it runs; returns it."""
    place = root / SERVING / "servers"
    place.mkdir(parents=True, exist_ok=True)
    path = place / f"{Path(server.folder).name.removeprefix(RUN_PREFIX)}.json"
    path.write_text(json.dumps(asdict(server)), encoding="utf-8")
    return path


def running(root: Path) -> list[Server]:
    """The servers of this project on this machine."""
    return [server for _, server in _announced(root) if not is_dead(server.holder)]


def sweep(root: Path) -> None:
    """Remove what servers that were killed have left behind."""
    for path, server in _announced(root):
        if is_dead(server.holder):
            folder = Path(server.folder)
            if folder.parent == Path(tempfile.gettempdir()) and folder.name.startswith(RUN_PREFIX):
                shutil.rmtree(folder, ignore_errors=True)
            path.unlink(missing_ok=True)


def ask_running(root: Path, act: str, **arguments: Any) -> tuple[Any] | None:
    """Have it done by the office of a server that runs; the answer in a tuple, or None when there is none that can be asked.

    Raises the `KeepfitError` that the office met; `OfficeAway` when it went away in the middle, so that nobody knows what it did.
    """
    for server in running(root):
        with contextlib.suppress(NotAsked):
            return (ask_now(server.socket, act, **arguments),)
    return None


def ask_now(path: str, act: str, *, patience: float = ANSWERING, **arguments: Any) -> Any:
    """Ask an office and wait for its answer. Raises `OfficeAway`, or the `KeepfitError` that it met."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with line:
        try:
            line.settimeout(CONNECTING)
            line.connect(path)
        except OSError as error:
            raise NotAsked() from error
        try:
            line.settimeout(patience)
            line.sendall(question(act, arguments))
            with line.makefile("rb") as answers:
                return answer(answers.readline())
        except OSError as error:
            raise OfficeAway() from error


def question(act: str, arguments: Mapping[str, Any]) -> bytes:
    """What goes over the line."""
    return json.dumps({"act": act, "arguments": arguments}).encode() + b"\n"


def answer(line: bytes) -> Any:
    """What came back. Raises the error that the office met, by its name; `OfficeAway` where the line ended early."""
    if not line.endswith(b"\n"):
        raise OfficeAway()
    told = json.loads(line)
    if "error" not in told:
        return told["value"]
    kind = getattr(errors, told["error"], KeepfitError)
    raise kind(told["message"]) if isinstance(kind, type) and issubclass(kind, KeepfitError) else KeepfitError(told["message"])


class NotAsked(OfficeAway):
    """The office of the server does not listen just now. It is started again by itself: try again in a second."""


def _announced(root: Path) -> list[tuple[Path, Server]]:
    found = []
    for path in sorted((root / SERVING / "servers").glob("*.json")):
        with contextlib.suppress(OSError, ValueError, TypeError):  # being written, or removed just now
            found.append((path, Server(**json.loads(path.read_text(encoding="utf-8")))))
    return found
