"""Data folders: files named by their bytes, parsed exactly, moved whole, overwritten never."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepfit.adapters.inbox_files import InboxFiles
from keepfit.adapters.inbox_files.parsing import parse
from keepfit.config import Config
from keepfit.errors import DataError, KeepfitError, Unavailable
from keepfit.records import Batch, Place


def settings(**data: Any) -> Any:
    tree = {"project": {"name": "d", "task": "classification"}, "data": {"target": "y", "settle": "0s", **data}}
    return Config.of(tree).data


def parsed(content: str | bytes, name: str = "a.csv", **data: Any) -> pl.DataFrame:
    return parse(name, content.encode() if isinstance(content, str) else content, settings(**data))


def folders(root: Path, **data: Any) -> InboxFiles:
    return InboxFiles(settings(**data), root)


def put(root: Path, name: str = "a.csv", content: str = "x,y\n1,a\n", place: str = "inbox") -> Path:
    path = root / "data" / place / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode())
    return path


def batch(inbox: InboxFiles, place: Place = Place.INBOX) -> Batch:
    [arrival] = inbox.list(place)
    found = inbox.identify(arrival, place)
    assert found is not None
    return found


# -------------------------------------------------------------------------------------------------------------------- csv


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("a,b\n1,x\n", [("1", "x")]),
        ("a,b\r\n1,x\r\n", [("1", "x")]),
        ("a,b\r1,x\r", [("1", "x")]),
        ("a,b\n1,x", [("1", "x")]),
        (" a , b \n 1 , x \n", [(" 1 ", " x ")]),
        ("\n\na,b\n\n1,x\n\n", [("1", "x")]),
        ('a,b\n"1,5","say ""hi"""\n', [("1,5", 'say "hi"')]),
        ('a,b\n1,"two\nlines"\n2,y\n', [("1", "two\nlines"), ("2", "y")]),
        ('"a","b"\n1,x\n', [("1", "x")]),
        ("a,b\n,\n", [(None, None)]),
        ('a,b\n"",x\n', [(None, "x")]),
        ("a,b\n1,NA\n", [("1", "NA")]),
        ("a,b\n007,1e5\n", [("007", "1e5")]),
        ('a,b\n5" pipe,x\n', [('5" pipe', "x")]),
        ("a,b\n", []),
        ("a,b", []),
        ('"a","b"\n', []),
    ],
)
def test_cells_are_the_text_that_is_written(text, rows) -> None:
    found = parsed(text)
    assert found.columns == ["a", "b"]
    assert found.rows() == rows
    assert set(found.dtypes) == {pl.String}


def test_a_header_may_have_a_newline_inside_quotes() -> None:
    found = parsed('"a\nlong name",b\n1,x\n')
    assert (found.columns, found.rows()) == (["a\nlong name", "b"], [("1", "x")])


@pytest.mark.parametrize(
    ("text", "data", "rows"),
    [
        ("1,x\n2,y\n", {"header": ["a", "b"]}, [("1", "x"), ("2", "y")]),
        ("a;b\n1,5;x\n", {"delimiter": ";"}, [("1,5", "x")]),
        ("a\tb\n1\tx\n", {"delimiter": "\t"}, [("1", "x")]),
        ("A,b\n1,x\n", {"rename": {"A": "a"}}, None),
    ],
)
def test_how_the_files_are_written_is_a_setting(text, data, rows) -> None:
    found = parsed(text, **data)
    assert rows is None or (found.columns, found.rows()) == (["a", "b"], rows)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig", "latin-1", "cp1252", "UTF8"])
def test_every_encoding_that_python_knows_can_be_said_and_marks_are_understood(encoding) -> None:
    content = "a,b\nü,ß\n".encode(encoding)
    assert parsed(content, encoding=encoding).rows() == [("ü", "ß")]
    if encoding in ("utf-16", "utf-8-sig"):
        assert parsed(content).rows() == [("ü", "ß")]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty"),
        (b" \n\t\n", "empty"),
        (b"a,b\n1,x\n\xff\xfe,y\n", "line 3: expected utf-8 text, found the byte 0xff"),
        (b"a,a\n1,2\n", "'a' more than once"),
        (b"a,b\n1\n2,x\n3,y,z\n", "2 ragged rows: expected 2 cells in each, found line 2: 1 cells; line 4: 3 cells"),
    ],
)
def test_what_is_wrong_with_a_table_is_told_with_its_line(content, told) -> None:
    with pytest.raises(DataError) as caught:
        parsed(content)
    assert told in str(caught.value)


