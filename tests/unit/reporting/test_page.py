"""The page stands alone, stays small, tells the truth, and shows hostile names as the text that they are."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.reporting.examples import CYCLE, DRIFT, NOW, QUIET, SIGNALS, answers, column, earlier, performance, sides
from tests.unit.reporting.reading import read
from tests.unit.test_story import of

from keepfit.profiling import profile
from keepfit.records import (
    Action,
    Candidate,
    Conclusion,
    Cycle,
    Decision,
    DriftReport,
    Interval,
    Outcome,
    PerformanceReport,
    Promotion,
    Signal,
    SlicePerformance,
    Verdict,
)
from keepfit.reporting.distributions import Sides, drawn
from keepfit.reporting.page import cycle_page, drift_page
from keepfit.stats.profile import TableProfile

HOSTILE = [
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "</style></title><b>",
    "a&lt;b&amp;",
    "\u202eevil\u2066",
    "bell\x07null\x00esc\x1b[31m",
    "👩‍👩‍👧‍👦 ünïcödé עברית",
    "x" * 10_000,
    "<" * 10_000,
    " ",
    "",
    "line\nbreak\ttab\u2028",
    "{{7*7}} ${x} %s",
    "-->]]>",
]


def whole(cycle: Cycle = CYCLE, before: list[Cycle] | None = None) -> str:
    found = sides()
    return cycle_page(cycle, earlier() if before is None else before, found.reference, found.current, "loans", answers=answers())


# ------------------------------------------------------------------------------------------------------- what it says


def test_the_verdict_comes_first_in_one_sentence() -> None:
    text = read(whole()).text
    verdict = (
        "Drift in 4 of 7 columns and the model's answers, and the champion does worse than it should: a retraining is called for."
    )
    assert verdict in text
    assert text.index(verdict) < text.index("Signals against thresholds")
    assert "No drift, and the champion does well: there is nothing to do." in read(whole(QUIET)).text


def because(name: str, *, fired: bool = False, enough: bool = True) -> Decision:
    signal = Signal(name=name, fired=fired, enough=enough, reason="r")
    return Decision(action=Action.RETRAIN, reasons=("r",), signals=(signal,))


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({"outcome": Outcome.FAILED, "reason": "the disk is full"}, "The cycle failed: the disk is full."),
        ({"outcome": Outcome.WAITING, "reason": "2 of 3 batches"}, "Waiting for data: 2 of 3 batches."),
        ({"outcome": Outcome.QUARANTINED}, "The new data is broken: 1 batch went to quarantine and nothing was trained."),
        ({"outcome": Outcome.PROMOTED}, "does worse than it should: a new champion is in place."),
        ({"outcome": Outcome.KEPT_CHAMPION}, "the challenger was not better and the champion stays."),
        ({"drift": None}, "Drift was not measured, and the champion does worse than it should"),
        ({"drift": replace(DRIFT, columns=(), output=())}, "Drift of the whole, though of no column by itself, and"),
        ({"drift": replace(DRIFT, columns=(), output=(), label=column("y", score=0.4))}, "Drift in the labels, and"),
        ({"performance": None, "decision": None}, "the champion could not be judged: nothing is decided yet."),
        ({"decision": because("no_champion", fired=True)}, "there is no champion yet: a retraining is called for."),
        (
            {"decision": because("floor", enough=False)},
            "there are too few labels to judge the champion: a retraining is called for.",
        ),
    ],
)
def test_the_verdict_on_other_cycles(change: dict[str, Any], verdict: str) -> None:
    assert verdict in read(whole(replace(CYCLE, **change))).text


def test_a_signal_stands_beside_its_threshold_and_tells_what_would_have_changed_it() -> None:
    text = read(whole()).text
    for part in (
        "▲ fired",
        "value 0.841 threshold 0.858 95% interval 0.803 to 0.874 rows 412",
        "It would have taken: accuracy above 0.858",
        "value 10 days threshold 90 days",
        "· too little evidence",
        "new rows 5,000: KEEPFIT_RETRAIN__NEW_ROWS",
    ):
        assert part in text


def test_a_drifted_column_is_shown_with_both_of_its_distributions() -> None:
    page = read(whole())
    text = page.text
    pictures = [attributes for tag, attributes in page.elements if tag == "svg" and "histogram" in (attributes.get("class") or "")]
    assert len(pictures) == 4  # income, message, asked_at and the model's score
    for part in (
        "0.31 Jensen-Shannon, counts from 0.1 · p < 0.0001",
        "mortgage 40% 21.5%",
        "e-bike new 0% 23%",
        "boat gone 5.3% 0%",
        "Distribution of income Reference: mean ",
        "What differs most: word length of the texts.",
        "1 Jan 2026",
        "38% of the words are new",
        "Jensen-Shannon: every cell is empty on both sides",
        "1% → 4%",
    ):
        assert part in text


def test_performance_is_told_over_time_by_slice_and_as_it_is_estimated() -> None:
    page = read(whole())
    text = page.text
    assert "Version 7 scores accuracy 0.841 (95% interval 0.8092 to 0.8728) on 412 labelled rows of 1,200 (34.3%)" in text
    assert [label for label in ("v5", "v6", "v7") if label in text] == ["v5", "v6", "v7"]
    assert "floor 0.8" in text
    assert "purpose = e-bike 0.672 101" in text
    assert "On 788 rows, accuracy is probably about 0.862" in text
    assert "It is off by 0.021 on the 412 rows whose labels have come. For this champion it is usually off by 0.013." in text


def test_cycles_that_judged_another_metric_are_not_drawn_on_one_line() -> None:
    other = [replace(each, performance=replace(each.performance, metric="f1")) for each in earlier() if each.performance]
    assert "over time" not in read(whole(CYCLE, other)).text


def test_the_data_and_where_the_numbers_come_from_are_told() -> None:
    text = read(whole()).text
    for part in (
        "2026/03/14/loans-late.csv ▲ quarantined quality 41.0 of 100 · 88 rows, 88 labelled",
        "income: expected at most 5% empty cells, found 52 of 88 (59%) (row 1; row 4; row 5)",
        "Window 2 batches, 13 Mar 2026, 04:30 UTC to 14 Mar 2026, 04:30 UTC",
        "look 3 at this champion; a false alarm in at most 0.33% of such looks",
        "commit 0badc0ffee12+changes",
    ):
        assert part in text


def test_what_went_wrong_on_the_way_and_dropped_rows_are_told() -> None:
    assert CYCLE.validation is not None
    batches = (replace(CYCLE.validation.batches[0], dropped=12),)
    cycle = replace(CYCLE, notes=("no pictures were drawn: no room",), validation=replace(CYCLE.validation, batches=batches))
    text = read(whole(cycle)).text
    assert "Remarks no pictures were drawn: no room" in text
    assert "640 rows, 221 labelled, 12 went to quarantine" in text
    assert "What went wrong" not in read(whole()).text


def test_a_challenger_and_its_verdict_are_told() -> None:
    candidate = Candidate(
        name="forest",
        parameters={},
        version="8",
        run_id="r",
        uri="u",
        content_hash="h",
        rows=9000,
        batches=("a",),
        trained_on="t",
        seed=7,
    )
    verdict = Verdict(
        gate="superior",
        passed=True,
        conclusion=Conclusion.PASSED,
        reason="it is better",
        metric="accuracy",
        greater_is_better=True,
        champion=0.84,
        challenger=0.89,
        difference=0.05,
        interval=Interval(low=0.02, high=0.08),
        test="mcnemar",
        p_value=0.0012,
        alpha=0.025,
        comparison=1,
        n=600,
        units=600,
        negative_flips=4,
    )
    moved = Promotion(alias="champion", from_version="7", to_version="8")
    text = read(whole(replace(CYCLE, candidate=candidate, verdict=verdict, promotion=moved))).text
    assert "Version 8 , forest , was trained on 9,000 rows of 1 batch." in text
    assert "champion 0.84, challenger 0.89, better by 0.05 (95% interval 0.02 to 0.08)" in text
    assert "mcnemar: p 0.0012 where at most 0.025 passes." in text
    assert "The alias champion moved from version 7 to version 8 ." in text


def test_two_tables_without_a_project() -> None:
    found = sides()
    page = read(drift_page(DRIFT, found.reference, found.current, "january.parquet against march.parquet"))
    assert "Drift in 4 of 7 columns and the model's answers." in page.text
    assert "4,000 rows as the reference, 1,200 rows now" in page.text
    quiet = read(drift_page(replace(DRIFT, detected=False, columns=DRIFT.columns[4:], output=()), None, None, "t")).text
    assert "No drift in 3 columns." in quiet


# --------------------------------------------------------------------------------------------------- whatever is put in


@settings(max_examples=60, deadline=None)
@given(of(Cycle), st.lists(of(Cycle), max_size=3))
def test_any_cycle_has_a_sound_page(cycle: Cycle, before: list[Cycle]) -> None:
    read(cycle_page(cycle, before, None, None, "p"))


@settings(max_examples=60, deadline=None)
@given(of(DriftReport), st.text().filter(lambda title: not re.search("http|none|nan|inf|true|false", title, re.IGNORECASE)))
def test_any_comparison_has_a_sound_page(report: DriftReport, title: str) -> None:
    page = drift_page(report, None, None, title)
    page.encode()
    read(page)


@pytest.mark.parametrize(
    "cycle",
    [
        Cycle(id="1", project="p", started_at=NOW),
        replace(CYCLE, drift=DriftReport(), performance=None, decision=None, validation=None, provenance=None),
        replace(CYCLE, drift=DriftReport(note="the champion has no reference"), performance=performance(None, n=0)),
        replace(CYCLE, drift=replace(DRIFT, columns=(), output=(), rows=0, reference_rows=0)),
        replace(CYCLE, drift=replace(DRIFT, rows=1), performance=performance(1.0, n=1)),
    ],
)
def test_what_is_not_there_is_left_out(cycle: Cycle) -> None:
    read(whole(cycle, []))
    read(whole(cycle))


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_are_text(hostile: str) -> None:
    """In every place where somebody else's words stand, and in the pictures."""
    then = pl.DataFrame({"c": ["a", hostile, "b"] * 20, "n": range(60)}).rename({"c": hostile})
    now = pl.DataFrame({"c": ["a", hostile + "!", "b"] * 20, "n": range(60)}).rename({"c": hostile})
    reference = profile(then, {hostile: "category"})
    current = profile(now, {hostile: "category"}, like=reference)
    numbers = profile(pl.DataFrame({hostile: [float(i) for i in range(99)]}))
    drift = replace(
        DRIFT,
        columns=(
            column(hostile, "category", 0.5, findings=(hostile, f"new value {hostile!r}"), note=hostile),
            column(hostile, "number", 0.05, findings=(hostile,), note=hostile),
        ),
        output=(column(hostile, "number", 0.5),),
        champion=hostile,
        note=hostile,
    )
    signals = tuple(replace(each, name=hostile, reason=hostile, source=hostile, would_change=hostile) for each in SIGNALS)
    decision = Decision(action=Action.ALERT, reasons=(hostile,), signals=signals)
    slices = (SlicePerformance(column=hostile, value=hostile, metric=0.7, interval=None, n=3),)
    judged = replace(performance(0.8, hostile), metric=hostile, note=hostile, slices=slices)
    assert CYCLE.validation is not None
    finding = replace(CYCLE.validation.batches[2].findings[0], column=hostile, found=hostile)
    batches = (replace(CYCLE.validation.batches[2], name=hostile, notes=(hostile,), findings=(finding,)),)
    validation = replace(CYCLE.validation, batches=batches)
    told = replace(
        CYCLE,
        id=hostile,
        drift=drift,
        decision=decision,
        performance=judged,
        validation=validation,
    )
    before = [replace(CYCLE, id="0", started_at=NOW - timedelta(days=1), performance=told.performance)]
    page = cycle_page(told, before, reference, current, hostile, answers=Sides(reference=numbers, current=numbers))
    clean = read(page)
    assert clean.tags <= read(whole()).tags
    assert "<script" not in page
    assert "<img" not in page
    assert not [character for character in page if character in "\u202e\u2066\x00\x07\x1b\u2028"]
    if hostile == "\u202eevil\u2066":
        assert "[U+202E]evil[U+2066]" in clean.text


