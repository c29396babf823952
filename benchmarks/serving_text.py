"""Answers over HTTP from the model of the template sms-spam: against MLflow's server on the same version."""

from __future__ import annotations

from benchmarks import measure, serving_load, serving_projects, serving_rates, serving_servers
from benchmarks.measure import Row


def rows(repeat: int) -> list[Row]:
    """One worker each; three hundred different messages."""
    serving_servers.need_serving("mlflow")
    measure.say(f"  loads by {serving_load.TOOL}")
    with measure.workplace() as place:
        made = serving_projects.make_text(place / "project")
        met = serving_rates.in_turn(serving_rates.sides(made, "text"), repeat)
    return serving_rates.rows("SMS", met, times=4, of_bare=None, most=5, wait=None)
