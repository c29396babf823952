"""Brings the data of a cycle back from where they lie: the files' folders, the prepared frames, the registry. Keeps no copies."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from keepfit.data_records import PROCESSED, RAW, DataFile, KeptData, Manifest
from keepfit.errors import DataError, NotFound
from keepfit.ports import Frames, Kept, Originals, References
from keepfit.records import Batch
from keepfit.versions import REFERENCE_PATH


class ManifestVersions:
    """See `keepfit.ports.Versions`. The manifest itself, with every hash, lies with the model version.

    `known` tells what has become of batches since: where each lies now and under which name.
    """

    def __init__(
        self,
        originals: Originals,
        frames: Frames,
        references: Callable[[], References],
        known: Callable[[Iterable[str]], Mapping[str, Batch]],
    ) -> None:
        self._originals, self._frames, self._references, self._known = originals, frames, references, known

    def keep(self, manifest: Manifest, made: Mapping[str, bytes]) -> KeptData:  # noqa: ARG002 - part of the port
        return KeptData(manifest=manifest)

    def bring(self, manifest: Manifest, to: Path, version: str | None = None) -> Mapping[str, str]:
        batches = self._known([file.sha256 for file in manifest.of(RAW)])
        problems: dict[str, str] = {}
        for file in manifest.files:
            target = to / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._bring(file, batches.get(file.sha256), version, target)
            except (DataError, NotFound) as error:
                problems[file.path] = str(error)
        return problems

    def check(self) -> str:
        return "kept findable by their hashes; nothing is copied"

    def kept(self) -> Sequence[Kept]:
        return ()

    def remove(self, name: str) -> None:
        """Nothing was put away."""

    def _bring(self, file: DataFile, batch: Batch | None, version: str | None, target: Path) -> None:
        if file.folder == RAW:
            self._originals.fetch(batch or Batch(id=file.sha256, name=file.name, size=file.size), target)
            return
        with tempfile.TemporaryDirectory(prefix=".keepfit-", dir=target.parent) as place:
            found = Path(place) / "file"
            if file.folder == PROCESSED:
                self._frames.fetch(file.name, found)
            else:
                found = self._reference(version, Path(place))
            if (digest := _hash(found)) != file.sha256:
                raise DataError(f"it is another one by now: expected the sha256 {file.sha256}, found {digest}")
            found.replace(target)

    def _reference(self, version: str | None, place: Path) -> Path:
        if version is None or not self._references().fetch(version, REFERENCE_PATH, place):
            raise DataError("the reference is not with its model version any more")
        return place / REFERENCE_PATH


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
