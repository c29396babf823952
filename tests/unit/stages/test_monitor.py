"""The champion on new labelled rows: which rows count, with what interval, and what is said when there is little to go by."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from tests.unit.stages.world import Always, Echo, World

COLUMNS = {"a": {"type": "number"}, "g": {"type": "category"}, "y": {"type": "category"}}
STAGES = ("collect", "validate", "prepare", "monitor")


def rows(right: int, count: int = 100, unlabelled: int = 0, first: int = 0) -> pl.DataFrame:
    """Rows that a model echoing `a` has right, the first `right` of them."""
    answers = [1.0 + i + first if i < right else -1.0 - i - first for i in range(count)]
    labels = ["yes" if i < count - unlabelled else "" for i in range(count)]
    return pl.DataFrame({"a": answers, "g": [f"g{i % 10}" for i in range(count)], "y": labels})


def world(folder: Any, **settings: Any) -> World:
    made = World(folder, {"data": {"columns": COLUMNS} | settings.pop("data", {}), "promote": {"resamples": 300}, **settings})
    made.champion(Echo("a"), value="0.9", value_low="0.85", value_high="0.95")
    return made


def test_both_sides_of_the_split_judge_a_champion_that_was_trained_on_neither(tmp_path) -> None:
    one = world(tmp_path)
    one.arrive("new.csv", rows(80))
    report = one.through(*STAGES).performance
    assert (report.value, report.n, report.units, report.rows) == (0.8, 100, 100, 100)
    assert (report.champion, report.metric, report.greater_is_better) == ("1", "accuracy", True)
    assert report.interval.low < 0.8 < report.interval.high
    assert report.interval.level == 0.95
    assert (report.reference, report.reference_interval.low, report.reference_interval.high) == (0.9, 0.85, 0.95)


def test_the_level_of_the_interval_is_a_setting(tmp_path) -> None:
    widths = []
    for level in (0.8, 0.99):
        one = world(tmp_path / str(level), monitor={"level": level})
        one.arrive("new.csv", rows(80))
        interval = one.through(*STAGES).performance.interval
        assert interval.level == level
        widths.append(interval.high - interval.low)
    assert widths[0] < widths[1]


def test_rows_without_a_label_are_counted_and_judge_nobody(tmp_path) -> None:
    one = world(tmp_path)
    one.arrive("new.csv", rows(50, unlabelled=40))
    report = one.through(*STAGES).performance
    assert (report.n, report.rows) == (60, 100)
    assert report.value == pytest.approx(50 / 60)


def test_without_any_label_there_is_no_value_and_no_run_is_logged(tmp_path) -> None:
    one = world(tmp_path)
    one.arrive("new.csv", rows(50, unlabelled=100))
    report = one.through(*STAGES).performance
    assert (report.value, report.interval, report.n, report.rows, report.units) == (None, None, 0, 100, 0)
    assert one.ports.tracker.runs == {}


def test_groups_are_the_units_of_the_interval(tmp_path) -> None:
    one = world(tmp_path, data={"group": "g", "columns": COLUMNS})
    one.arrive("new.csv", rows(80))
    report = one.through(*STAGES).performance
    assert (report.value, report.n, report.units) == (0.8, 100, 10)


def test_only_what_is_new_judges_and_never_twice(tmp_path) -> None:
    one = world(tmp_path, retrain={"triggers": []})
    one.arrive("first.csv", rows(0))
    assert one.run().performance.value == 0.0
    one.arrive("second.csv", rows(100, first=1000))
    report = one.run().performance
    assert (report.value, report.n) == (1.0, 100)
    assert one.run().performance is None


def test_the_archive_does_not_judge_the_champion_that_was_trained_on_it(tmp_path) -> None:
    one = world(tmp_path)
    one.arrive("old.csv", rows(0), "archive")
    one.arrive("new.csv", rows(100, first=1000))
    report = one.through(*STAGES).performance
    assert (report.value, report.n) == (1.0, 100)


def test_without_a_champion_there_is_nothing_to_judge(tmp_path) -> None:
    one = World(tmp_path, {"data": {"columns": COLUMNS}})
    one.arrive("new.csv", rows(80))
    assert one.through(*STAGES).performance is None


def test_a_reference_in_another_metric_is_no_reference(tmp_path) -> None:
    one = World(tmp_path, {"data": {"columns": COLUMNS}})
    one.champion(Echo("a"), metric="f1", value="0.9", value_low="0.8", value_high="0.95")
    one.arrive("new.csv", rows(80))
    report = one.through(*STAGES).performance
    assert (report.reference, report.reference_interval) == (None, None)


def test_a_run_is_logged_once_for_each_cycle_under_its_name(tmp_path) -> None:
    one = world(tmp_path, tracking={"monitoring_run": "Looking"})
    one.arrive("new.csv", rows(80))
    cycle = one.through(*STAGES)
    one.through("monitor", cycle=cycle)
    [((name, id), logged)] = one.ports.tracker.runs.items()
    assert (name, id) == ("Looking", cycle.id)
    assert logged["metrics"]["accuracy"] == 0.8


def test_a_champion_that_a_person_pointed_to_is_journalled_and_judged(tmp_path) -> None:
    one = world(tmp_path)
    one.ports.registry.aliases["champion"] = one.version(Always("no"))
    one.arrive("new.csv", rows(80))
    report = one.through(*STAGES).performance
    assert (report.champion, report.value) == ("2", 0.0)
    newest = one.ports.ledger.journal.entries("demo")[0]
    assert (newest.promotion.kind, newest.promotion.from_version, newest.promotion.to_version) == ("by_hand", "1", "2")
    assert newest.status == "done"


def test_an_older_champion_is_judged_on_the_features_it_was_trained_on(tmp_path) -> None:
    settings = {"data": {"columns": COLUMNS, "prepare": "features:prepare"}}
    one = World(tmp_path, settings, "def prepare(frame):\n    return frame[['a']]\n")
    one.champion(Echo("a"))
    one.arrive("first.csv", rows(80))
    assert one.run().performance.value == 0.8
    one.features = "def prepare(frame):\n    return frame[['a']].rename(columns={'a': 'renamed'})\n"
    one.ports.code = one.code()
    one.arrive("second.csv", rows(60, first=1000))
    assert one.through(*STAGES).performance.value == 0.6
