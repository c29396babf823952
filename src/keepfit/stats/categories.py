"""Categories reduced to exact counts of a reference's most frequent names, and hashes of all others.

Other names are counted in hashed buckets. Of those with the smallest hashes (a random choice that every piece of the data makes
alike) the counts are kept exactly, by name. This merges exactly: the name with the k-th smallest hash of the whole is among the k
smallest in every piece that it occurs in, so its count is the sum of what the pieces kept (the argument of bottom-k sketches:
Cohen and Kaplan, *Summarizing data using bottom-k sketches*, 2007).
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from keepfit.stats.numbers import EXAMPLES

NAMES = 1000  # names that are counted one by one
BUCKETS = 256  # hashed buckets of all other names
KEPT = 500  # other names whose counts are kept exactly
NAME_LENGTH = 200  # a longer name is cut, and checksums added


@dataclass(frozen=True, kw_only=True, eq=False)
class CategoryProfile:
    """Names with their counts."""

    kind: str = "category"  # or "boolean"
    names: tuple[str, ...]  # those counted one by one: the reference's most frequent, in its order
    counts: np.ndarray  # (k,) int64
    buckets: np.ndarray  # (b,) int64: cells with other names, by hash
    others: Mapping[str, int] = field(default_factory=dict)  # other names with the smallest hashes: their cells
    others_complete: bool = True  # whether `others` holds all other names
    missing: int = 0
    unread: int = 0  # cells that are no name (or neither true nor false)
    examples: tuple[str, ...] = ()  # up to three of these

    @property
    def filled(self) -> int:
        """Cells with a name."""
        return int(self.counts.sum() + self.buckets.sum())

    def merge(self, other: CategoryProfile) -> CategoryProfile:
        """The profile of both columns' names. Raises `ValueError` when they track different names."""
        if self.kind != other.kind or self.names != other.names or len(self.buckets) != len(other.buckets):
            raise ValueError("Two category profiles with different names cannot be merged: make both with the same `like`.")
        both = {name: self.others.get(name, 0) + other.others.get(name, 0) for name in {**self.others, **other.others}}
        others, all_of_them = _smallest(both)
        return replace(
            self,
            counts=self.counts + other.counts,
            buckets=self.buckets + other.buckets,
            others=others,
            others_complete=self.others_complete and other.others_complete and all_of_them,
            missing=self.missing + other.missing,
            unread=self.unread + other.unread,
            examples=tuple(dict.fromkeys(self.examples + other.examples))[:EXAMPLES],
        )

    def absent(self, rows: int) -> CategoryProfile:
        """The profile, in this layout, of rows without this column."""
        return replace(category_profile((), np.empty(0), names=self.names, missing=rows), kind=self.kind)


def category_profile(
    labels: Sequence[str], counts: np.ndarray, *, names: Sequence[str], missing: int = 0, **others: Any
) -> CategoryProfile:
    """The profile of distinct labels and their counts, (n,) each, of which those in `names` are counted one by one."""
    counts = np.asarray(counts, dtype=np.int64)
    place = {name: number for number, name in enumerate(names)}
    tracked = np.zeros(len(names), dtype=np.int64)
    rest: dict[str, int] = {}
    for label, count in zip(labels, counts.tolist(), strict=True):
        label = category_label(label)
        number = place.get(label)
        if number is None:
            rest[label] = rest.get(label, 0) + count
        else:
            tracked[number] += count
    return CategoryProfile(names=tuple(names), counts=tracked, missing=missing, **_hashed(rest), **others)


def category_label(name: str) -> str:
    """The name, or where it is very long its beginning and a checksum."""
    if len(name) <= NAME_LENGTH:
        return name
    content = name.encode(errors="surrogatepass")
    return f"{name[: NAME_LENGTH - 30]}… {len(name)} characters, {zlib.crc32(content):08x}{zlib.adler32(content):08x}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Aligned:
    """What two profiles can tell apart, all of it disjoint: names first, then the hashed buckets less those names."""

    names: list[str]  # whose counts both know exactly
    tracked: int  # how many of these, at the beginning, the reference tracks: it chose them, as its most frequent
    buckets: np.ndarray  # (b,) that either side holds something else in
    reference: np.ndarray  # (names + b,) counts
    current: np.ndarray
    known: tuple[float, str]  # up to this `rank` both know the count of every name, whether tracked or not

    @property
    def chosen(self) -> np.ndarray:
        """(names,) bool: those up to that rank. This choice does not depend on what the reference happens to hold."""
        by_hash = [rank(name) <= self.known for name in self.names[: self.tracked]]
        return np.array(by_hash + [True] * (len(self.names) - self.tracked), dtype=bool)


