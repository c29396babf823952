"""Ray, through the backend for joblib that it brings along."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from keepfit.adapters.joblib_engine.links import AWAY, Link, host_and_port, knock, quiet, signals_kept
from keepfit.errors import Unavailable
from keepfit.extras import require

EXAMPLE = "'ray://HOST:PORT' as `ray start --head` names it, 'ray://auto' or 'ray://local'"
SILENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}  # reports nowhere; a warning of Ray's own


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
            _start(ray, place, url, count)
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
    return Link(backend=lambda: "ray", slots=slots, options={"ray_remote_args": {"num_cpus": 1}}, least=1)


def _start(ray: Any, place: str, url: str, count: int) -> None:
    more = {"include_dashboard": False, "num_cpus": count if count > 0 else None} if place == "local" else {}
    try:
        with signals_kept():
            ray.init(address=place, log_to_driver=False, logging_level=logging.CRITICAL, configure_logging=False, **more)
    except Exception as error:  # Ray's own, Python's and its RPC library's, by what is wrong
        reason = str(error).strip().partition("\n")[0]
        raise Unavailable(f"{url} does not answer as Ray does: {type(error).__name__}: {reason}. {AWAY}") from error
