"""Numbers as people read them."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

from keepfit.records import Interval

MISSING = "–"


def number(value: float | None) -> str:
    """Four significant digits; whole numbers in full.

    >>> number(0.123456), number(1234567), number(1234567.8), number(-0.00001234), number(None)
    ('0.1235', '1,234,567', '1,234,568', '−1.234e−05', '–')
    """
    if value is None:
        return MISSING
    whole = float(value).is_integer() or abs(value) >= 10_000
    text = f"{value:,.0f}" if whole and abs(value) < 1e15 else f"{value:.4g}"
    return text.replace("-", "−")


def share(value: float) -> str:
    """
    >>> share(0.5), share(0.0314), share(0.00004), share(0), share(0.99999)
    ('50%', '3.1%', '<0.1%', '0%', '>99.9%')
    """
    if 0 < value < 0.001:
        return "<0.1%"
    if 0.999 < value < 1:
        return ">99.9%"
    return f"{100 * value:.1f}".removesuffix(".0") + "%"


def chance(p_value: float | None) -> str:
    """
    >>> chance(0.00001), chance(0.0123), chance(0.5), chance(None)
    ('<0.0001', '0.012', '0.50', '–')
    """
    if p_value is None:
        return MISSING
    if p_value < 0.0001:
        return "<0.0001"
    return f"{p_value:.2g}" if p_value < 0.1 else f"{p_value:.2f}"


def between(interval: Interval | None) -> str:
    """
    >>> between(Interval(low=0.8, high=0.9))
    '0.8 to 0.9'
    """
    return MISSING if interval is None else f"{number(interval.low)} to {number(interval.high)}"


def span(seconds: float) -> str:
    """
    >>> span(5400), span(86400 * 2), span(12)
    ('1.5 hours', '2 days', '12 seconds')
    """
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if abs(seconds) >= size:
            return f"{seconds / size:.1f}".removesuffix(".0") + f" {unit}"
    return f"{seconds:.0f} seconds"


def moment(time: datetime | None) -> str:
    """
    >>> moment(datetime(2026, 3, 1, 12, 5, tzinfo=UTC))
    '1 Mar 2026, 12:05 UTC'
    """
    return MISSING if time is None else f"{day(time)}, {time.astimezone(UTC):%H:%M} UTC"


def day(time: datetime, *, year: bool = True) -> str:
    """
    >>> day(datetime(2026, 3, 1, tzinfo=UTC))
    '1 Mar 2026'
    """
    time = time.astimezone(UTC)
    return f"{time.day} {time:%b %Y}" if year else f"{time.day} {time:%b}"


def on_axis(value: float, width: float) -> str:
    """A number with the digits that matter on an axis of this width.

    >>> on_axis(0.01667, 0.76), on_axis(98_572.3, 182_000.0), on_axis(1e-7, 2e-7)
    ('0.017', '99,000', '1.00e−07')
    """
    if not 1e-4 < width < 1e15:
        return f"{value:.2e}".replace("-", "−") if value else "0"
    decimals = 2 - math.floor(math.log10(width) + 1e-9)
    return f"{round(value, decimals) + 0.0:,.{max(decimals, 0)}f}".replace("-", "−")


def date_on_axis(microseconds: float, width: timedelta) -> str:
    """A moment, in microseconds since 1970, with the detail that an axis of this width needs."""
    try:
        time = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    except OverflowError:
        return MISSING
    if width < timedelta(days=2):
        return f"{time.day} {time:%b %H:%M}"
    return day(time)


def count(number_of: int, one: str, many: str | None = None) -> str:
    """
    >>> count(1, "row"), count(2000, "row")
    ('1 row', '2,000 rows')
    """
    return f"{number_of:,} {one if number_of == 1 else many or one + 's'}"
