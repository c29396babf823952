"""Which cells a distance is measured in, from two profiles.

The cells must not depend on which of the two samples a row lies in, or samples would seem to differ where nothing has drifted.
Profiles track the names that are frequent *in the reference*, so among rare names, those that happened to be in the reference have
cells of their own and the others do not. `frequent` therefore keeps only names that any reference would have tracked.
"""

from __future__ import annotations

import numpy as np

from keepfit.stats.categories import NAMES, CategoryProfile, aligned_categories
from keepfit.stats.numbers import NumberProfile

EXPECTED = 5  # cells of a name to be expected on either side for it to count by itself (Cochran's rule for chi-square)
PARTS = 10  # of equal reference counts, for distances that know no order
RARE = "(rare names together)"


def frequent(reference: CategoryProfile, current: CategoryProfile) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names with the counts of both sides, (cells,) each; last all rare names together, where there are any.

    A name is rare when, by its share of both together, fewer than five cells with it are to be expected on either side, or so
    few in the reference that another sample of it might not have tracked it. The names that are only known by their hash are rare.
    """
    labels, r, c = aligned_categories(reference, current)
    n, m = int(r.sum()), int(c.sum())
    known = np.arange(len(labels)) < len(reference.names)
    known[len(reference.names) :] = [name in reference.others or name in current.others for name in labels[len(reference.names) :]]
    likely = (r + c) / max(n + m, 1)
    least = _least_tracked(reference)
    alone = known & (likely * min(n, m) >= EXPECTED) & (likely * n > least + EXPECTED * np.sqrt(least))
    if alone.all():
        return labels, r, c
    names = [label for label, kept in zip(labels, alone.tolist(), strict=True) if kept]
    return [*names, RARE], np.append(r[alone], r[~alone].sum()), np.append(c[alone], c[~alone].sum())


def _least_tracked(reference: CategoryProfile) -> float:
    """The smallest count by which a name of the reference was tracked; 0 where all of its names were."""
    if not reference.buckets.any() and len(reference.names) < NAMES:
        return 0.0
    return float(reference.counts.min()) if len(reference.counts) else 0.0


def parts(reference: NumberProfile, current: NumberProfile) -> tuple[np.ndarray, np.ndarray]:
    """Counts of both sides in about ten neighbouring parts that hold equally much of the reference, (cells,) each.

    Those are the cells in which people read the population stability index. A frequent value is a part by itself.
    """
    counts = reference.counts
    middle = np.cumsum(counts) - counts / 2
    part = np.minimum(np.floor(PARTS * middle / counts.sum()), PARTS - 1)
    starts = np.flatnonzero(np.diff(part, prepend=-1))
    return np.add.reduceat(counts, starts), np.add.reduceat(current.counts, starts)


def held_bins(reference: NumberProfile, current: NumberProfile) -> tuple[np.ndarray, np.ndarray]:
    """Counts of both sides in the bins that either holds something in, (bins,) each."""
    held = (reference.counts + current.counts) > 0
    return reference.counts[held], current.counts[held]


def held_centres(reference: NumberProfile, current: NumberProfile) -> np.ndarray:
    """The means of the values of both sides together in the bins of `held_bins`, (bins,) ascending, relative to the origin."""
    pooled = reference.counts + current.counts
    held = pooled > 0
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(np.maximum.accumulate((reference.sums[held] + current.sums[held]) / pooled[held]))
