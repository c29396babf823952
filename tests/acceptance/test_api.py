"""Every endpoint over a real server, and every way in which it refuses."""

from __future__ import annotations

import json
import logging
import re
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.acceptance.api import INPUTS, KEYS, SECRET, Api, api, place
from tests.browser import find_browser, seen

from keepfit.errors import Conflict, DataError, NotFound, Unavailable
from keepfit.inputs import Inputs
from keepfit.live.servers import OfficeAway
from keepfit.live_ports import Labelled, Logged
from keepfit.serve_settings import Serve
from keepfit.serving.plan import Placed
from keepfit.settings import Column

ROW = {"message": "you win", "country": "in", "rate": 0.5, "length": 7}


@pytest.fixture(scope="module")
def served() -> Iterator[Api]:
    with api({"max_batch": 5, "max_body": 20_000}) as running:
        yield running


@pytest.fixture
def client(served: Api) -> Iterator[httpx.Client]:
    served.office.asked.clear()
    served.office.error = None
    with served.client() as client:
        yield client


def is_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The problem document of an answer that is one."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail", "instance"} <= told.keys()
    assert told["status"] == status
    return told


def pointers(answer: httpx.Response) -> list[str]:
    return [error["pointer"] for error in is_problem(answer, 422)["errors"]]


# -------------------------------------------------------------------------------------------------------------- answers


def test_an_answer_says_everything_that_was_promised_and_is_in_the_log(served: Api, client: httpx.Client) -> None:
    before = datetime.now(UTC)
    answer = client.post("/predict", json=ROW).json()
    assert answer["prediction"] == "spam"
    assert answer["confidence"] == 0.9
    assert answer["probabilities"] == {"ham": pytest.approx(0.1), "spam": 0.9}
    assert answer["model_version"] == "1"
    assert answer["top_features"] == [{"feature": "win", "contribution": 2.0}]
    assert answer["logged"] is True
    moment = datetime.fromisoformat(answer["timestamp"])
    assert moment.utcoffset() == UTC.utcoffset(None)
    assert abs((moment - before).total_seconds()) < 30
    (row,) = [row for row in served.spool.rows if row.request_id == answer["request_id"]]
    assert isinstance(row, Logged)
    assert row.inputs == {**ROW, "known": None, "sent_at": None}


def test_a_batch_is_answered_in_its_order_each_with_an_id(served: Api, client: httpx.Client) -> None:
    rows = [{"message": text, "country": "de"} for text in ("you win", "hello", "win it")]
    told = client.post("/predict/batch", json={"rows": rows}).json()["predictions"]
    assert [each["prediction"] for each in told] == ["spam", "ham", "spam"]
    ids = {each["request_id"] for each in told}
    assert len(ids) == 3
    assert ids <= {row.request_id for row in served.spool.rows}


def test_a_label_comes_back_for_an_answer(served: Api, client: httpx.Client) -> None:
    id = client.post("/predict", json=ROW).json()["request_id"]
    answer = client.post("/feedback", json={"request_id": id.upper(), "label": "ham"})
    assert answer.json()["recorded"] is True
    (label,) = [row for row in served.spool.rows if isinstance(row, Labelled) and row.request_id == id]
    assert label.label == "ham"


def test_a_label_for_an_unknown_answer_is_not_found(client: httpx.Client) -> None:
    told = is_problem(client.post("/feedback", json={"request_id": "0" * 36, "label": "ham"}), 404)
    assert "request_id" in told["detail"]


def test_a_label_that_is_no_class_names_the_field(client: httpx.Client) -> None:
    id = client.post("/predict", json=ROW).json()["request_id"]
    for wrong in ("spamm", "", 3, None, ["ham"], {}):
        assert pointers(client.post("/feedback", json={"request_id": id, "label": wrong})) == ["/label"]
    assert pointers(client.post("/feedback", json={"label": "ham"})) == ["/request_id"]


def test_the_next_version_is_asked_what_it_asks_for(served: Api, client: httpx.Client) -> None:
    settings, other = (
        Serve(max_batch=5),
        Inputs(
            task="classification",
            target="label",
            columns={"message": Column(type="text"), "new": Column(type="number", max_null_share=0)},
        ),
    )
    before = client.get("/openapi.json").json()
    try:
        place(served.desk, settings, "2", other)
        assert pointers(client.post("/predict", json=ROW)) == ["/new", "/country", "/rate", "/length"]
        assert client.post("/predict", json={"message": "hi", "new": 1}).json()["model_version"] == "2"
        row = client.get("/openapi.json").json()["components"]["schemas"]["Row"]
        assert list(row["properties"]) == ["message", "new"]
        assert client.get("/models/current").json()["model_version"] == "2"
    finally:
        place(served.desk, settings)
    assert client.get("/openapi.json").json() == before


