"""Where a cycle's numbers come from: versions, settings, code and seed."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import keepfit
from keepfit.config import Config
from keepfit.records import Provenance

LIBRARIES = ("scikit-learn", "numpy", "scipy", "pandas", "polars", "pyarrow", "joblib", "mlflow", "skops", "lightgbm")


def provenance(config: Config, code: str) -> Provenance:
    """`code` is the fingerprint of the project's own files."""
    return Provenance(
        keepfit=keepfit.__version__,
        python=platform.python_version(),
        libraries={name: found for name in LIBRARIES if (found := _installed(name))},
        config=config.fingerprint(),
        code=code,
        commit=_commit(config.root),
        seed=config.train.seed,
        platform=" ".join(part for part in (platform.system(), platform.machine(), "".join(platform.libc_ver())) if part),
    )


def file_hash(path: Path) -> str:
    """sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit(folder: Path) -> str | None:
    """The project's git commit, with "+changes" when files differ from it; None outside a repository or without git."""
    try:
        found = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+changes"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
