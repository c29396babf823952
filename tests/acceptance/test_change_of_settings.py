"""What a person changes between two cycles (features, groups, functions, the alias) neither breaks the loop nor its promises."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import keepfit
from keepfit.records import BatchState, Cycle, Outcome
from keepfit.testing import SetClock
from keepfit.testing.memory_registry import MemoryRegistry, MemoryTracker

TOML = """
[project]
name = "loop"
task = "classification"
[data]
target = "y"
settle = "0s"
{data}
[data.columns]
x = {{ type = "number" }}
z = {{ type = "number" }}
leak = {{ type = "number", feature = {leak} }}
customer = {{ type = "category", feature = false }}
y = {{ type = "category", values = ["no", "yes"] }}
[train]
folds = 2
[[train.candidates]]
estimator = "sklearn.linear_model.LogisticRegression"
[promote]
resamples = 200
gate = "greater"
[engine]
workers = 1
"""


class Loop:
    """A project on disk with a registry in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, SetClock()
        self.registry = MemoryRegistry(now=self.clock.now)
        (folder / "data/inbox").mkdir(parents=True)

    def set(self, *, data: str = "", leak: str = "true", features: str = "") -> None:
        (self.folder / "keepfit.toml").write_text(TOML.format(data=data, leak=leak))
        if features:
            (self.folder / "features.py").write_text(features)

    def arrive(self, name: str, frame: pd.DataFrame) -> None:
        frame.to_csv(self.folder / "data/inbox" / name, index=False)

    def run(self, **options: Any) -> Cycle:
        self.clock.advance(86_400)
        ports = {"registry": self.registry, "tracker": MemoryTracker()}
        with keepfit.open(self.folder, clock=self.clock, **ports) as project:
            return project.run(**options)

    def prepared(self, *cycles: Cycle) -> pl.DataFrame:
        """The prepared rows of the batches of these cycles, as the last of them prepared them."""
        assert cycles[-1].prepared is not None
        names = [f"rows-{batch.id}-{cycles[-1].prepared.fingerprint}.parquet" for cycle in cycles for batch in cycle.batches]
        return pl.concat([pl.read_parquet(self.folder / ".keepfit/prepared" / name) for name in names], how="diagonal_relaxed")


