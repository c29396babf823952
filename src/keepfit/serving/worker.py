"""A worker: answers requests from memory, on the socket that the front opened."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn

from keepfit.project import Project
from keepfit.serving.answers import Loaded
from keepfit.serving.app import build_app
from keepfit.serving.control import OfficeClient
from keepfit.serving.desk import Desk, Served
from keepfit.serving.following import Follower
from keepfit.serving.model import open_model
from keepfit.serving.plan import Placed
from keepfit.serving.prometheus import reserve
from keepfit.serving.protocol import protocol_for
from keepfit.serving.schemas import Schema
from keepfit.telling import place_of, tell

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

LOOK = 1.0  # seconds between two looks at the log


@dataclass(frozen=True, kw_only=True)
class Post:
    """Where a worker works."""

    number: int  # from 1
    project: Project
    plan: Path
    office: str  # its control socket
    listening: socket.socket
    opened: Mapping[str, Loaded]  # what the front has opened, by folder
    ready: int  # descriptor on which the front is told once when it can answer


def work(post: Post) -> None:
    """Serve until SIGTERM, then finish what is under way."""
    logging.basicConfig(level=logging.WARNING, format="action=log level=%(levelname)s name=%(name)s %(message)s")
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_work(post))


async def _work(post: Post) -> None:
    config = post.project.config
    if not reserve():
        tell("figures_alone", worker=post.number)  # no room: it counts for itself
    desk = Desk(config.project.name, post.project.ports.open_spool(f"{os.getpid()}"), config.serve)
    office = OfficeClient(post.office)
    server = _Server(
        uvicorn.Config(
            build_app(desk, office, config.serve, config.project.name),
            http=protocol_for(config.serve),
            ws="none",
            lifespan="off",
            interface="asgi3",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=max(1, round(config.serve.drain.total_seconds())),
        )
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stop)
    follower = Follower(desk, post.plan, _Loader(dict(post.opened), post), office, str(post.number))
    await follower.look()  # nobody is sent away who could be answered in a moment: connections wait in the socket's queue
    tasks = [asyncio.create_task(each) for each in (follower.run(), _look_after_log(desk), _say_ready(desk, post))]
    for task in tasks:
        task.add_done_callback(_tell_end)
    try:
        await server.serve(sockets=[post.listening])
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await desk.close()


class _Loader:
    """Opens versions; what the front has opened is at hand."""

    def __init__(self, opened: dict[str, Loaded], post: Post) -> None:
        self._opened, self._post = opened, post

    def __call__(self, placed: Placed) -> Served:
        loaded = self._opened.pop(placed.folder, None) or open_model(placed, self._post.project.ports.model_formats)
        return Served(placed=placed, loaded=loaded, schema=Schema(loaded.inputs, self._post.project.config.serve))


async def _look_after_log(desk: Desk) -> None:
    """Whether the log can be written again, and letting go of what was written long enough."""
    while True:
        desk.check_log()
        await asyncio.sleep(LOOK)


async def _say_ready(desk: Desk, post: Post) -> None:
    while not desk.ready:
        await asyncio.sleep(0.01)
    gc.collect()
    gc.freeze()  # what is loaded now stays; no collection needs to look through it
    version = desk.served.placed.version if desk.served else ""
    with contextlib.suppress(OSError):
        os.write(post.ready, f"{post.number} {version}\n".encode())


def _tell_end(task: asyncio.Task[None]) -> None:
    """A task that ends by an error would be missed without a word."""
    if not task.cancelled() and (error := task.exception()) is not None:
        tell("worker_failed", error=place_of(error))
        os.kill(os.getpid(), signal.SIGTERM)  # the front starts another


class _Server(uvicorn.Server):
    """uvicorn's, but that the front alone sends signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        self.should_exit = True


def _loop_factory() -> type[AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # there is none for this system
        return None
    return uvloop.Loop  # type: ignore[no-any-return]
