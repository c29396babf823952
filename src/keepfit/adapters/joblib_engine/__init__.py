"""Heavy work on a cluster of Dask, Ray or Spark, each through its backend for joblib."""

from keepfit.adapters.joblib_engine.cluster import ClusterEngine

__all__ = ["ClusterEngine"]