def test_an_unclosed_quote_does_not_swallow_the_rest_of_the_file_in_silence() -> None:
    with pytest.raises(DataError, match="quote"):
        parsed('a,b\n1,x\n2,"y\n3,z\n4,w\n')


@pytest.mark.parametrize("encoding", ["rot13", "hex", "no such", "undefined"])
def test_an_encoding_that_is_none_is_an_error_in_words(encoding) -> None:
    with pytest.raises(KeepfitError, match=r"encoding|text"):
        parsed("a,b\n1,x\n", encoding=encoding)


def test_a_row_of_several_megabytes_is_read() -> None:
    assert parsed("a,b\n" + "x" * 3_000_000 + ",1\n2,3\n").height == 2


# a name is stripped; cells keep their blanks
names = st.text(st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=("Cc", "Cs")), min_size=1, max_size=8)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=12)


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=15), st.sampled_from(",;|\t"))
def test_whatever_pythons_own_writer_wrote_is_read_back(rows, delimiter) -> None:
    import csv

    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerows([("a", "b"), *rows])
    found = parsed(file.getvalue(), delimiter=delimiter)
    assert found.rows() == [tuple(cell or None for cell in row) for row in rows]


@given(st.binary(max_size=300), st.sampled_from(["a.csv", "a.jsonl", "a.parquet"]))
def test_any_bytes_are_a_table_or_an_error_in_words(content, name) -> None:
    try:
        found = parsed(content, name)
    except DataError as error:
        assert 0 < len(str(error)) < 1000
    else:
        assert isinstance(found, pl.DataFrame)


# ------------------------------------------------------------------------------------------------- Parquet and JSON Lines


@given(
    st.lists(
        st.fixed_dictionaries({"a": st.none() | st.integers(-(2**60), 2**60), "b": st.none() | texts}), min_size=1, max_size=12
    )
)
def test_json_lines_are_read_as_they_are(rows) -> None:
    content = "".join(json.dumps(row) + "\n" for row in rows)
    assert parsed(content, "a.jsonl").select("a", "b").rows() == [(row["a"], row["b"]) for row in rows]
    assert parsed("\n" + content.replace("\n", "\r\n\r\n"), "a.ndjson").height == len(rows)


def test_keys_that_some_lines_lack_are_empty_cells() -> None:
    found = parsed('{"a": 1}\n{"b": "x"}\n{"a": 2, "b": "y"}\n', "a.jsonl")
    assert found.rows() == [(1, None), (None, "x"), (2, "y")]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("nonsense", "line 2 is not JSON"),
        ("[1]", "line 2: expected an object"),
        ("3", "line 2: expected an object"),
        ("null", "line 2: expected an object"),
        ("[" * 20_000, "line 2 is not JSON"),
        ('{"a": "\\ud800"}', ""),
    ],
)
def test_a_line_that_is_no_row_is_told_with_its_number(line, told) -> None:
    with pytest.raises(DataError) as caught:
        parsed('{"a": "x"}\n' + line + "\n", "a.jsonl")
    assert told in str(caught.value)


def test_parquet_keeps_its_types() -> None:
    frame = pl.DataFrame({"a": [1, None], "b": [0.5, float("nan")], "c": ["x", ""], "d": [True, None]})
    file = io.BytesIO()
    frame.write_parquet(file)
    assert parsed(file.getvalue(), "a.pq").equals(frame)


# ---------------------------------------------------------------------------------------------------------------- folders


def test_columns_are_renamed_and_two_of_one_name_are_an_error_in_words(tmp_path) -> None:
    inbox = folders(tmp_path, rename={"X": "x"})
    put(tmp_path, content="X,y\n1,a\n")
    assert inbox.read(batch(inbox)).columns == ["x", "y"]
    put(tmp_path, content="X,x,y\n1,2,a\n")
    with pytest.raises(DataError, match="'x'"):
        inbox.read(batch(inbox))


def test_a_batch_is_named_by_the_hash_of_its_bytes(tmp_path) -> None:
    inbox = folders(tmp_path)
    path = put(tmp_path, "deep/a.csv")
    found = batch(inbox)
    assert (found.id, found.name, found.size) == (hashlib.sha256(path.read_bytes()).hexdigest(), "deep/a.csv", path.stat().st_size)


def test_a_folder_that_is_not_there_is_empty(tmp_path) -> None:
    assert [list(folders(tmp_path).list(place)) for place in Place] == [[], [], []]


def test_an_inbox_that_was_there_and_is_gone_is_not_empty(tmp_path) -> None:
    inbox = InboxFiles(settings(), tmp_path, expected=lambda: True)
    with pytest.raises(Unavailable, match=r"data/inbox is not there any more\. Mount its disk"):
        inbox.list(Place.INBOX)
    assert inbox.list(Place.ARCHIVE) == []
    (tmp_path / "data/inbox").mkdir(parents=True)
    assert inbox.list(Place.INBOX) == []


