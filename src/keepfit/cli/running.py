"""`keepfit run`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keepfit.cli.output import JsonOption, ProjectOption, VerboseOption, document, fact, note, verb

if TYPE_CHECKING:
    from keepfit.records import Cycle


@verb
def run(
    project: ProjectOption = Path(),
    force: Annotated[bool, typer.Option("--force", help="Retrain whatever the signals say.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Decide, and change nothing.")] = False,
    until: Annotated[str | None, typer.Option("--until", metavar="STAGE", help="Stop after this stage.")] = None,
    cycle: Annotated[str | None, typer.Option("--cycle", metavar="ID", help="Only go on with this cycle.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Only go on with an interrupted cycle.")] = False,
    json: JsonOption = False,
    verbose: VerboseOption = False,  # noqa: ARG001 - read by `verb`
) -> None:
    """Run one cycle: take in new data, judge the champion, decide, retrain, compare, promote."""
    from keepfit.project import open

    with open(project) as opened:
        done = opened.run(force=force, until=until, cycle=cycle, resume=resume, dry_run=dry_run, watch=_watcher())
    if json:
        document(done)
        return
    _say(done, dry_run)


def _watcher() -> Any:
    """Says each stage as it begins: on a terminal in one line that changes, elsewhere a line each."""
    if not sys.stderr.isatty():
        return lambda stage, cycle: note(f"{cycle.id} {stage}") if stage else None
    from rich.console import Console

    status = Console(stderr=True).status("")
    state = {"running": False}

    def watch(stage: str, cycle: Cycle) -> None:
        if stage:
            status.update(f"{stage} ({len(cycle.batches)} batches)" if cycle.batches else stage)
            if not state["running"]:
                status.start()
                state["running"] = True
        else:
            status.stop()

    return watch


def _say(cycle: Cycle, dry_run: bool) -> None:
    if dry_run:
        decided = cycle.decision.action.value if cycle.decision else "nothing"
        reason = cycle.reason or ("; ".join(cycle.decision.reasons) if cycle.decision else "")
        fact(f"would decide {decided}: {reason}" if cycle.decision else f"would end as {cycle.outcome}: {reason}")
        return
    if cycle.outcome is None:
        fact(f"stopped after {cycle.stage}; `keepfit run` goes on from there")
        return
    fact(f"{cycle.outcome.value}: {cycle.reason}")
    for each in cycle.notes:
        note(f"note: {each}")
    if cycle.decision or cycle.validation:
        note(f"`keepfit explain {cycle.id}` tells the whole story")
