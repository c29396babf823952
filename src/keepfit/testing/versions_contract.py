"""What every keeper of data must do, as tests.

    class TestMine(VersionsContract):
        @pytest.fixture
        def open_versions(self, tmp_path):
            return lambda data: MyVersions(tmp_path, data)

`data` is what the files lie in, see `DataAtHand`; `open_versions` opens the same keeper each time it is called, and a test gets an
empty one.
"""

# ruff: noqa: S101  # these are tests, shipped so that other people's keepers can run them

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from keepfit.data_records import PROCESSED, RAW, REFERENCE_FILE, DataFile, Manifest
from keepfit.errors import DataError, NotFound
from keepfit.ports import Versions
from keepfit.records import Batch, Place
from keepfit.versions import REFERENCE_PATH

VERSION = "1"  # the model version whose reference is kept


class DataAtHand:
    """Files, frames and a reference in memory: `Originals`, `Frames` and as much of `References` as bringing data back needs."""

    def __init__(self) -> None:
        self.files = {
            f"{RAW}/day-1.csv": b"x,y\n1,2\n",
            f"{RAW}/month=01/day 2 ä.csv": b"x,y\r\n3,4\r\n",
            f"{PROCESSED}/rows-1.parquet": bytes(range(256)) * 40,
            f"{PROCESSED}/split-1.parquet": b"",
            REFERENCE_FILE: b"PAR1 and so on",
        }

    def fetch_file(self, batch: Batch, to: Path) -> None:
        content = next((each for each in self.files.values() if _hash(each) == batch.id), None)
        if content is None:
            raise DataError(f"{batch.name} is gone")
        to.write_bytes(content)

    def fetch_frame(self, name: str, to: Path) -> None:
        if (path := f"{PROCESSED}/{name}.parquet") not in self.files:
            raise DataError(f"{name} is gone")
        to.write_bytes(self.files[path])

    def fetch_artifact(self, version: str, path: str, folder: Path) -> bool:
        if version != VERSION:
            raise NotFound(f"there is no version {version}")
        if path != REFERENCE_PATH or REFERENCE_FILE not in self.files:
            return False
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(self.files[REFERENCE_FILE])
        return True

    def known(self, ids: Iterable[str]) -> Mapping[str, Batch]:
        """What the ledger says of batches: the first has moved to the archive since."""
        first = next(iter(ids), None)
        return {first: Batch(id=first, name="day-1.csv", size=8, place=Place.ARCHIVE)} if first else {}

    def manifest(self, cycle: str = "c1") -> Manifest:
        files = [
            DataFile(path=path, sha256=_hash(content), size=len(content), name=path.partition("/")[2].removesuffix(".parquet"))
            for path, content in self.files.items()
        ]
        return Manifest(project="demo", cycle=cycle, files=tuple(files))

    @property
    def made(self) -> Mapping[str, bytes]:
        """What lies nowhere yet when a cycle keeps its data."""
        return {REFERENCE_FILE: self.files[REFERENCE_FILE]}


class VersionsContract:
    """Checks of `Versions`."""

    @pytest.fixture
    def open_versions(self) -> Callable[[DataAtHand], Versions]:
        raise NotImplementedError("say how to open your keeper of data")

    @pytest.fixture
    def data(self) -> DataAtHand:
        return DataAtHand()

    def test_what_was_kept_is_found_and_comes_back_byte_for_byte(
        self, open_versions: Callable[[DataAtHand], Versions], data: DataAtHand, tmp_path: Path
    ) -> None:
        kept = open_versions(data).keep(data.manifest(), data.made)
        assert (kept.manifest.files, kept.manifest.missing, kept.manifest.id) == (data.manifest().files, {}, data.manifest().id)
        again = open_versions(data).keep(data.manifest(), data.made)
        assert (again.manifest, again.commit) == (kept.manifest, kept.commit)
        assert open_versions(data).bring(kept.manifest, tmp_path / "out", VERSION) == {}
        assert brought(tmp_path / "out") == data.files
        raw = replace(kept.manifest, files=kept.manifest.of(RAW))
        assert open_versions(data).bring(raw, tmp_path / "raw", VERSION) == {}
        assert set(brought(tmp_path / "raw")) == {file.path for file in raw.files}

    def test_cycles_are_kept_and_removed_apart_and_equal_data_have_one_id(
        self, open_versions: Callable[[DataAtHand], Versions], data: DataAtHand, tmp_path: Path
    ) -> None:
        first = open_versions(data).keep(data.manifest(), data.made).manifest
        same = open_versions(data).keep(data.manifest("c2"), data.made).manifest
        data.files[f"{RAW}/day-3.csv"] = b"x,y\n5,6\n"
        third = open_versions(data).keep(data.manifest("c3"), data.made).manifest
        assert same.id == first.id != third.id
        for name, manifest in (("first", first), ("third", third)):
            assert open_versions(data).bring(manifest, tmp_path / name, VERSION) == {}
            assert len(brought(tmp_path / name)) == len(manifest.files)
        versions = open_versions(data)
        assert {each.name for each in versions.kept() if each.size > 0} in (set(), {"c1", "c2", "c3"})
        for _ in range(2):
            versions.remove("c1")
        assert {each.name for each in open_versions(data).kept()} in (set(), {"c2", "c3"})

    def test_nothing_is_brought_that_is_another_file_by_now(
        self, open_versions: Callable[[DataAtHand], Versions], data: DataAtHand, tmp_path: Path
    ) -> None:
        before = dict(data.files)
        kept = open_versions(data).keep(data.manifest(), data.made).manifest
        del data.files[f"{RAW}/day-1.csv"]
        data.files[f"{PROCESSED}/rows-1.parquet"] = b"other"
        data.files[REFERENCE_FILE] = b"another"
        problems = open_versions(data).bring(kept, tmp_path / "out", VERSION)
        assert set(problems) <= {f"{RAW}/day-1.csv", f"{PROCESSED}/rows-1.parquet", REFERENCE_FILE}
        assert all(problems.values())
        assert brought(tmp_path / "out") == {path: content for path, content in before.items() if path not in problems}

    def test_what_is_gone_when_it_should_be_kept_is_named_and_keeps_nothing_else_away(
        self, open_versions: Callable[[DataAtHand], Versions], data: DataAtHand, tmp_path: Path
    ) -> None:
        manifest = data.manifest()
        del data.files[f"{RAW}/day-1.csv"]
        kept = open_versions(data).keep(manifest, data.made)
        problems = open_versions(data).bring(kept.manifest, tmp_path / "out", VERSION)
        assert set({**kept.manifest.missing, **problems}) == {f"{RAW}/day-1.csv"}
        assert brought(tmp_path / "out") == data.files


def brought(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
