from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from keepfit.codec import time_text
from keepfit.serving.calls import ALL_BODIES, Call, Left, Reply, Room
from keepfit.serving.problems import Problem


def call(room: Room, pieces: list[bytes], *, leaves: bool = False) -> Call:
    """A request whose body comes in these pieces."""

    def messages() -> Iterator[dict[str, Any]]:
        for number, piece in enumerate(pieces):
            yield {"type": "http.request", "body": piece, "more_body": leaves or number + 1 < len(pieces)}
        yield {"type": "http.disconnect"}

    told = messages()

    async def receive() -> dict[str, Any]:
        return next(told)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "headers": [(b"content-type", b"application/json")],
        "query_string": b"",
    }
    return Call(scope, receive, room)


def read(room: Room, pieces: list[bytes], *, leaves: bool = False) -> bytes:
    return asyncio.run(call(room, pieces, leaves=leaves).json_body())


def test_times_that_the_office_tells_have_a_z_as_all_others() -> None:
    moment = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    told = {"since": time_text(moment), "reason": f'"{time_text(moment)}" is no time', "none": None}
    kept = {**told, "since": "2026-03-01T12:30:00.000000Z"}
    assert json.loads(Reply.of_office(told).body) == kept
    assert Reply.of({"since": moment}).body == b'{"since":"2026-03-01T12:30:00Z"}'


def test_a_body_is_put_together() -> None:
    room = Room(10)
    for pieces in ([b"{}"], [b"{", b"}"], [b"", b"{}", b""]):
        assert read(room, pieces) == b"{}"


def test_a_body_beyond_the_limit_is_refused_as_soon_as_it_is() -> None:
    for pieces in ([b"x" * 11], [b"x" * 6] * 100):
        with pytest.raises(Problem) as refused:
            read(Room(10), pieces)
        assert refused.value.status == 413


def test_whoever_leaves_midway_is_noticed() -> None:
    with pytest.raises(Left):
        read(Room(10), [b"{"], leaves=True)


def test_all_bodies_together_have_a_limit() -> None:
    room = Room(10)
    room.free = 15
    first = call(room, [b"x" * 5, b"x" * 5], leaves=True)

    async def both() -> None:
        slow = asyncio.Event()
        receive = first._receive

        async def slowly() -> Any:
            message = await receive()
            if message["type"] == "http.disconnect":
                await slow.wait()
            return message

        first._receive = slowly
        waiting = asyncio.create_task(first.json_body())
        await asyncio.sleep(0)
        with pytest.raises(Problem) as refused:
            await call(room, [b"x" * 5, b"x" * 5]).json_body()
        assert refused.value.status == 503
        slow.set()
        with pytest.raises(Left):
            await waiting

    asyncio.run(both())
    assert room.free == 15  # nothing is kept of either


def test_a_large_limit_leaves_room_for_some_bodies() -> None:
    assert Room(10).free == ALL_BODIES
    assert Room(ALL_BODIES).free == 4 * ALL_BODIES
