"""Runs DAGs for several dates in one process, as `airflow dags test` runs one for one; started by Airflow's own Python.

A line of JSON in, a line out: {"dag", "date"} runs a DAG for a logical date and tells its state, its tasks' states and the asset
events that came of it; {"variable"} tells a Variable, and with "delete" deletes it; {} tells what Airflow's parser found.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import time
import warnings
from typing import Any


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # Airflow's own words are no answer
    warnings.simplefilter("ignore")
    _be_quick()
    for line in sys.stdin:
        answers.write(json.dumps(_answer(json.loads(line))) + "\n")
        answers.flush()


def _be_quick() -> None:
    """`Dag.test` makes Airflow's API anew for every task, and waits for a second wherever one skipped task leads to the next."""
    from airflow.sdk.execution_time import supervisor

    supervisor.in_process_api_server = functools.cache(supervisor.in_process_api_server)
    slept = time.sleep
    time.sleep = lambda seconds: slept(min(seconds, 0.01))


def _answer(request: dict[str, Any]) -> Any:
    if "dag" in request:
        return _run(request["dag"], request["date"], request.get("conf"))
    if "variable" in request:
        return _variable(request["variable"], delete=request.get("delete", False))
    return _parsed()


def _parsed() -> dict[str, Any]:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(include_examples=False)
    return {"errors": bag.import_errors, "dags": {name: list(dag.task_dict) for name, dag in bag.dags.items()}}


def _run(dag: str, date: str, conf: dict[str, Any] | None) -> dict[str, Any]:
    from airflow.models.asset import AssetEvent
    from airflow.models.dagrun import DagRun
    from airflow.utils.cli import get_bagged_dag
    from airflow.utils.session import create_session
    from pendulum import parse
    from sqlalchemy import func, select

    with create_session() as session:
        known = session.scalar(select(func.max(AssetEvent.id))) or 0
    found = get_bagged_dag(bundle_names=None, dag_id=dag)
    run_id = found.test(logical_date=parse(date), run_conf=conf).run_id
    with create_session() as session:
        run = session.scalars(select(DagRun).where(DagRun.dag_id == dag, DagRun.run_id == run_id)).one()
        events = session.scalars(select(AssetEvent).where(AssetEvent.id > known).order_by(AssetEvent.id))
        states = {instance.task_id: str(instance.state) for instance in run.get_task_instances(session=session)}
        return {
            "state": str(run.state),
            "tasks": {name: states[name] for name in found.task_dict},  # in the DAG's order
            "events": [{"asset": event.asset.name, **event.extra} for event in events],
        }


def _variable(name: str, *, delete: bool) -> str | None:
    from airflow.models.variable import Variable

    found: str | None = Variable.get(name, default_var=None)
    if delete:
        Variable.delete(name)
    return found


if __name__ == "__main__":
    main()
