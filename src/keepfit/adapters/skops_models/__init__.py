"""scikit-learn models, and those that follow its interface, kept in skops files: data, never code."""

from keepfit.adapters.skops_models.format import SkopsModels

__all__ = ["SkopsModels"]
