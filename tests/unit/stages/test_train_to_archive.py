"""From the decision to the archive: what is trained on, what is registered, and what happens only once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl
import pytest
from tests.unit.stages.world import Always, FakeTrainer, World

from keepfit.errors import DataError, LeaseLost
from keepfit.prepared import HOLDOUT
from keepfit.records import Announcement, BatchState, Cycle, Event, Outcome, Place
from keepfit.versions import Tag

COLUMNS = {"x": {"type": "number"}, "y": {"type": "category"}}


def rows(count: int = 200, first: int = 0, label: str = "a") -> pl.DataFrame:
    return pl.DataFrame({"x": [float(i + first) for i in range(count)], "y": [label] * count})


def world(folder: Any, **settings: Any) -> World:
    data = {"columns": COLUMNS} | settings.pop("data", {})
    promote = {"resamples": 200, "gate": "greater"} | settings.pop("promote", {})
    return World(folder, {"data": data, "promote": promote, **settings})


def upto(world: World, stage: str, *frames: pl.DataFrame) -> Cycle:
    for n, frame in enumerate(frames):
        world.arrive(f"{n}.csv", frame)
    stages = ("collect", "validate", "prepare", "monitor", "decide", "train", "compare", "promote", "release", "archive")
    return world.through(*stages[: stages.index(stage) + 1])


# ------------------------------------------------------------------------------------------------------------------ train


def test_the_trainer_is_given_labelled_training_rows_only(tmp_path) -> None:
    one = world(tmp_path)
    cycle = upto(one, "train", rows(100), rows(100, 1000, label=""))
    [given] = one.ports.trainer.rows
    assert not given[HOLDOUT].any()
    assert given["__truth"].tolist() == ["a"] * 80
    assert cycle.candidate.rows == 80
    assert cycle.prepared.labelled == 80


def test_a_version_says_where_it_comes_from(tmp_path) -> None:
    one = world(tmp_path, train={"seed": 7})
    cycle = upto(one, "train", rows())
    registered = one.ports.registry.versions["1"]
    tags = registered.tags
    assert (tags[Tag.CYCLE], tags["keepfit.seed"], tags["keepfit.trained_on"]) == (cycle.id, "7", cycle.candidate.trained_on)
    assert cycle.batches[0].id[:16] in tags["keepfit.data"]
    assert registered.registration.features.columns.tolist() == ["x"]
    assert registered.registration.reference["x"].len() == cycle.candidate.rows
    assert "__file" not in registered.registration.reference.columns
    assert one.ports.registry.aliases == {}  # no alias points to what is not judged yet


def test_a_training_that_is_resumed_registers_nothing_twice(tmp_path) -> None:
    one = world(tmp_path)
    cycle = upto(one, "train", rows())
    again = one.through("train", cycle=replace(cycle, candidate=None))
    assert again.candidate == cycle.candidate
    assert list(one.ports.registry.versions) == ["1"]


def test_a_runner_that_lost_its_lease_while_training_registers_nothing(tmp_path) -> None:
    one = world(tmp_path)
    cycle = upto(one, "decide", rows())

    class Slow(FakeTrainer):
        def train(self, rows: Any, features: Any) -> Any:
            one.ports.ledger.leases.acquire("demo", "there:2:0.0", 60, is_dead=lambda holder: True)
            return super().train(rows, features)

    one.ports.trainer = Slow()
    with pytest.raises(LeaseLost):
        one.through("train", cycle=cycle)
    assert one.ports.registry.versions == {}


def test_without_a_labelled_row_training_fails_in_words(tmp_path) -> None:
    with pytest.raises(DataError, match="no labelled training rows"):
        upto(world(tmp_path), "train", rows(label=""))


# ------------------------------------------------------------------------------------------------------- promote, release


def test_the_alias_moves_after_the_journal_was_written(tmp_path) -> None:
    one = world(tmp_path)
    cycle = upto(one, "compare", rows())
    seen: list[str] = []
    point = one.ports.registry.point
    one.ports.registry.point = lambda *move: (seen.append(one.ports.ledger.journal.entries("demo")[0].status), point(*move))
    cycle = one.through("promote", cycle=cycle)
    assert seen == ["intended"]
    [entry] = one.ports.ledger.journal.entries("demo")
    assert (entry.id, entry.status, entry.promotion) == (cycle.id, "done", cycle.promotion)
    assert one.ports.registry.aliases == {"champion": "1"}


def test_an_alias_that_somebody_moved_meanwhile_stays_where_it_is(tmp_path) -> None:
    one = world(tmp_path)
    cycle = upto(one, "compare", rows())
    one.ports.registry.aliases["champion"] = mine = one.version(Always("b"))
    cycle = one.through("promote", cycle=cycle)
    assert (cycle.outcome, cycle.promotion) == (Outcome.ALERTED, None)
    assert one.ports.registry.aliases == {"champion": mine}
    assert [entry.status for entry in one.ports.ledger.journal.entries("demo")] == ["abandoned"]


def test_a_promotion_that_is_resumed_moves_nothing_again(tmp_path) -> None:
    one = world(tmp_path)
    cycle = upto(one, "promote", rows())
    again = one.through("promote", cycle=replace(cycle, promotion=None))
    assert again.promotion == cycle.promotion
    assert len(one.ports.ledger.journal.entries("demo")) == 1


class Pipeline:
    """The port `Releaser`: remembers what was started."""

    receivers = ("the pipeline",)

    def __init__(self) -> None:
        self.started: list[Announcement] = []

    def release(self, announcement: Announcement, receiver: str) -> None:
        self.started.append(announcement)

    def check(self) -> None:
        """All is well."""


def test_a_promotion_is_put_into_the_outbox_once_to_be_delivered(tmp_path) -> None:
    one = world(tmp_path, alerts={"quiet_hours": "00:00-23:59", "min_severity": "critical", "events": []})
    one.ports.releaser = pipeline = Pipeline()
    cycle = upto(one, "compare", rows())
    one.ports.ledger.cycles.save(cycle, one.ports.lease)
    cycle = one.through("promote", "release", cycle=cycle)
    again = one.through("release", cycle=replace(cycle, released=None))
    assert again.released == cycle.released == "the pipeline is asked to deliver version 1; `keepfit alerts` tells what came of it"
    (put,) = one.ports.ledger.outbox.recent("demo", event=Event.RELEASE)
    assert (put.receiver, put.status, put.not_before, pipeline.started) == ("the pipeline", "pending", None, [])
    verdict = cycle.verdict
    assert verdict is not None
    assert put.alert.announcement == Announcement(
        move=cycle.id, version="1", source="promotion", metric=verdict.metric, value=verdict.challenger
    )


def test_without_a_pipeline_nothing_is_put_to_be_delivered(tmp_path) -> None:
    one = world(tmp_path)
    cycle = upto(one, "release", rows())
    assert cycle.released == "nothing is configured to follow a promotion"
    assert list(one.ports.ledger.outbox.recent("demo", event=Event.RELEASE)) == []


# ---------------------------------------------------------------------------------------------------------------- archive


def test_without_a_promotion_nothing_moves(tmp_path) -> None:
    one = world(tmp_path, promote={"floor": 2.0, "gate": "greater"})
    cycle = upto(one, "compare", rows())
    assert cycle.outcome is Outcome.KEPT_CHAMPION
    kept = one.through("archive", cycle=replace(cycle, outcome=None))
    assert (kept.promotion, kept.archived, kept.batches) == (None, (), cycle.batches)
    assert [path.name for path in (tmp_path / "data/inbox").iterdir()] == ["0.csv"]


def test_what_was_consumed_moves_with_its_bytes_and_is_found_moved(tmp_path) -> None:
    one = world(tmp_path)
    cycle = upto(one, "release", rows())
    content = (tmp_path / "data/inbox/0.csv").read_bytes()
    done = one.through("archive", cycle=cycle)
    assert one.through("archive", cycle=cycle).batches == done.batches
    assert (tmp_path / "data/archive/0.csv").read_bytes() == content
    assert not (tmp_path / "data/inbox/0.csv").exists()
    assert (done.batches[0].place, done.batches[0].state, done.archived) == (
        Place.ARCHIVE,
        BatchState.ARCHIVED,
        (cycle.batches[0].id,),
    )


def test_other_content_of_that_name_in_the_archive_is_kept(tmp_path) -> None:
    one = world(tmp_path)
    cycle = upto(one, "release", rows())
    one.arrive("0.csv", "x,y\n9,z\n", "archive")
    done = one.through("archive", cycle=cycle)
    assert (tmp_path / "data/archive/0.csv").read_text() == "x,y\n9,z\n"
    assert done.batches[0].name == f"0.{cycle.batches[0].id[:12]}.csv"
    assert (tmp_path / "data/archive" / done.batches[0].name).exists()


@pytest.mark.parametrize("change", [lambda path: path.unlink(), lambda path: path.write_text("x,y\n1,b\n")])
def test_a_file_that_somebody_deleted_or_changed_after_it_was_consumed_holds_nothing_up(tmp_path, change) -> None:
    one = world(tmp_path)
    cycle = upto(one, "release", rows())
    change(tmp_path / "data/inbox/0.csv")
    done = one.through("archive", cycle=cycle)
    assert done.batches[0].state is BatchState.ARCHIVED
    assert [path.name for path in (tmp_path / "data/archive").rglob("*")] == []
