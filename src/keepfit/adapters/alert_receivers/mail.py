"""Mail, by `SMTP_SERVER`, `SMTP_PORT`, `ALERT_EMAIL`, `ALERT_FROM`, `SMTP_USER` and `SMTP_PASSWORD`.

Python's own client rather than Apprise's: it encrypts wherever the server offers it, gives every mail of an alert the same
Message-ID, by which mail systems drop what comes twice, and says in the server's words why a mail was refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from keepfit.adapters.alert_receivers.channel import Channel, name, text, title, wrong
from keepfit.errors import ConfigError, Unavailable
from keepfit.records import Alert

if TYPE_CHECKING:
    import smtplib
    import ssl
    from email.message import EmailMessage

ADDRESS = re.compile(r"[^@\s<>,]+@[^@\s<>,]+")


@dataclass(frozen=True, kw_only=True)
class MailServer:
    """Where mail is handed in, and as whom."""

    host: str
    port: int
    sender: str
    timeout: float  # seconds
    user: str = ""
    password: str = field(default="", repr=False)


def mail_receivers(environment: Mapping[str, str], timeout: float) -> list[Channel]:
    """One receiver for each address of `ALERT_EMAIL`, so that a wrong one keeps nobody else from being told."""
    found = environment.get("ALERT_EMAIL", "")
    addresses = list(dict.fromkeys(part for part in re.split(r"[\s,;]+", found) if part))
    if not addresses:
        return []
    try:
        server = _server(environment, addresses[0], timeout)
    except ConfigError as error:
        return [wrong("mail", str(error))]
    return [
        Channel(name=f"mail to {address}", send=lambda alert, to=address: send(alert, to, server))  # type: ignore[misc]
        if ADDRESS.fullmatch(address)
        else wrong(f"mail, address {number}", f"ALERT_EMAIL: expected addresses such as ops@example.org, number {number} is none")
        for number, address in enumerate(addresses, 1)
    ]


def _server(environment: Mapping[str, str], fallback: str, timeout: float) -> MailServer:
    host, user, port = (environment.get(each, "").strip() for each in ("SMTP_SERVER", "SMTP_USER", "SMTP_PORT"))
    if not host:
        raise ConfigError("ALERT_EMAIL is set and SMTP_SERVER is not: set it to the name of your mail server")
    port = port or ("587" if user else "25")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigError(f"SMTP_PORT: expected a number such as 25, 465 or 587, found {port!r}")
    sender = environment.get("ALERT_FROM", "").strip() or (user if ADDRESS.fullmatch(user) else fallback)
    if not ADDRESS.fullmatch(sender):
        raise ConfigError("ALERT_FROM: expected an address such as keepfit@example.org")
    password = environment.get("SMTP_PASSWORD", "")
    return MailServer(host=host, port=int(port), sender=sender, timeout=timeout, user=user, password=password)


def send(alert: Alert, to: str, server: MailServer) -> None:
    """Hand the mail in. Raises `Unavailable` with the server's words, `ConfigError` when a password would go unencrypted."""
    import smtplib

    place = f"The mail server {server.host}:{server.port}"
    try:
        connection = _connected(server)
        try:
            connection.send_message(_message(alert, to, server), server.sender, [to])
        finally:
            with contextlib.suppress(OSError, smtplib.SMTPException):  # it has the mail, or has said why not
                connection.quit()
    except smtplib.SMTPRecipientsRefused as error:
        code, words = next(iter(error.recipients.values()))
        raise Unavailable(f"{place} does not take mail to {to}: {code} {_decoded(words)}") from error
    except smtplib.SMTPResponseException as error:
        raise Unavailable(f"{place} refuses: {error.smtp_code} {_decoded(error.smtp_error)}") from error
    except (OSError, smtplib.SMTPException) as error:
        raise Unavailable(f"{place} was not reached: {error or type(error).__name__}") from error


def _connected(server: MailServer) -> smtplib.SMTP:
    """Encrypted wherever that is offered. A password is only sent to a server that has proved its name, or to this machine."""
    import smtplib

    place: dict[str, Any] = {"host": server.host, "port": server.port, "timeout": server.timeout}
    place["local_hostname"] = socket.gethostname()  # to look its full name up may take longer than the timeout
    tls = server.port == 465
    connection = smtplib.SMTP_SSL(**place, context=_context(server)) if tls else smtplib.SMTP(**place)
    try:
        connection.ehlo_or_helo_if_needed()
        if not tls and connection.has_extn("starttls"):
            connection.starttls(context=_context(server))
            tls = True
        if server.user:
            if not tls and not _is_here(server.host):
                raise ConfigError(
                    f"{server.host}:{server.port} offers no encryption, so the password in SMTP_PASSWORD was not sent"
                )
            connection.login(server.user, server.password)
    except BaseException:
        connection.close()
        raise
    return connection


def _context(server: MailServer) -> ssl.SSLContext:
    import ssl

    context = ssl.create_default_context()
    if not server.user or _is_here(server.host):  # many a relay inside a company has a certificate that nobody has signed
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _message(alert: Alert, to: str, server: MailServer) -> EmailMessage:
    from email.message import EmailMessage
    from email.utils import format_datetime

    message = EmailMessage()
    message["Subject"] = title(alert)
    message["From"] = server.sender
    message["To"] = to
    message["Date"] = format_datetime(alert.at)
    domain = server.sender.rpartition("@")[2]
    message["Message-ID"] = f"<{hashlib.sha256(name(alert).encode()).hexdigest()[:32]}@{domain}>"
    message["X-Keepfit-Alert"] = name(alert)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text(alert))
    return message


def _decoded(words: bytes | str) -> str:
    return words.decode("utf-8", "replace") if isinstance(words, bytes) else words


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
