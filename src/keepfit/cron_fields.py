"""The five fields of cron, read: which minutes, hours and days they name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")  # as cron numbers them, from 0; 7 is Sunday as well
LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  # days of the months, in a leap year


@dataclass(frozen=True, kw_only=True)
class CronFields:
    """What the fields name, each in its order."""

    minutes: Sequence[int]  # 0 to 59
    hours: Sequence[int]  # 0 to 23
    days: Sequence[int]  # of the month, 1 to 31
    months: Sequence[int]  # 1 to 12
    weekdays: Sequence[int]  # 0, Sunday, to 6


def read(text: str) -> CronFields:
    """The fields of `minute hour day month weekday`: numbers or names, ranges, lists and steps.

    >>> found = read("*/20 6-8 1 jan,jul *")
    >>> found.minutes, found.hours, found.months
    ([0, 20, 40], [6, 7, 8], [1, 7])
    >>> read("0 6 * * fri-sun").weekdays
    [0, 5, 6]

    Raises ValueError with what was expected: for a field that makes no sense, and for a day that never comes.
    """
    fields = text.lower().split()
    if len(fields) != 5:
        raise ValueError("expected the five fields of cron, such as '0 6 * * mon'")
    minute, hour, day, month, weekday = fields
    found = CronFields(
        minutes=_numbers(minute, "minute", 0, 59),
        hours=_numbers(hour, "hour", 0, 23),
        days=_numbers(day, "day of the month", 1, 31),
        months=_numbers(month, "month", 1, 12, MONTHS),
        weekdays=sorted({each % 7 for each in _numbers(weekday, "day of the week", 0, 7, WEEKDAYS)}),
    )
    weekdays_too = not day.startswith("*") and not weekday.startswith("*")  # then either of the two will do
    if not weekdays_too and min(found.days) > max(LONGEST[each - 1] for each in found.months):
        raise ValueError(f"{day} {month} never comes: there is no such day")
    return found


def _numbers(field: str, what: str, first: int, last: int, names: Sequence[str] = ()) -> list[int]:
    found: set[int] = set()
    for part in field.split(","):
        span, slash, step = part.partition("/")
        begin, dash, end = span.partition("-")
        if span == "*":
            numbers = range(first, (6 if names is WEEKDAYS else last) + 1)
        else:
            low = _number(begin, what, first, last, names)
            high = _number(end, what, first, last, names) if dash else last if slash else low
            if names is WEEKDAYS and dash and high == 0 < low:  # Sunday as the end of a range
                high = 7
            if high < low:
                raise ValueError(f"{part!r} ends before it begins: expected a {what}, such as {high}-{low}")
            numbers = range(low, high + 1)
        if slash and not (step.isascii() and step.isdecimal() and 0 < int(step) < max(2, len(numbers))):
            raise ValueError(f"{step!r} is no step of {what}s {span}: expected a number from 1 to {len(numbers) - 1}")
        found |= set(numbers[:: int(step) if slash else 1])
    return sorted(found)


def _number(word: str, what: str, first: int, last: int, names: Sequence[str]) -> int:
    if word in names:
        return names.index(word) + (0 if names is WEEKDAYS else 1)
    if word.isascii() and word.isdecimal() and first <= int(word) <= last:
        return int(word)
    others = f" or {names[0]} to {names[-1]}" if names else ""
    raise ValueError(f"{word!r} is no {what}: expected {first} to {last}{others}")
