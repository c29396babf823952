"""Evidently draws what it can, and what it cannot is one clear error; nothing is fetched, told or left changed."""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from keepfit.adapters import evidently_report
from keepfit.adapters.evidently_report import EvidentlyReport
from keepfit.errors import MissingExtra, Unavailable
from keepfit.prepared import TRUTH

pytestmark = pytest.mark.skipif(find_spec("evidently") is None, reason="evidently is not installed")


def rows(count: int, seed: int, classes: tuple[str, ...] = ("ham", "spam"), **columns: Any) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    truth = random.choice(classes, count)
    frame = pd.DataFrame(
        {
            "length": random.normal(60, 20, count),
            "sender": random.choice(["bank", "shop", "friend"], count),
            "text": random.choice(["call me back", "you have won a prize"], count),
            "at": pd.Timestamp("2026-01-01", tz="UTC"),
            "known": random.random(count) < 0.5,
            **columns,
            TRUTH: truth,
            "prediction": np.where(random.random(count) < 0.8, truth, random.choice(classes, count)),
        }
    )
    frame.loc[: count // 5, TRUTH] = None
    return frame


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    tried: list[Any] = []

    def refuse(_: Any, address: Any) -> None:
        tried.append(address)
        raise OSError("no network here")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    return tried


def shared() -> tuple[Any, ...]:
    """What a library might change for everybody."""
    seeded = np.random.get_state()[1].tolist()
    return np.geterr(), list(warnings.filters), os.environ.get("DO_NOT_TRACK"), seeded, logging.root.level, logging.root.handlers[:]


def test_drift_and_performance_are_drawn_and_nothing_else_happens(
    tmp_path: Path, no_network: list[Any], capfd: pytest.CaptureFixture[str]
) -> None:
    before = shared()
    report = EvidentlyReport("classification", texts=("text",), sample=200)
    written = report.draw(rows(400, 0), rows(300, 1), tmp_path, "20260301T120000")
    assert written == [
        tmp_path / "drift_report.html",
        tmp_path / "evidently" / "data_drift_20260301T120000.html",
        tmp_path / "evidently" / "classification_20260301T120000.html",
    ]
    pages = [path.read_text(encoding="utf-8") for path in written]
    assert pages[0] == pages[1]
    assert all(name in pages[0] for name in ("length", "sender", "text: characters", "text: words", "known"))
    assert "you have won a prize" not in pages[0]
    assert "Accuracy" in pages[2]
    assert not list(tmp_path.rglob("*.tmp"))
    for page in pages:  # whole in itself
        assert not re.search(r"<script[^>]+src=|<link[^>]+href=\"http", page)
    assert shared() == before
    assert not no_network
    assert "evidently.telemetry" not in sys.modules
    assert not "".join(capfd.readouterr())


def test_a_regression_is_drawn(tmp_path: Path) -> None:
    def numbers(seed: int) -> pd.DataFrame:
        random = np.random.default_rng(seed)
        frame = rows(300, seed).drop(columns=["text"])
        frame[TRUTH] = random.normal(size=300)
        frame["prediction"] = frame[TRUTH] + random.normal(size=300) / 3
        return frame

    *_, page = EvidentlyReport("regression").draw(numbers(0), numbers(1), tmp_path, "s")
    assert page.name == "regression_s.html"
    assert "Mean Absolute Percentage Error" in page.read_text(encoding="utf-8")


def test_three_classes_with_their_probabilities_are_drawn(tmp_path: Path) -> None:
    def scored(seed: int) -> pd.DataFrame:
        shares = np.random.default_rng(seed).dirichlet([1, 1, 1], 200)
        return rows(200, seed, ("a", "b", "<c>"), **dict(zip(("a", "b", "<c>"), shares.T, strict=True)))

    report = EvidentlyReport("classification", texts=("text",), classes=("a", "b", "<c>"))
    *_, page = report.draw(scored(0), scored(1), tmp_path, "s")
    assert page.name == "classification_s.html"


def test_two_classes_with_their_probabilities_are_drawn(tmp_path: Path) -> None:
    def scored(seed: int) -> pd.DataFrame:
        share = np.random.default_rng(seed).random(200)
        return rows(200, seed, spam=share, ham=1 - share)

    *_, page = EvidentlyReport("classification", texts=("text",), classes=("ham", "spam")).draw(scored(0), scored(1), tmp_path, "s")
    assert "ROC" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "performance"),
    [
        (lambda frame: frame.assign(**{TRUTH: "ham"}), False),  # one class
        (lambda frame: frame.assign(**{TRUTH: None}), False),
        (lambda frame: frame.drop(columns=[TRUTH]), False),
        (lambda frame: frame.head(5), False),
        (lambda frame: frame.head(1), False),
        (lambda frame: frame.assign(length=1.0, sender="x", known=True), True),  # constant
        (lambda frame: frame.assign(length=np.nan), True),
        (lambda frame: frame.assign(length=np.inf), True),
        (lambda frame: frame.assign(length=np.where(frame.index % 2, np.inf, 1e308)), True),
        (lambda frame: frame.assign(sender=[f"{number}" for number in range(len(frame))]), True),  # all different
        (lambda frame: frame.assign(prediction="other"), True),
        (lambda frame: frame.rename(columns={"length": 7, "sender": "</script>"}), True),
    ],
)
def test_awkward_rows_are_drawn_as_far_as_they_go(
    tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], performance: bool
) -> None:
    written = EvidentlyReport("classification", texts=("text",)).draw(change(rows(200, 0)), change(rows(200, 1)), tmp_path, "s")
    assert len(written) == 2 + performance
    assert all(path.stat().st_size > 100_000 for path in written)


