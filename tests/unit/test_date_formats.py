from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from keepfit.date_formats import DATES, TIMES, moments, read_dates

DAYS = [datetime(2019, 1, 28, 13, 5, tzinfo=UTC) + timedelta(days=3 * i) for i in range(40)]


@pytest.mark.parametrize("date", DATES)
@pytest.mark.parametrize("time", TIMES)
def test_every_format_is_recognised_by_what_it_writes(date, time) -> None:
    text = pl.Series([day.strftime(date + time) for day in DAYS])
    found = read_dates(text).format
    assert found is not None
    assert moments(text, found).dt.date().to_list() == [day.date() for day in DAYS]


def test_numbers_without_leading_zeros_are_dates_too() -> None:
    assert read_dates(pl.Series(["1/1/11", "1/2/11", "12/31/12"])).format == "%m/%d/%y"


def test_one_cell_settles_whether_the_day_or_the_month_is_first() -> None:
    assert read_dates(pl.Series(["5/6/2024", "4/4/2024", "25/1/2024"])).format == "%d/%m/%Y"
    assert read_dates(pl.Series(["5/6/2024", "4/4/2024", "1/25/2024"])).format == "%m/%d/%Y"


def test_else_the_order_of_the_rows_does() -> None:
    assert read_dates(pl.Series(["1/2/2024", "2/2/2024", "1/3/2024"])).format == "%d/%m/%Y"


@pytest.mark.parametrize("cells", [["3/2/2024", "1/5/2024", "2/3/2024"], ["1/2/2024", "2/3/2024", "3/4/2024"]])
def test_and_where_neither_or_both_are_in_order_nothing_is_claimed(cells) -> None:
    found = read_dates(pl.Series(cells))
    assert found.format is None
    assert found.doubtful == ("%d/%m/%Y", "%m/%d/%Y")


@pytest.mark.parametrize("cells", [["1/2"], ["31/31/2024"], ["24-02-2015", "soon"], ["1.2.3.4"], ["99999999"], []])
def test_what_is_no_date_is_none(cells) -> None:
    found = read_dates(pl.Series(cells, dtype=pl.String))
    assert (found.format, found.doubtful) == (None, ())


def test_eight_digits_are_a_date_only_if_all_are() -> None:
    assert read_dates(pl.Series(["20240131", "20240229"])).format == "%Y%m%d"
    assert read_dates(pl.Series(["20240131", "20240230"])).format is None
