"""The demo's days as a table that a person understands at once."""

from __future__ import annotations

from collections.abc import Sequence

from keepfit.cli.output import fact, table
from keepfit.demo import Day
from keepfit.records import Outcome


def show(days: Sequence[Day]) -> None:
    """Print one line a day, and a summary."""
    table(("day", "rows", "error", "decision", "verdict", "champion", "what happened"), [_row(day) for day in days])
    promoted = sum(day.cycle.outcome is Outcome.PROMOTED for day in days)
    fact("")
    fact(
        f"{len(days)} days in {sum(day.seconds for day in days):.0f} s: {promoted} promotions. "
        "error: mean absolute error of the champion on that day's customers; smaller is better."
    )


def _row(day: Day) -> tuple[str, ...]:
    cycle = day.cycle
    rows = sum(batch.rows or 0 for batch in cycle.batches)
    error = cycle.performance.value if cycle.performance else None
    verdict = cycle.verdict
    compared = (
        "" if verdict is None else f"{verdict.conclusion.value} ({_number(verdict.champion)} -> {_number(verdict.challenger)})"
    )
    decision = cycle.decision.action.value if cycle.decision else ""
    return (
        f"{day.day:%a %d %b}",
        str(rows),
        _number(error),
        decision,
        compared,
        f"v{day.champion}" if day.champion != "none" else "",
        _what(day),
    )


def _what(day: Day) -> str:
    """The generator's event and the loop's first reason, shortened to fit a line."""
    decision = day.cycle.decision
    fired = [signal for signal in decision.signals if signal.fired] if decision else []
    found = {"floor": "too wrong", "degradation": "got worse", "no_champion": "first model", "data_fault": "data quarantined"}
    why = ", ".join(found.get(signal.name, signal.name) for signal in fired)
    return " / ".join(part for part in (f"[{day.event}]" if day.event else "", why) if part)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
