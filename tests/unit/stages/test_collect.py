"""What has arrived: named by content, counted, set aside when it is there already."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest
from tests.unit.stages.world import Always, World

from keepfit.errors import DataError
from keepfit.records import BatchState, Outcome, Place

ONE, TWO, THREE = "x,y\n1,a\n2,b\n", "x,y\n3,a\n", "x,y\n4,a\n5,b\n6,a\n"


def archived(world: World, name: str, content: str) -> None:
    """A file that an earlier champion has consumed."""
    world.arrive(name, content)
    cycle = world.through("collect")
    [batch] = [each for each in cycle.batches if each.name == name]
    moved = replace(world.ports.inbox.move(batch, Place.ARCHIVE), state=BatchState.ARCHIVED)
    world.ports.ledger.cycles.save(replace(cycle, stage="archive", outcome=Outcome.PROMOTED, batches=(moved,)), world.ports.lease)


def test_a_batch_is_named_by_its_content_and_comes_in_order_of_names(tmp_path) -> None:
    world = World(tmp_path)
    for name, content in (("b.csv", ONE), ("a.csv", TWO), ("deep/c.csv", THREE)):
        world.arrive(name, content)
    cycle = world.through("collect")
    assert [batch.name for batch in cycle.batches] == ["a.csv", "b.csv", "deep/c.csv"]
    assert len({batch.id for batch in cycle.batches}) == 3
    assert {batch.arrived_at for batch in cycle.batches} == {cycle.started_at}
    assert {(batch.state, batch.place) for batch in cycle.batches} == {(BatchState.NEW, Place.INBOX)}


@pytest.mark.parametrize(
    ("least", "outcome", "reason"),
    [
        ({"min_batches": 3}, Outcome.WAITING, "2 of 3 new batches have arrived"),
        ({"min_batches": 2}, None, ""),
        ({"min_rows": 4}, Outcome.WAITING, "3 of 4 new rows have arrived"),
        ({"min_rows": 3}, None, ""),
        ({"min_batches": 2, "min_rows": 4}, Outcome.WAITING, "3 of 4 new rows have arrived"),
    ],
)
def test_fewer_than_wanted_wait_and_are_counted(tmp_path, least, outcome, reason) -> None:
    world = World(tmp_path, {"data": least})
    world.arrive("a.csv", ONE)
    world.arrive("b.csv", TWO)
    cycle = world.through("collect")
    assert (cycle.outcome, cycle.reason) == (outcome, reason)


def test_a_duplicate_does_not_count_towards_what_is_wanted(tmp_path) -> None:
    world = World(tmp_path, {"data": {"min_batches": 2}})
    world.arrive("a.csv", ONE)
    world.arrive("b.csv", ONE)
    cycle = world.run()
    assert (cycle.outcome, cycle.reason) == (Outcome.WAITING, "1 of 2 new batches have arrived")
    assert [(each.name, each.original) for each in cycle.duplicates] == [("b.csv", "a.csv")]
    assert (tmp_path / "data/quarantine/b.csv").exists()
    assert "duplicate" in (tmp_path / "data/quarantine/b.csv.reason.json").read_text()


def test_force_waits_for_nothing_but_for_some_data(tmp_path) -> None:
    world = World(tmp_path, {"data": {"min_batches": 9}})
    assert world.through("collect", forced=True).reason == "there is no data at all"
    world.arrive("a.csv", ONE)
    assert world.through("collect", forced=True).outcome is None


def test_what_was_judged_before_is_not_new_and_keeps_when_it_came(tmp_path) -> None:
    world = World(tmp_path)
    world.champion(Always("a"))
    world.arrive("a.csv", ONE)
    first = world.run()
    assert first.outcome is Outcome.HEALTHY
    assert world.run().outcome is Outcome.WAITING
    world.arrive("b.csv", TWO)
    cycle = world.through("collect")
    assert [batch.name for batch in cycle.batches] == ["b.csv"]
    assert [(batch.name, batch.arrived_at) for batch in cycle.earlier] == [("a.csv", first.started_at)]


def test_consumed_content_is_a_duplicate_under_any_name(tmp_path) -> None:
    world = World(tmp_path)
    archived(world, "a.csv", ONE)
    world.arrive("again.csv", ONE)
    cycle = world.through("collect")
    assert (cycle.batches, [(each.name, each.original) for each in cycle.duplicates]) == ((), [("again.csv", "a.csv")])
    assert (tmp_path / "data/archive/a.csv").read_text() == ONE


def test_judged_content_that_comes_again_under_another_name_is_the_duplicate_of_the_first(tmp_path) -> None:
    world = World(tmp_path)
    world.champion(Always("a"))
    world.arrive("b.csv", ONE)
    world.run()
    world.arrive("a.csv", ONE)  # sorts before the name it is known by
    cycle = world.through("collect")
    assert [batch.name for batch in cycle.earlier] == ["b.csv"]
    assert [(each.name, each.original) for each in cycle.duplicates] == [("a.csv", "b.csv")]


def test_a_renamed_file_is_the_same_batch(tmp_path) -> None:
    world = World(tmp_path)
    world.champion(Always("a"))
    path = world.arrive("a.csv", ONE)
    world.run()
    path.rename(path.with_name("renamed.csv"))
    cycle = world.through("collect")
    assert (cycle.batches, cycle.duplicates, [batch.name for batch in cycle.earlier]) == ((), (), ["renamed.csv"])


def test_quarantined_content_that_comes_again_is_looked_at_again(tmp_path) -> None:
    world = World(tmp_path, {"data": {"columns": {"x": {"type": "number"}, "y": {"type": "category"}}}})
    world.arrive("a.csv", "x,y\nnorth,a\n")
    assert world.run().outcome is Outcome.QUARANTINED
    (tmp_path / "data/quarantine/a.csv").rename(tmp_path / "data/inbox/a.csv")
    assert [batch.state for batch in world.through("collect").batches] == [BatchState.NEW]
    assert world.run().outcome is Outcome.QUARANTINED


def test_an_archive_from_before_keepfit_makes_the_first_champion(tmp_path) -> None:
    world = World(tmp_path, {"data": {"min_batches": 5}})
    world.arrive("old.csv", ONE, "archive")
    world.arrive("new.csv", TWO)
    cycle = world.through("collect")
    assert cycle.outcome is None
    assert {batch.name: batch.place for batch in cycle.batches} == {"old.csv": Place.ARCHIVE, "new.csv": Place.INBOX}


def test_new_content_that_is_in_an_archive_from_before_keepfit_is_a_duplicate(tmp_path) -> None:
    world = World(tmp_path)
    world.arrive("old.csv", ONE, "archive")
    world.arrive("new.csv", ONE)
    cycle = world.through("collect")
    assert [batch.name for batch in cycle.batches] == ["old.csv"]
    assert [(each.name, each.original) for each in cycle.duplicates] == [("new.csv", "old.csv")]


def test_nothing_at_all_waits(tmp_path) -> None:
    cycle = World(tmp_path).through("collect")
    assert (cycle.outcome, cycle.reason) == (Outcome.WAITING, "0 of 1 new batches have arrived")


def test_a_name_that_cannot_be_shown_is_left_alone_and_told(tmp_path) -> None:
    world = World(tmp_path, {"data": {"min_batches": 2}})
    world.arrive("a.csv", ONE)
    world.arrive("b\n.csv", TWO)
    cycle = world.through("collect")
    assert [batch.name for batch in cycle.batches] == ["a.csv"]
    assert r"'b\n.csv' was left where it is" in cycle.reason


def test_a_file_that_vanishes_while_it_is_looked_at_is_no_error(tmp_path) -> None:
    world = World(tmp_path)
    world.arrive("a.csv", ONE)
    path = world.arrive("b.csv", TWO)
    listed = world.ports.inbox.list

    def vanishing(place: Place) -> object:
        found = listed(place)
        path.unlink(missing_ok=True)
        return found

    world.ports.inbox.list = vanishing
    assert [batch.name for batch in world.through("collect").batches] == ["a.csv"]


def test_a_file_that_changes_in_the_middle_of_a_cycle_is_noticed(tmp_path) -> None:
    world = World(tmp_path)
    path = world.arrive("a.csv", ONE)
    cycle = world.through("collect")
    path.write_text(TWO)
    with pytest.raises(DataError, match="was changed after this cycle took it in"):
        world.ports.inbox.read(cycle.batches[0])
    with pytest.raises(DataError, match="left in place"):
        world.ports.inbox.move(cycle.batches[0], Place.ARCHIVE)
    assert path.read_text() == TWO


def test_an_unreadable_file_does_not_count_as_rows(tmp_path) -> None:
    world = World(tmp_path, {"data": {"min_rows": 3}})
    world.arrive("a.csv", ONE)
    world.arrive("b.parquet", b"no parquet")
    assert world.through("collect").reason == "2 of 3 new rows have arrived"


def test_formats_are_known_by_their_suffix(tmp_path) -> None:
    world = World(tmp_path)
    frame = pl.DataFrame({"x": [1], "y": ["a"]})
    for name in ("a.csv", "notes.txt", "b.CSV.tmp", ".hidden.csv", "c.csv.reason.json"):
        world.arrive(name, frame)
    frame.write_parquet(tmp_path / "data/inbox/d.pq")
    frame.write_ndjson(tmp_path / "data/inbox/e.ndjson")
    assert [batch.name for batch in world.through("collect").batches] == ["a.csv", "d.pq", "e.ndjson"]


def test_a_name_that_cannot_be_taken_in_is_said_and_holds_up_nothing(tmp_path) -> None:
    world = World(tmp_path)
    for number in range(7):
        world.arrive(f"{number}?versionId=1.csv", ONE)
    waiting = world.through("collect")
    assert waiting.outcome is Outcome.WAITING
    assert "'0?versionId=1.csv' was left where it is" in waiting.reason
    assert "2 more were left where they are" in waiting.reason
    world.arrive("a.csv", TWO)
    cycle = world.through("collect")
    assert [batch.name for batch in cycle.batches] == ["a.csv"]
    assert len(cycle.notes) == 6
    assert "'0?versionId=1.csv'" in cycle.notes[0]
