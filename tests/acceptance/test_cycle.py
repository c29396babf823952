"""Whole cycles through the Python interface: every outcome, every kind of data and of model, with a clock that is set by hand."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import keepfit
from keepfit.errors import DataError, Unavailable, UserCodeError
from keepfit.records import Action, BatchState, Conclusion, Cycle, Outcome
from keepfit.testing import SetClock
from keepfit.testing.memory_registry import MemoryRegistry, MemoryTracker

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # MLflow on SQLAlchemy 2.1

SETTINGS = """
[project]
name = "loop"
task = "{task}"

[data]
target = "y"
settle = "0s"
{data}

[train]
folds = 2
{train}

{candidates}

[promote]
resamples = 200
{promote}

[retrain]
{retrain}

[engine]
workers = 1
{more}
"""
LOGISTIC = '[[train.candidates]]\nestimator = "sklearn.linear_model.LogisticRegression"'
RIDGE = '[[train.candidates]]\nestimator = "sklearn.linear_model.Ridge"'


class Loop:
    """A project on disk whose registry lives in memory, so that a cycle takes a tenth of a second."""

    def __init__(self, folder: Path, features: str = "", *, registry: Any = True, **parts: str) -> None:
        defaults = dict.fromkeys(("data", "train", "promote", "retrain", "more"), "")
        task = parts.get("task", "classification")
        defaults |= {"task": task, "candidates": LOGISTIC if task == "classification" else RIDGE}
        self.folder, self.clock = folder, SetClock()
        (folder / "data/inbox").mkdir(parents=True, exist_ok=True)
        (folder / "keepfit.toml").write_text(SETTINGS.format_map(defaults | parts))
        if features:
            (folder / "features.py").write_text(features)
        self.registry = MemoryRegistry(now=self.clock.now)
        self._ports = {"registry": self.registry, "tracker": MemoryTracker()} if registry else {}

    def arrive(self, name: str, frame: pd.DataFrame) -> Path:
        path = self.folder / "data/inbox" / name
        writers: dict[str, Callable[..., Any]] = {
            ".csv": lambda: frame.to_csv(path, index=False),
            ".parquet": lambda: frame.to_parquet(path),
            ".jsonl": lambda: frame.to_json(path, orient="records", lines=True),
        }
        writers[path.suffix]()
        return path

    def run(self, *, flags: dict[str, Any] | None = None, days: float = 1, **options: Any) -> Cycle:
        self.clock.advance(days * 86_400)
        with keepfit.open(self.folder, clock=self.clock, flags=flags, **self._ports) as project:
            return project.run(**options)

    def project(self) -> Any:
        return keepfit.open(self.folder, clock=self.clock, **self._ports)

    def files(self, place: str) -> list[str]:
        return sorted(path.name for path in (self.folder / "data" / place).rglob("*") if path.suffix != ".json" and path.is_file())


def rows(count: int = 200, seed: int = 0, *, column: str = "x", noise: float = 0.3) -> pd.DataFrame:
    """A table in which one column says what y is, but for the noise."""
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": draw.normal(size=count), "z": draw.normal(size=count), "c": draw.choice(list("abc"), count)})
    frame["y"] = np.where(frame[column] + noise * draw.normal(size=count) > 0, "yes", "no")
    return frame


@pytest.fixture
def loop(tmp_path: Path) -> Loop:
    """With a champion."""
    made = Loop(tmp_path, retrain="floor = 0.8")
    made.arrive("first.csv", rows(400))
    assert made.run().outcome is Outcome.PROMOTED
    return made


# ---------------------------------------------------------------------------------------------------------------- outcomes


def test_the_first_data_makes_the_first_champion(tmp_path) -> None:
    loop = Loop(tmp_path)
    loop.arrive("first.csv", rows(400))
    cycle = loop.run()
    assert cycle.outcome is Outcome.PROMOTED
    assert cycle.decision.reasons == ("there is no champion yet",)
    assert (cycle.verdict.gate, cycle.verdict.champion, cycle.verdict.n) == ("first", None, 80)
    assert cycle.verdict.challenger > 0.85 > cycle.verdict.baseline
    assert (cycle.promotion.from_version, cycle.promotion.to_version) == (None, "1")
    assert (loop.files("inbox"), loop.files("archive")) == ([], ["first.csv"])
    assert cycle.archived == (cycle.batches[0].id,)
    assert cycle.candidate.rows == 320


def test_a_champion_that_does_well_is_left_alone(loop) -> None:
    loop.arrive("second.csv", rows(200, 1))
    cycle = loop.run()
    assert (cycle.outcome, cycle.decision.action) == (Outcome.HEALTHY, Action.NO_ACTION)
    assert (cycle.performance.n, cycle.performance.champion) == (200, "1")
    assert cycle.performance.interval.low < cycle.performance.value < cycle.performance.interval.high
    assert cycle.candidate is cycle.verdict is cycle.promotion is None
    assert loop.files("inbox") == ["second.csv"]


def test_below_the_floor_it_is_retrained_and_a_better_challenger_replaces_it(loop) -> None:
    loop.arrive("second.csv", rows(600, 1, column="z"))
    cycle = loop.run()
    assert cycle.outcome is Outcome.PROMOTED
    assert [signal.name for signal in cycle.decision.signals if signal.fired] == ["floor", "degradation"]
    verdict = cycle.verdict
    assert verdict.passed
    assert verdict.challenger > verdict.champion
    assert (verdict.test, verdict.n, verdict.champion_version) == ("mcnemar", 120, "1")
    assert verdict.p_value <= verdict.alpha
    assert verdict.interval.low > 0
    assert loop.registry.aliases == {"champion": "2"}
    assert loop.files("archive") == ["first.csv", "second.csv"]


def test_degradation_alone_retrains(tmp_path) -> None:
    loop = Loop(tmp_path)
    loop.arrive("first.csv", rows(400))
    loop.run()
    loop.arrive("second.csv", rows(400, 1, column="z"))
    cycle = loop.run()
    assert [signal.name for signal in cycle.decision.signals if signal.fired] == ["degradation"]
    assert cycle.candidate is not None


def test_a_challenger_that_is_not_better_is_rejected_and_the_same_rows_do_not_retrain_again(tmp_path) -> None:
    loop = Loop(tmp_path, promote='gate = "min_gain"\nmargin = 0.2', retrain="floor = 0.99")
    loop.arrive("first.csv", rows(400))
    loop.run()
    loop.arrive("second.csv", rows(200, 1))
    cycle = loop.run()
    assert (cycle.outcome, cycle.verdict.conclusion) == (Outcome.KEPT_CHAMPION, Conclusion.REJECTED)
    assert (loop.files("inbox"), loop.files("archive")) == (["second.csv"], ["first.csv"])
    for _ in range(3):
        again = loop.run()
        assert (again.outcome, again.candidate) == (Outcome.WAITING, None)
    assert len(loop.registry.versions) == 2
    loop.arrive("third.csv", rows(200, 2))  # new data tries again, and uses what waited
    later = loop.run()
    assert later.outcome is Outcome.KEPT_CHAMPION
    assert len(later.candidate.batches) == 3
    assert [batch.name for batch in later.earlier] == ["second.csv"]


def test_a_challenger_that_cannot_be_told_apart_is_inconclusive(tmp_path) -> None:
    loop = Loop(tmp_path, retrain="floor = 0.99")
    loop.arrive("first.csv", rows(400))
    loop.run()
    loop.arrive("second.csv", rows(200, 1))
    cycle = loop.run()
    assert (cycle.outcome, cycle.verdict.conclusion) == (Outcome.INCONCLUSIVE, Conclusion.INCONCLUSIVE)
    assert loop.registry.aliases == {"champion": "1"}


def test_a_small_holdout_is_inconclusive_and_says_how_many_rows_are_needed(tmp_path) -> None:
    loop = Loop(tmp_path)
    loop.arrive("first.csv", rows(60))
    cycle = loop.run()
    assert (cycle.outcome, cycle.promotion) == (Outcome.INCONCLUSIVE, None)
    assert cycle.reason == "too little evidence: 12 labelled holdout rows, 30 are needed"
    loop.arrive("second.csv", rows(200, 1))
    assert loop.run().outcome is Outcome.PROMOTED


def test_broken_data_is_an_alert_and_no_reason_to_retrain(loop) -> None:
    loop.arrive("second.csv", rows(200, 1).assign(x="north"))
    cycle = loop.run()
    assert (cycle.outcome, cycle.decision.action) == (Outcome.QUARANTINED, Action.ALERT)
    assert "x: expected" in cycle.reason
    assert loop.files("quarantine") == ["second.csv"]
    assert cycle.batches[0].state is BatchState.QUARANTINED
    assert len(loop.registry.versions) == 1


def test_too_few_files_wait_and_are_counted(tmp_path) -> None:
    loop = Loop(tmp_path, data="min_batches = 15")
    for n in range(11):
        loop.arrive(f"{n}.csv", rows(30, n))
    cycle = loop.run()
    assert (cycle.outcome, cycle.reason) == (Outcome.WAITING, "11 of 15 new batches have arrived")
    assert len(loop.files("inbox")) == 11
    for n in range(11, 15):
        loop.arrive(f"{n}.csv", rows(30, n))
    assert len(loop.run().batches) == 15


def test_waiting_again_and_again_leaves_one_line_in_the_history(loop) -> None:
    for _ in range(3):
        loop.run()
    with loop.project() as project:
        assert [cycle.outcome for cycle in project.history()] == [Outcome.WAITING, Outcome.PROMOTED]


def test_fewer_good_files_than_wanted_go_on_waiting(tmp_path) -> None:
    loop = Loop(tmp_path, data="min_batches = 3")
    loop.arrive("a.csv", rows(200))
    loop.arrive("b.csv", rows(200, 1))
    loop.arrive("c.csv", rows(200, 2).drop(columns="z"))
    cycle = loop.run()
    assert cycle.outcome is Outcome.QUARANTINED
    assert "2 of 3 good batches are left" in cycle.reason
    assert loop.run().outcome is Outcome.WAITING
    loop.arrive("d.csv", rows(200, 3))
    assert loop.run().outcome is Outcome.PROMOTED


def test_rows_without_labels_are_too_little_evidence_and_labels_that_come_later_count(loop) -> None:
    loop.arrive("second.csv", rows(200, 1, column="z").assign(y=""))
    cycle = loop.run()
    assert cycle.outcome is Outcome.HEALTHY
    assert (cycle.performance.value, cycle.performance.n, cycle.performance.rows) == (None, 0, 200)
    assert "too little evidence" in cycle.reason
    loop.arrive("second.csv", rows(600, 1, column="z"))
    assert loop.run().outcome is Outcome.PROMOTED


def test_one_class_only_fails_in_words_and_is_tried_again_with_more(tmp_path) -> None:
    loop = Loop(tmp_path)
    loop.arrive("first.csv", rows(200).assign(y="yes"))
    with pytest.raises(DataError, match="of one class, 'yes'"):
        loop.run()
    with loop.project() as project:
        assert project.cycle().outcome is Outcome.FAILED
    loop.arrive("second.csv", rows(400, 1))
    assert len(loop.run().candidate.batches) == 2


def test_force_trains_whatever_the_signals_say(loop) -> None:
    cycle = loop.run(force=True)
    assert cycle.forced
    assert cycle.decision.reasons[0] == "a retraining was asked for with --force"
    assert cycle.outcome in (Outcome.KEPT_CHAMPION, Outcome.INCONCLUSIVE)


def test_stages_can_be_run_one_by_one_and_come_to_the_same(tmp_path) -> None:
    whole, halting = Loop(tmp_path / "whole"), Loop(tmp_path / "halting")
    for each in (whole, halting):
        each.arrive("first.csv", rows(400))
    expected = whole.run()
    for stage in keepfit.project.NAMES:
        cycle = halting.run(until=stage)
        assert cycle.stage == stage
        assert (cycle.outcome is None) == (stage != "archive")
    assert (cycle.outcome, cycle.verdict, cycle.prepared, cycle.archived) == (
        expected.outcome,
        expected.verdict,
        expected.prepared,
        expected.archived,
    )
    assert cycle.candidate.content_hash == expected.candidate.content_hash


def test_a_dry_run_decides_the_same_and_changes_nothing(loop) -> None:
    loop.arrive("second.csv", rows(400, 1, column="z"))
    loop.arrive("broken.csv", rows(20, 2).drop(columns="z"))
    before = {path: path.read_bytes() for path in loop.folder.rglob("*") if path.is_file() and "ledger" not in path.name}
    rehearsed = loop.run(dry_run=True)
    after = {path: path.read_bytes() for path in loop.folder.rglob("*") if path.is_file() and "ledger" not in path.name}
    assert after == before
    with loop.project() as project:
        assert len(project.history()) == 1
    real = loop.run()
    assert (rehearsed.decision.action, rehearsed.performance.value) == (real.decision.action, real.performance.value)


def test_a_dry_run_works_after_a_person_has_moved_the_alias(loop) -> None:
    loop.arrive("second.csv", rows(600, 1, column="z"))
    loop.run()
    loop.registry.aliases["champion"] = "1"
    loop.arrive("third.csv", rows(200, 2))
    cycle = loop.run(dry_run=True)
    assert cycle.performance.champion == "1"
    with loop.project() as project:
        assert [entry.promotion.kind for entry in project.journal()] == ["promotion", "promotion"]


# ------------------------------------------------------------------------------------------------------------- what is used


def test_a_promotion_archives_what_was_trained_on_and_what_the_window_left_behind(tmp_path) -> None:
    loop = Loop(tmp_path, retrain='floor = 0.8\nwindow = "last 1"')
    loop.arrive("first.csv", rows(400))
    loop.run()
    loop.arrive("second.csv", rows(200, 1))
    assert loop.run().outcome is Outcome.HEALTHY
    loop.arrive("third.csv", rows(600, 2, column="z"))
    cycle = loop.run()
    assert cycle.outcome is Outcome.PROMOTED
    assert (loop.files("archive"), loop.files("inbox")) == (["first.csv", "second.csv", "third.csv"], [])
    assert cycle.candidate.batches == (cycle.batches[0].id,)
    assert cycle.archived == (cycle.earlier[0].id, cycle.batches[0].id)
    assert [batch.state for batch in (*cycle.earlier, *cycle.batches)] == [BatchState.ARCHIVED, BatchState.ARCHIVED]


def test_a_window_trains_on_the_latest_batches_only(tmp_path) -> None:
    loop = Loop(tmp_path, retrain='floor = 0.8\nwindow = "last 1"')
    loop.arrive("first.csv", rows(400))
    loop.run()
    loop.arrive("second.csv", rows(600, 2, column="z"))
    cycle = loop.run()
    assert (cycle.candidate.window, cycle.candidate.rows) == ("last 1", 480)


def test_neither_model_has_seen_the_rows_that_judge(tmp_path) -> None:
    """The trainer notes the rows it is given; none of them may be among the held-out ones of any cycle."""
    features = (
        "from pathlib import Path\nfrom sklearn.linear_model import LogisticRegression\n\n\n"
        "def train(features, target):\n"
        "    with (Path(__file__).parent / 'seen.txt').open('a') as file:\n"
        "        file.writelines(f'{x!r}\\n' for x in features['x'])\n"
        "    return LogisticRegression().fit(features, target)\n"
    )
    loop = Loop(tmp_path, features, train='function = "features:train"', retrain="floor = 0.99", candidates="")
    for n in range(3):
        loop.arrive(f"{n}.csv", rows(300, n, column="xz"[n % 2]).drop(columns="c"))
        cycle = loop.run()
        assert cycle.candidate.name == "features:train"
    trained_on = {float(line) for line in (tmp_path / "seen.txt").read_text().splitlines()}
    import polars as pl

    prepared = pl.concat([pl.read_parquet(path) for path in (tmp_path / ".keepfit/prepared").glob("rows-*.parquet")])
    held_out = set(prepared.filter(pl.col("__holdout"))["x"])
    assert len(held_out) == 180
    assert not held_out & trained_on
    assert trained_on == set(prepared.filter(~pl.col("__holdout"))["x"])


def test_the_same_project_run_twice_makes_the_same_model(tmp_path) -> None:
    forest = '[[train.candidates]]\nestimator = "sklearn.ensemble.RandomForestClassifier"\nparameters = { n_estimators = 10 }'
    hashes = set()
    for n in range(2):
        loop = Loop(tmp_path / str(n), candidates=forest)
        loop.arrive("first.csv", rows(300))
        hashes.add(loop.run().candidate.content_hash)
    assert len(hashes) == 1
    other = Loop(tmp_path / "other", candidates=forest, train="seed = 1")
    other.arrive("first.csv", rows(300))
    assert other.run().candidate.content_hash not in hashes


def test_data_of_three_formats_makes_one_training_set(tmp_path) -> None:
    loop = Loop(tmp_path)
    loop.arrive("a.csv", rows(200))
    loop.arrive("b.parquet", rows(200, 1))
    loop.arrive("c.jsonl", rows(200, 2))
    cycle = loop.run()
    assert (cycle.outcome, cycle.prepared.rows, cycle.prepared.columns) == (Outcome.PROMOTED, 600, ("x", "z", "c"))
    model = loop.registry.versions["1"].registration.trained.model
    assert model.classes_.tolist() == ["no", "yes"]


def test_a_failing_function_of_the_projects_leaves_the_files_new(tmp_path) -> None:
    loop = Loop(tmp_path, "def train(features, target):\n    return None\n", train='function = "features:train"', candidates="")
    loop.arrive("first.csv", rows(200))
    with pytest.raises((DataError, UserCodeError), match="features:train"):
        loop.run()
    with loop.project() as project:
        cycle = project.cycle()
        assert (cycle.outcome, project.status()["batches"]["new"]) == (Outcome.FAILED, 1)
    assert "train:" in cycle.reason


def test_what_does_not_answer_leaves_the_cycle_to_the_next_run(loop) -> None:
    loop.arrive("second.csv", rows(600, 1, column="z"))
    register = loop.registry.register

    def away(registration: Any) -> Any:
        raise Unavailable("the registry does not answer")

    loop.registry.register = away
    with pytest.raises(Unavailable):
        loop.run()
    with loop.project() as project:
        unfinished = project.cycle()
        assert (unfinished.stage, unfinished.outcome, project.status()["unfinished"]) == ("decide", None, True)
    loop.registry.register = register
    cycle = loop.run(resume=True)
    assert (cycle.id, cycle.started_at, cycle.outcome) == (unfinished.id, unfinished.started_at, Outcome.PROMOTED)


# ------------------------------------------------------------------------------------------------- with MLflow and real models


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables, made once."""
    from keepfit.adapters.mlflow_registry import MlflowRegistry

    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    assert MlflowRegistry(f"sqlite:///{path}", "e", "m", (), artifacts=path.parent).champion() is None
    return path


