"""The section [schedule] in the words of those who keep it."""

from __future__ import annotations

from datetime import timedelta

from keepfit.errors import ConfigError
from keepfit.operation_settings import Schedule

DAILY = "0 6 * * *"  # where nothing is set


def cron_of(schedule: Schedule) -> str:
    """The schedule as the five fields of cron, which every orchestrator understands; daily at six where nothing is set.

    >>> cron_of(Schedule(every="15m")), cron_of(Schedule(weekly="mon 06:30")), cron_of(Schedule())
    ('*/15 * * * *', '30 6 * * mon', '0 6 * * *')

    Raises `ConfigError` for an interval that cron cannot say.
    """
    if schedule.every is not None:
        return _interval(schedule.every)
    if schedule.cron:
        return schedule.cron
    day, _, time = schedule.weekly.rpartition(" ") if schedule.weekly else ("*", "", schedule.daily)
    if not time:
        return DAILY
    hour, minute = map(int, time.split(":"))
    return f"{minute} {hour} * * {day}"


def _interval(every: timedelta) -> str:
    """Steps that divide an hour or a day, so that the distance is the same everywhere."""
    minutes, rest = divmod(every.total_seconds(), 60)
    if rest == 0 and minutes in (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30):
        return "* * * * *" if minutes == 1 else f"*/{minutes:.0f} * * * *"
    hours, rest = divmod(minutes, 60)
    if rest == 0 and hours in (1, 2, 3, 4, 6, 8, 12):
        return "0 * * * *" if hours == 1 else f"0 */{hours:.0f} * * *"
    if rest == 0 and hours == 24:
        return DAILY
    raise ConfigError(
        f"[schedule] every = {every} cannot be said in cron's five fields: expected a part of an hour (15m), of a day (6h), or 1d. "
        "`keepfit watch` takes any interval."
    )
