"""The API described: for programs, and for people.

The page for people lists the endpoints by itself. Swagger UI, to try them out, is fetched by the browser (not by the server) from
jsDelivr: 1.7 MB of other people's code that keepfit does not carry along. Only the very files whose hashes stand here are run,
and the page may talk to nobody but this server; where the browser has no way out, the list remains.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from typing import Any

from keepfit.serving.admission import PREDICT
from keepfit.serving.calls import Call, Reply
from keepfit.serving.description import Description
from keepfit.serving.endpoints import Endpoint

TAG = "Description"
SWAGGER = "https://cdn.jsdelivr.net/npm/swagger-ui-dist@5.35.0"
SCRIPT = ("swagger-ui-bundle.js", "sha384-gjRm0bEPMeTmMh5jT2cHccIwCUZSTd8YC+j0d0sXw0MdGEfScduGpSyF3ZSSLkX9")
STYLE = ("swagger-ui.css", "sha384-WlYgdmXYOOBWL5apwjDEZwN+U3HmXSSu5R6V5aGxEcf7z+KuRNwBhoxKVN1i3D5I")


def describing(description: Description) -> list[Endpoint]:
    """GET /openapi.json, /docs."""

    async def openapi(_: Call) -> Reply:
        """This description, of the model that answers now."""
        return Reply(description.text())

    async def docs(_: Call) -> Reply:
        """This description for people, to try it out (Swagger UI)."""
        return Reply(page(description.document()).encode(), media_type=b"text/html; charset=utf-8", headers=_HEADERS)

    return [
        Endpoint("GET", "/openapi.json", openapi, PREDICT, answer=dict[str, Any], tag=TAG),
        Endpoint("GET", "/docs", docs, PREDICT, answer=None, tag=TAG, media_type="text/html"),
    ]


def page(document: dict[str, Any]) -> str:
    """The list of endpoints, and Swagger UI in its place where the browser can fetch it."""
    rows = [
        f"<tr><td><code>{method.upper()} {escape(path)}</code></td><td>{escape(operation['summary'])}</td></tr>"
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    title = escape(document["info"]["title"])
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<link rel="stylesheet" href="{SWAGGER}/{STYLE[0]}" integrity="{STYLE[1]}" crossorigin="anonymous"></head>'
        f'<body><div id="docs"><h1>{title}</h1><table>{"".join(rows)}</table>'
        '<p><a href="openapi.json">openapi.json</a></p></div>'
        f'<script src="{SWAGGER}/{SCRIPT[0]}" integrity="{SCRIPT[1]}" crossorigin="anonymous"></script>'
        f"<script>{_START}</script></body></html>"
    )


_START = 'if (window.SwaggerUIBundle) SwaggerUIBundle({url: "openapi.json", dom_id: "#docs", validatorUrl: null});'
_START_HASH = base64.b64encode(hashlib.sha256(_START.encode()).digest()).decode()
_POLICY = (
    "default-src 'none'; connect-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; "
    f"style-src {SWAGGER}/ 'unsafe-inline'; script-src {SWAGGER}/ 'sha256-{_START_HASH}'"
)
_HEADERS = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
