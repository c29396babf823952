"""scikit-learn as the trainer: candidates, how one is chosen, and the fit."""

from keepfit.adapters.sklearn_trainer.trainer import SklearnTrainer

__all__ = ["SklearnTrainer"]
