"""What every inbox and every store of prepared frames does. Subclass in your tests and override the fixtures."""
# ruff: noqa: S101  # these are tests, shipped so that other people's adapters can run them

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keepfit.errors import DataError
from keepfit.ports import Arrival
from keepfit.records import Batch, Place

Put = Callable[[Place, str, bytes], None]
Files = Callable[[Place], dict[str, bytes]]
ONE, TWO = b"x,y\n1,a\n", b"x,y\n2,b\n3,c\n"
ASTRAY = ("//outside.csv", "a//b.csv", "../outside.csv", "a/../../outside.csv", "./b.csv", "q?versionId=1.csv", "a\0b.csv")


class InboxContract:
    """Run on every inbox. It is empty, reads plain CSV files and lets nothing settle for longer than it takes to look.

    `inbox` is an `Inbox` and an `Originals`; `put(place, name, content)` writes a file as people do, `files(place)` returns the
    bytes of everything there by name.
    """

    @pytest.fixture
    def inbox(self) -> Any:
        raise NotImplementedError("override the fixture `inbox`")

    @pytest.fixture
    def put(self, inbox: Any) -> Put:
        raise NotImplementedError("override the fixture `put`")

    @pytest.fixture
    def files(self, inbox: Any) -> Files:
        raise NotImplementedError("override the fixture `files`")

    # -------------------------------------------------------------------------------------------------------------- looking

    def test_nothing_is_in_an_empty_folder(self, inbox: Any) -> None:
        assert [list(inbox.list(place)) for place in Place] == [[], [], []]

    def test_data_files_are_listed_by_name_with_their_size(self, inbox: Any, put: Put) -> None:
        for name in ("b.parquet", "deep/er/a.csv", "a.jsonl"):
            put(Place.INBOX, name, ONE)
        assert [(each.name, each.size, each.settled) for each in inbox.list(Place.INBOX)] == [
            ("a.jsonl", 8, True),
            ("b.parquet", 8, True),
            ("deep/er/a.csv", 8, True),
        ]
        assert list(inbox.list(Place.ARCHIVE)) == []

    def test_notes_and_hidden_files_are_not_listed(self, inbox: Any, put: Put) -> None:
        for name in ("b.csv.reason.json", "c.txt", ".d.csv", ".git/e.csv", "deep/.f.csv"):
            put(Place.INBOX, name, ONE)
        put(Place.QUARANTINE, "g.csv.rows.csv", ONE)
        assert [list(inbox.list(place)) for place in Place] == [[], [], []]

    @pytest.mark.parametrize("name", ["a.csv.part", "a.csv.TMP", "a.parquet~"])
    def test_a_temporary_name_is_not_settled(self, inbox: Any, put: Put, name: str) -> None:
        put(Place.INBOX, name, ONE)
        assert [(each.name, each.settled) for each in inbox.list(Place.INBOX)] == [(name, False)]

    def test_a_batch_is_named_by_its_bytes(self, inbox: Any, put: Put) -> None:
        put(Place.INBOX, "deep/a.csv", ONE)
        found = batch(inbox)
        assert (found.id, found.name, found.size, found.place) == (digest(ONE), "deep/a.csv", 8, Place.INBOX)
        put(Place.INBOX, "deep/a.csv", TWO)
        assert batch(inbox).id == digest(TWO)

    def test_names_are_what_they_are(self, inbox: Any, put: Put, files: Files) -> None:
        name = "year=2026/a b+c%20&[1]*#ü.csv"
        put(Place.INBOX, name, ONE)
        found = batch(inbox)
        assert (found.name, inbox.read(found).rows()) == (name, [("1", "a")])
        assert inbox.move(found, Place.ARCHIVE).name == name
        assert (files(Place.INBOX), files(Place.ARCHIVE)) == ({}, {name: ONE})

    def test_rows_are_read_as_they_are(self, inbox: Any, put: Put) -> None:
        put(Place.ARCHIVE, "a.csv", TWO)
        assert inbox.read(batch(inbox, Place.ARCHIVE)).rows() == [("2", "b"), ("3", "c")]

    def test_an_empty_file_is_told(self, inbox: Any, put: Put) -> None:
        put(Place.INBOX, "a.csv", b"")
        found = batch(inbox)
        assert found.size == 0
        with pytest.raises(DataError, match="empty"):
            inbox.read(found)

    def test_a_file_that_was_changed_is_not_taken_for_the_batch(self, inbox: Any, put: Put, files: Files, tmp_path: Path) -> None:
        put(Place.INBOX, "a.csv", ONE)
        found = batch(inbox)
        put(Place.INBOX, "a.csv", TWO)
        for method, further in (("read", ()), ("move", (Place.ARCHIVE,)), ("fetch", (tmp_path / "a",))):
            with pytest.raises(DataError, match=r"a\.csv"):
                getattr(inbox, method)(found, *further)
        assert (files(Place.INBOX), files(Place.ARCHIVE), list(tmp_path.glob("a*"))) == ({"a.csv": TWO}, {}, [])

    def test_a_batch_that_is_nowhere_is_told(self, inbox: Any, tmp_path: Path) -> None:
        gone = Batch(id=digest(ONE), name="a.csv", size=8)
        for method, further in (("read", ()), ("move", (Place.ARCHIVE,)), ("fetch", (tmp_path / "a",))):
            with pytest.raises(DataError, match=r"a\.csv"):
                getattr(inbox, method)(gone, *further)

    @pytest.mark.parametrize("place", list(Place))
    def test_a_name_that_is_no_plain_path_is_not_taken_in(self, inbox: Any, files: Files, tmp_path: Path, place: Place) -> None:
        """A key in a store may be any text; `tmp_path` may be the folder around the inbox's."""
        (tmp_path / "outside.csv").write_bytes(ONE)
        for name in (f"/{tmp_path}/outside.csv", str(tmp_path / "outside.csv"), *ASTRAY):
            with pytest.raises(DataError, match=r"outside|b\.csv|versionId"):
                inbox.identify(Arrival(name=name, size=8, settled=True), place)
            with pytest.raises(DataError, match=r"outside|b\.csv|versionId"):
                inbox.add(name, TWO)
        assert (tmp_path / "outside.csv").read_bytes() == ONE
        assert [files(each) for each in Place] == [{}, {}, {}]

    @pytest.mark.parametrize(
        "name", ["//outside.csv", "../outside.csv", "a/../../outside.csv", "{}/outside.csv", "/{}/outside.csv"]
    )
    def test_a_batch_of_such_a_name_is_looked_for_nowhere_else(self, inbox: Any, tmp_path: Path, name: str) -> None:
        (tmp_path / "outside.csv").write_bytes(ONE)
        astray = Batch(id=digest(ONE), name=name.format(tmp_path), size=8)
        for method, further in (("read", ()), ("move", (Place.ARCHIVE,)), ("fetch", (tmp_path / "fetched",))):
            with pytest.raises(DataError, match=r"outside\.csv"):
                getattr(inbox, method)(astray, *further)
        assert (tmp_path / "outside.csv").read_bytes() == ONE

    # --------------------------------------------------------------------------------------------------------------- moving

    @pytest.mark.parametrize("to", [Place.ARCHIVE, Place.QUARANTINE])
    def test_a_move_keeps_bytes_and_folders_and_is_found_done(self, inbox: Any, put: Put, files: Files, to: Place) -> None:
        put(Place.INBOX, "deep/a.csv", ONE)
        before = batch(inbox)
        moved = inbox.move(before, to, "because\nof this")
        assert files(Place.INBOX) == {}
        assert moved == inbox.move(before, to) == inbox.move(moved, to) == replace(before, place=to)
        found = files(to)
        note = found.pop("deep/a.csv.reason.json", None)
        assert (files(Place.INBOX), found) == ({}, {"deep/a.csv": ONE})
        assert (note is not None) == (to is Place.QUARANTINE)
        assert note is None or b"of this" in note

    def test_a_name_that_other_content_has_is_not_overwritten(self, inbox: Any, put: Put, files: Files) -> None:
        put(Place.ARCHIVE, "a.csv", TWO)
        put(Place.INBOX, "a.csv", ONE)
        before = batch(inbox)
        moved = inbox.move(before, Place.ARCHIVE)
        spare = f"a.{before.id[:12]}.csv"
        assert moved.name == spare
        assert inbox.move(before, Place.ARCHIVE) == moved
        assert (files(Place.INBOX), files(Place.ARCHIVE)) == ({}, {"a.csv": TWO, spare: ONE})
        assert inbox.read(moved).rows() == [("1", "a")]

    @pytest.mark.parametrize(
        ("there", "name"), [("a.csv", "a.csv/b.csv"), ("a.csv/b.csv", "a.csv"), ("else.csv", "n" * 251 + ".csv")]
    )
    @pytest.mark.parametrize("to", [Place.ARCHIVE, Place.QUARANTINE])
    def test_a_name_that_a_folder_cannot_give_is_as_one_that_is_taken(
        self, inbox: Any, put: Put, files: Files, to: Place, there: str, name: str
    ) -> None:
        """A file where the name has a folder, a folder where it has a file, or a name to which nothing more can be added."""
        put(to, there, TWO)
        put(Place.INBOX, name, ONE)
        before = batch(inbox)
        moved = inbox.move(before, to, "because of this")
        assert replace(inbox.move(before, to, "because of this"), name=moved.name) == moved
        assert inbox.read(moved).rows() == [("1", "a")]
        found = files(to)
        notes = [found.pop(other) for other in list(found) if other.endswith(".reason.json")]
        assert (files(Place.INBOX), found) == ({}, {there: TWO, moved.name: ONE})
        assert len(notes) == (1 if to is Place.QUARANTINE else 0)

    def test_nothing_is_removed_though_every_spare_name_is_taken(self, inbox: Any, put: Put, files: Files) -> None:
        put(Place.INBOX, "a.csv", ONE)
        before = batch(inbox)
        taken = dict.fromkeys(("a.csv", f"a.{before.id[:12]}.csv", f"a.{before.id}.csv"), TWO)
        for name, content in taken.items():
            put(Place.ARCHIVE, name, content)
        with pytest.raises(DataError, match=r"a\.csv"):
            inbox.move(before, Place.ARCHIVE)
        assert (files(Place.INBOX), files(Place.ARCHIVE)) == ({"a.csv": ONE}, taken)

    def test_of_the_same_content_in_two_places_one_is_left(self, inbox: Any, put: Put, files: Files) -> None:
        """As whoever was killed between a copy and the removal of the original leaves them."""
        for place in (Place.INBOX, Place.ARCHIVE):
            put(place, "a.csv", ONE)
        assert inbox.move(batch(inbox), Place.ARCHIVE).name == "a.csv"
        assert (files(Place.INBOX), files(Place.ARCHIVE)) == ({}, {"a.csv": ONE})

    def test_a_batch_is_found_where_an_unrecorded_move_left_it(self, inbox: Any, put: Put, tmp_path: Path) -> None:
        put(Place.INBOX, "a.csv", ONE)
        before = batch(inbox)
        inbox.move(before, Place.ARCHIVE)
        put(Place.INBOX, "a.csv", TWO)  # the name is in use again
        assert inbox.read(before).rows() == [("1", "a")]
        assert inbox.move(before, Place.ARCHIVE).name == "a.csv"
        inbox.fetch(before, tmp_path / "a.csv")
        assert (tmp_path / "a.csv").read_bytes() == ONE
        assert batch(inbox).id == digest(TWO), "what came later is left alone"

    def test_rows_are_set_aside_once(self, inbox: Any, put: Put, files: Files) -> None:
        put(Place.INBOX, "deep/a.csv", TWO)
        found = batch(inbox)
        rows = inbox.read(found).head(1)
        name = inbox.set_aside(found, rows)
        assert name == inbox.set_aside(found, rows) == "deep/a.csv.rows.csv"
        assert list(files(Place.QUARANTINE)) == [name]
        put(Place.QUARANTINE, name, b"mended by hand")
        assert inbox.set_aside(found, rows) == f"deep/a.csv.{found.id[:12]}.rows.csv"
        assert files(Place.QUARANTINE)[name] == b"mended by hand"
        assert (files(Place.INBOX), list(inbox.list(Place.QUARANTINE))) == ({"deep/a.csv": TWO}, [])

    # ------------------------------------------------------------------------------------------------------------ originals

    @pytest.mark.parametrize("place", list(Place))
    def test_the_bytes_of_a_batch_are_fetched_from_wherever_it_lies(
        self, inbox: Any, put: Put, tmp_path: Path, place: Place
    ) -> None:
        put(place, "a.csv", ONE)
        target = tmp_path / "deep" / "b"
        for _ in range(2):
            inbox.fetch(replace(batch(inbox, place), place=Place.INBOX), target)
            assert target.read_bytes() == ONE
        target.write_bytes(TWO)
        inbox.fetch(batch(inbox, place), target)
        assert target.read_bytes() == ONE
        assert list(target.parent.iterdir()) == [target]

    def test_a_file_is_added_whole_in_place_of_another(self, inbox: Any, files: Files) -> None:
        for content in (ONE, TWO):
            inbox.add("deep/a.csv", content)
            assert files(Place.INBOX) == {"deep/a.csv": content}
        assert batch(inbox).id == digest(TWO)


def batch(inbox: Any, place: Place = Place.INBOX) -> Batch:
    """The only file in a folder."""
    [arrival] = inbox.list(place)
    found = inbox.identify(arrival, place)
    assert isinstance(found, Batch)
    return found


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
