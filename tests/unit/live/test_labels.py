"""Labels from a file: all or none, once, and only for answers that were given."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.unit.live.made_up_log import START, MadeUpLog
from tests.unit.stages.world import World

from keepfit.errors import DataError, NotFound
from keepfit.live.labels import Feedback, add_labels
from keepfit.request_ids import RequestIds

COLUMNS = {"x": {"type": "number"}, "y": {"type": "category", "values": ["no", "yes"]}}
NOTHING = {"unknown": 0, "malformed": 0, "blank": 0, "repeated": 0}
WRITTEN = START + timedelta(days=5)


def world(folder: Path, count: int = 3, **settings: Any) -> World:
    made = World(folder, {"data": {"columns": COLUMNS} | settings.pop("data", {}), **settings})
    made.ports.log = MadeUpLog(number=made.config.project.task == "regression")
    made.ids = made.ports.log.answer([{"x": number} for number in range(count)], prediction=None)  # type: ignore[attr-defined]
    return made


def file(made: World, rows: dict[str, Any], name: str = "labels.csv") -> Path:
    """Written on the fifth day."""
    path, frame = made.folder / name, pl.DataFrame(rows, strict=False)
    made.folder.mkdir(exist_ok=True)
    write = {".csv": frame.write_csv, ".parquet": frame.write_parquet, ".jsonl": frame.write_ndjson}
    write[path.suffix](path)
    os.utime(path, (WRITTEN.timestamp(), WRITTEN.timestamp()))
    return path


def added(made: World, path: Path) -> Feedback:
    return add_labels(path, made.ports, made.config)


def kept(made: World) -> list[Any]:
    return [made.ports.log.labels.get(id, (None,))[0] for id in made.ids]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["labels.csv", "labels.parquet", "labels.jsonl"])
def test_labels_of_a_file_are_in_the_log_once(tmp_path: Path, name: str) -> None:
    made = world(tmp_path)
    path = file(made, {"more": [1, 2], "label": ["yes", "no"], "request_id": made.ids[:2]}, name)
    for _ in range(2):
        assert added(made, path) == Feedback(added=2, **NOTHING)
    assert kept(made) == ["yes", "no", None]
    assert made.ports.log.labels[made.ids[0]][1] == WRITTEN
    assert len(made.ports.log.sources) == 1


def test_a_label_comes_when_the_file_says_and_an_old_one_does_not_win(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.ports.log.label(made.ids, ["yes"] * 3, at=START + timedelta(days=3))
    moments = ["2026-03-02T12:00:00Z", "2026-03-10 13:00:00+01:00", None]
    added(made, file(made, {"request_id": made.ids, "label": ["no"] * 3, "labelled_at": moments}))
    assert kept(made) == ["yes", "no", "no"]
    assert made.ports.log.labels[made.ids[1]][1] == datetime(2026, 3, 10, 12, tzinfo=UTC)


def test_of_two_labels_in_a_file_the_later_wins_and_among_equals_the_last(tmp_path: Path) -> None:
    made = world(tmp_path)
    first, second, _ = made.ids
    told = added(made, file(made, {"request_id": [first, first, second], "label": ["yes", "no", "yes"]}))
    assert (told.added, told.repeated) == (2, 1)
    assert kept(made) == ["no", "yes", None]
    moments = ["2026-04-02T00:00:00Z", "2026-04-01T00:00:00Z"]
    added(made, file(made, {"request_id": [second, second], "label": ["no", "yes"], "labelled_at": moments}))
    assert kept(made)[1] == "no"


def test_ids_that_were_never_given_out_are_left_out_and_shown(tmp_path: Path) -> None:
    made = world(tmp_path)
    foreign = RequestIds("another").new()
    ids = [made.ids[0].upper(), "abc", foreign, "", RequestIds("demo").new()]
    told = added(made, file(made, {"request_id": ids, "label": ["yes"] * 5}))
    assert (told.added, told.unknown, told.malformed) == (1, 1, 3)
    assert told.examples[:2] == ("row 2: 'abc'", f"row 3: '{foreign}'")
    assert kept(made) == ["yes", None, None]


def test_rows_without_a_label_are_counted_and_say_nothing(tmp_path: Path) -> None:
    made = world(tmp_path)
    told = added(made, file(made, {"request_id": made.ids, "label": ["yes", "", "NaN"]}))
    assert (told.added, told.blank) == (1, 2)
    assert kept(made) == ["yes", None, None]


def test_a_label_that_is_no_class_is_an_error_and_nothing_is_added(tmp_path: Path) -> None:
    made = world(tmp_path)
    words = r"2 of 3 labels cannot be: expected one of no, yes, found row 2: 'yess'; row 3: 'No'\. Nothing was added"
    with pytest.raises(DataError, match=words):
        added(made, file(made, {"request_id": made.ids, "label": ["yes", "yess", "No"]}))
    assert kept(made) == [None] * 3


def test_labels_may_be_written_as_data_files_have_them_or_as_classes(tmp_path: Path) -> None:
    names = {"0": "ham", "1": "spam", "spam": "ham"}  # a class wins over a word for another
    made = world(tmp_path, 5, data={"labels": names})
    added(made, file(made, {"request_id": made.ids, "label": ["1", "0", "spam", "ham", " 1 "]}))
    assert kept(made) == ["spam", "ham", "spam", "ham", "spam"]
    added(made, file(made, {"request_id": made.ids[:2], "label": [0.0, 1.0]}, "later.parquet"))
    assert kept(made)[:2] == ["ham", "spam"]
    with pytest.raises(DataError, match="expected one of ham, spam"):
        added(made, file(made, {"request_id": made.ids[:1], "label": ["2"]}))


def test_without_named_classes_any_label_is_one(tmp_path: Path) -> None:
    made = world(tmp_path, data={"columns": {}})
    added(made, file(made, {"request_id": made.ids, "label": ["a", "b", "c"]}))
    assert kept(made) == ["a", "b", "c"]


@pytest.mark.parametrize("name", ["labels.csv", "labels.parquet"])
def test_numbers_are_numbers(tmp_path: Path, name: str) -> None:
    made = world(tmp_path, project={"task": "regression"}, data={"columns": {"y": {"type": "number"}}})
    labels: list[Any] = ["1.5", "-2", ""] if name.endswith("csv") else [1.5, -2.0, None]
    assert added(made, file(made, {"request_id": made.ids, "label": labels}, name)).added == 2
    assert kept(made) == [1.5, -2.0, None]


@pytest.mark.parametrize("wrong", ["inf", "many", "1,5"])
def test_a_number_that_is_none_is_an_error_and_nothing_is_added(tmp_path: Path, wrong: str) -> None:
    made = world(tmp_path, project={"task": "regression"}, data={"columns": {"y": {"type": "number"}}})
    with pytest.raises(DataError, match=f"expected finite numbers, found row 2: '{wrong}'"):
        added(made, file(made, {"request_id": made.ids, "label": ["1", wrong, "2"]}))
    assert kept(made) == [None] * 3


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("labels.csv", b"", "cannot be read as csv"),
        ("labels.csv", b"id,label\n1,yes\n", "expected the columns request_id and label, found 'id', 'label'"),
        ("labels.csv", b"request_id,label\n\xff\xfe,yes\n", "cannot be read as csv"),
        ("labels.csv", b"request_id,label\na,b,c,d\n", "cannot be read as csv"),
        ("labels.parquet", b"PAR1", "cannot be read as parquet"),
        ("labels.jsonl", b'{"request_id": 1\n', "cannot be read as jsonl"),
        ("labels.xlsx", b"x", r"expected a file that ends with \.csv, \.parquet or \.jsonl"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error_that_says_why(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    made = world(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words):
        added(made, tmp_path / name)


def test_a_time_that_cannot_be_read_is_an_error_and_nothing_is_added(tmp_path: Path) -> None:
    made = world(tmp_path)
    path = file(made, {"request_id": made.ids[:1], "label": ["yes"], "labelled_at": ["yesterday"]})
    with pytest.raises(DataError, match="labelled_at: expected moments like 2026-03-01T12:00:00Z, found row 1: 'yesterday'"):
        added(made, path)
    assert kept(made) == [None] * 3


def test_no_file_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="There is no file"):
        added(world(tmp_path), tmp_path / "nothing.csv")
