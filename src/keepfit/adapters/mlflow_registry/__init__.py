"""MLflow as the registry of models and the keeper of runs."""

from keepfit.adapters.mlflow_registry.attic import MlflowAttic
from keepfit.adapters.mlflow_registry.references import MlflowReferences
from keepfit.adapters.mlflow_registry.registry import MlflowRegistry
from keepfit.adapters.mlflow_registry.shelf import MlflowShelf
from keepfit.adapters.mlflow_registry.tracker import MlflowTracker

__all__ = ["MlflowAttic", "MlflowReferences", "MlflowRegistry", "MlflowShelf", "MlflowTracker"]
