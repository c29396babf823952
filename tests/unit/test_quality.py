"""The quality score: over 99 for sound data as it comes, near 0 for the same data ruined."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepfit.adapters.pandera_checks import PanderaChecks
from keepfit.contract import infer, read_cells, without_blank_rows
from keepfit.ports import Fault, Look
from keepfit.quality import copies, quality, unsound_rows, unusual_size
from keepfit.records import Finding
from keepfit.settings import Column, Rows

REAL = Path(os.environ.get("KEEPFIT_DATA") or Path(__file__).parents[3] / "shared" / "data")
SEED = 5


def read(name: str, **options: object) -> pl.DataFrame:
    return pl.read_csv(REAL / name, infer_schema=False, **options)  # type: ignore[arg-type] - as polars takes them


FILES: dict[str, tuple[str, Callable[[], pl.DataFrame]]] = {
    "telco": ("Churn", lambda: read("Telco-Customer-Churn.csv")),
    "sms": (
        "label",
        lambda: read("SMSSpamCollection", separator="\t", has_header=False, quote_char=None, new_columns=["label", "text"]),
    ),
    "tweets": ("airline_sentiment", lambda: read("airline_Tweets.csv", encoding="utf8-lossy")),
    "bike": ("cnt", lambda: read("bike_hour.csv")),
    "stem": ("ground_truth", lambda: read("stem/1.csv")),
}


@pytest.fixture(scope="module", params=list(FILES))
def real(request: pytest.FixtureRequest) -> tuple[str, pl.DataFrame]:
    if not REAL.is_dir():
        pytest.skip(f"the real files are not at {REAL}; say where with KEEPFIT_DATA")
    target, load = FILES[request.param]
    return target, without_blank_rows(load())


def scored(frame: pl.DataFrame, columns: dict[str, Column]) -> float:
    typed, faults = read_cells(frame, columns)
    found = PanderaChecks().check(typed, columns, Look(name="", now=datetime(2026, 1, 1, tzinfo=UTC))).faults
    return quality(typed, [*faults, *found], columns)


def shuffled(frame: pl.DataFrame) -> pl.DataFrame:
    """The same cells under other columns' names: each column moves on by one."""
    names = frame.columns
    return frame.rename(dict(zip(names, [*names[1:], names[0]], strict=True)))


def test_real_data_score_over_99_by_a_contract_from_themselves_and_from_other_rows(real) -> None:
    target, frame = real
    assert scored(frame, infer(frame, target)) > 99
    mixed = frame.sample(fraction=1, shuffle=True, seed=SEED)
    half = frame.height // 2
    assert scored(mixed.tail(frame.height - half), infer(mixed.head(half), target)) > 99


def test_the_same_data_ruined_score_next_to_nothing(real) -> None:
    target, frame = real
    columns = infer(frame, target)
    empty = frame.with_columns(pl.when(pl.int_range(pl.len()) == 0).then(pl.all()).otherwise(None))
    assert scored(shuffled(frame), columns) < 10 or frame.width == 2  # two texts may stand for each other
    assert scored(frame.drop(frame.columns[-1]), columns) == 0
    assert scored(empty, columns) < 10


def test_real_data_that_come_ten_times_over_fall_below_the_gate(real) -> None:
    target, frame = real
    columns = infer(frame, target)
    some = frame.head(300)
    assert scored(pl.concat([some] * 10), columns) < 90


@given(st.integers(1, 200), st.floats(0, 1), st.randoms(use_true_random=False))
def test_the_score_is_the_share_of_sound_rows(rows: int, share: float, chance: random.Random) -> None:
    masks = [pl.Series([chance.random() < share for _ in range(rows)], dtype=pl.Boolean) for _ in range(3)]
    finding = Finding(check="type", column="x", expected="", found="", rows=0)
    faults = [Fault(finding=finding, cells=mask) for mask in masks]
    frame = pl.DataFrame({"x": pl.Series(range(rows), dtype=pl.Float64)})
    bad = sum(any(cells) for cells in zip(*masks, strict=True))
    assert unsound_rows(rows, faults).sum() == bad
    assert quality(frame, faults, {"x": Column(type="number")}) == pytest.approx(100 * (1 - bad / rows))
    assert quality(frame, [Fault(finding=finding)], {"x": Column(type="number")}) == 100


def test_copies_count_beyond_one_half_and_not_where_values_repeat_of_themselves() -> None:
    frame = pl.DataFrame({"x": [1.0] * 80 + [float(n) for n in range(2, 22)], "c": ["a"] * 100})
    number, few = (
        {"x": Column(type="number"), "c": Column(type="category")},
        {"x": Column(type="integer"), "c": Column(type="category")},
    )
    assert copies(frame, number) == pytest.approx(0.79)
    assert quality(frame, (), number) == pytest.approx(71)
    assert quality(frame, (), few) == 100


def test_no_rows_are_no_quality() -> None:
    assert quality(pl.DataFrame({"x": pl.Series([], dtype=pl.Float64)}), (), {"x": Column(type="number")}) == 0


@pytest.mark.parametrize(("rows", "history"), [(0, []), (10**9, [1] * 4), (5, [10] * 20), (20, [10] * 20)])
def test_a_size_is_usual_within_the_factor_and_while_little_is_known(rows, history) -> None:
    assert unusual_size(rows, Rows(factor=2), history) is None


@pytest.mark.parametrize("rows", [4, 21])
def test_a_size_beyond_the_factor_is_not(rows) -> None:
    finding = unusual_size(rows, Rows(factor=2), [1000] * 50 + [10] * 20)
    assert finding is not None
    assert finding.expected == "5 to 20 rows (the last 20 good batches had 10)"
