"""From a file to prepared rows: labels, units, and the alignment of what prepare returns with what it was given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.stages.world import World

from keepfit.errors import ConfigError, KeepfitError, UserCodeError
from keepfit.prepared import FILE, GROUP, HOLDOUT, TRUTH, for_metric, majority, natural
from keepfit.records import Outcome
from keepfit.rows import read_typed

NAN = float("nan")
COLUMNS = {"x": {"type": "number"}, "y": {"type": "category"}}


def typed(folder: Path, content: Any, name: str = "a.csv", **settings: Any) -> Any:
    """The typed rows of one file."""
    world = World(folder, settings)
    world.arrive(name, content)
    [batch] = world.through("collect").batches
    return read_typed(batch, world.config.data.columns, world.ports, world.config)


def labels(folder: Path, content: Any, name: str = "a.csv", **settings: Any) -> tuple[list[Any], list[str]]:
    found = typed(folder, content, name, **settings)
    return found.truth.to_list(), [str(finding) for finding in found.findings if finding.column == "y"]


# ----------------------------------------------------------------------------------------------------------------- labels


@pytest.mark.parametrize("cell", ["", "  ", '""'])
def test_a_blank_label_is_unlabelled_and_never_a_class(tmp_path, cell) -> None:
    assert labels(tmp_path, f"x,y\n1,yes\n2,{cell}\n", data={"columns": COLUMNS}) == (["yes", None], [])


def test_a_blank_label_is_a_fault_where_that_is_said(tmp_path) -> None:
    truth, findings = labels(tmp_path, "x,y\n1,yes\n2,\n", data={"columns": COLUMNS}, validate={"on_blank_label": "error"})
    assert truth == ["yes", None]
    assert findings == ["y: expected a label in every row, found 1 rows without one (row 2: None)"]


MAPPED = {"columns": COLUMNS, "labels": {"1": "spam", "0": "ham", "Spam": "spam"}}


def test_labels_are_what_the_mapping_says_they_mean(tmp_path) -> None:
    assert labels(tmp_path, "x,y\n1,1\n2,0\n3,Spam\n4, 1 \n5,\n", data=MAPPED) == (["spam", "ham", "spam", "spam", None], [])


@pytest.mark.parametrize("unknown", ["spam", "True", "2", "1.5", "SPAM"])
def test_a_label_that_the_mapping_does_not_know_is_a_fault_and_no_class(tmp_path, unknown) -> None:
    truth, [finding] = labels(tmp_path, f"x,y\n1,1\n2,{unknown}\n", data=MAPPED)
    assert truth == ["spam", None]
    assert finding == f"y: expected one of 1, 0, Spam, found 1 rows with another label (row 2: '{unknown}')"


def test_or_unlabelled_where_that_is_said(tmp_path) -> None:
    settings = {"data": MAPPED, "validate": {"on_unknown_label": "unlabelled"}}
    assert labels(tmp_path, "x,y\n1,1\n2,maybe\n", **settings) == (["spam", None], [])


def test_without_a_mapping_the_columns_values_are_the_classes(tmp_path) -> None:
    columns = {"x": {"type": "number"}, "y": {"type": "category", "values": ["a", "b"]}}
    truth, [finding] = labels(tmp_path, "x,y\n1,a\n2,c\n", data={"columns": columns})
    assert truth == ["a", None]
    assert "expected one of a, b" in finding


@pytest.mark.parametrize(
    "content", [{"x": [1.0, 2.0, 3.0], "y": [1.0, NAN, 0.0]}, {"x": [1.0, 2.0, 3.0], "y": pl.Series([1.0, None, 0.0])}]
)
def test_nan_is_no_class(tmp_path, content) -> None:
    truth, findings = labels(tmp_path, pl.DataFrame(content), "a.parquet", data={"columns": COLUMNS})
    assert (truth[1], findings) == (None, [])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "x,y\n1,1\n2,0\n3,\n"),
        ("a.parquet", {"x": [1.0, 2.0, 3.0], "y": [1.0, 0.0, None]}),  # as pandas writes whole numbers with a gap
        ("b.parquet", {"x": [1.0, 2.0, 3.0], "y": [1, 0, None]}),
        ("a.jsonl", '{"x": 1, "y": 1}\n{"x": 2, "y": 0}\n{"x": 3, "y": null}\n'),
    ],
)
def test_a_label_is_the_same_class_whatever_file_it_came_in(tmp_path, name, content) -> None:
    assert labels(tmp_path, content, name, data={"columns": COLUMNS}) == (["1", "0", None], [])


@pytest.mark.parametrize(("text", "truth"), [("1.5", 1.5), ("", None), ("NA", None), ("nan", None)])
def test_the_target_of_a_regression_is_a_number_or_nothing(tmp_path, text, truth) -> None:
    columns = {"x": {"type": "number"}, "y": {"type": "number"}}
    settings = {"project": {"task": "regression"}, "data": {"columns": columns}}
    assert labels(tmp_path, f"x,y\n1,{text}\n", **settings) == ([truth], [])
    strict = labels(tmp_path, f"x,y\n1,{text}\n", **settings, validate={"on_blank_label": "error"})
    assert len(strict[1]) == (truth is None)


def test_a_target_of_a_regression_that_is_no_number_is_a_finding(tmp_path) -> None:
    columns = {"x": {"type": "number"}, "y": {"type": "number"}}
    truth, [finding] = labels(tmp_path, "x,y\n1,much\n2,inf\n", project={"task": "regression"}, data={"columns": columns})
    assert truth == [None, None]
    assert "finite numbers" in finding


def test_a_missing_target_is_a_finding_unless_it_may_be_missing(tmp_path) -> None:
    truth, [finding] = labels(tmp_path, "x\n1\n", data={"columns": COLUMNS})
    assert truth == [None]
    assert "the target column, found x" in finding
    optional = COLUMNS | {"y": {"type": "category", "required": False}}
    assert labels(tmp_path, "x\n1\n", data={"columns": optional}) == ([None], [])


# ------------------------------------------------------------------------------------------------------------------ units


@given(st.lists(st.sampled_from(["a", "b", "c", None]), max_size=9))
def test_the_majority_is_the_label_that_most_rows_have_and_nothing_when_two_share_the_lead(votes) -> None:
    counts = {label: votes.count(label) for label in set(votes) - {None}}
    leaders = [label for label, count in counts.items() if count == max(counts.values())]
    frame = pl.DataFrame({"u": [1] * len(votes), "v": pl.Series(votes, dtype=pl.String)})
    found = frame.group_by("u").agg(majority(pl.col("v"))).to_series(1).to_list() if votes else []
    assert found == ([leaders[0] if len(leaders) == 1 else None] if votes else [])


UNIT = {
    "unit": "u",
    "prepare": "features:prepare",
    "columns": {"u": {"type": "integer"}, "x": {"type": "number"}, "y": {"type": "category"}},
}
MEANS = "def prepare(frame):\n    return frame.groupby('u', as_index=False)[['x']].mean()\n"


@pytest.mark.parametrize("prepare", [MEANS, MEANS.replace(", as_index=False", ""), MEANS.replace(".mean()", ".mean().iloc[::-1]")])
def test_a_unit_becomes_one_row_with_the_majority_of_its_labels(tmp_path, prepare) -> None:
    rows = {"u": [7, 7, 7, 8, 8, 9], "x": [1.0, 2, 3, 4, 6, 9], "y": ["a", "b", "a", "a", "b", ""]}
    world = World(tmp_path, {"data": UNIT}, prepare)
    world.arrive("a.csv", pl.DataFrame(rows))
    world.through("collect", "validate", "prepare")
    found = world.rows().set_index("__kept_u").sort_index()
    assert found["x"].to_dict() == {7: 2.0, 8: 5.0, 9: 9.0}
    assert found[TRUTH].to_dict() == {7: "a", 8: None, 9: None}
    assert "u" not in found.columns


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("return frame[['x']]", "one row for each u"),
        ("return frame[['u', 'x']]", "one row for each u"),
        ("return frame.groupby('u', as_index=False)[['x']].mean().assign(u=99).head(1)", "does not hold"),
        ("return frame.groupby('u', as_index=False)[['x']].mean().assign(u='b').head(1)", "u"),
    ],
)
def test_units_that_prepare_makes_up_are_its_fault(tmp_path, body, told) -> None:
    world = World(tmp_path, {"data": UNIT}, f"def prepare(frame):\n    {body}\n")
    world.arrive("a.csv", {"u": [1, 1, 2], "x": [1.0, 2.0, 3.0], "y": ["a", "b", "a"]})
    with pytest.raises(UserCodeError, match=told):
        world.through("collect", "validate", "prepare")


# -------------------------------------------------------------------------------------------------------------- alignment

OWN = {"prepare": "features:prepare", "columns": {"n": {"type": "integer"}, "x": {"type": "number"}, "y": {"type": "category"}}}


def prepared(folder: Path, body: str, rows: int = 20, **data: Any) -> Any:
    """What 20 rows become in a project whose prepare has this body; row n has the label n."""
    world = World(folder, {"data": OWN | data}, f"import numpy as np\nimport pandas as pd\n\ndef prepare(frame):\n    {body}\n")
    world.arrive("a.csv", {"n": list(range(rows)), "x": [float(i) for i in range(rows)], "y": [str(i) for i in range(rows)]})
    world.through("collect", "validate", "prepare")
    return world.rows()


@pytest.mark.parametrize(
    "body",
    [
        "return frame",
        "return frame.sample(frac=1, random_state=3)",
        "return frame[frame['n'] % 3 == 0]",
        "return frame.iloc[::-1].iloc[3:]",
        "frame['z'] = frame['x'] * 2; return frame",
        "return frame.set_axis(frame.index.astype('float64'))",
    ],
)
def test_every_prepared_row_keeps_the_label_of_the_row_it_came_from(tmp_path, body) -> None:
    try:
        found = prepared(tmp_path, body)
    except UserCodeError:
        assert "float64" in body  # an index of another type may be refused, never misread
        return
    assert len(found) > 0
    assert found[TRUTH].astype(int).tolist() == found["n"].tolist() == found["x"].tolist()


@pytest.mark.parametrize(
    "body",
    [
        "return None",
        "return 3",
        "return frame['x']",
        "return frame.to_numpy()",
        "return pd.concat([frame, frame])",
        "return pd.concat([frame, frame], ignore_index=True)",
        "return frame.set_axis(frame.index + 5)",
        "return frame.set_axis([str(i) for i in frame.index])",
        "return frame.set_axis(frame.index.to_numpy() + 0.5)",
        "return pd.concat([frame, frame], axis=1)",
        "return frame.assign(m=['a', 1] * 10)",
        "return frame.assign(m=[object() for _ in range(20)])",
        "return frame.assign(__truth=1)",
        "return frame.assign(__holdout=False)",
        "return frame.assign(ratio=np.inf)",
        "raise KeyError('speed')",
        "raise SystemExit(0)",
        "import sys; sys.exit('bye')",
        "return prepare(frame)",
        "return frame.y",
    ],
)
def test_whatever_prepare_does_wrong_is_told_as_its_fault(tmp_path, body) -> None:
    with pytest.raises(UserCodeError):
        prepared(tmp_path, body)


def test_the_error_names_the_line(tmp_path) -> None:
    with pytest.raises(UserCodeError, match=r"features:prepare failed in features.py, line 5: KeyError: 'speed'"):
        prepared(tmp_path, "raise KeyError('speed')")


def test_prepare_never_sees_the_target(tmp_path) -> None:
    with pytest.raises(UserCodeError, match="'y'"):
        prepared(tmp_path, "return frame.assign(leak=frame['y'])")


def test_prepare_cannot_change_what_keepfit_holds(tmp_path) -> None:
    found = prepared(tmp_path, "n = frame[['x']].copy(); frame.drop(frame.index, inplace=True); return n")
    assert len(found) == 20


def test_id_time_group_and_kept_columns_are_no_features(tmp_path) -> None:
    columns = {name: {"type": "category"} for name in ("i", "g", "k", "c", "y")} | {
        "t": {"type": "datetime"},
        "x": {"type": "number"},
    }
    data = {"id": "i", "time": "t", "group": "g", "keep": ["k"], "columns": columns, "holdout": {"by": "row"}}
    world = World(tmp_path, {"data": data})
    world.arrive("a.csv", {name: ["a", "b"] for name in "igkcy"} | {"t": ["2026-01-01"] * 2, "x": [1.0, 2.0]})
    cycle = world.through("collect", "validate", "prepare")
    assert set(cycle.prepared.columns) == {"c", "x"}
    found = world.rows()
    assert found[GROUP].tolist() == ["a", "b"]
    assert for_metric(found)["k"].tolist() == ["a", "b"]
    assert not any(name in for_metric(found) for name in (TRUTH, FILE, HOLDOUT))


def test_a_date_that_nobody_makes_a_feature_of_is_none(tmp_path) -> None:
    columns = {"x": {"type": "number"}, "when": {"type": "datetime"}, "y": {"type": "category"}}
    world = World(tmp_path, {"data": {"columns": columns}})
    world.arrive("a.csv", {"x": [1.0, 2.0], "when": ["2026-01-01", "2026-01-02"], "y": ["a", "b"]})
    assert world.through("collect", "validate", "prepare").prepared.columns == ("x",)


def test_a_feature_is_of_one_type_whether_or_not_a_file_has_gaps(tmp_path) -> None:
    columns = {"i": {"type": "integer"}, "b": {"type": "boolean"}, "x": {"type": "number"}, "y": {"type": "category"}}
    world = World(tmp_path, {"data": {"columns": columns}})
    world.arrive("a.csv", {"i": [1, 2], "b": ["true", "false"], "x": [1, 2], "y": ["a", "b"]})
    world.arrive("b.csv", "i,b,x,y\n,,,a\n3,true,,b\n")
    world.through("collect", "validate", "prepare")
    assert {str(kind) for kind in world.rows()[["i", "b", "x"]].dtypes} == {"float64"}


@pytest.mark.parametrize("name", ["__truth", "__file", "__holdout", "__mine"])
def test_a_column_named_like_keepfits_own_is_an_error_in_words(tmp_path, name) -> None:
    for columns in ({}, COLUMNS | {name: {"type": "number"}}):
        world = World(tmp_path / str(len(columns)), {"data": {"columns": columns}})
        world.arrive("a.csv", {"x": [float(i) for i in range(40)], name: [i / 7 for i in range(40)], "y": ["a", "b"] * 20})
        try:
            cycle = world.through("collect", "validate", "prepare")
        except KeepfitError as error:
            assert name in str(error)
        else:
            assert cycle.outcome is Outcome.QUARANTINED or name not in cycle.prepared.columns
            assert name in cycle.reason or set(world.rows()[TRUTH]) == {"a", "b"}


@pytest.mark.parametrize(
    "settings",
    [
        {"data": {"group": "nope"}},
        {"data": {"time": "nope"}},
        {"data": {"unit": "nope"}},
        {"data": {"id": "nope"}},
        {"data": {"keep": ["nope"]}},
        {"data": {"holdout": {"stratify": "nope"}}},
        {"promote": {"slices": {"columns": ["nope"]}}},
    ],
    ids=str,
)
@pytest.mark.parametrize("contract", [{}, COLUMNS], ids=["inferred", "written"])
def test_a_setting_that_names_a_column_which_is_not_there_is_an_error_in_words(tmp_path, settings, contract) -> None:
    """A slice floor on a misspelt column would otherwise never veto anything."""
    data = {"columns": contract} | settings.get("data", {})
    with pytest.raises(ConfigError, match="nope"):
        world = World(tmp_path, settings | {"data": data})
        world.arrive("a.csv", {"x": [float(i) for i in range(40)], "y": ["a", "b"] * 20})
        world.through("collect", "validate", "prepare")


def test_a_time_that_is_no_time_is_an_error_in_words(tmp_path) -> None:
    with pytest.raises(ConfigError, match="time"):
        world = World(tmp_path, {"data": {"time": "x", "columns": {"x": {"type": "category"}, "y": {"type": "category"}}}})
        world.arrive("a.csv", {"x": ["a"] * 9, "y": ["a", "b", "c"] * 3})
        world.through("collect", "validate", "prepare")


def test_blank_rows_and_extra_columns_are_noted(tmp_path) -> None:
    found = typed(tmp_path, "x,z,y\n1,3,a\n,,\n2,4,b\n", data={"columns": COLUMNS})
    assert found.frame.height == found.truth.len() == 2
    assert found.notes == ("1 blank rows were left out", "columns that the contract does not name: z")


def test_names_sort_as_people_count() -> None:
    assert sorted(["day-10", "day-9", "b", "day-9b", "10"], key=natural) == ["10", "b", "day-9", "day-9b", "day-10"]
