"""Public data: only what was reviewed is written, and what goes wrong on the way is said with a way out."""

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from keepfit.config import Config
from keepfit.errors import ConfigError, DataError, NotFound, Unavailable
from keepfit.verbs import download as module
from keepfit.verbs.download import download

COLLECTION = b'ham\tSee you at "six", love\nspam\tWIN a prize, call 0900\n'
TABLE = 'label,message\nham,"See you at ""six"", love"\nspam,"WIN a prize, call 0900"\n'


def zipped(content: bytes = COLLECTION, name: str = "SMSSpamCollection") -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("readme", "about it")
        archive.writestr(name, content)
    return made.getvalue()


@pytest.fixture(autouse=True)
def _reviewed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The collection of these tests is the one that was reviewed."""
    from dataclasses import replace

    source = replace(module.SOURCES["sms-spam"], digest=hashlib.sha256(COLLECTION).hexdigest())
    monkeypatch.setitem(module.SOURCES, "sms-spam", source)


class Site:
    """A real server; each path answers as it is told to."""

    def __init__(self) -> None:
        self.released = threading.Event()
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body, wanted = zipped(), request.path.strip("/")
        if wanted.startswith("moved"):
            request.send_response(302)
            request.send_header("Location", {"moved": "/whole", "moved-in-circles": "/moved-in-circles"}[wanted])
            request.end_headers()
            return
        if wanted == "missing":
            request.send_error(404)
            return
        request.send_response(200)
        length = {"cut": len(body) + 500, "endless": None}.get(wanted, len(body))
        if wanted == "other":
            body = zipped(b"ham\tsomething else\n")
            length = len(body)
        if length is not None:
            request.send_header("Content-Length", str(length))
        request.end_headers()
        if wanted == "hangs":
            self.released.wait(30)
        elif wanted == "trickles":
            while not self.released.wait(0.02):
                request.wfile.write(b"x")
        elif wanted == "endless":
            try:
                while not self.released.is_set():
                    request.wfile.write(b"PK" * 50_000)
            except OSError:
                return
        else:
            request.wfile.write(body)

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.close()


def project(folder: Path, **data: Any) -> Config:
    settings = {"target": "label", "inbox": "new", "columns": {"label": {"type": "category"}, "message": {"type": "text"}}}
    return Config.of({"project": {"name": "sms", "task": "classification"}, "data": settings | data}, folder)


@pytest.mark.parametrize("path", ["whole", "moved"])
def test_what_was_fetched_and_found_right_is_in_the_inbox_as_a_table(site: Site, tmp_path: Path, path: str) -> None:
    found = download("sms-spam", config=project(tmp_path), url=f"{site.url}/{path}")
    assert found.path == tmp_path / "new/sms-spam-collection.csv"
    assert found.path.read_text() == TABLE
    assert (found.rows, found.new) == (2, True)
    assert [each.name for each in found.path.parent.iterdir()] == [found.path.name]
    assert download("sms-spam", config=project(tmp_path), url=f"{site.url}/{path}").new is False


@pytest.mark.parametrize(
    ("path", "error", "said"),
    [
        ("missing", Unavailable, "cannot be fetched: .*404.*--from FILE"),
        ("moved-in-circles", Unavailable, "--from FILE"),
        ("cut", Unavailable, "broke off after .*--from FILE"),
        ("hangs", Unavailable, "timed out.*--from FILE"),
        ("trickles", Unavailable, "takes too long.*--from FILE|broke off"),
        ("endless", DataError, "larger than 16 MB"),
        ("other", DataError, "expected sha256 .*Nothing was written"),
    ],
)
def test_whatever_goes_wrong_is_said_and_nothing_is_written(
    site: Site, tmp_path: Path, path: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        download(
            "sms-spam", config=project(tmp_path), url=f"{site.url}/{path}", patience=0.3, longest=3.0 if path == "endless" else 0.5
        )
    assert not list(tmp_path.rglob("*.csv*"))


def test_nobody_there_is_said_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="Fetch it by other means, then: keepfit data download sms-spam --from FILE"):
        download("sms-spam", config=project(tmp_path), url="http://127.0.0.1:1/x.zip")


@pytest.mark.parametrize("content", [COLLECTION, zipped()], ids=["file", "archive"])
def test_a_file_that_was_fetched_by_other_means_will_do(tmp_path: Path, content: bytes) -> None:
    given = tmp_path / "given"
    given.write_bytes(content)
    found = download("sms-spam", given=given, out=tmp_path / "here")
    assert found.path == tmp_path / "here/sms-spam-collection.csv"
    assert found.path.read_text() == TABLE
    assert download("sms-spam", given=given, out=tmp_path / "mine.csv").path.name == "mine.csv"


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04broken", zipped()[:-30], zipped(name="other"), COLLECTION + b"\n"])
def test_a_file_that_is_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    given = tmp_path / "given"
    given.write_bytes(content)
    with pytest.raises(DataError):
        download("sms-spam", given=given, out=tmp_path / "here")
    assert not (tmp_path / "here").exists()


def test_another_file_of_that_name_is_left_alone(tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.write_bytes(COLLECTION)
    (tmp_path / "mine.csv").write_text("my own")
    with pytest.raises(DataError, match="is there already"):
        download("sms-spam", given=given, out=tmp_path / "mine.csv")
    assert (tmp_path / "mine.csv").read_text() == "my own"


def test_a_project_of_other_columns_is_not_given_what_it_cannot_read(tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.write_bytes(COLLECTION)
    with pytest.raises(ConfigError, match="init sms-spam"):
        download("sms-spam", config=project(tmp_path, target="message"), given=given)
    with pytest.raises(NotFound, match="expected one of sms-spam"):
        download("mnist", config=project(tmp_path))
    with pytest.raises(NotFound, match="does not exist"):
        download("sms-spam", config=project(tmp_path), given=tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="no address"):
        download("sms-spam", config=project(tmp_path), url="file:///etc/passwd")
