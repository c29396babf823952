from __future__ import annotations

import os
import random
import time
from operator import itemgetter
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keepfit.config import Config, load
from keepfit.errors import ConfigError, DataError, KeepfitError
from keepfit.own_data import start as own_data
from keepfit.own_data.proposal import propose
from keepfit.own_data.start import start_project

chance = random.Random(3)  # noqa: S311 - made-up rows
ROWS = 400
NUMBERS = [f"{chance.gauss(0, 1):.4f}" for _ in range(ROWS)]


def table(y, **columns) -> pl.DataFrame:
    given = {"x": NUMBERS, **columns, "y": y}
    return pl.DataFrame({name: [str(cell) for cell in cells] for name, cells in given.items()})


def drawn(*values, weights=None) -> list:
    return chance.choices(values, weights, k=ROWS)


@pytest.fixture
def data(tmp_path) -> Path:
    path = tmp_path / "rows.csv"
    table(drawn("no", "yes")).write_csv(path)
    return path


def made(folder: Path) -> Config:
    return load(folder, environment={})


def listing(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


# ------------------------------------------------------------------------------------------------------------- choosing


@pytest.mark.parametrize(
    ("cells", "task", "metric", "positive"),
    [
        (drawn("no", "yes"), "classification", "accuracy", None),
        (drawn("no", "yes", weights=[9, 1]), "classification", "f1", "yes"),
        (drawn("True", "False"), "classification", "accuracy", None),
        (drawn(1, 2, 3), "classification", "accuracy", None),
        (drawn("a", "b", "c", weights=[20, 3, 3]), "classification", "f1_macro", None),
        (drawn(*range(40)), "regression", "root_mean_squared_error", None),
        ([2.0 ** (float(number) * 3) for number in reversed(NUMBERS)], "regression", "mean_absolute_error", None),
    ],
)
def test_the_task_and_the_metric_follow_from_the_target(cells, task, metric, positive) -> None:
    found = propose(table(cells), "y")
    assert (found.task.value, found.metric.value, found.positive) == (task, metric, positive)
    assert found.task.why
    assert found.metric.why


def test_rows_in_order_of_time_are_held_out_by_time() -> None:
    days = [f"{1 + i // 31}/{1 + i % 28}/24" for i in range(ROWS // 2)]
    ordered = [day for _, day in sorted((tuple(map(int, day.split("/")))[:2], day) for day in days) for _ in range(2)][:ROWS]
    found = propose(table(drawn("no", "yes"), day=ordered), "y")
    assert (found.time, found.holdout.value) == ("day", "time")
    assert found.columns["day"].format == "%m/%d/%y"


def test_rows_in_another_order_are_held_out_one_by_one_with_a_word() -> None:
    days = drawn("2024-01-31", "2024-02-01", "2024-02-02")
    found = propose(table(drawn("no", "yes"), day=days), "y")
    assert (found.time, found.holdout.value, found.holdout.look) == (None, "row", True)


def test_a_last_day_that_holds_most_rows_leaves_nothing_to_hold_out_by_time() -> None:
    found = propose(table(drawn("no", "yes"), day=["2024-01-31"] * 100 + ["2024-02-01"] * 300), "y")
    assert found.time is None


def test_targets_that_follow_one_another_are_told_with_the_score_of_doing_nothing() -> None:
    runs = [("up", "down")[i // 10 % 2] for i in range(1000)]
    frame = pl.DataFrame({"x": [str(i * i % 97) for i in range(1000)], "y": runs})
    [warning] = propose(frame, "y").warnings
    assert "90.1%" in warning
    assert propose(frame.sample(fraction=1, shuffle=True, seed=1), "y").warnings == []


def test_one_class_written_in_several_ways_is_one_class() -> None:
    found = propose(table(drawn("yes", "Yes", "no", "N/A", weights=[9, 3, 8, 1])), "y")
    assert found.labels == {"yes": "yes", "no": "no", "Yes": "yes"}
    assert found.unlabelled_words == ("N/A",)


def test_columns_that_give_the_target_away_are_no_features() -> None:
    first, second = drawn(*range(30)), drawn(*range(90))
    total = [a + b for a, b in zip(first, second, strict=True)]
    found = propose(table(total, first=first, second=second), "y")
    assert list(found.giveaways) == ["first", "second"]
    assert found.features == ["x"]


def test_where_everything_gives_the_target_away_it_is_kept_and_said() -> None:
    target = drawn("no", "yes")
    frame = pl.DataFrame({"code": [str(len(each)) for each in target], "y": target})
    found = propose(frame, "y")
    assert found.features == ["code"]
    assert "every feature" in found.warnings[0]


def test_texts_are_left_to_a_linear_model() -> None:
    texts = [f"the {i} th review of this thing was about {chance.random()}" for i in range(ROWS)]
    found = propose(table(drawn("no", "yes"), review=texts), "y")
    assert [candidate["estimator"].rpartition(".")[2] for candidate in found.candidates] == ["LogisticRegression"]


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([""] * ROWS, "empty in every row"),
        (["yes"] * ROWS, "'yes' in every row"),
        ([f"n{i}" for i in range(ROWS)], "neither numbers nor classes"),
        (["?", *range(1, ROWS)], r"399 cells are numbers, but not '\?'"),
        (["2024-01-31", "2024-02-01"] * (ROWS // 2), "holds dates"),
    ],
)
def test_a_target_that_nothing_can_be_learned_of_is_refused(cells, words) -> None:
    with pytest.raises(DataError, match=words):
        propose(table(cells), "y")


def test_a_target_that_is_no_column_is_refused_with_close_names() -> None:
    frame = table(drawn("no", "yes"), Churned=drawn("a", "b"))
    with pytest.raises(ConfigError, match=r"'churn' is no column.*Did you mean 'Churned'"):
        propose(frame, "churn")


def test_a_file_without_a_usable_column_is_refused() -> None:
    with pytest.raises(DataError, match=r"No column is left.*'x' the same in every row"):
        propose(pl.DataFrame({"x": ["1"] * ROWS, "y": drawn("no", "yes")}), "y")


# --------------------------------------------------------------------------------------------------------------- making


def test_the_project_is_whole_and_the_file_keeps_its_bytes_and_its_time(tmp_path, data) -> None:
    os.utime(data, (1e9, 1e9))
    start_project(tmp_path / "new/project", data, "y")
    folder = tmp_path / "new/project"
    assert listing(folder) == [
        *(".gitignore", "data", "data/archive", "data/inbox", "data/inbox/rows.csv", "data/quarantine", "keepfit.toml")
    ]
    copy = folder / "data/inbox/rows.csv"
    assert copy.read_bytes() == data.read_bytes()
    assert copy.stat().st_mtime == 1e9
    assert data.exists()
    assert made(folder).data.target == "y"


def test_a_file_from_the_future_settles_too(tmp_path, data) -> None:
    os.utime(data, (time.time() + 9e5,) * 2)
    start_project(tmp_path / "p", data, "y")
    assert (tmp_path / "p/data/inbox/rows.csv").stat().st_mtime <= time.time()


def test_what_was_chosen_is_in_the_settings_with_its_reason(tmp_path) -> None:
    path = tmp_path / "rows.csv"
    target = drawn("no", "yes", weights=[9, 1])
    content = table(target, code=[each.upper() for each in target], grün=drawn("a", "b")).write_csv(separator=";")
    path.write_bytes(content.encode("cp1252"))
    lines = start_project(tmp_path / "p", path, "y")
    config, text = made(tmp_path / "p"), (tmp_path / "p/keepfit.toml").read_text(encoding="utf-8")
    assert (config.data.delimiter, config.data.encoding) == (";", "cp1252")
    assert config.data.columns["code"].feature is False
    assert "LOOK: the next column gives the target away" in text
    assert any("'code': gives the target away" in line for line in lines)
    assert (config.train.metric, config.train.positive, config.data.holdout.stratify) == ("f1", "yes", "y")


def test_what_several_rows_may_belong_to_is_asked_about_and_not_decided(tmp_path) -> None:
    table(drawn("no", "yes"), customer_id=drawn(*range(80))).write_csv(tmp_path / "rows.csv")
    lines = start_project(tmp_path / "p", tmp_path / "rows.csv", "y")
    assert any("rows of one 'customer_id' be held out together" in line for line in lines)
    assert '# group = "customer_id"' in (tmp_path / "p/keepfit.toml").read_text(encoding="utf-8")
    assert made(tmp_path / "p").data.group is None


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(st.text(max_size=8), min_size=2, max_size=4, unique=True).filter(itemgetter(0)))
def test_any_column_names_make_settings_that_can_be_read(tmp_path_factory, names) -> None:
    folder = tmp_path_factory.mktemp("names")
    columns = [drawn("no", "yes"), *([chance.random() for _ in range(ROWS)] for _ in names[1:])]
    pl.DataFrame(dict(zip(names, columns, strict=True))).write_parquet(folder / "rows.parquet")
    start_project(folder / "p", folder / "rows.parquet", names[0])
    assert made(folder / "p").data.target == names[0]
    assert set(made(folder / "p").data.columns) == set(names)


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_typed_files_are_taken_too(tmp_path, kind) -> None:
    path = tmp_path / f"rows.{kind}"
    frame = table(drawn("no", "yes")).with_columns(pl.col("x").cast(pl.Float64))
    frame.write_parquet(path) if kind == "parquet" else frame.write_ndjson(path)
    start_project(tmp_path / "p", path, "y")
    assert made(tmp_path / "p").data.columns["x"].type == "number"


def test_the_file_may_lie_in_the_inbox_already(tmp_path, data) -> None:
    inbox = tmp_path / "p/data/inbox"
    inbox.mkdir(parents=True)
    data.rename(inbox / "rows.csv")
    (tmp_path / "p/features.py").write_text("mine")
    (tmp_path / "p/.gitignore").write_text("mine")
    start_project(tmp_path / "p", inbox / "rows.csv", "y")
    assert (tmp_path / "p/features.py").read_text() == (tmp_path / "p/.gitignore").read_text() == "mine"
    assert (tmp_path / "p/keepfit.toml").exists()


# ------------------------------------------------------------------------------------------------------- all or nothing


def refused(folder: Path, data: Path, target: str) -> KeepfitError:
    before = listing(folder.parent)
    with pytest.raises(KeepfitError) as caught:
        start_project(folder, data, target)
    assert listing(folder.parent) == before
    return caught.value


@pytest.mark.parametrize(
    "content", ["", "x,y\n", "x,y\n1\n2,3,4\n", "x,x\n1,2\n", "x,y\n" + "1,a\n" * 99, "x,z\n1,2\n", 'x,y\n"1,2\n'], ids=range(7)
)
def test_a_file_that_cannot_be_used_leaves_nothing_behind(tmp_path, content) -> None:
    (tmp_path / "rows.csv").write_text(content)
    refused(tmp_path / "p", tmp_path / "rows.csv", "y")


def test_a_folder_that_holds_a_project_is_left_alone(tmp_path, data) -> None:
    start_project(tmp_path / "p", data, "y")
    assert "holds a project already" in str(refused(tmp_path / "p", data, "y"))


def test_another_file_of_that_name_in_the_inbox_is_left_alone(tmp_path, data) -> None:
    (tmp_path / "p/data/inbox").mkdir(parents=True)
    (tmp_path / "p/data/inbox/rows.csv").write_text("other")
    assert "is another file" in str(refused(tmp_path / "p", data, "y"))
    assert (tmp_path / "p/data/inbox/rows.csv").read_text() == "other"


@pytest.mark.parametrize("existing", [False, True])
def test_a_disk_that_fails_at_the_last_file_leaves_nothing_behind(tmp_path, data, monkeypatch, existing) -> None:
    if existing:
        (tmp_path / "p/data").mkdir(parents=True)

    def fail(path: Path, to: Path, made: list[Path]) -> None:
        if to.name == "keepfit.toml":
            raise OSError(28, "No space left on device")
        move(path, to, made)

    move = own_data._move
    monkeypatch.setattr(own_data, "_move", fail)
    assert "No space left" in str(refused(tmp_path / "p", data, "y"))


def test_a_place_where_nothing_can_be_made_is_said(tmp_path, data) -> None:
    assert "cannot be made" in str(refused(data / "p", data, "y"))


def test_a_target_without_a_name_is_refused(tmp_path, data) -> None:
    assert "--target is empty" in str(refused(tmp_path / "p", data, ""))


def test_few_rows_are_warned_of_and_taken(tmp_path) -> None:
    path = tmp_path / "rows.csv"
    table(drawn("no", "yes")).head(30).write_csv(path)
    lines = start_project(tmp_path / "p", path, "y")
    assert any("30 labelled rows: too few" in line for line in lines)
    assert made(tmp_path / "p").promote.min_holdout < 10
