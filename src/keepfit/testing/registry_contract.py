"""What every registry and tracker must do, as tests.

    class TestMine(RegistryContract):
        @pytest.fixture
        def open_registry(self, tmp_path):
            return lambda: MyRegistry(tmp_path)

`open_registry` opens the same registry each time it is called, and a test gets an empty one.
"""

# ruff: noqa: S101  # these are tests, shipped so that other people's registries can run them

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from keepfit.errors import AliasMoved, DataError, NotFound
from keepfit.ports import References, Registration, Registry, Tracker, Trained
from keepfit.versions import REFERENCE_PATH, Tag, reference_bytes


def registration(cycle: str, model: Any = None, **changes: Any) -> Registration:
    """A small registration for tests; by default a classifier of text and numbers."""
    frame = rows()
    trained = Trained(model=model or classifier(), name="logistic", parameters={"C": "1"}, window="all", rows=len(frame), scores=())
    whole = Registration(
        cycle=cycle,
        trained=trained,
        features=frame[["text", "size"]].head(5),
        reference=pl.from_pandas(frame),
        parameters={"C": "1"},
        metrics={"f1": 0.5, "undefined": float("nan")},
        tags={Tag.CODE: "abc", "keepfit.data": "0123"},
        files={"code/features.py": "def prepare(frame): ...\n"},
    )
    return replace(whole, **changes)


def rows() -> pd.DataFrame:
    generator = np.random.default_rng(7)
    label = generator.choice(["ham", "spam"], 60)
    return pd.DataFrame(
        {
            "text": [
                ("win money now" if name == "spam" else "see you later") + f" {number % 5}" for number, name in enumerate(label)
            ],
            "size": generator.normal(size=60) + (label == "spam"),
            "label": label,
        }
    )


def classifier(regularisation: float = 1.0) -> Any:
    from sklearn.compose import make_column_transformer
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    frame = rows()
    columns = make_column_transformer((TfidfVectorizer(), "text"), (StandardScaler(), ["size"]))
    return make_pipeline(columns, LogisticRegression(C=regularisation)).fit(frame[["text", "size"]], frame["label"])


class RegistryContract:
    """Checks of a `Registry`."""

    @pytest.fixture
    def open_registry(self) -> Callable[[], Registry]:
        raise NotImplementedError("say how to open your registry")

    @pytest.fixture
    def registry(self, open_registry: Callable[[], Registry]) -> Registry:
        return open_registry()

    def test_an_empty_registry_has_no_champion(self, registry: Registry) -> None:
        assert registry.champion() is None

    def test_a_registered_model_is_whole_and_predicts_what_the_trained_one_does(
        self, registry: Registry, open_registry: Callable[[], Registry]
    ) -> None:
        made = registry.register(registration("c1"))
        assert (made.version, made.cycle, made.code, made.outside) == ("1", "c1", "abc", False)
        assert made.run_id
        assert made.trained_at is not None and made.trained_at.tzinfo is not None
        version, model = open_registry().load("1")
        assert version == made
        frame = rows()[["size", "text"]]
        predictions = model.predict(frame)
        assert list(predictions.values) == list(classifier().predict(frame))
        assert predictions.classes == ("ham", "spam")
        assert predictions.probabilities is not None
        assert predictions.probabilities.shape == (60, 2)
        assert np.allclose(predictions.probabilities.sum(axis=1), 1)

    def test_registering_does_not_move_the_alias(self, registry: Registry) -> None:
        registry.register(registration("c1"))
        assert registry.champion() is None

    def test_a_cycle_registers_once(self, registry: Registry, open_registry: Callable[[], Registry]) -> None:
        first = registry.register(registration("c1"))
        assert registry.register(registration("c1")) == first
        assert open_registry().register(registration("c1")) == first
        assert registry.register(registration("c2")).version == "2"

    def test_equal_models_have_equal_hashes_and_others_do_not(self, registry: Registry) -> None:
        same = {registry.register(registration(cycle)).content_hash for cycle in ("c1", "c2")}
        assert len(same) == 1
        assert None not in same
        assert registry.register(registration("c3", classifier(0.1))).content_hash not in same

    def test_a_regression_predicts_numbers(self, registry: Registry) -> None:
        from sklearn.linear_model import LinearRegression

        frame = rows()[["size"]]
        model = LinearRegression().fit(frame, frame["size"] * 2)
        registry.register(registration("c1", model, features=frame.head(3)))
        predictions = registry.load("1")[1].predict(frame)
        assert predictions.probabilities is None
        assert predictions.values.dtype == float
        assert np.allclose(predictions.values, frame["size"] * 2)

    def test_a_model_says_which_columns_it_misses(self, registry: Registry) -> None:
        registry.register(registration("c1"))
        with pytest.raises(DataError, match="size"):
            registry.load("1")[1].predict(rows()[["text"]])

    def test_the_alias_makes_the_champion(self, registry: Registry, open_registry: Callable[[], Registry]) -> None:
        made = registry.register(registration("c1"))
        registry.point("champion", None, "1")
        assert registry.champion() == made
        assert open_registry().champion() == made

    def test_the_alias_moves_only_from_where_it_was_expected(self, registry: Registry) -> None:
        for cycle in ("c1", "c2", "c3"):
            registry.register(registration(cycle))
        registry.point("champion", None, "1")
        for expected in (None, "2"):
            with pytest.raises(AliasMoved, match=r"champion.*1"):
                registry.point("champion", expected, "3")
        assert registry.champion() is not None
        assert getattr(registry.champion(), "version", None) == "1"
        registry.point("champion", "1", "2")
        registry.point("champion", "1", "2")  # found
        assert getattr(registry.champion(), "version", None) == "2"
        with pytest.raises(AliasMoved):
            registry.point("archive", "1", "2")

    def test_what_is_not_there_is_not_found(self, registry: Registry) -> None:
        registry.register(registration("c1"))
        for version in ("2", "0", "latest", "9" * 26):
            with pytest.raises(NotFound):
                registry.load(version)
            with pytest.raises(NotFound):
                registry.point("champion", None, version)
            with pytest.raises(NotFound):
                registry.annotate(version, {}, {"a": "b"})
        assert registry.champion() is None

    def test_annotations_are_read_back_and_may_be_repeated(self, registry: Registry) -> None:
        registry.register(registration("c1"))
        tags: Mapping[str, str] = {Tag.METRIC: "f1", Tag.VALUE: "0.875", "verdict": 'it\'s "better", 100 %'}
        for _ in range(2):
            registry.annotate("1", {"holdout_f1": 0.875, "lost": float("inf")}, tags)
        version, _ = registry.load("1")
        assert (version.metric, version.reference) == ("f1", 0.875)


