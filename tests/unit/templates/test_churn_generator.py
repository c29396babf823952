"""The churn template: days that repeat exactly, a truth that can be learned, and switches that do what they say."""

from __future__ import annotations

import datetime
import importlib.util
import io
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from keepfit.adapters.pandera_checks import PanderaChecks
from keepfit.config import load
from keepfit.contract import conform
from keepfit.ports import Look

FOLDER = Path(__file__).parents[3] / "src/keepfit/templates/churn"
NOON = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)
CONFIG = load(FOLDER, environment={})
FIRST = datetime.date(2026, 1, 1)
TARGET = "churn_probability"


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"churn_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


features, generator = _module("features"), _module("generator")


def day(number: int) -> datetime.date:
    return FIRST + datetime.timedelta(days=number)


def customers(number: int, **options: object) -> pd.DataFrame:
    return generator.simulate(day(number), CONFIG.simulate.seed, **options)


def read(frame: pd.DataFrame) -> tuple[pl.DataFrame, list[object]]:
    """A day after its way through a Parquet file, and what its contract finds wrong with it."""
    typed, findings = conform(pl.read_parquet(io.BytesIO(frame.to_parquet(index=False))), CONFIG.data.columns)
    checked = PanderaChecks().check(typed, CONFIG.data.columns, Look(name="", now=NOON))
    return typed, [*findings, *(fault.finding for fault in checked.faults)]


def prepared(numbers: range, **options: object) -> tuple[pd.DataFrame, pd.Series]:
    frames = [read(customers(number, **options))[0].to_pandas() for number in numbers]
    rows = pd.concat([features.prepare(frame.drop(columns=TARGET)) for frame in frames], ignore_index=True)
    return rows, pd.concat([frame[TARGET] for frame in frames], ignore_index=True)


def fitted(estimator: object, rows: pd.DataFrame, target: pd.Series) -> object:
    names = [name for name in rows if rows[name].dtype == object]
    numbers = [name for name in rows if name not in names]
    steps = make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
        (
            make_pipeline(
                SimpleImputer(strategy="most_frequent", missing_values=None),
                OneHotEncoder(handle_unknown="ignore", sparse_output=False),
            ),
            names,
        ),
    )
    with threadpool_limits(1):
        return make_pipeline(steps, estimator).fit(rows, target)


def boosting() -> HistGradientBoostingRegressor:
    return HistGradientBoostingRegressor(max_iter=100, learning_rate=0.08, max_leaf_nodes=15, random_state=0)


def mae(model: object, rows: pd.DataFrame, target: pd.Series) -> float:
    return float(mean_absolute_error(target, model.predict(rows)))


# ----------------------------------------------------------------------------------------------------------- one day


def test_the_same_day_is_the_same_file_and_other_days_and_seeds_are_others() -> None:
    pd.testing.assert_frame_equal(customers(3), customers(3))
    assert not customers(3).equals(customers(4))
    assert not generator.simulate(FIRST, 1).equals(generator.simulate(FIRST, 2))


def test_a_day_before_a_switch_is_as_it_is_without_one() -> None:
    switched = customers(3, covariate_drift=day(4), concept_drift=str(day(4)), broken=[day(4)])
    pd.testing.assert_frame_equal(switched, customers(3))


def test_a_day_has_the_columns_in_order_and_its_rows_in_number() -> None:
    for number in range(30):
        frame = customers(number)
        assert frame.columns.tolist() == generator.COLUMNS == list(CONFIG.data.columns)
        assert 800 <= len(frame) <= 1300
        assert frame["customer_id"].is_unique
        assert (frame["timestamp"].dt.date == day(number)).all()


def test_one_cell_in_twenty_is_missing_but_never_a_name_a_time_or_a_label() -> None:
    missing = pd.concat([customers(number) for number in range(10)]).isna().mean()
    assert missing[list(generator.NEVER_MISSING)].eq(0).all()
    assert missing.drop(list(generator.NEVER_MISSING)).between(0.04, 0.06).all()


def test_one_number_in_fifty_is_far_too_large() -> None:
    rows = pd.concat([customers(number) for number in range(10)])
    income = rows["income"].dropna()
    assert 0.01 < (income > 6 * income.median()).mean() + (income > 250_000).mean() < 0.035


@pytest.mark.parametrize("options", [{}, {"covariate_drift": "2026-01-01"}, {"concept_drift": "2026-01-01"}])
def test_every_day_keeps_the_contract(options: dict[str, str]) -> None:
    assert [finding for number in range(20) for finding in read(customers(number, **options))[1]] == []


