"""Tells whoever asks over HTTP whether a watcher is well: GET /health, 200 or 503, one JSON document."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any

from keepfit.errors import ConfigError

PATH = "/health"
PATIENCE = 10.0  # seconds after which somebody who asks and says nothing is hung up on

Told = Callable[[], tuple[bool, Mapping[str, Any]]]  # whether all is well, and the document


class Health:
    """The endpoint. It listens from the start and answers from `start` on."""

    def __init__(self, host: str, port: int, told: Told) -> None:
        """Raises `ConfigError` where it cannot listen there."""
        try:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
            listening = socket.create_server(address[:2], family=family)
        except (OSError, UnicodeError) as error:  # the latter for what can be no name of a host
            why = error.strerror if isinstance(error, OSError) else None
            raise ConfigError(
                f"{host}:{port} cannot be listened on: {why or error}. Name another address with --host or [watch] host, "
                "another port with --port or [watch] port; [watch] health = false does without."
            ) from error
        self._server = _Server((host, port), _handler(told), bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = listening
        host, port = listening.getsockname()[:2]
        self.address = f"http://{f'[{host}]' if ':' in host else host}:{port}{PATH}"

    def start(self) -> None:
        """Answer, in a thread of its own."""
        threading.Thread(target=self._server.serve_forever, name="keepfit-health", daemon=True).start()

    def close(self) -> None:
        """Do not listen any more."""
        self._server.server_close()


class _Server(ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who hangs up in the middle is no error of ours."""


def _handler(told: Told) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = PATIENCE

        def do_GET(self) -> None:
            if self.path.partition("?")[0] != PATH:
                self._answer(404, {"status": "not found", "reason": f"there is {PATH} and nothing else here"})
                return
            well, document = told()
            self._answer(200 if well else 503, document)

        do_HEAD = do_GET  # noqa: N815 - the library's name

        def _answer(self, code: int, document: Mapping[str, Any]) -> None:
            body = json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Probes come every few seconds; nobody wants to read of them."""

    return Handler
