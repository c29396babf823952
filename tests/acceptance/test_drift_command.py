"""`keepfit drift` as a person and a script meet it: two tables in files of every kind, answers, errors, and bounded memory."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner, Result

from keepfit.cli.main import app

Call = Callable[..., Result]
ROWS = 600


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Runs the verb in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, ["drift", *map(str, arguments)])


def people(seed: int, shift: float = 0.0, rows: int = ROWS) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "age": rng.normal(40 + 12 * shift, 12, rows),
            "children": rng.poisson(1.2, rows),
            "city": rng.choice(["Bern", "Genève", "Zürich, Kreis 4"], rows),
            "member": rng.random(rows) < 0.3,
        }
    )


def write(frame: pl.DataFrame, name: str) -> None:
    path = Path(name)
    plain = name.removesuffix(".gz")
    if plain.endswith(".csv"):
        frame.write_csv(plain)
    elif plain.endswith(".parquet"):
        frame.write_parquet(plain)
    else:
        frame.write_ndjson(plain)
    if name != plain:
        path.write_bytes(gzip.compress(Path(plain).read_bytes()))


def columns(result: Result) -> dict[str, Any]:
    return {column["name"]: column for column in json.loads(result.stdout)["columns"]}


# ------------------------------------------------------------------------------------------------------------- answers


def test_a_shift_is_found_named_and_told_by_exit_code(call: Call) -> None:
    write(people(0), "a.csv")
    write(people(1), "same.csv")
    write(people(2, shift=1.0), "b.csv")
    found = call("a.csv", "b.csv")
    assert found.exit_code == 0
    assert "drift in 1 of 4 columns (600 rows against 600): age" in found.stdout
    assert call("a.csv", "b.csv", "--fail-on-drift").exit_code == 4
    calm = call("a.csv", "same.csv", "--fail-on-drift")
    assert calm.exit_code == 0
    assert "no drift in 4 columns" in calm.stdout


def test_json_is_one_document_with_every_number(call: Call) -> None:
    write(people(0), "a.parquet")
    write(people(2, shift=1.0), "b.parquet")
    result = call("a.parquet", "b.parquet", "--json")
    answer = json.loads(result.stdout)
    assert answer["schema_version"] == 1
    assert answer["drift_detected"] is True
    assert answer["reference"] == {"rows": ROWS, "files": ["a.parquet"]}
    assert answer["current"]["rows"] == ROWS
    assert answer["false_alarms"] == 0.01
    first = answer["columns"][0]
    assert {"name", "kind", "method", "score", "threshold", "p_value", "drifted", "measures", "findings", "note"} <= set(first)
    assert (first["name"], first["kind"], first["drifted"]) == ("age", "number", True)
    assert {name: column["kind"] for name, column in columns(result).items()} == {
        "age": "number",
        "children": "number",
        "city": "category",
        "member": "boolean",
    }


@pytest.mark.parametrize("one", ["a.csv", "a.csv.gz", "a.parquet", "a.jsonl", "a.ndjson.gz"])
def test_the_kind_of_file_changes_nothing(call: Call, one: str) -> None:
    write(people(0), one)
    write(people(0), "b.parquet")
    found = columns(call(one, "b.parquet", "--json"))
    assert {column["measures"][0]["value"] for column in found.values()} == {0.0}


def test_the_files_of_a_glob_are_one_table(call: Call) -> None:
    whole = people(0)
    write(whole, "whole.parquet")
    for number, name in enumerate(("part-1.parquet", "part-2.csv", "part-3.jsonl")):
        write(whole.slice(number * 200, 200), name)
    result = call("whole.parquet", "part-*", "--json")
    assert json.loads(result.stdout)["current"] == {"rows": ROWS, "files": ["part-1.parquet", "part-2.csv", "part-3.jsonl"]}
    assert {column["measures"][0]["value"] for column in columns(result).values()} == {0.0}
    assert json.loads(call("part-*", "whole.parquet", "--json").stdout)["drift_detected"] is False


def test_object_storage_is_read_by_its_url(call: Call) -> None:
    import fsspec

    store = fsspec.filesystem("memory")
    for number in range(2):
        with store.open(f"/drift/part-{number}.parquet", "wb") as file:
            people(number).write_parquet(file)
    try:
        write(people(2), "b.csv")
        answer = json.loads(call("memory://drift/part-*.parquet", "b.csv", "--json").stdout)
    finally:
        store.rm("/drift", recursive=True)
    assert answer["reference"] == {"rows": 2 * ROWS, "files": ["memory:///drift/part-0.parquet", "memory:///drift/part-1.parquet"]}


def test_columns_on_one_side_only_are_named(call: Call) -> None:
    write(people(0), "a.csv")
    write(people(1).rename({"city": "town"}), "b.csv")
    found = columns(call("a.csv", "b.csv", "--json"))
    assert found["city"]["method"] == "type"
    assert found["city"]["drifted"]
    assert "town" in found


def test_a_type_that_changed_is_drift_and_not_a_guess(call: Call) -> None:
    write(people(0), "a.parquet")
    changed = people(1).with_columns(pl.lit("unknown").alias("age"), pl.col("member").cast(pl.Int8))
    write(changed, "b.parquet")
    found = columns(call("a.parquet", "b.parquet", "--json"))
    for name, words in (("age", "expected numbers, found 600 of 600 cells"), ("member", "expected truth values")):
        assert found[name]["method"] == "type"
        assert found[name]["drifted"]
        assert words in found[name]["findings"][0]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_columns_beside_long_texts_are_taken_for_what_they_are(call: Call, ending: str) -> None:
    """Of cells so long that a glance of some megabytes holds a few."""
    rng = np.random.default_rng(0)
    for name, shift in (("a", 0.0), ("b", 100.0)):
        words = rng.integers(0, 1000, (60, 8)).astype(str)
        texts = [" ".join(row) + " und so weiter" * 30_000 for row in words]
        write(pl.DataFrame({"x": rng.normal(shift, 1, 60), "text": texts}), f"{name}.{ending}")
    found = columns(call(f"a.{ending}", f"b.{ending}", "--json"))
    assert (found["x"]["kind"], found["x"]["drifted"]) == ("number", True)
    assert found["text"]["kind"] == "text"


def test_only_columns_that_were_judged_are_said_not_to_have_drifted(call: Call) -> None:
    rng = np.random.default_rng(0)
    for seed, name in enumerate(("a.csv", "b.csv")):
        write(people(seed).with_columns(pl.Series("id", rng.integers(0, 2**62, ROWS)).cast(pl.String) + "x"), name)
    result = call("a.csv", "b.csv")
    assert "no drift in 4 columns, 1 not judged (600 rows against 600)" in result.stdout
    assert "nearly every cell is different" in " ".join(result.stdout.split())
    assert "no drift in 1 column (600" in call("a.csv", "b.csv", "--columns", "age").stdout
    assert json.loads(call("a.csv", "b.csv", "--columns", "id", "--json").stdout)["drift_detected"] is None


@pytest.mark.parametrize("values", ["uniform", "few"])
def test_the_largest_numbers_are_drawn_and_shown_shortly(call: Call, values: str) -> None:
    rng = np.random.default_rng(0)
    drawn = rng.uniform(-1.7, 1.7, (2, ROWS)) if values == "uniform" else rng.choice([-1.7, 0.5, 1.0], (2, ROWS))
    for name, numbers in (("a", drawn[0]), ("b", np.append(drawn[1][100:] / 2, [1.79] * 100))):
        write(pl.DataFrame({"x": numbers * 1e308}), f"{name}.parquet")
    result = call("a.parquet", "b.parquet", "--html", "page.html")
    assert result.exit_code == 0
    assert "largest now 1.79e+308" in " ".join(result.stdout.split())
    assert "0" * 40 not in Path("page.html").read_text()


def test_options_choose_columns_methods_and_thresholds(call: Call) -> None:
    write(people(0), "a.csv")
    write(people(1, shift=1.0), "b.csv")
    assert list(columns(call("a.csv", "b.csv", "--json", "--columns", "age, city"))) == ["age", "city"]
    assert "age" not in columns(call("a.csv", "b.csv", "--json", "--column", "age=ignore"))
    assert columns(call("a.csv", "b.csv", "--json", "--column", "age=wasserstein"))["age"]["method"] == "wasserstein"
    assert columns(call("a.csv", "b.csv", "--json", "--method", "psi"))["city"]["method"] == "psi"
    assert columns(call("a.csv", "b.csv", "--json", "--threshold", "0.9"))["age"]["drifted"] is False


def test_the_page_is_one_file(call: Call) -> None:
    write(people(0), "a.csv")
    write(people(1, shift=1.0), "b.csv")
    assert call("a.csv", "b.csv", "--html", "page.html").exit_code == 0
    page = Path("page.html").read_text()
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert "age" in page


@pytest.mark.parametrize(("one", "other"), [("one.csv", "a.csv"), ("a.csv", "one.csv"), ("one.csv", "one.csv")])
def test_one_row_is_too_little_evidence_and_no_error(call: Call, one: str, other: str) -> None:
    write(people(0), "a.csv")
    write(people(1, rows=1), "one.csv")
    result = call(one, other)
    assert result.exit_code == 0
    assert "too little evidence" in result.stdout
    assert json.loads(call(one, other, "--json").stdout)["drift_detected"] is None
    assert call(one, other, "--fail-on-drift").exit_code == 1  # unknown is not "no drift"


# -------------------------------------------------------------------------------------------------------------- errors


@pytest.fixture
def odd(call: Call) -> Call:
    """A folder of files that are no tables."""
    write(people(0), "a.csv")
    write(people(0), "a.parquet")
    rng = np.random.default_rng(0)
    for name in ("junk.csv", "junk.parquet", "junk.jsonl", "junk.csv.gz"):
        Path(name).write_bytes(rng.bytes(5000))
    Path("cut.parquet").write_bytes(Path("a.parquet").read_bytes()[:-100])
    Path("empty.csv").write_text("")
    Path("header.csv").write_text("age,city\n")
    Path("ragged.csv").write_text("a,b\n1,2\n3\n")
    Path("twice.csv").write_text("a,a\n1,2\n")
    Path("open.csv").write_text('a,b\n1,"x\n2,y\n')
    Path("list.jsonl").write_text("[1, 2]\n")
    Path("cut.jsonl").write_text('{"a": 1}\n{"a":\n')
    Path("other.csv").write_text("z\n1\n2\n")
    Path("table.txt").write_text("age\n1\n")
    Path("folder").mkdir()
    return call


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("nothing.csv", 2, "there is no such file"),
        ("nothing-*.csv", 2, "no file matches"),
        ("folder", 2, "is a folder"),
        ("table.txt", 2, "expected a name that ends in .csv"),
        ("moon://a/b.csv", 2, "expected a path, a folder, a glob or an s3:// URL"),
        ("junk.csv", 1, "does not begin with column names"),
        ("junk.parquet", 1, "is not a whole Parquet file"),
        ("junk.jsonl", 1, "is not JSON"),
        ("junk.csv.gz", 1, "is not a whole gzip file"),
        ("cut.parquet", 1, "is not a whole Parquet file"),
        ("empty.csv", 1, "is empty"),
        ("header.csv", 1, "has no rows"),
        ("ragged.csv", 1, "expected 2 cells in each row, found 1: '3'"),
        ("twice.csv", 1, "names 'a' more than once"),
        ("open.csv", 1, "is opened and never closed"),
        ("list.jsonl", 1, "no object"),
        ("cut.jsonl", 1, "not JSON"),
        ("other.csv", 1, "no column in common"),
    ],
)
def test_what_is_no_table_is_told_in_one_line(odd: Call, name: str, code: int, words: str) -> None:
    for arguments in ((name, "a.csv"), ("a.csv", name)):
        result = odd(*arguments)
        assert result.exit_code == code, result.output
        assert result.stdout == ""
        assert len(result.stderr.splitlines()) == 1
        assert words.lower() in result.stderr.lower()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--method", "magic"), "expected auto, ks"),
        (("--column", "age"), "expected NAME=METHOD"),
        (("--column", "age=magic"), "or ignore, found 'magic'"),
        (("--column", "ago=ks"), "no column 'ago'"),
        (("--columns", "ago"), "no column 'ago'"),
        (("--false-alarms", "1"), "below 0.5"),
        (("--effect", "-1"), "--effect"),
        (("--html", "nowhere/page.html"), "--html"),
    ],
)
def test_wrong_options_are_told_with_what_was_expected(odd: Call, options: tuple[str, ...], words: str) -> None:
    result = odd("a.csv", "a.csv", *options)
    assert result.exit_code == 2
    assert words in result.stderr


# --------------------------------------------------------------------------------------------------- large and elsewhere

MEASURED = """
import json, re, sys
from pathlib import Path
from keepfit.cli.main import app
try:
    app(sys.argv[1:])
