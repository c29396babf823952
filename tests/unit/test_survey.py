from __future__ import annotations

import random
from datetime import time
from decimal import Decimal

import polars as pl
import pytest

from keepfit.contract import Inferred, conform, survey

ROWS = 400
chance = random.Random(1)  # noqa: S311 - made-up cells
SHUFFLED = chance.sample(range(10_000), ROWS)


def surveyed(cells, name: str = "column") -> Inferred:
    return survey(pl.DataFrame({name: [str(cell) for cell in cells]}))[name]


@pytest.mark.parametrize(
    ("role", "name", "cells"),
    [
        ("constant", "a", ["x"] * ROWS),
        ("empty", "a", [""] * ROWS),
        ("empty", "a", ["x", "y", *[""] * 300]),
        ("counter", "row", range(ROWS)),
        ("counter", "row", range(ROWS, 0, -1)),
        ("counter", "seconds", [i * 1.5 + i % 2 for i in range(ROWS)]),
        ("counter", "row", [*range(500, 1000), *range(100, 500)]),
        ("identifier", "customerID", [f"{number:04}-X" for number in SHUFFLED]),
        ("identifier", "customer_id", SHUFFLED),
        ("member", "customer_id", [number % 100 for number in SHUFFLED]),
        ("member", "tweet_id", [5.7e17 + 1e13 * (number % 300) for number in SHUFFLED]),
        ("many", "town", [f"town {number % 150}" for number in SHUFFLED]),
        ("many", "price", [f"{number / 10:.1f}".replace(".", ",") for number in SHUFFLED]),
        ("many", "price", ["?", *SHUFFLED[1:]]),
        ("time", "day", ["1/31/11", *["2/1/11"] * ROWS]),
        ("doubtful_date", "day", [f"{1 + number % 12}/{1 + number % 11}/2024" for number in SHUFFLED]),
        ("reserved", "__truth", SHUFFLED),
    ],
)
def test_what_is_no_feature_is_known_and_said(role, name, cells) -> None:
    found = surveyed(cells, name)
    assert found.role == role
    assert found.why
    assert not found.column.feature


@pytest.mark.parametrize(
    ("type", "name", "cells"),
    [
        ("integer", "population", SHUFFLED),
        ("number", "width", [number / 7 for number in SHUFFLED]),
        ("category", "zip", ["00501", *(f"{10000 + number % 20}" for number in SHUFFLED)]),
        ("category", "paid", [("yes", "no")[number % 2] for number in SHUFFLED]),
        ("boolean", "on", [("True", "false")[number % 2] for number in SHUFFLED]),
        ("integer", "paid", [number % 60 for number in SHUFFLED]),
        ("text", "review", [f"it was number {number} that we liked best of all" for number in SHUFFLED]),
    ],
)
def test_ordinary_columns_are_features_of_the_narrowest_type(type, name, cells) -> None:
    found = surveyed(cells, name)
    assert (found.column.type, found.role, found.column.feature) == (type, "", True)


def test_a_few_rows_say_nothing_about_identifiers_and_counters() -> None:
    assert surveyed(range(10)).role == ""
    assert surveyed("abcdefghij").role == ""


def test_long_strings_without_words_are_no_text() -> None:
    found = surveyed([f"{number:064x}" for number in SHUFFLED[:-1]] + [f"{SHUFFLED[0]:064x}"])
    assert found.column.type == "category"


def test_counts_may_not_become_negative_but_temperatures_may() -> None:
    assert surveyed([min(number % 40, number % 7) for number in SHUFFLED]).column.minimum == 0
    temperatures = [round(chance.gauss(12, 4)) for _ in range(5000)]
    shifted = [cell - min(temperatures) for cell in temperatures]
    assert surveyed(shifted).column.minimum is None


@pytest.mark.parametrize("empty", [0, 40, 200])
def test_tomorrow_may_have_half_as_many_empty_cells_again(empty) -> None:
    column = surveyed(["", *SHUFFLED][:1] * empty + SHUFFLED[empty:]).column
    assert column.max_null_share > 1.5 * empty / ROWS
    assert column.max_null_share < 1.5 * empty / ROWS + 0.06


def test_the_target_is_never_a_feature_nor_judged_as_one() -> None:
    found = survey(pl.DataFrame({"y": [str(each) for each in range(ROWS)]}), "y")["y"]
    assert (found.role, found.column.feature, found.column.max_null_share) == ("", False, 1.0)


def test_columns_of_typed_files_that_no_contract_can_hold_are_left_out() -> None:
    frame = pl.DataFrame(
        {"list": [[1], [2]], "time": [time(1), time(2)], "bytes": [b"a", b"b"], "money": [Decimal("1.50"), Decimal("2.25")]}
    )
    found = survey(frame)
    assert list(found) == ["money"]
    typed, findings = conform(frame, {"money": found["money"].column})
    assert findings == []
    assert typed["money"].to_list() == [1.5, 2.25]