def test_ten_thousand_columns_stay_small_and_what_is_left_out_is_said() -> None:
    name = "&" * 60
    many = tuple(
        column(f"{name}{i}", "category", 0.4 if i < 3000 else 0.01, findings=("<" * 200,) * 9, note="<" * 300)
        for i in range(10_000)
    )
    drift = replace(DRIFT, columns=many)
    text = read(cycle_page(replace(CYCLE, drift=drift), earlier(), None, None, "p")).text
    assert "Drift in 3,000 of 10,000 columns" in text
    assert "more drifted columns: see the table of the other columns" in text
    assert "more columns, none with a higher score" in text
    plain = tuple(column(f"c{i}", score=0.01) for i in range(10_000))
    assert (
        "and 9,800 more columns, none with a higher score" in read(drift_page(replace(drift, columns=plain), None, None, "t")).text
    )


def test_everything_at_once_and_at_its_largest_stays_small() -> None:
    """Every part that grows, filled beyond its measure, with names that are all markup."""
    long = "<&>\"'" * 2000
    names = [f"{i}{long}" for i in range(40)]
    frame = pl.DataFrame({name: [f"{j % 30}{long[:199]}" for j in range(300)] for name in names})
    table = profile(frame, dict.fromkeys(names, "category"))
    columns = tuple(
        column(name, "category", 0.5, findings=(long,) * 50, note=long, measures=DRIFT.columns[0].measures * 99) for name in names
    )
    report: PerformanceReport = replace(
        performance(0.8, long),
        metric=long,
        slices=tuple(SlicePerformance(column=long, value=long, metric=0.5, interval=None, n=1) for _ in range(5000)),
    )
    assert CYCLE.validation is not None
    validation = replace(
        CYCLE.validation, batches=tuple(replace(b, name=long, notes=(long,) * 99) for b in CYCLE.validation.batches * 500)
    )
    signals = tuple(replace(signal, name=long, reason=long, source=long, would_change=long) for signal in SIGNALS * 100)
    cycle = replace(
        CYCLE,
        drift=replace(DRIFT, columns=columns, output=columns, label=columns[0]),
        performance=report,
        validation=validation,
        decision=Decision(action=Action.RETRAIN, reasons=(long,) * 1000, signals=signals),
    )
    before = [replace(cycle, id=str(i), started_at=NOW - timedelta(hours=i)) for i in range(500)]
    both = Sides(reference=table, current=table)
    read(cycle_page(cycle, before, table, table, long, answers=both, labels=both))


