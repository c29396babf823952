"""Metrics that decide nothing are logged with a version all the same, and what cannot be one is refused before anything trains."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import polars as pl
import pytest
from tests.unit.stages.world import Echo, FakeTrainer, World

from keepfit.config import Config
from keepfit.errors import ConfigError
from keepfit.ports import Predictions
from keepfit.settings import ClassMetric, NumberMetric
from keepfit.stats.metrics import names, reported

COLUMNS = {"a": {"type": "number"}, "n": {"type": "integer"}, "y": {"type": "category"}}


def settings(further: list[str], task: str = "classification", **train: Any) -> dict[str, Any]:
    project = {"name": "demo", "task": task}
    return {"project": project, "data": {"target": "y"}, "tracking": {"further_metrics": further}, "train": train}


def test_they_are_on_the_version_beside_the_metric_that_decides(tmp_path) -> None:
    given = {"data": {"columns": COLUMNS, "id": "n"}, "promote": {"resamples": 200}}
    world = World(tmp_path, given | {"tracking": {"further_metrics": ["recall_weighted", "recall_macro", "log_loss"]}})
    world.ports.trainer = FakeTrainer(Echo("a"))
    rows = pl.DataFrame(
        {
            "n": range(400),
            "a": [-1.0 - i for i in range(100)] + [1.0 + i for i in range(300)],
            "y": ["yes", "no"] * 50 + ["yes"] * 300,
        }
    )
    world.arrive("new.parquet", rows)
    cycle = world.through("collect", "validate", "prepare", "train", "compare")
    metrics = world.ports.registry.versions["1"].metrics
    assert metrics["holdout_recall_weighted"] == metrics["holdout_accuracy"] == cycle.verdict.challenger
    assert metrics["holdout_recall_macro"] != metrics["holdout_accuracy"]
    assert "holdout_log_loss" not in metrics  # the model gives no probabilities


def test_settings_know_every_metric_that_keepfit_knows() -> None:
    assert {*get_args(ClassMetric), *get_args(NumberMetric)} == {name for name in names() if not name.startswith("neg_")}


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        (settings(["f1_weigthed"]), "f1_weigthed"),
        (settings(["r2"]), "does not measure a classification"),
        (settings(["accuracy"], "regression"), "does not measure a regression"),
        (settings(["recall"]), "train.positive"),
    ],
)
def test_what_cannot_be_measured_is_refused(tree, words) -> None:
    with pytest.raises(ConfigError, match=words):
        Config.of(tree)


def test_what_can_be_measured_is_not_refused() -> None:
    assert Config.of(settings(["recall", "f1_macro"], positive="spam")).tracking.further_metrics == ("recall", "f1_macro")
    assert Config.of(settings(["r2"], "regression")).tracking.further_metrics == ("r2",)


def test_what_is_undefined_is_left_out() -> None:
    none_positive = Predictions(np.array(["ham", "ham"]))
    found = reported(["precision", "accuracy"], np.array(["ham", "ham"]), none_positive, "spam")
    assert found == {"accuracy": 1.0}
    assert reported(["accuracy"], np.array([]), Predictions(np.array([]))) == {}


def test_an_unknown_name_is_told_with_those_that_are_known() -> None:
    with pytest.raises(ConfigError, match=r"roc_auc.*accuracy"):
        reported(["roc_auc"], np.array(["a"]), Predictions(np.array(["a"])))
