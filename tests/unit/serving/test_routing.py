"""Traffic is divided by the shares that were asked for, the same for the same key, and anew for a new experiment."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepfit.request_ids import RequestIds
from keepfit.serving.plan import Plan
from keepfit.serving.routing import choose

KEYS = st.text(min_size=1, max_size=50)
SHARES = st.floats(0, 1)
IDS = RequestIds("demo")


def challengers(plan: Plan, keys: list[str | None], ids: list[str]) -> list[bool]:
    return [choose(plan, key, id) == "challenger" for key, id in zip(keys, ids, strict=True)]


@given(KEYS, SHARES, st.text(max_size=20), st.integers(), st.integers())
def test_the_same_key_always_meets_the_same_model(key: str, share: float, salt: str, first: int, second: int) -> None:
    plan = Plan(share=share, salt=salt)
    assert choose(plan, key, str(first)) == choose(plan, key, str(second))


@given(KEYS, st.text(max_size=20), SHARES, SHARES)
def test_a_larger_share_keeps_whom_a_smaller_one_had(key: str, salt: str, one: float, other: float) -> None:
    small, large = sorted((one, other))
    if choose(Plan(share=small, salt=salt), key, "") == "challenger":
        assert choose(Plan(share=large, salt=salt), key, "") == "challenger"


@given(KEYS, st.text(max_size=20))
def test_a_share_of_nothing_is_nothing_and_of_all_is_all(key: str, salt: str) -> None:
    assert choose(Plan(share=0.0, salt=salt), key, "") == "champion"
    assert choose(Plan(share=1.0, salt=salt), key, "") == "challenger"


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.8])
@pytest.mark.parametrize("kind", ["ids", "numbers", "names"])
def test_the_share_is_what_was_asked_for(share: float, kind: str) -> None:
    keys: dict[str, list[str | None]] = {
        "ids": [None] * 20_000,
        "numbers": [str(number) for number in range(20_000)],
        "names": [f"customer-{number:09d}@example.org" for number in range(20_000)],
    }
    ids = [IDS.new(1_800_000_000 + number) for number in range(20_000)]
    found = sum(challengers(Plan(share=share, salt="2 spring"), keys[kind], ids)) / 20_000
    assert abs(found - share) < 4.5 * math.sqrt(share * (1 - share) / 20_000)


def test_two_experiments_divide_the_same_people_independently() -> None:
    """A checksum would fail here: two of its salts divide alike."""
    people: list[str | None] = [f"customer-{number:06d}" for number in range(20_000)]
    ids = [""] * len(people)
    first, second = (challengers(Plan(share=0.5, salt=salt), people, ids) for salt in ("2 spring", "3 summer"))
    both = sum(one and other for one, other in zip(first, second, strict=True)) / len(people)
    assert abs(both - 0.25) < 0.015


def test_without_a_key_each_request_is_divided_for_itself() -> None:
    said = {choose(Plan(share=0.5), None, IDS.new()) for _ in range(100)}
    assert said == {"champion", "challenger"}


def test_a_key_that_is_no_proper_text_is_a_key_too() -> None:
    assert choose(Plan(share=1.0), "\ud800", "") == "challenger"


def test_it_takes_about_a_microsecond() -> None:
    plan, id = Plan(share=0.2, salt="2"), IDS.new()
    began = time.process_time()
    for _ in range(100_000):
        choose(plan, None, id)
    assert time.process_time() - began < 1  # ten times what it takes
