"""The reading half of an S3 server: objects are files of a folder, sent by the kernel. `static_s3.py FOLDER` prints its port.

moto's server answers from memory in Python and would take as much of a core as the workers that are measured. This one speaks the
same protocol as far as reading needs it (ListObjectsV2, HeadObject, GetObject with a range), of one bucket, on the loopback.
"""

from __future__ import annotations

import os
import re
import sys
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

BUCKET = "tables"
OBJECT = "<Contents><Key>{key}</Key><LastModified>{changed}</LastModified><ETag>{tag}</ETag><Size>{size}</Size></Contents>"
LISTING = (
    '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>{bucket}</Name>'
    "<Prefix>{prefix}</Prefix><KeyCount>{count}</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>{objects}"
    "</ListBucketResult>"
)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    folder: Path

    def do_HEAD(self) -> None:
        self._object(body=False)

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        if unquote(address.path).strip("/") == BUCKET:
            self._listing({name: values[0] for name, values in parse_qs(address.query).items()})
        else:
            self._object(body=True)

    def log_message(self, *_: object) -> None:
        """Nothing is said of single requests."""

    def _listing(self, asked: dict[str, str]) -> None:
        """All keys below a prefix, in one page; common prefixes are not made up, since no key has a further slash."""
        prefix = asked.get("prefix", "")
        files = sorted(path for path in self.folder.rglob("*") if path.is_file())
        found = [(path.relative_to(self.folder).as_posix(), path.stat()) for path in files]
        objects = "".join(
            OBJECT.format(key=escape(key), changed="2026-01-01T00:00:00.000Z", tag=f'"{stat.st_size:x}"', size=stat.st_size)
            for key, stat in found
            if key.startswith(prefix)
        )
        content = LISTING.format(bucket=BUCKET, prefix=escape(prefix), count=objects.count("<Key>"), objects=objects).encode()
        self._begin(200, len(content), {"Content-Type": "application/xml"})
        self.wfile.write(content)

    def _object(self, *, body: bool) -> None:
        path = self.folder / unquote(urlsplit(self.path).path).removeprefix(f"/{BUCKET}/")
        if not path.is_file():
            self._begin(404, 0, {})
            return
        size = path.stat().st_size
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        first, last = (int(asked[1]), min(int(asked[2] or size), size - 1)) if asked else (0, size - 1)
        more = {"ETag": f'"{size:x}"', "Last-Modified": formatdate(0, usegmt=True), "Accept-Ranges": "bytes"}
        if asked:
            more["Content-Range"] = f"bytes {first}-{last}/{size}"
        self._begin(206 if asked else 200, last + 1 - first, more)
        if body:
            self.wfile.flush()
            with path.open("rb") as file:
                while first <= last:
                    first += os.sendfile(self.connection.fileno(), file.fileno(), first, last + 1 - first)

    def _begin(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(length), **headers}.items():
            self.send_header(name, value)
        self.end_headers()


if __name__ == "__main__":
    Handler.folder = Path(sys.argv[1]).resolve()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        print(server.server_address[1], flush=True)
        server.serve_forever()
