"""A file of one's own becomes a project that runs at once, on made-up rows and on real files where those are at hand."""

from __future__ import annotations

import csv
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import keepfit
from keepfit.records import Verdict

pytestmark = pytest.mark.slow

REAL = Path(os.environ.get("KEEPFIT_DATA") or Path(__file__).parents[3] / "shared" / "data")
HOSTILE = ['say "yes"', "two\nlines", "a.b.c", "Größe [cm]", "", "# not a comment", "back\\slash", "target = 1"]
chance = random.Random(11)  # noqa: S311 - made-up rows


def started(*arguments: object) -> subprocess.CompletedProcess[str]:
    """`keepfit ARGUMENTS` in a process of its own, to its end."""
    command = [sys.executable, "-m", "keepfit.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=280)


def done(*arguments: object) -> str:
    found = started(*arguments)
    assert found.returncode == 0, found.stderr
    return found.stdout


def written(path: Path, header: list[str], rows: list[list[object]], delimiter: str = ",") -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *rows])
    os.utime(path, (1e9, 1e9))
    return path


def verdict(folder: Path) -> Verdict:
    with keepfit.open(folder) as opened:
        found = opened.cycle().verdict
    assert found is not None
    return found


def made_up_rows(count: int) -> list[list[object]]:
    rows: list[list[object]] = []
    for _ in range(count):
        numbers = [round(chance.gauss(0, 1), 4) for _ in HOSTILE[:-1]]
        side = sum(numbers[:3]) + chance.gauss(0, 0.3)
        rows.append([*numbers, "oui" if side > 0 else "non"])
    return rows


def test_hostile_column_names_run_a_first_and_a_second_time(tmp_path) -> None:
    folder = tmp_path / "p"
    first = written(tmp_path / "first.tsv", HOSTILE, made_up_rows(400), "\t")
    told = done("init", folder, "--data", first, "--target", HOSTILE[-1])
    assert "classification" in told
    assert (folder / "data/inbox/first.tsv.csv").read_bytes() == first.read_bytes()
    assert done("run", "--project", folder).startswith("promoted")
    written(folder / "data/inbox/second.csv", HOSTILE, made_up_rows(400), "\t")
    assert not done("run", "--project", folder).startswith(("quarantined", "waiting"))
    checked = started("doctor", "--project", folder)
    assert (checked.returncode, "BAD" in checked.stdout) == (0, False), checked.stdout


def test_a_swapped_file_is_refused_by_the_inferred_contract(tmp_path) -> None:
    folder, header = tmp_path / "p", ["age", "plan", "left"]
    rows = [[chance.randint(18, 80), chance.choice(["small", "large"]), chance.choice(["yes", "no"])] for _ in range(300)]
    done("init", folder, "--data", written(tmp_path / "a.csv", header, rows), "--target", "left")
    (folder / "data/inbox/a.csv").unlink()
    written(folder / "data/inbox/swapped.csv", header, [[plan, age, left] for age, plan, left in rows])
    told = done("run", "--project", folder)
    assert told.startswith("quarantined")
    assert "age: expected whole numbers" in told


def test_a_wrong_target_is_told_with_its_exit_code_and_leaves_nothing(tmp_path) -> None:
    data = written(tmp_path / "a.csv", ["age", "left"], [[1, "yes"]])
    found = started("init", tmp_path / "p", "--data", data, "--target", "Left")
    assert (found.returncode, found.stdout) == (2, "")
    assert "Did you mean 'left'?" in found.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


# ------------------------------------------------------------------------------------------------------------ real files


@pytest.fixture
def real() -> Iterator[Path]:
    if not REAL.is_dir():
        pytest.skip(f"the real files are not at {REAL}; say where with KEEPFIT_DATA")
    yield REAL


def beginning(path: Path, to: Path, rows: int) -> Path:
    """The first rows of a file, so that the test takes seconds."""
    with path.open(encoding="utf-8", newline="") as file:
        header, *all_rows = csv.reader(file)
    return written(to / path.name, header, all_rows[:rows])


def learned(data: Path, target: str, folder: Path) -> tuple[str, Verdict]:
    told = done("init", folder, "--data", data, "--target", target)
    assert done("run", "--project", folder).startswith("promoted")
    return told, verdict(folder)


def test_customers_who_leave(real, tmp_path) -> None:
    told, found = learned(real / "Telco-Customer-Churn.csv", "Churn", tmp_path / "p")
    assert "'customerID': names a row" in told
    assert (found.metric, found.baseline) == ("f1", 0)
    assert found.challenger is not None
    assert 0.58 < found.challenger < 0.7


def test_rented_bicycles(real, tmp_path) -> None:
    told, found = learned(real / "bike_hour.csv", "cnt", tmp_path / "p")
    for column in ("casual", "registered", "instant", "X"):
        assert f"not a feature: '{column}'" in told
    assert "by time" in told
    assert found.metric == "mean_absolute_error"
    assert found.challenger is not None
    assert found.baseline is not None
    assert 20 < found.challenger < found.baseline / 2  # without the two that add up to it, no model is near 0


def test_prices_of_electricity(real, tmp_path) -> None:
    told, found = learned(beginning(real / "elec.csv", tmp_path, 6000), "class", tmp_path / "p")
    assert "the class of the row before would be right" in told
    assert found.metric == "accuracy"
    assert found.challenger is not None
    assert found.baseline is not None
    assert found.challenger > found.baseline + 0.1


def test_unwanted_messages(real, tmp_path) -> None:
    lines = (real / "SMSSpamCollection").read_text(encoding="utf-8").rstrip("\n").split("\n")
    data = written(tmp_path / "sms.csv", ["label", "text"], [list(line.split("\t", 1)) for line in lines])
    told, found = learned(data, "label", tmp_path / "p")
    assert "'spam' is rare" in told
    assert found.challenger is not None
    assert found.challenger > 0.85


def test_feelings_about_airlines_and_a_second_day_of_them(real, tmp_path) -> None:
    everything = beginning(real / "airline_Tweets.csv", tmp_path, 5000)
    with everything.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    folder = tmp_path / "p"
    told, found = learned(written(tmp_path / "a.csv", header, rows[:2500]), "airline_sentiment", folder)
    assert "'negativereason': gives the target away" in told
    assert found.challenger is not None
    assert found.challenger < 0.9
    written(folder / "data/inbox/b.csv", header, rows[2500:])
    assert not done("run", "--project", folder).startswith(("quarantined", "waiting"))
