"""Beneath the API: how many connections one worker holds, and how long and how large a request's head may be.

uvicorn's own protocol waits for ever on a connection that says nothing or says it slowly. This one gives every request a moment by
which it must have arrived; one timer a worker looks at all connections, so that a request costs no timer of its own. Where all
places are taken, requests that have been arriving for more than a second give way to others, then the connection that has been
idle longest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from keepfit.serve_settings import Serve
from keepfit.serving.problems import MEDIA_TYPE, Problem

MOST_HEAD = 32_768  # bytes of a request line and its headers
MOST_HEADERS = 100
LOOK = 0.5  # seconds between two looks at all connections
PATIENCE = 1.0  # seconds that half a head may keep its place when all are taken
LINGER = 2.0  # seconds in which the rest of a request that is answered already is still read and thrown away


class LimitedProtocol(HttpToolsProtocol):
    """A connection with limits; `protocol_for` sets them."""

    timeout = 15.0  # seconds in which a request must have arrived, and an answer be taken
    most = 1000  # connections

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.deadline: float | None = None  # by when the request must have arrived; None between requests and while it is answered
        self.since = 0.0  # when this request, or the connection, began
        self.in_head = True  # whether the headers have not wholly arrived
        self.slow_reader_since: float | None = None  # since when the client takes no more of the answer
        self._head = 0  # bytes fed while in the head
        self._refused = False

    # ------------------------------------------------------------------------------------------------------ connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if len(self.connections) >= self.most and not _make_room(self.connections):
            self._refused, self.transport = True, transport
            self._say(Problem(503, f"The server holds {self.most} connections already (serve.max_connections)."))
            return
        super().connection_made(transport)
        self._begin()
        _watch(self.server_state, self.loop)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.flow is not None:
            super().connection_lost(exc)

    # ---------------------------------------------------------------------------------------------------------- requests

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self.in_head:
            self._head += len(data)
            if self.deadline is None:  # also where it is no request yet: empty lines keep no connection open
                self._begin()
        super().data_received(data)
        if self.in_head and self._head > MOST_HEAD:
            self.refuse(Problem(431, f"Expected at most {MOST_HEAD} bytes of headers."))

    def on_message_begin(self) -> None:
        self._begin()
        super().on_message_begin()

    def _begin(self) -> None:
        self.since = self.loop.time()
        self.deadline = self.since + self.timeout

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self.headers) < MOST_HEADERS:
            super().on_header(name, value)
        else:
            self.refuse(Problem(431, f"Expected at most {MOST_HEADERS} headers."))

    def on_headers_complete(self) -> None:
        if self._head > MOST_HEAD and sum(len(name) + len(value) for name, value in self.headers) + len(self.url) > MOST_HEAD:
            self.refuse(Problem(431, f"Expected at most {MOST_HEAD} bytes of headers."))
        self.in_head, self._head = False, 0
        if not self._refused:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self.deadline = None
        self.in_head = True  # what follows is the next one's
        if not self._refused:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        if self.deadline is not None and not self.in_head:
            self.deadline = min(self.deadline, self.loop.time() + LINGER)
        super().on_response_complete()

    def pause_writing(self) -> None:
        self.slow_reader_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self.slow_reader_since = None
        super().resume_writing()

    # ----------------------------------------------------------------------------------------------------------- refusals

    def look(self, now: float) -> None:
        """Give up what takes too long."""
        if self.slow_reader_since is not None and now > self.slow_reader_since + self.timeout:
            self.transport.abort()
        elif self.deadline is None or now < self.deadline:
            return
        elif self.flow.read_paused:  # it is the server that does not listen
            self.deadline = now + PATIENCE
        elif self._is_silent or self._is_answered:
            self._leave()
        else:
            self.give_up()

    @property
    def is_slow(self) -> bool:
        """Whether a request (or nothing at all) has been arriving for longer than one may wait where places are short."""
        return self.deadline is not None and not self.flow.read_paused and self.loop.time() > self.since + PATIENCE

    @property
    def is_idle(self) -> bool:
        """Whether it is kept open between two requests."""
        return self.deadline is None and (self.cycle is None or self.cycle.response_complete)

    @property
    def _is_silent(self) -> bool:
        return self.in_head and self._head == 0

    @property
    def _is_answered(self) -> bool:
        """Whether the request whose rest is still arriving has its answer."""
        return not self.in_head and self.cycle is not None and self.cycle.response_started

    def give_up(self) -> None:
        """Close a connection that is too slow."""
        self.refuse(Problem(408, f"Expected the whole request within {self.timeout:g} seconds."))

    def make_way(self) -> None:
        """Close an idle connection."""
        self._leave()

    def refuse(self, problem: Problem) -> None:
        """Say what is wrong and close; whoever was answering is told that the client left."""
        if self._refused:
            return
        self._refused = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._say(problem)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words are not ours
        """What cannot be read as HTTP."""
        self.refuse(Problem(400, "This is not HTTP as it is spoken here."))

    def _say(self, problem: Problem) -> None:
        body = problem.document("about:blank")
        lines = [STATUS_LINE[problem.status], b"content-type: ", MEDIA_TYPE.encode(), b"\r\ncontent-length: %d\r\n" % len(body)]
        lines += [f"{name}: {value}\r\n".encode() for name, value in problem.headers.items()]
        self.transport.write(b"".join([*lines, b"connection: close\r\n\r\n", body]))
        self._leave()

    def _leave(self) -> None:
        self.connections.discard(self)
        self._unset_keepalive_if_required()
        self.transport.close()


def protocol_for(settings: Serve) -> type[LimitedProtocol]:
    """The protocol with the limits of [serve], for `uvicorn.Config(http=...)`."""
    limits = {"timeout": settings.request_timeout.total_seconds(), "most": settings.max_connections}
    return type("KeepfitProtocol", (LimitedProtocol,), limits)


_watched: WeakKeyDictionary[ServerState, asyncio.TimerHandle] = WeakKeyDictionary()  # while there are connections


def _watch(state: ServerState, loop: asyncio.AbstractEventLoop) -> None:
    """Look at all connections again and again, until there is none."""
    if state not in _watched:
        _watched[state] = loop.call_later(LOOK, _look, state, loop)


def _look(state: ServerState, loop: asyncio.AbstractEventLoop) -> None:
    del _watched[state]
    for connection in _limited(state.connections):
        connection.look(loop.time())
    if state.connections:
        _watch(state, loop)


def _make_room(connections: Iterable[object]) -> bool:
    """Close what only waits; returns whether there was any."""
    limited = _limited(connections)
    slow = [connection for connection in limited if connection.is_slow]
    for connection in slow:
        connection.give_up()
    if slow:
        return True
    idle = min((connection for connection in limited if connection.is_idle), key=lambda one: one.since, default=None)
    if idle is not None:
        idle.make_way()
    return idle is not None


def _limited(connections: Iterable[object]) -> list[LimitedProtocol]:
    return [connection for connection in connections if isinstance(connection, LimitedProtocol)]