# ------------------------------------------------------------------------------------------------------------ pictures


def both(then: list[Any], now: list[Any]) -> tuple[TableProfile, TableProfile]:
    reference = profile(pl.DataFrame({"x": then}, strict=False))
    return reference, profile(pl.DataFrame({"x": now}, strict=False), like=reference)


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ([5.0] * 50, [5.0] * 20),
        ([5.0] * 50, [7.0]),
        ([1.0], [2.0]),
        ([1e308, -1e308, 0.0], [1e308, 5.0]),
        ([5e-324, 0.0, 1e-320], [0.0]),
        ([float("inf"), 1.0, 2.0, None], [float("-inf"), 1.0]),
        ([2**53 + 1, 2**53 + 3, 2**62], [2**53 + 5]),
        ([float(i) for i in range(1000)], [1e30]),
        ([None, 1.0, 2.0], [float("nan"), 3.0]),
        ([True, False], [True, None]),
        (["a long text of many words " + str(i) for i in range(60)], ["another"]),
        (["", " "], [""]),
    ],
)
def test_odd_values_are_drawn_or_left_out(then: list[Any], now: list[Any]) -> None:
    reference, current = both(then, now)
    report = replace(DRIFT, columns=(column("x", reference.columns["x"].kind, 0.5),), output=())
    read(drift_page(report, reference, current, "t"))