def test_hidden_folders_and_notes_are_not_looked_at(tmp_path) -> None:
    for name in (".git/a.csv", "b.csv.reason.json", "c.txt", ".d.csv"):
        put(tmp_path, name)
    assert list(folders(tmp_path).list(Place.INBOX)) == []


def test_only_regular_files_are_listed(tmp_path) -> None:
    put(tmp_path, "a.csv")
    here = tmp_path / "data/inbox"
    os.mkfifo(here / "pipe.csv")
    (here / "folder.csv").mkdir()
    (here / "nowhere.csv").symlink_to(tmp_path / "nowhere")
    assert [arrival.name for arrival in folders(tmp_path).list(Place.INBOX)] == ["a.csv"]


@pytest.mark.parametrize(
    ("name", "age", "settled"),
    [("a.csv", 0, False), ("a.csv", 31, True), ("a.csv.part", 99, False), ("a.csv.TMP", 99, False), ("a.parquet~", 99, False)],
)
def test_what_is_still_being_written_is_not_settled(tmp_path, name, age, settled) -> None:
    path = put(tmp_path, name)
    moment = path.stat().st_mtime - age
    os.utime(path, (moment, moment))
    [arrival] = folders(tmp_path, settle="30s").list(Place.INBOX)
    assert arrival.settled is settled


def test_a_short_settle_time_is_waited_for_once(tmp_path, monkeypatch) -> None:
    path = put(tmp_path)
    waited = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        os.utime(path, (1, 1))

    monkeypatch.setattr("keepfit.adapters.inbox_files.local.time.sleep", wait)
    [arrival] = folders(tmp_path, settle="3s").list(Place.INBOX)
    assert (waited, arrival.settled) == ([3.0], True)
    assert folders(tmp_path, settle="6s").list(Place.INBOX)
    assert waited == [3.0]


@pytest.mark.parametrize("to", [Place.ARCHIVE, Place.QUARANTINE])
def test_a_move_keeps_bytes_and_folders_and_is_found_done(tmp_path, to) -> None:
    inbox = folders(tmp_path)
    put(tmp_path, "deep/a.csv")
    before = batch(inbox)
    moved = inbox.move(before, to, "because\nof this")
    assert moved == inbox.move(before, to) == inbox.move(moved, to) == replace(before, place=to)
    assert (tmp_path / "data" / to.value / "deep/a.csv").read_text() == "x,y\n1,a\n"
    assert not (tmp_path / "data/inbox/deep/a.csv").exists()
    note = tmp_path / "data" / to.value / "deep/a.csv.reason.json"
    assert note.exists() == (to is Place.QUARANTINE)
    if note.exists():
        assert json.loads(note.read_text()) == {"file": "deep/a.csv", "batch": before.id, "reason": ["because", "of this"]}


def test_a_name_that_other_content_has_is_not_overwritten(tmp_path) -> None:
    inbox = folders(tmp_path)
    put(tmp_path, place="archive", content="x,y\n9,z\n")
    put(tmp_path)
    before = batch(inbox)
    moved = inbox.move(before, Place.ARCHIVE)
    assert moved.name == f"a.{before.id[:12]}.csv"
    assert inbox.move(before, Place.ARCHIVE) == moved
    assert (tmp_path / "data/archive/a.csv").read_text() == "x,y\n9,z\n"
    assert inbox.read(moved).rows() == [("1", "a")]


def test_the_same_content_that_is_there_already_leaves_one_copy(tmp_path) -> None:
    inbox = folders(tmp_path)
    put(tmp_path, place="archive")
    source = put(tmp_path)
    assert inbox.move(batch(inbox), Place.ARCHIVE).name == "a.csv"
    assert not source.exists()


def test_a_batch_is_found_where_a_killed_move_left_it(tmp_path) -> None:
    inbox = folders(tmp_path)
    put(tmp_path)
    before = batch(inbox)
    inbox.move(before, Place.ARCHIVE)
    assert inbox.read(before).rows() == [("1", "a")]


def test_a_batch_that_is_nowhere_is_told(tmp_path) -> None:
    inbox = folders(tmp_path)
    path = put(tmp_path)
    [arrival] = inbox.list(Place.INBOX)
    before = batch(inbox)
    path.unlink()
    assert inbox.identify(arrival, Place.INBOX) is None
    for act in (lambda: inbox.read(before), lambda: inbox.move(before, Place.ARCHIVE)):
        with pytest.raises(DataError, match=r"a\.csv"):
            act()


