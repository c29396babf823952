"""The loop as a Prefect flow: one task a stage, each with its own retries and time limit.

`keepfit deploy prefect` writes the deployment. This file is imported by Prefect; nothing else in keepfit imports it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("DO_NOT_TRACK", "1")  # before Prefect is imported: nobody reports home
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")

from prefect import Task, flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State, TaskRun
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from keepfit.config import Config, load
from keepfit.cycle import NAMES
from keepfit.errors import ConfigError, KeepfitError, LeaseHeld, Unavailable
from keepfit.records import Cycle, Outcome
from keepfit.schedules.prefect_artifacts import put, shown_after
from keepfit.schedules.stage_process import Died, StageProcess, TooLong, Unforeseen


@flow(name="Automated Retraining Flow", persist_result=False)
def automated_retraining(project: str, force_retrain: bool = False, until: str | None = None) -> State:
    """Take in new data, judge the champion, decide, retrain, compare, promote: one cycle of keepfit.

    Args:
        project: the folder of keepfit.toml.
        force_retrain: retrain whatever the signals say.
        until: stop after this stage; the next run goes on from there.
    """
    try:
        config = load(Path(project))
        if until is not None and until not in NAMES:
            raise ConfigError(f"There is no stage {until!r}: the stages are {', '.join(NAMES)}.")
    except KeepfitError as error:
        return Failed(message=str(error))
    with StageProcess(config.root) as stages:
        loop = Loop(stages=stages, config=config, force=force_retrain)
        before: list[State] = []
        for stage in NAMES[: NAMES.index(until or NAMES[-1]) + 1]:
            state = _task(stage, loop)(wait_for=before, return_state=True)
            if not state.is_completed():
                return Failed(message=f"{stage}: {_said(state)}")
            before = [state]  # so that Prefect draws a line between the two
    return _ending(loop.cycle)


@dataclass(kw_only=True)
class Loop:
    """One cycle on its way through the tasks. It is not handed from task to task as a result: Prefect would look for traces of all
    earlier tasks in every part of the record."""

    stages: StageProcess
    config: Config
    force: bool
    cycle: Cycle | None = None  # as the last stage left it

    def run(self, stage: str) -> State:
        """Run a stage, or tell that it is behind already, or that the cycle has ended before it. Raises what the stage raises."""
        if self.cycle is not None and self.cycle.outcome is not None:
            return Completed(name="Skipped", message=f"the cycle ended as {_word(self.cycle.outcome)} before")
        _, _, limit = self.config.deploy.of(stage)
        begun = self.cycle is not None
        cycle = self.cycle = self.stages.run(stage, self.cycle.id if self.cycle else None, self.force, limit.total_seconds())
        if not begun:
            _name_run(cycle)
        if cycle.outcome is Outcome.FAILED:
            raise CycleFailed(cycle.reason)
        _show(stage, cycle, self.config)
        if NAMES.index(cycle.stage or NAMES[0]) > NAMES.index(stage):
            return Completed(name="Done before", message=f"cycle {cycle.id} had got that far already")
        return Completed(
            message=f"the cycle ended as {_word(cycle.outcome)}: {cycle.reason}" if cycle.outcome else "the cycle goes on"
        )


def _task(stage: str, loop: Loop) -> Task[[], Any]:
    """One stage with its own retries; `Loop.run` keeps its time limit."""
    retries, delay, _ = loop.config.deploy.of(stage)

    @task(
        name=stage,
        task_run_name=stage,
        retries=retries,
        retry_delay_seconds=delay.total_seconds(),
        retry_condition_fn=may_pass,
        cache_policy=NO_CACHE,  # the ledger knows what is done
        persist_result=False,
    )
    def run_stage() -> State:
        return loop.run(stage)

    return run_stage


class CycleFailed(KeepfitError):
    """The cycle has ended as failed. The next run begins another, with the same data."""


def may_pass(_: Task[..., object], __: TaskRun, state: State) -> bool:
    """Whether a stage that failed is worth another try: what it waited for may be back, and its cycle is still unfinished.

    What a person must mend is not, nor is an error that has ended the cycle: the next run begins another with the same data.
    """
    error = state.result(raise_on_failure=False)
    if isinstance(error, Unforeseen):
        return not error.ended
    return isinstance(error, (LeaseHeld, Unavailable, TooLong, Died))


def _said(state: State) -> str:
    """What went wrong, in words."""
    error = state.result(raise_on_failure=False)
    return str(error) if isinstance(error, Exception) else state.message or state.name or ""


def _show(stage: str, cycle: Cycle, config: Config) -> None:
    """Attach what there is to see. That Prefect does not take it is no reason to run a stage again."""
    try:
        for shown in shown_after(stage, cycle, config):
            put(shown)
    except Exception as error:
        get_run_logger().warning("artifacts of %s could not be kept: %s", stage, error)


def _name_run(cycle: Cycle) -> None:
    """Name the flow run after its cycle, so that people find one by the other."""
    try:
        tags = {*(flow_run.tags or ()), cycle.project, cycle.id}
        get_client(sync_client=True).update_flow_run(flow_run.id, name=f"{cycle.project} {cycle.id}", tags=sorted(tags))
    except Exception as error:
        get_run_logger().warning("the flow run could not be named after its cycle: %s", error)


def _ending(cycle: Cycle | None) -> State:
    if cycle is None or cycle.outcome is None:
        stage = cycle.stage if cycle else "nothing"
        return Completed(name="Stopped", message=f"stopped after {stage}; the next run goes on from there")
    return Completed(name=_word(cycle.outcome).capitalize(), message=cycle.reason)


def _word(outcome: Outcome) -> str:
    return outcome.value.replace("_", " ")
