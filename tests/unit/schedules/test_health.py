"""GET /health: 200 while all is well, 503 with the reason, and nothing else behind that port."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from keepfit.errors import ConfigError
from keepfit.schedules.health import Health

STATES: dict[bool, dict[str, Any]] = {True: {"status": "ok", "reason": ""}, False: {"status": "failing", "reason": "läuft nicht"}}


@pytest.fixture
def well() -> list[bool]:
    return [True]


@pytest.fixture
def health(well: list[bool]) -> Iterator[Health]:
    endpoint = Health("127.0.0.1", 0, lambda: (well[0], STATES[well[0]]))
    endpoint.start()
    yield endpoint
    endpoint.close()


def ask(address: str, method: str = "GET") -> tuple[int, bytes]:
    answer = httpx.request(method, address, timeout=30)
    return answer.status_code, answer.content


def test_it_says_whether_all_is_well_and_why_not(health: Health, well: list[bool]) -> None:
    code, body = ask(health.address)
    assert (code, json.loads(body)) == (200, STATES[True])
    well[0] = False
    code, body = ask(health.address + "?from=probe")
    assert (code, json.loads(body)) == (503, STATES[False])
    assert ask(health.address, "HEAD") == (503, b"")


def test_there_is_nothing_else_to_ask_for(health: Health) -> None:
    assert ask(health.address.removesuffix("/health") + "/")[0] == 404
    assert ask(health.address, "POST")[0] == 501


def test_who_asks_nonsense_or_nothing_holds_up_nobody(health: Health, capfd: pytest.CaptureFixture[str]) -> None:
    place = health.address.split("/")[2].split(":")
    with socket.create_connection((place[0], int(place[1]))) as silent, socket.create_connection((place[0], int(place[1]))) as rude:
        rude.sendall(b"\x16\x03\x01 \r\n\r\n")
        assert ask(health.address)[0] == 200
        silent.sendall(b"GET /hea")
    assert ask(health.address)[0] == 200
    assert "Traceback" not in capfd.readouterr().err


def test_a_port_that_is_taken_is_an_error_that_says_what_to_do(health: Health) -> None:
    port = int(health.address.split(":")[2].split("/")[0])
    with pytest.raises(ConfigError, match=rf"127.0.0.1:{port} cannot be listened on: Address already in use.*--port"):
        Health("127.0.0.1", port, lambda: (True, {}))


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "a" * 70])
def test_an_address_that_nobody_knows_is_an_error(host: str) -> None:
    with pytest.raises(ConfigError, match=rf"{host}:1 cannot be listened on"):
        Health(host, 1, lambda: (True, {}))
