"""The two distributions of a column, drawn from its profiles."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from keepfit.reporting.charts import overlaid, pair_of_bars
from keepfit.reporting.figures import count, date_on_axis, number, on_axis, share
from keepfit.reporting.markup import Html, element, joined, name, within
from keepfit.stats.profile import CategoryProfile, NumberProfile, TableProfile, aligned_categories
from keepfit.stats.text import TextProfile
from keepfit.stats.words import FEATURES, GRID

BINS = 36  # of a picture
CATEGORIES = 10  # shown one by one
TAIL = 0.002  # share of each side's values that may lie beyond a picture, at each end
BEYOND = 0.01  # a larger share is told of
FAR = 5  # so many interquartile ranges from the quartiles are beyond it too, so that one far value squeezes nothing
WHOLES = {"upper_case": ", share of the letters", "capital_start": ", yes or no", "sentence_end": ", yes or no"}
LENGTHS = ("length", "words", "word_length")  # features of texts that are lengths; the others are shares


@dataclass(frozen=True, kw_only=True)
class Sides:
    """What there is to draw from: the reference's profiles and the new rows'."""

    reference: TableProfile | None = None
    current: TableProfile | None = None


def drawn(column: str, sides: Sides) -> Html | None:
    """A figure of the column's values then and now; None where the profiles have nothing to draw."""
    then = sides.reference.columns.get(column) if sides.reference else None
    now = sides.current.columns.get(column) if sides.current else None
    if not (then and now and then.filled and now.filled):
        return None
    if isinstance(then, NumberProfile) and isinstance(now, NumberProfile) and then.kind == now.kind:
        with np.errstate(all="ignore"):  # values at the end of what floating point holds; see `_histogram`
            return _histogram(column, then, now)
    if isinstance(then, CategoryProfile) and isinstance(now, CategoryProfile) and then.names == now.names:
        return _bars(then, now)
    if isinstance(then, TextProfile) and isinstance(now, TextProfile):
        return _text(column, then, now)
    return None


def legend() -> Html:
    """Which colour is which."""
    keys = (element("span", element("span", class_=f"key {side}"), side) for side in ("reference", "current"))
    return element("p", *keys, class_="legend")


def _figure(picture: Html, labels: tuple[str, str, str], caption: str) -> Html:
    axis = element("div", *(element("span", label) for label in labels), class_="axis", aria_hidden="true")
    return element("figure", legend(), picture, axis, element("figcaption", caption, class_="small") if caption else None)


# ------------------------------------------------------------------------------------------------------------- numbers


def _histogram(column: str, reference: NumberProfile, current: NumberProfile) -> Html | None:
    """None where the values are too far apart for a picture."""
    sides = {"reference": reference, "current": current}
    grid = _grid(reference, current)
    if not np.isfinite(grid).all() or not (np.diff(grid) > 0).all():
        return None
    shares = {side: np.diff(_below(profile, grid)) for side, profile in sides.items()}
    beyond = {side: 1 - float(values.sum()) for side, values in shares.items()}
    told = " ".join(
        f"{share(left)} of the {side} values lie beyond this picture." for side, left in beyond.items() if left > BEYOND
    )
    ends = (float(grid[0]), float(grid[0] / 2 + grid[-1] / 2), float(grid[-1]))
    return _figure(
        overlaid(
            shares["reference"].tolist(),
            shares["current"].tolist(),
            f"Distribution of {column}",
            ". ".join(f"{side.capitalize()}: {_told(profile)}" for side, profile in sides.items()),
        ),
        _labels(reference, ends),
        told,
    )


