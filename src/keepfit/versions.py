"""What a model version says of itself, in tags; the same in every registry."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from keepfit.errors import ModelRefused
from keepfit.records import ModelVersion

if TYPE_CHECKING:
    import polars as pl

REFERENCE_PATH = "reference/reference.parquet"  # artifact with the rows that stand for what the model was trained on
PROFILE_PATH = "reference/profile.json"  # artifact with their profile
INPUTS_PATH = "serving/inputs.json"  # artifact that says what to ask the model with; see `keepfit.inputs`
CODE_PATH = "code"  # folder of artifacts with the project's Python files
MANIFEST_PATH = "data/manifest.json"  # artifact that names the data, file by file; see `keepfit.data_records`
SETTINGS_PATH = "settings/settings.json"  # artifact with the effective settings and the column contract, without secrets


class Tag(StrEnum):
    """The tags that are read back; any others are kept for people to look at."""

    # written by the registry
    CYCLE = "keepfit.cycle"
    CONTENT_HASH = "keepfit.content_hash"
    REFERENCE = "keepfit.reference"  # where the reference rows are
    PROFILE = "keepfit.profile"  # where their profile is, when it was registered too
    SERVED = "keepfit.served"  # see `hash_of_served`
    # given with the registration, or by `annotate`
    TRAINED_AT = "keepfit.trained_at"  # ISO 8601; the version's creation when absent
    CODE = "keepfit.code"
    PREPARED = "keepfit.prepared"
    METRIC = "keepfit.metric"
    VALUE = "keepfit.value"  # of the metric, on the holdout the version was accepted on
    VALUE_LOW = "keepfit.value_low"  # its interval
    VALUE_HIGH = "keepfit.value_high"
    OUTSIDE = "keepfit.outside"  # "true" when it was registered from a file


def described(name: str, version: str, run: str, tags: Mapping[str, str], created: datetime) -> ModelVersion:
    """The record of a version from its tags. A version without a cycle was made elsewhere."""
    return ModelVersion(
        name=name,
        version=version,
        run_id=run,
        uri=f"models:/{name}/{version}",
        cycle=tags.get(Tag.CYCLE),
        metric=tags.get(Tag.METRIC),
        reference=_number(tags.get(Tag.VALUE)),
        reference_low=_number(tags.get(Tag.VALUE_LOW)),
        reference_high=_number(tags.get(Tag.VALUE_HIGH)),
        trained_at=datetime.fromisoformat(tags[Tag.TRAINED_AT]) if Tag.TRAINED_AT in tags else created,
        content_hash=tags.get(Tag.CONTENT_HASH),
        code=tags.get(Tag.CODE),
        prepared=tags.get(Tag.PREPARED),
        outside=tags.get(Tag.OUTSIDE) == "true" or Tag.CYCLE not in tags,
    )


def hash_of_served(folder: Path) -> str:
    """sha256 of all that a server reads and runs of a version besides its model: the files at INPUTS_PATH and below CODE_PATH."""
    digest = hashlib.sha256()
    files = [folder / INPUTS_PATH, *(folder / CODE_PATH).rglob("*")]
    for name, file in sorted((file.relative_to(folder).as_posix(), file) for file in files if file.is_file()):
        digest.update(f"{name}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def kept_sources(folder: Path) -> dict[str, str]:
    """The project's modules as they were kept with a version, by their names; `folder` is the one at CODE_PATH. Raises
    `ModelRefused` for a file whose name is no module's: it would be written elsewhere."""
    sources: dict[str, str] = {}
    for file in sorted(folder.glob("*.py")):
        if not all(part.isidentifier() for part in file.stem.split(".")):
            raise ModelRefused(f"{file.name!r}, kept with the version, is no module's name: none of its code is used.")
        try:
            sources[file.stem] = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ModelRefused(f"{file.name}, kept with the version, cannot be read: {reason}") from None
    return sources


def code_fingerprint(sources: Mapping[str, str]) -> str:
    """What the project's modules, by their names, are known by."""
    digest = hashlib.sha256()
    for name, text in sorted(sources.items()):
        digest.update(f"{name}\0{text}\0".encode())
    return digest.hexdigest()[:16]


def write_sources(sources: Mapping[str, str], folder: Path) -> None:
    """Modules by their names, each where it is imported from."""
    for name, text in sources.items():
        path = folder / (name.replace(".", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def reference_bytes(rows: pl.DataFrame) -> bytes:
    """The file at REFERENCE_PATH: the same bytes for the same rows, so that it is known by its hash before it is written."""
    file = io.BytesIO()  # not a file on disk: polars does not say that a disk is full
    rows.write_parquet(file)
    return file.getvalue()


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:  # a person wrote it in MLflow
        return None
