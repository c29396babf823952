"""The section [schedule] as APScheduler keeps it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from keepfit.errors import ConfigError
from keepfit.extras import require
from keepfit.operation_settings import Schedule

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")  # as cron numbers them from 0; APScheduler 3 counts from Monday
MONDAY = datetime(2024, 1, 1, tzinfo=UTC)  # from which intervals are counted


def trigger_of(schedule: Schedule) -> Any | None:
    """When cycles are due; None where nothing is set.

    Intervals are counted from midnight UTC of a Monday long ago and not from the start of the process, so that a restart does not
    put them off: every 6 hours is at 0, 6, 12 and 18 o'clock UTC. Cron, daily and weekly are times of `time_zone`. A time that the
    clock skips in spring comes with the jump, one that it shows twice in autumn comes twice.

    Raises `ConfigError` for fields that make no sense or never come, `MissingExtra` without APScheduler.
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

    minute, hour, day, month, weekday = fields.lower().split()
    zone = ZoneInfo(schedule.time_zone)
    try:
        named = _weekdays(weekday)
        if day.startswith("*") or weekday.startswith("*"):
            trigger = _trigger(minute, hour, day, month, named, zone)
        else:  # cron's own rule: either of the two
            days = [_trigger(minute, hour, day, month, "*", zone), _trigger(minute, hour, "*", month, named, zone)]
            trigger = OrTrigger(days)
        comes = trigger.get_next_fire_time(None, datetime.now(UTC))
    except ValueError as error:
        raise ConfigError(f"[schedule] cron = {fields!r} makes no sense: {error}. Expected such as '0 6 * * mon'.") from None
    if comes is None:
        raise ConfigError(f"[schedule] cron = {fields!r} never comes: there is no such day.")
    return trigger


def _trigger(minute: str, hour: str, day: str, month: str, weekday: str, zone: ZoneInfo) -> Any:
    from apscheduler.triggers.cron import CronTrigger

    return CronTrigger(minute=minute, hour=hour, day=day, month=month, day_of_week=weekday, timezone=zone)


def _weekdays(field: str) -> str:
    """Cron's days of the week, 0 or 7 for Sunday, by their names.

    >>> _weekdays("1-5"), _weekdays("0,sat"), _weekdays("5-7"), _weekdays("*/3")
    ('mon,tue,wed,thu,fri', 'sun,sat', 'fri,sat,sun', 'sun,wed,sat')

    Raises ValueError.
    """
    if field == "*":
        return field
    found: list[str] = []
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = ("0", "-", "6") if span == "*" else span.partition("-")
        begin = _day(first)
        end = _day(last) if last else (6 if step else begin)
        if last and end == 0 < begin:  # Sunday as the end of a range
            end = 7
        if end < begin:
            raise ValueError(f"the days {part!r} end before they begin")
        if step and not (step.isdigit() and int(step) > 0):
            raise ValueError(f"{step!r} is no step")
        found += [DAYS[number % 7] for number in range(begin, end + 1, int(step or 1))]
    return ",".join(dict.fromkeys(found))


def _day(name: str) -> int:
    if name in DAYS:
        return DAYS.index(name)
    if name.isdigit() and int(name) <= 7:
        return int(name)
    raise ValueError(f"{name!r} is no day of the week: expected 0 to 7 or mon to sun")
