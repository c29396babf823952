"""What a person does in MLflow, with MLflow's own client."""

from __future__ import annotations

from mlflow import MlflowClient


def point(url: str, model: str, alias: str, version: str) -> None:
    MlflowClient(url, url).set_registered_model_alias(model, alias, version)


def unpoint(url: str, model: str, alias: str) -> None:
    MlflowClient(url, url).delete_registered_model_alias(model, alias)


def delete_version(url: str, model: str, version: str) -> None:
    MlflowClient(url, url).delete_model_version(model, version)


def copy_version(url: str, model: str, version: str) -> None:
    """Register the files of a version once more, as a person's own version without keepfit's tags."""
    client = MlflowClient(url, url)
    found = client.get_model_version(model, version)
    client.create_model_version(model, found.source, run_id=found.run_id)
