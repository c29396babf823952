"""Which rows judge: decided once, for good, whatever arrives later, and never trained on."""

from __future__ import annotations

import contextlib
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.stages.world import World

from keepfit.errors import ConfigError, DataError, KeepfitError
from keepfit.prepared import FILE, HOLDOUT, TRUTH, load_rows, usable
from keepfit.stages.prepare import _held_out_count

COLUMNS = {
    "i": {"type": "integer"},
    "x": {"type": "number"},
    "g": {"type": "category"},
    "t": {"type": "datetime"},
    "y": {"type": "category"},
}
STAGES = ("collect", "validate", "prepare")


def frame(numbers: Any, *, groups: int = 10, seed: int = 0) -> pl.DataFrame:
    """Rows that are told apart by x; the same number gives the same row wherever it turns up, but for its id."""
    numbers = list(numbers)
    start = np.datetime64("2026-01-01T00:00")
    return pl.DataFrame(
        {
            "i": [seed * 100_000 + position for position in range(len(numbers))],
            "x": [float(number) for number in numbers],
            "g": [f"g{number % groups}" for number in numbers],
            "t": [str(start + np.timedelta64(int(number), "h")) for number in numbers],
            "y": [("a", "b", "c", "a")[number % 4] for number in numbers],
        }
    )


def world(folder: Path, **data: Any) -> World:
    return World(folder, {"data": {"columns": COLUMNS, "id": "i", **data}})


def sides(world: World) -> dict[float, set[bool]]:
    """On which sides each row (by its x) is."""
    found: dict[float, set[bool]] = defaultdict(set)
    for number, held in world.rows()[["x", HOLDOUT]].itertuples(index=False):
        found[number].add(bool(held))
    return found


def finish(world: World, **arriving: pl.DataFrame) -> Any:
    """A cycle that prepares these files and ends with the verdict that there is too little evidence."""
    for name, table in arriving.items():
        world.arrive(f"{name}.csv", table)
    return world.run()


# -------------------------------------------------------------------------------------------------------------- for good


def test_a_row_seen_again_in_a_later_batch_keeps_its_side(tmp_path) -> None:
    one = world(tmp_path)
    finish(one, a=frame(range(200)))
    before = sides(one)
    for n in range(1, 6):
        finish(one, **{f"later-{n}": frame(range(n * 30, n * 30 + 120), seed=n)})
    after = sides(one)
    assert all(len(found) == 1 for found in after.values())
    assert {number: after[number] for number in before} == before


def test_a_row_keeps_its_side_when_the_cycle_that_gave_it_one_has_failed(tmp_path) -> None:
    one = world(tmp_path)
    one.arrive("a.csv", frame(range(100)))

    def breaks(rows: Any, features: Any) -> Any:
        raise KeepfitError("the trainer is broken")

    train, one.ports.trainer.train = one.ports.trainer.train, breaks
    with pytest.raises(KeepfitError, match="broken"):
        one.run()
    one.ports.trainer.train = train
    finish(one, b=frame(range(50, 400), seed=1))
    assert all(len(found) == 1 for found in sides(one).values())


def test_a_resumed_cycle_gives_every_row_the_side_that_it_would_have_had(tmp_path) -> None:
    whole = world(tmp_path / "whole")
    killed = world(tmp_path / "killed")
    tables = {"a": frame(range(60)), "b": frame(range(40, 130), seed=1), "c": frame(range(100, 160), seed=2)}
    finish(whole, **tables)
    for name, table in tables.items():
        killed.arrive(f"{name}.csv", table)
    save, kept = killed.ports.store.save, []

    def dies(name: str, *rest: Any) -> None:
        if len(kept) == 3:
            raise KeyboardInterrupt
        kept.append(name)
        save(name, *rest)

    killed.ports.store.save = dies
    with pytest.raises(KeyboardInterrupt):
        killed.run()
    killed.ports.store.save = save
    assert [name.partition("-")[0] for name in kept] == ["settings", "split", "split"]
    killed.run()
    assert sides(killed) == sides(whole)


