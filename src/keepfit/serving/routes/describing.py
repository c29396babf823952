"""The API described: for programs, and for people.

The page for people is Swagger UI, whose files come with the library `fastapi_swagger`: the browser asks nobody but this server. The
list of endpoints that stands in the page remains where no script may run.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

from keepfit.serving.admission import PREDICT, PUBLIC
from keepfit.serving.calls import Call, Reply
from keepfit.serving.description import Description
from keepfit.serving.endpoints import Endpoint

TAG = "Description"
SCRIPT, STYLE = "swagger-ui-bundle.js", "swagger-ui.css"
KINDS = {SCRIPT: b"text/javascript; charset=utf-8", STYLE: b"text/css; charset=utf-8"}


def describing(description: Description) -> list[Endpoint]:
    """GET /openapi.json, /docs."""

    async def openapi(_: Call) -> Reply:
        """This description, of the model that answers now."""
        return Reply(description.text())

    async def docs(_: Call) -> Reply:
        """This description for people, to try it out (Swagger UI)."""
        return Reply(page(description.document()).encode(), media_type=b"text/html; charset=utf-8", headers=_HEADERS)

    def asset(name: str) -> Endpoint:
        async def file(_: Call) -> Reply:
            """A file of Swagger UI."""
            return Reply(_asset(name), media_type=KINDS[name], headers=_KEPT)

        return Endpoint("GET", f"/docs/{name}", file, PUBLIC, answer=None, tag=TAG, media_type="text/plain", hidden=True)

    return [
        Endpoint("GET", "/openapi.json", openapi, PREDICT, answer=dict[str, Any], tag=TAG),
        Endpoint("GET", "/docs", docs, PREDICT, answer=None, tag=TAG, media_type="text/html"),
        asset(SCRIPT),
        asset(STYLE),
    ]


def page(document: dict[str, Any]) -> str:
    """The list of endpoints, and Swagger UI in its place where scripts run."""
    rows = [
        f"<tr><td><code>{method.upper()} {escape(path)}</code></td><td>{escape(operation['summary'])}</td></tr>"
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    title = escape(document["info"]["title"])
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<link rel="stylesheet" href="docs/{STYLE}"></head>'
        f'<body><div id="docs"><h1>{title}</h1><table>{"".join(rows)}</table>'
        '<p><a href="openapi.json">openapi.json</a></p></div>'
        f'<script src="docs/{SCRIPT}"></script>'
        f"<script>{_START}</script></body></html>"
    )


_START = 'if (window.SwaggerUIBundle) SwaggerUIBundle({url: "openapi.json", dom_id: "#docs", validatorUrl: null});'
_START_HASH = base64.b64encode(hashlib.sha256(_START.encode()).digest()).decode()
_POLICY = (
    "default-src 'none'; connect-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; "
    f"style-src 'self' 'unsafe-inline'; script-src 'self' 'sha256-{_START_HASH}'"
)
_HEADERS = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
_KEPT = {"Cache-Control": "public, max-age=86400", "X-Content-Type-Options": "nosniff"}


@cache
def _asset(name: str) -> bytes:
    return (files("fastapi_swagger") / "resources" / name).read_bytes()
