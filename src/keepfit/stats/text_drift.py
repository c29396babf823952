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

from collections.abc import Mapping
from dataclasses import replace
from math import sqrt
from typing import Any

import numpy as np
from scipy.special import betainc, gammainc, gammaincc, kolmogorov, ndtr, ndtri

from keepfit.records import Measure
from keepfit.stats.text import TextProfile
from keepfit.stats.text_samples import Pair, dealt_out, once_only, sampled_pair, unit_rows, whole_pair

EFFECTS: Mapping[str, float] = {"vocabulary": 0.0025, "tfidf": 0.0005, "characters": 0.005, "terms": 0.01}

_DEALS = 200  # how often the texts are dealt out anew
_CELLS = 4_000_000  # of a matrix made at a time
_TERMS = 5_000  # terms looked at one by one
_LEVEL = 0.01  # a term is looked at when it could reach this level at all (Tarone 1990)


def text_drift(
    reference: TextProfile, current: TextProfile, *, seed: int = 0, units: tuple[int, int] | None = None
) -> tuple[Measure, ...]:
    """The four measures, in the order of `EFFECTS`. Equal arguments give equal numbers.

    `units`: how many independent units (groups) the texts of each side come from, where they belong together.

    Undefined, with None: every number where a side has no texts; `vocabulary`, `tfidf` and `terms` where a side has no words; every
    p-value where a side has a single text or unit. Empty texts are texts: they count for `characters`.
    """
    whole = whole_pair(reference, current, units)
    known = (reference.complete or current.complete) and not (reference.cut or current.cut)
    sampled = whole if known else sampled_pair(reference, current, whole)
    style = characters(sampled)
    if sampled is not whole:
        style = _surer(style, replace(characters(whole), p_value=_largest_step(whole)))
    found = (vocabulary(whole), tfidf(sampled, seed), style, terms(whole, seed))
    part = once_only(reference, current, whole)
    if part is None:
        return found
    others = (None, tfidf(part.pair, seed), characters(part.pair), terms(part.pair, seed))
    return tuple(_of_part(one, other, part.share) for one, other in zip(found, others, strict=True))


# ------------------------------------------------------------------------------------------------------------ measures


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
    sides as one, (n m / (n + m)) D^2 / f follows the beta distribution (q/2, (f - q)/2), f = n + m - 1, as Hotelling's T^2
    (1931) does. Directions that hardly vary are left out; with few texts only the f / 3 that vary most are kept.
    """
    reference, current = pair.reference, pair.current
    if not reference.documents or not current.documents:
        return Measure(name="characters", value=None)
    scores = _normal_scores(reference.histograms + current.histograms)
    apart = (current.histograms * scores).sum(axis=1) / current.documents
    apart -= (reference.histograms * scores).sum(axis=1) / reference.documents
    of_texts = np.take_along_axis(scores.T, np.concatenate([side.bins for side in pair.known]), axis=0)
    of_texts -= (scores * (reference.histograms + current.histograms)).sum(axis=1) / (reference.documents + current.documents)
    freedom = sum(side.units for side in pair.known) - (len(pair.known) - 1)
    variances, directions = np.linalg.eigh(of_texts.T @ of_texts / len(of_texts) * (1 + 1 / max(freedom, 1)))
    kept = np.flatnonzero(variances > max(1e-3 * variances[-1], 1e-12))[-max(freedom // 3, 1) :]
    value = float((((directions.T @ apart)[kept]) ** 2 / variances[kept]).sum())
    if not pair.judged:
        return _measure("characters", value, None, None)
    share = min(value / pair.spread / freedom, 1.0)
    p_value = float(betainc((freedom - len(kept)) / 2, len(kept) / 2, 1 - share)) if 0 < len(kept) < freedom else 1.0
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


def _of_part(whole: Measure, part: Measure | None, share: float) -> Measure:
    """The surer of two readings; the score of a part is scaled to what it makes of the whole."""
    if part is None or part.p_value is None or whole.p_value is None or whole.value is None:
        return whole
    score = (part.score or 0.0) * (share if whole.name == "terms" else share**2)
    return _surer(whole, replace(whole, expected=whole.value - score, score=score, p_value=part.p_value))


def _surer(one: Measure, other: Measure) -> Measure:
    """Of two readings the one with the smaller p-value, which is doubled for the choice."""
    if one.p_value is None or other.p_value is None:
        return one if other.p_value is None else other
    found = other if other.p_value < one.p_value else one
    return replace(found, p_value=min(1.0, 2 * min(one.p_value, other.p_value)))


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


def _dealt_cosines(pair: Pair, rarity: np.ndarray, seed: int) -> np.ndarray:
    """1 - cosine of the mean vectors of each deal (deals,)."""
    deals = dealt_out(pair, _DEALS, seed)
    words = unit_rows(deals.rows).multiply(rarity[None, :]).tocsc()
    words = words[:, np.flatnonzero(np.diff(words.indptr))].T.tocsr()
    whole = words.sum(axis=1)
    step = max(1, _CELLS // max(len(whole), 1))
    squares, mixed = np.zeros(_DEALS), np.zeros(_DEALS)
    for start in range(0, _DEALS, step):
        sums = words @ deals.current[:, start : start + step]
        squares[start : start + step] = np.einsum("ij,ij->j", sums, sums)
        mixed[start : start + step] = whole @ sums
    lengths = np.sqrt(np.maximum(squares * (whole @ whole - 2 * mixed + squares), 0))
    cosines = np.divide(mixed - squares, lengths, out=np.zeros(_DEALS), where=lengths > 0)
    return np.asarray((1 - cosines) * deals.wider)


def _dealt_differences(pair: Pair, looked: np.ndarray, seed: int) -> float:
    """The mean over deals of the difference of the term that differs most."""
    deals = dealt_out(pair, max(1, min(_DEALS // 2, _CELLS // len(looked))), seed)
    words = deals.rows.tocsc()[:, looked].astype(bool).astype(float).T.tocsr()
    held, (n, m) = words @ deals.current, deals.sizes
    return float(_most_apart((words.sum(axis=1)[:, None] - held) / n, held / m).mean()) * sqrt(deals.wider)


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


def _largest_step(pair: Pair) -> float | None:
    """The p-value of the feature whose distributions differ most, by Kolmogorov and Smirnov, times the number of features."""
    if not pair.judged:
        return None
    one, other = (np.cumsum(side.histograms, axis=1) / side.documents for side in (pair.reference, pair.current))
    return min(1.0, float(kolmogorov(np.abs(one - other).max() / sqrt(pair.spread))) * len(one))
