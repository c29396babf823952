"""The OpenAPI document says what is answered, once."""

from __future__ import annotations

from typing import Any

import pytest

from keepfit.serve_settings import Serve
from keepfit.serving.app import build_app
from keepfit.serving.desk import Desk


@pytest.fixture(scope="module")
def operations() -> dict[tuple[str, str], Any]:
    nothing: Any = None  # neither a log nor an office is asked for a description
    settings = Serve()
    document = build_app(Desk("demo", nothing, settings), nothing, settings, "demo").openapi()
    return {(method, path): told for path, each in document["paths"].items() for method, told in each.items()}


def test_every_answer_has_one_media_type_and_a_schema(operations: dict[tuple[str, str], Any]) -> None:
    texts = {"/metrics": "text/plain", "/ping": "text/plain", "/version": "text/plain", "/docs": "text/html"}
    for (_, path), told in operations.items():
        ((kind, content),) = told["responses"]["200"]["content"].items()
        assert kind == texts.get(path, "application/json")
        assert content["schema"]
        assert (content["schema"] == {"type": "string"}) == (path in texts)


def test_nothing_is_said_twice(operations: dict[tuple[str, str], Any]) -> None:
    for told in operations.values():
        assert told["summary"]
        assert not told.get("description", "").startswith(told["summary"])
    assert "description" not in operations["get", "/metrics"]
    assert operations["post", "/predict"]["description"].startswith("The answer is in the log")