@pytest.mark.parametrize(
    ("how", "column", "check"), [("no_credit_score", "credit_score", "null_share"), ("income_in_cents", "income", "maximum")]
)
def test_the_contract_finds_a_broken_day(how: str, column: str, check: str) -> None:
    for number in range(10):
        findings = read(customers(number, broken=[day(number), day(99)], broken_how=how))[1]
        assert [(finding.column, finding.check) for finding in findings] == [(column, check)]


def test_broken_days_may_be_one_or_several_dates_or_text() -> None:
    for given in (day(2), "2026-01-03", ["2026-01-03", day(7)]):
        assert customers(2, broken=given)["credit_score"].isna().all()


def test_an_unknown_way_of_breaking_is_refused() -> None:
    with pytest.raises(ValueError, match="no_credit_score"):
        customers(2, broken=day(2), broken_how="at random")


# ------------------------------------------------------------------------------------------------------------- quality


def test_quality_counts_what_is_missing_far_out_and_twice_there() -> None:
    frame = pd.DataFrame({"customer_id": list("abcdefgh"), "income": [1.0, 2.0, 3.0, 4.0, 5.0, 5.0, np.nan, 90.0]})
    report = generator.quality(frame)
    assert report == {"rows": 8, "missing": {"customer_id": 0.0, "income": 0.125}, "outliers": round(1 / 7, 4), "duplicates": 1}


def test_quality_of_a_whole_day_and_of_an_empty_one_is_plain_json() -> None:
    for frame in (customers(0), customers(0).head(0)):
        assert json.loads(json.dumps(generator.quality(frame), allow_nan=False))["rows"] == len(frame)


# ------------------------------------------------------------------------------------------------------------ features


def test_features_depend_on_their_own_row_alone() -> None:
    frame = read(customers(0))[0].to_pandas().drop(columns=TARGET)
    some = frame.sample(50, random_state=0)
    pd.testing.assert_frame_equal(features.prepare(frame).loc[some.index], features.prepare(some), check_dtype=False)


def test_neither_name_nor_time_nor_target_is_among_the_features_and_nothing_is_infinite() -> None:
    rows, _ = prepared(range(3))
    assert not {"customer_id", "timestamp", TARGET} & set(rows)
    assert not np.isinf(rows.select_dtypes("number").to_numpy()).any()


def test_a_customer_who_did_nothing_has_finite_features() -> None:
    frame = read(customers(0))[0].to_pandas().drop(columns=TARGET).head(1)
    nothing = ["income", "total_spend_last_30d", "num_transactions_last_30d", "email_opens_last_30d", "account_length_days"]
    frame[nothing] = 0.0
    assert np.isfinite(features.prepare(frame).select_dtypes("number").drop(columns="age").fillna(0).to_numpy()).all()
    assert features.prepare(frame)["engagement_score"].item() == 0


# --------------------------------------------------------------------------------------------------------------- truth


def test_boosting_learns_it_well_and_a_linear_model_clearly_less() -> None:
    rows, target = prepared(range(4))
    later = prepared(range(20, 25))
    boosted, linear = (r2_score(later[1], fitted(model, rows, target).predict(later[0])) for model in (boosting(), Ridge()))
    assert 0.62 < boosted < 0.8
    assert linear < boosted - 0.12


def test_new_reasons_make_an_old_model_wrong_and_new_people_do_not() -> None:
    champion = fitted(boosting(), *prepared(range(7)))
    before = mae(champion, *prepared(range(7, 12)))
    assert before < CONFIG.retrain.floor
    assert mae(champion, *prepared(range(7, 12), covariate_drift=day(7))) < before * 1.1
    assert mae(champion, *prepared(range(7, 12), concept_drift=day(7))) > max(before * 1.5, CONFIG.retrain.floor)


def test_a_model_retrained_on_the_window_recovers_within_days() -> None:
    options = {"concept_drift": day(7)}
    challenger = fitted(boosting(), *prepared(range(5, 12), **options))  # the latest seven days, five of them new
    assert mae(challenger, *prepared(range(12, 15), **options)) < CONFIG.retrain.floor


def test_new_people_are_other_people() -> None:
    shifted, same = customers(0, covariate_drift=FIRST), customers(0)
    assert shifted["age"].mean() < same["age"].mean() - 3
    assert shifted["credit_score"].mean() < same["credit_score"].mean() - 20
