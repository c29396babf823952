"""How long `keepfit serve` takes from its start to the first answer."""

from __future__ import annotations

from benchmarks import measure, serving_projects, serving_servers
from benchmarks.measure import Limit, Row


def rows(repeat: int) -> list[Row]:
    """Until /ready answers 200: at first with nothing in the cache, then with the champion in it."""
    serving_servers.need_serving()
    with measure.workplace() as place:
        made = serving_projects.make_tabular(place / "project")
        cold, *warm = (started(made) for _ in range(repeat + 1))
    return [
        Row(what="start to ready, champion in the cache", keepfit=tuple(warm), bar=Limit(seconds=5)),
        Row(what="start to ready, first start of all", keepfit=(cold,)),
    ]


def started(made: serving_projects.Made) -> float:
    with serving_servers.keepfit(made.folder) as server:
        measure.say(f"  ready after {server.ready_after:.2f} s")
        return server.ready_after