def test_who_answers_and_who_else_is_asked(served: Api, client: httpx.Client) -> None:
    shadow = Placed(model="demo", version="9", folder="/nowhere")
    try:
        served.desk.plan = type(served.desk.plan)(champion=served.desk.plan.champion, shadows=(shadow,))
        told = client.get("/models/current").json()
    finally:
        place(served.desk, Serve(max_batch=5))
    assert (told["model"], told["model_version"], told["mode"]) == ("demo", "1", "shadow")
    assert told["shadows"] == [{"model": "demo", "version": "9", "content_hash": None}]
    assert told["classes"] == ["ham", "spam"]


# ------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"message": 7}, "/message"),
        ({"message": "x" * 201}, "/message"),
        ({"message": "  "}, "/message"),
        ({"message": None}, "/message"),
        ({"length": "7"}, "/length"),
        ({"length": True}, "/length"),
        ({"length": 7.5}, "/length"),
        ({"length": -1}, "/length"),
        ({"rate": "0.5"}, "/rate"),
        ({"rate": False}, "/rate"),
        ({"rate": 1.5}, "/rate"),
        ({"known": 1}, "/known"),
        ({"country": "xx"}, "/country"),
        ({"sent_at": "yesterday"}, "/sent_at"),
        ({"sent_at": 1700000000}, "/sent_at"),
        ({"unknown": 1}, "/unknown"),
        ({"a/b~c": 1}, "/a~1b~0c"),
    ],
)
def test_what_is_wrong_with_a_field_is_told_by_its_name(client: httpx.Client, change: dict[str, Any], field: str) -> None:
    assert pointers(client.post("/predict", json=ROW | change)) == [field]
    rows = [ROW, ROW | change]
    assert pointers(client.post("/predict/batch", json={"rows": rows})) == [f"/rows/1{field}"]


@pytest.mark.parametrize("written", ["NaN", "Infinity", "-Infinity", "1e999", "1" + "0" * 400])
def test_what_is_no_finite_number_is_refused(client: httpx.Client, written: str) -> None:
    body = '{"message": "hi", "country": "de", "rate": %s}' % written  # noqa: UP031
    assert pointers(client.post("/predict", content=body, headers={"content-type": "application/json"})) == ["/rate"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"message": "\xff"}',
        b'{"message": "\\ud800"}',
        b"\xef\xbb\xbf{}",
        b"[" * 10_000,
        b'{"message":' + b"[" * 10_000,
        b"{} {}",
    ],
    ids=["empty", "cut", "no UTF-8", "half a surrogate", "byte order mark", "deep", "deep within", "two"],
)
@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/feedback", "/invocations", "/models/rollback"])
def test_what_is_no_json_is_refused(client: httpx.Client, path: str, body: bytes) -> None:
    is_problem(client.post(path, content=body, headers={"content-type": "application/json"}), 400)


def test_a_batch_has_a_limit(client: httpx.Client) -> None:
    assert client.post("/predict/batch", json={"rows": [ROW] * 5}).status_code == 200
    assert pointers(client.post("/predict/batch", json={"rows": [ROW] * 6})) == ["/rows"]
    assert pointers(client.post("/predict/batch", json={"rows": []})) == ["/rows"]
    assert pointers(client.post("/predict/batch", json={})) == ["/rows"]


def test_a_body_has_a_limit_however_it_is_sent(client: httpx.Client) -> None:
    large = json.dumps({"message": "x" * 30_000}).encode()
    kind = {"content-type": "application/json"}
    is_problem(client.post("/predict", content=large, headers=kind), 413)
    pieces = (large[i : i + 1000] for i in range(0, len(large), 1000))
    is_problem(client.post("/predict", content=pieces, headers=kind), 413)


def test_a_body_must_be_declared_as_json(client: httpx.Client) -> None:
    body = json.dumps(ROW).encode()
    for wrong in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/json; charset=latin-1"):
        is_problem(client.post("/predict", content=body, headers={"content-type": wrong}), 415)
    is_problem(client.post("/predict", content=body), 415)
    is_problem(client.post("/predict", json=ROW, headers={"content-encoding": "gzip"}), 415)
    for right in ("application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8"):
        assert client.post("/predict", content=body, headers={"content-type": right}).status_code == 200


