"""The section [schedule] as APScheduler keeps it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from keepfit.cron_fields import WEEKDAYS, read
from keepfit.extras import require
from keepfit.operation_settings import Schedule

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)  # from which intervals are counted


def trigger_of(schedule: Schedule) -> Any | None:
    """When cycles are due; None where nothing is set.

    Intervals are counted from midnight UTC of a Monday long ago and not from the start of the process, so that a restart does not
    put them off: every 6 hours is at 0, 6, 12 and 18 o'clock UTC. Cron, daily and weekly are times of `time_zone`. A time that the
    clock skips in spring comes with the jump, one that it shows twice in autumn comes twice.

    Raises `MissingExtra` without APScheduler.
    """
    require("apscheduler", extra="watch", why="keepfit watch")
    if schedule.every is not None:
        from apscheduler.triggers.interval import IntervalTrigger

        return IntervalTrigger(seconds=schedule.every.total_seconds(), start_date=MONDAY, timezone=UTC)
    fields = _fields(schedule)
    return None if fields is None else _cron(fields, schedule)


def words_of(schedule: Schedule) -> str:
    """The same in a few words; empty where nothing is set.

    >>> words_of(Schedule(weekly="mon 06:30", time_zone="Europe/Berlin")), words_of(Schedule(every="90m"))
    ('weekly mon 06:30 Europe/Berlin', 'every 1:30:00')
    """
    if schedule.every is not None:
        return f"every {schedule.every}"
    name = next((name for name in ("cron", "daily", "weekly") if getattr(schedule, name)), "")
    return f"{name} {getattr(schedule, name)} {schedule.time_zone}" if name else ""


def _fields(schedule: Schedule) -> str | None:
    """The five fields of cron."""
    if schedule.cron:
        return schedule.cron
    day, _, time = schedule.weekly.rpartition(" ") if schedule.weekly else ("*", "", schedule.daily)
    if not time:
        return None
    hour, _, minute = time.partition(":")
    return f"{int(minute)} {int(hour)} * * {day}"


def _cron(fields: str, schedule: Schedule) -> Any:
    from zoneinfo import ZoneInfo

    from apscheduler.triggers.combining import OrTrigger
    from apscheduler.triggers.cron import CronTrigger

    found, (_, _, day, _, weekday) = read(fields), fields.split()
    words = {name: ",".join(map(str, numbers)) for name, numbers in (("minute", found.minutes), ("hour", found.hours))}
    words["month"] = ",".join(map(str, found.months))
    days = {"day": ",".join(map(str, found.days))}
    weekdays = {"day_of_week": ",".join(WEEKDAYS[each] for each in found.weekdays)}  # by name: APScheduler counts from Monday
    zone = ZoneInfo(schedule.time_zone)
    if day.startswith("*") or weekday.startswith("*"):
        return CronTrigger(**words, **days, **weekdays, timezone=zone)
    either = [CronTrigger(**words, **each, timezone=zone) for each in (days, weekdays)]
    return OrTrigger(either)  # cron's own rule
