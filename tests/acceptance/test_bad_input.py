"""Whatever lies in the inbox, in the settings or in the project's code: a clear outcome, every file whole and in one folder."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.acceptance.runs import Done, Runs

from keepfit.errors import ModelRefused

SETTINGS = """
[project]
name = "odd"
task = "classification"

[data]
target = "y"
settle = "0s"

[data.columns]
x = { type = "number", max_null_share = 0.5 }
z = { type = "number" }
c = { type = "category" }
y = { type = "category", values = ["yes", "no"] }

[train]
folds = 2

[[train.candidates]]
estimator = "sklearn.linear_model.LogisticRegression"

[promote]
resamples = 200
"""
HEADER = "x,z,c,y\n"


def lines(rows: int = 120, seed: int = 1) -> list[str]:
    """Cells of a table in which x says y, nine times of ten."""
    draw = random.Random(seed)  # noqa: S311 - made-up data
    found = []
    for _ in range(rows):
        x, z = draw.uniform(-1, 1), draw.uniform(-1, 1)
        found.append(f"{x:.6f},{z:.6f},{draw.choice('abc')},{'yes' if (x > 0) != (draw.random() < 0.1) else 'no'}")
    return found


def table(rows: int = 120, seed: int = 1) -> str:
    return HEADER + "\n".join(lines(rows, seed)) + "\n"


def frame(rows: int = 120, seed: int = 1) -> pl.DataFrame:
    return pl.read_csv(io.StringIO(table(rows, seed)))


def parquet(table: pl.DataFrame) -> bytes:
    file = io.BytesIO()
    table.write_parquet(file)
    return file.getvalue()


def put(folder: Path, name: str, content: str | bytes, place: str = "inbox") -> str:
    """A file in a folder; returns the hash of its bytes."""
    data = content.encode() if isinstance(content, str) else content
    path = folder / "data" / place / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def places(folder: Path, digest: str) -> list[str]:
    """Where these bytes lie, as place/name."""
    files = [path for path in (folder / "data").rglob("*") if path.is_file() and not path.is_symlink()]
    return [
        path.relative_to(folder / "data").as_posix() for path in files if digest == hashlib.sha256(path.read_bytes()).hexdigest()
    ]


def facts(done: Done, code: int = 0) -> Any:
    """The cycle, when the command has behaved: its exit code, one document on stdout, no traceback."""
    assert (done.code, "Traceback" in done.err) == (code, False), done
    assert "not foreseen" not in done.err, done
    return json.loads(done.out) if code == 0 else None


def found(cycle: Any, name: str) -> Any:
    """What validation says of a file."""
    [batch] = [each for each in cycle["validation"]["batches"] if each["name"] == name]
    return batch


def reasons(cycle: Any, name: str) -> str:
    return " ".join(
        f"{each['column']}: expected {each['expected']}, found {each['found']} {each['examples']}"
        for each in found(cycle, name)["findings"]
    )


@pytest.fixture(scope="session")
def kept(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A project with a champion, and the folder in which every test finds it (MLflow keeps absolute addresses)."""
    place = tmp_path_factory.mktemp("odd")
    folder, copy = place / "project", place / "kept"
    folder.mkdir()
    (folder / "keepfit.toml").write_text(SETTINGS)
    put(folder, "first.csv", table(400, seed=0))
    done = runs.learn("run", folder=folder)
    assert done.out.startswith("promoted"), done
    shutil.copytree(folder, copy)
    return folder, copy


@pytest.fixture
def project(kept: tuple[Path, Path]) -> Iterator[Path]:
    folder, copy = kept
    shutil.rmtree(folder)
    shutil.copytree(copy, folder)
    yield folder