@pytest.fixture
def real(tmp_path: Path, database: Path) -> Iterator[Callable[..., Loop]]:
    """Makes a project whose registry is MLflow."""
    (tmp_path / ".keepfit").mkdir()
    shutil.copy(database, tmp_path / ".keepfit/mlflow.db")
    yield lambda *features, **parts: Loop(tmp_path, *features, registry=False, **parts)


def test_a_regression_is_judged_by_its_error(real) -> None:
    def numbers(count: int, seed: int, slope: float) -> pd.DataFrame:
        frame = rows(count, seed)
        return frame.assign(y=slope * frame["x"] + frame["z"] + 0.1 * np.random.default_rng(seed + 100).normal(size=count))

    loop = real(task="regression", retrain="floor = 0.5")
    loop.arrive("first.csv", numbers(400, 0, 2.0))
    first = loop.run()
    assert (first.outcome, first.verdict.greater_is_better) == (Outcome.PROMOTED, False)
    assert first.verdict.challenger < 0.2 < first.verdict.baseline
    loop.arrive("second.csv", numbers(400, 1, 2.0))
    assert loop.run().outcome is Outcome.HEALTHY
    loop.arrive("third.csv", numbers(800, 2, -2.0))
    second = loop.run()
    assert "floor" in [signal.name for signal in second.decision.signals if signal.fired]
    assert (second.verdict.difference > 0) == (second.verdict.challenger < second.verdict.champion)
    assert second.verdict.negative_flips is None


