from __future__ import annotations

import io
import json
from pathlib import Path

import polars as pl
import pytest

from keepfit.errors import ConfigError, DataError
from keepfit.own_data.sniffing import Written, sniff

TABLE = "name{0}note{0}y\nAnn{0}a, b; c{0}1\nJosé{0}d{0}2\n"


def sniffed(folder: Path, content: bytes | str, name: str = "day.csv", target: str = "y") -> Written:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return sniff(path, target)


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_the_delimiter_is_the_one_under_which_the_target_is_a_column(tmp_path, delimiter) -> None:
    found = sniffed(tmp_path, TABLE.format(delimiter))
    assert found.delimiter == delimiter
    assert "separated by" in " ".join(found.remarks)


def test_more_cells_under_another_delimiter_do_not_win_against_the_target(tmp_path) -> None:
    rows = "".join(f"{i}, {i + 1}, {i + 2}|{i % 2}\n" for i in range(30))
    assert sniffed(tmp_path, f"first, second, third|y\n{rows}").delimiter == "|"


def test_commas_in_quoted_texts_do_not_count(tmp_path) -> None:
    rows = "".join(f'"a, b, c";{i}\n' for i in range(30))
    assert sniffed(tmp_path, f"text;y\n{rows}", target="nothing").delimiter == ";"


def test_a_plain_csv_needs_no_remark(tmp_path) -> None:
    assert sniffed(tmp_path, "a,y\n1,2\n").remarks == ()


@pytest.mark.parametrize(
    ("encoding", "found"),
    [("utf-8", "utf-8"), ("utf-8-sig", "utf-8"), ("utf-16", "utf-16"), ("utf-16-le", "utf-16-le"), ("utf-16-be", "utf-16-be")],
)
def test_an_encoding_is_told_by_the_bytes(tmp_path, encoding, found) -> None:
    assert sniffed(tmp_path, TABLE.format(";").encode(encoding)).encoding == found


def test_what_is_not_utf_8_is_read_as_western_european_and_shown(tmp_path) -> None:
    found = sniffed(tmp_path, TABLE.format(";").encode("cp1252"))
    assert found.encoding == "cp1252"
    assert "line 3" in found.remarks[0]
    assert "José" in found.remarks[0]


def test_bytes_that_no_encoding_explains_are_refused(tmp_path) -> None:
    with pytest.raises(DataError, match="byte 7 is 0x81"):
        sniffed(tmp_path, b"a,y\n\xc3,\x20\x81\n")


def test_parquet_is_told_by_its_content_and_gets_its_ending(tmp_path) -> None:
    buffer = io.BytesIO()
    pl.DataFrame({"y": [1]}).write_parquet(buffer)
    found = sniffed(tmp_path, buffer.getvalue(), "export")
    assert (found.kind, found.name) == ("Parquet", "export.parquet")
    assert "export.parquet" in found.remarks[0]


@pytest.mark.parametrize(("name", "taken"), [("a.jsonl", "a.jsonl"), ("a.json", "a.json.jsonl"), ("a.txt", "a.txt.jsonl")])
def test_json_lines_are_told_by_name_or_content(tmp_path, name, taken) -> None:
    found = sniffed(tmp_path, json.dumps({"y": 1}) + "\n", name)
    assert (found.kind, found.name) == ("JSON Lines", taken)


def test_the_inbox_takes_a_hidden_or_unprintable_name_under_another(tmp_path) -> None:
    assert sniffed(tmp_path, "a,y\n1,2\n", ".hid\nden.tsv").name == "hid_den.tsv.csv"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PK\x03\x04rest", "Excel"),
        (b"\x1f\x8brest", "gzip"),
        (b"SQLite format 3\0", "SQLite"),
        (b"a,y\n1,\0\n" + b"x" * 3000, "no text has"),
        (b"", "empty"),
        (b" \n\n", "empty"),
    ],
)
def test_what_is_no_table_is_refused_with_what_to_do(tmp_path, content, words) -> None:
    with pytest.raises(DataError, match=words):
        sniffed(tmp_path, content)


def test_a_json_list_is_refused_with_what_to_do(tmp_path) -> None:
    with pytest.raises(DataError, match="one object a line"):
        sniffed(tmp_path, '[{"y": 1}]', "a.json")


def test_a_missing_file_and_a_folder_are_said(tmp_path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        sniff(tmp_path / "nothing.csv", "y")
    with pytest.raises(ConfigError, match="is a folder"):
        sniff(tmp_path, "y")
