"""Columns of a drift report: a card for each that drifted, a line for each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from keepfit.records import ColumnDrift
from keepfit.reporting.charts import gauge
from keepfit.reporting.distributions import Sides, drawn
from keepfit.reporting.figures import MISSING, chance, count, number, share
from keepfit.reporting.markup import Html, element, joined, name, within

CARDS = 24
CARDS_SIZE = 120_000  # bytes
LINES = 200
LINES_SIZE = 80_000
FINDINGS = 5  # of a column


def cards(columns: Sequence[ColumnDrift], sides: Sides, most: int = CARDS, size: int = CARDS_SIZE) -> tuple[Html, int]:
    """A card for each column with both of its distributions, and how many of the columns these are."""
    tops = tops_of(columns[:most])
    shown = within((card(column, sides, tops[column.method]) for column in columns), most, size)
    return element("div", *shown, class_="cards"), len(shown)


def card(column: ColumnDrift, sides: Sides, top: float) -> Html:
    """All that is known of one column."""
    return element(
        "article",
        element("header", element("h3", name(column.name)), state(column), class_="split"),
        element("p", *_kind(column), class_="small"),
        _score(column, top),
        drawn(column.name, sides),
        _findings(column),
        element("p", column.note, class_="small") if column.note else None,
        element("details", element("summary", "Figures"), _figures(column)),
        class_="card",
    )


def lines(columns: Sequence[ColumnDrift]) -> tuple[Html, int]:
    """A table with a line for each column, those that come closest to drift first, and how many of the columns it shows."""
    ordered = sorted(columns, key=lambda column: (not column.drifted, column.score is None, -(column.score or 0.0), column.name))
    tops = tops_of(ordered[:LINES])
    rows = within((_line(column, tops[column.method]) for column in ordered), LINES, LINES_SIZE)
    heads = ("Column", "Kind", "Score", "", "Counts from", "p", "Empty", "Measure")
    table = element(
        "table",
        element("caption", f"{count(len(rows), 'column')} of {len(columns):,}, the highest score first", class_="unseen"),
        element("thead", element("tr", *(_head(head) for head in heads))),
        element("tbody", *rows),
        class_="lines",
    )
    return element("div", table, class_="scroller", tabindex=0, role="region", aria_label="Columns"), len(rows)


def tops_of(columns: Iterable[ColumnDrift]) -> dict[str, float]:
    """The end of the scale for each method, the same on the whole page so that bars can be compared."""
    tops: dict[str, float] = {}
    for column in columns:
        tops[column.method] = max(tops.get(column.method, 0.0), 1.15 * (column.score or 0.0), 1.6 * (column.threshold or 0.0), 1e-9)
    return tops


def state(column: ColumnDrift) -> Html:
    """Drifted, steady or not judged, in a word, a sign and a colour."""
    if column.drifted:
        return pill("drifted", "bad")
    return pill("not judged", "quiet") if column.score is None else pill("steady", "good")


def pill(words: str, tone: str) -> Html:
    """A short word on a coloured ground; `tone` is good, watch, bad or quiet."""
    sign = {"good": "✓", "watch": "!", "bad": "▲"}.get(tone, "·")
    return element("span", element("span", sign, aria_hidden="true"), " ", words, class_=f"pill {tone}")


def _kind(column: ColumnDrift) -> Iterator[str]:
    yield f"{column.kind}, {count(column.reference, 'value')} then, {column.current:,} now"
    if column.importance is not None:
        yield f" · importance to the model {number(column.importance)}"


def _score(column: ColumnDrift, top: float) -> Html | None:
    if column.score is None:
        return None
    counts = f", counts from {number(column.threshold)}" if column.threshold is not None else ""
    p_value = f"p {'< 0.0001' if column.p_value < 1e-4 else f'= {chance(column.p_value)}'}" if column.p_value is not None else None
    sure = joined(" · ", element("span", p_value, class_="whole")) if p_value else None
    return element(
        "div",
        element("p", element("b", number(column.score)), f" {measure_name(column.method)}{counts}", sure),
        gauge(column.score, column.threshold, top, drifted=column.drifted),
        class_="score",
    )


def _findings(column: ColumnDrift) -> Html | None:
    told = [element("li", finding) for finding in column.findings[:FINDINGS]]
    if len(column.findings) > FINDINGS:
        told.append(element("li", f"and {len(column.findings) - FINDINGS:,} more"))
    return element("ul", *told, class_="findings") if told else None


def _figures(column: ColumnDrift) -> Html:
    rows = [
        element(
            "tr",
            element("th", measure_name(measure.name), scope="row"),
            *(element("td", number(value)) for value in (measure.value, measure.expected, measure.score)),
            element("td", chance(measure.p_value)),
        )
        for measure in column.measures[:12]
    ]
    empty = (share(column.missing_reference), share(column.missing_current))
    return joined(
        element("p", f"Empty cells: {empty[0]} then, {empty[1]} now. Decided by {measure_name(column.method)}.", class_="small"),
        element(
            "div",
            element(
                "table",
                element("thead", element("tr", *(_head(head) for head in ("Measure", "value", "without drift", "excess", "p")))),
                element("tbody", *rows),
            ),
            class_="scroller",
            tabindex=0,
            role="region",
            aria_label="Measures",
        )
        if rows
        else None,
    )


def _line(column: ColumnDrift, top: float) -> Html:
    empty = share(column.missing_current)
    changed = column.missing_reference != column.missing_current
    return element(
        "tr",
        element("th", name(column.name, 40), scope="row"),
        element("td", column.kind),
        element("td", number(column.score)),
        element("td", gauge(column.score, column.threshold, top, drifted=column.drifted) if column.score is not None else None),
        element("td", number(column.threshold)),
        element("td", chance(column.p_value)),
        element("td", f"{share(column.missing_reference)} → {empty}" if changed else empty),
        element("td", _remark(column)),
    )


def _remark(column: ColumnDrift) -> str:
    said = column.note or (column.findings[0] if column.findings else "")
    return f"{measure_name(column.method)}{': ' if said else ''}{said[:90]}" if column.method != MISSING else said


def measure_name(method: str) -> str:
    """A measure as people write it."""
    known = {"ks": "Kolmogorov-Smirnov", "psi": "PSI", "jensen_shannon": "Jensen-Shannon", "tfidf": "tf-idf"}
    return known.get(method, method.replace("_", "-" if method == "chi_square" else " "))


def _head(words: str) -> Html:
    return element("th", words or element("span", "bar", class_="unseen"), scope="col")
