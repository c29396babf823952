"""What is new in a column, in words: names, values out of range, empty cells. Said only when chance would hardly show it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from scipy.special import gammaln

from keepfit.stats.calibrate import Sizes, share_tail
from keepfit.stats.categories import Aligned, CategoryProfile, aligned
from keepfit.stats.numbers import NumberProfile

SHOWN = 3  # names listed
LEAST_GAIN = 0.01  # of the rows, by which a group of names has to hold more to be spoken of
LONGEST = 10**20  # whole numbers from which on not every digit is shown


def moved(what: str, reference: float, current: float) -> str:
    """Two shares.

    >>> moved("empty cells", 0.02, 0.4)
    'empty cells 2 % -> 40 %'
    """
    return f"{what} {_percent(reference)} -> {_percent(current)}"


def unread_cells(reference: NumberProfile | CategoryProfile, current: NumberProfile | CategoryProfile, level: float) -> list[str]:
    """Cells that are not of the column's kind: any where the reference has none, else when chance would hardly bring so many."""
    cells = [max(side.filled + side.unread, 1) for side in (reference, current)]
    then, now = reference.unread / cells[0], current.unread / cells[1]
    sizes = Sizes(reference=cells[0], current=cells[1])
    if now <= then or (then and share_tail(reference.unread, current.unread, sizes) > level):
        return []
    shown = ", ".join(map(repr, current.examples))
    kind = {"number": "numbers", "datetime": "dates", "boolean": "truth values"}.get(reference.kind, "names")
    return [f"{current.unread:,} of {cells[1]:,} cells are no {kind} ({shown})"]


def time_zones(reference: NumberProfile, current: NumberProfile) -> list[str]:
    """That one side's moments say in which time zone they are and the other's do not."""
    sides = [2 * side.zoned > side.filled for side in (reference, current) if side.filled]
    if reference.kind != "datetime" or sides in ([], [True], [False], [True, True], [False, False]):
        return []
    told, untold = ("reference", "new rows") if sides[0] else ("new rows", "reference")
    return [f"moments of the {told} have a time zone, those of the {untold} have none and are taken to be in UTC"]


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
    both = aligned(reference, current)
    n, m = max(reference.filled, 1), max(current.filled, 1)
    unnamed = _heavier(both, n, m, level)
    labels = both.names
    if not labels:
        return unnamed
    r, c = both.reference[: len(labels)], both.current[: len(labels)]
    pooled = (r + c).astype(float)
    alone = np.where(pooled > 0, (m / (n + m)) ** pooled, 0.0)
    new = np.flatnonzero((r == 0) & (c > 0))
    usual, spread = float(pooled @ alone), float(np.sqrt(pooled**2 @ alone))
    said = []
    if len(new) and c[new].sum() > usual + 4 * spread:
        complete = reference.others_complete and current.others_complete
        count = f"{len(new)} new {_categories(new)}" if complete else f"at least {len(new)} new {_categories(new)}"
        listed = _listed([(labels[place], str(c[place])) for place in _largest(new, c)], len(new))
        said.append(f"{count} in {_percent(c[new].sum() / m)} of rows: {listed}")
    said += unnamed
    gone = np.flatnonzero((c == 0) & (pooled > 0))
    gone = gone[(n / (n + m)) ** pooled[gone] <= level / len(labels)]
    if len(gone) == 1:
        said.append(f"category {_quoted(labels[gone[0]])} vanished (was {_percent(r[gone[0]] / n)})")
    elif len(gone):
        listed = _listed([(labels[place], f"was {_percent(r[place] / n)}") for place in _largest(gone, r)], len(gone))
        said.append(f"{len(gone)} categories vanished: {listed}")
    return said


def _heavier(both: Aligned, n: int, m: int, level: float) -> list[str]:
    """Of names that are known by their hash only: groups of them that hold a larger share of the rows than before, by far more
    than the other groups do, and by at least 1 %. Few names are in such a group that matter, often one, but which is not known.
    """
    r, c = both.reference[len(both.names) :], both.current[len(both.names) :]
    if not len(r):
        return []
    apart = c / m - r / n
    usual = float(np.median(apart)) if len(r) > 2 else 0.0
    sizes, before = Sizes(reference=n, current=m), np.round(r + max(usual, 0.0) * n).astype(int)
    more = [int(place) for place in np.flatnonzero(apart - usual >= LEAST_GAIN)]
    more = [place for place in more if share_tail(min(int(before[place]), n), int(c[place]), sizes) <= level / len(r)]
    if not more:
        return []
    then, now = _percent(r[more].sum() / n), _percent(c[more].sum() / m)
    return [f"one or some new or once rare categories in {now} of rows (names are not kept; others of equal hash: {then} before)"]


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
    if isinstance(profile.origin, int) and float(value).is_integer() and abs(profile.origin + int(value)) < LONGEST:
        return str(profile.origin + int(value))
    with np.errstate(over="ignore"):
        return f"{float(profile.origin) + value:.6g}"
