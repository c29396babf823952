"""What texts say now and did not say before."""

from __future__ import annotations

from collections.abc import Sequence

from keepfit.records import NewPattern
from keepfit.reporting.figures import count
from keepfit.reporting.markup import Html, element, joined, name, within

LINES = 60
LINES_SIZE = 15_000  # bytes


def patterns(found: Sequence[NewPattern]) -> Html:
    """A table with a line for each term, by column and class, the surest first."""
    rows = within(map(_line, found), LINES, LINES_SIZE)
    heads = ("Term", "In", "New texts", "Reference")
    table = element(
        "table",
        element("thead", element("tr", *(element("th", head, scope="col") for head in heads))),
        element("tbody", *rows),
        class_="lines",
    )
    left = len(found) - len(rows)
    return joined(
        element("div", table, class_="scroller", tabindex=0, role="region", aria_label="New in the texts"),
        element("p", f"and {count(left, 'more term', 'more terms')}", class_="small") if left else None,
    )


def _line(found: NewPattern) -> Html:
    return element(
        "tr",
        element("th", name(found.term, 60), scope="row"),
        element("td", name(found.column, 24), " of ", name(found.label, 24)),
        element("td", f"{found.count:,}"),
        element("td", f"{found.reference_count:,}"),
    )
