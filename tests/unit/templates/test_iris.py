"""The iris template: the flowers that scikit-learn has, made-up ones like them, and a garden in which they grow differently."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from keepfit.adapters.project_code import FolderCode
from keepfit.templates import copy_template

DAY = datetime.date(2026, 1, 1)
MEASURED = ["sepal_length", "sepal_width", "petal_length", "petal_width"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("iris") / "flowers"
    copy_template("iris", folder)
    return folder


@pytest.fixture
def code(project: Path, tmp_path: Path) -> Iterator[FolderCode]:
    return FolderCode(project, {"simulate": "generator:simulate"}, tmp_path)


def test_the_first_file_is_there_with_the_species_by_name(project: Path) -> None:
    flowers = pd.read_csv(project / "data/new/iris.csv")
    assert list(flowers.columns) == [*MEASURED, "species"]
    assert flowers["species"].value_counts().to_dict() == {"setosa": 50, "versicolor": 50, "virginica": 50}
    assert flowers.loc[0].tolist() == [5.1, 3.5, 1.4, 0.2, "setosa"]


def test_a_day_is_the_same_each_time_and_looks_like_the_known_flowers(code: FolderCode, project: Path) -> None:
    day = code.call("simulate", DAY, 7)
    assert day.equals(code.call("simulate", DAY, 7))
    assert not day.equals(code.call("simulate", DAY, 8))
    known = pd.read_csv(project / "data/new/iris.csv")
    several = pd.concat([code.call("simulate", DAY + datetime.timedelta(i), 7) for i in range(5)])
    apart = (several.groupby("species")[MEASURED].mean() - known.groupby("species")[MEASURED].mean()).abs()
    assert apart.to_numpy().max() < 0.15
    assert (several[MEASURED] >= 0.1).to_numpy().all()


def test_from_its_date_on_petals_are_larger(code: FolderCode) -> None:
    plain = code.call("simulate", DAY, 7)
    assert code.call("simulate", DAY, 7, covariate_drift="2026-01-02").equals(plain)
    grown = code.call("simulate", DAY, 7, covariate_drift="2026-01-01")
    assert (grown["petal_length"] > plain["petal_length"]).all()
    assert grown["species"].equals(plain["species"])


def test_a_broken_day_is_in_millimetres(code: FolderCode) -> None:
    assert code.call("simulate", DAY, 7, broken=["2026-01-01"])["sepal_length"].min() > 20
