"""A fitted pipeline as plain arithmetic.

scikit-learn spends milliseconds on one row, nearly all of it on checks and on making tables. Where a pipeline is one that is known
here (numbers filled in and scaled, categories one-hot, texts as words and characters, and a linear model, naive Bayes or a
calibration of these at its end), its fitted numbers are taken out once, and a row then costs some microseconds:

    columns.py   which fields go through which steps, to blocks of columns
    numbers.py, categories.py, texts.py   the three kinds of block
    ends.py      what is made of the columns: scores, classes, probabilities
    linear.py    blocks and a linear end together: answers, and what each feature contributed
    dense.py     blocks and any other end, such as a boosting, which gets its columns as one array
    proof.py     the rows on which both must say the same before the short way is taken

Whatever is not known is not guessed: `NotCompiled` says what it was, and the model is asked as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keepfit.serving.compiled.blocks import NotCompiled
from keepfit.serving.compiled.categories import CategoryBlock
from keepfit.serving.compiled.columns import Table, take_apart
from keepfit.serving.compiled.dense import Dense
from keepfit.serving.compiled.ends import linear_end
from keepfit.serving.compiled.linear import Linear
from keepfit.serving.compiled.texts import Text

__all__ = ["Compiled", "Dense", "Linear", "NotCompiled", "compiled", "known_terms"]

Compiled = Linear | Dense


def compiled(model: Any, types: Mapping[str, str]) -> Compiled:
    """A fitted pipeline or estimator as arithmetic on rows.

    `types` are the features in the model's order with the contract's types (number, category, text, ...). Raises `NotCompiled`
    saying what is not known. What is returned still has to be proven: see `proof.difference`.
    """
    try:
        taken = take_apart(model, Table(dict(types)))
        try:
            return Linear(taken.columns, linear_end(taken.end))
        except NotCompiled as error:
            if hasattr(taken.end, "coef_") or hasattr(taken.end, "feature_log_prob_"):
                raise
            return _dense(taken.columns, taken.end, error)
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:  # another scikit-learn's attributes
        raise NotCompiled(f"{type(model).__name__} is built in a way that is not known: {type(error).__name__}: {error}") from error


def _dense(columns: Any, end: Any, why: NotCompiled) -> Dense:
    try:
        return Dense(columns, end)
    except NotCompiled as other:
        raise NotCompiled(f"{why}; {other}") from None


def known_terms(model: Compiled) -> dict[str, Sequence[str]]:
    """The categories, or some of the terms, that a compiled model knows of its fields: what to try it with."""
    found: dict[str, list[str]] = {}
    for block in model.blocks:
        if isinstance(block, Text):
            found.setdefault(block.field, []).extend(block.sample)
        elif isinstance(block, CategoryBlock):
            for category, columns in zip(block.categories, block.columns, strict=True):
                found.setdefault(category.field, []).extend(name for name in columns if name is not None)
    return dict(found)