def aligned(reference: CategoryProfile, current: CategoryProfile) -> Aligned:
    """What both can tell apart. Raises `ValueError` when `current` was made with another layout."""
    if reference.names != current.names or len(reference.buckets) != len(current.buckets):
        raise ValueError("The two profiles track different names: make the current one with like=reference.")
    known = min(reach(reference), reach(current))
    shared = sorted(name for name in {*reference.others, *current.others} if rank(name) <= known)
    places = bucket_of(shared, len(reference.buckets))
    sides = []
    for side in (reference, current):
        exact = np.array([side.others.get(name, 0) for name in shared], dtype=np.int64)
        rest = side.buckets.copy()
        np.subtract.at(rest, places, exact)
        sides.append((np.concatenate([side.counts, exact]), rest))
    (one, one_rest), (other, other_rest) = sides
    held = np.flatnonzero((one_rest > 0) | (other_rest > 0))
    return Aligned(
        names=[*reference.names, *shared],
        tracked=len(reference.names),
        buckets=held,
        reference=np.concatenate([one, one_rest[held]]),
        current=np.concatenate([other, other_rest[held]]),
        known=known,
    )


def aligned_categories(reference: CategoryProfile, current: CategoryProfile) -> tuple[list[str], np.ndarray, np.ndarray]:
    """What both can tell apart: labels and the counts (n,) of each side, all of them disjoint.

    First the tracked names, then the other names whose counts both know exactly, then the hashed buckets less those names, as far
    as either holds something. Raises `ValueError` when `current` was made with another layout.
    """
    both = aligned(reference, current)
    return [*both.names, *(f"other names, group {number}" for number in both.buckets)], both.reference, both.current


def sampled_categories(reference: CategoryProfile, current: CategoryProfile) -> tuple[np.ndarray, np.ndarray]:
    """Counts of both sides, (n,) each, of every name whose hash is small: of all names, or where a profile could not keep all of
    them, of a choice that does not depend on what the reference happens to hold, as the tracked names do.

    Raises `ValueError` when `current` was made with another layout.
    """
    both = aligned(reference, current)
    chosen, names = both.chosen, len(both.names)
    return both.reference[:names][chosen], both.current[:names][chosen]


def distinct(profile: CategoryProfile) -> float:
    """Different names for each cell, at most 1; of many names an estimate from those with the smallest hashes. 0 without cells."""
    known = reach(profile)
    counts = [int(count) for name, count in zip(profile.names, profile.counts, strict=True) if count and rank(name) <= known]
    counts += [count for name, count in profile.others.items() if rank(name) <= known]
    if not counts:
        return 0.0
    all_names = len(counts) if profile.others_complete else len(counts) * 2**32 / (known[0] + 1)
    return float(min(len(counts) / sum(counts), all_names / profile.filled, 1.0))


def bucket_of(names: Sequence[str], buckets: int) -> np.ndarray:
    """The bucket (n,) that each name is counted in, where it is not tracked."""
    return np.array([_hash(name) % buckets for name in names], dtype=np.intp)


def rank(name: str) -> tuple[int, str]:
    """The order in which other names are kept: by hash, equal hashes by name."""
    return _hash(name), name


def reach(profile: CategoryProfile) -> tuple[float, str]:
    """Up to which `rank` the profile knows every other name's count."""
    return (float("inf"), "") if profile.others_complete else max(map(rank, profile.others))


def _hashed(rest: Mapping[str, int]) -> dict[str, Any]:
    buckets = np.zeros(BUCKETS, dtype=np.int64)
    if not rest:
        return {"buckets": buckets, "others": {}, "others_complete": True}
    hashes = np.fromiter(map(_hash, rest), dtype=np.int64, count=len(rest))
    np.add.at(buckets, hashes % BUCKETS, np.fromiter(rest.values(), dtype=np.int64, count=len(rest)))
    if len(rest) > KEPT:
        bound = np.partition(hashes, KEPT)[KEPT]
        rest = {name: count for (name, count), small in zip(rest.items(), (hashes <= bound).tolist(), strict=True) if small}
    kept, complete = _smallest(rest)
    return {"buckets": buckets, "others": kept, "others_complete": complete and len(hashes) <= KEPT}


def _smallest(counts: Mapping[str, int]) -> tuple[dict[str, int], bool]:
    """The names with the smallest hashes, in that order, and whether these are all."""
    return {name: counts[name] for name in sorted(counts, key=rank)[:KEPT]}, len(counts) <= KEPT


def _hash(name: str) -> int:
    return zlib.crc32(name.encode(errors="surrogatepass"))
