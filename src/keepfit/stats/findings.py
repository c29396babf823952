"""What is new in a column, in words: names, values out of range, empty cells. Said only when chance would hardly show it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from scipy.special import gammaln

from keepfit.stats.categories import CategoryProfile, aligned_categories
from keepfit.stats.numbers import NumberProfile

SHOWN = 3  # names listed


def moved(what: str, reference: float, current: float) -> str:
    """Two shares.

    >>> moved("empty cells", 0.02, 0.4)
    'empty cells 2 % -> 40 %'
    """
    return f"{what} {_percent(reference)} -> {_percent(current)}"


def beyond_range(reference: NumberProfile, current: NumberProfile, level: float) -> list[str]:
    """Rows outside the reference's range, when so many would be there by chance less often than `level`.

    If nothing has drifted, the chance that the k largest of n + m values all lie among the m new ones is m (m - 1) ... over
    (n + m) (n + m - 1) ..., k factors each, and the same for the smallest.
    """
    if reference.minimum is None or reference.maximum is None or current.minimum is None or current.maximum is None:
        return []
    edges, n, m = reference.edges, reference.filled, current.filled
    below = int(current.counts[: np.searchsorted(edges, reference.minimum, side="right")].sum())
    above = int(current.counts[np.searchsorted(edges, np.nextafter(reference.maximum, np.inf), side="right") :].sum())
    said = []
    if current.maximum > reference.maximum and above and _chance(above, n, m) <= level:
        highest, now = _shown(reference, reference.maximum), _shown(reference, current.maximum)
        said.append(f"{_rows(above)} above the reference's largest {highest} (largest now {now})")
    if current.minimum < reference.minimum and below and _chance(below, n, m) <= level:
        lowest, now = _shown(reference, reference.minimum), _shown(reference, current.minimum)
        said.append(f"{_rows(below)} below the reference's smallest {lowest} (smallest now {now})")
    return said


def changed_names(reference: CategoryProfile, current: CategoryProfile, level: float) -> list[str]:
    """New names, when clearly more rows have them than rare names would bring by chance; vanished ones, likewise.

    If nothing has drifted, a name that occurs t times in both together lies in one side alone with the chance (that side's share
    of all rows)^t, nearly. Names that are known by their hash only are not spoken of.
    """
    labels, r, c = aligned_categories(reference, current)
    tracked = len(reference.names)
    exact = np.array([place < tracked or name in reference.others or name in current.others for place, name in enumerate(labels)])
    if not exact.any():
        return []
    n, m = max(int(r.sum()), 1), max(int(c.sum()), 1)
    pooled = np.where(exact, r + c, 0).astype(float)
    alone = np.where(pooled > 0, (m / (n + m)) ** pooled, 0.0)
    new = np.flatnonzero(exact & (r == 0) & (c > 0))
    usual, spread = float(pooled @ alone), float(np.sqrt(pooled**2 @ alone))
    said = []
    if len(new) and c[new].sum() > usual + 4 * spread:
        complete = reference.others_complete and current.others_complete
        count = f"{len(new)} new {_categories(new)}" if complete else f"at least {len(new)} new {_categories(new)}"
        listed = _listed([(labels[place], str(c[place])) for place in _largest(new, c)], len(new))
        said.append(f"{count} in {_percent(c[new].sum() / m)} of rows: {listed}")
    gone = np.flatnonzero(exact & (c == 0) & (pooled > 0))
    gone = gone[(n / (n + m)) ** pooled[gone] <= level / len(labels)]
    if len(gone) == 1:
        said.append(f"category {_quoted(labels[gone[0]])} vanished (was {_percent(r[gone[0]] / n)})")
    elif len(gone):
        listed = _listed([(labels[place], f"was {_percent(r[place] / n)}") for place in _largest(gone, r)], len(gone))
        said.append(f"{len(gone)} categories vanished: {listed}")
    return said


def _chance(rows: int, n: int, m: int) -> float:
    return float(np.exp(gammaln(m + 1) - gammaln(m - rows + 1) - gammaln(n + m + 1) + gammaln(n + m - rows + 1)))


def _largest(places: np.ndarray, counts: np.ndarray) -> list[int]:
    return [int(place) for place in sorted(places, key=lambda place: -counts[place])[:SHOWN]]


def _listed(names: list[tuple[str, str]], total: int) -> str:
    shown = ", ".join(f"{_quoted(name)} ({what})" for name, what in names)
    return f"{shown} and {total - len(names)} more" if total > len(names) else shown


def _quoted(name: str) -> str:
    return repr(name if len(name) <= 60 else name[:59] + "…")


def _categories(new: np.ndarray) -> str:
    return "category" if len(new) == 1 else "categories"


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:.4g} %"


def _shown(profile: NumberProfile, value: float) -> str:
    if profile.kind == "datetime":
        moment = int(profile.origin) + int(value)
        try:
            return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment)).replace(tzinfo=None).isoformat(sep=" ")
        except OverflowError:
            return f"{moment} microseconds after 1970"
    if isinstance(profile.origin, int) and float(value).is_integer():
        return str(profile.origin + int(value))
    return f"{profile.origin + value:.6g}"