@pytest.mark.parametrize("by", ["row", "group", "time", "file"])
def test_no_row_that_judges_is_ever_trained_on(tmp_path, by) -> None:
    one = world(tmp_path, group="g", time="t", holdout={"by": by})
    for n in range(4):
        finish(one, **{f"day-{n}": frame(range(n * 50, n * 50 + 90), seed=n)})
    judging, training = one.rows(holdout=True), one.rows(holdout=False)
    assert len(judging)
    assert len(training)
    if by == "file":
        assert not set(judging[FILE]) & set(training[FILE])
    else:
        assert not set(judging["x"]) & set(training["x"])
    if by == "group":
        assert not set(judging["__group"]) & set(training["__group"])


@st.composite
def histories(draw: st.DrawFn) -> tuple[dict[str, Any], list[list[int]]]:
    """Settings, and batches whose rows overlap."""
    holdout = {"share": draw(st.sampled_from([0.1, 0.2, 0.5, 0.9])), "by": draw(st.sampled_from(["row", "group"]))}
    if draw(st.booleans()):
        holdout["stratify"] = draw(st.sampled_from(["y", "g"]))
    batches = draw(st.lists(st.lists(st.integers(0, 60), min_size=1, max_size=40), min_size=1, max_size=4))
    return holdout, batches


@settings(max_examples=12, deadline=None)
@given(histories())
def test_rows_never_change_sides_whatever_comes(history) -> None:
    holdout, batches = history
    with tempfile.TemporaryDirectory() as folder:
        one = world(Path(folder), group="g", holdout=holdout)
        one.config = one.with_settings({"data": dict(one.settings["data"]), "validate": {"min_quality": 0}})
        seen: dict[float, set[bool]] = {}
        for n, numbers in enumerate(batches):
            with contextlib.suppress(DataError):  # no row to train on yet: the cycle has failed, its sides stay
                finish(one, **{f"{n}": frame(numbers, groups=7, seed=n)})
            now = sides(one)
            assert all(len(found) == 1 for found in now.values())
            assert {number: now[number] for number in seen} == seen
            seen = now
        if holdout["by"] == "group":
            rows = one.rows()
            assert rows.groupby("__group")[HOLDOUT].nunique().max() == 1


@settings(max_examples=12, deadline=None)
@given(histories())
def test_training_rows_hold_no_holdout_row_of_any_batch(history) -> None:
    holdout, batches = history
    with tempfile.TemporaryDirectory() as folder:
        one = world(Path(folder), group="g", holdout=holdout)
        one.config = one.with_settings({"data": dict(one.settings["data"]), "validate": {"min_quality": 0}})
        for n, numbers in enumerate(batches):
            one.arrive(f"{n}.csv", frame(numbers, groups=7, seed=n))
        cycle = one.through(*STAGES)
        if cycle.outcome is not None:
            return
        everything = usable(cycle, one.ports, one.config)
        training, judging = (load_rows(everything, one.ports.code, one.ports, one.config, holdout=side) for side in (False, True))
        assert not set(training["x"]) & set(judging["x"])
        assert len(training) + len(judging) == cycle.prepared.rows


