"""Caps are learned from the rows of fit alone, keep what is missing missing, and behave as scikit-learn expects of a step."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

from keepfit.steps import CapOutliers

NAN = float("nan")


@parametrize_with_checks([CapOutliers()])
def test_scikit_learns_own_checks_pass(estimator, check) -> None:
    check(estimator)


def test_what_lies_beyond_the_fences_is_drawn_back_to_them() -> None:
    caps = CapOutliers(factor=1.5).fit([[1.0], [2.0], [3.0], [4.0], [5.0]])
    assert caps.lower_.tolist() == [-1.0]
    assert caps.upper_.tolist() == [7.0]
    assert caps.transform([[-50.0], [2.5], [50.0]]).ravel().tolist() == [-1.0, 2.5, 7.0]


def test_the_fences_come_from_fit_and_not_from_what_is_transformed() -> None:
    caps = CapOutliers().fit(np.arange(100.0).reshape(-1, 1))
    assert (caps.transform(np.full((50, 1), 1e6)) == caps.upper_).all()


def test_missing_values_are_left_out_at_fit_and_stay_missing() -> None:
    whole = CapOutliers().fit([[1.0], [2.0], [3.0]])
    holed = CapOutliers().fit([[1.0], [NAN], [2.0], [3.0], [NAN]])
    assert holed.upper_ == whole.upper_
    assert np.isnan(holed.transform([[NAN], [9.0]])).ravel().tolist() == [True, False]


@pytest.mark.parametrize("column", [[NAN, NAN, NAN, NAN], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 7.0, 0.0, 0.0]])
def test_a_column_without_spread_is_left_as_it_is(column: list[float]) -> None:
    caps = CapOutliers().fit(np.array(column).reshape(-1, 1))
    assert caps.transform([[12.0], [-3.0]]).ravel().tolist() == [12.0, -3.0]


@pytest.mark.parametrize("factor", [0, -1.5, NAN])
def test_a_factor_that_is_no_distance_is_refused(factor: float) -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        CapOutliers(factor=factor).fit([[1.0], [2.0]])


def test_it_must_be_fitted_first() -> None:
    with pytest.raises(NotFittedError):
        CapOutliers().transform([[1.0]])


def test_columns_keep_their_names_and_a_clone_its_factor() -> None:
    frame = pd.DataFrame({"income": [1.0, 2.0, 3.0], "age": [4.0, 5.0, NAN]})
    caps = CapOutliers(factor=3.0).fit(frame)
    assert caps.get_feature_names_out().tolist() == ["income", "age"]
    assert caps.set_output(transform="pandas").transform(frame).columns.tolist() == ["income", "age"]
    assert clone(caps).factor == 3.0