class ReferencesContract:
    """Checks of `References` beside the `Registry` they belong to."""

    @pytest.fixture
    def open_both(self) -> Callable[[], tuple[Registry, References]]:
        raise NotImplementedError("say how to open your registry and its references")

    def test_what_was_registered_comes_back(self, open_both: Callable[[], tuple[Registry, References]]) -> None:
        profile = '{"schema": 1, "text": "€ \\u2028"}'
        open_both()[0].register(registration("c1", profile=lambda model: profile + str(len(model.predict(rows()).values))))
        references = open_both()[1]
        assert references.profile("1") == profile + "60"
        found = references.rows("1")
        assert found is not None
        assert found.equals(pl.from_pandas(rows()))

    def test_a_version_without_a_profile_has_none(self, open_both: Callable[[], tuple[Registry, References]]) -> None:
        open_both()[0].register(registration("c1"))
        assert open_both()[1].profile("1") is None

    def test_what_was_stored_with_a_version_is_fetched_byte_for_byte(
        self, open_both: Callable[[], tuple[Registry, References]], tmp_path: Path
    ) -> None:
        registered = registration("c1")
        open_both()[0].register(registered)
        references = open_both()[1]
        for path, text in registered.files.items():
            assert references.fetch("1", path, tmp_path / "files")
            assert (tmp_path / "files" / path).read_text(encoding="utf-8") == text
        assert references.fetch("1", REFERENCE_PATH, tmp_path)
        assert (tmp_path / REFERENCE_PATH).read_bytes() == reference_bytes(registered.reference)
        assert references.fetch("1", REFERENCE_PATH.partition("/")[0], tmp_path / "folder")
        assert (tmp_path / "folder" / REFERENCE_PATH).is_file()
        assert not references.fetch("1", "code/no_such_file.py", tmp_path)

    def test_a_version_that_is_not_there_is_not_found(
        self, open_both: Callable[[], tuple[Registry, References]], tmp_path: Path
    ) -> None:
        open_both()[0].register(registration("c1"))
        for version in ("2", "latest", "9" * 26):
            with pytest.raises(NotFound):
                open_both()[1].profile(version)
            with pytest.raises(NotFound):
                open_both()[1].rows(version)
            with pytest.raises(NotFound):
                open_both()[1].fetch(version, REFERENCE_PATH, tmp_path)


class TrackerContract:
    """Checks of a `Tracker`."""

    @pytest.fixture
    def open_tracker(self) -> Callable[[], Tracker]:
        raise NotImplementedError("say how to open your tracker")

    def test_a_run_is_recorded_once_for_each_name_and_cycle(self, open_tracker: Callable[[], Tracker]) -> None:
        tracker = open_tracker()
        parameters, metrics = {"rows": "10"}, {"accuracy": 0.5, "undefined": float("nan")}
        first = tracker.record("Monitoring", "c1", parameters, metrics)
        assert first
        assert tracker.record("Monitoring", "c1", parameters, metrics) == first
        assert open_tracker().record("Monitoring", "c1", {}, {}) in {first}
        others = {tracker.record("Monitoring", "c2", {}, {}), tracker.record("Comparison", "c1", {}, {}), first}
        assert len(others) == 3
