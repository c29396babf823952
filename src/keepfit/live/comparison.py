"""Two versions on the answers whose labels came back, by a test that anybody may look at at any time.

Where both answered the same request (one of them silently) the difference of the two losses is one number a request, and the test
is about its mean. Where they shared the traffic, each has a mean of its own. Losses are those of `live.losses`, intervals those of
`stats.sequential`. All labelled requests since the routing began count; a label that was corrected changes what it changes, since
everything is computed from the rows anew, and the test does not depend on their order.

What belongs together is no independent evidence: one customer's hundred requests go right or wrong together. Where `data.group` is
among the fields of a request, or (when traffic is shared) `serve.routing.sticky` is, its equal values count once, with the mean of
their losses. The difference is then one of an average customer, not of an average request. Strictly the promise "at any time" is
made for what no longer grows: a customer whose requests go on coming is one number whose value may still move.

Labels that come back sooner for one kind of answer than for another (only what somebody complained about) bias both models
alike; no test can see that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from keepfit.config import Config
from keepfit.live.losses import Scale, losses
from keepfit.live_ports import (
    INPUT,
    LABEL,
    PREDICTION,
    ROUTE,
    SHADOW_PREDICTION,
    SHADOW_VERSION,
    VERSION,
)
from keepfit.live_records import Finding, LiveComparison
from keepfit.ports import Ports
from keepfit.records import Interval

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from keepfit.stats.sequential import Bounds

CHAMPION, CHALLENGER = "champion", "challenger"  # the routes of a request


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Whom to compare, and from when on."""

    champion: str  # version
    challenger: str  # version
    since: datetime | None
    alpha: float  # how often the test may be wrong, however often it is looked at
    margin: float = 0.0  # by how much worse the challenger may be without being called worse


def compare_silent(pair: Pair, scale: Scale | None, ports: Ports, config: Config) -> LiveComparison:
    """The champion against a challenger that answered the same requests silently."""
    both = _answered_by_both(pair, scale, ports, config)
    return _paired(both, pair, scale, config)


def watch(pair: Pair, scale: Scale | None, ports: Ports, config: Config) -> tuple[LiveComparison, bool]:
    """The same, and whether the champion is worse than the silent version by more than the margin: the one-sided test, which is
    wrong at any time with probability `alpha` at most."""
    from keepfit.stats.sequential import lower_bound

    both = _answered_by_both(pair, scale, ports, config)
    differences = both.champion - both.challenger
    worse = len(differences) > 0 and lower_bound(differences, pair.alpha) > pair.margin
    return _paired(both, pair, scale, config), worse


def compare_shared(pair: Pair, scale: Scale | None, sticky: str | None, ports: Ports, config: Config) -> LiveComparison:
    """The champion against a challenger that answered other requests, by shares of the traffic."""
    import numpy as np
    import polars as pl

    from keepfit.stats.sequential import difference_bounds

    group = sticky or config.data.group
    rows, note = _labelled(pair, None, group, ports, config)
    sides, left_out, count = [], 0, 0
    for version, route in ((pair.champion, CHAMPION), (pair.challenger, CHALLENGER)):
        mine = rows.filter((pl.col(VERSION) == version) & (pl.col(ROUTE) == route))
        lost = losses(mine[PREDICTION], mine[LABEL], scale, config)
        known = ~np.isnan(lost)
        left_out += int((~known).sum())
        count += int(known.sum())
        sides.append(_by_group(lost[known], _groups(mine, known)))
    bounds = difference_bounds(sides[0], sides[1], pair.alpha)
    found = LiveComparison(
        champion=pair.champion,
        challenger=pair.challenger,
        paired=False,
        n=count,
        champion_loss=_mean(sides[0]),
        challenger_loss=_mean(sides[1]),
        difference=None,
        interval=None,
        excluded=left_out,
    )
    return _concluded(found, bounds, len(sides[0]) + len(sides[1]), pair, _notes(scale, note if group else _SINGLY, config))


_SINGLY = "every request counts by itself: the log does not know who sent which (X-Route-Key is not kept; serve.routing.sticky is)"


def _paired(both: Both, pair: Pair, scale: Scale | None, config: Config) -> LiveComparison:
    from keepfit.stats.sequential import mean_bounds

    bounds = mean_bounds(both.champion - both.challenger, pair.alpha)
    found = LiveComparison(
        champion=pair.champion,
        challenger=pair.challenger,
        paired=True,
        n=both.n,
        champion_loss=_mean(both.champion),
        challenger_loss=_mean(both.challenger),
        difference=None,
        interval=None,
        excluded=both.excluded,
    )
    return _concluded(found, bounds, len(both.champion), pair, _notes(scale, both.note, config))


# ------------------------------------------------------------------------------------------------------------------ rows

_GROUP = "__group"


@dataclass(frozen=True, kw_only=True)
class Both:
    """The losses of two versions on the labelled requests that both answered, group by group where there are groups."""

    champion: np.ndarray  # (units,)
    challenger: np.ndarray  # (units,)
    n: int  # requests
    excluded: int  # labelled requests of the champion without an answer of the challenger
    note: str


