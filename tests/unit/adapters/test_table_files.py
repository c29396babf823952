"""Tables in files: whatever they are cut into, every record is read once and whole, and a glance sees all of a file."""

from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest

from keepfit.adapters.table_files import TableFiles, parquet, text
from keepfit.errors import DataError, NotFound, Unavailable

CELLS = ["plain", 'a "quoted" word', "two\nlines", 'a comma, and\r\n"both"', "é ü 漢", ""]
ROWS = 4000


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks and glances of some kilobytes, so that small files have many."""
    monkeypatch.setattr(text, "CHUNK", 3_001)
    monkeypatch.setattr(text, "SMALL", 1_000)
    monkeypatch.setattr(text, "GLANCE", 1 << 16)
    monkeypatch.setattr(parquet, "FRAME", 1 << 15)
    monkeypatch.setattr(parquet, "GLANCE", 1 << 15)


def table(rows: int = ROWS) -> pl.DataFrame:
    return pl.DataFrame({"n": range(rows), "cell": [CELLS[row % len(CELLS)] for row in range(rows)]})


def read(address: Path, columns: list[str] | None = None) -> list[pl.DataFrame]:
    return [frame for piece in TableFiles.at(str(address), columns).pieces() for frame in piece()]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.jsonl", "t.ndjson.gz", "t.parquet"])
def test_records_are_read_once_and_whole_wherever_a_file_is_cut(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    plain = tmp_path / name.removesuffix(".gz")
    if "csv" in name:
        table().write_csv(plain)
    elif "parquet" in name:
        table().write_parquet(plain, row_group_size=1500)
    else:
        table().write_ndjson(plain)
    if plain != path:
        path.write_bytes(gzip.compress(plain.read_bytes()))
    frames = read(path)
    assert len(frames) > 2
    together = pl.concat(frames).with_columns(pl.col("n").cast(pl.Int64), pl.col("cell").fill_null(""))
    assert together.equals(table())


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_glance_sees_all_of_a_file_and_not_its_beginning_only(tmp_path: Path, ending: str) -> None:
    frame = table(60_000).with_columns(pl.lit("x").alias("cell"))
    path = tmp_path / f"t.{ending}"
    {"csv": frame.write_csv, "jsonl": frame.write_ndjson, "parquet": frame.write_parquet}[ending](path)  # type: ignore[operator]
    frames, complete = TableFiles.at(str(path)).glance()
    seen = pl.concat(frames)["n"].cast(pl.Int64)
    assert not complete
    assert seen.len() < 20_000
    assert seen.quantile(0.5) == pytest.approx(30_000, rel=0.2)
    assert seen.max() > 55_000  # type: ignore[operator]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("ending", ["csv", "csv.gz", "jsonl", "parquet"])
def test_a_glance_sees_many_rows_however_long_they_are(tmp_path: Path, ending: str) -> None:
    frame = pl.DataFrame({"n": range(300), "text": [f"{row} " * 20_000 for row in range(300)]})
    path = tmp_path / f"t.{ending}"
    if ending == "parquet":
        frame.write_parquet(path)
    else:
        plain = tmp_path / f"t.{ending.removesuffix('.gz')}"
        frame.write_ndjson(plain) if ending == "jsonl" else frame.write_csv(plain)
        if plain != path:
            path.write_bytes(gzip.compress(plain.read_bytes(), 1))
    frames, complete = TableFiles.at(str(path)).glance()
    assert not complete
    assert 150 <= sum(frame.height for frame in frames) <= 300
    assert sum(frame["text"].str.len_bytes().sum() for frame in frames) < 1_000_000


def test_a_small_file_is_looked_at_as_a_whole(tmp_path: Path) -> None:
    table().write_csv(tmp_path / "t.csv")
    frames, complete = TableFiles.at(str(tmp_path / "t.csv")).glance()
    assert complete
    assert [frame.height for frame in frames] == [ROWS]


@pytest.mark.usefixtures("small")
def test_a_record_longer_than_a_chunk_is_read(tmp_path: Path) -> None:
    long = pl.DataFrame({"t": ["x" * 100_000, "y"], "n": [1, 2]})
    long.write_csv(tmp_path / "t.csv")
    assert pl.concat(read(tmp_path / "t.csv"))["t"].str.len_chars().to_list() == [100_000, 1]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_the_delimiter_is_found_in_the_header(tmp_path: Path, delimiter: str) -> None:
    table().with_columns(pl.lit("1,5").alias("third")).write_csv(tmp_path / "t.csv", separator=delimiter)
    assert read(tmp_path / "t.csv")[0].columns == ["n", "cell", "third"]


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfa,b\r\n1,2\r\n")
    assert read(tmp_path / "t.csv")[0].to_dicts() == [{"a": "1", "b": "2"}]
    (tmp_path / "t.csv").write_bytes("a,b\n1,2\n".encode("utf-16"))
    with pytest.raises(DataError, match="UTF-16"):
        read(tmp_path / "t.csv")


def test_json_lines_of_mixed_types_and_with_nan_lose_nothing(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"a": NaN, "b": 1}\n\n{"a": 2.5, "b": "x", "c": [1]}\n')
    frame = read(tmp_path / "t.jsonl")[0]
    assert frame["a"].to_list()[1] == 2.5
    assert frame["b"].to_list() == ["1", "x"]
    assert frame["c"].to_list() == [None, [1]]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_only_the_columns_that_are_asked_for_are_given(tmp_path: Path, ending: str) -> None:
    frame = table(10)
    {"csv": frame.write_csv, "jsonl": frame.write_ndjson, "parquet": frame.write_parquet}[ending](tmp_path / f"t.{ending}")  # type: ignore[operator]
    assert read(tmp_path / f"t.{ending}", ["n", "other"])[0].columns == ["n"]
    assert read(tmp_path / f"t.{ending}", ["other"])[0].shape == (10, 0)


def test_a_table_without_rows_keeps_its_columns(tmp_path: Path) -> None:
    table(0).write_parquet(tmp_path / "t.parquet")
    (tmp_path / "t.csv").write_text("n,cell\n")
    for name in ("t.parquet", "t.csv"):
        assert [frame.shape for frame in read(tmp_path / name)] == [(0, 2)]


def test_a_damaged_parquet_page_is_found_by_its_checksum(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"n": list(range(1000))}), path, compression="none", write_page_checksum=True, use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[500:600] = bytes(100)
    path.write_bytes(content)
    with pytest.raises(DataError, match="not a whole Parquet file"):
        read(path)


def test_a_folder_is_all_data_files_below_it(tmp_path: Path) -> None:
    for name in ("b.csv", "deep/er/a.csv", "_SUCCESS", ".part.csv", "_temporary/half.csv", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("a\n1\n")
    found = [Path(place.name).relative_to(tmp_path).as_posix() for place in TableFiles.at(f"{tmp_path}/").files]
    assert found == ["b.csv", "deep/er/a.csv"]


def test_who_reads_elsewhere_finds_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "t.csv").write_text("a\n1\n")
    monkeypatch.chdir(tmp_path)
    pieces = TableFiles.at("t.csv").pieces()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert [frame["a"].to_list() for piece in pieces for frame in piece()] == [["1"]]


def test_what_is_not_there_or_not_readable_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFound):
        TableFiles.at(str(tmp_path / "t.csv"))
    with pytest.raises(NotFound, match="a folder without data files"):
        TableFiles.at(str(tmp_path))
    (tmp_path / "t.csv").write_text("a\n1\n")
    monkeypatch.setattr(Path, "open", lambda *_: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    with pytest.raises(Unavailable, match="Give this user the right"):
        read(tmp_path / "t.csv")


def test_a_file_whose_name_looks_like_a_pattern_is_found(tmp_path: Path) -> None:
    table(3).write_csv(tmp_path / "day[1].csv")
    assert read(tmp_path / "day[1].csv")[0].height == 3
