"""Boosters in LightGBM's own format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest

from keepfit.adapters.lightgbm_models import LightgbmModels
from keepfit.errors import DataError, ModelRefused

FRAME = pd.DataFrame(np.random.default_rng(5).normal(size=(200, 2)), columns=["a", "b"])


def booster(objective: str, target: Any, **more: Any) -> Any:
    parameters = {"objective": objective, "verbose": -1, "seed": 1, "num_threads": 1, **more}
    return lightgbm.train(parameters, lightgbm.Dataset(FRAME, target), num_boost_round=5)


def kept(model: Any, folder: Path) -> Any:
    found = LightgbmModels().store(model, folder)
    assert found is not None
    return LightgbmModels().load(folder, found.content_hash)


def test_a_regression_gives_numbers(tmp_path: Path) -> None:
    model = booster("regression", FRAME["a"] * 2)
    predictions = kept(model, tmp_path).predict(FRAME[["b", "a"]])
    assert np.allclose(predictions.values, model.predict(FRAME))
    assert (predictions.probabilities, predictions.classes) == (None, ())


def test_two_classes_are_told_apart_at_one_half(tmp_path: Path) -> None:
    model = booster("binary", FRAME["a"] > 0)
    predictions = kept(model, tmp_path).predict(FRAME)
    assert list(predictions.values) == ["1" if value >= 0.5 else "0" for value in model.predict(FRAME)]
    assert predictions.classes == ("0", "1")
    assert np.allclose(predictions.probabilities[:, 1], model.predict(FRAME))
    assert np.allclose(predictions.probabilities.sum(axis=1), 1)


def test_classes_have_the_names_that_the_training_function_gave_them(tmp_path: Path) -> None:
    model = booster("multiclass", FRAME["a"].rank() // 67, num_class=3)
    unnamed = LightgbmModels().store(model, tmp_path)
    model.classes_ = ("low", "middle", "high")
    named = LightgbmModels().store(model, tmp_path)
    assert unnamed is not None and named is not None
    assert unnamed.content_hash != named.content_hash
    predictions = kept(model, tmp_path).predict(FRAME)
    assert predictions.classes == ("low", "middle", "high")
    assert list(predictions.values) == [model.classes_[at] for at in model.predict(FRAME).argmax(axis=1)]
    model.classes_ = ("low", "high")
    with pytest.raises(ModelRefused, match="3 classes"):
        LightgbmModels().store(model, tmp_path)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="b"):
        kept(booster("regression", FRAME["a"]), tmp_path).predict(FRAME[["a"]])


def test_other_and_damaged_files_are_refused(tmp_path: Path) -> None:
    assert LightgbmModels().load(tmp_path, None) is None
    kept(booster("regression", FRAME["a"]), tmp_path)
    with pytest.raises(ModelRefused, match="sha256"):
        LightgbmModels().load(tmp_path, "0" * 64)
    (tmp_path / "classes.json").write_text("{not json")
    with pytest.raises(ModelRefused):
        LightgbmModels().load(tmp_path, None)
    (tmp_path / "classes.json").unlink()
    (tmp_path / "model.lgb").write_bytes(b"\x80\x04noise")
    with pytest.raises(ModelRefused):
        LightgbmModels().load(tmp_path, None)


def test_estimators_are_left_to_the_other_format(tmp_path: Path) -> None:
    assert LightgbmModels().store(lightgbm.LGBMClassifier(), tmp_path) is None
