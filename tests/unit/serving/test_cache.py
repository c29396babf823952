from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from keepfit.codec import loads
from keepfit.errors import Unavailable
from keepfit.live_ports import Shelved
from keepfit.serving.cache import KEPT, RECORD, Cache
from keepfit.serving.plan import Placed

SEVENTH = Shelved(model="walk", version="7", mark="abcdef012345", content_hash="abcdef012345" + "0" * 52, run="r")


class Shelf:
    """Files whose text can be set; counts how often they are asked for."""

    def __init__(self) -> None:
        self.text, self.fetched, self.away, self.together = "whole", 0, False, threading.Barrier(1)

    def fetch(self, shelved: Shelved, folder: Path) -> None:
        self.fetched += 1
        (folder / "model").mkdir()
        (folder / "model/MLmodel").write_text(self.text)
        if self.away:
            raise Unavailable("gone in the middle")
        self.together.wait()


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def cache(shelf: Shelf, tmp_path: Path) -> Cache:
    return Cache(tmp_path / "versions", shelf)  # type: ignore[arg-type]  # of a shelf, it only fetches


def content(placed: Placed) -> str:
    return (Path(placed.folder) / "model/MLmodel").read_text()


def names(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "versions").iterdir())


def test_a_version_is_fetched_once_and_lies_there_with_its_record(cache: Cache, shelf: Shelf, tmp_path: Path) -> None:
    placed = cache.place(SEVENTH)
    assert cache.place(SEVENTH) == placed
    assert shelf.fetched == 1
    assert placed.folder == str(tmp_path / "versions/7-abcdef012345")
    assert loads(Placed, (Path(placed.folder) / RECORD).read_text()) == placed


def test_what_the_registry_says_of_the_files_goes_with_them(cache: Cache) -> None:
    placed = cache.place(replace(SEVENTH, served="ab" * 32, code="cd" * 8))
    assert (placed.content_hash, placed.served, placed.code) == (SEVENTH.content_hash, "ab" * 32, "cd" * 8)


def test_what_broke_off_leaves_nothing(cache: Cache, shelf: Shelf, tmp_path: Path) -> None:
    shelf.away = True
    with pytest.raises(Unavailable):
        cache.place(SEVENTH)
    assert names(tmp_path) == []


def test_two_offices_may_fetch_the_same_version_at_once(tmp_path: Path) -> None:
    shelf = Shelf()
    shelf.together = threading.Barrier(2)
    caches = [Cache(tmp_path / "versions", shelf) for _ in range(2)]  # type: ignore[arg-type]
    found: list[Placed] = []
    threads = [threading.Thread(target=lambda cache=cache: found.append(cache.place(SEVENTH))) for cache in caches]  # type: ignore[misc]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert shelf.fetched == 2
    assert found == [found[0]] * 2
    assert names(tmp_path) == ["7-abcdef012345"]


def test_damaged_files_are_replaced(cache: Cache, shelf: Shelf, tmp_path: Path) -> None:
    shelf.text = "damaged"
    cache.place(SEVENTH)
    shelf.text = "whole"
    assert content(cache.place(SEVENTH)) == "damaged"
    assert content(cache.replace(SEVENTH)) == "whole"
    assert names(tmp_path) == ["7-abcdef012345"]


def test_a_full_disk_is_said(cache: Cache, tmp_path: Path) -> None:
    (tmp_path / "versions").write_text("a file where the folder should be")
    with pytest.raises(Unavailable, match="Version 7 cannot be kept"):
        cache.place(SEVENTH)


def test_tidying_keeps_the_latest_used_and_those_in_service(cache: Cache, tmp_path: Path) -> None:
    placed = [cache.place(replace(SEVENTH, version=str(number))) for number in range(1, KEPT + 4)]
    for number, each in enumerate(placed):
        os.utime(each.folder, (number, number))
    left = tmp_path / "versions/.making-9-00000000"
    left.mkdir()
    os.utime(left, (0, 0))
    assert cache.tidy({placed[0].folder}) == ["3-abcdef012345", "2-abcdef012345"]
    assert len(names(tmp_path)) == KEPT + 1


@pytest.mark.parametrize("version", ["", "../7", "latest"])
def test_a_version_that_is_no_number_names_no_folder(cache: Cache, version: str) -> None:
    with pytest.raises(ValueError, match="cannot name a folder"):
        cache.place(replace(SEVENTH, version=version))
