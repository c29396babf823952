"""How the champion does: over time, by slice, and as it is estimated where labels lag."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from keepfit.records import Cycle, Interval, PerformanceEstimate, PerformanceReport, SlicePerformance
from keepfit.reporting.charts import Scale, TrendPoint, beginnings, trend, whisker
from keepfit.reporting.figures import between, count, day, number, on_axis, share
from keepfit.reporting.markup import Html, element, joined, name, within

CYCLES = 60  # shown in a trend
SLICES = 40
SLICES_SIZE = 25_000  # bytes


def performance(cycle: Cycle, earlier: Sequence[Cycle]) -> Html | None:
    """What is known of the champion's performance; None where it never was judged."""
    report = cycle.performance
    history = _judged([*earlier, cycle])
    if report is None and not history:
        return None
    return joined(
        element("p", _lead(report), class_="lead") if report else None,
        _trend(history) if len(history) > 1 else None,
        _slices(report) if report and report.slices else None,
        _estimate(report.estimate) if report and report.estimate else None,
    )


def floor_of(cycle: Cycle) -> float | None:
    """The floor that the champion's metric is held against."""
    signals = cycle.decision.signals if cycle.decision else ()
    return next((signal.threshold for signal in signals if signal.name == "floor"), None)


def _lead(report: PerformanceReport) -> Html:
    labels = f"{report.n:,} labelled rows of {report.rows:,}" + (f" ({share(report.n / report.rows)})" if report.rows else "")
    if report.value is None:
        return joined(f"Version {report.champion} could not be judged: {report.note or labels}.")
    spread = f" ({report.interval.level:.0%} interval {between(report.interval)})" if report.interval else ""
    accepted = f" It was accepted with {number(report.reference)}." if report.reference is not None else ""
    better = "Larger is better." if report.greater_is_better else "Smaller is better."
    return joined(
        f"Version {report.champion} scores ",
        element("b", f"{report.metric} {number(report.value)}"),
        f"{spread} on {labels}.{accepted} {better}",
    )


# ----------------------------------------------------------------------------------------------------------- over time


def _judged(cycles: Sequence[Cycle]) -> list[tuple[Cycle, PerformanceReport]]:
    """The latest cycles in which a champion was looked at with the latest metric, oldest first."""
    by_time = sorted({cycle.id: cycle for cycle in cycles}.values(), key=lambda cycle: (cycle.started_at, cycle.id))
    looked = [(cycle, cycle.performance) for cycle in by_time if cycle.performance is not None]
    valued = [report.metric for _, report in looked if report.value is not None]
    return [pair for pair in looked if valued and pair[1].metric == valued[-1]][-CYCLES:]


def _trend(history: list[tuple[Cycle, PerformanceReport]]) -> Html:
    points = [_point(cycle, report) for cycle, report in history]
    floor = floor_of(history[-1][0])
    spread = [end for point in points if point.interval for end in (point.interval.low, point.interval.high)]
    scale = Scale.over([*(point.value for point in points), *(point.reference for point in points), *spread, floor])
    metric = history[-1][1].metric
    known = [point.value for point in points if point.value is not None]
    told = f"{count(len(known), 'cycle')}, from {number(known[0])} to {number(known[-1])}." if known else "No value."
    return element(
        "figure",
        element("h3", f"{metric} over time"),
        element(
            "div",
            _ticks(scale),
            element(
                "div",
                trend(points, scale, floor, f"{metric} over time", told),
                *_versions(points),
                class_="plot",
            ),
            class_="trend-frame",
        ),
        element(
            "div",
            element("span", day(history[0][0].started_at)),
            element("span", day(history[-1][0].started_at)),
            class_="axis",
            aria_hidden="true",
        ),
        element("p", *_keys(floor, points), class_="legend"),
        element("details", element("summary", "As a table"), _as_table(history)),
        class_="wide",
    )


def _point(cycle: Cycle, report: PerformanceReport) -> TrendPoint:
    value = f"{number(report.value)} ({between(report.interval)})" if report.value is not None else "not judged"
    told = f"{day(cycle.started_at)}: {value}, {count(report.n, 'labelled row')}, version {report.champion[:20]}"
    return TrendPoint(value=report.value, interval=report.interval, reference=report.reference, series=report.champion, told=told)


