"""`keepfit config`, `status`, `history`, `explain`: they look and change nothing."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keepfit.cli.output import JsonOption, ProjectOption, VerboseOption, document, fact, table, verb

if TYPE_CHECKING:
    from keepfit.records import Cycle


@verb
def config(
    project: ProjectOption = Path(),
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of keepfit.toml instead.")] = False,
    json: JsonOption = False,
    verbose: VerboseOption = False,  # noqa: ARG001 - read by `verb`
) -> None:
    """Print every setting with its value and where it comes from."""
    from keepfit.config import json_schema, load

    if schema:
        fact(json_module.dumps(json_schema(), indent=2))
        return
    rows = load(project).rows()
    if json:
        document([{"key": key, "value": value, "source": source} for key, value, source in rows])
        return
    table(("setting", "value", "from"), [(key, json_module.dumps(value), source) for key, value, source in rows])


@verb
def status(project: ProjectOption = Path(), json: JsonOption = False, verbose: VerboseOption = False) -> None:  # noqa: ARG001
    """Say how things stand: champion, batches, last cycle, who is running."""
    from keepfit.project import open

    with open(project) as opened:
        now = opened.status()
    if json:
        document(now)
        return
    champion, cycle, lease = now["champion"], now["last_cycle"], now["lease"]
    fact(f"project   {now['project']}")
    fact(
        f"champion  version {champion.to_version} since {_time(champion.at)} ({champion.kind})"
        if champion
        else "champion  none yet"
    )
    fact("batches   " + ", ".join(f"{count} {state}" for state, count in now["batches"].items()))
    if cycle is not None:
        ended = cycle.outcome.value if cycle.outcome else f"unfinished after {cycle.stage}"
        fact(f"last      {cycle.id} {ended}: {cycle.reason}")
    if now["alerts_pending"]:
        fact(f"alerts    {now['alerts_pending']} not sent yet; `keepfit alerts` says why")
    if lease is not None:
        fact(f"running   {lease.holder} since {_time(lease.since)}")


@verb
def history(
    project: ProjectOption = Path(),
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="How many cycles.")] = 20,
    json: JsonOption = False,
    verbose: VerboseOption = False,  # noqa: ARG001 - read by `verb`
) -> None:
    """List the latest cycles, newest first."""
    from keepfit.project import open

    with open(project) as opened:
        cycles = opened.history(limit)
    if json:
        document(cycles)
        return
    table(("cycle", "outcome", "batches", "decision", "champion", "challenger", "reason"), map(_row, cycles))


@verb
def explain(
    cycle: Annotated[str | None, typer.Argument(help="A cycle's id, or the beginning of it; the latest without.")] = None,
    project: ProjectOption = Path(),
    json: JsonOption = False,
    verbose: VerboseOption = False,  # noqa: ARG001 - read by `verb`
) -> None:
    """Tell a cycle as a short story, with what would have changed its decision."""
    from keepfit.project import open
    from keepfit.verbs.story import tell

    with open(project) as opened:
        found = opened.cycle(cycle)
    if json:
        document(found)
    else:
        fact(tell(found))


def _row(cycle: Cycle) -> tuple[str, ...]:
    verdict = cycle.verdict
    return (
        cycle.id,
        cycle.outcome.value if cycle.outcome else f"after {cycle.stage}",
        str(len(cycle.batches)),
        cycle.decision.action.value if cycle.decision else "",
        _number(cycle.performance.value if cycle.performance else None),
        f"{_number(verdict.champion)} -> {_number(verdict.challenger)}" if verdict else "",
        cycle.reason if len(cycle.reason) < 90 else cycle.reason[:87] + "...",
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _time(moment: Any) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else "?"