def _answered_by_both(pair: Pair, scale: Scale | None, ports: Ports, config: Config) -> Both:
    import numpy as np
    import polars as pl

    rows, note = _labelled(pair, pair.challenger, config.data.group, ports, config)
    mine = rows.filter(pl.col(VERSION) == pair.champion)
    both = mine.filter((pl.col(SHADOW_VERSION) == pair.challenger) & pl.col(SHADOW_PREDICTION).is_not_null())
    one, other = (losses(both[column], both[LABEL], scale, config) for column in (PREDICTION, SHADOW_PREDICTION))
    known = ~np.isnan(one - other)
    groups = _groups(both, known)
    return Both(
        champion=_by_group(one[known], groups),
        challenger=_by_group(other[known], groups),
        n=int(known.sum()),
        excluded=mine.height - int(known.sum()),
        note=note,
    )


def _labelled(pair: Pair, shadow: str | None, group: str | None, ports: Ports, config: Config) -> tuple[pl.DataFrame, str]:
    import polars as pl

    if group is not None and group in config.serve.log.omit:
        return (
            ports.log.rows(since=pair.since, labelled=True, inputs=False, shadow=shadow),
            f"{group} is left out of the log (serve.log.omit), so requests that belong together count as if they did not",
        )
    rows = ports.log.rows(since=pair.since, labelled=True, inputs=group is not None, shadow=shadow)
    if group is None or INPUT + group not in rows.columns:
        return rows, ""
    wanted = [name for name in rows.columns if not name.startswith(INPUT)]
    return rows.select(*wanted, pl.col(INPUT + group).cast(pl.String).alias(_GROUP)), f"equal values of {group} count once"


def _groups(rows: pl.DataFrame, known: np.ndarray) -> pl.Series | None:
    return rows[_GROUP].filter(known) if _GROUP in rows.columns else None


def _by_group(numbers: np.ndarray, groups: pl.Series | None) -> np.ndarray:
    """The mean of each group, a row without one being its own; the numbers themselves without groups."""
    import numpy as np
    import polars as pl

    if groups is None or not len(numbers):
        return numbers
    alone = pl.int_range(len(numbers), eager=True).cast(pl.String)
    name = pl.select(pl.when(groups.is_null()).then("row " + alone).otherwise("group " + groups)).to_series().alias("name")
    means = (
        pl.DataFrame([name, pl.Series("number", numbers)])
        .group_by("name", maintain_order=True)
        .agg(pl.col("number").mean())["number"]
    )
    return np.asarray(np.clip(means.to_numpy(), -1.0, 1.0))


# ------------------------------------------------------------------------------------------------------------- conclusion


def _mean(numbers: np.ndarray) -> float | None:
    return float(numbers.mean()) if len(numbers) else None


def _notes(scale: Scale | None, note: str, config: Config) -> tuple[str, ...]:
    if config.project.task == "classification":
        loss = "a wrong answer costs 1, a right one 0"
    elif scale is None:
        loss = "an answer that is not exactly the label costs 1: nothing says how large an error is usual"
    else:
        loss = f"an error e costs |e| / (|e| + {scale.value:.4g}), {scale.source}"
    return tuple(each for each in (loss, note) if each)


def _concluded(found: LiveComparison, bounds: Bounds, units: int, pair: Pair, notes: tuple[str, ...]) -> LiveComparison:
    worse = Finding.WORSE if bounds.high < -pair.margin else Finding.UNDECIDED
    found = replace(
        found,
        difference=bounds.mean,
        interval=Interval(low=bounds.low, high=bounds.high, level=1 - pair.alpha),
        margin=pair.margin,
        finding=Finding.BETTER if bounds.low > 0 else worse,
        since=pair.since,
        units=units,
        notes=notes,
    )
    return replace(found, reason=_in_words(found))


def _in_words(found: LiveComparison) -> str:
    interval = found.interval
    if found.champion_loss is None or found.challenger_loss is None or found.difference is None or interval is None:
        which = "both versions have" if found.paired else "each version has"
        return f"nothing can be said yet: {found.n} labels came back of requests that {which} answered"
    said = {
        Finding.BETTER: f"version {found.challenger} is better than version {found.champion}",
        Finding.WORSE: f"version {found.challenger} is worse than version {found.champion}",
        Finding.UNDECIDED: f"versions {found.challenger} and {found.champion} cannot be told apart yet",
    }[found.finding]
    counted = f"{found.n} labelled requests" if found.units == found.n else f"{found.n} labelled requests ({found.units} groups)"
    return (
        f"{said}: mean loss {found.challenger_loss:.4g} against {found.champion_loss:.4g} on {counted}, a difference of "
        f"{found.difference:+.4g} ({interval.low:+.4g} to {interval.high:+.4g} at {interval.level:.4g}, at any time)"
    )