# ------------------------------------------------------------------------------------------------------------- the share


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("size", [1, 3, 7])
def test_the_share_holds_over_many_small_batches(size, share) -> None:
    draw = np.random.default_rng(size)
    batches = draw.integers(0, 2**63, (4000 // size, size)).tolist()
    held_out = sum(_held_out_count(keys, share) for keys in batches)
    assert held_out / (len(batches) * size) == pytest.approx(share, abs=0.03)


@given(st.lists(st.integers(0, 2**64 - 1), max_size=50), st.floats(0.01, 0.99))
def test_a_batch_is_never_further_than_one_row_from_its_share(keys, share) -> None:
    assert abs(_held_out_count(keys, share) - share * len(keys)) < 1
    assert 0 <= _held_out_count(keys, share) <= len(keys)


def test_the_share_holds_over_the_days_of_a_project(tmp_path) -> None:
    one = world(tmp_path, holdout={"share": 0.2})
    for n in range(12):
        finish(one, **{f"day-{n}": frame(range(n * 7, n * 7 + 7), seed=n)})
    assert 9 <= one.rows()[HOLDOUT].sum() <= 25  # 16.8 expected


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_the_share_of_one_large_batch_is_exact(tmp_path, share) -> None:
    one = world(tmp_path, holdout={"share": share})
    cycle = finish(one, a=frame(range(400)))
    assert cycle.prepared.holdout == 400 * share
    assert cycle.prepared.training == 400 - cycle.prepared.holdout


def test_every_stratum_gives_its_share(tmp_path) -> None:
    one = world(tmp_path, holdout={"share": 0.2, "stratify": "y"})
    finish(one, a=frame(range(400)))
    by_class = one.rows().groupby(TRUTH)[HOLDOUT].mean()
    assert by_class.to_dict() == {"a": 0.2, "b": 0.2, "c": 0.2}


def test_groups_are_never_divided_also_across_batches(tmp_path) -> None:
    one = world(tmp_path, group="g")
    finish(one, a=frame(range(300), groups=40))
    finish(one, b=frame(range(200, 500), groups=40, seed=1))
    by_group = one.rows().groupby("__group")[HOLDOUT]
    assert by_group.nunique().max() == 1
    assert by_group.first().sum() == 8


def test_equal_rows_stay_together_though_their_ids_differ(tmp_path) -> None:
    one = world(tmp_path)
    one.change(validate={"min_quality": 0})
    finish(one, a=pl.concat([frame(range(50), seed=n) for n in range(3)]))
    assert all(len(found) == 1 for found in sides(one).values())


def test_the_latest_rows_judge_where_time_divides(tmp_path) -> None:
    one = world(tmp_path, time="t", holdout={"share": 0.2})
    finish(one, a=frame(np.random.default_rng(1).permutation(100)))
    judging, training = one.rows(holdout=True), one.rows(holdout=False)
    assert len(judging) == 20
    assert judging["__time"].min() > training["__time"].max()


def test_a_row_of_an_export_that_grows_keeps_its_side_where_time_divides(tmp_path) -> None:
    """What judged yesterday is not among the latest rows today; it must not become a training row all the same."""
    one = world(tmp_path, time="t", holdout={"share": 0.2})
    for n in range(3):
        finish(one, **{f"export-{n}": frame(range(100 + n * 100), seed=n)})
    assert all(len(found) == 1 for found in sides(one).values())


def test_a_file_in_which_all_rows_have_one_time_still_gives_rows_that_judge_or_says_so(tmp_path) -> None:
    one = world(tmp_path, time="t", holdout={"share": 0.2})
    one.arrive("a.csv", frame(range(100)).with_columns(pl.lit("2026-01-01").alias("t")))
    try:
        cycle = one.through(*STAGES)
    except KeepfitError as error:
        assert "time" in str(error)
    else:
        assert 0 < cycle.prepared.holdout < 100


def test_whole_files_judge_where_files_divide(tmp_path) -> None:
    one = world(tmp_path, holdout={"by": "file", "share": 0.25}, time="t")
    for n in range(40):
        one.arrive(f"{n}.csv", frame(range(n * 5, n * 5 + 5), seed=n))
    cycle = one.through(*STAGES)
    by_file = one.rows().groupby(FILE)[HOLDOUT]
    assert by_file.nunique().max() == 1
    assert by_file.first().sum() == 10
    assert cycle.prepared.holdout == 50


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"holdout": {"by": "group"}}, "group"),
        ({"holdout": {"by": "time"}}, "time"),
        ({"holdout": {"stratify": "nope"}}, "nope"),
    ],
)
def test_a_division_by_what_is_not_there_is_a_configuration_error(tmp_path, data, told) -> None:
    with pytest.raises(ConfigError, match=told):
        one = world(tmp_path, **data)
        one.arrive("a.csv", frame(range(50)))
        one.through(*STAGES)


@pytest.mark.parametrize(
    ("data", "by"),
    [({}, "row"), ({"time": "t"}, "time"), ({"group": "g"}, "group"), ({"group": "g", "time": "t"}, "group")],
)
def test_without_a_word_groups_go_before_time_and_time_before_rows(tmp_path, data, by) -> None:
    one = world(tmp_path, **data)
    one.arrive("a.csv", frame(range(50)))
    cycle = one.through(*STAGES)
    assert one.ports.store.facts(f"split-{cycle.batches[0].id}")["by"] == by


# ------------------------------------------------------------------------------------------------------------------- once


def test_a_batch_is_prepared_once(tmp_path) -> None:
    one = World(
        tmp_path,
        {"data": {"columns": COLUMNS, "prepare": "features:prepare"}},
        "def prepare(frame):\n    with open(__file__ + '.calls', 'a') as file:\n        file.write('x')\n    return frame[['x']]\n",
    )
    finish(one, a=frame(range(50)))
    finish(one, b=frame(range(50, 100), seed=1))
    assert (tmp_path / "features.py.calls").read_text() == "xx"