def test_unknown_addresses_and_methods_are_problems_too(client: httpx.Client) -> None:
    is_problem(client.get("/nothing"), 404)
    is_problem(client.get("/predict/"), 404)
    answer = client.get("/predict")
    is_problem(answer, 405)
    assert answer.headers["allow"] == "POST"
    assert set(client.delete("/models/routing").headers["allow"].split(", ")) == {"GET", "HEAD", "PUT"}
    assert client.head("/health").status_code == 200


def test_a_failure_that_nobody_foresaw_tells_nothing_but_an_id(
    client: httpx.Client, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = client.post("/predict", json=ROW | {"message": f"crash {SECRET}"})
    told = is_problem(answer, 500)
    assert "RuntimeError" not in answer.text
    assert SECRET not in answer.text
    line = capfd.readouterr().err
    assert line.startswith(f"action=failed error={told['instance'].removeprefix('urn:uuid:')} kind=RuntimeError")
    assert SECRET not in line + caplog.text


def test_no_text_of_a_request_reaches_the_log(
    client: httpx.Client, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        client.post("/predict", json=ROW | {"message": SECRET})
        client.post("/predict", json=ROW | {"country": SECRET})
        client.post("/predict", json=ROW | {"message": [SECRET]}, headers={"X-API-Key": SECRET})
        client.post("/feedback", json={"request_id": SECRET, "label": SECRET})
        client.post("/invocations", json={"instances": [{"message": SECRET, "country": SECRET}]})
        client.get(f"/{SECRET}")
    assert SECRET not in caplog.text + "".join(capfd.readouterr())


# ------------------------------------------------------------------------------------------------------------ the office


@pytest.mark.parametrize(
    ("method", "path", "body", "asked"),
    [
        ("GET", "/models/comparison", None, ("comparison", {})),
        ("GET", "/models/routing", None, ("routing", {})),
        ("GET", "/metrics/performance", None, ("performance", {"window": None})),
        ("GET", "/metrics/performance?window=90m", None, ("performance", {"window": "90m"})),
        ("GET", "/metrics/drift", None, ("drift", {})),
        ("GET", "/drift/calculate?window=1d", None, ("calculate_drift", {"rows": None, "window": "1d"})),
        ("POST", "/drift/calculate", None, ("calculate_drift", {"rows": None, "window": None})),
        ("GET", "/retraining/history", None, ("history", {"limit": 20})),
        ("GET", "/retraining/history?limit=3", None, ("history", {"limit": 3})),
        (
            "POST",
            "/models/rollback",
            {"reason": "complaints"},
            ("rollback", {"reason": "complaints", "actor": "anonymous", "address": "127.0.0.1"}),
        ),
        (
            "PUT",
            "/models/routing",
            {"mode": "split", "challenger": "7", "share": 0.1, "sticky": "country"},
            (
                "set_routing",
                {
                    "mode": "split",
                    "challenger": "7",
                    "share": 0.1,
                    "sticky": "country",
                    "actor": "anonymous",
                    "address": "127.0.0.1",
                },
            ),
        ),
    ],
)
def test_what_takes_time_is_asked_of_the_office(
    served: Api, client: httpx.Client, method: str, path: str, body: Any, asked: tuple[str, dict[str, Any]]
) -> None:
    answer = client.request(method, path, json=body)
    assert answer.status_code == 200, answer.text
    assert served.office.asked == [asked]


def test_the_drift_of_given_rows_is_asked_with_plain_values(served: Api, client: httpx.Client) -> None:
    answer = client.post("/drift/calculate", json={"rows": [ROW | {"sent_at": "2026-03-01T12:00:00+02:00"}]}).json()
    ((_, arguments),) = served.office.asked
    assert answer["new_spam_patterns"] == answer["new_patterns"]["spam"]
    assert answer["new_spam_patterns"][0]["term"] == "crypto"
    assert {"vocabulary_drift", "tfidf_drift", "drift_detected", "threshold", "recommendation"} <= answer.keys()
    assert arguments["rows"] == [ROW | {"sent_at": "2026-03-01T10:00:00", "known": None}]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFound("no version before"), 404),
        (DataError("nothing to measure"), 422),
        (Conflict("somebody was faster"), 409),
        (Unavailable("postgres://host is away"), 503),
        (OfficeAway(), 503),
        (ValueError("secret"), 500),
    ],
)
def test_what_the_office_could_not_do_is_told(served: Api, client: httpx.Client, error: Exception, status: int) -> None:
    served.office.error = error
    answer = client.get("/models/comparison")
    told = is_problem(answer, status)
    assert ("retry-after" in answer.headers) == (status == 503)
    assert (told["detail"] == str(error)) == (status != 500)


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/retraining/history?limit=0", "limit"),
        ("/retraining/history?limit=1001", "limit"),
        ("/retraining/history?limit=x", "limit"),
        ("/retraining/history?limit=1&limit=2", "limit"),
        ("/metrics/performance?window=soon", "window"),
        ("/metrics/performance?window=0s", "window"),
        ("/drift/calculate?window=", "window"),
    ],
)
def test_a_wrong_parameter_is_named(client: httpx.Client, path: str, field: str) -> None:
    (error,) = is_problem(client.get(path), 422)["errors"]
    assert error["parameter"] == field


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"mode": "all"}, "/mode"),
        ({"mode": "split", "share": 1.5}, "/share"),
        ({"mode": "split", "share": "0.5"}, "/share"),
        ({"mode": "split", "sticky": "nobody"}, "/sticky"),
        ({"mode": "split", "more": 1}, "/more"),
    ],
)
def test_a_wrong_routing_is_named(served: Api, client: httpx.Client, body: dict[str, Any], field: str) -> None:
    assert pointers(client.put("/models/routing", json=body)) == [field]
    assert not served.office.asked


