"""Models, what a good one is, and who fits them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from keepfit.records import CandidateScore

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas as pd


@dataclass(frozen=True)
class Predictions:
    """What a model says of `n` rows."""

    values: np.ndarray  # (n,) predicted classes as text, or numbers
    probabilities: np.ndarray | None = None  # (n, classes), rows sum to 1
    classes: tuple[str, ...] = ()  # the columns of probabilities
    decision: np.ndarray | None = None  # where there are no probabilities: (n,) for the second class, or (n, classes)

    def of(self, rows: np.ndarray) -> Predictions:
        """Of some rows: a mask (n,), or their numbers."""
        parts = (None if each is None else each[rows] for each in (self.probabilities, self.decision))
        probabilities, decision = parts
        return Predictions(self.values[rows], probabilities, self.classes, decision)


class Model(Protocol):
    """A loaded model."""

    def predict(self, features: pd.DataFrame) -> Predictions:
        """Predict prepared rows. Raises `DataError` when a column it needs is missing."""
        ...


@dataclass(frozen=True, kw_only=True)
class StoredModel:
    """A model that was written into a folder."""

    content_hash: str  # sha256, equal for equal models whoever fitted them and when
    flavours: Mapping[str, Mapping[str, Any]]  # MLflow's flavours that open it, with their entries in the file MLmodel
    requirements: tuple[str, ...]  # what must be installed to load it, pinned


class ModelFormat(Protocol):
    """One way to keep models in a folder without pickle."""

    def store(self, model: Any, folder: Path) -> StoredModel | None:
        """Write the model, or None when it is not of this format's kind. Raises `ModelRefused` when it could not be loaded."""
        ...

    def load(self, folder: Path, content_hash: str | None) -> Model | None:
        """Load without running unknown code; None when the folder holds nothing of this format.

        Raises `ModelRefused`, also when `content_hash` is given and what lies there has another.
        """
        ...


class Statistics(Protocol):
    """One model's metric on one holdout, ready to be resampled."""

    @property
    def units(self) -> int:
        """How many independent units (rows or groups) it rests on."""
        ...

    def values(self, weights: np.ndarray) -> np.ndarray:
        """The metric under each row of `weights` (resamples, units): how often each unit counts. Shape (resamples,);
        NaN where it is undefined."""
        ...


class Metric(Protocol):
    """What a good model is."""

    @property
    def name(self) -> str: ...

    @property
    def greater_is_better(self) -> bool: ...

    def statistics(
        self, truth: np.ndarray, predictions: Predictions, groups: np.ndarray | None, frame: pd.DataFrame | None = None
    ) -> Statistics:
        """`truth` (n,), labels as text or numbers; `groups` (n,) or None where rows are independent; `frame` the n prepared
        rows, for metrics of the user's that look at them."""
        ...


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A fitted model and how it was chosen."""

    model: Any  # the fitted object, with all that was fitted inside it
    name: str
    parameters: dict[str, str]
    window: str
    rows: int
    files: tuple[str, ...] = ()  # ids of the batches that these rows came from
    scores: tuple[CandidateScore, ...]


class Trainer(Protocol):
    """Fits models. Everything is chosen inside the rows it is given."""

    def train(self, rows: pd.DataFrame, features: Sequence[str]) -> Trained:
        """`rows` hold the feature columns and keepfit's own (`keepfit.prepared`), in order of arrival.

        Raises `DataError` when they cannot be trained on (one class), `UserCodeError` when the user's function fails.
        """
        ...

    def baseline(self, rows: pd.DataFrame) -> Model:
        """A model that ignores its input: the most frequent class, or the mean."""
        ...

    def loss_model(self, rows: pd.DataFrame, features: Sequence[str], losses: np.ndarray) -> Model:
        """A small model of how large another model's loss is on a row. `losses` (n,), none negative, best with a mean near 1.
        Equal arguments give equal models."""
        ...


class ProjectCode(Protocol):
    """The functions that a project brings along."""

    @property
    def fingerprint(self) -> str:
        """Hash of the project's Python files that prepare and train."""
        ...

    def prepare(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The project's features of one batch, or the frame itself. The target is not among its columns.

        Raises `UserCodeError`."""
        ...

    def sources(self) -> dict[str, str]:
        """The project's Python files, name -> text: kept with every model version."""
        ...

    def at(self, fingerprint: str) -> ProjectCode | None:
        """The code as it was when its fingerprint was this; None when that is not known here."""
        ...
