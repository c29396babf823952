"""Dask, through the backend that joblib has for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from keepfit.adapters.joblib_engine.links import Link, host_and_port, knock, quiet, within
from keepfit.extras import require


@contextmanager
def connected(url: str, count: int, seconds: float) -> Iterator[Link]:  # noqa: ARG001 - Dask's workers are there already
    """A connection to a scheduler. Encrypted where Dask's own settings name certificates."""
    distributed = require("distributed", extra="dask", why="[engine] url = 'dask://...'")
    dask = require("dask", extra="dask", why="[engine] url = 'dask://...'")
    host, port = host_and_port(url, "'dask://HOST:PORT', the address of Dask's scheduler")
    knock(host, port, url, seconds, "Start a scheduler there: dask scheduler.")
    protocol = "tls" if dask.config.get("distributed.comm.tls.ca-file", None) else "tcp"
    address = f"{protocol}://{f'[{host}]' if ':' in host else host}:{port}"
    with quiet("distributed"):
        client = within(seconds, lambda: distributed.Client(address, timeout=seconds, set_as_default=False), url, "Dask")
        try:
            yield _link(client, seconds)
        finally:
            client.close(timeout=seconds)


def _link(client: Any, seconds: float) -> Link:
    from joblib._dask import DaskDistributedBackend

    class Backend(DaskDistributedBackend):  # type: ignore[misc]  # joblib publishes no types
        def effective_n_jobs(self, n_jobs: int) -> int:
            return max(2, int(super().effective_n_jobs(n_jobs)))  # with one, joblib would do the work here

    def slots() -> int:
        return sum(client.ncores().values()) if client.status == "running" else 0

    def share(value: Any) -> Any:
        """A copy on every worker, so that none is lost with one of them."""
        return client.scatter([value], broadcast=True, hash=False, timeout=seconds)[0]

    return Link(backend=lambda: Backend(client=client), slots=slots, share=share, one_by_one=True)