def _ticks(scale: Scale) -> Html:
    """The values of the lines of the grid; one of them, unseen, makes the room that the widest needs."""
    ticks = [(on_axis(tick, scale.high - scale.low), 100 - scale(tick)) for tick in scale.ticks()]
    widest = max((label for label, _ in ticks), key=len, default="")
    return element(
        "div",
        element("span", widest, class_="room"),
        *(element("span", label, style=f"top:{top:.1f}%") for label, top in ticks),
        class_="ticks",
        aria_hidden="true",
    )


def _versions(points: Sequence[TrendPoint]) -> Iterator[Html]:
    """The champion's version where it changed, unless its name would lie on the one before."""
    last = -100.0
    for place in (0, *beginnings(points)):
        left = 100 * place / len(points)
        if left - last >= 9:
            last = left
            yield element("span", f"v{points[place].series[:8]}", class_="version", style=f"left:{left:.1f}%", aria_hidden="true")


def _keys(floor: float | None, points: Sequence[TrendPoint]) -> Iterator[Html]:
    yield element("span", element("span", class_="key value"), "measured, with its interval")
    if any(point.reference is not None for point in points):
        yield element("span", element("span", class_="key accepted"), "accepted with")
    if floor is not None:
        yield element("span", element("span", class_="key floor"), f"floor {number(floor)}")
    if beginnings(points):
        yield element("span", element("span", class_="key change"), "new champion")


def _as_table(history: list[tuple[Cycle, PerformanceReport]]) -> Html:
    rows = (
        element(
            "tr",
            element("th", day(cycle.started_at), scope="row"),
            element("td", name(report.champion, 12)),
            element("td", number(report.value)),
            element("td", between(report.interval)),
            element("td", f"{report.n:,}"),
        )
        for cycle, report in reversed(history)
    )
    heads = (element("th", head, scope="col") for head in ("Cycle", "Version", history[-1][1].metric, "Interval", "Labels"))
    table = element("table", element("thead", element("tr", *heads)), element("tbody", *rows))
    return element("div", table, class_="scroller", tabindex=0, role="region", aria_label="Performance over time")


# -------------------------------------------------------------------------------------------------- by slice, estimated


def _slices(report: PerformanceReport) -> Html:
    slices = report.slices[:SLICES]
    ends = [end for each in slices if each.interval for end in (each.interval.low, each.interval.high)]
    scale = Scale.over([report.value, *(each.metric for each in slices), *ends])
    rows = within((_slice(each, report.value, scale) for each in slices), SLICES, SLICES_SIZE)
    heads = (
        element("th", head, scope="col") for head in ("Slice", report.metric, "Rows", "With its interval; the tick is the whole")
    )
    table = element("table", element("thead", element("tr", *heads)), element("tbody", *rows), class_="slices")
    left = len(report.slices) - len(rows)
    return element(
        "div",
        element("h3", "By slice"),
        element("div", table, class_="scroller", tabindex=0, role="region", aria_label="Performance by slice"),
        element("p", f"and {left:,} more", class_="small") if left else None,
        class_="wide",
    )


def _slice(part: SlicePerformance, whole: float | None, scale: Scale) -> Html:
    return element(
        "tr",
        element("th", name(part.column, 24), " = ", name(part.value, 24), scope="row"),
        element("td", number(part.metric)),
        element("td", f"{part.n:,}"),
        element("td", whisker(part.metric, part.interval, whole, scale)),
    )


def _estimate(estimate: PerformanceEstimate) -> Html:
    method = {
        "confidence": "from the model's own calibrated confidence",
        "loss_model": "by a model of its errors",
    }.get(estimate.method, estimate.method)
    if estimate.value is None:
        told = f"There is no estimate {method}: {estimate.note or 'it is undefined on these rows'}."
    else:
        spread = _spread(estimate.interval)
        told = f"On {estimate.n:,} rows, {estimate.metric} is probably about {number(estimate.value)}{spread}, told {method}."
    known = [
        f"It is off by {number(estimate.error)} on the {estimate.labelled:,} rows whose labels have come."
        if estimate.error is not None
        else "",
        f"For this champion it is usually off by {number(estimate.usual_error)}." if estimate.usual_error is not None else "",
    ]
    return element(
        "div",
        element("h3", "Estimated without labels"),
        element("p", " ".join([told, *filter(None, known), "Labels always outvote it."])),
        class_="wide",
    )


def _spread(interval: Interval | None) -> str:
    return f" ({interval.level:.0%} interval {between(interval)})" if interval else ""
