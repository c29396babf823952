"""The page that people read: one file with everything in it, for a telephone, a screen or paper, in light or in dark.

Nothing is loaded and nothing runs: the page forbids both to itself. It stays under 300 kB whatever is put in, and says what
it leaves out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files

from keepfit.records import Cycle, Decision, DriftReport
from keepfit.reporting import sections
from keepfit.reporting.columns import cards, lines
from keepfit.reporting.distributions import Sides
from keepfit.reporting.figures import between, count, moment, number
from keepfit.reporting.markup import Html, element, joined, name
from keepfit.reporting.patterns import patterns
from keepfit.reporting.performance import performance
from keepfit.reporting.verdict import CHANGES, Headline, judged, of_cycle, of_drift
from keepfit.stats.profile import TableProfile

NOTHING = Sides()
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
Section = tuple[str, str, Html | None]  # anchor, heading, what stands below it


def drift_page(report: DriftReport, reference: TableProfile | None, current: TableProfile | None, title: str) -> str:
    """The page of two tables' comparison, as a whole HTML document."""
    rows = f"{count(report.reference_rows, 'row')} as the reference, {count(report.rows, 'row')} now"
    tiles = _tiles([_drift_tile(report), ("Rows", f"{report.rows:,}", f"against {report.reference_rows:,}")])
    top = _top(joined(name(title), " · ", rows), of_drift(report), None, tiles)
    return _document(title, top, _drift(report, Sides(reference=reference, current=current)), _notes(report))


def cycle_page(
    cycle: Cycle,
    earlier: Sequence[Cycle],
    reference: TableProfile | None,
    current: TableProfile | None,
    project: str,
    *,
    answers: Sides = NOTHING,
    labels: Sides = NOTHING,
) -> str:
    """The page of one cycle, as a whole HTML document.

    `earlier` are cycles before it in any order, for what is shown over time. `reference` and `current` are the profiles of the
    features, `answers` those of the model's output, `labels` those of the labels; without them there are no pictures.
    """
    decision = cycle.decision
    parts: list[Section] = [
        ("signals", "Signals against thresholds", sections.signals(decision) if decision and decision.signals else None),
        *_drift(cycle.drift, Sides(reference=reference, current=current), answers, labels),
        ("performance", "Performance", performance(cycle, earlier)),
        ("challenger", "The challenger", sections.challenger(cycle)),
        ("data", "Data", sections.data(cycle.validation) if cycle.validation else None),
        ("notes", "Remarks", sections.notes(cycle)),
    ]
    about = joined(name(project), " · ", moment(cycle.started_at))
    top = _top(about, of_cycle(cycle), decision, _tiles(_facts(cycle)))
    return _document(f"{project}, {moment(cycle.started_at)}", top, parts, sections.origin(cycle))


# ----------------------------------------------------------------------------------------------------------- document


def _document(title: str, top: Html, parts: Iterable[Section], foot: Html) -> str:
    shown = [(anchor, heading, inside) for anchor, heading, inside in parts if inside]
    page = element(
        "html",
        element(
            "head",
            element("meta", charset="utf-8"),
            element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("meta", name="color-scheme", content="light dark"),
            element("meta", name="referrer", content="no-referrer"),
            element("title", f"{title} · keepfit"),
            element("style", Html(_style())),
        ),
        element(
            "body",
            element("header", top, _links(shown), class_="top"),
            element("main", *(_section(*part) for part in shown)),
            element("footer", element("h2", "Where these numbers come from"), foot),
        ),
        lang="en",
    )
    return f"<!DOCTYPE html>\n{page}\n"


@cache
def _style() -> str:
    return files("keepfit.reporting").joinpath("page.css").read_text(encoding="utf-8")


def _section(anchor: str, heading: str, inside: Html | None) -> Html:
    return element("section", element("h2", heading), inside, id=anchor)


def _links(shown: Sequence[Section]) -> Html | None:
    if len(shown) < 3:
        return None
    links = (element("a", heading, href=f"#{anchor}") for anchor, heading, _ in shown)
    return element("nav", *links, aria_label="On this page")


def _top(about: Html, headline: Headline, decision: Decision | None, tiles: Html) -> Html:
    return joined(
        element("p", element("span", "keepfit", class_="brand"), about, class_="about"),
        element("h1", headline.sentence, class_=headline.tone),
        _decided(decision) if decision else None,
        tiles,
    )