def test_a_rollback_needs_a_reason(client: httpx.Client) -> None:
    assert pointers(client.post("/models/rollback", json={"reason": " "})) == ["/reason"]
    assert pointers(client.post("/models/rollback", json={})) == ["/reason"]


# ------------------------------------------------------------------------------------------------------------- standing


def test_a_server_without_a_champion_is_alive_and_not_ready() -> None:
    with api(champion=False) as running, running.client() as client:
        assert client.get("/health").json() == {"status": "alive"}
        assert "no champion" in is_problem(client.get("/ready"), 503)["detail"]
        for answer in (client.get("/ping"), client.post("/predict", json=ROW), client.get("/models/current")):
            is_problem(answer, 503)
            assert int(answer.headers["retry-after"]) > 0
        assert client.get("/openapi.json").json()["components"]["schemas"]["Row"]["type"] == "object"
        place(running.desk, Serve())
        assert client.get("/ready").json() == {"status": "ready", "model_version": "1", "problems": {}}
        assert client.get("/ping").status_code == 200


def test_a_full_disk_is_told_and_answers_stop_or_go_on_unlogged() -> None:
    with api() as running, running.client() as client:
        running.spool.full = True
        is_problem(client.post("/predict", json=ROW), 503)
        assert "log" in is_problem(client.get("/ready"), 503)["problems"]
    with api({"log": {"on_full": "continue"}}) as running, running.client() as client:
        running.spool.full = True
        assert client.post("/predict", json=ROW).json()["logged"] is False
        assert "log" in client.get("/ready").json()["problems"]
        assert "keepfit_unlogged_answers_total 1.0" in client.get("/metrics").text


def test_figures_for_prometheus(client: httpx.Client) -> None:
    client.post("/predict", json=ROW)
    client.post("/predict/batch", json={"rows": [ROW, ROW]})
    client.get("/no/such/address")
    lines = client.get("/metrics").text.splitlines()
    told = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}
    assert told['keepfit_requests_total{path="/predict",status="200"}'] >= 1
    assert told['keepfit_requests_total{path="other",status="404"}'] >= 1
    assert told['keepfit_request_seconds_count{path="/predict"}'] >= 1
    assert told['keepfit_answers_total{answer="spam",route="champion",version="1"}'] >= 3
    assert told["keepfit_batch_rows_count"] >= 1
    assert told['keepfit_model_info{model="demo",role="champion",version="1"}'] == 1
    assert told["keepfit_ready"] == 1
    assert told["keepfit_unlogged_answers_total"] == 0
    assert not any("/no/such" in line for line in lines)


