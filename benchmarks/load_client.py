"""A load over HTTP with connections kept alive, in a process of its own: where wrk is not installed, and where every answer has to
be looked at.

    python load_client.py URL BODIES --connections 16 --seconds 4
    python load_client.py URL BODIES --connections 4 --record answers.jsonl      until standard input ends

BODIES holds one JSON document a line; they are sent in turn. Prints one JSON document. With --record every answer is written down
as [sent, answered, status, model_version], times in seconds since 1970.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
VERSION = re.compile(rb'"model_version": *"?([^",}]*)')


@dataclass
class Load:
    """What one load has met."""

    taken: list[float] = field(default_factory=list)  # seconds of every answer
    errors: int = 0  # answers that are not 200, and connections that broke
    record: list[tuple[float, float, int, str]] | None = None
    over: bool = False


class Connection(asyncio.Protocol):
    """One connection: sends, waits for the whole answer, sends again."""

    def __init__(self, requests: cycle[bytes], load: Load, ended: asyncio.Future[None]) -> None:
        self.requests, self.load, self.ended = requests, load, ended
        self.answer, self.sent, self.waits = b"", 0.0, False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self.answer += data
        end = self.answer.find(b"\r\n\r\n")
        if end < 0:
            return
        length = LENGTH.search(self.answer, 0, end)
        if length is None or len(self.answer) < end + 4 + int(length[1]):
            return
        self._take()
        if self.load.over:
            self.transport.close()
        else:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio calls it so)
        if self.waits:
            self._note(0)
        if not self.ended.done():
            self.ended.set_result(None)

    def _send(self) -> None:
        self.answer, self.sent, self.waits = b"", time.perf_counter(), True
        self.transport.write(next(self.requests))

    def _take(self) -> None:
        self.waits = False
        self.load.taken.append(time.perf_counter() - self.sent)
        status = int(self.answer[9:12])
        if status != 200 or self.load.record is not None:
            self._note(status)

    def _note(self, status: int) -> None:
        self.load.errors += status != 200
        if self.load.record is not None:
            now = time.time()
            version = VERSION.search(self.answer)
            sent = now - (time.perf_counter() - self.sent)
            self.load.record.append((sent, now, status, version[1].decode() if version else ""))


async def connect(host: str, port: int, requests: cycle[bytes], load: Load) -> None:
    """Keep one connection; one that broke is opened again, as a client would."""
    loop = asyncio.get_running_loop()
    while not load.over:
        ended: asyncio.Future[None] = loop.create_future()
        try:
            await loop.create_connection(lambda: Connection(requests, load, ended), host, port)  # noqa: B023 (used at once)
        except OSError:
            load.errors += 1
            if load.record is not None:
                load.record.append((time.time(), time.time(), 0, ""))
            await asyncio.sleep(0.01)
            continue
        await ended


async def put_on(url: str, bodies: Sequence[bytes], connections: int, seconds: float | None, load: Load) -> float:
    """Load for so long, or until standard input ends; returns the seconds."""
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    requests = [
        b"POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
        % (parts.path.encode(), parts.netloc.encode(), len(body), body)
        for body in bodies
    ]
    loop, began = asyncio.get_running_loop(), time.perf_counter()

    def stop() -> None:
        load.over = True

    if seconds is None:
        threading.Thread(target=lambda: (sys.stdin.read(), loop.call_soon_threadsafe(stop)), daemon=True).start()
    else:
        loop.call_later(seconds, stop)
    starts = [number * len(requests) // connections for number in range(connections)]  # they do not all send the same
    await asyncio.gather(*(connect(host, port, cycle(requests[start:] + requests[:start]), load) for start in starts))
    return time.perf_counter() - began


def quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("bodies", type=Path)
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--record", type=Path)
    given = parser.parse_args()
    load = Load(record=[] if given.record else None)
    try:
        import uvloop as loops
    except ImportError:  # where there is none, asyncio's own will do
        loops = asyncio
    took = loops.run(put_on(given.url, given.bodies.read_bytes().splitlines(), given.connections, given.seconds, load))
    if given.record:
        given.record.write_text("\n".join(json.dumps(each) for each in load.record or ()))
    ordered = sorted(load.taken)
    found = {"requests": len(ordered), "seconds": took, "errors": load.errors}
    print(json.dumps({**found, **{f"p{share}": quantile(ordered, share / 100) * 1000 for share in (50, 95, 99)}}))


if __name__ == "__main__":
    main()