except SystemExit as leaving:
    code = leaving.code
loaded = [name for name in ("pandas", "sklearn", "mlflow", "pandera", "sqlalchemy") if name in sys.modules]
peak = int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])  # getrusage would tell of its parent
print(json.dumps({"code": code, "kilobytes": peak, "loaded": loaded}), file=sys.stderr)
"""


def measured(*arguments: object) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a process of its own answers, and what it took."""
    command = [sys.executable, "-c", MEASURED, "drift", *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return json.loads(done.stdout), json.loads(done.stderr.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read from Linux's /proc")
@pytest.mark.parametrize(("ending", "rows"), [("parquet", 2_500_000), ("csv", 500_000)])
def test_memory_is_bounded_by_pieces_and_not_by_the_file(tmp_path: Path, ending: str, rows: int) -> None:
    """The tables are in order of x, so that a layout by the first rows alone would not know most values."""
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({"x": np.sort(rng.normal(size=rows)), **{f"y{number}": rng.random(rows) for number in range(15)}})
    for name, shift in (("a", 0.0), ("b", 0.5)):
        moved = frame.with_columns(pl.col("x") + shift)
        if ending == "parquet":
            moved.write_parquet(tmp_path / f"{name}.parquet", row_group_size=rows, compression="uncompressed")
        else:
            moved.write_csv(tmp_path / f"{name}.csv")
    del frame, moved
    answer, cost = measured(tmp_path / f"a.{ending}", tmp_path / f"b.{ending}")
    assert cost["code"] == 0
    assert cost["kilobytes"] < 400_000  # the libraries take half of it; one table as a frame would take 320 MB
    found = {column["name"]: column for column in answer["columns"]}
    assert answer["current"]["rows"] == rows
    assert found["x"]["measures"][0]["value"] == pytest.approx(0.1974, abs=0.01)  # 2 Phi(0.25) - 1
    assert [name for name, column in found.items() if column["drifted"]] == ["x"]


def test_the_process_loads_only_what_it_needs(tmp_path: Path) -> None:
    people(0).write_parquet(tmp_path / "a.parquet")
    _, cost = measured(tmp_path / "a.parquet", tmp_path / "a.parquet")
    assert cost["loaded"] == []
    assert cost["kilobytes"] < 300_000
