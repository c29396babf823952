"""Every new batch against its contract: what is found, what it scores, and where it goes."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.stages.world import Always, World

from keepfit.records import Action, BatchState, Cycle, Outcome

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
    assert batch.passed == (not broken)


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
