"""`keepfit alerts`: what people were told, what not and why; tries receivers out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keepfit.cli.output import JsonOption, ProjectOption, VerboseOption, document, fact, note, table, verb
from keepfit.errors import ConfigError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keepfit.project import Project
    from keepfit.records import Delivery


@verb
def alerts(
    project: ProjectOption = Path(),
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="How many.")] = 20,
    test: Annotated[bool, typer.Option("--test", help="Send a test to everybody who is set up, now.")] = False,
    deliver: Annotated[bool, typer.Option("--deliver", help="Try now what could not be sent yet.")] = False,
    json: JsonOption = False,
    verbose: VerboseOption = False,  # noqa: ARG001 - read by `verb`
) -> None:
    """List the latest alerts: sent, not sent yet and why, or not to be sent and why."""
    from keepfit.project import open

    with open(project) as opened:
        if test:
            _try_out(opened, json)
            return
        found = opened.deliver_alerts() if deliver else opened.alerts(limit)
    if json:
        document(found)
        return
    if not found:
        fact("nothing waits to be sent" if deliver else "nobody was told anything yet")
        return
    _show(found)


def _try_out(opened: Project, json: bool) -> None:
    answers = opened.try_alerts()
    if not answers:
        raise ConfigError(
            "Nobody is set up to be told. Set SMTP_SERVER and ALERT_EMAIL, SLACK_WEBHOOK_URL or KEEPFIT_ALERTS__URLS in the "
            "environment."
        )
    if json:
        document([{"receiver": receiver, "reached": not why, "reason": why} for receiver, why in answers.items()])
    for receiver, why in answers.items():
        (note if json else fact)(f"{receiver}: {why or 'has got it'}")
    missed = [receiver for receiver, why in answers.items() if why]
    if missed:
        raise Unavailable(f"{len(missed)} of {len(answers)} receivers were not reached: {', '.join(missed)}")


def _show(found: Sequence[Delivery]) -> None:
    rows = [
        (f"{each.alert.at:%Y-%m-%d %H:%M:%S}", each.alert.severity.value, each.alert.title, each.receiver, _status(each))
        for each in found
    ]
    table(("UTC", "severity", "alert", "to", "status"), rows)


def _status(delivery: Delivery) -> str:
    if delivery.status == "sent":
        return f"sent {delivery.sent_at:%Y-%m-%d %H:%M:%S}" if delivery.sent_at else "sent"
    tried = f" ({delivery.attempts} attempts)" if delivery.attempts else ""
    return f"{delivery.status}{tried}: {delivery.reason}" if delivery.reason else f"{delivery.status}{tried}"