def _decided(decision: Decision) -> Html:
    reasons = [element("li", reason) for reason in decision.reasons[:8]]
    if len(decision.reasons) > 8:
        reasons.append(element("li", f"and {len(decision.reasons) - 8:,} more"))
    words = decision.action.value.replace("_", " ").lower()
    return element(
        "div",
        element("p", "Decision: ", element("b", words), ", because", class_="decided"),
        element("ul", *reasons, class_="reasons"),
        element("p", element("b", "What changed: "), CHANGES[decision.change]) if decision.change else None,
    )


# --------------------------------------------------------------------------------------------------------------- tiles


def _tiles(told: Iterable[tuple[str, str, str]]) -> Html:
    tiles = (
        element("div", element("dt", term), element("dd", value, class_="figure"), element("dd", note, class_="small"))
        for term, value, note in told
    )
    return element("dl", *tiles, class_="tiles")


def _facts(cycle: Cycle) -> Iterable[tuple[str, str, str]]:
    if cycle.drift is not None:
        yield _drift_tile(cycle.drift)
    if (report := cycle.performance) is not None:
        beside = f"{report.interval.level:.0%}: {between(report.interval)}" if report.interval else report.note[:80]
        yield report.metric, number(report.value), beside or "no interval"
        yield "Labels", f"{report.n:,}", f"of {count(report.rows, 'new row')}"
    if cycle.validation is not None:
        quality = cycle.validation.quality
        gone = cycle.validation.quarantined
        yield "Data quality", "–" if quality is None else f"{quality:.1f}", f"{gone:,} in quarantine" if gone else "of 100"


def _drift_tile(report: DriftReport) -> tuple[str, str, str]:
    if report.detected is None:
        return "Drifted columns", "–", report.note[:80] or "not measured"
    return (
        "Drifted columns",
        f"{len(report.drifted):,}",
        f"of {judged(report):,}" + (" judged" if judged(report) < len(report.columns) else ""),
    )


# --------------------------------------------------------------------------------------------------------------- drift


def _drift(report: DriftReport | None, sides: Sides, answers: Sides = NOTHING, labels: Sides = NOTHING) -> Iterable[Section]:
    if report is None:
        return
    if report.detected is None:
        yield "drift", "Drift", element("p", f"Drift was not measured: {report.note or 'nothing says why'}.")
        return
    drifted = [column for column in report.columns if column.drifted]
    shown, number_of = cards(drifted, sides)
    others = [*drifted[number_of:], *(column for column in report.columns if not column.drifted)]
    yield "drift", "Columns that drifted", _with_rest(shown, len(drifted) - number_of) if drifted else None
    if report.patterns:
        yield "patterns", "New in the texts", patterns(report.patterns)
    if report.output or report.label:
        yield "answers", "Answers and labels", _answers(report, answers, labels)
    if others:
        table, number_of = lines(others)
        left = len(others) - number_of
        yield (
            "columns",
            "Other columns" if drifted else "Columns",
            joined(
                table,
                element("p", f"and {count(left, 'more column', 'more columns')}, none with a higher score", class_="small")
                if left
                else None,
            ),
        )


def _with_rest(shown: Html, left: int) -> Html:
    told = f"{count(left, 'more drifted column', 'more drifted columns')}: see the table of the other columns"
    return joined(shown, element("p", told, class_="small") if left else None)


def _answers(report: DriftReport, answers: Sides, labels: Sides) -> Html:
    output, number_of = cards(report.output, answers, most=6, size=25_000)
    left = len(report.output) - number_of
    return joined(
        element("h3", "What the model answers") if report.output else None,
        output if report.output else None,
        element("p", f"and {left:,} more", class_="small") if left else None,
        element("h3", "The labels") if report.label else None,
        cards([report.label], labels, size=12_000)[0] if report.label else None,
    )


def _notes(report: DriftReport) -> Html:
    told = []
    if report.false_alarms is not None:
        told.append(f"Drift is found where there is none in at most {100 * report.false_alarms:.2g}% of such comparisons.")
    told.append("A score is the distance's excess over what no drift shows at this number of rows; 0 means nothing.")
    return element("p", " ".join([*told, report.note]).strip())