def heights(figure: str, kind: str) -> list[float]:
    """The heights of a histogram's bins, as shares of the picture."""
    path = figure.split(f'class="{kind}" d="')[1].split('"', maxsplit=1)[0]
    return [100 - float(part.split("h1")[0]) for part in path.split("V")[1:-1]]


def test_a_histogram_has_the_shape_of_its_values() -> None:
    reference, current = both([i / 100 for i in range(10_000)], [50 + i / 20 for i in range(1_000)])
    figure = drawn("x", Sides(reference=reference, current=current))
    assert figure is not None
    then, now = heights(figure, "reference-area"), heights(figure, "current-area")
    half = len(then) // 2
    assert max(then[1:-1]) / min(then[1:-1]) < 1.1  # even
    assert max(now[: half - 1]) == 0
    assert min(now[half + 1 : -1]) > 1.8 * max(then)  # twice as dense on half of the range


def test_whole_numbers_fall_evenly_into_the_bins_of_a_picture() -> None:
    """83 numbers in 36 bins of equal width would put three into some bins and two into others."""
    reference, current = both([i % 83 for i in range(8300)], [i % 83 for i in range(830)])
    figure = drawn("x", Sides(reference=reference, current=current))
    assert figure is not None
    then = heights(figure, "reference-area")[:-1]  # the last may hold fewer
    assert max(then) / min(then) < 1.01


def test_columns_of_different_kinds_have_no_picture() -> None:
    numbers, texts = profile(pl.DataFrame({"x": [1.0, 2.0]})), profile(pl.DataFrame({"x": ["a", "b"]}))
    assert drawn("x", Sides(reference=numbers, current=texts)) is None
    assert drawn("y", Sides(reference=numbers, current=numbers)) is None
    assert drawn("x", Sides()) is None


def test_one_far_value_does_not_squeeze_the_picture() -> None:
    reference, current = both([i / 100 for i in range(1_000)], [i / 100 for i in range(990)] + [1e9] * 12)
    figure = drawn("x", Sides(reference=reference, current=current))
    assert figure is not None
    assert sum(height > 0 for height in heights(figure, "reference-area")) > 8
    assert "% of the current values lie beyond this picture." in figure
