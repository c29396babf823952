"""Answers over HTTP from a logistic regression on twenty numbers: against MLflow's server and an endpoint that does nothing."""

from __future__ import annotations

from benchmarks import measure, serving_load, serving_projects, serving_rates, serving_servers
from benchmarks.measure import Row


def rows(repeat: int) -> list[Row]:
    """One worker each, on the loopback, one after the other."""
    serving_servers.need_serving("mlflow")
    measure.say(f"  loads by {serving_load.TOOL}")
    with measure.workplace() as place:
        made = serving_projects.make_tabular(place / "project")
        met = serving_rates.in_turn(serving_rates.sides(made, "numbers"), repeat)
    return serving_rates.rows("20 numbers", met, times=8, of_bare=0.6, most=5, wait=3)