def test_across_file_systems_the_copy_is_whole_before_the_original_goes(tmp_path, monkeypatch) -> None:
    inbox = folders(tmp_path)
    source = put(tmp_path)
    link, seen = Path.hardlink_to, []

    def given(self: Path, target: Path) -> None:
        if target == source:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        seen.append((source.exists(), target.read_text()))
        link(self, target)

    monkeypatch.setattr(Path, "hardlink_to", given)
    inbox.move(batch(inbox), Place.ARCHIVE)
    assert seen == [(True, "x,y\n1,a\n")]
    assert not source.exists()
    assert [path.name for path in (tmp_path / "data/archive").iterdir()] == ["a.csv"]


def test_a_disk_that_refuses_leaves_the_file_whole_and_can_be_tried_again(tmp_path, monkeypatch) -> None:
    inbox = folders(tmp_path)
    source = put(tmp_path)
    found = batch(inbox)

    def full(self: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(Path, "hardlink_to", full)
        with pytest.raises(Unavailable, match="No space left on device"):
            inbox.move(found, Place.ARCHIVE)
    assert source.read_text() == "x,y\n1,a\n"
    assert inbox.move(found, Place.ARCHIVE).place is Place.ARCHIVE


def test_a_name_that_was_taken_this_instant_is_not_overwritten(tmp_path, monkeypatch) -> None:
    inbox, link, late = folders(tmp_path), Path.hardlink_to, iter(["x,y\n2,b\n"])
    put(tmp_path)
    found = batch(inbox)

    def taken(self: Path, target: Path) -> None:
        for content in late:
            put(tmp_path, content=content, place="archive")
        link(self, target)

    monkeypatch.setattr(Path, "hardlink_to", taken)
    assert inbox.move(found, Place.ARCHIVE).name == f"a.{found.id[:12]}.csv"
    assert (tmp_path / "data/archive/a.csv").read_text() == "x,y\n2,b\n"


def test_without_links_a_rename_overwrites_nothing_either(tmp_path, monkeypatch) -> None:
    def unknown(self: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", unknown)
    inbox = folders(tmp_path)
    put(tmp_path)
    put(tmp_path, content="x,y\n2,b\n", place="archive")
    found = batch(inbox)
    assert inbox.move(found, Place.ARCHIVE).name == f"a.{found.id[:12]}.csv"
    assert (tmp_path / "data/archive/a.csv").read_text() == "x,y\n2,b\n"


def test_what_is_written_between_the_look_and_the_move_goes_back(tmp_path, monkeypatch) -> None:
    inbox, link = folders(tmp_path), Path.hardlink_to
    source = put(tmp_path)
    found = batch(inbox)

    def written(self: Path, target: Path) -> None:
        if target == source:
            target.write_text("x,y\n2,b\n3,c\n")
        link(self, target)

    monkeypatch.setattr(Path, "hardlink_to", written)
    with pytest.raises(DataError, match="changed"):
        inbox.move(found, Place.ARCHIVE)
    assert source.read_text() == "x,y\n2,b\n3,c\n"
    assert list((tmp_path / "data/archive").iterdir()) == []


def test_a_link_is_followed_before_it_is_moved(tmp_path) -> None:
    (tmp_path / "data/inbox").mkdir(parents=True)
    (tmp_path / "theirs.csv").write_text("x,y\n1,a\n")
    (tmp_path / "data/inbox/a.csv").symlink_to("../../theirs.csv")
    inbox = folders(tmp_path)
    assert inbox.read(inbox.move(batch(inbox), Place.ARCHIVE)).rows() == [("1", "a")]
    assert (tmp_path / "theirs.csv").exists()


def test_rows_of_a_name_that_can_have_nothing_added_are_set_aside_under_a_shorter(tmp_path) -> None:
    inbox = folders(tmp_path)
    put(tmp_path, "n" * 251 + ".csv")
    found = batch(inbox)
    name = inbox.set_aside(found, inbox.read(found))
    assert name == inbox.set_aside(found, inbox.read(found)) == f"{'n' * 40}.{found.id[:12]}.rows.csv"


@pytest.mark.parametrize("place", ["archive", "quarantine"])
def test_a_place_that_is_a_file_is_said_and_not_taken_for_a_name(tmp_path, place) -> None:
    inbox = folders(tmp_path)
    put(tmp_path)
    found = batch(inbox)
    (tmp_path / "data" / place).write_text("no folder")
    with pytest.raises(Unavailable, match="a folder was expected"):
        inbox.move(found, Place(place), "why")
    assert batch(inbox) == found
