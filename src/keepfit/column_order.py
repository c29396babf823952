"""Whether a file's columns are exactly the contract's, in its order."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence

from keepfit.records import Finding
from keepfit.settings import Column

MOST_NAMED = 12  # names in a sentence


def out_of_order(names: Sequence[str], columns: Mapping[str, Column]) -> Finding | None:
    """What is extra, missing and misplaced; None when nothing is. Columns that are not required may be missing."""
    there = set(names)
    missing = [name for name, column in columns.items() if column.required and name not in there]
    extra = [name for name in names if name not in columns]
    moved = _misplaced([name for name in names if name in columns], [name for name in columns if name in there])
    if not (missing or extra or moved):
        return None
    parts = [f"{words} {_listed(some)}" for words, some in (("no", missing), ("also", extra)) if some]
    places, promised = {name: n + 1 for n, name in enumerate(names)}, {name: n + 1 for n, name in enumerate(columns)}
    parts += [f"{name!r} as column {places[name]} where {promised[name]} is its place" for name in moved[:3]]
    if len(moved) > 3:
        parts.append(f"{len(moved) - 3} more in other places")
    wanted = f"exactly the columns {_listed(list(columns))} in this order"
    return Finding(check="order", column=None, expected=wanted, found="; ".join(parts), rows=0)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:MOST_NAMED])) + (", ..." if len(names) > MOST_NAMED else "")


def _misplaced(found: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """The fewest columns whose moving brings `found` into the order of `wanted`: those outside a longest increasing run."""
    place = {name: number for number, name in enumerate(wanted)}
    lowest: list[int] = []  # the lowest place in which a run of each length ends
    ends: list[int] = []  # and where in `found` that is
    before: list[int | None] = []
    for position, name in enumerate(found):
        length = bisect.bisect_left(lowest, place[name])
        before.append(ends[length - 1] if length else None)
        lowest[length : length + 1], ends[length : length + 1] = [place[name]], [position]
    kept: set[int] = set()
    at = ends[-1] if ends else None
    while at is not None:
        kept.add(at)
        at = before[at]
    return [name for position, name in enumerate(found) if position not in kept]