def test_texts_become_tf_idf(real) -> None:
    draw = np.random.default_rng(0)
    words = {"spam": ["win", "prize", "free", "claim"], "ham": ["lunch", "home", "later", "meeting"]}
    labels = draw.choice(["spam", "ham"], 300)
    texts = [
        " ".join([*draw.choice(words[label], 3), *draw.choice(["the", "a", "now", "ok", str(i)], 4)])
        for i, label in enumerate(labels)
    ]
    columns = '[data.columns]\nmessage = { type = "text" }\ny = { type = "category" }'
    loop = real(more=columns)
    loop.arrive("first.csv", pd.DataFrame({"message": texts, "y": labels}))
    cycle = loop.run()
    assert (cycle.outcome, cycle.prepared.columns) == (Outcome.PROMOTED, ("message",))
    assert cycle.verdict.challenger > 0.95
    with loop.project() as project:
        version, model = project.ports.registry.load("1")
    found = model.predict(pd.DataFrame({"message": ["free prize claim", "lunch at home later", None, ""]}))
    assert found.values[:2].tolist() == ["spam", "ham"]
    assert version.content_hash == cycle.candidate.content_hash


def test_a_lightgbm_booster_through_the_projects_own_function(real) -> None:
    pytest.importorskip("lightgbm")
    features = (
        "import lightgbm\n\n\n"
        "def train(features, target):\n"
        "    data = lightgbm.Dataset(features, label=(target == 'yes').astype(int))\n"
        "    settings = {'objective': 'binary', 'verbosity': -1, 'num_threads': 1, 'seed': 1, 'deterministic': True}\n"
        "    booster = lightgbm.train(settings, data, num_boost_round=20)\n"
        "    booster.classes_ = ('no', 'yes')\n"
        "    return booster\n"
    )
    loop = real(features, train='function = "features:train"', candidates="", retrain="floor = 0.8")
    loop.arrive("first.csv", rows(400).drop(columns="c"))
    first = loop.run()
    assert first.outcome is Outcome.PROMOTED
    assert first.verdict.challenger > 0.8
    loop.arrive("second.csv", rows(800, 1, column="z").drop(columns="c"))
    second = loop.run()
    assert (second.outcome, second.verdict.champion_version) == (Outcome.PROMOTED, "1")


def test_a_search_over_two_candidates_keeps_its_scores_with_the_version(real) -> None:
    two = (
        LOGISTIC
        + '\nsearch = { estimator__C = [0.001, 1.0] }\n[[train.candidates]]\nname = "guess"\n'
        + ('estimator = "sklearn.dummy.DummyClassifier"')
    )
    loop = real(candidates=two)
    loop.arrive("first.csv", rows(300))
    cycle = loop.run()
    assert [score.name for score in cycle.candidate.scores] == ["LogisticRegression", "LogisticRegression", "guess"]
    assert (cycle.candidate.name, cycle.outcome) == ("LogisticRegression", Outcome.PROMOTED)
    assert cycle.candidate.scores[2].score < max(score.score for score in cycle.candidate.scores)
