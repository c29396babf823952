"""The stem template: what its features mean, that its contract takes every real file and no garbage, and that the old forest
fails where the template says it does."""

from __future__ import annotations

import datetime
import importlib.util
import io
import os
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.ensemble import RandomForestClassifier

from keepfit.adapters.pandera_checks import PanderaChecks
from keepfit.config import load
from keepfit.contract import conform, without_blank_rows
from keepfit.ports import Look

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "src/keepfit/templates/stem"
NOON = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)
CONFIG = load(FOLDER, environment={})
DATA = Path(os.environ.get("KEEPFIT_DATA", ROOT.parent / "shared/data")) / "stem"
FIRST = datetime.date(2026, 1, 1)

real = pytest.mark.skipif(not DATA.is_dir(), reason=f"the real stem files are not in {DATA}")


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"stem_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


features, generator = _module("features"), _module("generator")


def track(number: int, x: list[float], area: list[float], frames: list[int]) -> pd.DataFrame:
    return pd.DataFrame({"object_id": number, "centroids_x": x, "centroids_y": 0.0, "area": area, "frames": frames})


def read(content: bytes) -> tuple[pl.DataFrame, list[object]]:
    """A CSV file as its contract promises it, and what is wrong with it."""
    raw = pl.read_csv(io.BytesIO(content), infer_schema=False)
    named = raw.rename({name: CONFIG.data.rename[name] for name in raw.columns if name in CONFIG.data.rename})
    typed, findings = conform(without_blank_rows(named), CONFIG.data.columns)
    checked = PanderaChecks().check(typed, CONFIG.data.columns, Look(name="", now=NOON))
    return typed, [*findings, *(fault.finding for fault in checked.faults)]


def objects(content: bytes) -> pd.DataFrame:
    """Prepared objects with the majority of their labels as `truth`."""
    frame = read(content)[0].to_pandas()
    truth = frame.pop("ground_truth").map(CONFIG.data.labels).groupby(frame["object_id"]).agg(lambda labels: labels.mode().iloc[0])
    prepared = features.prepare(frame)
    return prepared.assign(truth=prepared["object_id"].map(truth))


def forest(files: list[pd.DataFrame]) -> RandomForestClassifier:
    rows = pd.concat(files)
    return RandomForestClassifier(60, max_depth=10, random_state=0).fit(rows[features.FEATURES], rows["truth"])


def error(model: RandomForestClassifier, files: list[pd.DataFrame]) -> float:
    each = [features.mean_error(rows.assign(predicted=model.predict(rows[features.FEATURES]))) for rows in files]
    return float(np.mean([value for value in each if value is not None]))


def made(day: int, **options: object) -> bytes:
    frame = generator.simulate(FIRST + datetime.timedelta(days=day), CONFIG.simulate.seed, **options)
    return frame.to_csv(index=False).encode()


# ------------------------------------------------------------------------------------------------------------ features


def test_each_feature_is_what_its_description_says_in_multiples_of_the_files_median() -> None:
    frame = pd.concat(
        [
            track(1, [0, 10, 20], [0, 100, 100], [0, 1, 2]),  # 10 pixels a frame, no spread
            track(2, [0, 20, 40], [0, 100, 300], [5, 6, 7]),  # 20 pixels a frame, spread 100 of 200
            track(3, [0, 90], [0, 500], [0, 2]),  # 45 pixels a frame, lost once in three frames
        ]
    )
    rows = features.prepare(frame).set_index("object_id")
    assert rows["speed"].tolist() == [0.5, 1.0, 2.25]
    assert rows["distance"].tolist() == [0.5, 1.0, 2.25]
    assert rows["area_spread"].tolist() == [0.0, 100.0, 0.0]  # most have none: a median of 0 divides nothing
    assert rows["area_spread_adjusted"].tolist() == [0.0, 0.5, 0.0]
    assert rows["frames_adjusted"].tolist() == [1.0, 1.0, pytest.approx(2 / 3)]


def test_another_resolution_changes_no_feature() -> None:
    frame = read(made(0))[0].to_pandas()
    larger = frame.assign(centroids_x=frame["centroids_x"] * 3, centroids_y=frame["centroids_y"] * 3, area=frame["area"] * 9)
    pd.testing.assert_frame_equal(features.prepare(frame), features.prepare(larger))


def test_the_order_of_the_rows_does_not_matter() -> None:
    frame = read(made(1))[0].to_pandas()
    pd.testing.assert_frame_equal(features.prepare(frame), features.prepare(frame.sample(frac=1, random_state=0)))


def test_an_object_seen_once_and_one_never_measured_have_finite_features() -> None:
    frame = pd.concat([track(1, [5], [0], [3]), track(2, [0, 9], [0, 0], [0, 1])])
    assert np.isfinite(features.prepare(frame).to_numpy()).all()


