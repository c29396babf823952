from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepfit.live.keys import digest_of
from keepfit.live_records import ApiKey, Scope
from keepfit.serve_settings import Serve
from keepfit.serving.admission import ADMIN, ANY, FEEDBACK, PREDICT, PUBLIC, Admission, Buckets, host_name, needs_keys, on_loopback
from keepfit.serving.calls import Call, Room
from keepfit.serving.problems import Problem

KEY = ApiKey(name="asker", digest=digest_of("secret"), scopes=(Scope.PREDICT,), created_at=datetime.now(UTC))

EVERYWHERE = "0.0.0.0"  # noqa: S104 - nothing listens here


async def nothing() -> Any:
    raise AssertionError("the body is not read")


def call(address: str = "192.0.2.1", **headers: str) -> Call:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in ({"host": "localhost"} | headers).items()]
    scope = {"type": "http", "method": "GET", "path": "/", "headers": named, "client": (address, 1), "query_string": b""}
    return Call(scope, nothing, Room(100))


def status(admission: Admission, call: Call, needs: frozenset[Scope] = PREDICT) -> int:
    """200 where it is let in."""
    try:
        admission.admit(call, needs)
    except Problem as problem:
        return problem.status
    return 200


@pytest.mark.parametrize(
    ("settings", "needed"),
    [
        ({}, False),
        ({"host": "localhost"}, False),
        ({"host": "127.8.9.1"}, False),
        ({"host": "::1"}, False),
        ({"host": EVERYWHERE}, True),
        ({"host": "::"}, True),
        ({"host": "192.168.1.5"}, True),
        ({"host": "api.example.org"}, True),
        ({"host": EVERYWHERE, "authentication": "off"}, False),
        ({"authentication": "required"}, True),
    ],
)
def test_keys_are_needed_wherever_others_can_come(settings: dict[str, Any], needed: bool) -> None:
    assert needs_keys(Serve.model_validate(settings)) is needed


def test_no_name_that_only_begins_like_loopback_is_taken_for_it() -> None:
    assert not on_loopback("127x.example.org")
    assert not on_loopback("localhost.example.org")
    assert not on_loopback("127.example.org")


def test_a_key_opens_what_its_scopes_say() -> None:
    admission = Admission(Serve(authentication="required"), lambda: (KEY,))
    assert status(admission, call(x_api_key="secret")) == 200
    assert status(admission, call(authorization="Bearer secret")) == 200
    assert status(admission, call(authorization="bearer secret")) == 200
    assert status(admission, call(x_api_key="secret"), FEEDBACK) == 403
    assert status(admission, call(x_api_key="secret"), ADMIN) == 403
    assert status(admission, call(x_api_key="secret"), ANY) == 200
    assert status(admission, call(), PUBLIC) == 200
    for wrong in ({}, {"x_api_key": ""}, {"x_api_key": "Secret"}, {"x_api_key": KEY.digest}, {"authorization": "secret"}):
        assert status(admission, call(**wrong)) == 401
    assert status(admission, call(x_api_key="wrong", authorization="Bearer secret")) == 401  # one key, not whichever fits


def test_who_may_read_what_tells_of_the_installation() -> None:
    boss = ApiKey(name="boss", digest=digest_of("boss's"), scopes=(Scope.ADMIN,), created_at=datetime.now(UTC))
    for settings, strangers in (
        (Serve(), True),
        (Serve(authentication="required"), False),
        (Serve(host=EVERYWHERE, authentication="off"), False),
    ):
        admission = Admission(settings, lambda: (KEY, boss))
        assert admission.trusts(call()) is strangers
        assert admission.trusts(call(x_api_key="secret")) is strangers
        assert admission.trusts(call(x_api_key="boss's"))


def test_keys_are_read_anew_for_every_request() -> None:
    keys = [KEY]
    admission = Admission(Serve(authentication="required"), lambda: keys)
    assert status(admission, call(x_api_key="secret")) == 200
    keys.clear()
    assert status(admission, call(x_api_key="secret")) == 401


def test_any_name_goes_where_others_can_come_unless_names_are_set() -> None:
    assert status(Admission(Serve(host=EVERYWHERE, authentication="off"), tuple), call(host="what.ever")) == 200
    named = Admission(Serve(host=EVERYWHERE, authentication="off", allowed_hosts=("api.example.org",)), tuple)
    assert status(named, call(host="API.example.org:8443")) == 200
    assert status(named, call(host="localhost")) == 421


@given(st.text(max_size=30).map(lambda text: text.encode("utf-8")))
def test_no_host_header_breaks_it(host: bytes) -> None:
    assert isinstance(host_name(host), str)


def test_hosts_that_are_remembered_are_bounded() -> None:
    admission = Admission(Serve(), tuple)
    for port in range(10_000):
        assert status(admission, call(host=f"localhost:{port}")) == 200
    assert len(admission._known_hosts) <= 64


def test_a_burst_is_allowed_and_then_the_rate() -> None:
    buckets = Buckets(2.0)
    assert [buckets.take("a", 0.0) for _ in range(20)] == [0.0] * 20
    assert buckets.take("a", 0.0) == 1.0
    assert buckets.take("b", 0.0) == 0.0
    assert buckets.take("a", 0.5) == 0.0
    assert buckets.take("a", 0.5) > 0
    assert buckets.take("a", 1000.0) == 0.0
    assert Buckets(0.01).take("a", 0.0) == 0.0


def test_a_slow_rate_says_how_long_to_wait() -> None:
    buckets = Buckets(0.1)
    assert buckets.take("a", 0.0) == 0.0
    assert buckets.take("a", 0.0) == 10.0
    assert buckets.take("a", 9.0) == 1.0
    assert buckets.take("a", 10.0) == 0.0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 5)), max_size=60))
def test_nobody_gets_more_than_a_burst_and_the_rate(asked: list[tuple[str, float]]) -> None:
    buckets, now, allowed = Buckets(1.0), 0.0, dict.fromkeys("abc", 0)
    for caller, later in asked:
        now += later
        allowed[caller] += buckets.take(caller, now) == 0
    assert max(allowed.values()) <= 10 + now + 1e-6


def test_callers_that_are_remembered_are_bounded_and_the_last_are_kept() -> None:
    buckets = Buckets(0.1, most=100)
    for number in range(1000):
        buckets.take(f"address {number}", 0.0)
    assert len(buckets) == 100
    assert buckets.take("address 999", 0.0) > 0


def test_one_machine_with_many_addresses_is_one_caller() -> None:
    admission = Admission(Serve(host="::", authentication="off", rate=0.1), tuple)
    assert status(admission, call("2001:db8:1:2::1")) == 200
    assert status(admission, call("2001:db8:1:2::")) == 429
    assert status(admission, call("2001:db8:1:3::1")) == 200
