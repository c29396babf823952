"""LightGBM's own boosters, kept in LightGBM's own text format, as MLflow's flavour for them does.

LightGBM's scikit-learn classes are estimators: `SkopsModels` keeps them, alone or in a pipeline, once the user trusts them.
"""

from __future__ import annotations

import hashlib
import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keepfit.errors import DataError, ModelRefused
from keepfit.ports import Model, Predictions, StoredModel

if TYPE_CHECKING:
    import pandas as pd

BOOSTER = "lightgbm.basic.Booster"
FILE = "model.lgb"  # LightGBM's own text
CLASSES = "classes.json"


class LightgbmModels:
    """`ModelFormat` for LightGBM's `Booster`.

    A booster trained to classify knows its classes by number only: they are called "0", "1", ... unless the training function
    says how they are called by setting `booster.classes_ = ("ham", "spam")`.
    """

    def store(self, model: Any, folder: Path) -> StoredModel | None:
        if f"{type(model).__module__}.{type(model).__qualname__}" != BOOSTER:
            return None
        _classes(model)  # refuses names that do not fit before anything is written
        model.save_model(folder / FILE)
        if (names := getattr(model, "classes_", None)) is not None:
            (folder / CLASSES).write_text(json.dumps([str(name) for name in names]), encoding="utf-8")
        return StoredModel(
            content_hash=_content_hash(folder),
            flavours=_flavours(),
            requirements=tuple(f"{name}=={version(name)}" for name in ("lightgbm", "numpy", "pandas")),
        )

    def load(self, folder: Path, content_hash: str | None) -> Model | None:
        if not (folder / FILE).is_file():
            return None
        found = _content_hash(folder)
        if content_hash is not None and found != content_hash:
            raise ModelRefused(
                f"{FILE} is not the file that was registered: its sha256 is {found[:12]}…, "
                f"the version says {content_hash[:12]}…. Register the model again."
            )
        try:
            import lightgbm
        except ImportError as error:
            raise ModelRefused("The model is LightGBM's, which is not installed: pip install 'keepfit[lightgbm]'.") from error
        try:
            booster = lightgbm.Booster(model_file=str(folder / FILE))
            if (folder / CLASSES).is_file():
                booster.classes_ = tuple(str(name) for name in json.loads((folder / CLASSES).read_text(encoding="utf-8")))
        except Exception as error:  # LightGBM and JSON report damage in several ways
            raise ModelRefused(f"{FILE} cannot be read as a model: {error}") from error
        return LoadedBooster(booster)


def _flavours() -> dict[str, dict[str, Any]]:
    """What MLflow writes for a booster, so that plain MLflow opens ours."""
    return {
        "lightgbm": {
            "code": None,
            "data": FILE,
            "lgb_version": version("lightgbm"),
            "model_class": BOOSTER,
        },
        "python_function": {
            "data": FILE,
            "loader_module": "mlflow.lightgbm",
            "python_version": platform.python_version(),
        },
    }


class LoadedBooster:
    """`Model` over a booster. Two classes: the second from a probability of one half on."""

    def __init__(self, booster: Any) -> None:
        self._booster = booster
        self._classes = _classes(booster)

    def predict(self, features: pd.DataFrame) -> Predictions:
        needed = self._booster.feature_name()
        known = {_as_lightgbm_writes(str(name)): name for name in features.columns} | {str(name): name for name in features.columns}
        if missing := [name for name in needed if name not in known]:
            raise DataError(f"The model needs the columns {', '.join(missing)}, which the rows do not have.")
        raw = np.asarray(self._booster.predict(features[[known[name] for name in needed]]), dtype=float)
        if not self._classes:
            return Predictions(raw)
        probabilities = np.column_stack([1 - raw, raw]) if raw.ndim == 1 else raw
        chosen = (raw >= 0.5).astype(int) if raw.ndim == 1 else probabilities.argmax(axis=1)
        return Predictions(np.array(self._classes, dtype=object)[chosen], probabilities, self._classes)


def _as_lightgbm_writes(name: str) -> str:
    """A column's name as LightGBM keeps it: blanks are underscores."""
    return name.replace(" ", "_")


def _classes(booster: Any) -> tuple[str, ...]:
    """The names of the classes; none for a regression."""
    objective = str(booster.dump_model(num_iteration=1).get("objective", "")).split()
    if not objective or objective[0] not in {"binary", "multiclass", "multiclassova"}:
        return ()
    count = 2 if objective[0] == "binary" else booster.num_model_per_iteration()
    names = tuple(str(name) for name in getattr(booster, "classes_", range(count)))
    if len(names) != count:
        raise ModelRefused(f"The booster tells {count} classes apart, and classes_ names {len(names)}: {', '.join(names)}.")
    return names


def _content_hash(folder: Path) -> str:
    content = hashlib.sha256((folder / FILE).read_bytes())
    if (folder / CLASSES).is_file():
        content.update((folder / CLASSES).read_bytes())
    return content.hexdigest()
