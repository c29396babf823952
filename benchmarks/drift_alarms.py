"""How often drift is found where there is none, and how often where there is some; Evidently on some of the same draws beside it.

A table has twenty columns: light tails, heavy ones, ties, mostly zeros, a flag, gaps, six categories, five thousand. The figures
are shares of tables in which any column is said to have drifted, in percent.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

from benchmarks import measure
from benchmarks.drift_once import drifted_columns
from benchmarks.measure import Limit, Row

SIZES = ((100, 100), (1_000, 1_000), (10_000, 10_000), (100, 10_000), (5_000, 100), (100_000, 100))
TABLES = 200  # of each pair of sizes, times the repeats
EVIDENTLY = 5  # of these, that Evidently looks at
LARGE = 1_000_000  # rows whose counts are drawn, not the rows
STATED = 1.0  # percent
SHIFT, FOUND = 0.5, 95.0  # standard deviations of one column, and the percent of tables in which it must be found


def rows(repeat: int) -> list[Row]:
    """No drift at all sizes, with and without a smallest effect; then one shifted column."""
    measure.need_peers()
    warnings.simplefilter("ignore")  # Evidently's, about tables that it does not like
    found: list[Row] = []
    for n, m in SIZES:
        found += without_drift(n, m, TABLES * repeat)
    found.append(of_counts(TABLES * repeat))
    found.append(missed(TABLES * repeat))
    return found


def without_drift(n: int, m: int, tables: int) -> list[Row]:
    """The share of tables with any alarm."""
    import numpy as np

    from keepfit.profiling import profile
    from keepfit.stats.drift import Rule, Rules, drift_of

    generator = np.random.default_rng([n, m])
    alarms, bare, peer = 0, 0, 0
    for number in range(tables):
        reference, current = table(generator, n), table(generator, m)
        before = profile(reference)
        after = profile(current, like=before)
        alarms += any(drift.drifted for drift in drift_of(before, after, Rules()))
        bare += any(drift.drifted for drift in drift_of(before, after, Rules(default=Rule(effect=0.0))))
        peer += number < EVIDENTLY and bool(by_evidently(reference, current))
    measure.say(f"  {n} and {m} rows: {alarms} and {bare} of {tables} tables; Evidently {peer} of {EVIDENTLY}")
    what, evidently = f"alarms, {n:,} and {m:,} rows, no drift", (100 * peer / EVIDENTLY,)
    against = f"Evidently on {EVIDENTLY} of the tables"
    shares = {what: alarms, f"{what}, any effect": bare}
    return [
        Row(what=name, unit="%", keepfit=(100 * share / tables,), peer=evidently, against=against, bar=allowed(tables))
        for name, share in shares.items()
    ]


def allowed(tables: int) -> Limit:
    """The stated rate and three standard errors of the simulation."""
    return Limit(most=STATED + 3 * math.sqrt(STATED * (100 - STATED) / tables))


def of_counts(tables: int) -> Row:
    """A million rows on each side: the counts in the bins of a pilot are drawn as such a table would have them."""
    import dataclasses

    import numpy as np

    from keepfit.profiling import profile
    from keepfit.stats.drift import Rule, Rules, drift_of
    from keepfit.stats.profile import CategoryProfile, TableProfile

    generator = np.random.default_rng(7)
    pilot = profile(table(generator, 100_000))

    def drawn() -> TableProfile:
        columns: dict[str, Any] = {}
        column: Any
        for name, column in pilot.columns.items():
            missing = int(generator.binomial(LARGE, column.missing / pilot.rows))
            counts = generator.multinomial(LARGE - missing, column.counts / column.counts.sum())
            if isinstance(column, CategoryProfile):
                more = {"others": {}, "others_complete": True, "buckets": 0 * column.buckets}
            else:
                more = {"sums": counts * column.centres}
            columns[name] = dataclasses.replace(column, counts=counts, missing=missing, **more)
        return TableProfile(rows=LARGE, columns=columns)

    rules = Rules(default=Rule(effect=0.0))
    alarms = sum(any(drift.drifted for drift in drift_of(drawn(), drawn(), rules)) for _ in range(tables))
    what = f"alarms, {LARGE:,} rows each, no drift, any effect"
    return Row(what=what, unit="%", keepfit=(100 * alarms / tables,), bar=allowed(tables))


def missed(tables: int) -> Row:
    """One normal column of twenty shifted, a thousand rows: the share of tables in which it is not found."""
    import numpy as np
    import polars as pl

    from keepfit.profiling import profile
    from keepfit.stats.drift import Rules, drift_of

    generator = np.random.default_rng(3)
    lost, peer = 0, 0
    for number in range(tables):
        reference, current = (
            pl.DataFrame({f"c{place}": generator.normal(size=1_000) + shift * (place == 0) for place in range(20)})
            for shift in (0.0, SHIFT)
        )
        before = profile(reference)
        found = drift_of(before, profile(current, like=before), Rules())
        lost += not any(drift.drifted and drift.name == "c0" for drift in found)
        peer += number < EVIDENTLY and "c0" not in by_evidently(reference, current)
    return Row(
        what=f"missed: one column of twenty shifted by {SHIFT} sigma, 1,000 rows",
        unit="%",
        keepfit=(100 * lost / tables,),
        peer=(100 * peer / EVIDENTLY,),
        against=f"Evidently on {EVIDENTLY} of the tables",
        bar=Limit(most=100 - FOUND),
    )


def by_evidently(reference: Any, current: Any) -> list[str]:
    from evidently import Dataset, Report
    from evidently.presets import DataDriftPreset

    snapshot = Report([DataDriftPreset()]).run(Dataset.from_pandas(current.to_pandas()), Dataset.from_pandas(reference.to_pandas()))
    return drifted_columns(snapshot.dict())


def table(generator: Any, n: int) -> Any:
    """Twenty columns of distributions that never change."""
    import numpy as np
    import polars as pl

    columns: dict[str, Any] = {}
    for number in range(2):
        columns |= {
            f"normal {number}": generator.normal(size=n),
            f"lognormal {number}": generator.lognormal(0, 2, n),
            f"cauchy {number}": generator.standard_cauchy(n),
            f"rounded {number}": generator.normal(size=n).round(1),
            f"counts {number}": generator.poisson(3, n),
            f"mostly zero {number}": np.where(generator.random(n) < 0.9, 0.0, generator.exponential(size=n)),
            f"flag {number}": generator.random(n) < 0.2,
            f"gaps {number}": pl.Series(generator.normal(size=n)).set(pl.Series(generator.random(n) < 0.1), None),
            f"six {number}": choices(generator, [0.5, 0.25, 0.15, 0.06, 0.03, 0.01], n),
            f"many {number}": choices(generator, 1 / np.arange(1, 5_001), n),
        }
    return pl.DataFrame(columns)


def choices(generator: Any, shares: Any, n: int) -> list[str]:
    import numpy as np

    shares = np.asarray(shares, dtype=float)
    return [f"name {place}" for place in generator.choice(len(shares), n, p=shares / shares.sum())]
