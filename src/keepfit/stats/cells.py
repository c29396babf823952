"""Which cells a distance is measured in, from two profiles.

The cells must not depend on which of the two samples a row lies in, or samples would seem to differ where nothing has drifted.
Profiles track the names that are frequent *in the reference*, so among rare names, those that happened to be in the reference have
cells of their own and the others do not. `frequent` therefore keeps only names that any reference would have tracked, and names
that were chosen by their hash. All others are put together by their hash too, tracked or not: whatever the samples hold,
that says beforehand which of the cells a row belongs to.
"""

from __future__ import annotations

import numpy as np

from keepfit.stats.calibrate import Sizes
from keepfit.stats.categories import NAMES, CategoryProfile, aligned, bucket_of
from keepfit.stats.numbers import NumberProfile

EXPECTED = 5  # cells of a name to be expected on either side for it to count by itself (Cochran's rule for chi-square)
EXPECTED_OF_RARE = 20  # units of rare names to be expected on either side in a group of them: fewer would be mostly noise
PARTS = 10  # of equal reference counts, for distances that know no order
RARE = "rare names, group {} of {}"


def frequent(
    reference: CategoryProfile, current: CategoryProfile, sizes: Sizes | None = None
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names with the counts of both sides, (cells,) each; last the rare names in groups by their hash, where there are any.

    A name is rare when, by its share of both together, fewer than five cells with it are to be expected on either side, or so
    few in the reference that another sample of it might not have tracked it, unless its hash is among the smallest, of which
    every count is known. `sizes`: the independent units of both sides, where these are not the rows.
    """
    both = aligned(reference, current)
    r, c, names = both.reference, both.current, len(both.names)
    n, m = int(r.sum()), int(c.sum())
    likely = (r + c)[:names] / max(n + m, 1)
    least = _least_tracked(reference)
    alone = likely * min(n, m) >= EXPECTED
    if names < len(r) or not alone.all():
        alone &= (likely * n > least + EXPECTED * np.sqrt(least)) | both.chosen
    if names == len(r) and alone.all():
        return both.names, r, c
    rare = np.flatnonzero(~alone)
    buckets = np.concatenate([bucket_of([both.names[place] for place in rare], len(reference.buckets)), both.buckets])
    places = np.concatenate([rare, np.arange(names, len(r))])
    units = min(sizes.reference, sizes.current) if sizes else min(n, m)
    groups = _groups(units * float((r + c)[places].sum()) / max(n + m, 1), len(reference.buckets))
    group = buckets * groups // len(reference.buckets)
    sides = (np.bincount(group, side[places], groups).astype(np.int64) for side in (r, c))
    one, other = (np.append(side[:names][alone], rest) for side, rest in zip((r, c), sides, strict=True))
    labels = [name for name, kept in zip(both.names, alone.tolist(), strict=True) if kept]
    return [*labels, *(RARE.format(number + 1, groups) for number in range(groups))], one, other


def _groups(expected: float, buckets: int) -> int:
    """How many groups the rare names make: a power of two, by how many units of them are to be expected on the smaller side."""
    return min(1 << int(np.log2(max(expected / EXPECTED_OF_RARE, 1.0))), buckets)


def _least_tracked(reference: CategoryProfile) -> float:
    """The count from which on a name of the reference was surely tracked; 0 where all of its names were.

    Names are chosen by the rows that a layout is made from, which may be some of the reference's only. Then some that were not
    chosen occur more often than some that were, which those whose counts are kept bear witness of.
    """
    if not reference.buckets.any() and len(reference.names) < NAMES:
        return 0.0
    least = float(reference.counts.min()) if len(reference.counts) else 0.0
    return max(least, *map(float, reference.others.values()), 0.0)


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
