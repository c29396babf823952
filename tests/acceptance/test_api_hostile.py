"""Clients that are slow, large, many or mean: each is bounded, and the others are still answered."""

from __future__ import annotations

import contextlib
import gzip
import json
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.acceptance.api import Api, api
from tests.acceptance.runs import eventually

ROW = {"message": "you win", "country": "in"}
HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BODY = json.dumps(ROW).encode()
MEGABYTE = 2**20


@pytest.fixture(scope="module")
def served() -> Iterator[Api]:
    with api({"request_timeout": "1s", "max_connections": 200}) as running:
        yield running


def memory() -> int:
    """Bytes that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def heard(connection: socket.socket) -> bytes:
    """All that the server says until it closes the connection."""
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            found += piece
    return found


def said(served: Api, *pieces: bytes) -> bytes:
    """The same for a new connection that says these."""
    with served.connect() as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for piece in pieces:
                connection.sendall(piece)
        return heard(connection)


def still_answers(served: Api) -> None:
    with served.client() as client:
        assert client.post("/predict", json=ROW).status_code == 200


# ----------------------------------------------------------------------------------------------------------------- slow


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"\r\n",
        b"P",
        b"POST /predict HTTP/1.1\r\nHost: local",
        HEAD + b"Content-Length: 50\r\n\r\n{",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
    ],
    ids=["nothing", "empty lines", "a byte", "half a head", "half a body", "half a piece"],
)
def test_a_client_that_hangs_is_given_up(served: Api, beginning: bytes) -> None:
    with served.connect() as connection:
        connection.sendall(beginning)
        began = time.monotonic()
        answer = heard(connection)
        assert 0.8 < time.monotonic() - began < 4
    assert answer == b"" if beginning == b"" else answer.startswith(b"HTTP/1.1 408 ")
    if answer:
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["status"] == 408
    eventually(lambda: served.connections == 0, "the connection being forgotten", 10)


def test_empty_lines_keep_no_connection_open(served: Api) -> None:
    with served.connect() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        connection.sendall(b"\r\n")
        connection.settimeout(4)
        heard(connection)


def test_dribbling_wins_no_time(served: Api) -> None:
    with served.connect() as connection:
        began = time.monotonic()
        connection.settimeout(0.1)
        answer = b""
        while time.monotonic() - began < 5 and not answer:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(b"X")
            with contextlib.suppress(TimeoutError):
                answer = connection.recv(1000)
        assert answer.startswith((b"HTTP/1.1 408 ", b"HTTP/1.1 400 "))
        assert time.monotonic() - began < 4


def test_many_slow_clients_are_bounded_and_others_are_answered() -> None:
    with api({"request_timeout": "30s", "max_connections": 50}) as served, contextlib.ExitStack() as open_ones:
        for _ in range(300):
            connection = open_ones.enter_context(served.connect())
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(b"POST /predict HT")
        eventually(lambda: served.connections == 50, "the first fifty being held", 10)

        def answered() -> bool:
            with contextlib.suppress(httpx.TransportError), served.client() as client:
                return client.post("/predict", json=ROW).status_code == 200
            return False

        eventually(answered, "somebody else being answered, once the slow ones have had their second", 5)
        assert served.connections <= 50


def test_a_connection_too_many_is_told_so_and_closed() -> None:
    with api({"max_connections": 2}) as served, contextlib.ExitStack() as open_ones:
        for _ in range(2):
            open_ones.enter_context(served.connect())
        eventually(lambda: served.connections == 2, "both being held", 5)
        answer = said(served)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in answer.lower()
        assert served.connections == 2


def test_an_idle_connection_gives_way_to_a_new_one() -> None:
    with api({"max_connections": 2}) as served, served.client() as first, served.client() as second, served.client() as third:
        for client in (first, second, third):
            assert client.get("/health").status_code == 200
        assert served.connections <= 2


def test_a_connection_stays_open_between_requests_and_for_requests_in_a_row(served: Api) -> None:
    whole = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    with served.connect() as connection:
        connection.sendall(whole * 20 + b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = heard(connection)
    assert answer.count(b"HTTP/1.1 200 OK") == 21
    with served.connect() as connection:
        connection.sendall(whole)
        assert connection.recv(65536)
        connection.settimeout(1.5)
        with contextlib.suppress(TimeoutError):
            assert connection.recv(1), "the connection was closed before its time to rest was over"
        connection.sendall(whole)
        connection.settimeout(10)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")


# ---------------------------------------------------------------------------------------------------------------- large


def test_a_hundred_megabytes_are_refused_early_and_never_held(served: Api) -> None:
    before = memory()
    for how in (b"Content-Length: 104857600\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"):
        with served.connect() as connection:
            connection.sendall(HEAD + how)
            connection.settimeout(0.05)
            piece, sent, answer = b"x" * MEGABYTE, 0, b""
            if b"chunked" in how:
                piece = b"%x\r\n" % MEGABYTE + piece + b"\r\n"
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                while sent < 100 and not answer:
                    with contextlib.suppress(TimeoutError):
                        connection.sendall(piece)
                    sent += 1
                    with contextlib.suppress(TimeoutError):
                        answer = connection.recv(1000)
        assert answer.startswith(b"HTTP/1.1 413 "), answer
        assert sent < 10
    assert memory() - before < 30 * MEGABYTE
    still_answers(served)


def test_whoever_sends_on_after_a_refusal_hears_it_and_is_cut_off(served: Api) -> None:
    with served.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 2000000\r\n\r\n")
        began = time.monotonic()
        assert heard(connection).startswith(b"HTTP/1.1 413 ")
        assert time.monotonic() - began < 5


def test_a_million_names_are_refused_at_once(served: Api) -> None:
    body = b"{" + b",".join(b'"%d":1' % number for number in range(95_000)) + b"}"
    assert 900_000 < len(body) < MEGABYTE
    with served.client() as client:
        began = time.monotonic()
        answer = client.post("/predict", content=body, headers={"content-type": "application/json"})
    assert time.monotonic() - began < 2
    assert answer.status_code == 422
    assert "95001 things" in answer.json()["detail"]
    with api({"max_body": 50 * MEGABYTE}) as large, large.client() as client:
        body = b"{" + b",".join(b'"%d":1' % number for number in range(1_000_000)) + b"}"
        answer = client.post("/predict", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 422
        assert "1000001 things" in answer.json()["detail"]


def test_compressed_bodies_are_not_unpacked(served: Api) -> None:
    bomb = gzip.compress(b'{"message": "' + b"x" * 50 * MEGABYTE + b'"}')
    with served.client() as client:
        for name in ("gzip", "deflate", "br", "zstd", "gzip, gzip"):
            kind = {"content-type": "application/json", "content-encoding": name}
            assert client.post("/predict", content=bomb, headers=kind).status_code == 415


def test_headers_have_a_limit(served: Api) -> None:
    start = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
    for flood in (
        b"".join(b"X-%d: a\r\n" % number for number in range(101)),
        b"".join(b"X-%d: a\r\n" % number for number in range(10_000)),
        b"X: " + b"a" * 100_000 + b"\r\n",
        b"X: " + b"a" * 5_000_000,
        b"".join(b"X-%d: %s\r\n" % (number, b"a" * 1000) for number in range(60)),
    ):
        assert said(served, start + flood + b"\r\n").startswith(b"HTTP/1.1 431 ")
    assert said(served, b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n").startswith(b"HTTP/1.1 431 ")
    few = b"".join(b"X-%d: a\r\n" % number for number in range(50))
    assert said(served, start + few + b"Connection: close\r\n\r\n").startswith(b"HTTP/1.1 200 ")


# ----------------------------------------------------------------------------------------------------------------- mean


@pytest.mark.parametrize(
    "request_text",
    [
        pytest.param(
            HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\n\r\n", id="both lengths"
        ),
        pytest.param(HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}    ", id="two lengths"),
        pytest.param(HEAD + b"Content-Length: -1\r\n\r\n{}", id="negative"),
        pytest.param(HEAD + b"Content-Length: 1_0\r\n\r\n{}", id="underscore"),
        pytest.param(HEAD + b"Content-Length: +2\r\n\r\n{}", id="plus"),
        pytest.param(HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", id="unknown coding"),
        pytest.param(HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", id="blank before colon"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", id="no hex"),
        pytest.param(b"GET /health HTTP/1.1\r\nHost: localhost\r\n folded: header\r\n\r\n", id="folded"),
        pytest.param(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX\x00: a\r\n\r\n", id="NUL in a name"),
        pytest.param(b"GET /health HTTP/9.9\r\nHost: localhost\r\n\r\n", id="no such version"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="TLS"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP/2"),
        pytest.param(b"CONNECT localhost:22 HTTP/1.1\r\nHost: localhost\r\n\r\n", id="CONNECT"),
        pytest.param(b"GET http://[::1 HTTP/1.1\r\nHost: localhost\r\n\r\n", id="no URL"),
    ],
)
def test_what_two_servers_could_read_differently_is_refused(served: Api, request_text: bytes) -> None:
    answer = said(served, request_text)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 405 ", b"HTTP/1.1 404 ", b"HTTP/1.1 408 ")), answer
    assert answer.count(b"HTTP/1.1 ") == 1  # nothing that was smuggled in is answered
    still_answers(served)


@pytest.mark.parametrize("name", ["Host", "Content-Type", "X-API-Key", "Authorization", "X-Route-Key", "Origin"])
def test_a_header_that_decides_may_be_there_once_only(served: Api, name: str) -> None:
    text = HEAD + b"Content-Length: %d\r\nConnection: close\r\n" % len(BODY)
    twice = b"".join(b"%s: localhost\r\n" % name.encode() for _ in range(2))
    answer = said(served, text + twice + b"\r\n" + BODY)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in answer


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "//health",
        "/health/../metrics",
        "/predict%00",
        "/\u00e9",
    ],
)
def test_no_path_leads_to_anything_else(served: Api, path: str) -> None:
    raw = path.encode("utf-8")
    answer = said(served, b"GET " + raw + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 400 "))
    assert b"root:" not in answer


@pytest.mark.parametrize("upgrade", ["websocket", "h2c"])
def test_no_other_protocol_is_taken_up(served: Api, upgrade: str) -> None:
    text = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n" % upgrade.encode()
    with served.connect() as connection:
        connection.sendall(text)
        answer = connection.recv(1000)
    assert b" 101 " not in answer
    still_answers(served)


def test_whoever_leaves_is_not_waited_for(served: Api) -> None:
    for _ in range(50):
        with served.connect() as connection:
            connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n{")
    for _ in range(50):
        with served.connect() as connection:
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)
    eventually(lambda: served.connections == 0, "all being forgotten", 10)
    still_answers(served)


def test_many_requests_leave_nothing_behind(served: Api) -> None:
    def ask(times: int) -> None:
        with served.client() as client:
            for number in range(times):
                client.post("/predict", json={"message": f"hi {number}"})
                client.get(f"/no/{number}", headers={"host": f"host{number}.example"})
                client.post("/predict", json={f"field{number}": 1})

    ask(150)
    before, files = memory(), len(list(Path("/proc/self/fd").iterdir()))
    ask(600)
    served.spool.rows.clear()
    assert memory() - before < 8 * MEGABYTE
    assert len(list(Path("/proc/self/fd").iterdir())) <= files + 2
