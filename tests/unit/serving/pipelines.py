"""Fitted pipelines for the tests of compiled models."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from keepfit.fitted import FittedModel
from keepfit.serving.compiled.linear import Said
from keepfit.steps import CapOutliers, OneText

WORDS = [
    "call",
    "free",
    "now",
    "win",
    "cash",
    "prize",
    "claim",
    "hello",
    "lunch",
    "noon",
    "tomorrow",
    "meeting",
    "home",
    "love",
    "ok",
    "later",
    "see",
    "you",
    "at",
    "the",
    "a",
    "ÜBER",
    "façade",
    "£5",
    "!!",
]
TABLE = {"age": "number", "count": "integer", "flag": "boolean", "colour": "category", "city": "category"}
MESSAGE = {"message": "text"}


def table(rows: int = 300, seed: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": draw.normal(1e6, 3, rows),
            "count": draw.poisson(3, rows).astype(float),
            "flag": (draw.random(rows) < 0.4).astype(float),
            "colour": draw.choice(["red", "green", "blue", "rare"], rows, p=[0.5, 0.3, 0.19, 0.01]).astype(object),
            "city": draw.choice(["Ulm", "Bath"], rows).astype(object),
        }
    )
    for name in frame:
        frame.loc[draw.random(rows) < 0.05, name] = None if name in ("colour", "city") else np.nan
    return frame


def outcome(frame: pd.DataFrame, classes: int, seed: int = 0) -> np.ndarray:
    score = frame["age"].fillna(1e6) - 1e6 + frame["count"].fillna(3) + 2 * (frame["colour"] == "red")
    score = score + np.random.default_rng(seed).normal(0, 2, len(frame))
    ranks = np.argsort(np.argsort(score.to_numpy()))
    return np.array(list("abcdef"))[ranks * classes // len(frame)]


def messages(rows: int = 240, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    draw = np.random.default_rng(seed)
    kinds = draw.integers(0, 3, rows)
    texts = [" ".join(draw.choice(WORDS[kind * 6 : kind * 6 + 14], draw.integers(2, 12))) for kind in kinds]
    return pd.DataFrame({"message": np.array(texts, dtype=object)}), np.array(["spam", "ham", "other"])[kinds]


def columns(*, scale: Any = None, factor: float | None = 1.5, **encoder: Any) -> ColumnTransformer:
    """As keepfit's trainer prepares tables."""
    caps = [("cap", CapOutliers(factor=factor))] if factor else []
    numbers = Pipeline([*caps, ("impute", SimpleImputer(strategy="median")), ("scale", scale or StandardScaler())])
    one_hot = OneHotEncoder(**{"handle_unknown": "infrequent_if_exist", "min_frequency": 5, "sparse_output": False} | encoder)
    mode = SimpleImputer(strategy="most_frequent", missing_values=None)
    categories = Pipeline([("impute", mode), ("encode", one_hot)])
    return ColumnTransformer([("n", numbers, ["age", "count", "flag"]), ("c", categories, ["colour", "city"])])


def texts(**words: Any) -> ColumnTransformer:
    """Words and the characters of words, side by side."""
    settings = {"ngram_range": (1, 2), "sublinear_tf": True} | words
    both = FeatureUnion(
        [
            ("words", TfidfVectorizer(**settings)),
            ("characters", TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, lowercase=False)),
        ],
        transformer_weights={"characters": 0.7},
    )
    return ColumnTransformer([("text", Pipeline([("one", OneText()), ("both", both)]), ["message"])])


def plainly(model: Any, frame: pd.DataFrame) -> list[Said]:
    """What the model itself says, as a compiled one would."""
    told = FittedModel(model).predict(frame)
    if not told.classes:
        return [(0, None, float(value), []) for value in told.values]
    probabilities = [None] * len(frame) if told.probabilities is None else told.probabilities.tolist()
    return [(told.classes.index(str(label)), one, None, []) for label, one in zip(told.values, probabilities, strict=True)]


def as_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The frame as requests: None where a cell is empty."""
    return [
        {name: None if value is None or value != value else value for name, value in row.items()}
        for row in frame.to_dict("records")
    ]


def assert_same(one: list[Said], other: list[Said]) -> None:
    assert [said[0] for said in one] == [said[0] for said in other]
    for mine, theirs in zip(one, other, strict=True):
        if theirs[1] is None:
            assert mine[1] is None
        else:
            np.testing.assert_allclose(mine[1], theirs[1], rtol=0, atol=1e-9)
        if theirs[2] is not None:
            np.testing.assert_allclose(mine[2], theirs[2], rtol=1e-9)
