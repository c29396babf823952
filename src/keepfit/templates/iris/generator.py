"""Made-up flowers, 100 to 140 a day, the same for the same day, seed and options.

Each species' four measurements are drawn together as they vary together in Fisher's flowers. From a date of your choice they grow
differently.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable

import numpy as np
import pandas as pd
from first_data import COLUMNS, flowers

MEASURED = COLUMNS[:-1]
SMALLEST = 0.1  # cm; nothing is measured as less
GROWN = {"sepal_width": 0.9, "petal_length": 1.25, "petal_width": 1.3}  # times as large, after the drift

Date = datetime.date | str


def simulate(
    day: datetime.date,
    seed: int,
    *,
    covariate_drift: Date | None = None,
    broken: Date | Iterable[Date] = (),
) -> pd.DataFrame:
    """One day's flowers: four measurements and the species.

    - `covariate_drift`: from this day on flowers come from a warmer garden: petals are larger and sepals narrower, so that what was
      the size of a virginica is a versicolor
    - `broken`: on this day or these days the gauge writes millimetres
    """
    random = np.random.default_rng([seed, day.toordinal()])
    parts = [_drawn(random, species, of_species[MEASURED]) for species, of_species in flowers().groupby("species")]
    frame = pd.concat(parts).sample(frac=1, random_state=random).reset_index(drop=True)
    if covariate_drift is not None and day >= _date(covariate_drift):
        for column, factor in GROWN.items():
            frame[column] = (frame[column] * factor).round(1)
    if day in _dates(broken):
        frame[MEASURED] *= 10
    return frame


def _drawn(random: np.random.Generator, species: object, known: pd.DataFrame) -> pd.DataFrame:
    """Flowers of one species, normally distributed with the known ones' means and covariances."""
    count = int(random.integers(33, 47))
    cells = random.multivariate_normal(known.mean().to_numpy(), known.cov().to_numpy(), count)
    frame = pd.DataFrame(np.maximum(cells.round(1), SMALLEST), columns=MEASURED)
    return frame.assign(species=str(species))


def _dates(given: Date | Iterable[Date]) -> set[datetime.date]:
    several = [given] if isinstance(given, datetime.date | str) else given
    return {_date(value) for value in several}


def _date(value: Date) -> datetime.date:
    return datetime.date.fromisoformat(value) if isinstance(value, str) else value
