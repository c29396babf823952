"""How large a champion's errors are where a model of its losses says that they are large or small.

Direct loss estimation. A model of the champion's losses, fitted to other held-out rows than it is asked of, gives the size s of
a row's error. Truths are prediction + c s r, r being a held-out row's error over its own s, drawn anew. The factor c makes
held-out rows have the mean loss that they had (a ratio estimate): the loss model only tells rows apart, and its bias does not
count.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from keepfit.stats.estimate import DRAWS, correlation, fates
from keepfit.stats.resample import weights
from keepfit.stats.units import Units, divide, encode

_SMALLEST_SIZE = 0.05  # of a row's error, as a share of the mean: keeps quotients finite


@dataclass(frozen=True, eq=False, kw_only=True)
class Errors:
    """A champion's errors on held-out rows, and how large a loss model expected them to be."""

    errors: np.ndarray  # (n,) truth - prediction
    sizes: np.ndarray  # (n,) expected size, by a loss model that was not fitted to the row; only proportions count
    power: int  # 1: sizes are of absolute errors; 2: roots of expected squares
    units: Units
    together: float  # correlation within groups of the errors over their sizes

    def truths(
        self,
        predicted: np.ndarray,
        sizes: np.ndarray,
        groups: np.ndarray | None = None,
        *,
        draws: int = DRAWS,
        seed: int = 0,
    ) -> Iterator[np.ndarray]:
        """Numbers (n,) that lie about the predicted ones (n,) as errors lay on the held-out rows.

        `sizes` (models, n): the expected size of each row's error by several loss models, which take turns, so that what they
        do not agree on widens the interval.
        """
        generator = np.random.default_rng(seed)
        floor = _SMALLEST_SIZE * float(self.sizes.mean())
        members = None if groups is None else encode(groups)
        own, given = np.maximum(self.sizes, floor), np.maximum(sizes, floor)
        quotients = self.errors / own
        order = np.argsort(quotients, kind="stable")
        again = (row for piece in weights(self.units.count, draws, seed) for row in piece)
        for draw, counts in enumerate(again):
            often = counts[self.units.of_row]
            pool = np.repeat(quotients[order], often[order].astype(np.intp)) * self._factor(often, quotients, own)
            places = fates(len(predicted), members, self.together, generator) * len(pool)
            yield predicted + given[draw % len(given)] * pool[places.astype(np.intp)]

    def _factor(self, often: np.ndarray, quotients: np.ndarray, own: np.ndarray) -> float:
        """What makes rows that count `often` have the mean loss that they had."""
        real = float(often @ np.abs(self.errors) ** self.power) / often.sum()
        drawn = float(often @ own**self.power) * float(often @ np.abs(quotients) ** self.power) / often.sum() ** 2
        quotient = real / drawn if drawn > 0 else 0.0
        return quotient if self.power == 1 else float(np.sqrt(quotient))


def errors_of(
    predicted: np.ndarray, truth: np.ndarray, sizes: np.ndarray, groups: np.ndarray | None = None, *, power: int = 1
) -> Errors:
    """Learn from held-out rows. All arrays are (n,), finite, n at least 1; `sizes` as in `Errors`.

    Sizes that are all 0 or below count as equal.
    """
    errors = np.asarray(truth, dtype=float) - np.asarray(predicted, dtype=float)
    sizes = np.maximum(np.asarray(sizes, dtype=float), 0.0)
    sizes = sizes if sizes.any() else np.ones(len(errors))
    quotients = errors / np.maximum(sizes, _SMALLEST_SIZE * sizes.mean())
    together = 0.0
    if groups is not None:
        together = correlation(quotients, np.full(len(errors), float(np.sqrt(np.mean(quotients**2)))), groups)
    return Errors(errors=errors, sizes=sizes, power=power, units=divide(len(errors), groups), together=together)
