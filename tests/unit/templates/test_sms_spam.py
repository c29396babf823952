"""The SMS template: made-up messages that are the same each time, scams that are really new, and the real collection as a table."""

from __future__ import annotations

import csv
import datetime
import importlib.util
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

from keepfit import templates
from keepfit.adapters.skops_models import SkopsModels
from keepfit.fitted import FittedModel
from keepfit.steps import TYPES

FOLDER = Path(templates.__file__).parent / "sms_spam"
DAY = datetime.date(2026, 1, 1)


@pytest.fixture(scope="module")
def code() -> Iterator[dict[str, ModuleType]]:
    """The template's modules, as a project has them."""
    before = {name: sys.modules.pop(name, None) for name in ("phrases", "generator", "features", "real_data")}
    loaded = {}
    for name in before:
        spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        loaded[name] = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded[name])
    yield loaded
    for name, module in before.items():
        sys.modules.pop(name, None)
        if module is not None:
            sys.modules[name] = module


def days(code: dict[str, ModuleType], first: int, count: int, **options: Any) -> pd.DataFrame:
    made = [code["generator"].simulate(DAY + datetime.timedelta(first + i), 7, **options) for i in range(count)]
    return pd.concat(made, ignore_index=True)


def test_a_day_is_the_same_for_the_same_seed_and_another_for_another(code) -> None:
    simulate = code["generator"].simulate
    assert simulate(DAY, 7).equals(simulate(DAY, 7))
    assert not simulate(DAY, 7).equals(simulate(DAY, 8))
    assert list(simulate(DAY, 7).columns) == ["label", "message"]
    assert 280 <= len(simulate(DAY, 7)) <= 360


def test_every_slot_of_every_phrase_is_filled(code) -> None:
    for scam in code["phrases"].SCAMS:
        messages = days(code, 0, 5, new_scam=DAY, scam=scam, scam_share=0.5)["message"]
        assert not messages.str.contains(r"[{}]").any()
        assert messages.str.len().between(2, 500).all()
    phrases = code["phrases"]
    slots = {slot for text in re.findall(r"\{(\w+)\}", (FOLDER / "phrases.py").read_text()) for slot in [text]}
    assert {slot for slot in slots if not re.fullmatch(r"d\d", slot)} <= set(phrases.SLOTS)


def test_messages_are_not_learnt_by_heart(code) -> None:
    known, new = days(code, 0, 8), days(code, 8, 4)
    assert new["message"].isin(known["message"]).mean() < 0.08
    assert 0.1 < (new["label"] == "spam").mean() < 0.2


@pytest.mark.parametrize("scam", ["parcel_fee", "crypto", "family"])
def test_a_new_scam_passes_an_old_filter_and_not_one_that_was_trained_anew(code, scam) -> None:
    known, quiet = days(code, 0, 5), days(code, 8, 2)
    before, after = (days(code, first, 2, new_scam=DAY, scam=scam) for first in (20, 30))
    old = code["features"].naive_bayes().set_params(model__alpha=0.05).fit(known[["message"]], known["label"])
    taught = pd.concat([known, before])
    new = code["features"].naive_bayes().set_params(model__alpha=0.05).fit(taught[["message"]], taught["label"])
    assert old.score(quiet[["message"]], quiet["label"]) > 0.96
    assert old.score(after[["message"]], after["label"]) < 0.92
    assert new.score(after[["message"]], after["label"]) > 0.95


def test_before_its_date_there_is_no_new_scam(code) -> None:
    simulate = code["generator"].simulate
    assert simulate(DAY, 7, new_scam="2026-01-02").equals(simulate(DAY, 7))
    assert simulate(DAY, 7, new_scam="2026-01-01")["label"].eq("spam").mean() > 0.2


def test_broken_days_and_what_is_no_option(code) -> None:
    simulate = code["generator"].simulate
    assert (simulate(DAY, 7, broken=["2026-01-01"])["message"].str.len() <= 1).all()
    assert set(simulate(DAY, 7, broken="2026-01-01", broken_how="other_labels")["label"]) == {"ham", "junk"}
    with pytest.raises(ValueError, match="cut_texts"):
        simulate(DAY, 7, broken=DAY, broken_how="otherwise")
    with pytest.raises(ValueError, match="parcel_fee"):
        simulate(DAY, 7, scam="lottery")


@pytest.mark.parametrize("name", ["linear_svm", "logistic_regression", "naive_bayes"])
def test_every_candidate_is_stored_without_pickle_and_answers_the_same(code, name, tmp_path) -> None:
    known, asked = days(code, 0, 2), days(code, 3, 1)[["message"]]
    model = getattr(code["features"], name)().fit(known[["message"]], known["label"])
    models = SkopsModels(TYPES)
    path = tmp_path / "model.skops"
    import skops.io

    skops.io.dump(model, path)
    again = FittedModel(models.read(path))
    assert (again.predict(asked).probabilities == FittedModel(model).predict(asked).probabilities).all()


def test_the_collection_becomes_a_table_whatever_its_messages_hold(code) -> None:
    text = 'ham\tSee "you" at 6, ok\nspam\tWIN\t£1000\nham\t"half a quote\n'
    rows = list(csv.DictReader(io.StringIO(code["real_data"].as_csv(text))))
    assert [(row["label"], row["message"]) for row in rows] == [
        ("ham", 'See "you" at 6, ok'),
        ("spam", "WIN\t£1000"),
        ("ham", '"half a quote'),
    ]
    with pytest.raises(ValueError, match="line 2: expected ham or spam"):
        code["real_data"].as_csv("ham\tfine\njunk\tno\n")