def test_a_column_that_changed_its_kind_is_drawn_as_names(tmp_path: Path) -> None:
    then, now = rows(200, 0), rows(200, 1)
    EvidentlyReport("classification", texts=("text",)).draw(then, now.assign(length="long"), tmp_path, "s")


def test_hostile_names_do_not_reach_the_page_as_markup(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>"
    names = {"sender": evil, "length": evil + "2"}
    then, now = (rows(200, seed, ("ham", evil), kind=evil).rename(columns=names) for seed in (0, 1))
    for path in EvidentlyReport("classification", texts=("text",)).draw(then, now, tmp_path, "s"):
        assert "<script>alert(1)" not in path.read_text(encoding="utf-8")


def test_the_first_of_many_columns_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidently_report, "COLUMNS", 3)
    many = {f"column{number}": 1.0 + number for number in range(150)}
    page = EvidentlyReport("classification", texts=("text",)).draw(rows(200, 0, **many), rows(200, 1, **many), tmp_path, "s")[0]
    drawn = page.read_text(encoding="utf-8")
    assert "length" in drawn
    assert "column1" not in drawn


def test_nothing_to_compare_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="could not draw data drift: no column has values on both sides"):
        EvidentlyReport("classification").draw(rows(50, 0)[[TRUTH]], rows(50, 1)[[TRUTH]], tmp_path, "s")
    with pytest.raises(Unavailable, match="could not draw data drift"):
        EvidentlyReport("classification").draw(rows(50, 0).head(0), rows(50, 1), tmp_path, "s")


@pytest.mark.parametrize("error", [ValueError("deep\ninside"), KeyError(1), ZeroDivisionError()])
def test_an_error_of_evidently_is_translated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    import evidently

    def broken(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(evidently.Report, "run", broken)
    with pytest.raises(Unavailable, match=rf"Evidently could not draw data drift: {type(error).__name__}"):
        EvidentlyReport("classification").draw(rows(50, 0), rows(50, 1), tmp_path, "s")
    assert not list(tmp_path.iterdir())


def test_without_evidently_the_error_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any, **__: Any) -> None:
        raise MissingExtra("[reports] evidently = true needs evidently: pip install 'keepfit[evidently]'")

    monkeypatch.setattr(evidently_report, "require", missing)
    with pytest.raises(MissingExtra, match=r"keepfit\[evidently\]"):
        EvidentlyReport("classification").draw(rows(50, 0), rows(50, 1), tmp_path, "s")
