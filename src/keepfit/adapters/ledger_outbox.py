"""Alerts on their way: one row for each receiver of each, claimed by whoever sends it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, literal_column, or_, select

from keepfit.adapters.ledger_database import Database, insert_missing
from keepfit.adapters.ledger_rules import check_delivery
from keepfit.adapters.ledger_schema import alerts
from keepfit.codec import dumps, loads, read_time, time_text
from keepfit.records import Alert, Delivery

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import ColumnElement

    from keepfit.records import Event

_PENDING: ColumnElement[str] = literal_column("'pending'")  # written out, so that the database sees its index of these will do


class SqlOutbox:
    """The port `Outbox`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, delivery: Delivery) -> bool:
        check_delivery(delivery)
        alert = delivery.alert
        names = {"project": alert.project, "key": alert.key, "event": alert.event.value, "subject": alert.subject}
        values = {**names, "receiver": delivery.receiver, "alert": dumps(alert), **_state(delivery)}
        with self._database.write() as connection:
            return insert_missing(connection, alerts, values)

    def take(self, project: str, receiver: str, seconds: float, *, key: str | None = None) -> Delivery | None:
        columns = alerts.c
        with self._database.write() as connection:
            now = self._database.now(connection)
            wanted = and_(
                columns.project == project,
                columns.receiver == receiver,
                columns.status == _PENDING,
                or_(columns.claimed_until.is_(None), columns.claimed_until <= time_text(now)),
                columns.key == key if key else or_(columns.not_before.is_(None), columns.not_before <= time_text(now)),
            )
            oldest = select(alerts).where(wanted).order_by(columns.number).limit(1).with_for_update(skip_locked=True)
            row = connection.execute(oldest).first()
            if row is None:
                return None
            claim = {"attempts": row.attempts + 1, "claimed_until": time_text(now + timedelta(seconds=seconds))}
            connection.execute(alerts.update().where(columns.number == row.number).values(**claim))
            return _delivery(row, claim["attempts"])

    def settle(self, delivery: Delivery) -> None:
        check_delivery(delivery)
        columns, alert = alerts.c, delivery.alert
        mine = and_(
            columns.project == alert.project,
            columns.key == alert.key,
            columns.receiver == delivery.receiver,
            columns.status == _PENDING,
            columns.attempts == delivery.attempts,
        )
        with self._database.write() as connection:
            connection.execute(alerts.update().where(mine).values(claimed_until=None, **_state(delivery)))

    def recent(
        self, project: str, limit: int = 50, *, status: Sequence[str] = (), event: Event | None = None, subject: str | None = None
    ) -> Sequence[Delivery]:
        columns = alerts.c
        wanted = select(alerts).where(columns.project == project)
        if status:
            wanted = wanted.where(columns.status.in_(status))
        if event is not None:
            wanted = wanted.where(columns.event == event.value)
        if subject is not None:
            wanted = wanted.where(columns.subject == subject)
        with self._database.read() as connection:
            rows = connection.execute(wanted.order_by(columns.number.desc()).limit(limit))
            return [_delivery(row, row.attempts) for row in rows]

    def forget(self, project: str, settled: Iterable[Delivery]) -> int:
        columns, gone = alerts.c, 0
        with self._database.write() as connection:
            for delivery in settled:
                one = and_(columns.project == project, columns.key == delivery.alert.key, columns.receiver == delivery.receiver)
                gone += connection.execute(alerts.delete().where(one, columns.status != _PENDING)).rowcount
        return gone


def _state(delivery: Delivery) -> dict[str, Any]:
    times = {"not_before": delivery.not_before, "sent_at": delivery.sent_at}
    return {
        "status": delivery.status,
        "attempts": delivery.attempts,
        "reason": delivery.reason,
        **{name: time_text(moment) if moment else None for name, moment in times.items()},
    }


def _delivery(row: Any, attempts: int) -> Delivery:
    return Delivery(
        alert=loads(Alert, row.alert),
        receiver=row.receiver,
        status=row.status,
        attempts=attempts,
        not_before=read_time(row.not_before) if row.not_before else None,
        sent_at=read_time(row.sent_at) if row.sent_at else None,
        reason=row.reason,
    )
