"""Two profiles of texts as two samples over the same words: the whole of them, or that part of which chance can be told.

What is a sum over texts (how often words occur, histograms) is known of all of them. How texts differ from each other, which tells
what chance does, is known of the sampled ones only. A side whose texts are all in the sample is enough to tell it by. Where
neither side is such a one, only texts with hashes below both samples' bounds are compared, since which texts these are does not
depend on the side they are on.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp
from typing import Any

import numpy as np
from scipy.sparse import csr_array, vstack
from scipy.special import gammaln

from keepfit.stats.text import UNIT, TextProfile

OVERLAP = 0.3  # share of the current texts that the reference holds word for word, from which on there are two readings

_ROWS = 8_192  # texts of a side that are dealt out
_COPIES = 20  # of a text, beyond which it is left out where only samples are compared


@dataclass(frozen=True, eq=False)
class Side:
    """One sample over the words of both."""

    documents: int
    units: int  # independent ones among them
    occurrences: np.ndarray  # (words,) how often each word occurs
    appearances: np.ndarray  # (words,) in how many texts
    weights: np.ndarray  # (words,) sum of the texts' word counts, each text's vector of length 1
    histograms: np.ndarray  # (features, bins) texts
    complete: bool  # whether the rows stand for all of the texts
    rows: Any  # sparse (r, words) word counts of the texts that are known one by one
    bins: np.ndarray  # (r, features)


@dataclass(frozen=True, eq=False)
class Pair:
    """Two samples that are compared."""

    reference: Side
    current: Side

    @property
    def spread(self) -> float:
        """1/n + 1/m, which a difference of means varies with."""
        return 1 / self.reference.units + 1 / self.current.units

    @property
    def known(self) -> tuple[Side, ...]:
        """The sides by whose texts chance is told: those of which all texts are known, since a sample lacks most copies."""
        return tuple(side for side in (self.reference, self.current) if side.complete) or (self.reference, self.current)

    @property
    def rarest(self) -> float:
        """The chance of one certain division of all units to two sides: no p-value can be smaller."""
        n, m = self.reference.units, self.current.units
        return exp(gammaln(n + 1) + gammaln(m + 1) - gammaln(n + m + 1))

    @property
    def judged(self) -> bool:
        """Whether there is anything to tell chance from drift by."""
        return min(self.reference.units, self.current.units) > 1


@dataclass(frozen=True, eq=False)
class Part:
    """What of two samples is compared beside the whole."""

    pair: Pair
    share: float  # of the current texts


def whole_pair(reference: TextProfile, current: TextProfile, units: tuple[int, int] | None) -> Pair:
    """All texts of both sides; `units` as for `text_drift`."""
    words = np.union1d(reference.words, current.words)
    sizes = units or (reference.documents, current.documents)
    return Pair(_side(reference, words, sizes[0]), _side(current, words, sizes[1]))


def _side(profile: TextProfile, words: np.ndarray, units: int) -> Side:
    def spread(values: np.ndarray) -> np.ndarray:
        found = np.zeros(len(words))
        found[np.searchsorted(words, profile.words)] = values
        return found

    share = min(1.0, _ROWS / max(profile.documents, 1))  # a million copies need not be dealt out one by one
    stands = np.repeat(np.arange(len(profile.texts)), np.maximum(np.rint(profile.copies * share), 1).astype(np.int64))
    return Side(
        documents=profile.documents,
        units=min(units, profile.documents),
        occurrences=spread(profile.occurrences),
        appearances=spread(profile.appearances),
        weights=spread(profile.weights),
        histograms=profile.histograms,
        complete=profile.complete,
        rows=_sampled_rows(profile, words)[stands],
        bins=profile.bins[stands],
    )


def _sampled_rows(profile: TextProfile, words: np.ndarray) -> Any:
    starts = np.concatenate([[0], np.cumsum(profile.sizes)])
    columns = np.searchsorted(words, profile.sample_words)
    return csr_array((profile.sample_counts.astype(float), columns, starts), shape=(len(profile.texts), len(words)))


def _bound(profile: TextProfile) -> int:
    """Every text with a hash up to this one is in the sample."""
    return 2**64 - 1 if profile.complete else int(profile.texts[-1])


def sampled_pair(reference: TextProfile, current: TextProfile, whole: Pair) -> Pair:
    """The texts of both sides whose hashes are small enough to be in either sample, without those of more than 20 copies.

    Which texts these are does not depend on the side they are on, so that nothing but chance and drift sets the two apart. Of two
    whole columns that cannot be said: a sample of different texts is blind to the one that makes up a third of the column.
    """
    bound = np.uint64(min(_bound(reference), _bound(current)))
    words = np.union1d(reference.words, current.words)
    texts, places = np.unique(np.concatenate([reference.texts, current.texts]), return_inverse=True)
    copies = np.bincount(places, weights=np.concatenate([reference.copies, current.copies]), minlength=len(texts))
    kept = texts[(texts <= bound) & (copies <= _COPIES)]
    sides = []
    for profile, side in ((reference, whole.reference), (current, whole.current)):
        inside = np.isin(profile.texts, kept)
        stands = np.repeat(np.flatnonzero(inside), profile.copies[inside])
        sides.append(_of_rows(_sampled_rows(profile, words)[stands], profile.bins[stands], side))
    return Pair(*sides) if min(side.documents for side in sides) else whole


def once_only(reference: TextProfile, current: TextProfile, whole: Pair) -> Part | None:
    """The texts that occur once in both samples together; None where the samples share too little, or nothing is left."""
    bound = np.uint64(min(_bound(reference), _bound(current)))
    within = current.texts <= bound
    known = int(current.copies[within].sum())
    shared = int(current.copies[within & np.isin(current.texts, reference.texts)].sum())
    if not known or shared < OVERLAP * known:
        return None
    words = np.union1d(reference.words, current.words)
    sides = []
    for profile, other, side in ((reference, current, whole.reference), (current, reference, whole.current)):
        once = (profile.texts <= bound) & (profile.copies == 1) & ~np.isin(profile.texts, other.texts)
        sides.append(_of_rows(_sampled_rows(profile, words)[np.flatnonzero(once)], profile.bins[once], side))
    if min(side.documents for side in sides) < 2:
        return None
    return Part(Pair(*sides), sides[1].documents / known)


def _of_rows(rows: Any, bins: np.ndarray, side: Side) -> Side:
    """A sample of which all texts are known, grouped as those of `side` are."""
    bins_held = [np.bincount(column, minlength=side.histograms.shape[1]) for column in bins.T]
    return Side(
        documents=rows.shape[0],
        units=max(1, rows.shape[0] * side.units // side.documents),
        occurrences=np.asarray(rows.sum(axis=0)).ravel(),
        appearances=np.bincount(rows.indices, minlength=rows.shape[1]),
        weights=np.asarray((unit_rows(rows) * UNIT).sum(axis=0)).ravel(),
        histograms=np.stack(bins_held),
        complete=True,
        rows=rows,
        bins=bins,
    )


def unit_rows(rows: Any) -> Any:
    """Each text's word counts brought to length 1, in a sparse matrix."""
    lengths = np.sqrt(np.asarray((rows * rows).sum(axis=1)).ravel())
    return rows.multiply(1 / np.maximum(lengths, 1)[:, None]).tocsr()


@dataclass(frozen=True, eq=False)
class Deals:
    """Known texts dealt out anew to two sides, many times."""

    rows: Any  # sparse (texts, words) word counts
    current: np.ndarray  # (texts, deals): 1 where a text is dealt to the current side
    sizes: tuple[int, int]  # texts of each side
    wider: float  # how much the variance of a mean is larger at the samples' own sizes


def dealt_out(pair: Pair, deals: int, seed: int) -> Deals:
    """The known texts of both sides dealt out to sides of their sizes; those of one known side, to two halves."""
    rows = vstack([side.rows for side in pair.known]).tocsr()
    m = len(pair.current.bins) if len(pair.known) == 2 else rows.shape[0] // 2
    n = rows.shape[0] - m
    sides = np.broadcast_to(np.repeat([0.0, 1.0], [n, m])[:, None], (n + m, deals))
    dealt = np.random.default_rng(seed).permuted(sides, axis=0)
    return Deals(rows, dealt, (n, m), pair.spread / (1 / n + 1 / m))
