"""A real S3 server on this machine, and a proxy before it that answers wrongly when it is told to."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from tests import postgres
from tests.acceptance.runs import eventually

SERVER = """
from socketserver import StreamRequestHandler
StreamRequestHandler.disable_nagle_algorithm = True  # or every answer takes 40 milliseconds
from moto.server import main
main(["-H", "127.0.0.1", "-p", "{port}"])
"""
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "not-a-secret", "AWS_DEFAULT_REGION": "us-east-1"}
INTERNAL = b"<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>"
DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


class S3Server:
    """A real S3 server, and a client of it that is not keepfit's."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {**CREDENTIALS, "AWS_ENDPOINT_URL": self.url}
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", SERVER.format(port=self.port)],
                stdout=log,
                stderr=log,
                preexec_fn=postgres._end_with_parent,  # noqa: PLW1509 - no other thread runs yet that could hold a lock
            )
        eventually(lambda: self._process.poll() is None and self._answers(), "the S3 server answering")
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            region_name=CREDENTIALS["AWS_DEFAULT_REGION"],
        )

    def bucket(self) -> str:
        """A new one; returns its name."""
        name = f"bucket-{uuid.uuid4().hex[:12]}"
        self.client.create_bucket(Bucket=name)
        return name

    def objects(self, bucket: str, prefix: str = "") -> dict[str, bytes]:
        """Everything below a prefix, by the name below it."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        keys = [each["Key"] for page in pages for each in page.get("Contents", ())]
        return {key[len(prefix) :]: self.client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    server = S3Server(tmp_path_factory.mktemp("s3"))
    yield server
    server.close()


@dataclass
class Fault:
    """What goes wrong: with the requests from number `at` on (from 1, of those that match), `times` of them."""

    how: str  # 500, denied, refused, cut_request, cut_answer, lost_answer or silent
    at: int = 1
    times: int = 1
    method: str = ""  # only these requests; empty: all


class FaultyProxy:
    """Passes requests on to a server, but for those that its fault is about."""

    def __init__(self, behind: S3Server) -> None:
        self.fault: Fault | None = None
        self.seen: list[str] = []  # "PUT /bucket/key" of each request since the fault was set
        self._matched = 0
        self._lock = threading.Lock()
        self.released = threading.Event()  # lets the silent ones go on
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_any(self) -> None:
                proxy._handle(self, behind)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any  # noqa: N815 - the library's names

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        self.environment = {**behind.environment, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._server.server_address[1]}"}

    def goes_wrong(self, fault: Fault | None) -> None:
        """From now on; None: nothing any more."""
        with self._lock:
            self.fault, self._matched, self.seen = fault, 0, []

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def _due(self, method: str, path: str) -> str:
        with self._lock:
            self.seen.append(f"{method} {path}")
            fault = self.fault
            if fault is None or not method.startswith(fault.method):
                return ""
            self._matched += 1
            return fault.how if fault.at <= self._matched < fault.at + fault.times else ""

    def _handle(self, request: BaseHTTPRequestHandler, behind: S3Server) -> None:
        how = self._due(request.command, request.path)
        if how in ("refused", "cut_request"):
            if how == "cut_request":
                request.rfile.read(int(request.headers.get("Content-Length") or 0) // 2)
            _cut(request)
            return
        body = _body(request)
        if how == "silent":
            self.released.wait(60)
            _cut(request)
        elif how in ("500", "denied"):
            _answer(request, 500 if how == "500" else 403, [], INTERNAL if how == "500" else DENIED)
        else:
            status, headers, answer = _passed_on(request, body, behind)
            if how == "lost_answer":
                _cut(request)
            else:
                _answer(request, status, headers, answer, half=how == "cut_answer")


def _cut(request: BaseHTTPRequestHandler) -> None:
    request.close_connection = True
    request.connection.shutdown(socket.SHUT_RDWR)


def _body(request: BaseHTTPRequestHandler) -> bytes:
    if "chunked" not in request.headers.get("Transfer-Encoding", ""):
        return request.rfile.read(int(request.headers.get("Content-Length") or 0))
    whole = b""
    while size := int(request.rfile.readline().partition(b";")[0], 16):
        whole += request.rfile.read(size)
        request.rfile.readline()
    request.rfile.readline()
    return whole


def _passed_on(request: BaseHTTPRequestHandler, body: bytes, behind: S3Server) -> tuple[int, list[tuple[str, str]], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", behind.port, timeout=60)
    left_out = ("transfer-encoding", "expect", "connection", "content-length")
    headers = {name: value for name, value in request.headers.items() if name.lower() not in left_out}
    try:
        connection.request(request.command, request.path, body, {**headers, "Content-Length": str(len(body))})
        answer = connection.getresponse()
        return answer.status, answer.getheaders(), answer.read()
    finally:
        connection.close()


def _answer(
    request: BaseHTTPRequestHandler, status: int, headers: list[tuple[str, str]], body: bytes, *, half: bool = False
) -> None:
    request.send_response_only(status)
    length = next((value for name, value in headers if name.lower() == "content-length"), str(len(body)))
    for name, value in headers:
        if name.lower() not in ("transfer-encoding", "connection", "content-length"):
            request.send_header(name, value)
    if status != 204:
        request.send_header("Content-Length", length)
    request.end_headers()
    if half:
        request.wfile.write(body[: len(body) // 2])
        request.wfile.flush()
        _cut(request)
    elif request.command != "HEAD":
        request.wfile.write(body)


def set_environment(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
