from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from keepfit.own_data.giveaways import find_giveaways

ROWS = 2000


@pytest.fixture
def chance() -> np.random.Generator:
    return np.random.default_rng(5)


def classes(chance: np.random.Generator, *shares: float) -> np.ndarray:
    return chance.choice([f"class {i}" for i in range(len(shares))], ROWS, p=shares)


def found(columns: dict, target: np.ndarray, task: str = "classification") -> list[str]:
    frame = pl.DataFrame(columns)
    truth = pl.Series("y", target, dtype=pl.String if task == "classification" else pl.Float64)
    return list(find_giveaways(frame, truth, frame.columns, task=task))


def test_a_column_that_is_filled_for_one_class_only_gives_it_away(chance) -> None:
    target = classes(chance, 0.5, 0.3, 0.2)
    reasons = [chance.choice(["late", "rude", "lost"]) if each == "class 0" else None for each in target]
    assert found({"reason": reasons, "other": chance.choice(["a", "b"], ROWS)}, target) == ["reason"]


def test_a_number_that_separates_a_class_gives_it_away(chance) -> None:
    target = classes(chance, 0.9, 0.1)
    refund = np.where(target == "class 1", chance.uniform(5, 90, ROWS), 0.0)
    assert found({"refund": refund, "other": chance.normal(size=ROWS)}, target) == ["refund"]


def test_the_target_under_another_name_gives_it_away(chance) -> None:
    target = classes(chance, 0.97, 0.03)
    assert found({"code": np.where(target == "class 1", 7, 3)}, target) == ["code"]


@pytest.mark.parametrize("share", [0.5, 0.2, 0.05, 0.01, 0.002])
def test_a_good_feature_does_not(chance, share) -> None:
    target = classes(chance, 1 - share, share)
    positive = target == "class 1"
    columns = {
        "strong": np.where(positive, 2.5, 0) + chance.normal(size=ROWS),
        "code": np.where(chance.random(ROWS) < 0.95, positive, ~positive).astype(int),
        "noise": chance.normal(size=ROWS),
        "many": chance.integers(0, 300, ROWS).astype(str),
        "different": np.arange(ROWS).astype(str),
    }
    assert found(columns, target) == []


def test_numbers_that_add_up_to_the_target_give_it_away_together(chance) -> None:
    casual, registered = chance.poisson(30, ROWS), chance.poisson(120, ROWS)
    columns = {"casual": casual, "registered": registered, "warmth": casual + chance.normal(0, 9, ROWS)}
    assert found(columns, casual + registered, "regression") == ["casual", "registered"]


def test_a_number_that_rises_with_the_target_gives_it_away(chance) -> None:
    target = np.exp(chance.normal(size=ROWS))
    columns = {"logarithm": np.log(target), "close": np.log(target) + chance.normal(0, 0.2, ROWS)}
    assert found(columns, target, "regression") == ["logarithm"]


def test_a_category_of_which_each_value_is_one_number_gives_it_away(chance) -> None:
    kind = chance.integers(0, 12, ROWS)
    assert found({"kind": kind.astype(str)}, (kind * 7) % 13, "regression") == ["kind"]


def test_a_formula_of_many_features_is_a_model_and_not_a_giveaway(chance) -> None:
    columns = {f"x{i}": chance.normal(size=ROWS) for i in range(6)}
    assert found(columns, sum(columns.values()), "regression") == []


def test_empty_and_constant_columns_are_passed_over(chance) -> None:
    columns = {"empty": [None] * ROWS, "constant": [1.0] * ROWS, "halves": [1.0, None] * (ROWS // 2)}
    assert found(columns, chance.normal(size=ROWS), "regression") == []
    assert found(columns, classes(chance, 0.6, 0.4)) == []


def test_a_few_rows_prove_nothing() -> None:
    assert found({"a": list("xy") * 10}, np.array(list("pq") * 10)) == []