def _grid(reference: NumberProfile, current: NumberProfile) -> np.ndarray:
    """Equal bins over the bulk of both sides, relative to their origin. Evenly spaced values (whole numbers, say) have equally
    many places in every bin."""
    bulks = [_bulk(profile) for profile in (reference, current)]
    low, high = min(bulk[0] for bulk in bulks), max(bulk[1] for bulk in bulks)
    step = _step([value for profile in (reference, current) for value in _single_values(profile)])
    if step and (high - low) / step < 50 * BINS:
        wide = step * max(1, -(-round((high - low) / step + 1) // BINS))
        return np.asarray(low - step / 2 + wide * np.arange(np.ceil((high - low + step) / wide - 1e-9) + 1))
    if not high > low:
        room = abs(low) / 100 or 0.5
        low, high = low - room, high + room
    return np.linspace(low, high, BINS + 1)


def _bulk(profile: NumberProfile) -> tuple[float, float]:
    places, below = _cumulated(profile)
    low, first, third, high = (float(place) for place in np.interp([TAIL, 0.25, 0.75, 1 - TAIL], below, places))
    reach = FAR * (third - first)
    return (max(low, first - reach), min(high, third + reach)) if reach > 0 else (low, high)


def _below(profile: NumberProfile, grid: np.ndarray) -> np.ndarray:
    """The share of the profile's values below each line of the grid."""
    places, below = _cumulated(profile)
    return np.asarray(np.interp(grid, places, below, left=0.0, right=1.0))


def _cumulated(profile: NumberProfile) -> tuple[np.ndarray, np.ndarray]:
    """Places from the smallest value to the largest, and the share of the values below each."""
    low, high = profile.minimum or 0.0, profile.maximum or 0.0
    places = np.concatenate([[low], np.clip(profile.edges, low, high), [high]])
    return places, np.concatenate([[0.0], np.cumsum(profile.counts)]) / profile.filled


def _single_values(profile: NumberProfile) -> list[float]:
    """The values that have a bin of their own, where these hold nearly everything."""
    edges = np.asarray(profile.edges, dtype=float)
    own = np.flatnonzero(np.diff(edges) <= 1e-12 * np.abs(edges[:-1]) + 5e-324)
    held = [int(place) for place in own if profile.counts[place + 1]]
    if sum(int(profile.counts[place + 1]) for place in held) < 0.99 * profile.filled:
        return []
    return [float(edges[place]) for place in held]


def _step(values: list[float]) -> float | None:
    """The distance between neighbours where all values lie on one even grid."""
    distinct = np.unique(values)
    if len(distinct) < 2:
        return None
    gaps = np.diff(distinct)
    steps = gaps / gaps.min()
    return float(gaps.min()) if np.allclose(steps, np.round(steps), atol=1e-3) else None


def _labels(profile: NumberProfile, ends: tuple[float, float, float]) -> tuple[str, str, str]:
    if profile.kind == "datetime":
        width = timedelta(microseconds=min(ends[2] - ends[0], 1e17))
        low, middle, high = (date_on_axis(profile.origin + end, width) for end in ends)
    else:
        low, middle, high = (on_axis(profile.origin + end, ends[2] - ends[0]) for end in ends)
    return low, middle, high


def _told(profile: NumberProfile) -> str:
    if profile.kind == "datetime":
        return count(profile.filled, "value")
    return f"mean {number(profile.mean)}, standard deviation {number(profile.std)}, {count(profile.filled, 'value')}"


# ---------------------------------------------------------------------------------------------------------- categories


def _bars(reference: CategoryProfile, current: CategoryProfile) -> Html:
    labels, then, now = aligned_categories(reference, current)
    then, now = then / reference.filled, now / current.filled
    shown = [int(place) for place in np.argsort(-np.maximum(then, now), kind="stable") if then[place] or now[place]]
    top = float(max(max(then[place], now[place]) for place in shown))
    rows = within((_bar(labels[place], then[place], now[place], top) for place in shown), CATEGORIES, 5_000)
    rest = shown[len(rows) :]
    if rest:
        rows.append(_bar(f"{len(rest):,} more", float(then[rest].sum()), float(now[rest].sum()), top))
    heads = (element("th", head, scope="col") for head in ("Value", "Share of the rows", "reference", "current"))
    table = element("table", element("thead", element("tr", *heads)), element("tbody", *rows), class_="categories")
    return element("figure", legend(), table)


def _bar(label: str, then: float, now: float, top: float) -> Html:
    state = "new" if not then else "gone" if not now else None
    return element(
        "tr",
        element("th", name(label, 28), joined(" ", element("span", state, class_="tag")) if state else None, scope="row"),
        element("td", pair_of_bars(then, now, top)),
        element("td", share(then), class_="reference"),
        element("td", share(now), class_="current"),
    )


# --------------------------------------------------------------------------------------------------------------- texts


def _text(column: str, reference: TextProfile, current: TextProfile) -> Html:
    """The feature of the texts that differs most."""
    then, now = reference.histograms / max(reference.filled, 1), current.histograms / max(current.filled, 1)
    feature = int(np.argmax(np.abs(then - now).sum(axis=1)))
    held = np.flatnonzero(then[feature] + now[feature])
    first, last = int(held[0]), int(held[-1])
    kind = FEATURES[feature]
    words = kind.replace("_", " ") + (" of the texts" if kind in LENGTHS else WHOLES.get(kind, ", share of the characters"))
    inside = slice(first, last + 1)
    low, middle, high = (_of_feature(kind, place) for place in (first, (first + last) // 2, last))
    return _figure(
        overlaid(
            then[feature, inside].tolist(),
            now[feature, inside].tolist(),
            f"{words} in {column}",
            f"Reference: {count(reference.filled, 'text')}. Current: {count(current.filled, 'text')}",
        ),
        (low, middle, high),
        f"What differs most: {words}.",
    )


def _of_feature(kind: str, place: int) -> str:
    """Where a bin of a text feature begins, in words; see `keepfit.stats.words.features`."""
    if kind in LENGTHS:
        length = 0.0 if place == 0 else 2 ** ((place - 1) / 4) / (2 if kind == "word_length" else 1)
        return f"{length:.1f}" if kind == "word_length" else f"{length:,.0f}"
    return share(place / (GRID - 1))
