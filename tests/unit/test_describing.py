"""At registration a version is described: what to ask, an example that shows nobody's row, and a confidence from held-out rows."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from tests.unit.stages.world import World

from keepfit.config import Config
from keepfit.describing import SENTENCE, _optional, example, learnt, usual
from keepfit.fitted import FittedModel
from keepfit.inputs import read
from keepfit.ports import Predictions
from keepfit.prepared import TRUTH
from keepfit.settings import Column
from keepfit.verbs.registration import register

NOTHING = pl.Series([], dtype=pl.String)


@pytest.mark.parametrize(
    ("column", "cells", "expected"),
    [
        (Column(type="number"), pl.Series([1.0, 2.123456, 9.0, None]), 2.123),
        (Column(type="number", minimum=5), pl.Series([1.0, 2.0]), 5.0),
        (Column(type="number"), NOTHING, 0.0),
        (Column(type="integer"), pl.Series([1.0, 2.4, 9.0]), 2),
        (Column(type="integer", minimum=0.5), NOTHING, 1),
        (Column(type="boolean"), pl.Series([1.0, 1.0, 0.0]), True),
        (Column(type="category"), pl.Series(["a"] * 5 + ["b"] * 4), "a"),
        (Column(type="category"), pl.Series(["Ms Rare", "Mr Unique"]), "other"),
        (Column(type="category", values=("x", "y")), pl.Series(["Mr Unique"]), "x"),
        (Column(type="category", values=("x", "y")), pl.Series(["y"] * 9), "y"),
        (Column(type="text"), pl.Series(["a secret of somebody's"] * 9), SENTENCE),
        (Column(type="text", max_length=5), NOTHING, "Hello"),
        (Column(type="text", pattern=r"\d+"), NOTHING, None),
        (Column(type="datetime", format="%d-%m-%Y"), NOTHING, "01-01-2026"),
    ],
)
def test_an_example_is_usual_allowed_and_nobodys(column, cells, expected):
    assert usual(column, cells) == expected


def test_no_example_is_better_than_one_that_breaks_a_promise():
    columns = {"x": Column(type="number"), "code": Column(type="text", pattern=r"\d+")}
    assert example(columns, lambda _: NOTHING) == {}
    assert example({"x": columns["x"]}, lambda _: NOTHING) == {"x": 0.0}


def config(tmp_path, task="classification", **data):
    return Config.of({"project": {"name": "demo", "task": task}, "data": {"target": "y"} | data}, tmp_path)


COLUMNS = {
    "id": Column(type="category", feature=False),
    "at": Column(type="datetime", feature=False),
    "shop": Column(type="category"),
    "x": Column(type="number"),
    "note": Column(type="text", required=False),
}


def test_what_is_no_feature_may_be_left_out(tmp_path):
    named = config(tmp_path, id="id", time="at", group="shop")
    assert _optional(COLUMNS, ["x", "note"], named) == ("id", "at", "shop", "note")


def test_what_prepare_may_look_at_may_not(tmp_path):
    named = config(tmp_path, id="id", time="at", group="shop", prepare="features:prepare")
    assert _optional(COLUMNS, ["x", "hour"], named) == ("id", "shop", "note")


class Sure:
    """Says 'b' with 0.9 of everything."""

    def predict(self, features):
        rows = len(features)
        return Predictions(np.full(rows, "b", dtype=object), np.full((rows, 2), [0.1, 0.9]), ("a", "b"))


def rows(count, labelled, right):
    import pandas as pd

    truth = ["b" if number < right else "a" if number < labelled else None for number in range(count)]
    return pd.DataFrame({"x": np.arange(float(count)), TRUTH: np.array(truth, dtype=object), "__file": "f", "__group": None})


def test_the_confidence_is_learnt_from_the_labelled_rows_that_were_held_out(tmp_path):
    found = learnt(Sure(), rows(900, 600, 300), ["x"], config(tmp_path))
    assert found.rows == 600
    assert found.probability[0] == pytest.approx(0.5, abs=0.06)


def test_without_labelled_held_out_rows_or_classes_there_is_none(tmp_path):
    assert learnt(Sure(), rows(50, 0, 0), ["x"], config(tmp_path)) is None
    assert learnt(Sure(), rows(50, 50, 50), ["x"], config(tmp_path, task="regression")) is None


# ------------------------------------------------------------------------------------------------------- at registration


class Probable:
    """Says 'yes' where x is above 0, and that it is sure of it."""

    classes_ = ("no", "yes")

    def predict(self, features):
        return np.where(features["x"] > 0, "yes", "no")

    def predict_proba(self, features):
        yes = np.where(features["x"] > 0, 0.9, 0.1)
        return np.column_stack([1 - yes, yes])


def arrived(world, rows=600):
    draw = np.random.default_rng(0)
    x = draw.normal(3, 5, rows).round(3)
    right = draw.random(rows) < 0.7
    world.arrive("1.csv", {"x": x, "day": ["2026-03-01"] * rows, "y": np.where((x > 0) == right, "yes", "no")})


COLUMN_SETTINGS = {"x": {"type": "number"}, "day": {"type": "datetime"}, "y": {"type": "category", "values": ["no", "yes"]}}


def test_a_trained_version_is_described_from_its_cycle(tmp_path):
    world = World(tmp_path, {"data": {"columns": COLUMN_SETTINGS}})
    world.ports.trainer.model = Probable()
    arrived(world)
    world.run()
    registration = world.ports.registry.versions["1"].registration
    inputs = read(registration.inputs(FittedModel(Probable())))
    assert (inputs.features, inputs.optional, inputs.classes, inputs.target) == (("x",), ("day",), ("no", "yes"), "y")
    held_out = world.rows(holdout=True)
    assert inputs.confidence.rows == len(held_out)
    assert inputs.confidence.probability[-1] == pytest.approx(0.7, abs=0.1), "it says 0.9, and is right seven times of ten"
    assert inputs.example["x"] == pytest.approx(3, abs=1)


def test_with_a_prepare_of_its_own_the_raw_columns_are_asked_for(tmp_path):
    settings = {"data": {"columns": COLUMN_SETTINGS, "prepare": "features:prepare"}}
    code = "def prepare(frame):\n    return frame.assign(weekday=frame['day'].dt.weekday.astype(float))\n"
    world = World(tmp_path, settings, features=code)
    world.ports.trainer.model = Probable()
    arrived(world)
    world.run()
    registration = world.ports.registry.versions["1"].registration
    inputs = read(registration.inputs(FittedModel(Probable())))
    assert (inputs.features, inputs.hidden, inputs.prepare) == (("x", "weekday"), ("day",), "features:prepare")
    assert (list(inputs.columns), inputs.optional) == (["x", "day"], ())
    assert inputs.example["day"] == "2026-03-01T12:00:00"


def test_a_model_from_elsewhere_has_no_confidence_learnt_on_rows_that_it_may_know(tmp_path):
    world = World(tmp_path, {"data": {"columns": COLUMN_SETTINGS}})
    arrived(world)
    path = tmp_path / "data/inbox/1.csv"
    (tmp_path / "data/archive").mkdir()
    path.rename(tmp_path / "data/archive/1.csv")
    register(Probable(), "mine.skops", "0" * 64, world.ports, world.config)
    registration = world.ports.registry.versions["1"].registration
    inputs = read(registration.inputs(FittedModel(Probable())))
    assert inputs.confidence is None
    assert inputs.features == ("x",)