@pytest.fixture(scope="session")
def database(runs: Runs, kept: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables, made once."""
    folder = tmp_path_factory.mktemp("database")
    (folder / "keepfit.toml").write_text(SETTINGS)
    assert runs.start("promote", "1", folder=folder).wait().code == 2
    return folder / ".keepfit/mlflow.db"


@pytest.fixture
def empty(tmp_path: Path, database: Path) -> Path:
    """A project without data or champion."""
    folder = tmp_path / "project"
    (folder / ".keepfit").mkdir(parents=True)
    shutil.copy(database, folder / ".keepfit")
    (folder / "keepfit.toml").write_text(SETTINGS)
    return folder


# ------------------------------------------------------------------------------------------------------------------ files

BROKEN = {
    "empty.csv": ("", "empty"),
    "blank.csv": ("\n  \n\n", "empty"),
    "header.csv": (HEADER, "rows below the header"),
    "header-alone.csv": (HEADER.strip(), "rows below the header"),
    "commas.csv": (HEADER + ",,,\n" * 5, "rows below the header"),
    "latin.csv": (HEADER.encode() + b"1,2,a,yes\n1,2,M\xfcnchen,yes\n", "line 3: expected utf-8 text, found the byte 0xfc"),
    "utf16.csv": (table().encode("utf-16-le"), ""),
    "ragged.csv": (
        HEADER + "1,2,a,yes\n1,2\n1,2,a,yes,more\n",
        "2 ragged rows: expected 4 cells in each, found line 3: 2 cells; line 4: 5",
    ),
    "missing.csv": ("x,c,y\n1,a,yes\n2,b,no\n", "z: expected the column"),
    "target.csv": ("x,z,c\n1,2,a\n", "y: expected the target column"),
    "other.csv": ("a;b\n1;2\n", "expected the column"),
    "twice.csv": ("x,x,z,c,y\n1,1,2,a,yes\n", "'x' more than once"),
    "type.csv": (HEADER + "1,2,a,yes\n1,north,a,no\n", "z: expected finite numbers, found 1 cells that are not ['row 2: 'north"),
    "infinite.csv": (HEADER + "1,2,a,yes\ninf,2,a,no\n", "x: expected finite numbers"),
    "label.csv": (HEADER + "1,2,a,yes\n1,2,a,perhaps\n", "y: expected one of yes, no"),
    "nulls.csv": (HEADER + ",2,a,yes\nNaN,2,a,no\n3,2,a,no\n", "x: expected at most 50% empty cells, found 2 of 3"),
    "quote.csv": (HEADER + '1,2,a,yes\n1,2,"a,no\n' + "1,2,b,yes\n" * 5, ""),
    "nul.csv": (HEADER + "1,\x00,a,yes\n", "z: expected finite numbers"),
    "garbage.csv": (bytes(random.Random(1).randbytes(5000)), ""),  # noqa: S311
    "garbage.parquet": (bytes(random.Random(2).randbytes(5000)), "not a Parquet table"),  # noqa: S311
    "garbage.jsonl": (bytes(random.Random(3).randbytes(5000)), ""),  # noqa: S311
    "cut.parquet": (parquet(frame())[:-100], "not a Parquet table"),
    "truly.parquet": (table(seed=21), "not a Parquet table"),
    "prose.jsonl": ('{"x": 1}\nhello\n', "line 2 is not JSON"),
    "list.jsonl": ("[1, 2]\n", "line 1: expected an object"),
    "deep.jsonl": ("[" * 100_000 + "\n", "line 1 is not JSON"),
    "surrogate.jsonl": ('{"x": 1, "z": 1, "c": "\\ud800", "y": "yes"}\n', ""),
    "nothing.jsonl": ("{}\n{}\n", ""),
    "nested.parquet": (parquet(frame().with_columns(z=pl.concat_list("x", "z"))), "z: expected finite numbers"),
    "number.jsonl": ('{"x": 1, "z": ' + "9" * 5000 + ', "c": "a", "y": "yes"}\n', ""),
}


def test_broken_files_go_to_quarantine_with_their_reason_and_the_good_one_goes_on(project, runs) -> None:
    digests = {name: put(project, name, content) for name, (content, _) in BROKEN.items()}
    good = put(project, "good.csv", table())
    cycle = facts(runs.run("--json", folder=project))
    assert cycle["outcome"] == "alerted"  # a person must look at the broken ones
    assert cycle["decision"]["change"] == "data_fault"
    assert cycle["performance"]["n"] == 120
    assert places(project, good) == ["inbox/good.csv"]
    for name, (_, reason) in BROKEN.items():
        assert found(cycle, name)["passed"] is False, name
        assert reason in reasons(cycle, name).replace('["row', "['row"), (name, reasons(cycle, name))
        assert places(project, digests[name]) == [f"quarantine/{name}"]
        note = json.loads((project / f"data/quarantine/{name}.reason.json").read_text())
        assert note["file"] == name
        assert note["reason"]
    shown = runs.start("explain", folder=project).wait()
    assert shown.code == 0
    assert "\x00" not in shown.out
    assert f"1 passed validation, {len(BROKEN)} went to quarantine" in shown.out


FINE = {
    "utf16.csv": table(seed=2).encode("utf-16"),
    "mark.csv": b"\xef\xbb\xbf" + table(seed=3).encode(),
    "windows.csv": table(seed=4).replace("\n", "\r\n"),
    "extra.csv": table(seed=5).replace("x,z", "more,x,z").replace("\n0.", "\nm,0.").replace("\n-0.", "\nm,-0."),
    "gaps.csv": table(seed=6).replace("\n0.1", "\n").replace("\n-", "\n-"),
    "order.csv": frame(seed=7).select("y", "c", "z", "x").write_csv(),
    "blank-lines.csv": "\n\n" + table(seed=8).replace("\n", "\n\n"),
    "one-class.csv": HEADER + "\n".join(line for line in lines(400, seed=9) if line.endswith("yes")) + "\n",
    "unlabelled.csv": table(seed=10).replace(",yes\n", ",\n").replace(",no\n", ",\n"),
    "typed.parquet": parquet(frame(seed=11)),
    "nan.parquet": parquet(frame(seed=12).with_columns(x=pl.when(pl.col("x") > 0.5).then(float("nan")).otherwise("x"))),
    "rows.jsonl": frame(seed=13).write_ndjson(),
    "UPPER.CSV": table(seed=14),
    "a name with spaces, ünicode & $(signs).csv": table(seed=15),
    "deep/er/folder.csv": table(seed=16),
    "formula.csv": HEADER
    + "".join(f"0.1,0.{i},=cmd|' /C calc'!A{i},yes\n0.2,0.{i},[red]<script>{i}</script>,no\n" for i in range(40)),
    "no-newline-at-the-end.csv": table(seed=17).rstrip("\n"),
}


def test_odd_files_that_hold_what_was_promised_are_taken_in(project, runs) -> None:
    digests = {name: put(project, name, content) for name, content in FINE.items()}
    cycle = facts(runs.run("--json", folder=project))
    assert {each["name"]: [] for each in cycle["validation"]["batches"]} == {
        each["name"]: each["findings"] for each in cycle["validation"]["batches"]
    }
    assert {each["name"] for each in cycle["batches"]} == set(FINE)
    assert found(cycle, "unlabelled.csv")["labelled"] == 0
    assert found(cycle, "blank-lines.csv")["rows"] == 120
    assert "more" in " ".join(found(cycle, "extra.csv")["notes"])
    for name, digest in digests.items():
        assert places(project, digest) == [f"inbox/{name}"] or cycle["outcome"] == "promoted", name


def test_extra_columns_are_a_fault_where_that_is_said(project, runs) -> None:
    put(project, "extra.csv", FINE["extra.csv"])
    done = runs.run("--json", folder=project, environment={"KEEPFIT_VALIDATE__EXTRA_COLUMNS": "error"})
    cycle = facts(done)
    assert (cycle["outcome"], cycle["decision"]["action"]) == ("quarantined", "ALERT")
    assert "more" in cycle["reason"]


def test_a_file_written_otherwise_is_read_when_that_is_said(project, runs) -> None:
    content = HEADER.encode() + b"".join(b"0.%d,1,M\xfcnchen,yes\n0.%d,1,K\xf6ln,no\n" % (i, i) for i in range(10, 50))
    put(project, "latin.csv", content)
    put(project, "latin-2.csv", content.replace(b"yes", b"no"))
    told = facts(runs.run("--json", folder=project))["reason"]
    assert '[data] encoding = "cp1252"' in told
    for path in (project / "data/quarantine").glob("*.csv"):
        path.rename(project / "data/inbox" / path.name)
    cycle = facts(runs.run("--json", folder=project, environment={"KEEPFIT_DATA__ENCODING": "cp1252"}))
    assert [each["passed"] for each in cycle["validation"]["batches"]] == [True, True]


def test_the_first_files_of_a_project_without_a_contract_may_be_broken(empty, runs) -> None:
    """What was inferred from a broken file would refuse every good one for ever."""
    folder = empty
    (folder / "keepfit.toml").write_text(SETTINGS[: SETTINGS.index("[data.columns]")] + SETTINGS[SETTINGS.index("[train]") :])
    for name in ("commas.csv", "garbage.parquet", "header.csv", "other.csv", "target.csv"):
        put(folder, name, BROKEN[name][0])
    assert facts(runs.run("--json", folder=folder))["outcome"] == "quarantined"
    put(folder, "good.csv", table(400))
    cycle = facts(runs.run("--json", folder=folder))
    assert cycle["outcome"] == "promoted", cycle["reason"]
    assert cycle["prepared"]["columns"] == ["x", "z", "c"]


# ------------------------------------------------------------------------------------------------------------ same content


def test_the_same_content_under_two_names_counts_once(project, runs) -> None:
    digest = put(project, "a.csv", table())
    put(project, "b.csv", table())
    cycle = facts(runs.run("--json", folder=project))
    assert [each["name"] for each in cycle["batches"]] == ["a.csv"]
    assert [(each["name"], each["original"]) for each in cycle["duplicates"]] == [("b.csv", "a.csv")]
    assert sorted(places(project, digest)) == ["inbox/a.csv", "quarantine/b.csv"]
    assert cycle["performance"]["n"] == 120


def test_content_that_was_consumed_does_not_come_in_again(project, runs) -> None:
    digest = put(project, "again.csv", table(400, seed=0))
    cycle = facts(runs.run("--json", folder=project))
    assert (cycle["outcome"], cycle["batches"]) == ("waiting", [])
    assert [(each["name"], each["original"]) for each in cycle["duplicates"]] == [("again.csv", "first.csv")]
    assert sorted(places(project, digest)) == ["archive/first.csv", "quarantine/again.csv"]


def test_other_content_under_a_name_that_the_archive_has_overwrites_nothing(project, runs) -> None:
    first = hashlib.sha256((project / "data/archive/first.csv").read_bytes()).hexdigest()
    second = put(project, "first.csv", table(400, seed=99))
    cycle = facts(
        runs.run(
            "--json", "--force", folder=project, environment={"KEEPFIT_PROMOTE__GATE": "min_gain", "KEEPFIT_PROMOTE__MARGIN": "0"}
        )
    )
    assert cycle["verdict"] is not None
    assert places(project, first) == ["archive/first.csv"]
    [place] = places(project, second)
    if cycle["outcome"] == "promoted":
        assert place.startswith("archive/first.")
        assert place != "archive/first.csv"
    else:
        assert place == "inbox/first.csv"


# ------------------------------------------------------------------------------------------------------- still being written


@pytest.mark.parametrize("name", ["a.csv.tmp", "a.csv.part", "a.csv.crdownload", "a.csv~", ".a.csv", "a.csv.filepart"])
def test_a_file_with_a_temporary_name_waits(project, runs, name) -> None:
    digest = put(project, name, table())
    cycle = facts(runs.run("--json", folder=project))
    assert (cycle["outcome"], cycle["batches"]) == ("waiting", [])
    assert places(project, digest) == [f"inbox/{name}"]


def test_a_file_that_changed_within_the_settle_time_waits_and_others_go_on(project, runs) -> None:
    fresh = put(project, "fresh.csv", table(seed=3))
    put(project, "old.csv", table(seed=4))
    an_hour_ago = time.time() - 3600
    os.utime(project / "data/inbox/old.csv", (an_hour_ago, an_hour_ago))
    settle = {"KEEPFIT_DATA__SETTLE": "30s"}
    cycle = facts(runs.run("--json", folder=project, environment=settle))
    assert [each["name"] for each in cycle["batches"]] == ["old.csv"]
    assert places(project, fresh) == ["inbox/fresh.csv"]
    again = facts(runs.run("--json", folder=project, environment=settle))
    assert again["outcome"] == "waiting"
    assert "1 still being written" in again["reason"]


@pytest.mark.parametrize("make", ["pipe", "link to nothing", "folder"])
def test_what_is_no_file_is_left_alone_and_holds_nothing_up(project, runs, make) -> None:
    path = project / "data/inbox/odd.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    {"pipe": os.mkfifo, "link to nothing": lambda odd: odd.symlink_to("nowhere"), "folder": Path.mkdir}[make](path)
    put(project, "good.csv", table())
    cycle = facts(runs.start("run", "--json", folder=project).wait(20))
    assert [each["name"] for each in cycle["batches"]] == ["good.csv"]


# ------------------------------------------------------------------------------------------------------------------- sizes


@pytest.mark.slow
def test_a_file_of_sixty_megabytes(project, runs) -> None:
    body = "\n".join(lines(30_000, seed=5)) + "\n"
    content = HEADER + body * (60_000_000 // len(body))
    digest = put(project, "large.csv", content)
    done = runs.run("--json", folder=project, environment={"KEEPFIT_VALIDATE__MIN_QUALITY": "0"})
    cycle = facts(done)
    assert cycle["outcome"] == "healthy"
    assert cycle["performance"]["n"] == content.count("\n") - 1
    assert places(project, digest) == ["inbox/large.csv"]


@pytest.mark.slow
def test_two_thousand_columns(empty, runs) -> None:
    folder = empty
    (folder / "keepfit.toml").write_text(SETTINGS[: SETTINGS.index("[data.columns]")] + SETTINGS[SETTINGS.index("[train]") :])
    wide = frame(300).with_columns(**{f"w{i}": pl.Series([float((i * 7 + row) % 13) for row in range(300)]) for i in range(2000)})
    put(folder, "wide.csv", wide.write_csv())
    cycle = facts(runs.run("--json", folder=folder))
    assert cycle["outcome"] == "promoted"
    assert len(cycle["prepared"]["columns"]) == 2003


def test_a_cell_of_two_megabytes(project, runs) -> None:
    put(project, "long.csv", table() + f"0.5,0.5,{'w' * 2_000_000},yes\n")
    cycle = facts(runs.run("--json", folder=project))
    assert found(cycle, "long.csv")["rows"] == 121


# ------------------------------------------------------------------------------------------------------------ the settings


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\x00",
        "[project",
        "a = " + "[" * 50_000,
        SETTINGS + "[retrain]\nage = '99999999999999w'\n",
        SETTINGS + "[data]\n",
        SETTINGS.replace('"y"', "5"),
        SETTINGS.replace("[data.columns]", "[data.columns]\n__truth = { type = 'number' }"),
        SETTINGS.replace("LogisticRegression", "Nope"),
        SETTINGS.replace("sklearn.linear_model.LogisticRegression", "os.path.join"),
        SETTINGS.replace("sklearn.linear_model.LogisticRegression", "sklearn.preprocessing.StandardScaler"),
        SETTINGS.replace('LogisticRegression"', 'LogisticRegression"\nparameters = { nope = 3 }'),
        SETTINGS.replace('LogisticRegression"', 'LogisticRegression"\nsearch = { estimator__nope = [3] }'),
        SETTINGS.replace("[train]", "[train]\nmetric = 'niceness'"),
        SETTINGS.replace("[train]", "[train]\nmetric = 'f1'"),
        SETTINGS.replace("[train]", "[train]\nmetric = 'features:mine'"),
        SETTINGS.replace("[data]", "[data]\nprepare = 'features:prepare'"),
        SETTINGS.replace("[data]", "[data]\ngroup = 'nobody'"),
        SETTINGS + "[ledger]\nurl = 'nonsense'\n",
        SETTINGS + "[ledger]\nurl = 'mysql://x/y'\n",
    ],
    ids=lambda text: text[-40:].strip().replace("\n", " "),
)
def test_hostile_settings_are_a_configuration_error(empty, runs, text) -> None:
    (empty / "keepfit.toml").write_text(text)
    digest = put(empty, "good.csv", table(200))
    done = runs.run("--json", folder=empty)
    facts(done, code=2)
    assert done.out == ""
    assert done.err.rpartition("error: ")[2].strip()
    assert places(empty, digest) == ["inbox/good.csv"]


# ---------------------------------------------------------------------------------------------------------- the projects code

PREPARED = SETTINGS.replace("[data]", '[data]\nprepare = "features:prepare"', 1)
HOSTILE = {
    "raises": "def prepare(frame):\n    raise ValueError('no [bold]luck[/bold]')\n",
    "returns nothing": "def prepare(frame):\n    return None\n",
    "returns other rows": "import pandas as pd\ndef prepare(frame):\n    return pd.concat([frame, frame], ignore_index=True)\n",
    "leaves with 0": "import sys\ndef prepare(frame):\n    sys.exit(0)\n",
    "leaves on import": "import sys\nsys.exit(0)\n",
    "calls itself": "def prepare(frame):\n    return prepare(frame)\n",
    "is no Python": "def prepare(frame)\n",
    "imports what is not there": "import nowhere\n",
    "divides by zero": "def prepare(frame):\n    return frame.assign(ratio=1 / (frame['x'] * 0))\n",
    "has no prepare": "x = 1\n",
    "asks": "def prepare(frame):\n    return input('well? ')\n",
    "uses the target": "def prepare(frame):\n    return frame.assign(leak=frame['y'])\n",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_code_fails_the_cycle_and_nothing_else(empty, runs, text) -> None:
    (empty / "keepfit.toml").write_text(PREPARED)
    (empty / "features.py").write_text(text)
    digest = put(empty, "good.csv", table(200))
    done = runs.run("--json", folder=empty)
    assert done.code in (1, 2), done
    facts(done, done.code)
    assert done.out == ""
    assert "prepare" in done.err or "features" in done.err
    assert places(empty, digest) == ["inbox/good.csv"]
    (empty / "features.py").write_text("def prepare(frame):\n    return frame\n")  # mended, it goes on
    assert facts(runs.run("--json", folder=empty))["outcome"] == "promoted"


def test_code_that_prints_leaves_stdout_to_the_document(empty, runs) -> None:
    (empty / "keepfit.toml").write_text(PREPARED)
    (empty / "features.py").write_text(
        "import os, sys\nprint('loading')\n\n\ndef prepare(frame):\n    print('hello', frame)\n"
        "    sys.stdout.write('more')\n    return frame\n"
    )
    put(empty, "good.csv", table(200))
    done = runs.run("--json", folder=empty)
    assert facts(done)["outcome"] == "promoted"
    assert "hello" in done.err


def test_a_batch_that_makes_a_feature_infinite_is_told_with_its_column(project, runs) -> None:
    (project / "keepfit.toml").write_text(PREPARED)
    (project / "features.py").write_text("def prepare(frame):\n    return frame.assign(ratio=1 / frame['z'])\n")
    put(project, "zero.csv", HEADER + "1,0,a,yes\n1,2,a,no\n")
    done = runs.run("--json", folder=project)
    facts(done, code=1)
    assert "ratio" in done.err


# ---------------------------------------------------------------------------------------------------------------- models


class Bomb:
    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> Any:
        return (Path.touch, (Path(self.marker),))


def test_a_pickle_is_not_read_unless_it_is_trusted(project, runs, tmp_path) -> None:
    marker, model = tmp_path / "executed", tmp_path / "model.pkl"
    model.write_bytes(pickle.dumps(Bomb(marker)))
    done = runs.start("register", str(model), "--json", folder=project).wait()
    facts(done, ModelRefused.exit_code)
    assert done.out == ""
    assert "--trust-pickle" in done.err
    assert not marker.exists()
    trusted = runs.start("register", str(model), "--trust-pickle", folder=project).wait()
    facts(trusted, 1)
    assert marker.exists()  # the bomb works; only the flag sets it off
    assert "expected a fitted model with predict" in trusted.err


def test_a_trusted_pickle_of_a_pipeline_made_elsewhere_becomes_a_version_without_pickle(project, runs, tmp_path) -> None:
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    rows = frame(300, seed=0).to_pandas()
    columns = make_column_transformer((SimpleImputer(), ["x", "z"]), (OneHotEncoder(handle_unknown="ignore"), ["c"]))
    model = tmp_path / "model.pkl"
    model.write_bytes(pickle.dumps(make_pipeline(columns, LogisticRegression()).fit(rows[["x", "z", "c"]], rows["y"])))
    cycle = facts(runs.start("register", str(model), "--trust-pickle", "--json", folder=project).wait())
    assert cycle["verdict"]["gate"] == "registered"
    assert cycle["verdict"]["challenger"] > 0.8
    assert cycle["outcome"] == "kept_champion"
    kept = [path.name for path in (project / ".keepfit/artifacts").rglob("*") if path.is_file()]
    assert not [name for name in kept if name.endswith((".pkl", ".joblib"))]


def test_a_skops_file_with_types_that_nobody_trusts_is_refused(project, runs, tmp_path) -> None:
    import skops.io

    model = tmp_path / "model.skops"
    skops.io.dump({"run": os.system, "where": Path("/tmp/x")}, model)
    done = runs.start("register", str(model), "--json", folder=project).wait()
    facts(done, ModelRefused.exit_code)
    assert "model.skops: The model holds types that nobody has trusted" in done.err
    assert "trusted_types" in done.err


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.pkl", b"no pickle"),
        ("model.skops", b"no zip"),
        ("model.pkl", pickle.dumps({"no": "model"})),
        ("model.joblib", b""),
        ("a/b", None),
    ],
)
def test_what_is_no_model_is_refused_in_words(project, runs, tmp_path, name, content) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    done = runs.start("register", str(path), "--trust-pickle", "--json", folder=project).wait()
    facts(done, 1)
    assert path.name in done.err