def test_the_page_for_people_asks_nobody_but_this_server(client: httpx.Client) -> None:
    answer = client.get("/docs")
    assert answer.headers["content-type"].startswith("text/html")
    assert "POST /predict/batch" in answer.text
    assert "https://" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert client.get("/docs/swagger-ui-bundle.js").headers["content-type"].startswith("text/javascript")
    assert client.get("/docs/swagger-ui.css").headers["content-type"].startswith("text/css")


def test_a_browser_shows_swagger_ui_with_every_endpoint(served: Api, tmp_path: Path) -> None:
    page = seen(find_browser(), f"{served.url}/docs", tmp_path / "profile").stdout
    with served.client() as client:
        paths = client.get("/openapi.json").json()["paths"]
    shown = set(re.findall(r'class="opblock-summary-path" data-path="([^"]+)"', page))
    assert shown == set(paths)


def test_the_description_is_of_the_model_with_its_example(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    row = document["components"]["schemas"]["Row"]
    assert row["examples"] == [INPUTS.example]
    assert row["required"] == ["message"]
    assert row["properties"]["country"]["enum"] == ["de", "fr", "in", None]
    assert row["additionalProperties"] is False
    assert set(document["paths"]) == {
        *("/predict", "/predict/batch", "/feedback", "/drift/calculate", "/health", "/ready", "/models/current"),
        *("/models/comparison", "/models/rollback", "/models/routing", "/metrics/performance", "/metrics/drift"),
        *("/retraining/history", "/metrics", "/invocations", "/ping", "/version", "/docs", "/openapi.json"),
    }


# ------------------------------------------------------------------------------------------------------------- security


@pytest.fixture(scope="module")
def guarded() -> Iterator[Api]:
    with api({"authentication": "required"}, keys=KEYS) as running:
        yield running


OPENS = {  # who may; everybody may ask /health, /ready and /ping
    ("POST", "/predict"): {"asker", "boss"},
    ("POST", "/predict/batch"): {"asker", "boss"},
    ("POST", "/invocations"): {"asker", "boss"},
    ("GET", "/models/current"): {"asker", "boss"},
    ("GET", "/models/comparison"): {"asker", "boss"},
    ("GET", "/models/routing"): {"asker", "boss"},
    ("GET", "/metrics"): {"asker", "boss"},
    ("GET", "/metrics/performance"): {"asker", "boss"},
    ("GET", "/retraining/history"): {"asker", "boss"},
    ("GET", "/version"): {"asker", "boss"},
    ("GET", "/openapi.json"): {"asker", "boss"},
    ("GET", "/docs"): {"asker", "boss"},
    ("POST", "/feedback"): {"teller", "boss"},
    ("GET", "/metrics/drift"): {"boss"},
    ("GET", "/drift/calculate"): {"boss"},
    ("POST", "/drift/calculate"): {"boss"},
    ("PUT", "/models/routing"): {"boss"},
    ("POST", "/models/rollback"): {"boss"},
    ("GET", "/health"): {"asker", "teller", "boss", ""},
    ("GET", "/ready"): {"asker", "teller", "boss", ""},
    ("GET", "/ping"): {"asker", "teller", "boss", ""},
}


def test_every_endpoint_opens_to_its_keys_and_to_no_other(guarded: Api) -> None:
    with guarded.client() as client:
        document = client.get("/openapi.json", headers={"X-API-Key": "the key of boss"}).json()
        there = {(method.upper(), path) for path, operations in document["paths"].items() for method in operations}
        assert there == set(OPENS)
        for (method, path), may in OPENS.items():
            for who in ("asker", "teller", "boss", ""):
                status = client.request(method, path, headers={"X-API-Key": f"the key of {who}"} if who else {}).status_code
                assert (status not in (401, 403)) == (who in may), (method, path, who, status)
                assert who or who in may or status == 401


def test_a_key_may_come_as_a_bearer(guarded: Api) -> None:
    with guarded.client() as client:
        assert client.post("/predict", json=ROW, headers={"Authorization": "Bearer the key of asker"}).status_code == 200
        for wrong in ("Bearer", "Basic dGhlIGtleSBvZiBhc2tlcg==", "Bearer the key of nobody", "the key of asker"):
            answer = client.post("/predict", json=ROW, headers={"Authorization": wrong})
            is_problem(answer, 401)
            assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_revoked_key_opens_nothing_from_then_on(guarded: Api) -> None:
    with guarded.client(headers={"X-API-Key": "the key of asker"}) as client:
        assert client.post("/predict", json=ROW).status_code == 200
        place(guarded.desk, Serve(), keys=KEYS[1:])
        try:
            is_problem(client.post("/predict", json=ROW), 401)
        finally:
            place(guarded.desk, Serve(), keys=KEYS)


def test_an_admin_act_is_done_in_the_name_of_its_key(guarded: Api) -> None:
    with guarded.client(headers={"X-API-Key": "the key of boss"}) as client:
        client.post("/models/rollback", json={"reason": "complaints"})
    assert guarded.office.asked[-1] == ("rollback", {"reason": "complaints", "actor": "boss", "address": "127.0.0.1"})


def test_strangers_are_told_what_is_wrong_and_not_where_things_are(guarded: Api) -> None:
    guarded.desk.problems["log"] = "/secret/spool cannot be written"
    place(guarded.desk, Serve(), keys=KEYS, notes={"registry": "MLflow at http://secret-host is away"})
    try:
        with guarded.client() as client:
            for key in ({}, {"X-API-Key": "the key of asker"}, {"X-API-Key": "the key of nobody"}):
                told = client.get("/ready", headers=key)
                assert set(is_problem(told, 503)["problems"]) == {"log", "registry"}
                assert "secret" not in told.text
            told = client.get("/ready", headers={"X-API-Key": "the key of boss"})
            assert {"secret-host", "/secret/spool"} <= set(re.findall(r"secret-host|/secret/spool", told.text))
            guarded.desk.problems.clear()
            assert "secret" not in client.get("/ready").text
    finally:
        guarded.desk.problems.clear()
        place(guarded.desk, Serve(), keys=KEYS)


def test_only_an_admin_reads_where_things_are(guarded: Api) -> None:
    guarded.office.error = Unavailable("postgres://secret-host is away")
    try:
        with guarded.client() as client:
            told = {who: client.get("/models/comparison", headers={"X-API-Key": f"the key of {who}"}) for who in ("asker", "boss")}
    finally:
        guarded.office.error = None
    assert "secret-host" not in told["asker"].text
    assert "secret-host" in told["boss"].text


def test_health_can_be_closed() -> None:
    with api({"authentication": "required", "public_health": False}, keys=KEYS) as running, running.client() as client:
        is_problem(client.get("/health"), 401)
        assert client.get("/health", headers={"X-API-Key": "the key of teller"}).status_code == 200


def test_a_page_that_has_its_own_name_lead_here_is_refused(client: httpx.Client) -> None:
    for host in ("evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example", ""):
        assert client.get("/health", headers={"host": host}).status_code == 421, host
    for host in ("localhost", "LOCALHOST:1", "127.0.0.1:99", "[::1]:8000", "localhost."):
        assert client.get("/health", headers={"host": host}).status_code == 200, host
    with api({"allowed_hosts": ["api.example.org"]}) as running, running.client() as named:
        is_problem(named.get("/health"), 421)
        assert named.get("/health", headers={"host": "api.example.org:443"}).status_code == 200


def test_a_foreign_page_can_neither_read_nor_post(client: httpx.Client) -> None:
    for origin in ("https://evil.example", "null"):
        is_problem(client.post("/drift/calculate", headers={"origin": origin}), 403)
        assert "access-control-allow-origin" not in client.get("/health", headers={"origin": origin}).headers
    own = f"http://{client.base_url.host}:{client.base_url.port}"
    assert client.post("/predict", json=ROW, headers={"origin": own}).status_code == 200


def test_a_page_that_was_named_may_ask() -> None:
    with api({"cors_origins": ["https://shop.example"]}) as running, running.client() as client:
        asking = {"origin": "https://shop.example", "access-control-request-method": "POST"}
        allowed = client.options("/predict", headers=asking | {"access-control-request-headers": "content-type,x-api-key"})
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == "https://shop.example"
        assert client.post("/predict", json=ROW, headers={"origin": "https://shop.example"}).status_code == 200
        assert client.options("/predict", headers=asking | {"origin": "https://evil.example"}).status_code == 400
        is_problem(client.post("/predict", json=ROW, headers={"origin": "https://evil.example"}), 403)


def test_a_caller_may_not_ask_too_often() -> None:
    settings = {"authentication": "required", "rate": 0.1}  # one at once, the next in ten seconds
    with api(settings, keys=KEYS) as running, running.client() as client:
        asker, boss = {"X-API-Key": "the key of asker"}, {"X-API-Key": "the key of boss"}
        assert client.post("/predict", json=ROW, headers=asker).status_code == 200
        refused = client.post("/predict", json=ROW, headers=asker)
        is_problem(refused, 429)
        assert 5 <= int(refused.headers["retry-after"]) <= 10
        assert client.post("/predict", json=ROW, headers=boss).status_code == 200
        is_problem(client.post("/predict", json=ROW), 401)
        is_problem(client.post("/predict", json=ROW, headers={"X-API-Key": "guess"}), 429)  # guesses are counted by address
        assert client.get("/health").status_code == 200


# ------------------------------------------------------------------------------------------------ MLflow's scoring protocol


FORMS: dict[str, Any] = {
    "dataframe_split": {"columns": ["message", "country", "extra"], "index": [0, 1], "data": [["win", "de", 1], ["hi", "fr", 2]]},
    "dataframe_records": [{"message": "win", "country": "de"}, {"message": "hi", "country": "fr", "extra": 1}],
    "instances": [{"message": "win", "country": "de"}, {"message": "hi", "country": "fr"}],
    "inputs": {"message": ["win", "hi"], "country": ["de", "fr"]},
}


@pytest.mark.parametrize("form", FORMS)
def test_mlflows_forms_are_read_and_logged(served: Api, client: httpx.Client, form: str) -> None:
    before = len(served.spool.rows)
    answer = client.post("/invocations", json={form: FORMS[form]})
    assert answer.json() == {"predictions": ["spam", "ham"]}
    assert [row.inputs["message"] for row in served.spool.rows[before:]] == ["win", "hi"]


def test_csv_is_read_as_training_files_are(served: Api, client: httpx.Client) -> None:
    text = "message,country,length,rate,known,sent_at,extra\nyou win,de,3.0,,yes,2026-01-01 10:00:00,x\nhello,fr,,0.5,,,y\n"
    answer = client.post("/invocations", content=text, headers={"content-type": "text/csv"})
    assert answer.json() == {"predictions": ["spam", "ham"]}
    assert served.spool.rows[-2].inputs == {
        "message": "you win",
        "country": "de",
        "length": 3,
        "rate": None,
        "known": True,
        "sent_at": datetime(2026, 1, 1, 10),  # noqa: DTZ001 - as the contract's columns hold it
    }


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ([], 422),
        ({"inputs": [], "instances": []}, 422),
        ({"other": []}, 422),
        ({"instances": [1]}, 422),
        ({"instances": []}, 422),
        ({"instances": [{"message": "hi"}] * 6}, 422),
        ({"inputs": {"message": ["a", "b"], "country": ["de"]}}, 422),
        ({"dataframe_split": {"columns": ["message"], "data": [["a", "b"]]}}, 422),
        ({"dataframe_split": {"columns": ["message", "message"], "data": [["a", "b"]]}}, 422),
        ({"dataframe_split": []}, 422),
        ({"dataframe_records": {"message": "hi"}}, 422),
        ({"instances": [{"message": "hi"}], "params": {"x": 1}}, 422),
    ],
)
def test_what_is_not_mlflows_protocol_is_refused(client: httpx.Client, body: Any, status: int) -> None:
    is_problem(client.post("/invocations", json=body), status)


@pytest.mark.parametrize("text", ["", 'message\n"hi', "message\nhi,too,many\n", "message\n" + "hi\n" * 6, "x\n1\n"])
def test_what_is_no_such_csv_is_refused(client: httpx.Client, text: str) -> None:
    answer = client.post("/invocations", content=text.encode(), headers={"content-type": "text/csv"})
    assert answer.status_code in (400, 422)
    is_problem(answer, answer.status_code)
    is_problem(client.post("/invocations", content=b"message\n\xff\xfe\n", headers={"content-type": "text/csv"}), 400)


@pytest.mark.slow
def test_mlflows_own_client_is_answered(served: Api) -> None:
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # importing it warns of its own type hints
        from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    client = ScoringServerClient("127.0.0.1", served.port)
    client.wait_server_ready(timeout=10)
    frame = pd.DataFrame({"message": ["you win", "hi"], "country": ["de", "in"], "length": [3.0, float("nan")]})
    answer = client.invoke(frame)
    assert answer.get_predictions()[0].tolist() == ["spam", "ham"]
    assert client.get_version().startswith("3.")
    with pytest.raises(Exception, match="expected one of"):
        client.invoke(frame.assign(country="xx"))
