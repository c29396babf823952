"""One project behind three servers in turn: MLflow's own, an endpoint that does nothing, and keepfit's with its log on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from benchmarks import measure, serving_load, serving_servers
from benchmarks.measure import Limit, Row
from benchmarks.serving_load import Loaded
from benchmarks.serving_projects import Made
from benchmarks.serving_servers import Start

FEW, MANY = 1, 16  # connections
MLFLOW, BARE, OURS = "mlflow models serve", "bare FastAPI", "keepfit serve"

Met = dict[tuple[str, int], list[Loaded]]  # who, connections -> every load


@dataclass(frozen=True, kw_only=True)
class Side:
    """A server, and what it is asked."""

    start: Start
    path: str
    bodies: Path


def sides(made: Made, kind: str) -> dict[str, Side]:
    """The three servers of one project; `kind` is what the bare endpoint's body holds: numbers or text."""
    plain = serving_load.write_bodies(made.folder / "rows.jsonl", made.rows)
    split = serving_load.write_bodies(made.folder / "rows-for-mlflow.jsonl", made.as_mlflow)
    return {
        MLFLOW: Side(start=lambda: serving_servers.mlflow(made.folder, made.model), path="/invocations", bodies=split),
        BARE: Side(start=lambda: serving_servers.bare(made.folder, kind), path="/predict", bodies=plain),
        OURS: Side(start=lambda: serving_servers.keepfit(made.folder), path="/predict", bodies=plain),
    }


def in_turn(sides: dict[str, Side], repeat: int) -> Met:
    """In rounds: each server is started alone, warmed up, asked over one connection, then over many, and ended."""
    met: Met = {(who, connections): [] for who in sides for connections in (FEW, MANY)}
    for _ in range(repeat):
        for who, side in sides.items():
            with side.start() as server:
                url = server.url(side.path)
                serving_load.put_on(url, side.bodies, MANY, serving_load.WARM_UP)
                for connections in (FEW, MANY):
                    load = serving_load.put_on(url, side.bodies, connections)
                    met[who, connections].append(load)
                    measure.say(f"  {who}, {connections}: {load.rate:,.0f} req/s, p50 {load.p50:.2f} ms, p99 {load.p99:.2f} ms")
    return met


def figures(met: Met, who: str, connections: int, what: Callable[[Loaded], float]) -> tuple[float, ...]:
    return tuple(what(load) for load in met[who, connections])


def rows(name: str, met: Met, *, times: float, of_bare: float | None, most: float | None, wait: float | None) -> list[Row]:
    """The lines of one project. `times` and `of_bare` are what the throughput must reach of MLflow's and of the bare endpoint's,
    `most` the milliseconds of the 99th percentile over one connection, `wait` how many times the bare endpoint's it may be over
    many; None: no bar."""
    rate, p95, p99 = attrgetter("rate"), attrgetter("p95"), attrgetter("p99")

    def line(
        what: str,
        unit: str,
        connections: int,
        value: Callable[[Loaded], float],
        peer: str,
        bar: Limit | None = None,
        aim: Limit | None = None,
    ) -> Row:
        ours, theirs = (figures(met, who, connections, value) for who in (OURS, peer))
        plural = "connection" if connections == 1 else "connections"
        told = f"{name}: {what}, {connections} {plural}"
        return Row(what=told, unit=unit, keepfit=ours, peer=theirs, against=peer, bar=bar, aim=aim)

    return [
        line("answers a second", "req/s", MANY, rate, MLFLOW, bar=Limit(least=times)),
        line("answers a second", "req/s", MANY, rate, BARE, bar=Limit(least=of_bare) if of_bare else None),
        line("answers a second", "req/s", FEW, rate, MLFLOW),
        line("answers a second", "req/s", FEW, rate, BARE),
        line("p95", "ms", FEW, p95, BARE, aim=Limit(most=3)),
        line("p99", "ms", FEW, p99, BARE, bar=Limit(most=most) if most else None),
        line("p99", "ms", MANY, p99, BARE, bar=Limit(share=wait) if wait else None),
        line("p99", "ms", MANY, p99, MLFLOW),
    ]
