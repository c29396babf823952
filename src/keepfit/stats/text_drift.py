"""How far the texts of one profile lie from those of another: words never seen, words used more or less, style, single terms.

| measure | value | smallest score that counts |
|---|---|---|
| `vocabulary` | share of the current words that the reference has never seen | 0.0025 |
| `tfidf` | 1 - cosine of the mean tf-idf vectors | 0.0005 |
| `characters` | squared distance of the means of `words.FEATURES`, in standard deviations (Mahalanobis) | 0.005 |
| `terms` | difference in the share of texts that hold the term which differs most | 0.01 |

Each comes with its mean when nothing has drifted, at these sample sizes, and the chance of such a value then; the score is what
the value exceeds that mean by. The formulas stand at the functions. A text is the unit: words come in texts, so that
counting words one by one would take chance for drift.

**Two readings.** Where current texts are in the reference word for word (a part of the reference was replaced, or the files
overlap), two samples are more alike than chance makes them, and a test of independent samples finds little. Then the texts
that occur only once in both samples together are compared as well: if nothing has drifted it is chance on which side each of them
lies, whatever the others do. Their score is scaled down to their share of the current texts, and the p-value is twice the
smaller of the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, sqrt
from typing import Any

import numpy as np
from scipy.sparse import csr_array, vstack
from scipy.special import betainc, gammainc, gammaincc, gammaln, ndtr, ndtri

from keepfit.records import Measure
from keepfit.stats.text import UNIT, TextProfile

EFFECTS: Mapping[str, float] = {"vocabulary": 0.0025, "tfidf": 0.0005, "characters": 0.005, "terms": 0.01}
OVERLAP = 0.3  # share of the current texts that the reference holds word for word, from which on there are two readings

_ROWS = 4_096  # texts of a side that stand for its spread
_DEALS = 200  # how often the texts are dealt out anew
_CELLS = 4_000_000  # of a matrix made at a time
_TERMS = 5_000  # terms looked at one by one
_LEVEL = 0.01  # a term is looked at when it could reach this level at all (Tarone 1990)
_SMALLEST, _NOTHING = 1e-300, 0.9  # p-values as they are combined: none is nought, and one of 1 does not outvote the others


def text_drift(
    reference: TextProfile, current: TextProfile, *, seed: int = 0, units: tuple[int, int] | None = None
) -> tuple[Measure, ...]:
    """The four measures, in the order of `EFFECTS`. Equal arguments give equal numbers.

    `units`: how many independent units (groups) the texts of each side come from, where they belong together.

    Undefined, with None: every number where a side has no texts; `vocabulary`, `tfidf` and `terms` where a side has no words; every
    p-value where a side has a single text or unit. Empty texts are texts: they count for `characters`.
    """
    whole = _whole(reference, current, units)
    found = (vocabulary(whole), tfidf(whole, seed), characters(whole), terms(whole, seed))
    part = _once_only(reference, current, whole)
    if part is None:
        return found
    others = (None, tfidf(part.pair, seed), characters(part.pair), terms(part.pair, seed))
    return tuple(_either(one, other, part.share) for one, other in zip(found, others, strict=True))


def deciding(measures: Sequence[Measure]) -> Measure | None:
    """The surest of the measures whose score counts; where none does, the surest. None where no p-value is defined."""
    judged = [measure for measure in measures if measure.p_value is not None]
    return min(
        [measure for measure in judged if _counts(measure)] or judged, key=lambda measure: measure.p_value or 0.0, default=None
    )


def combined(measures: Sequence[Measure]) -> float | None:
    """One p-value for the column. None where no measure has one.

    Cauchy's combination (Liu and Xie 2020): with t the mean of cot(pi p), p = arccot(t) / pi. It holds in the tail however the
    measures depend on each other, costs no more than Bonferroni where one measure alone speaks, and less where several do. A
    measure whose score does not count says nothing here, so that drift too small to count does not decide.
    """
    judged = [measure for measure in measures if measure.p_value is not None]
    if not judged:
        return None
    told = [measure.p_value if _counts(measure) and measure.p_value is not None else 1.0 for measure in judged]
    return float(np.arctan2(1, np.mean(1 / np.tan(np.pi * np.clip(told, _SMALLEST, _NOTHING)))) / np.pi)


def _counts(measure: Measure) -> bool:
    return (measure.score or 0.0) >= EFFECTS[measure.name]


# ------------------------------------------------------------------------------------------------------------ measures


@dataclass(frozen=True, eq=False)
class Side:
    """One sample over the words of both."""

    documents: int
    units: int  # independent ones among them
    occurrences: np.ndarray  # (words,) how often each word occurs
    appearances: np.ndarray  # (words,) in how many texts
    weights: np.ndarray  # (words,) sum of the texts' word counts, each text's vector of length 1
    histograms: np.ndarray  # (features, bins) texts
    rows: Any  # sparse (r, words) word counts of texts that stand for all
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
    def rarest(self) -> float:
        """The chance of one certain division of all units to two sides: no p-value can be smaller."""
        n, m = self.reference.units, self.current.units
        return exp(gammaln(n + 1) + gammaln(m + 1) - gammaln(n + m + 1))

    @property
    def judged(self) -> bool:
        """Whether there is anything to tell chance from drift by."""
        return min(self.reference.units, self.current.units) > 1


def vocabulary(pair: Pair) -> Measure:
    """The share of current word occurrences that the reference has never seen.

    Expected: the share of the reference's occurrences whose word is in no other text, which is what leaving one text out
    shows (Good 1953). Its spread: the texts' numbers of unseen words less the mean's share of their words, as for a ratio of
    means; on the reference's side times 1 + 2 f2 / f1, with f1 and f2 words in one and in two texts, because what is left to be
    seen varies too (Robbins 1968; Esty 1983). p: the gamma tail with the mean, variance and skewness of that difference.
    """
    reference, current = pair.reference, pair.current
    if not reference.occurrences.sum() or not current.occurrences.sum():
        return Measure(name="vocabulary", value=None)
    once, never = reference.appearances == 1, reference.appearances == 0
    expected = float(reference.occurrences[once].sum() / reference.occurrences.sum())
    value = float(current.occurrences[never].sum() / current.occurrences.sum())
    p_value = None
    if pair.judged:
        more = 1 + 2 * (reference.appearances == 2).sum() / max(once.sum(), 1)
        one, other = _residuals(reference.rows, once), _residuals(current.rows, never)
        variance = more * one.var() / reference.units + other.var() / current.units
        third = (other**3).mean() / current.units**2 - (one**3).mean() / reference.units**2
        p_value = max(_tail(value - expected, 0.0, float(variance), float(third)), pair.rarest)
    return _measure("vocabulary", value, expected, p_value)


def tfidf(pair: Pair, seed: int) -> Measure:
    """1 - cosine of the two mean tf-idf vectors.

    A text's word counts are brought to length 1 and multiplied by ln((1 + N) / (1 + d)) + 1 for a word in d of the N texts of both
    sides. Expected and p: the texts are dealt out anew to two sides of the same sizes (Pitman 1937); p is the tail of the
    gamma distribution with the same three moments (Pearson's type III), since it is asked for levels that counting does not reach.
    """
    reference, current = pair.reference, pair.current
    texts = reference.documents + current.documents
    rarity = np.log((1 + texts) / (1 + reference.appearances + current.appearances)) + 1
    one, other = rarity * reference.weights, rarity * current.weights
    if not one.any() or not other.any():
        return Measure(name="tfidf", value=None)
    value = float(1 - one @ other / sqrt((one @ one) * (other @ other)))
    value = max(value, 0.0)  # rounding of equal vectors
    if not pair.judged:
        return _measure("tfidf", value, None, None)
    dealt = _dealt_cosines(pair, rarity, seed)
    third = float(((dealt - dealt.mean()) ** 3).mean())
    p_value = max(_tail(value, float(dealt.mean()), float(dealt.var()), third), pair.rarest)
    return _measure("tfidf", value, float(dealt.mean()), p_value)


def characters(pair: Pair) -> Measure:
    """How far length and style lie apart: D^2 = d' S^-1 d, with d the difference of the mean scores and S their covariance.

    A text's score in a feature is the normal score of its rank among the texts of both sides (van der Waerden 1952), so that
    heavy tails and the unit of a feature do not matter. Expected: q (1/n + 1/m) with q directions that vary. p: with S of both
    sides as one, (n m / (n + m)) D^2 / (n + m - 1) follows the beta distribution (q/2, (n + m - 1 - q)/2), as Hotelling's T^2
    (1931) does. Directions that hardly vary are left out; with few texts only the (n + m - 1) / 3 that vary most are kept.
    """
    reference, current = pair.reference, pair.current
    if not reference.documents or not current.documents:
        return Measure(name="characters", value=None)
    scores = _normal_scores(reference.histograms + current.histograms)
    apart = (current.histograms * scores).sum(axis=1) / current.documents
    apart -= (reference.histograms * scores).sum(axis=1) / reference.documents
    rows = np.concatenate([reference.bins, current.bins])
    of_rows = np.take_along_axis(scores.T, rows, axis=0)
    of_rows -= of_rows.mean(axis=0)
    total = reference.units + current.units
    variances, directions = np.linalg.eigh(of_rows.T @ of_rows / max(len(rows) - 1, 1))
    kept = np.flatnonzero(variances > max(1e-3 * variances[-1], 1e-12))[-max((total - 1) // 3, 1) :]
    value = float((((directions.T @ apart)[kept]) ** 2 / variances[kept]).sum())
    if not pair.judged:
        return _measure("characters", value, None, None)
    share = min(value / pair.spread / (total - 1), 1.0)
    p_value = float(betainc((total - 1 - len(kept)) / 2, len(kept) / 2, 1 - share)) if len(kept) else 1.0
    return _measure("characters", value, len(kept) * pair.spread, max(p_value, pair.rarest))


def terms(pair: Pair, seed: int) -> Measure:
    """The word whose share of texts differs most, by standard errors: the difference of the two shares.

    p: twice the binomial tail of the texts on the current side among all that hold the word, times the number of words that are
    looked at (Bonferroni): those in enough texts to reach a level of 0.01 at all, at most the 5,000 commonest. Expected: the mean
    of the same difference when the texts are dealt out anew.
    """
    reference, current = pair.reference, pair.current
    if not reference.occurrences.sum() or not current.occurrences.sum():
        return Measure(name="terms", value=None)
    part = current.units / (reference.units + current.units)
    sizes = np.array([[reference.units], [current.units]])
    shares = np.stack([side.appearances / side.documents for side in (reference, current)])
    looked = reachable((shares * sizes).sum(axis=0), min(part, 1 - part), _LEVEL)[:_TERMS]
    if not len(looked):
        return _measure("terms", 0.0, 0.0, 1.0 if pair.judged else None)
    shares = shares[:, looked]
    value = float(_most_apart(shares[0][:, None], shares[1][:, None])[0])
    if not pair.judged:
        return _measure("terms", value, None, None)
    held = shares * sizes
    upper, lower = at_least(held[1], held[0], part), at_least(held[0], held[1], 1 - part)
    p_value = min(1.0, 2 * len(looked) * float(np.minimum(upper, lower).min()))
    return _measure("terms", value, _dealt_differences(pair, looked, seed), max(p_value, pair.rarest))


def reachable(held: np.ndarray, part: float, level: float) -> np.ndarray:
    """The terms, commonest first, that could reach `level` among as many, were all `held` (terms,) texts on a side of share `part`.

    On which side they are is not looked at, so that the choice does not bias what follows (Tarone 1990).
    """
    order = np.argsort(-held, kind="stable")
    beyond = np.flatnonzero(2 * part ** held[order] * np.arange(1, len(order) + 1) > level)
    return np.asarray(order[: beyond[0]] if len(beyond) else order)


def at_least(here: np.ndarray, there: np.ndarray, part: float) -> np.ndarray:
    """The binomial chance that at least `here` of `here + there` texts lie on the side that has a share `part` of all."""
    return np.asarray(betainc(np.maximum(here, 1e-9), there + 1, part))


# ------------------------------------------------------------------------------------------------------------- readings


@dataclass(frozen=True, eq=False)
class Part:
    """What of two samples is compared beside the whole."""

    pair: Pair
    share: float  # of the current texts


def _whole(reference: TextProfile, current: TextProfile, units: tuple[int, int] | None) -> Pair:
    words = np.union1d(reference.words, current.words)
    sizes = units or (reference.documents, current.documents)
    return Pair(_side(reference, words, sizes[0]), _side(current, words, sizes[1]))


def _side(profile: TextProfile, words: np.ndarray, units: int) -> Side:
    def spread(values: np.ndarray) -> np.ndarray:
        found = np.zeros(len(words))
        found[np.searchsorted(words, profile.words)] = values
        return found

    # How many of the rows stand for each sampled text: its copies, or as many fewer as the sample is smaller than the column.
    share = min(1.0 if profile.complete else _bound(profile) / 2**64, _ROWS / max(profile.documents, 1))
    stands = np.repeat(np.arange(len(profile.texts)), np.maximum(np.rint(profile.copies * share), 1).astype(np.int64))
    return Side(
        documents=profile.documents,
        units=min(units, profile.documents),
        occurrences=spread(profile.occurrences),
        appearances=spread(profile.appearances),
        weights=spread(profile.weights),
        histograms=profile.histograms,
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


def _once_only(reference: TextProfile, current: TextProfile, whole: Pair) -> Part | None:
    """The texts that occur once in both samples together; None where the samples share too little."""
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
        weights=np.asarray((_unit_rows(rows) * UNIT).sum(axis=0)).ravel(),
        histograms=np.stack(bins_held),
        rows=rows,
        bins=bins,
    )


def _either(whole: Measure, part: Measure | None, share: float) -> Measure:
    """The surer of two readings; the score of a part is scaled to what it makes of the whole."""
    if part is None or whole.p_value is None or part.p_value is None or whole.value is None:
        return whole
    if part.p_value >= whole.p_value:
        return replace(whole, p_value=min(1.0, 2 * whole.p_value))
    score = (part.score or 0.0) * (share if whole.name == "terms" else share**2)
    return replace(whole, expected=whole.value - score, score=score, p_value=min(1.0, 2 * part.p_value))


# ----------------------------------------------------------------------------------------------------------- arithmetic


def _measure(name: str, value: float, expected: float | None, p_value: float | None) -> Measure:
    score = None if expected is None else value - expected
    return Measure(name=name, value=value, expected=expected, score=score, p_value=p_value)


def _tail(observed: float, mean: float, variance: float, third: float) -> float:
    """The chance of `observed` or more under the gamma distribution with this mean, variance and third central moment."""
    if variance <= 1e-24:
        return 1.0 if observed <= mean + 1e-12 else 0.0
    z, skewness = (observed - mean) / sqrt(variance), third / variance**1.5
    if abs(skewness) < 1e-3:
        return float(ndtr(-z))
    shape = 4 / skewness**2
    place = max(shape + np.sign(skewness) * sqrt(shape) * z, 0.0)
    return float(gammaincc(shape, place) if skewness > 0 else gammainc(shape, place))


def _residuals(rows: Any, counted: np.ndarray) -> np.ndarray:
    """What each text adds to a ratio of sums beyond the ratio itself, in units of the ratio."""
    found, lengths = rows @ counted.astype(float), rows.sum(axis=1)
    return np.asarray((found - found.sum() / max(lengths.sum(), 1) * lengths) / max(lengths.mean(), 1e-12))


def _unit_rows(rows: Any) -> Any:
    lengths = np.sqrt(np.asarray((rows * rows).sum(axis=1)).ravel())
    return rows.multiply(1 / np.maximum(lengths, 1)[:, None]).tocsr()


def _deals(pair: Pair, deals: int, seed: int) -> np.ndarray:
    """(rows of both sides, deals): 1 where a row is dealt to the current side."""
    n, m = len(pair.reference.bins), len(pair.current.bins)
    sides = np.broadcast_to(np.repeat([0.0, 1.0], [n, m])[:, None], (n + m, deals))
    return np.random.default_rng(seed).permuted(sides, axis=0)


def _wider(pair: Pair) -> float:
    """How much more the units' variance of a mean is than that of the rows that stand for them."""
    return pair.spread / (1 / len(pair.reference.bins) + 1 / len(pair.current.bins))


def _dealt_cosines(pair: Pair, rarity: np.ndarray, seed: int) -> np.ndarray:
    """1 - cosine of the mean vectors of each deal (deals,)."""
    rows = vstack([_unit_rows(pair.reference.rows), _unit_rows(pair.current.rows)]).multiply(rarity[None, :]).tocsc()
    rows = rows[:, np.flatnonzero(np.diff(rows.indptr))].T.tocsr()
    dealt = _deals(pair, _DEALS, seed)
    whole = rows.sum(axis=1)
    step = max(1, _CELLS // max(len(whole), 1))
    squares, mixed = np.zeros(_DEALS), np.zeros(_DEALS)
    for start in range(0, _DEALS, step):
        sums = rows @ dealt[:, start : start + step]
        squares[start : start + step] = np.einsum("ij,ij->j", sums, sums)
        mixed[start : start + step] = whole @ sums
    other = whole @ whole - 2 * mixed + squares
    lengths = np.sqrt(np.maximum(squares * other, 0))
    return np.asarray(1 - np.divide(mixed - squares, lengths, out=np.zeros(_DEALS), where=lengths > 0)) * _wider(pair)


def _dealt_differences(pair: Pair, looked: np.ndarray, seed: int) -> float:
    """The mean over deals of the difference of the term that differs most."""
    rows = vstack([pair.reference.rows, pair.current.rows]).tocsc()[:, looked].astype(bool).astype(float).T.tocsr()
    deals = max(1, min(_DEALS // 2, _CELLS // len(looked)))
    held = rows @ _deals(pair, deals, seed)
    n, m = len(pair.reference.bins), len(pair.current.bins)
    return float(_most_apart((rows.sum(axis=1)[:, None] - held) / n, held / m).mean()) * sqrt(_wider(pair))


def _most_apart(reference: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Of each column of shares (terms, deals): the difference of the term that differs most by standard errors."""
    middle = (reference + current) / 2
    apart = np.abs(current - reference)
    errors = np.sqrt(np.maximum(middle * (1 - middle), 1e-12))
    return np.asarray(np.take_along_axis(apart, np.argmax(apart / errors, axis=0)[None, :], axis=0)[0])


def _normal_scores(histograms: np.ndarray) -> np.ndarray:
    """The normal score of each bin's middle rank (features, bins)."""
    totals = histograms.sum(axis=1, keepdims=True)
    ranks = (np.cumsum(histograms, axis=1) - histograms / 2) / totals
    return np.asarray(np.where(histograms > 0, ndtri(np.clip(ranks, 1e-9, 1 - 1e-9)), 0.0))
