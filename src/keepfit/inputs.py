"""What a model version is asked with, and how sure its answers are: stored with the version, so that whoever serves it needs
nothing else.

This is the artifact at `keepfit.versions.INPUTS_PATH`. A version without it (registered before, or elsewhere) is described by its
MLflow signature instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from keepfit.settings import Column


@dataclass(frozen=True, kw_only=True)
class Confidence:
    """How often a model is right when it is this sure, learnt on held-out rows: top-label calibration."""

    odds: tuple[float, ...]  # log-odds of the predicted class as the model gives them, ascending
    probability: tuple[float, ...]  # how often it was right there; in between, linear, and flat beyond both ends
    rows: int  # labelled held-out rows behind it
    error: float | None = None  # expected calibration error of these confidences, cross-fitted; None: not measured


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What to ask a model version with."""

    task: str  # classification or regression
    target: str
    columns: dict[str, Column]  # the contract's columns but for the target: the fields of a request
    optional: tuple[str, ...] = ()  # fields that may be left out: no features (id, time, group), or not required
    features: tuple[str, ...] = ()  # columns of the prepared rows, as the model was trained on them
    texts: tuple[str, ...] = ()  # those of them that hold text
    hidden: tuple[str, ...] = ()  # columns that prepare may see and the model may not
    prepare: str | None = None  # the project's function, as "module:function"; its file is under the artifact folder code/
    classes: tuple[str, ...] = ()  # as text
    positive: str | None = None  # train.positive
    confidence: Confidence | None = None  # None: the model's own probabilities are given
    example: dict[str, Any] = field(default_factory=dict)  # a request that the model can answer
