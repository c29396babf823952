"""The log as one file: whole, exact, under its fields' own names."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.unit.live.made_up_log import START, MadeUpLog
from tests.unit.stages.world import World

from keepfit.errors import ConfigError, Unavailable
from keepfit.live.exporting import Exported, export, moment

FIRST = ["timestamp", "request_id", "model_id", "model_version"]
LAST = ["prediction", "score", "label", "labelled_at", "route", "shadow_version", "shadow_prediction", "shadow_score"]


def world(folder: Path, **data: Any) -> World:
    made = World(folder, {"data": data})
    made.ports.log = MadeUpLog()
    return made


def exported(made: World, out: str = "out.csv", **narrowed: Any) -> Exported:
    narrowed = {"since": None, "until": None, "labelled": None} | narrowed
    return export(made.folder / out, *narrowed.values(), made.ports, made.config)


def test_a_csv_has_one_row_a_request_with_what_was_asked_answered_and_labelled(tmp_path: Path) -> None:
    made = world(tmp_path, columns={"x": {"type": "number"}, "text": {"type": "text"}, "y": {"type": "category"}})
    ids = made.ports.log.answer([{"text": "hi", "x": 1.5}, {"text": None, "x": 2.0}], version="3")
    made.ports.log.label(ids[:1], ["no"])
    assert exported(made, "data/logs/predictions.csv") == Exported(
        path=str(tmp_path / "data/logs/predictions.csv"), rows=2, labelled=1
    )
    with (tmp_path / "data/logs/predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [*FIRST, "x", "text", *LAST]
    assert rows[0] == {
        "timestamp": "2026-03-01T12:00:00.000000+00:00",
        "request_id": ids[0],
        "model_id": "demo",
        "model_version": "3",
        "x": "1.5",
        "text": "hi",
        "prediction": "yes",
        "score": "0.5",
        "label": "no",
        "labelled_at": "2026-03-02T12:00:00.000000+00:00",
        "route": "champion",
        "shadow_version": "",
        "shadow_prediction": "",
        "shadow_score": "",
    }
    assert (rows[1]["text"], rows[1]["label"]) == ("", "")


TEXTS = ["=1+1", "+49", "-1", "@me", 'a "quoted", cell', "two\nlines", " spaces ", "ü \U0001f600", "'", ""]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_texts_are_exact_whatever_a_spreadsheet_makes_of_them(tmp_path: Path, suffix: str) -> None:
    made = world(tmp_path)
    made.ports.log.answer([{"text": text} for text in TEXTS])
    exported(made, "out" + suffix)
    if suffix == ".parquet":
        assert pl.read_parquet(tmp_path / "out.parquet")["text"].to_list() == TEXTS
        return
    with (tmp_path / "out.csv").open(newline="") as file:
        assert [row["text"] for row in csv.DictReader(file)] == TEXTS


def test_fields_that_are_called_as_the_logs_own_columns_are_told_apart(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.ports.log.answer([{"label": "a", "input_label": "b", "route": "c", "x": 1}])
    exported(made, "out.parquet")
    found = pl.read_parquet(tmp_path / "out.parquet")
    assert found.columns == [*FIRST, "input_label", "input_input_label", "input_route", "x", *LAST]
    fields = found.select("input_input_label", "input_label", "input_route", "label", "route")
    assert fields.row(0) == ("a", "b", "c", None, "champion")


def test_a_span_of_time_and_only_what_is_labelled_can_be_asked_for(tmp_path: Path) -> None:
    made = world(tmp_path)
    ids = made.ports.log.answer([{"x": number} for number in range(5)])
    made.ports.log.label(ids[1:4], ["no"] * 3)

    def asked(**narrowed: Any) -> list[int]:
        exported(made, "out.parquet", **narrowed)
        return pl.read_parquet(tmp_path / "out.parquet")["x"].to_list()

    assert asked(since=START + timedelta(seconds=2)) == [2, 3, 4]
    assert asked(until=START + timedelta(seconds=2)) == [0, 1]
    assert asked(labelled=True) == [1, 2, 3]
    assert asked(labelled=True, since=START + timedelta(seconds=2), until=START + timedelta(seconds=3)) == [2]


def test_nothing_in_that_time_is_a_header_without_rows(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.ports.log.answer([{"x": 1}])
    assert exported(made, until=START).rows == 0
    assert (tmp_path / "out.csv").read_text().splitlines() == [",".join([*FIRST, "x", *LAST])]


def test_a_file_that_cannot_be_written_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = world(tmp_path)
    made.ports.log.answer([{"x": 1}])
    exported(made)
    before = (tmp_path / "out.csv").read_bytes()

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(Unavailable, match="No space left on device"):
        patch.setattr(Path, "replace", full)
        exported(made)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["out.csv"]
    assert (tmp_path / "out.csv").read_bytes() == before


def test_another_kind_of_file_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    made = world(tmp_path)
    with pytest.raises(ConfigError, match=r"out\.xlsx cannot be written: expected a name that ends with \.csv or \.parquet"):
        exported(made, "out.xlsx")
    assert made.ports.log.drained == 0


def test_spools_of_a_server_that_died_are_drained_first(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.ports.log.drain = lambda: made.ports.log.answer([{"x": 1}])
    assert exported(made).rows == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01T12:00", START),
        ("2026-03-01 13:00+01:00", START),
        ("7d", START - timedelta(days=7)),
        ("90s", START - timedelta(seconds=90)),
    ],
)
def test_moments_are_said_as_people_say_them(text: str, expected: datetime) -> None:
    assert moment(text, START) == expected


@pytest.mark.parametrize("text", ["yesterday", "", "7", "99999999999w", "2026-13-01"])
def test_what_is_no_moment_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match="is no moment: expected one like 2026-03-01"):
        moment(text, START)
