"""Charts as inline SVG, drawn from plain numbers.

A chart is stretched to the width that is there while its lines keep their strength; words stand beside it in HTML, where they
keep their size. Dots are lines without length and with round ends, for the same reason. Every chart that says more than the
words beside it has a title and a description.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from keepfit.records import Interval
from keepfit.reporting.markup import Html, Piece, element, joined


def overlaid(reference: Sequence[float], current: Sequence[float], title: str, description: str) -> Html:
    """Two histograms over the same bins, as shares: the reference filled, the current one as a line."""
    top = max(*reference, *current, 1e-12) * 1.06
    return _chart(
        "histogram",
        len(reference),
        100,
        title,
        description,
        element("path", class_="reference-area", d=_steps(reference, top) + "Z"),
        element("path", class_="current-area", d=_steps(current, top) + "Z"),
        element("path", class_="current-line", d=_steps(current, top)),
    )


def pair_of_bars(reference: float, current: float, top: float) -> Html:
    """Two bars, one under the other, of the share that they are of `top`; the numbers stand beside them."""
    return _silent(
        "bars",
        element("rect", class_="reference-bar", y=0, height=9, width=_part(reference, top)),
        element("rect", class_="current-bar", y=11, height=9, width=_part(current, top)),
    )


def gauge(score: float | None, threshold: float | None, top: float, *, drifted: bool) -> Html:
    """A bar as long as the score, and a tick where the threshold is."""
    return _silent(
        "gauge",
        element("rect", class_="track", y=7, height=6, width=100),
        element("rect", class_="beyond" if drifted else "short", y=7, height=6, width=_part(score or 0.0, top)),
        _upright(float(_part(threshold, top)), 1, 19, "tick") if threshold is not None else None,
    )


def whisker(value: float | None, interval: Interval | None, threshold: float | None, scale: Scale, *, bad: bool = False) -> Html:
    """A dot with its interval on a scale, and a tick where the threshold is."""
    return _silent(
        "whisker",
        _level(0, 100, 10, "rail"),
        _level(scale(interval.low), scale(interval.high), 10, "spread") if interval else None,
        _upright(scale(threshold), 1, 19, "tick") if threshold is not None else None,
        _dot(scale(value), 10, "dot bad" if bad else "dot") if value is not None else None,
    )


@dataclass(frozen=True)
class Scale:
    """From values to percent of a width."""

    low: float
    high: float

    def __call__(self, value: float) -> float:
        return min(100.0, max(0.0, 100 * (value - self.low) / (self.high - self.low)))

    @classmethod
    def over(cls, values: Sequence[float | None], margin: float = 0.12) -> Scale:
        """A scale on which all of them have room."""
        known = [value for value in values if value is not None]
        low, high = (min(known), max(known)) if known else (0.0, 1.0)
        room = (high - low) * margin or abs(high) * margin or 1.0
        return cls(low - room, high + room)

    def ticks(self) -> list[float]:
        """Three to six round values inside."""
        rough = (self.high - self.low) / 4
        power = 10.0 ** math.floor(math.log10(rough)) if rough > 0 else 0.0
        step = next((power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.85), 0.0)
        if not step:
            return []
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [step * place for place in range(first, min(last, first + 9) + 1)]


@dataclass(frozen=True, kw_only=True)
class TrendPoint:
    """One cycle in a trend."""

    value: float | None
    interval: Interval | None
    reference: float | None  # what the champion was accepted with
    series: str  # the champion
    told: str  # a line for whoever points at it


def trend(points: Sequence[TrendPoint], scale: Scale, floor: float | None, title: str, description: str) -> Html:
    """Values one after another with a band of their intervals, the reference of each series, and where a series begins."""
    width = 100 / len(points)

    def across(index: int) -> float:
        return (index + 0.5) * width

    def down(value: float) -> float:
        return 100 - scale(value)

    return _chart(
        "trend",
        100,
        100,
        title,
        description,
        *(_level(0, 100, down(tick), "grid") for tick in scale.ticks()),
        *(_upright(begin * width, 0, 100, "change") for begin in beginnings(points)),
        _level(0, 100, down(floor), "floor") if floor is not None else None,
        *(
            _level(first * width, (last + 1) * width, down(points[first].reference or 0.0), "accepted")
            for first, last in _runs([(point.series, point.reference) if point.reference is not None else None for point in points])
        ),
        *(
            _band([(across(i), down(each.high), down(each.low)) for i in range(first, last + 1) if (each := points[i].interval)])
            for first, last in _runs([point.series if point.interval else None for point in points])
        ),
        *(
            element("path", class_="line", d=_line([(across(i), down(points[i].value or 0.0)) for i in range(first, last + 1)]))
            for first, last in _runs([point.series if point.value is not None else None for point in points])
            if last > first
        ),
        *(_dot(across(i), down(point.value), "dot") for i, point in enumerate(points) if point.value is not None),
        *(
            element("rect", element("title", point.told), class_="touch", x=_short(i * width), width=_short(width), height=100)
            for i, point in enumerate(points)
        ),
    )


def beginnings(points: Sequence[TrendPoint]) -> list[int]:
    """Where another series begins than that of the point before."""
    return [i for i in range(1, len(points)) if points[i].series != points[i - 1].series]


def _runs(keys: Sequence[object]) -> Iterator[tuple[int, int]]:
    """First and last place of each run of equal keys; None is a gap."""
    first = 0
    for place, key in enumerate(keys):
        if place and key != keys[place - 1]:
            first = place
        if key is not None and (place + 1 == len(keys) or keys[place + 1] != key):
            yield first, place


def _steps(shares: Sequence[float], top: float) -> str:
    """The outline of a histogram from its left foot to its right one."""
    heights = [_short(100 - 100 * share / top) for share in shares]
    return "M0 100" + "".join(f"V{height}h1" for height in heights) + "V100"


def _band(edges: Sequence[tuple[float, float, float]]) -> Html:
    if len(edges) == 1:
        [(x, high, low)] = edges
        return element("path", class_="lone", d=f"M{_short(x)} {_short(high)}V{_short(low)}")
    there = _line([(x, high) for x, high, _ in edges])
    back = _line([(x, low) for x, _, low in reversed(edges)])
    return element("path", class_="band", d=f"{there}L{back[1:]}Z")


def _line(places: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{_short(x)} {_short(y)}" for x, y in places)


def _level(left: float, right: float, y: float, kind: str) -> Html:
    return element("path", class_=kind, d=f"M{_short(left)} {_short(y)}H{_short(right)}")


def _upright(x: float, top: float, bottom: float, kind: str) -> Html:
    return element("path", class_=kind, d=f"M{_short(x)} {_short(top)}V{_short(bottom)}")


def _dot(x: float, y: float, kind: str) -> Html:
    return element("path", class_=kind, d=f"M{_short(x)} {_short(y)}h0")


def _part(value: float, top: float) -> str:
    return _short(Scale(0.0, top)(value)) if top > 0 else "0"


def _short(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _chart(kind: str, width: float, height: float, title: str, description: str, *pieces: Piece) -> Html:
    inside = joined(*pieces)
    mark = hashlib.blake2b(f"{title}{description}{inside}".encode(errors="replace"), digest_size=5).hexdigest()
    return element(
        "svg",
        element("title", title, id=f"t{mark}"),
        element("desc", description, id=f"d{mark}"),
        inside,
        class_=f"chart {kind}",
        viewBox=f"0 0 {_short(width)} {_short(height)}",
        preserveAspectRatio="none",
        role="img",
        aria_labelledby=f"t{mark} d{mark}",
    )


def _silent(kind: str, *pieces: Piece) -> Html:
    """A chart that only repeats the numbers beside it."""
    return element("svg", *pieces, class_=f"chart {kind}", viewBox="0 0 100 20", preserveAspectRatio="none", aria_hidden="true")
