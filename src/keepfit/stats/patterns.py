"""New patterns: the words and pairs of words that texts of one class hold clearly more often than before.

For each term, with y the number of current texts that hold it, y' the reference's, and n, n' the sums of these over all terms,
the log-odds ratio with an informative Dirichlet prior (Monroe, Colaresi and Quinn, *Fightin' Words*, 2008, equation 16):

    d = ln (y + a) / (n + A - y - a)  -  ln (y' + a) / (n' + A - y' - a)

The prior's a is the term's share of all of both sides, times A = `PRIOR` of the smaller side's n: the fewer texts hold a term, the
nearer its d is drawn to 0. Texts are counted, not occurrences: one that says a word ten times is one example of it.

How sure it is that a term has become more common: z, the normal quantile of the exact binomial chance of y or more among the
y + y' texts, when n / (n + n') of them belong to the current side; or, where that is larger, the current side's share of all
texts. So neither longer texts nor the disappearance of other words makes a term new. (The paper's own z, d over its standard
error, is bounded by the prior where y' = 0: just the new terms would be the least sure.) A term is named when z is above the
quantile of 1 - `level` / number of terms looked at (Bonferroni), so that in texts of the same kind hardly ever any is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import ndtri

from keepfit.stats.text import TextProfile
from keepfit.stats.text_drift import at_least, reachable
from keepfit.stats.words import DIGITS, READ, bucket, words

PRIOR = 0.1  # how much the prior weighs against the smaller side
_MOST = 1_000_000  # terms counted at a time


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """One term that has become more common."""

    term: str  # a word, or two neighbouring words, lower-cased
    count: int  # current texts that hold it
    reference_count: int  # texts of the reference that hold it
    log_odds: float  # how much more common it is: the logarithm of the odds' ratio, drawn towards 0 by the prior
    z: float  # the same in standard errors


def new_patterns(
    reference: TextProfile | Sequence[str | None], current: Sequence[str | None], *, level: float = 0.01, limit: int = 20
) -> tuple[Pattern, ...]:
    """The terms, surest first, at most `limit`; hand over the texts of one class on both sides.

    Where the reference is a profile, which holds hashed words alone, only single words are looked at, and digits count as one
    another. A word is left out when a pair of words that holds it is named and explains it: the word is in no more texts.
    Nothing is named where a side has no words.

    >>> old = ["call me later"] * 50
    >>> [pattern.term for pattern in new_patterns(old, old + ["send bitcoin now"] * 20)]
    ['bitcoin now', 'send bitcoin']
    """
    held = term_counts(current, pairs=not isinstance(reference, TextProfile))
    before, n_before = _reference_counts(reference, held)
    texts, texts_before = _texts(current), _texts(reference)
    terms = sorted(held)  # only these can have become more common; sorted, for the order of equals
    y, y_before = (np.array([counts[term] for term in terms], dtype=float) for counts in (held, before))
    n = y.sum()
    if not n or not n_before:
        return ()
    part = max(n / (n + n_before), texts / (texts + texts_before))
    looked = reachable(y + y_before, part, level)
    y, y_before = y[looked], y_before[looked]
    z = -ndtri(np.maximum(at_least(y, y_before, part), 1e-300))
    log_odds = _log_odds(y, y_before, n, n_before)
    found = [
        Pattern(
            term=terms[looked[place]],
            count=int(y[place]),
            reference_count=int(y_before[place]),
            log_odds=float(log_odds[place]),
            z=float(z[place]),
        )
        for place in np.lexsort((-log_odds, -z))
        if z[place] > -ndtri(level / len(looked))
    ]
    return tuple(_telling(found)[:limit])


def term_counts(texts: Iterable[str | None], *, pairs: bool = True) -> Counter[str]:
    """In how many texts each word, and each pair of neighbouring words, occurs. Beyond a million terms the rarest are forgotten."""
    counts: Counter[str] = Counter()
    for text in texts:
        found = words((text or "")[:READ])
        counts.update(set(found))
        if pairs:
            counts.update({f"{one} {other}" for one, other in pairwise(found)})
        if len(counts) > _MOST:
            counts = Counter({term: count for term, count in counts.items() if count > 1})
    return counts


def _reference_counts(reference: TextProfile | Sequence[str | None], held: Counter[str]) -> tuple[Counter[str], float]:
    """In how many texts of the reference each term is, and the sum over all terms."""
    if not isinstance(reference, TextProfile):
        counts = term_counts(reference)
        return counts, float(counts.total())
    appearances = dict(zip(reference.words.tolist(), reference.appearances.tolist(), strict=True))
    return Counter({term: appearances.get(bucket(term.translate(DIGITS)), 0) for term in held}), float(reference.appearances.sum())


def _texts(side: TextProfile | Sequence[str | None]) -> int:
    return side.documents if isinstance(side, TextProfile) else sum(text is not None for text in side)


def _log_odds(y: np.ndarray, y_before: np.ndarray, n: float, n_before: float) -> np.ndarray:
    total = PRIOR * min(n, n_before)
    prior = total * (y + y_before) / (n + n_before)
    odds, odds_before = (y + prior) / (n + total - y - prior), (y_before + prior) / (n_before + total - y_before - prior)
    return np.asarray(np.log(odds / odds_before))


def _telling(patterns: list[Pattern]) -> list[Pattern]:
    """Without the words that a named pair explains."""
    explained = {(word, pattern.count) for pattern in patterns if " " in pattern.term for word in pattern.term.split(" ")}
    return [pattern for pattern in patterns if (pattern.term, pattern.count) not in explained]
