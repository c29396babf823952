"""The column contract held by Great Expectations: a suite, a checkpoint and Data Docs in a folder of the project."""

from keepfit.adapters.gx_checks.checks import GxChecks

__all__ = ["GxChecks"]
