"""Real receivers of alerts on loopback: a mail server and a webhook. Each can be away, refuse, or keep its client waiting."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult


@dataclass(frozen=True)
class Got:
    """A message as it arrived."""

    at: datetime
    title: str
    text: str
    message: Any  # an EmailMessage, or the JSON document
    to: tuple[str, ...] = ()
    encrypted: bool = False
    user: str = ""


class Receiver:
    """What both have in common. `mood` is "well", "refuses" or "waits"."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.mood = "well"
        self.got: list[Got] = []
        self.asked = 0  # attempts, taken or not
        self.waiting = 0  # clients that are kept waiting just now
        self.released = threading.Event()  # lets those go who wait

    @property
    def titles(self) -> list[str]:
        return [each.title for each in self.got]

    def start(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Any:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self.stop()


class MailServer(Receiver):
    """An SMTP server; `tls` is a certificate with its key, `password` what it asks for."""

    def __init__(self, tls: Path | None = None, password: str = "") -> None:
        super().__init__()
        self._tls, self._password = tls, password
        self._controller: Controller | None = None

    @property
    def environment(self) -> dict[str, str]:
        return {"SMTP_SERVER": "127.0.0.1", "SMTP_PORT": str(self.port), "ALERT_EMAIL": "ops@example.org"}

    def start(self) -> None:
        options: dict[str, Any] = {}
        if self._tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._tls)
            options["tls_context"] = context
        if self._password:
            options |= {"authenticator": self._authenticate, "auth_require_tls": False}
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port, **options)
        self._controller.start()

    def stop(self) -> None:
        if self._controller is not None:
            self._controller.stop(no_assert=True)
            self._controller = None

    def _authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        right = data.password.decode() == self._password
        return AuthResult(success=right, handled=False, auth_data=data.login.decode())

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.asked += 1
        if self.mood == "waits":
            self.waiting += 1
            while not self.released.is_set():
                await asyncio.sleep(0.02)
            self.waiting -= 1
            return "451 you have waited in vain"
        if self.mood != "well":
            return "451 try again later"
        message = cast("EmailMessage", message_from_bytes(envelope.content, policy=policy.default))
        body = message.get_content().replace("\r\n", "\n")
        encrypted, user = session.ssl is not None, session.auth_data or ""
        now = datetime.now(UTC)
        self.got.append(Got(now, str(message["Subject"]), body, message, tuple(envelope.rcpt_tos), encrypted, user))
        return "250 taken"


class Webhook(Receiver):
    """An HTTP server that takes messages as Slack and Mattermost do, and as Apprise's json:// sends them."""

    def __init__(self) -> None:
        super().__init__()
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks/s3cret-token"

    @property
    def environment(self) -> dict[str, str]:
        return {"SLACK_WEBHOOK_URL": self.url, "NO_PROXY": "127.0.0.1"}

    def start(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.answer(self)

            def log_message(self, *_: object) -> None:
                """Tests are quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.asked += 1
        body = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        if self.mood == "waits":
            self.waiting += 1
            self.released.wait(30)
            self.waiting -= 1
            return
        if self.mood == "well":
            text = str(body.get("text") or body.get("message"))
            self.got.append(Got(datetime.now(UTC), str(body.get("title") or text.partition("\n")[0]), text, body))
        with contextlib.suppress(OSError):  # who waited has gone
            request.send_response({"well": 200, "moved": 302}.get(self.mood, 500))
            if self.mood == "moved":
                request.send_header("Location", self.url)
            request.send_header("Content-Length", "0")
            request.end_headers()


@dataclass(frozen=True)
class Dispatch:
    """A workflow that was asked for."""

    path: str
    headers: dict[str, str]
    body: Any

    @property
    def inputs(self) -> dict[str, str]:
        return self.body["inputs"]  # type: ignore[no-any-return]


class GithubApi(Webhook):
    """GitHub's API, as far as it starts workflows: answers `code`, or keeps its client waiting where that is 0."""

    TOKEN = "ghp_s3cretTokenOfTheTests"

    def __init__(self) -> None:
        super().__init__()
        self.code = 204
        self.headers: dict[str, str] = {}
        self.message = "so it is"
        self.seen: list[Dispatch] = []  # whatever was answered

    @property
    def environment(self) -> dict[str, str]:
        return {
            "ENABLE_CD_TRIGGER": "true",
            "GITHUB_REPO_OWNER": "me",
            "GITHUB_REPO_NAME": "my-model",
            "GITHUB_TOKEN": self.TOKEN,
            "KEEPFIT_RELEASE__GITHUB__URL": f"http://127.0.0.1:{self.port}/api/v3",
            "HTTP_PROXY": "http://127.0.0.1:9",  # nobody is there: a token that goes without encryption goes directly
        }

    @property
    def versions(self) -> list[str]:
        return [each.inputs["model_version"] for each in self.seen]

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.asked += 1
        body = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        self.seen.append(Dispatch(request.path, dict(request.headers), body))
        if not self.code:
            self.waiting += 1
            self.released.wait(30)
            self.waiting -= 1
            return
        told = b"" if self.code == 204 else json.dumps({"message": self.message}).encode()
        with contextlib.suppress(OSError):  # who waited has gone
            request.send_response(self.code)
            for name, value in {**self.headers, "Content-Length": str(len(told))}.items():
                request.send_header(name, value)
            request.end_headers()
            request.wfile.write(told)


def certificate(folder: Path) -> Path:
    """A certificate for localhost that nobody has signed, with its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    signed = made.sign(key, hashes.SHA256())
    plain = serialization.NoEncryption()
    path = folder / "certificate.pem"
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(signed.public_bytes(serialization.Encoding.PEM) + private)
    return path
