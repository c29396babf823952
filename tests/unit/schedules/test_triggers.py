"""[schedule] becomes the times that it says, in its own zone; what was missed runs once."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from apscheduler.schedulers.background import BackgroundScheduler

from keepfit.operation_settings import Schedule
from keepfit.schedules.triggers import trigger_of
from keepfit.schedules.watch import ONCE

NOON = datetime(2026, 3, 4, 12, 0, 30, tzinfo=UTC)  # a Wednesday


def times(count: int, since: datetime = NOON, **schedule: Any) -> list[str]:
    """The next times, in UTC."""
    trigger, found, now = trigger_of(Schedule(**schedule)), [], since
    assert trigger is not None
    before = None
    for _ in range(count):
        before = now = trigger.get_next_fire_time(before, now)
        found.append(f"{now.astimezone(UTC):%a %d %H:%M:%S}")
    return found


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ({"every": "15m"}, ["Wed 04 12:15:00", "Wed 04 12:30:00"]),
        ({"every": "6h"}, ["Wed 04 18:00:00", "Thu 05 00:00:00"]),
        ({"every": "7d"}, ["Mon 09 00:00:00", "Mon 16 00:00:00"]),
        ({"daily": "06:30"}, ["Thu 05 06:30:00", "Fri 06 06:30:00"]),
        ({"daily": "06:30", "time_zone": "Europe/Berlin"}, ["Thu 05 05:30:00", "Fri 06 05:30:00"]),
        ({"weekly": "sun 23:05"}, ["Sun 08 23:05:00", "Sun 15 23:05:00"]),
        ({"cron": "*/20 13 * * *"}, ["Wed 04 13:00:00", "Wed 04 13:20:00", "Wed 04 13:40:00", "Thu 05 13:00:00"]),
        ({"cron": "0 6 * * 0"}, ["Sun 08 06:00:00", "Sun 15 06:00:00"]),  # APScheduler would take 0 for Monday
        ({"cron": "0 6 * * 7"}, ["Sun 08 06:00:00", "Sun 15 06:00:00"]),
        ({"cron": "0 6 * * 1-5/2"}, ["Fri 06 06:00:00", "Mon 09 06:00:00", "Wed 11 06:00:00"]),
        ({"cron": "0 6 * * SAT-Sun"}, ["Sat 07 06:00:00", "Sun 08 06:00:00", "Sat 14 06:00:00"]),
        ({"cron": "0 6 5 * mon"}, ["Thu 05 06:00:00", "Mon 09 06:00:00", "Mon 16 06:00:00"]),  # either of the two
        ({"cron": "0 6 */2 * mon"}, ["Mon 09 06:00:00", "Mon 23 06:00:00"]),  # both, where one begins with a star
    ],
    ids=str,
)
def test_a_schedule_comes_when_it_says(schedule: dict[str, Any], expected: list[str]) -> None:
    assert times(len(expected), **schedule) == expected


def test_an_interval_is_not_put_off_by_a_restart() -> None:
    """Who is started anew every few hours would never come to a weekly cycle."""
    assert times(1, NOON, every="7d") == times(1, NOON + timedelta(hours=5), every="7d")


def test_a_time_that_the_clock_skips_is_not_left_out() -> None:
    night = datetime(2026, 3, 28, 12, tzinfo=UTC)  # at two o'clock of the 29th it is three in Berlin
    assert times(2, night, daily="02:30", time_zone="Europe/Berlin") == ["Sun 29 01:30:00", "Mon 30 00:30:00"]


def test_nothing_set_is_no_schedule() -> None:
    assert trigger_of(Schedule()) is None


def test_times_that_were_slept_through_run_once() -> None:
    """As after a week in which the machine was suspended."""
    ran, scheduler = threading.Semaphore(0), BackgroundScheduler(timezone=UTC, job_defaults=ONCE)
    slept = datetime.now(UTC) - timedelta(days=8)
    scheduler.add_job(ran.release, trigger_of(Schedule(every="1d")), id="cycle", next_run_time=slept)
    scheduler.start()
    try:
        assert ran.acquire(timeout=60)
        assert scheduler.get_job("cycle").next_run_time > datetime.now(UTC)
        assert not ran.acquire(blocking=False)
    finally:
        scheduler.shutdown()
