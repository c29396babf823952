"""Ray, through the backend for joblib that it brings along."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from keepfit.adapters.joblib_engine.links import Link, host_and_port, knock, quiet, signals_kept, within
from keepfit.extras import require

EXAMPLE = "'ray://HOST:PORT' as `ray start --head` names it, 'ray://auto' or 'ray://local'"
SILENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nobody reports home
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else it warns of a change to come
    "RAY_DEDUP_LOGS_SKIP_REGEX": "^",  # what it says of lost workers would go to our standard output
}


@contextmanager
def connected(url: str, count: int, seconds: float) -> Iterator[Link]:
    """A connection to the cluster that this machine is part of, or one of this process' own for 'ray://local'."""
    for name, value in SILENT.items():
        os.environ.setdefault(name, value)
    ray = require("ray", extra="ray", why="[engine] url = 'ray://...'")
    place = url.removeprefix("ray://").rstrip("/")
    if place not in ("local", "auto"):
        host, port = host_and_port(url, EXAMPLE)
        knock(host, port, url, seconds, "Start it there: ray start --head.")
    own = not ray.is_initialized()
    with quiet("ray"):
        if own:
            _start(ray, place, url, count, seconds)
        from ray.util.joblib import register_ray

        register_ray()
        try:
            yield _link(ray)
        finally:
            if own:
                ray.shutdown()


def _link(ray: Any) -> Link:
    def slots() -> int:
        return int(ray.cluster_resources().get("CPU", 0))

    # Ray refuses more tasks than it has CPUs. By itself it would put all of them on one CPU.
    return Link(backend=lambda: "ray", slots=slots, options={"ray_remote_args": {"num_cpus": 1}}, lasting=True, least=1)


def _start(ray: Any, place: str, url: str, count: int, seconds: float) -> None:
    said: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL, "configure_logging": False}
    with signals_kept():
        if place == "local":  # which takes some seconds, and nobody is waited for
            ray.init("local", include_dashboard=False, num_cpus=count if count > 0 else None, **said)
        else:
            within(seconds, lambda: ray.init(place, **said), url, "Ray")
