"""From prepared rows to the estimate in the record: what is said where little is known, and how it is checked once labels come."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from keepfit.adapters.sklearn_metrics import FunctionMetric, sklearn_metric
from keepfit.adapters.sklearn_trainer import SklearnTrainer
from keepfit.config import Config
from keepfit.errors import UserCodeError
from keepfit.estimating import MOST_ROWS, estimate, slices
from keepfit.fitted import FittedModel
from keepfit.ports import Predictions
from keepfit.prepared import FILE, GROUP, HOLDOUT, KEPT, TIME, TRUTH
from keepfit.stats.metrics import MeanOverGroups, builtin, value

REAL = Path(os.environ.get("KEEPFIT_DATA") or Path(__file__).parents[3] / "shared" / "data")


def setting(task: str, metric: Any, **sections: Any) -> tuple[Any, Config]:
    """Ports and configuration."""
    data = {"target": "y"} | sections.pop("data", {})
    config = Config.of({"project": {"name": "d", "task": task}, "data": data, "engine": {"workers": 1}, **sections})
    metric = builtin(metric, "yes") if isinstance(metric, str) else metric
    return SimpleNamespace(metric=metric, trainer=SklearnTrainer(config, metric, ())), config


def own(features: pd.DataFrame, truth: Any) -> pd.DataFrame:
    """Prepared rows."""
    rows = features.reset_index(drop=True)
    groups = [f"g{number % 20}" for number in range(len(rows))]
    return rows.assign(**{TRUTH: truth, GROUP: groups, FILE: "f", HOLDOUT: True, TIME: None})


def people(count: int, seed: int, mean: float = 0.0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    x = draw.normal(mean, 1.5, count)
    truth = np.where(draw.random(count) < 1 / (1 + np.exp(-x)), "yes", "no").astype(object)
    return own(pd.DataFrame({"x": x, "part": draw.choice(["north", "south"], count)}), truth)


def houses(count: int, seed: int, old: float = 0.3, spreads: tuple[float, float] = (0.5, 4.0)) -> pd.DataFrame:
    """Old houses are hard to value."""
    draw = np.random.default_rng(seed)
    features = pd.DataFrame({"x": draw.normal(0, 3, count), "age": np.where(draw.random(count) < old, "old", "new")})
    spread = np.where(features["age"] == "old", spreads[1], spreads[0])
    return own(features, features["x"] + draw.normal(0, 1, count) * spread)


class Sure:
    """A calibrated champion for `people`."""

    def predict(self, rows: pd.DataFrame) -> Predictions:
        yes = 1 / (1 + np.exp(-rows["x"].to_numpy()))
        values = np.where(yes > 0.5, "yes", "no").astype(object)
        return Predictions(values, np.column_stack([1 - yes, yes]), ("no", "yes"))


class Valuer:
    """A champion for `houses`."""

    def predict(self, rows: pd.DataFrame) -> Predictions:
        return Predictions(rows["x"].to_numpy(dtype=float))


def blank(rows: pd.DataFrame, labelled: int = 0) -> pd.DataFrame:
    """The rows of which only the first few have their labels yet."""
    hidden = rows.copy()
    hidden.loc[hidden.index >= labelled, TRUTH] = None
    return hidden


def estimated(model: Any, rows: pd.DataFrame, held_out: pd.DataFrame, ports: Any, config: Config, **more: Any) -> Any:
    return estimate(rows, model.predict(rows), held_out, model.predict(held_out), ports, config, **more)


def realised(model: Any, rows: pd.DataFrame, ports: Any) -> float:
    found = value(ports.metric.statistics(rows[TRUTH].to_numpy(), model.predict(rows), None))
    assert found is not None
    return found


# ---------------------------------------------------------------------------------------------------------- the estimate


@pytest.mark.parametrize("metric", ["accuracy", "f1", "log_loss", sklearn_metric("roc_auc", "yes")])
def test_a_classifier_is_estimated_from_its_confidence(metric: Any) -> None:
    ports, config = setting("classification", metric)
    new = people(3_000, 1, mean=1.0)
    found = estimated(Sure(), blank(new), people(1_000, 2), ports, config)
    real = realised(Sure(), new, ports)
    assert (found.method, found.n, found.note, found.labelled, found.error) == ("confidence", 3_000, "", 0, None)
    assert found.interval.low <= real <= found.interval.high
    assert found.interval.high - found.interval.low < 0.2


@pytest.mark.parametrize("metric", ["mean_absolute_error", "root_mean_squared_error", "r2", "neg_mean_squared_error"])
def test_a_regression_is_estimated_by_a_model_of_its_losses(metric: str) -> None:
    ports, config = setting("regression", metric)
    held_out, new = houses(1_000, 1, old=0.3), houses(1_000, 2, old=0.8)
    found = estimated(Valuer(), blank(new), held_out, ports, config)
    real, before = realised(Valuer(), new, ports), realised(Valuer(), held_out, ports)
    assert (found.method, found.note) == ("loss_model", "")
    assert found.interval.low <= real <= found.interval.high
    assert abs(found.value - real) < 0.3 * abs(before - real)  # it has followed the shift


@pytest.mark.parametrize(("metric", "power"), [("mean_absolute_error", 1), ("root_mean_squared_error", 2)])
def test_the_loss_model_learns_the_loss_that_the_metric_is_about(metric: str, power: int) -> None:
    ports, config = setting("regression", metric)
    held_out, new = houses(3_000, 1, 0.3, (1.0, 2.0)), houses(3_000, 2, 0.9, (1.0, 2.0))
    given: list[Any] = []

    class Knowing:
        def loss_model(self, rows: Any, features: Any, losses: Any) -> Any:
            given.append((rows, losses))
            return self

        def predict(self, rows: Any) -> Predictions:
            return Predictions(np.where(rows["age"] == "old", 2.0, 1.0) ** power)

    ports.trainer = Knowing()
    found = estimated(Valuer(), blank(new), held_out, ports, config)
    assert found.value == pytest.approx(realised(Valuer(), new, ports), rel=0.05)
    errors = np.abs(held_out[TRUTH] - held_out["x"]) ** power
    for rows, losses in given:
        assert len(rows) == 2_000
        assert losses == pytest.approx(np.abs(rows[TRUTH] - rows["x"]) ** power / errors.mean())


def test_with_few_held_out_rows_errors_count_as_equally_large() -> None:
    ports, config = setting("regression", "mean_absolute_error")
    ports.trainer = None  # nothing is fitted
    held_out = houses(60, 1)
    found = estimated(Valuer(), blank(houses(500, 2, old=0.9)), held_out, ports, config)
    assert found.value == pytest.approx(realised(Valuer(), held_out, ports), rel=0.1)


def test_groups_widen_the_interval() -> None:
    rows = people(800, 1)
    rows[TRUTH] = np.where(rows[GROUP].str[1:].astype(int) % 2 == 0, Sure().predict(rows).values, "yes")
    widths = []
    for data in ({}, {"group": "g"}):
        ports, config = setting("classification", "accuracy", data=data)
        found = estimated(Sure(), blank(rows), rows, ports, config)
        widths.append(found.interval.high - found.interval.low)
    assert widths[1] > 1.5 * widths[0]


def test_many_rows_cost_no_more_than_some() -> None:
    ports, config = setting("classification", "accuracy")
    asked: list[int] = []

    class Counting:
        name, greater_is_better = "accuracy", True

        def statistics(self, truth: Any, *others: Any) -> Any:
            asked.append(len(truth))
            return builtin("accuracy").statistics(truth, *others)

    ports.metric = Counting()
    rows = blank(people(2 * MOST_ROWS, 1))
    found = estimated(Sure(), rows, people(300, 2), ports, config)
    assert found.n == 2 * MOST_ROWS
    assert set(asked) == {MOST_ROWS}
    ports, config = setting("classification", Counting(), data={"group": "g"})
    asked.clear()
    estimated(Sure(), rows, people(300, 2), ports, config)
    assert set(asked) == {MOST_ROWS}  # ten whole groups of a thousand


def test_a_metric_of_the_users_own_is_estimated_too() -> None:
    share = FunctionMetric("right", True, lambda rows: float((rows["truth"] == rows["predicted"]).mean()))
    by_group = MeanOverGroups("right", True, share.function)
    for metric, data in ((share, {}), (by_group, {"group": "g"})):
        ports, config = setting("classification", metric, data=data)
        new = people(1_000, 1)
        found = estimated(Sure(), blank(new), people(1_000, 2), ports, config)
        real = float(np.mean(new[TRUTH] == Sure().predict(new).values))
        assert found.interval.low <= real <= found.interval.high


def test_equal_rows_and_seed_give_the_same_estimate() -> None:
    for model, make, task, metric in (
        (Sure(), people, "classification", "f1"),
        (Valuer(), houses, "regression", "mean_absolute_error"),
    ):
        ports, config = setting(task, metric)
        found = [estimated(model, blank(make(300, 1), 50), make(300, 2), ports, config) for _ in range(2)]
        assert found[0] == found[1]


# ------------------------------------------------------------------------------------------------------ once labels come


def test_labels_that_have_come_tell_how_far_the_estimate_is_off() -> None:
    ports, config = setting("classification", "accuracy")
    held_out, new = people(1_000, 1), people(1_000, 2)
    found = estimated(Sure(), blank(new, 400), held_out, ports, config)
    assert (found.n, found.labelled) == (600, 400)
    assert found.error < 0.06
    wrong = new.assign(**{TRUTH: np.where(new[TRUTH] == "yes", "no", "yes")})  # the concept has turned round
    turned = estimated(Sure(), blank(wrong, 400), held_out, ports, config)
    assert turned.value == found.value  # the estimate does not see it
    assert turned.error > 0.3  # its error tells


def test_with_every_label_there_only_the_error_is_left() -> None:
    ports, config = setting("regression", "mean_absolute_error")
    found = estimated(Valuer(), houses(300, 1), houses(300, 2), ports, config, earlier=(0.1, 0.3))
    assert (found.value, found.interval, found.n, found.note) == (None, None, 0, "every row has a label")
    assert found.labelled == 300
    assert found.error < 0.4
    assert found.usual_error == pytest.approx(0.2)


def test_too_few_labels_tell_nothing_of_the_error() -> None:
    ports, config = setting("classification", "accuracy", monitor={"min_labels": 50})
    found = estimated(Sure(), blank(people(300, 1), 49), people(300, 2), ports, config)
    assert (found.error, found.labelled, found.usual_error) == (None, 0, None)
    assert found.value is not None


# -------------------------------------------------------------------------------------------------- where nothing is known


class Mute:
    """A champion that says its class and no more."""

    def predict(self, rows: pd.DataFrame) -> Predictions:
        return Predictions(Sure().predict(rows).values, classes=("no", "yes"))


def of_one_class(rows: pd.DataFrame, others: int) -> pd.DataFrame:
    return rows.assign(**{TRUTH: ["yes"] * others + ["no"] * (len(rows) - others)})


@pytest.mark.parametrize(
    ("model", "held_out", "note"),
    [
        (Sure(), people(29, 1), "29 labelled held-out rows of earlier batches: expected 30"),
        (Sure(), people(0, 1), "0 labelled held-out rows of earlier batches"),
        (Mute(), people(300, 1), "the champion gives neither probabilities nor decision values"),
        (Sure(), of_one_class(people(300, 1), 0), "0 of 300 labelled held-out rows are of another class than 'no'"),
        (Sure(), of_one_class(people(300, 1), 4), "4 of 300 labelled held-out rows are of another class than 'no': expected 5"),
    ],
)
def test_where_there_is_nothing_to_rest_on_the_note_says_why(model: Any, held_out: pd.DataFrame, note: str) -> None:
    ports, config = setting("classification", "accuracy")
    found = estimated(model, blank(people(100, 2)), held_out, ports, config, earlier=[0.02])
    assert (found.value, found.interval, found.error) == (None, None, None)
    assert found.usual_error == 0.02
    assert note in found.note


def test_no_rows_have_no_estimate() -> None:
    for task, metric, make, model in (
        ("classification", "accuracy", people, Sure()),
        ("regression", "r2", houses, Valuer()),
    ):
        ports, config = setting(task, metric)
        found = estimated(model, make(0, 1), make(100, 2), ports, config)
        assert (found.value, found.n, found.note) == (None, 0, "there are no new rows")


def test_one_row_has_an_estimate() -> None:
    ports, config = setting("classification", "accuracy")
    found = estimated(Sure(), blank(people(1, 1)), people(100, 2), ports, config)
    assert 0 < found.value < 1
    assert (found.interval.low, found.interval.high) == (0.0, 1.0)


def test_a_metric_that_is_undefined_on_likely_labels_is_not_estimated() -> None:
    ports, config = setting("regression", "r2")
    found = estimated(Valuer(), blank(houses(1, 1)), houses(100, 2), ports, config)
    assert (found.value, found.note) == (None, "r2 is undefined in 200 of 200 draws of the labels")


@pytest.mark.parametrize("error", [UserCodeError("it broke"), ZeroDivisionError("it broke")])
def test_a_metric_that_fails_on_made_up_labels_costs_no_cycle(error: Exception) -> None:
    def fail(rows: pd.DataFrame) -> float:
        raise error

    ports, config = setting("classification", FunctionMetric("own", True, fail))
    found = estimated(Sure(), blank(people(100, 1)), people(100, 2), ports, config)
    assert found.value is None
    assert found.note.startswith("own cannot be estimated: ")
    assert found.note.endswith("it broke")


def test_a_loss_model_that_cannot_be_fitted_costs_no_cycle() -> None:
    ports, config = setting("regression", "r2")
    held_out = houses(200, 1).assign(odd=[{"a": 1}] * 200)
    found = estimated(Valuer(), blank(held_out), held_out, ports, config)
    assert found.value is None
    assert found.note.startswith("r2 cannot be estimated: ")


# ---------------------------------------------------------------------------------------------------------------- slices


def test_slices_are_the_values_of_categories_and_the_quartiles_of_numbers() -> None:
    ports, config = setting("classification", "accuracy", monitor={"slices": ["part", "x", "region", "nowhere"]})
    rows = people(400, 1)
    rows[KEPT + "region"] = [1.0] * 200 + [2.0] * 150 + [None] * 50
    found = slices(rows, Sure().predict(rows), ports, config)
    named = [(each.column, each.value) for each in found]
    assert named[:2] == [("part", "north"), ("part", "south")]
    assert [value.split()[0] for column, value in named if column == "x"] == [
        "up",
        *[value.split()[0] for _, value in named[3:5]],
        "above",
    ]
    assert [(each.value, each.n) for each in found if each.column == "region"] == [("1", 200), ("2", 150), ("(missing)", 50)]
    assert [each.n for each in found if each.column == "x"] == [100, 100, 100, 100]
    north = rows[rows["part"] == "north"]
    assert found[0].metric == pytest.approx(float(np.mean(north[TRUTH] == Sure().predict(north).values)))
    assert all(each.interval.low <= each.metric <= each.interval.high for each in found)
    assert all(each.interval.level == config.monitor.level for each in found)


def test_small_slices_are_left_out() -> None:
    ports, config = setting("classification", "accuracy", monitor={"slices": ["part"], "min_labels": 10})
    rows = people(100, 1).assign(part=["north"] * 91 + ["south"] * 9)
    assert [each.value for each in slices(rows, Sure().predict(rows), ports, config)] == ["north"]


def test_slices_know_groups_and_metrics_that_are_undefined_there() -> None:
    ports, config = setting("classification", "f1", data={"group": "g"}, monitor={"slices": ["part"]})
    rows = people(400, 1)
    rows.loc[rows["part"] == "south", ["x", TRUTH]] = [-3.0, "no"]
    north, south = slices(rows, Sure().predict(rows), ports, config)
    assert north.interval is not None
    assert (south.metric, south.interval) == (None, None)


def test_no_slices_are_asked_for_unless_named() -> None:
    ports, config = setting("classification", "accuracy")
    assert slices(people(100, 1), Sure().predict(people(100, 1)), ports, config) == ()


# -------------------------------------------------------------------------------------------------------------- real data


def real(name: str) -> pd.DataFrame:
    if not (REAL / name).is_file():
        pytest.skip(f"the real files are not at {REAL}; say where with KEEPFIT_DATA")
    return pd.read_csv(REAL / name)


@pytest.fixture(scope="module")
def customers() -> tuple[Any, Config, FittedModel, pd.DataFrame, pd.DataFrame]:
    """A champion of churn, its held-out rows and later ones."""
    table = real("Telco-Customer-Churn.csv").sample(frac=1, random_state=0)
    truth = table.pop("Churn").str.lower().to_numpy()
    features = table.drop(columns="customerID").assign(TotalCharges=pd.to_numeric(table["TotalCharges"], errors="coerce"))
    rows = own(features, truth)
    ports, config = setting(
        "classification",
        "accuracy",
        train={"candidates": [{"estimator": "sklearn.linear_model.LogisticRegression", "parameters": {"max_iter": 1000}}]},
    )
    model = FittedModel(ports.trainer.train(rows[:3_000], list(features)).model)
    return ports, config, model, rows[3_000:4_500].reset_index(drop=True), rows[4_500:].reset_index(drop=True)


@pytest.mark.parametrize("contract", ["Month-to-month", "One year", "Two year"])
def test_the_estimate_of_churn_follows_a_move_to_other_contracts(customers: Any, contract: str) -> None:
    ports, config, model, held_out, later = customers
    kind = later[later["Contract"] == contract].reset_index(drop=True)
    found = estimated(model, blank(kind), held_out, ports, config)
    real, before = realised(model, kind, ports), realised(model, held_out, ports)
    assert abs(real - before) > 0.06
    assert abs(found.value - real) < 0.4 * abs(before - real)


def test_bikes_are_estimated_at_their_own_time_and_not_a_year_later() -> None:
    table = real("bike_hour.csv").dropna(subset="weathersit").sort_values("instant")
    features = table[["mnth", "hr", "workingday", "weathersit", "temp", "hum", "windspeed"]].astype(float)
    rows = own(features, table["cnt"].to_numpy(dtype=float))
    ports, config = setting(
        "regression",
        "mean_absolute_error",
        train={"candidates": [{"estimator": "sklearn.ensemble.HistGradientBoostingRegressor", "parameters": {"max_iter": 100}}]},
    )
    part = np.random.default_rng(0).choice(3, 8_000, p=[0.6, 0.2, 0.2])
    first, held_out, beside = (rows[:8_000][part == number].reset_index(drop=True) for number in range(3))
    model = FittedModel(ports.trainer.train(first, list(features)).model)
    found = estimated(model, blank(beside), held_out, ports, config)
    assert found.interval.low <= realised(model, beside, ports) <= found.interval.high
    night = beside[beside["hr"] < 6].reset_index(drop=True)
    followed = estimated(model, blank(night), held_out, ports, config)
    assert followed.value < 0.6 * found.value  # nights are easy, and it knows
    year_later = rows[10_000:13_000].reset_index(drop=True)
    blind = estimated(model, year_later, held_out, ports, config)
    assert blind.error > 2 * found.value  # the number of customers grew: concept drift, which only labels show
