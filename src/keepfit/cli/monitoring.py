"""`keepfit monitor`: signals against their thresholds, how they went, and what they call for; nothing is trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keepfit.cli.output import JsonOption, ProjectOption, VerboseOption, document, fact, fail_on, note, table, verb
from keepfit.errors import ConfigError

if TYPE_CHECKING:
    from keepfit.records import ColumnDrift, Cycle, DriftReport, Signal

MOST_COLUMNS = 15


@verb
def monitor(
    project: ProjectOption = Path(),
    check_now: Annotated[
        bool, typer.Option("--check-now", help="Look at the inbox now, however few files it holds, and write the reports.")
    ] = False,
    fail_on_drift: Annotated[bool, typer.Option("--fail-on-drift", help="Exit with 4 when drift was found.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="Earlier cycles in the trend.")] = 10,
    from_report: Annotated[
        bool, typer.Option("--from-report", help="Only read drift_status.json; one that is stale or broken is an error.")
    ] = False,
    of: Annotated[str | None, typer.Option("--of", metavar="CYCLE", help="With it: written by this cycle.")] = None,
    max_age: Annotated[
        str | None, typer.Option("--max-age", metavar="TIME", help="With it: not older than this, such as 26h.")
    ] = None,
    json: JsonOption = False,
    verbose: VerboseOption = False,  # noqa: ARG001 - read by `verb`
) -> None:
    """Show the signals against their thresholds, their trend and the decision; train nothing."""
    from keepfit.project import open

    if from_report:
        _read_report(project, of, max_age, fail_on_drift, json)
        return
    if of or max_age:
        raise ConfigError("--of and --max-age say what drift_status.json must be like: they go with --from-report.")
    with open(project) as opened:
        found, trend = opened.monitor(check_now=check_now, limit=limit)
    if json:
        document({"cycle": found, "trend": trend, "drift_detected": found.drift.detected if found.drift else None})
    else:
        _say(found, trend)
    if fail_on_drift:
        fail_on(found.drift.detected if found.drift else None, found.drift.note if found.drift else found.reason)


def _read_report(project: Path, of: str | None, max_age: str | None, fail_on_drift: bool, json: bool) -> None:
    """What the status file says, as lines of NAME=VALUE, which GitHub takes as outputs."""
    from keepfit.project import open

    with open(project) as opened:
        status = opened.drift_status(cycle=of, max_age=max_age)
    if json:
        document(status)
    else:
        fact(f"drift={'not_measured' if status.drift_detected is None else str(status.drift_detected).lower()}")
        fact(f"cycle={status.cycle}")
        fact(f"model_version={status.model_version or ''}")
        fact(f"decision={status.decision or ''}")
    if fail_on_drift:
        fail_on(status.drift_detected, status.note)


def _say(found: Cycle, trend: list[Cycle]) -> None:
    if found.decision is not None and found.decision.signals:
        table(("signal", "", "value", "threshold", "rows", "says"), map(_signal, found.decision.signals), title="Signals")
    drift = found.drift
    if drift is not None and drift.detected is not None:
        everything = sorted(
            (*drift.columns, *drift.output, *((drift.label,) if drift.label else ())), key=lambda each: not each.drifted
        )
        fact("")
        table(("column", "", "method", "score", "threshold", "p", "found"), map(_column, everything[:MOST_COLUMNS]), title="Drift")
        if len(everything) > MOST_COLUMNS:
            fact(f"and {len(everything) - MOST_COLUMNS} columns more")
    if trend:
        fact("")
        table(
            ("cycle", "champion", "metric", "value", "labels", "estimate", "drift", "decision"), map(_point, trend), title="Trend"
        )
    fact("")
    decided = f"{found.decision.action.value}: {'; '.join(found.decision.reasons)}" if found.decision else found.reason
    fact(decided or "nothing was judged")
    for each in found.notes:
        note(each)


def _signal(signal: Signal) -> tuple[str, ...]:
    state = "FIRED" if signal.fired else "" if signal.enough else "too little"
    return (signal.name, state, number(signal.value), number(signal.threshold), str(signal.n or ""), signal.reason)


def _column(column: ColumnDrift) -> tuple[str, ...]:
    said = "; ".join(column.findings) or column.note
    found = "DRIFT" if column.drifted else ""
    by_chance = "" if column.p_value is None else "<1e-12" if column.p_value < 1e-12 else f"{column.p_value:.2g}"
    return (column.name, found, column.method, number(column.score), number(column.threshold), by_chance, said)


def _point(cycle: Cycle) -> tuple[str, ...]:
    performance, drift = cycle.performance, cycle.drift
    estimate = performance.estimate if performance else None
    found = "" if drift is None or drift.detected is None else f"{drifted(drift)} of {len(drift.everything)}"
    return (
        cycle.id,
        performance.champion if performance else "",
        performance.metric if performance else "",
        number(performance.value if performance else None),
        f"{performance.n} of {performance.rows}" if performance else "",
        number(estimate.value if estimate else None),
        found,
        cycle.decision.action.value if cycle.decision else "",
    )


def drifted(report: DriftReport) -> int:
    """How many of features, answers and labels drifted."""
    return sum(column.drifted for column in report.everything)


def number(value: float | None) -> str:
    """Four digits, or nothing."""
    return "" if value is None else f"{value:.4g}"