def rows(count: int = 300, seed: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": draw.normal(size=count), "z": draw.normal(size=count)})
    frame["y"] = np.where(frame["x"] + 0.5 * draw.normal(size=count) > 0, "yes", "no")
    frame["leak"] = (frame["y"] == "yes") * 1.0
    frame["customer"] = [f"c{number}" for number in draw.integers(0, 60, count)]
    return frame


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    """With a champion that uses every column."""
    made = Loop(tmp_path)
    made.set()
    made.arrive("first.csv", rows())
    assert made.run().outcome is Outcome.PROMOTED
    yield made


def test_a_champion_whose_column_is_no_feature_any_more_is_still_judged_on_it(loop: Loop) -> None:
    loop.set(leak="false")
    loop.arrive("second.csv", rows(seed=1))
    cycle = loop.run(force=True)
    assert cycle.performance is not None and cycle.performance.value == 1.0
    assert cycle.prepared is not None and "leak" not in cycle.prepared.columns
    assert cycle.verdict is not None and cycle.verdict.champion == 1.0
    assert cycle.outcome is Outcome.KEPT_CHAMPION


def test_a_champion_that_cannot_be_judged_is_an_alert_and_blocks_nothing(loop: Loop) -> None:
    loop.set(leak="false")
    for kept in (loop.folder / ".keepfit/prepared").glob("settings-*"):
        kept.unlink()
    loop.arrive("second.csv", rows(seed=1))
    cycle = loop.run()
    assert cycle.outcome is Outcome.ALERTED
    assert "version 1 cannot be judged: the features that it was trained on can no longer be made here" in cycle.reason
    assert cycle.performance is not None and cycle.performance.value is None
    loop.arrive("third.csv", rows(seed=2))
    forced = loop.run(force=True)
    assert forced.outcome is Outcome.INCONCLUSIVE
    assert "keepfit promote" in forced.reason
    assert forced.verdict is not None and forced.verdict.champion is None
    assert loop.registry.aliases == {"champion": "1"}


def test_nothing_is_promoted_over_a_champion_whose_features_mean_something_else_now(tmp_path: Path) -> None:
    """The column is there under its name, so that the old model would give numbers, and wrong ones."""
    loop = Loop(tmp_path)
    loop.set(data='prepare = "features:prepare"', leak="false", features="def prepare(frame):\n    return frame[['x', 'z']]\n")
    loop.arrive("first.csv", rows())
    assert loop.run().outcome is Outcome.PROMOTED
    for kept in (tmp_path / ".keepfit/prepared").glob("settings-*"):
        kept.unlink()
    loop.set(data='prepare = "features:prepare"', leak="false", features="def prepare(frame):\n    return -frame[['x', 'z']]\n")
    loop.arrive("second.csv", rows(seed=1))
    assert loop.run().outcome is Outcome.ALERTED
    loop.arrive("third.csv", rows(seed=2))
    assert loop.run(force=True).outcome is Outcome.INCONCLUSIVE
    assert loop.registry.aliases == {"champion": "1"}


@pytest.mark.parametrize("change", [{"leak": "false"}, {"data": 'id = "customer"'}])
def test_equal_rows_keep_their_side_when_the_features_change(loop: Loop, change: dict[str, str]) -> None:
    loop.set(**change)
    loop.arrive("again.csv", pd.concat([rows(), rows(50, seed=9)]))
    loop.run(force=True)
    splits = [pl.read_parquet(path) for path in (loop.folder / ".keepfit/prepared").glob("split-*.parquet")]
    both = pl.concat(splits).group_by("key").agg(pl.col("holdout").n_unique().alias("sides"))
    assert len(splits) == 2
    assert both.filter(pl.col("sides") > 1).is_empty()


def test_a_group_of_which_rows_have_trained_does_not_judge_later(loop: Loop) -> None:
    before = pl.read_parquet(next((loop.folder / ".keepfit/prepared").glob("rows-*.parquet")))
    trained = set(rows()["customer"][(~before["__holdout"]).to_numpy()])
    loop.set(data='group = "customer"')
    loop.arrive("second.csv", rows(seed=1))
    cycle = loop.run(force=True)
    new = loop.prepared(cycle)
    judges = set(new.filter(pl.col("__holdout"))["__group"])
    assert not judges & trained


def test_a_column_that_is_no_feature_stays_out_whatever_prepare_returns(tmp_path: Path) -> None:
    loop = Loop(tmp_path)
    loop.set(
        data='prepare = "features:prepare"', leak="false", features="def prepare(frame):\n    return frame.assign(w=frame.x)\n"
    )
    loop.arrive("first.csv", rows())
    cycle = loop.run()
    assert cycle.prepared is not None
    assert sorted(cycle.prepared.columns) == ["w", "x", "z"]


def test_a_module_that_the_features_import_counts_as_code(tmp_path: Path) -> None:
    loop = Loop(tmp_path)
    features = "from factors import FACTOR\n\ndef prepare(frame):\n    return frame.assign(w=frame.x * 0 + FACTOR)\n"
    loop.set(data='prepare = "features:prepare"', features=features)
    (tmp_path / "factors.py").write_text("FACTOR = 1.0\n")
    loop.arrive("first.csv", rows())
    first = loop.run()
    (tmp_path / "factors.py").write_text("FACTOR = 777.0\n")
    loop.arrive("second.csv", rows(seed=1))
    second = loop.run(force=True)
    assert first.provenance is not None and second.provenance is not None
    assert first.provenance.code != second.provenance.code
    assert loop.prepared(first, second)["w"].unique().to_list() == [777.0]
    assert second.candidate is not None
    assert "code/factors.py" in self_files(loop.registry, second.candidate.version)


def self_files(registry: MemoryRegistry, version: str) -> set[str]:
    return set(registry.versions[version].registration.files)


def test_force_counts_for_a_cycle_that_is_resumed(loop: Loop) -> None:
    loop.arrive("second.csv", rows(seed=1))
    assert loop.run(until="prepare").outcome is None
    assert loop.run(dry_run=True).decision is not None
    cycle = loop.run(force=True)
    assert cycle.forced
    assert cycle.candidate is not None


def test_unlabelled_batches_wait_while_labelled_ones_are_archived(loop: Loop) -> None:
    loop.arrive("second.csv", rows(seed=1))
    loop.arrive("unlabelled.csv", rows(seed=2).assign(y=None))
    loop.set(leak="true", data="")
    cycle = loop.run(force=True)
    states = {batch.name: batch.state for batch in cycle.batches}
    expected = BatchState.ARCHIVED if cycle.outcome is Outcome.PROMOTED else BatchState.JUDGED
    assert states == {"second.csv": expected, "unlabelled.csv": BatchState.JUDGED}


def test_an_error_after_the_alias_has_moved_leaves_the_cycle_to_be_finished(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Loop(loop.folder / "other")
    other.set()
    other.arrive("first.csv", rows())
    point = other.registry.point

    def fails(*arguments: Any) -> None:
        point(*arguments)
        raise RuntimeError("the connection broke")

    monkeypatch.setattr(other.registry, "point", fails)
    with pytest.raises(RuntimeError):
        other.run()
    monkeypatch.setattr(other.registry, "point", point)
    cycle = other.run()
    assert cycle.outcome is Outcome.PROMOTED
    assert (other.folder / "data/archive/first.csv").exists()
    assert list(other.registry.versions) == ["1"]


def test_a_label_that_nobody_has_named_is_a_fault_of_its_file(loop: Loop) -> None:
    odd = rows(seed=1)
    odd.loc[:50, "y"] = "yess"
    loop.arrive("odd.csv", odd)
    cycle = loop.run()
    assert cycle.outcome is Outcome.QUARANTINED
    assert "yess" in cycle.reason


def test_a_withdrawn_alias_is_a_decision_that_only_force_overrides(loop: Loop) -> None:
    loop.registry.aliases.clear()
    loop.arrive("second.csv", rows(seed=1))
    assert loop.run().outcome is Outcome.ALERTED
    assert loop.registry.champion() is None
    assert loop.run(force=True).outcome is Outcome.PROMOTED
