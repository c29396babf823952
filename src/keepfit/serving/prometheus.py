"""Figures for Prometheus, of all workers of a server together.

Several workers share a folder of memory-mapped files (prometheus_client's multiprocess mode): whoever starts them names it in
PROMETHEUS_MULTIPROC_DIR before they import this. What a single worker knows of itself is told for the one that answers.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, multiprocess, values
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from keepfit.serving.desk import Answered, Desk

MEDIA_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
FOLDER = "PROMETHEUS_MULTIPROC_DIR"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
ROWS = (1, 4, 16, 64, 256, 1000)
RESERVED = 1 << 18  # bytes of a worker's file: some 1,500 combinations of labels
OTHER = "other"  # path of what is no endpoint


def reserve() -> bool:
    """Take the room of this worker's files on the disk, before anything is counted; False where there is none: it then counts in
    its own memory. A mapped file with holes kills its process (SIGBUS) when the disk is full."""
    if FOLDER not in os.environ or not hasattr(os, "posix_fallocate"):
        return True
    made = [Path(os.environ[FOLDER], f"{kind}_{os.getpid()}.db") for kind in ("counter", "histogram")]
    try:
        for name in made:
            file = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                os.posix_fallocate(file, 0, RESERVED)
            finally:
                os.close(file)
    except OSError:
        for name in made:
            name.unlink(missing_ok=True)
        del os.environ[FOLDER]
        values.ValueClass = values.get_value_class()  # type: ignore[no-untyped-call]  # it has looked at the environment once
        return False
    return True


class Metrics:
    """Counts what leaves."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._registry = desk, CollectorRegistry()
        registry = None if FOLDER in os.environ else self._registry  # in files, they are collected from there
        self._requests = Counter("keepfit_requests", "Requests by path and status.", ["path", "status"], registry=registry)
        self._seconds = Histogram(
            "keepfit_request_seconds", "Time from a request's headers to its answer.", ["path"], registry=registry, buckets=SECONDS
        )
        self._answers = Counter(
            "keepfit_answers", "Answers by model version, route and class.", ["version", "route", "answer"], registry=registry
        )
        self._unlogged = Counter("keepfit_unlogged_answers", "Answers that are not in the log.", registry=registry)
        self._unasked = Counter(
            "keepfit_unasked_rows", "Rows that a silent model was not asked, because it fell behind.", registry=registry
        )
        self._failed = Counter(
            "keepfit_challenger_failures",
            "Requests that a challenger could not answer, so that the champion did.",
            registry=registry,
        )
        self._rows = Histogram("keepfit_batch_rows", "Rows of a batch.", registry=registry, buckets=ROWS)
        self._known: dict[tuple[str, int], Counter] = {}
        self._clocks: dict[str, Histogram] = {}
        self._told: dict[tuple[str, str, str], Counter] = {}
        self._unasked_before, self._failed_before = desk.unasked, desk.failed

    def request(self, path: str, status: int, seconds: float) -> None:
        """A request was answered; `path` is an endpoint's, or OTHER."""
        known = self._known.get((path, status))
        if known is None:
            known = self._known[path, status] = self._requests.labels(path, str(status))
            self._clocks[path] = self._seconds.labels(path)
        known.inc()
        self._clocks[path].observe(seconds)

    def answer(self, answered: Answered) -> None:
        """A row was answered. Numbers are counted as one class."""
        prediction = answered.answer.prediction
        told = (answered.version, answered.route, prediction if isinstance(prediction, str) else "")
        known = self._told.get(told)
        if known is None:
            known = self._told[told] = self._answers.labels(*told)
        known.inc()
        if not answered.logged:
            self._unlogged.inc()

    def batch(self, answered: Sequence[Answered]) -> None:
        """Several rows were."""
        self._rows.observe(len(answered))
        for each in answered:
            self.answer(each)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        unasked, failed = self._desk.unasked, self._desk.failed
        self._unasked.inc(unasked - self._unasked_before)
        self._failed.inc(failed - self._failed_before)
        self._unasked_before, self._failed_before = unasked, failed
        registry = CollectorRegistry()
        registry.register(_Own(self._desk))
        if FOLDER in os.environ:
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        else:
            registry.register(_Whole(self._registry))
        return generate_latest(registry)


class _Whole(Collector):
    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        return self._registry.collect()


class _Own(Collector):
    """What the answering worker has loaded."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("keepfit_ready", "Whether this worker can answer.", value=float(self._desk.ready))
        yield GaugeMetricFamily(
            "keepfit_problems", "Things that are wrong with this worker; /ready names them.", len(self._desk.problems)
        )
        info = GaugeMetricFamily("keepfit_model_info", "Versions that this worker follows.", labels=["model", "version", "role"])
        plan, served = self._desk.plan, self._desk.served
        roles = [("champion", served.placed)] if served else []
        roles += [("challenger", plan.challenger)] if plan.challenger else []
        roles += [("shadow", placed) for placed in plan.shadows]
        for role, placed in roles:
            info.add_metric([placed.model, placed.version, role], 1)
        yield info