def test_changed_code_prepares_earlier_batches_anew_and_leaves_the_sides_as_they_were(tmp_path) -> None:
    settings = {"data": {"columns": COLUMNS, "prepare": "features:prepare"}}
    one = World(tmp_path, settings, "def prepare(frame):\n    return frame[['x']]\n")
    finish(one, a=frame(range(50)))
    before = sides(one)
    one.features = "def prepare(frame):\n    return frame[['x']].assign(twice=frame['x'] * 2)\n"
    one.ports.code = one.code()
    cycle = finish(one, b=frame(range(50, 100), seed=1))
    rows = load_rows(usable(cycle, one.ports, one.config), one.ports.code, one.ports, one.config, holdout=None)
    assert len(rows) == 100
    assert (rows["twice"] == rows["x"] * 2).all()
    again = {number: {bool(held)} for number, held in rows[["x", HOLDOUT]].itertuples(index=False) if number < 50}
    assert again == before


def test_what_is_prepared_says_how_many_rows_are_for_what(tmp_path) -> None:
    one = world(tmp_path, holdout={"share": 0.25})
    one.arrive("a.csv", frame(range(100)).with_columns(pl.when(pl.col("x") < 40).then(pl.lit("")).otherwise("y").alias("y")))
    cycle = one.through(*STAGES)
    rows = one.rows()
    assert (cycle.prepared.rows, cycle.prepared.training, cycle.prepared.holdout) == (100, 75, 25)
    assert cycle.prepared.labelled == (rows[TRUTH].notna() & ~rows[HOLDOUT]).sum()
    assert cycle.prepared.columns == ("x", "g")


# ----------------------------------------------------------------------------------------------------------------- texts

SAID = ["Win a prize", "win  A prize", " WIN a PRIZE", "see you", "See you ", "call me"]


@pytest.mark.parametrize("texts", ["exact", "normalised"])
def test_texts_that_differ_in_case_and_spacing_are_held_out_together_where_that_was_wanted(tmp_path, texts) -> None:
    columns = {"m": {"type": "text"}, "y": {"type": "category"}}
    one = World(tmp_path, {"data": {"columns": columns, "holdout": {"by": "row", "share": 0.5, "texts": texts}}})
    said = [f"{text} {number}" for number in range(40) for text in SAID]
    finish(one, a=pl.DataFrame({"m": said, "y": ["a", "b"] * (len(said) // 2)}))
    finish(one, b=pl.DataFrame({"m": [text.upper() for text in said], "y": ["a", "b"] * (len(said) // 2)}))
    found: dict[str, set[bool]] = defaultdict(set)
    for text, held in one.rows()[["m", HOLDOUT]].itertuples(index=False):
        found[" ".join(text.lower().split())].add(bool(held))
    assert len(found) == 40 * 3
    divided = sum(len(sides) > 1 for sides in found.values())
    assert (divided == 0) == (texts == "normalised")
    assert 0.3 < float(one.rows()[HOLDOUT].mean()) < 0.7


def test_where_texts_come_to_be_compared_otherwise_what_has_trained_still_never_judges(tmp_path) -> None:
    columns = {"m": {"type": "text"}, "y": {"type": "category"}}
    said = [f"{text} {number}" for number in range(40) for text in SAID]
    rows = pl.DataFrame({"m": said, "y": ["a", "b"] * (len(said) // 2)})
    one = World(tmp_path, {"data": {"columns": columns, "holdout": {"by": "row", "share": 0.5}}})
    finish(one, a=rows)
    before = one.rows().assign(key=lambda found: found["m"].str.lower().str.split().str.join(" "))
    again = World(tmp_path, {"data": {"columns": columns, "holdout": {"by": "row", "share": 0.5, "texts": "normalised"}}})
    finish(again, b=rows.with_columns(pl.col("m").str.to_uppercase()))
    after = again.rows()
    assert after[FILE].nunique() == 2
    late = after[~after["m"].isin(before["m"])].assign(key=lambda found: found["m"].str.lower().str.split().str.join(" "))
    trained = set(before.loc[~before[HOLDOUT], "key"])
    assert len(late) > 100
    assert set(late.loc[late[HOLDOUT], "key"]) == set(before["key"]) - trained
