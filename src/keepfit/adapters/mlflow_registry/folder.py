"""The folder of a model as MLflow writes it, so that `mlflow.pyfunc.load_model` opens it without keepfit.

MLflow's own `log_model` needs the process's active run and starts another process to guess the requirements; writing the few
files takes milliseconds.
"""

from __future__ import annotations

import json
import platform
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keepfit.ports import StoredModel

if TYPE_CHECKING:
    import pandas as pd

EXAMPLE = "input_example.json"
EXAMPLE_ROWS = 5
ENVIRONMENT = {"conda": "conda.yaml", "virtualenv": "python_env.yaml"}


def complete(folder: Path, stored: StoredModel, features: pd.DataFrame, predictions: Any, *, run: str, model: str) -> None:
    """Add to the stored model the files MLmodel, requirements.txt, conda.yaml, python_env.yaml and an input example.

    `predictions` are what the model says of `features`: the signature is inferred from the two.
    """
    from mlflow.models import Model, infer_signature

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # whole numbers may be missing later; keepfit's column contract knows
        signature = infer_signature(features, predictions)
    metadata = Model(
        run_id=run,
        model_uuid=model,
        model_id=model,
        signature=signature,
        saved_input_example_info={"artifact_path": EXAMPLE, "type": "dataframe", "pandas_orient": "split"},
    )
    for name, entries in stored.flavours.items():
        metadata.add_flavor(name, **(dict(entries) | ({"env": ENVIRONMENT} if name == "python_function" else {})))
    requirements = sorted({*stored.requirements, f"mlflow=={version('mlflow')}"})
    example = features.head(EXAMPLE_ROWS).reset_index(drop=True)
    (folder / EXAMPLE).write_text(example.to_json(orient="split", index=False, date_format="iso"), encoding="utf-8")
    (folder / "requirements.txt").write_text("".join(f"{line}\n" for line in requirements), encoding="utf-8")
    _write_environments(folder, requirements)
    metadata.save(str(folder / "MLmodel"))


def _write_environments(folder: Path, requirements: list[str]) -> None:
    """Both files as JSON, which is YAML too."""
    python = platform.python_version()
    conda = {
        "name": "mlflow-env",
        "channels": ["conda-forge"],
        "dependencies": [f"python={python}", "pip", {"pip": requirements}],
    }
    plain = {"python": python, "build_dependencies": ["pip", "setuptools", "wheel"], "dependencies": ["-r requirements.txt"]}
    (folder / ENVIRONMENT["conda"]).write_text(json.dumps(conda, indent=1), encoding="utf-8")
    (folder / ENVIRONMENT["virtualenv"]).write_text(json.dumps(plain, indent=1), encoding="utf-8")
