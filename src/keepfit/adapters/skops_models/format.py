"""Stores a fitted estimator as canonical skops bytes and loads it back, trusting only reviewed types."""

from __future__ import annotations

import hashlib
import io
import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from keepfit.adapters.skops_models.bounds import check_trees
from keepfit.adapters.skops_models.canonical import canonical
from keepfit.adapters.skops_models.limits import check_archive
from keepfit.adapters.skops_models.reviewed import REVIEWED_TYPES
from keepfit.errors import ModelRefused, NotFound
from keepfit.fitted import FittedModel
from keepfit.ports import Model, StoredModel

FILE = "model.skops"


class SkopsModels:
    """`ModelFormat` for estimators.

    `trusted_types` are the user's own, by full name ("features.Clean", "lightgbm.sklearn.LGBMClassifier"); a type is trusted
    because it stands there or in the reviewed list, never because the file names it.
    """

    def __init__(self, trusted_types: Sequence[str] = ()) -> None:
        self._trusted = sorted({*REVIEWED_TYPES, *trusted_types})

    def store(self, model: Any, folder: Path) -> StoredModel | None:
        if not (hasattr(model, "predict") and hasattr(model, "get_params")):
            return None
        data, untrusted = self._dump(model)
        (folder / FILE).write_bytes(data)
        return StoredModel(
            content_hash=hashlib.sha256(data).hexdigest(),
            flavours=_flavours(untrusted),
            requirements=_requirements(untrusted),
        )

    def load(self, folder: Path, content_hash: str | None) -> Model | None:
        file = folder / FILE
        if not file.is_file():
            return None
        data = file.read_bytes()  # once: what is hashed is what is loaded
        found = hashlib.sha256(data).hexdigest()
        if content_hash is not None and found != content_hash:
            raise ModelRefused(
                f"{FILE} is not the file that was registered: its sha256 is {found[:12]}…, "
                f"the version says {content_hash[:12]}…. Register the model again."
            )
        return FittedModel(self._loads(data))

    def read(self, file: Path) -> Any:
        """The estimator in a skops file that lies anywhere, under the same rules."""
        try:
            return self._loads(file.read_bytes())
        except OSError as error:
            raise NotFound(f"{file} cannot be read: {error.strerror}") from error

    def _dump(self, model: Any) -> tuple[bytes, list[str]]:
        import skops.io

        try:
            data = canonical(skops.io.dumps(model))
        except Exception as error:  # skops raises whatever the object's own code raises
            raise ModelRefused(
                f"{type(model).__name__} cannot be stored without pickle: {error}. Use named functions and classes that can "
                "be imported, or another estimator."
            ) from error
        untrusted = skops.io.get_untrusted_types(data=data)
        self._refuse(untrusted)
        return data, untrusted

    def _loads(self, data: bytes) -> Any:
        check_archive(data)
        import skops.io
        from skops.io.exceptions import UntrustedTypesFoundException

        try:
            model = skops.io.load(io.BytesIO(data), trusted=self._trusted)
        except UntrustedTypesFoundException as error:
            self._refuse(skops.io.get_untrusted_types(data=data))  # says how to trust them
            raise ModelRefused(f"The file holds what nobody has trusted: {error}") from None
        except Exception as error:  # hostile or foreign bytes fail anywhere between zip, JSON, numpy and scikit-learn
            raise ModelRefused(f"The file cannot be read as a model: {type(error).__name__}: {error}") from error
        check_trees(model)
        return model

    def _refuse(self, types: Iterable[str]) -> None:
        unknown = sorted(set(types) - set(self._trusted))
        if unknown:
            names = ", ".join(f'"{name}"' for name in unknown)
            raise ModelRefused(
                f"The model holds types that nobody has trusted: {', '.join(unknown)}. If you know where they come from and "
                f"what they do, name them in keepfit.toml:\n\n[tracking]\ntrusted_types = [{names}]"
            )


def _flavours(types: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What MLflow writes for a model of its own, so that plain MLflow opens ours."""
    return {
        "python_function": {
            "loader_module": "mlflow.sklearn",
            "model_path": FILE,
            "predict_fn": "predict",
            "python_version": platform.python_version(),
        },
        "sklearn": {
            "pickled_model": FILE,  # MLflow's name for the file, whatever its format
            "serialization_format": "skops",
            "skops_trusted_types": list(types),
            "sklearn_version": version("scikit-learn"),
            "code": None,
        },
    }


def _requirements(types: Sequence[str]) -> tuple[str, ...]:
    names = {"numpy", "pandas", "scikit-learn", "scipy", "skops"}
    pinned = {f"{name}=={version(name)}" for name in names}
    for package in {name.partition(".")[0] for name in types} - {"builtins", "collections", "sklearn", *names}:
        try:
            pinned.add(f"{package}=={version(package)}")
        except PackageNotFoundError:  # the project's own module
            continue
    return tuple(sorted(pinned))
