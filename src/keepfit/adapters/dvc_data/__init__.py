"""DVC as the keeper of data: the command `dvc` for the bytes, git for the pointers to them."""

from keepfit.adapters.dvc_data.versions import DvcVersions

__all__ = ["DvcVersions"]
