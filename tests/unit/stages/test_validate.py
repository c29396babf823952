"""Every new batch against its contract: what is found, what it scores, and where it goes."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.stages.world import Always, World

from keepfit.records import Action, Batch, BatchState, Cycle, Outcome, Place

COLUMNS = {
    "i": {"type": "integer", "unique": True},
    "x": {"type": "number", "minimum": 0, "max_null_share": 0.25},
    "y": {"type": "category"},
}


def good(rows: int = 20) -> dict[str, Any]:
    return {"i": list(range(rows)), "x": [float(i) for i in range(rows)], "y": ["a", "b"] * (rows // 2)}


def validated(folder: Any, *frames: Any, **settings: Any) -> Cycle:
    world = World(folder, {"data": {"columns": COLUMNS} | settings.pop("data", {}), **settings})
    for n, frame in enumerate(frames):
        world.arrive(f"{n}.csv", frame if isinstance(frame, str) else pl.DataFrame(frame))
    return world.through("collect", "validate")


def test_a_batch_that_keeps_its_promises_goes_on(tmp_path) -> None:
    cycle = validated(tmp_path, good())
    [batch] = cycle.validation.batches
    assert (cycle.outcome, batch.passed, batch.quality, batch.rows, batch.labelled) == (None, True, 100.0, 20, 20)
    assert (cycle.validation.passed, cycle.validation.quarantined, cycle.validation.quality) == (1, 0, 100.0)
    assert cycle.batches[0].rows == 20


@pytest.mark.parametrize(
    ("change", "check", "column", "rows"),
    [
        ({"x": [-1.0] * 3 + [1.0] * 17}, "minimum", "x", 3),
        ({"i": [1, 1, *range(2, 20)]}, "unique", "i", 2),
        ({"x": [None] * 6 + [1.0] * 14}, "null_share", "x", 6),
        ({"x": ["north"] * 4 + ["1"] * 16}, "type", "x", 4),
    ],
)
def test_what_a_batch_breaks_is_named_with_its_rows_and_lowers_its_quality(tmp_path, change, check, column, rows) -> None:
    cycle = validated(tmp_path, good() | change)
    [batch] = cycle.validation.batches
    [finding] = batch.findings
    assert (finding.check, finding.column, finding.rows) == (check, column, rows)
    assert 1 <= len(finding.examples) <= 3
    assert batch.quality == 100 * (20 - rows) / 20
    assert (cycle.outcome, cycle.decision.action) == (Outcome.QUARANTINED, Action.ALERT)
    assert cycle.batches[0].state is BatchState.QUARANTINED
    assert cycle.validation.quality is None
    [signal] = cycle.decision.signals
    assert (signal.name, signal.fired) == ("data_fault", True)


def test_several_faults_are_all_told(tmp_path) -> None:
    [batch] = validated(tmp_path, good() | {"x": [-1.0, *[1.0] * 19], "i": [1, 1, *range(2, 20)]}).validation.batches
    assert {finding.check for finding in batch.findings} == {"minimum", "unique"}


@pytest.mark.parametrize(("copies", "passed"), [(0, True), (10, True), (11, True), (19, False)])
def test_copies_of_rows_lower_the_quality_beyond_one_half(tmp_path, copies, passed) -> None:
    columns = {name: column for name, column in COLUMNS.items() if name != "i"}
    frame = {"x": [0.0] * (copies + 1) + [float(i) for i in range(1, 20 - copies)], "y": ["a"] * 20}
    [batch] = validated(tmp_path, frame, data={"columns": columns}).validation.batches
    assert batch.quality == pytest.approx(100 * (1 - max(0.0, copies / 20 - 0.5)))
    assert batch.passed is passed
    if not passed:
        assert batch.findings[0].check == "quality"


def test_the_quality_that_is_enough_is_a_setting(tmp_path) -> None:
    columns = {name: column for name, column in COLUMNS.items() if name != "i"}
    frame = {"x": [0.0] * 20, "y": ["a"] * 20}
    assert validated(tmp_path, frame, data={"columns": columns}, validate={"min_quality": 50}).outcome is None


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.sampled_from(["1", "2", "-1", "north", "", "inf", "nan"]), min_size=1, max_size=30),
    st.sampled_from(["number", "integer", "category"]),
)
def test_the_quality_lies_between_0_and_100_and_falls_with_every_broken_cell(tmp_path_factory, cells, type) -> None:
    columns = {
        "x": {"type": type, "minimum": 0} if type != "category" else {"type": type, "values": ["1", "2"]},
        "y": {"type": "category"},
    }
    text = "x,y\n" + "".join(f"{cell},a\n" for cell in cells)
    settings = {"data": {"columns": columns}, "validate": {"min_quality": 0}}
    [batch] = validated(tmp_path_factory.mktemp("q"), text, **settings).validation.batches
    broken = sum(finding.rows for finding in batch.findings if finding.column == "x")
    assert 0 <= batch.quality <= 100 * (1 - broken / len(cells)) + 0.01
    says_something = any(cell not in ("", "nan") for cell in cells) or (type == "category" and any(cells))
    assert batch.passed == (not broken and says_something)


def test_the_bad_batch_goes_and_the_good_ones_go_on(tmp_path) -> None:
    cycle = validated(tmp_path, good(), good() | {"x": ["north"] * 20}, good(18))
    assert cycle.outcome is None
    assert [batch.state for batch in cycle.batches] == [BatchState.NEW, BatchState.QUARANTINED, BatchState.NEW]
    assert (tmp_path / "data/quarantine/1.csv").exists()
    assert "finite numbers" in (tmp_path / "data/quarantine/1.csv.reason.json").read_text()


@pytest.mark.parametrize(("least", "outcome"), [(2, None), (3, Outcome.QUARANTINED)])
def test_with_fewer_good_batches_than_wanted_the_cycle_ends(tmp_path, least, outcome) -> None:
    cycle = validated(tmp_path, good(), good() | {"x": ["north"] * 20}, good(18), data={"min_batches": least})
    assert cycle.outcome is outcome
    if outcome:
        assert "1 of 3 batches went to quarantine. 1.csv: x: expected finite numbers" in cycle.reason
        assert "2 of 3 good batches are left" in cycle.reason


def test_when_nothing_new_came_there_is_nothing_to_validate(tmp_path) -> None:
    world = World(tmp_path)
    cycle = world.through("validate")
    assert (cycle.outcome, cycle.validation.passed, cycle.validation.quality) == (None, 0, None)


def test_a_batch_that_vanished_is_told_and_stops_nobody(tmp_path) -> None:
    world = World(tmp_path, {"data": {"columns": COLUMNS}})
    path = world.arrive("a.csv", pl.DataFrame(good()))
    world.arrive("b.csv", pl.DataFrame(good(18)))
    cycle = world.through("collect")
    path.unlink()
    cycle = world.through("validate", cycle=cycle)
    assert [batch.passed for batch in cycle.validation.batches] == [False, True]
    assert "vanished" in cycle.validation.batches[0].findings[0].found


@pytest.mark.parametrize("bad", ["x,y\n", "x,y\n,\n,\n", "p,q\n1,2\n3,4\n", "x\n1\n2\n", "\x01\x02\n\x03\n"])
def test_the_contract_is_inferred_from_a_file_that_keeps_it_and_never_from_a_broken_one(tmp_path, bad) -> None:
    world = World(tmp_path)
    world.arrive("0.csv", bad)
    assert world.through("collect", "validate").outcome is Outcome.QUARANTINED
    world.arrive("1.csv", pl.DataFrame(good()))
    cycle = world.through("collect", "validate")
    assert cycle.outcome is None
    assert set(world.ports.store.facts("columns")) == {"i", "x", "y"}


def test_an_inferred_contract_is_for_good(tmp_path) -> None:
    world = World(tmp_path)
    world.champion(Always("a"))
    world.arrive("0.csv", pl.DataFrame(good()))
    assert world.run().outcome is Outcome.HEALTHY
    world.arrive("1.csv", pl.DataFrame(good(30) | {"x": ["north"] * 30}))
    assert world.run().outcome is Outcome.QUARANTINED


def test_a_target_out_of_range_is_a_fault_in_a_regression(tmp_path) -> None:
    columns = {"x": {"type": "number"}, "y": {"type": "number", "minimum": 0, "maximum": 1}}
    [batch] = validated(
        tmp_path, {"x": [1.0, 2.0], "y": [0.5, 7.0]}, project={"task": "regression"}, data={"columns": columns}
    ).validation.batches
    assert [(finding.column, finding.check) for finding in batch.findings] == [("y", "maximum")]


# ---------------------------------------------------------------------------------------------------- columns and size


ORDERED = {"data": {"columns": {"a": {"type": "number"}, "b": {"type": "number", "required": False}, **COLUMNS}}}


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["a", "b", "i", "x", "y"], None),
        (["a", "i", "x", "y"], None),
        (["i", "a", "b", "x", "y"], "'i' as column 1 where 3 is its place"),
        (["a", "b", "i", "q", "y"], "no 'x'; also 'q'"),
        (["y", "x", "i", "b", "a"], "more in other places"),
    ],
)
def test_where_that_is_wanted_the_columns_are_exactly_the_contracts_in_its_order(tmp_path, names, found) -> None:
    cells = good() | {"a": list(range(20)), "b": list(range(20)), "q": list(range(20))}
    frame = pl.DataFrame({name: cells[name] for name in names})
    [batch] = validated(tmp_path, frame, **ORDERED, validate={"ordered": True}).validation.batches
    order = [finding for finding in batch.findings if finding.check == "order"]
    assert batch.passed == (found is None)
    assert bool(order) == (found is not None)
    if found:
        assert found in order[0].found
        assert order[0].expected == "exactly the columns 'a', 'b', 'i', 'x', 'y' in this order"


@pytest.mark.parametrize(("rows", "passed"), [(8, False), (10, True), (20, True), (22, False)])
def test_a_batch_has_no_fewer_and_no_more_rows_than_the_settings_say(tmp_path, rows, passed) -> None:
    [batch] = validated(tmp_path, good(rows), validate={"rows": {"minimum": 10, "maximum": 20}}).validation.batches
    assert batch.passed is passed
    if not passed:
        assert str(batch.findings[0]) == f"expected at least 10 and at most 20 rows, found {rows}"


@pytest.mark.parametrize(
    ("history", "rows", "passed"),
    [
        ([20] * 4, 2, True),  # too few to know what is usual
        ([20] * 5, 8, False),
        ([20] * 5, 10, True),
        ([20] * 5, 40, True),
        ([20] * 5, 42, False),
        ([200] * 20 + [20] * 20, 20, True),  # the world has changed, and only the last 20 say so
        ([20, 20, 20, 2000, 2000], 20, True),
    ],
)
def test_a_number_of_rows_far_from_that_of_the_latest_good_batches_is_a_fault(tmp_path, history, rows, passed) -> None:
    world = World(tmp_path, {"data": {"columns": COLUMNS}, "validate": {"rows": {"factor": 2}}})
    known = [
        Batch(id=f"{n:064}", name=f"{n}.csv", size=1, rows=count, state=BatchState.JUDGED, arrived_at=world.clock.advance(1))
        for n, count in enumerate(history)
    ]
    bad = Batch(id="f" * 64, name="bad.csv", size=1, rows=10**6, state=BatchState.QUARANTINED, arrived_at=world.clock.advance(1))
    cycle = world.begin()
    world.ports.ledger.cycles.save(replace(cycle, batches=(*known, bad), outcome=Outcome.HEALTHY), world.ports.lease)
    world.arrive("new.csv", pl.DataFrame(good(rows)))
    [batch] = world.through("collect", "validate").validation.batches
    assert batch.passed is passed, batch.findings
    if not passed:
        assert "10 to 40 rows (the last 5 good batches had 20)" in batch.findings[0].expected


def test_an_optional_column_that_is_missing_breaks_no_promise(tmp_path) -> None:
    columns = COLUMNS | {"t": {"type": "datetime", "required": False, "max_age": "1d", "max_null_share": 0}}
    assert validated(tmp_path, good(), data={"columns": columns}).validation.batches[0].passed


# ------------------------------------------------------------------------------------------------------------- quality

NOISE = random.Random(1)  # noqa: S311 - made-up data


@pytest.mark.parametrize(
    ("name", "frame"),
    [
        ("one column garbage", good() | {"x": ["??"] * 20}),
        ("all cells empty", {"i": [None] * 20, "x": [None] * 20, "y": [None] * 20}),
        ("all features empty", good() | {"i": [None] * 20, "x": [None] * 20}),
        ("columns under each other's names", {"i": ["a", "b"] * 10, "x": ["a", "b"] * 10, "y": list(range(20))}),
        ("another table", {"p": [1, 2], "q": [3, 4]}),
        ("a column less", {"i": [1, 2], "y": ["a", "b"]}),
        ("noise", NOISE.randbytes(5000)),
        ("noise in letters", "".join(NOISE.choices('abc,;\n"0123', k=5000))),
        ("a page", "<html><body>502 Bad Gateway</body></html>"),
    ],
)
def test_garbage_scores_nothing(tmp_path, name, frame) -> None:
    world = World(tmp_path, {"data": {"columns": COLUMNS}})
    world.arrive("0.csv", pl.DataFrame(frame) if isinstance(frame, dict) else frame)
    [batch] = world.through("collect", "validate").validation.batches
    assert (batch.passed, batch.quality) == (False, 0.0), name


def test_half_a_file_of_garbage_scores_half(tmp_path) -> None:
    text = "i,x,y\n" + "".join(f"{i},{i},a\n" for i in range(10)) + "?,?,a\n" * 10
    assert validated(tmp_path, text).validation.batches[0].quality == 50.0


def test_a_row_counts_once_however_many_of_its_cells_are_unsound(tmp_path) -> None:
    text = "i,x,y\n?,?,a\n1,-1,a\n" + "".join(f"{i},{i},a\n" for i in range(2, 20))
    assert validated(tmp_path, text).validation.batches[0].quality == 90.0


def test_a_few_categories_may_repeat_as_they_like(tmp_path) -> None:
    columns = {"c": {"type": "category"}, "b": {"type": "boolean"}, "y": {"type": "category"}}
    frame = {"c": ["north", "south"] * 50, "b": [True, False] * 50, "y": ["a", "b"] * 50}
    assert validated(tmp_path, frame, data={"columns": columns}).validation.batches[0].quality == 100.0


def test_a_batch_below_min_quality_is_told_why(tmp_path) -> None:
    columns = {name: column for name, column in COLUMNS.items() if name != "i"}
    [batch] = validated(tmp_path, {"x": [0.0] * 20, "y": ["a"] * 20}, data={"columns": columns}).validation.batches
    assert str(batch.findings[0]) == (
        "expected a quality of 90 or more (validate.min_quality), found 55.0: of 20 rows 0 are unsound and 19 repeat another"
    )


# ---------------------------------------------------------------------------------------------------- rows set aside

ROWS = {"quarantine": "rows"}
CLASSES = COLUMNS | {"y": {"type": "category", "values": ["a", "b"]}}


def some_bad(rows: int = 40) -> dict[str, Any]:
    """Row 2 has no number, row 4 another label, row 5 a number below the minimum and another label."""
    frame = {"i": list(range(rows)), "x": [str(i) for i in range(rows)], "y": ["a", "b"] * (rows // 2)}
    frame["x"][1], frame["x"][4] = "north", "-1"
    frame["y"][3] = frame["y"][4] = "c"
    return frame


def rows_world(folder: Any, **settings: Any) -> World:
    return World(folder, {"data": {"columns": CLASSES}, "validate": ROWS | settings.pop("validate", {}), **settings})


def test_bad_rows_go_to_quarantine_and_the_others_go_on(tmp_path) -> None:
    world = rows_world(tmp_path)
    path = world.arrive("day=1/a.csv", pl.DataFrame(some_bad()))
    before = path.read_bytes()
    cycle = world.through("collect", "validate", "prepare")
    [batch] = cycle.validation.batches
    assert (batch.passed, batch.rows, batch.dropped, batch.labelled, batch.quality) == (True, 40, 3, 37, 92.5)
    assert [(finding.check, finding.column, finding.rows) for finding in batch.findings] == [
        ("type", "x", 1),
        ("label", "y", 2),
        ("minimum", "x", 1),
    ]
    assert (cycle.prepared.rows, cycle.prepared.labelled) == (37, cycle.prepared.training)
    assert sorted(world.rows()["i"]) == [i for i in range(40) if i not in (1, 3, 4)]
    assert path.read_bytes() == before
    aside = pl.read_csv(tmp_path / "data/quarantine/day=1/a.csv.rows.csv", infer_schema=False)
    assert aside.columns == ["__row", "__reason", "i", "x", "y"]
    assert aside.rows() == [
        ("2", "x: expected finite numbers", "1", "north", "b"),
        ("4", "y: expected one of a, b", "3", "3", "c"),
        ("5", "y: expected one of a, b; x: expected at least 0", "4", "-1", "c"),
    ]


def test_rows_of_a_parquet_file_keep_their_types(tmp_path) -> None:
    world = rows_world(tmp_path)
    frame = pl.DataFrame(good(40) | {"x": [-1.5, *map(float, range(39))]})
    world.arrive("a.parquet", frame)
    assert world.through("collect", "validate").validation.batches[0].dropped == 1
    aside = pl.read_parquet(tmp_path / "data/quarantine/a.parquet.rows.parquet")
    assert aside.select("i", "x", "y").equals(frame.head(1))
    assert world.ports.inbox.list(Place.QUARANTINE) == []  # the file itself lies in the inbox


def test_mended_rows_are_a_batch_of_their_own(tmp_path) -> None:
    world = rows_world(tmp_path)
    world.champion(Always("a"))
    world.arrive("a.csv", pl.DataFrame(some_bad()))
    assert world.run().outcome is Outcome.HEALTHY
    aside = pl.read_csv(tmp_path / "data/quarantine/a.csv.rows.csv", infer_schema=False)
    world.arrive("a.csv.rows.csv", aside.with_columns(x=pl.lit("7"), y=pl.lit("a")))
    cycle = world.run()
    [batch] = cycle.validation.batches
    assert (batch.passed, batch.rows, batch.dropped) == (True, 3, 0)
    assert len(world.rows()) == 40


@pytest.mark.parametrize(
    ("change", "settings", "check"),
    [
        ({"x": ["north"] * 5 + ["1"] * 35}, {}, "quality"),  # 87.5 of 100
        ({"x": [None] * 15 + ["1"] * 25}, {}, "null_share"),
        ({}, {"ordered": True}, "order"),
        ({"i": [None] * 40, "x": ["north"] * 40}, {"min_quality": 0}, "columns"),
    ],
)
def test_a_fault_of_the_whole_batch_takes_the_whole_batch(tmp_path, change, settings, check) -> None:
    world = rows_world(tmp_path, validate=settings)
    frame = pl.DataFrame(some_bad() | change)
    world.arrive("a.csv", frame.select("x", "i", "y") if check == "order" else frame)
    cycle = world.through("collect", "validate")
    assert cycle.outcome is Outcome.QUARANTINED
    [batch] = cycle.validation.batches
    assert check in [finding.check for finding in batch.findings]
    assert batch.dropped == 0
    assert sorted(path.name for path in (tmp_path / "data/quarantine").iterdir()) == ["a.csv", "a.csv.reason.json"]


def test_what_the_rest_no_longer_keeps_takes_the_whole_batch(tmp_path) -> None:
    """A fifth of x may be empty; it is so in the file, and no longer when the bad rows are gone."""
    columns = CLASSES | {"x": {"type": "number", "minimum": 0, "max_null_share": 0.2}}
    world = World(tmp_path, {"data": {"columns": columns}, "validate": ROWS})
    frame = {"i": list(range(40)), "x": [None] * 8 + ["-1"] + ["1"] * 31, "y": ["a", "b"] * 20}
    world.arrive("a.csv", pl.DataFrame(frame))
    [batch] = world.through("collect", "validate").validation.batches
    assert not batch.passed
    assert [finding.check for finding in batch.findings] == ["minimum", "null_share"]
    assert "8 of 39" in batch.findings[1].found


def test_an_empty_cell_where_none_may_be_is_a_fault_of_its_row(tmp_path) -> None:
    world = World(tmp_path, {"data": {"columns": CLASSES | {"x": {"type": "number", "max_null_share": 0}}}, "validate": ROWS})
    world.arrive("a.csv", pl.DataFrame(good(40) | {"x": [None, *range(39)]}))
    assert world.through("collect", "validate").validation.batches[0].dropped == 1


def test_a_cycle_that_is_killed_sets_the_same_rows_aside_again(tmp_path) -> None:
    world = rows_world(tmp_path)
    world.arrive("a.csv", pl.DataFrame(some_bad()))
    collected = world.through("collect")
    first = world.through("validate", cycle=collected)
    aside = tmp_path / "data/quarantine/a.csv.rows.csv"
    written = aside.read_bytes()
    aside.unlink()  # killed between the two
    again = world.through("validate", cycle=collected)
    assert again.validation == first.validation
    assert aside.read_bytes() == written
    assert len(list(aside.parent.iterdir())) == 1


def test_which_rows_are_aside_is_for_good_whatever_the_settings_become(tmp_path) -> None:
    world = rows_world(tmp_path)
    world.champion(Always("a"))
    world.arrive("a.csv", pl.DataFrame(some_bad()))
    assert world.run().outcome is Outcome.HEALTHY
    world.change(data={"columns": CLASSES | {"x": {"type": "category"}}}, validate={"quarantine": "batch"})
    world.arrive("b.csv", pl.DataFrame(good(40)))
    assert world.run().outcome is Outcome.HEALTHY
    names = [path.stem for path in (tmp_path / ".keepfit/prepared").glob("rows-*.parquet")]
    assert sorted(len(world.ports.store.load([name])) for name in names) == [37, 37, 40, 40]  # each batch in both ways


@pytest.mark.parametrize(
    ("settings", "passed", "dropped"),
    [
        ({"data": {"columns": CLASSES | {"y": {"type": "category", "values": ["a", "b", "c"]}}}}, True, 3),  # looser
        ({"data": {"columns": CLASSES | {"x": {"type": "number", "minimum": 1}}}}, False, 0),  # stricter
        ({"validate": {"quarantine": "batch"}}, False, 0),
    ],
)
def test_a_batch_that_is_looked_at_again_under_other_settings_loses_the_same_rows_or_goes(tmp_path, settings, passed, dropped):
    world = rows_world(tmp_path)
    world.arrive("a.csv", pl.DataFrame(some_bad()))
    cycle = world.through("collect", "validate", "prepare")
    world.change(**settings)
    [batch] = world.through("validate", cycle=replace(cycle, stage="collect")).validation.batches
    assert (batch.passed, batch.dropped) == (passed, dropped)
    if passed:
        assert len(list((tmp_path / "data/quarantine").iterdir())) == 1
        assert world.through("prepare", cycle=cycle).prepared.rows == 37


def test_classes_are_not_named_by_rows_that_are_set_aside(tmp_path) -> None:
    """An inferred contract names its classes by the first sound batches: bad rows of the second are no part of them."""
    world = World(tmp_path, {"validate": ROWS})
    world.champion(Always("a"))
    world.arrive("a.csv", pl.DataFrame({"x": [n % 7 for n in range(200)], "z": [n % 5 for n in range(200)], "y": ["a"] * 200}))
    assert world.run().outcome is Outcome.HEALTHY
    text = "x,z,y\nnorth,1,c\n" + "".join(f"{n % 7},{n % 5},{'ab'[n % 2]}\n" for n in range(99))
    world.arrive("b.csv", text)
    assert world.run().validation.batches[0].dropped == 1
    assert world.ports.store.facts("classes") == {"values": ["a", "b"]}


def test_two_batches_of_one_name_keep_their_rows_apart(tmp_path) -> None:
    world = rows_world(tmp_path)
    world.champion(Always("a"))
    for rows in (40, 50):
        world.arrive("a.csv", pl.DataFrame(some_bad(rows)))
        assert world.run().validation.batches[0].dropped == 3
        (tmp_path / "data/inbox/a.csv").rename(tmp_path / f"data/inbox/{rows}.csv")
    found = [path.name for path in (tmp_path / "data/quarantine").iterdir()]
    assert len(found) == 1  # the same three rows, word for word
    world.arrive("a.csv", pl.DataFrame(some_bad(60) | {"x": ["south", *["1"] * 59]}))
    world.run()
    assert len(list((tmp_path / "data/quarantine").iterdir())) == 2
