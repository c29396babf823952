"""Fields of cron that make no sense are refused when the settings are read, with what was expected."""

from __future__ import annotations

import pytest

from keepfit.cron_fields import read
from keepfit.operation_settings import Schedule


@pytest.mark.parametrize(
    ("cron", "told"),
    [
        ("99 6 * * *", "'99' is no minute: expected 0 to 59"),
        ("0 24 * * *", "'24' is no hour: expected 0 to 23"),
        ("0 6 0 * *", "'0' is no day of the month: expected 1 to 31"),
        ("0 6 * foo *", "'foo' is no month: expected 1 to 12 or jan to dec"),
        ("0 6 * * foo", "'foo' is no day of the week: expected 0 to 7 or sun to sat"),
        ("0 6 * * 8", "'8' is no day of the week"),
        ("0 6 * * fri-mon", "'fri-mon' ends before it begins"),
        ("50-10 * * * *", "'50-10' ends before it begins: expected a minute, such as 10-50"),
        ("*/0 * * * *", "'0' is no step"),
        ("*/60 * * * *", "'60' is no step of minutes"),
        ("0 6 * * ,", "'' is no day of the week"),
        ("0 6 31 2 *", "31 2 never comes"),
        ("0 6 31 4,jun *", "never comes"),
        ("0 6 * *", "expected the five fields"),
        ("0 6 * * ?", "is no day of the week"),
        ("\u0665 6 * * *", "is no minute"),
    ],
)
def test_fields_that_make_no_sense_are_refused_with_what_is_wrong(cron: str, told: str) -> None:
    with pytest.raises(ValueError, match="cron") as caught:
        Schedule(cron=cron)
    assert told in str(caught.value)


@pytest.mark.parametrize("cron", ["* * * * *", "0 6 29 2 *", "0 6 31 2 mon", "5/10 */6 1 * *", "0 6 1-31/2 JAN Mon-FRI"])
def test_fields_that_some_time_comes_are_taken(cron: str) -> None:
    assert Schedule(cron=f" {cron} ").cron == cron


def test_a_field_names_what_cron_means_by_it() -> None:
    found = read("5/20 0-23/6 1,15-16 jan,12 5-7")
    assert (found.minutes, found.hours, found.days) == ([5, 25, 45], [0, 6, 12, 18], [1, 15, 16])
    assert (found.months, found.weekdays) == ([1, 12], [0, 5, 6])
