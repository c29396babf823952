"""Every cycle's data under DVC: three folders in its cache and at its remote, and in the project's folder the pointers to them.

The pointers lie in data-versions/CYCLE: raw.dvc, processed.dvc and reference.dvc as `dvc add` wrote them, and the manifest. Between
cycles nothing else lies there: `dvc pull` brings the files, `dvc gc` and git are the user's.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from keepfit.adapters.dvc_data.bringing import bring
from keepfit.adapters.dvc_data.command import Dvc, DvcFailed
from keepfit.adapters.dvc_data.pending import Pending
from keepfit.adapters.dvc_data.publishing import Publishing
from keepfit.codec import dumps, loads
from keepfit.data_records import FOLDERS, KeptData, Manifest
from keepfit.errors import ConfigError, DataError, Unavailable
from keepfit.ports import Kept, Versions
from keepfit.settings import Dvc as DvcSettings

PLACE = "data-versions"  # outside of data/, which many a .gitignore names
MANIFEST = "manifest.json"


class DvcVersions:
    """See `keepfit.ports.Versions`.

    `sources` brings what DVC does not have (yet); `state` is a file that remembers what is still to be pushed and committed,
    `scratch` a folder for what is put together.
    """

    def __init__(self, root: Path, settings: DvcSettings, sources: Versions, state: Path, scratch: Path) -> None:
        self._root, self._sources, self._scratch = root, sources, scratch
        self._dvc, self._pending = Dvc(root), Pending(state)
        self._publishing = Publishing(root, settings, self._dvc, self._pending)

    def keep(self, manifest: Manifest, made: Mapping[str, bytes]) -> KeptData:
        with _translated("The data of this cycle cannot be kept"):
            remote = self._publishing.prepare()
            kept = self._found(manifest) or self._add(manifest, made, remote)
            commit, notes = self._publishing.commit(f"Data of cycle {manifest.cycle}", self._place(manifest))
            notes += self._publishing.push(self._pointers)
        gone = tuple(f"{path} is not part of this cycle's data version: {why}" for path, why in kept.missing.items())
        return KeptData(manifest=kept, commit=commit, notes=(*gone, *notes))

    def bring(self, manifest: Manifest, to: Path, version: str | None = None) -> Mapping[str, str]:
        with _translated("The data cannot be brought"), self._work() as place:
            problems = bring(manifest, to, self._root / self._place(manifest), self._dvc, place)
        if not problems:
            return {}
        lost = tuple(file for file in manifest.files if file.path in problems)
        others = self._sources.bring(replace(manifest, files=lost), to, version)
        return {path: f"{problems[path]}; {why}" for path, why in others.items()}

    def check(self) -> str:
        return f"kept by DVC, {self._publishing.told}; nobody was asked"

    def kept(self) -> Sequence[Kept]:
        found = sorted((self._root / PLACE).glob(f"*/{MANIFEST}"))
        return [
            Kept(
                name=file.parent.name,
                size=sum(each.stat().st_size for each in file.parent.iterdir() if each.is_file()),
                at=datetime.fromtimestamp(file.stat().st_mtime, UTC),
            )
            for file in found
        ]

    def remove(self, name: str) -> None:
        """The pointers, also in git. The bytes go with `dvc gc`, which asks which of the repository's versions shall stay."""
        place = f"{PLACE}/{name}"
        with _translated("The pointers cannot be removed"):
            paths = [f"{place}/{each.name}" for each in (self._root / place).glob("*") if each.is_file()]
            self._pending.done(push=[name])
            self._pending.add(commit=paths)
            shutil.rmtree(self._root / place, ignore_errors=True)
            self._publishing.commit(f"Data of cycle {name} are no longer kept", place)

    def _found(self, manifest: Manifest) -> Manifest | None:
        """What this cycle kept before it was killed; None when it did not get that far, or has other data now."""
        try:
            kept = loads(Manifest, (self._root / self._place(manifest) / MANIFEST).read_bytes())
        except (OSError, ValueError):
            return None
        same = {file for file in manifest.files if file.path not in kept.missing} == set(kept.files)
        return kept if same and all((self._root / path).is_file() for path in self._pointers(manifest.cycle)) else None

    def _add(self, manifest: Manifest, made: Mapping[str, bytes], remote: str | None) -> Manifest:
        """Put the files into folders, have DVC take them, and leave its pointers."""
        place = self._root / self._place(manifest)
        try:
            _clear(place)  # half of what a killed run put there
            missing = self._fill(place, manifest, made)
            files = tuple(file for file in manifest.files if file.path not in missing)
            kept = replace(manifest, files=files, missing=dict(missing))
            folders = [folder for folder in FOLDERS if kept.of(folder)]
            self._dvc.add([f"{self._place(manifest)}/{folder}" for folder in folders])
        finally:
            _clear(place)  # DVC has them
        pointers = {folder: self._pointer(place / f"{folder}.dvc", len(kept.of(folder)), remote) for folder in folders}
        kept = replace(kept, pointers=pointers)
        names = [*(f"{folder}.dvc" for folder in folders), ".gitignore", MANIFEST]
        self._pending.add(push=[kept.cycle], commit=[f"{self._place(kept)}/{name}" for name in names])
        _write(place / MANIFEST, dumps(kept))  # last: with it the cycle's data are kept
        return kept

    def _fill(self, place: Path, manifest: Manifest, made: Mapping[str, bytes]) -> Mapping[str, str]:
        for path, content in made.items():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_bytes(content)
        there = tuple(file for file in manifest.files if file.path not in made)
        return self._sources.bring(replace(manifest, files=there), place)

    def _pointer(self, file: Path, count: int, remote: str | None) -> str:
        """The text of a pointer that DVC wrote, naming the remote where it is not the repository's own."""
        text = file.read_text(encoding="utf-8")
        if f"nfiles: {count}\n" not in text:
            raise ConfigError(
                f"DVC did not take all {count} files of {file.with_suffix('').name}: does .dvcignore name some of them? "
                f"{PLACE}/ must not be ignored."
            )
        if remote is not None and "\n  remote: " not in text:
            text = f"{text.rstrip()}\n  remote: {remote}\n"
            _write(file, text)
        return text

    def _pointers(self, cycle: str) -> list[str]:
        found = sorted((self._root / PLACE / cycle).glob("*.dvc"))
        return [file.relative_to(self._root).as_posix() for file in found]

    def _place(self, manifest: Manifest) -> str:
        return f"{PLACE}/{manifest.cycle}"

    @contextlib.contextmanager
    def _work(self) -> Iterator[Path]:
        self._scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="dvc-", suffix=f".{os.getpid()}", dir=self._scratch) as place:
            yield Path(place)


def _clear(place: Path) -> None:
    for folder in FOLDERS:
        shutil.rmtree(place / folder, ignore_errors=True)


def _write(file: Path, text: str) -> None:
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except DvcFailed as error:
        if error.locked or error.silent or "No space left" in str(error):
            raise Unavailable(f"{what}: DVC says {error}. Nothing is lost; run again when that is over.") from error
        if "git-ignored" in str(error):
            raise ConfigError(f"{what}: git is told to ignore {PLACE}/. Take it out of .gitignore, and run again.") from error
        raise ConfigError(f"{what}: DVC says {error}. `dvc doctor` in the project's folder tells more.") from error
    except DataError:
        raise
    except OSError as error:
        raise Unavailable(f"{what}: {error.filename}: {error.strerror}. Mend that, and run again.") from error
