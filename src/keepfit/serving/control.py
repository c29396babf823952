"""The line between whoever wants something done and the office: one line of JSON each way on a Unix socket."""

from __future__ import annotations

import asyncio
import json
import socketserver
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from keepfit import errors
from keepfit.codec import dumps
from keepfit.errors import KeepfitError, NotFound, Unavailable
from keepfit.live.servers import ANSWERING, CONNECTING, NotAsked, OfficeAway, answer, ask_now, question
from keepfit.telling import place_of, tell

__all__ = ["ControlServer", "Office", "OfficeAway", "OfficeClient"]

LOOKS = ("comparison", "routing", "performance", "drift", "calculate_drift", "history")  # acts that change nothing
PATIENCE = {  # seconds that an answer is waited for, where that is less than usual: moves may wait for a lease, drift takes long
    name: 8.0 for name in LOOKS if name != "calculate_drift"
}
LONGEST = 32 * 2**20  # bytes of a question or an answer
AT_ONCE = 8  # acts, and as many looks; more wait
READING = 5.0  # seconds in which a question must have arrived
WAITING = 10.0  # seconds that an act waits for its turn

Act = Callable[..., Any]


class Office(Protocol):
    """Does what takes time, in a process of its own."""

    async def ask(self, act: str, **arguments: Any) -> Any:
        """Have it done; returns plain JSON values. Raises the `KeepfitError` that it met, `Unavailable` where it is away."""
        ...


class OfficeClient:
    """Asks the office that listens at `path`."""

    def __init__(self, path: str | Path, patience: float | None = None) -> None:
        """`patience`: seconds that an answer is waited for, in place of what is usual for the act."""
        self._path, self._patience = str(path), patience

    async def ask(self, act: str, **arguments: Any) -> Any:
        """See `Office`. Raises `OfficeAway` where it does not answer in time."""
        try:
            async with asyncio.timeout(CONNECTING):
                reader, writer = await asyncio.open_unix_connection(self._path, limit=LONGEST)
        except (OSError, TimeoutError) as error:
            raise NotAsked() from error
        try:
            async with asyncio.timeout(self._patience_for(act)):
                writer.write(question(act, arguments))
                await writer.drain()
                return answer(await reader.readline())
        except (OSError, TimeoutError, ValueError) as error:
            raise OfficeAway() from error
        finally:
            writer.close()

    def ask_now(self, act: str, **arguments: Any) -> Any:
        """The same without an event loop."""
        return ask_now(self._path, act, patience=self._patience_for(act), **arguments)

    def _patience_for(self, act: str) -> float:
        return self._patience or PATIENCE.get(act, ANSWERING)


class ControlServer:
    """Listens at `path`, which lies in a folder of the owner's alone, and does acts, each in a thread."""

    def __init__(self, path: str | Path, acts: Mapping[str, Act]) -> None:
        Path(path).unlink(missing_ok=True)  # of an office that died
        self._server = _Server(str(path), acts)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="keepfit-control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more; acts that are under way go on."""
        self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, path: str, acts: Mapping[str, Act]) -> None:
        self.acts = acts
        self.turns = {looks: threading.BoundedSemaphore(AT_ONCE) for looks in (True, False)}  # a rollback waits for no look
        super().__init__(path, _Conversation)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asked has gone."""


class _Conversation(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        self.connection.settimeout(READING)
        line = self.rfile.readline(LONGEST)
        if not line.endswith(b"\n"):
            return
        self.wfile.write(self._answer(line).encode() + b"\n")

    def _answer(self, line: bytes) -> str:
        act = ""
        try:
            asked = json.loads(line)
            act = str(asked["act"])
            return f'{{"value":{dumps(self._done(act, asked["arguments"]))}}}'
        except KeepfitError as error:
            return _refusal(_known_name(error), str(error))
        except Exception as error:
            tell("act_failed", act=act, error=place_of(error))
            return _refusal("KeepfitError", f"The office could not do it: {place_of(error)}.")

    def _done(self, act: str, arguments: Mapping[str, Any]) -> Any:
        if act not in self.server.acts:
            raise NotFound(f"The office has no act {act!r}.")
        turn = self.server.turns[act in LOOKS]
        if not turn.acquire(timeout=WAITING):
            raise Unavailable("The office is busy with what was asked of it before. Try again in a few seconds.")
        try:
            return self.server.acts[act](**arguments)
        finally:
            turn.release()


def _refusal(error: str, message: str) -> str:
    return json.dumps({"error": error, "message": message})


def _known_name(error: KeepfitError) -> str:
    """Of the error, or of the nearest kind above it that both ends know."""
    known = (kind.__name__ for kind in type(error).__mro__ if getattr(errors, kind.__name__, None) is kind)
    return str(next(known))