def test_each_object_has_one_row_and_only_features_beside_its_name() -> None:
    frame = read(made(2))[0].to_pandas()
    rows = features.prepare(frame)
    assert rows.columns.tolist() == ["object_id", *features.FEATURES]
    assert sorted(rows["object_id"]) == sorted(frame["object_id"].unique())


# -------------------------------------------------------------------------------------------------------------- metric


def judged(*rows: tuple[int, str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["object_id", "truth", "predicted"])


def test_the_error_is_that_of_the_count_so_two_opposite_mistakes_cancel() -> None:
    rows = judged((1, "positive", "negative"), (2, "negative", "positive"), (3, "positive", "positive"))
    assert features.mean_error(rows) == 0
    assert features.mean_error(rows[:1]) == 100


def test_it_counts_objects_by_majority_and_not_rows() -> None:
    one = [(1, "positive", predicted) for predicted in ("positive", "positive", "negative")]
    two = [(2, "positive", predicted) for predicted in ("negative", "negative", "positive")]
    assert features.mean_error(judged(*one, *two)) == 50


def test_a_file_without_true_objects_has_no_error() -> None:
    assert features.mean_error(judged((1, "negative", "positive"))) is None


def test_the_projects_own_training_predicts_classes() -> None:
    rows = objects(made(0))
    model = features.train(rows[features.FEATURES], rows["truth"])
    assert set(model.predict(rows[features.FEATURES])) <= {"positive", "negative"}


# ------------------------------------------------------------------------------------------------------------ contract


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("scores", "1.7"),
        ("scores", "-0.1"),
        ("frames", "-1"),
        ("frames", "12.5"),
        ("area", "-3"),
        ("area", "1e12"),
        ("centroids_x", "99999"),
        ("centroids_y", ""),
        ("object_id", "abc"),
        ("aspect_ratio", "-2"),
        ("aspect_ratio", "inf"),
        ("counted", "maybe"),
    ],
)
def test_garbage_in_a_cell_is_found(column: str, cell: str) -> None:
    frame = generator.simulate(FIRST, 7).rename(columns=CONFIG.data.rename)
    frame.loc[3, column] = cell
    assert {finding.column for finding in read(frame.to_csv(index=False).encode())[1]} == {column}


@real
def test_the_contract_takes_every_real_file_and_knows_every_label() -> None:
    files = sorted(DATA.glob("*.csv"))
    assert len(files) == 38
    for path in files:
        frame, findings = read(path.read_bytes())
        assert findings == [], path.name
        assert set(frame["ground_truth"].drop_nulls()) <= set(CONFIG.data.labels), path.name
        assert np.isfinite(features.prepare(frame.to_pandas()).to_numpy()).all(), path.name


@real
def test_on_the_real_files_an_old_forest_fails_on_the_new_ones_and_a_retrained_one_does_better() -> None:
    files = {int(path.stem): objects(path.read_bytes()) for path in DATA.glob("*.csv")}
    old = [rows for number, rows in sorted(files.items()) if number < 30]
    new = [rows for number, rows in sorted(files.items()) if number >= 30]
    champion = forest(old)
    assert error(champion, old) < CONFIG.retrain.floor < error(champion, new)
    challenger = forest([*old, *new[::2]])
    assert error(challenger, new[1::2]) < error(champion, new[1::2])


# ----------------------------------------------------------------------------------------------------------- generator


def test_the_same_day_is_the_same_file_and_other_days_and_seeds_are_others() -> None:
    assert made(5) == made(5)
    assert made(5) != made(6)
    assert not generator.simulate(FIRST, 1).equals(generator.simulate(FIRST, 2))


def test_made_up_files_keep_the_contract_and_are_as_messy_as_real_ones() -> None:
    contents = [made(day, covariate_drift="2026-01-20") for day in range(40)]
    for content in contents:
        frame, findings = read(content)
        assert findings == []
        assert set(frame["ground_truth"].drop_nulls()) <= set(CONFIG.data.labels)
    assert any(b"+AF8-" in content for content in contents)
    assert any(b"\n,,,,,,,," in content for content in contents)
    assert any(b"True Positive" in content for content in contents)
    assert any(read(content)[0]["ground_truth"].null_count() for content in contents)
    assert any(b"e+1" in content for content in contents)


def test_an_old_forest_fails_among_weeds_and_one_that_has_met_them_does_not() -> None:
    files = [objects(made(day, covariate_drift=datetime.date(2026, 1, 16))) for day in range(30)]
    champion, challenger = forest(files[:11]), forest([*files[:11], *files[15:26]])
    held_out = files[26:]
    assert error(champion, files[11:15]) < CONFIG.retrain.floor < error(champion, held_out)
    assert error(challenger, held_out) < error(champion, held_out) - CONFIG.promote.margin
