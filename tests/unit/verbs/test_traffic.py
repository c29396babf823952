"""Made-up days as traffic: what is asked, what comes back late or never, and how to go on after a server went away."""

from __future__ import annotations

import csv
import datetime
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from keepfit.config import Config
from keepfit.errors import ConfigError, KeepfitError, Unavailable
from keepfit.verbs.api_client import ApiClient, Refused
from keepfit.verbs.traffic import Pace, send

FAST = 5000.0


class Api:
    """A real server that answers as keepfit does, and can be told to fail."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.labels: list[dict[str, Any]] = []
        self.keys: set[str | None] = set()
        self.connections = 0
        self.failing: dict[int, tuple[int, dict[str, str]]] = {}  # number of the request -> status and headers
        self.breaking: set[int] = set()  # numbers of requests whose connection is closed without an answer
        self.requests = 0
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                api.connections += 1
                super().setup()

            def do_POST(self) -> None:
                api.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        self.keys.add(request.headers["X-API-Key"])
        self.requests += 1
        if self.requests in self.breaking:
            request.close_connection = True
            return
        status, headers = self.failing.get(self.requests, (200, {}))
        told: dict[str, Any] = {"detail": f"told {status}"}
        if status == 200 and request.path == "/predict":
            self.asked.append(body)
            told = {"request_id": f"id-{len(self.asked)}", "prediction": "even", "model_version": "3"}
        elif status == 200:
            assert request.path == "/feedback"
            self.labels.append(body)
        content = json.dumps(told).encode()
        request.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(content)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def api() -> Iterator[Api]:
    made = Api()
    yield made
    made.close()


class Code:
    """The project's generator: ten rows a day, of which every other is even."""

    def call(self, role: str, day: datetime.date, seed: int, **options: Any) -> pd.DataFrame:
        assert role == "simulate"
        count = options.get("count", 10)
        return pd.DataFrame(
            {
                "n": np.arange(count),
                "share": [None if i == 3 else i / 2 for i in range(count)],
                "when": pd.Timestamp(day),
                "unknown": "not in the contract",
                "parity": ["even" if i % 2 == 0 else "odd" for i in range(count)],
            }
        )


def config(folder: Path = Path()) -> Config:
    columns = {"n": {"type": "integer"}, "share": {"type": "number"}, "when": {"type": "datetime"}, "parity": {"type": "category"}}
    project = {"name": "d", "task": "classification"}
    data = {"target": "parity", "columns": columns}
    return Config.of({"project": project, "data": data, "simulate": {"function": "g:simulate"}}, folder)


def sent(api: Api, pace: Pace | None = None, days: int = 1, key: str | None = None, folder: Path = Path(), **options: Any) -> Any:
    return send(api.url, "2026-01-01", days, options, pace or Pace(rate=FAST), key, Code(), config(folder))


def test_rows_are_asked_without_the_target_and_labels_come_back_by_id(api: Api) -> None:
    traffic = sent(api, days=2, key="secret")
    assert (traffic.asked, traffic.answered, traffic.labelled) == (20, 20, 20)
    assert api.asked[3] == {"n": 3, "share": None, "when": "2026-01-01T00:00:00"}
    assert api.asked[10]["when"] == "2026-01-02T00:00:00"
    assert api.labels[:2] == [{"request_id": "id-1", "label": "even"}, {"request_id": "id-2", "label": "odd"}]
    assert (traffic.accuracy, dict(traffic.versions)) == (0.5, {"3": 20})
    assert api.keys == {"secret"}
    assert api.connections == 1


def test_a_share_of_the_labels_never_comes_back_the_same_each_time(api: Api) -> None:
    first = sent(api, Pace(rate=FAST, labels=0.5), count=200)
    came = [each["label"] for each in api.labels]
    api.labels.clear()
    assert 70 < first.labelled < 130
    assert sent(api, Pace(rate=FAST, labels=0.5), count=200).labelled == first.labelled
    assert [each["label"] for each in api.labels] == came
    assert sent(api, Pace(rate=FAST, labels=0.0)).labelled == 0


def test_no_label_comes_back_before_its_time(api: Api) -> None:
    began = time.monotonic()
    traffic = sent(api, Pace(rate=FAST, delay=0.3))
    assert traffic.labelled == 10
    assert time.monotonic() - began >= 0.3


def test_no_more_is_asked_in_a_second_than_was_allowed(api: Api) -> None:
    began = time.monotonic()
    sent(api, Pace(rate=100.0))
    assert time.monotonic() - began >= 0.19  # twenty requests, labels among them


def test_labels_may_go_to_a_file_for_later(api: Api, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    assert sent(api, Pace(rate=FAST, labels_to=path)).labelled == 10
    assert not api.labels
    with path.open(newline="") as file:
        assert list(csv.DictReader(file))[1] == {"request_id": "id-2", "label": "odd"}


def test_a_row_that_the_api_refuses_is_counted_and_the_next_is_asked(api: Api) -> None:
    api.failing[1] = (422, {})
    traffic = sent(api)
    assert (traffic.asked, traffic.answered, traffic.labelled) == (10, 9, 9)
    assert dict(traffic.refused) == {"422 told 422": 1}


def test_a_request_that_could_not_be_answered_just_now_is_asked_again(api: Api) -> None:
    api.failing = {2: (503, {"Retry-After": "0"}), 3: (429, {"Retry-After": "0"})}
    api.breaking = {5}
    assert sent(api).answered == 10
    assert len(api.asked) == 10
    assert api.connections == 2


def test_a_server_that_goes_away_is_said_with_where_to_go_on(api: Api, tmp_path: Path) -> None:
    api.failing = {number: (503, {"Retry-After": "0"}) for number in range(8, 13)}
    with pytest.raises(
        Unavailable, match=r"503 told 503.* 7 rows were asked; the same with --skip 7 goes on there. 7 labels"
    ) as caught:
        sent(api, Pace(rate=FAST, delay=60), folder=tmp_path)
    assert "keepfit feedback" in str(caught.value)
    with (tmp_path / "labels-not-sent.csv").open(newline="") as file:
        assert [row["request_id"] for row in csv.DictReader(file)] == [f"id-{number}" for number in range(1, 8)]
    rest = sent(api, Pace(rate=FAST, skip=7))
    assert rest.answered == 3
    assert [row["n"] for row in api.asked] == list(range(10))


def test_a_key_that_is_not_accepted_ends_it(api: Api) -> None:
    api.failing[1] = (401, {})
    with pytest.raises(ConfigError, match="KEEPFIT_API_KEY"):
        sent(api)
    assert not api.asked


def test_nobody_there_is_said_at_once() -> None:
    with pytest.raises(Unavailable, match="Is `keepfit serve` running there"):
        send("http://127.0.0.1:1", None, 1, {}, Pace(), None, Code(), config())


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8000", "ftp://host", "http://", "http://host:port", "http://a:b@host", "http://h?x=1"]
)
def test_an_address_that_is_none_is_said(url: str) -> None:
    with pytest.raises(ConfigError, match="address"):
        ApiClient(url)


def test_a_path_before_the_addresses_of_the_api_is_kept(api: Api) -> None:
    with ApiClient(api.url + "/") as client:
        assert client.post("/predict", {"n": 1})["model_version"] == "3"
    with ApiClient(api.url) as client:
        api.failing[2] = (404, {})
        with pytest.raises(Refused, match="404"):
            client.post("/predict", {})
    assert issubclass(Refused, KeepfitError)
