from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keepfit import records
from keepfit.codec import dumps, loads, read_time, time_text
from keepfit.records import Cycle, Interval, Outcome, Promotion

START = datetime(2026, 3, 1, 12, tzinfo=UTC)

finite = st.floats(allow_nan=False, allow_infinity=False)
words = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)  # all of Unicode, with \0, without lone surrogates
moments = st.datetimes(timezones=st.just(UTC))
st.register_type_strategy(float, finite)
st.register_type_strategy(str, words)
st.register_type_strategy(datetime, moments)


def made(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Any record of this type, every optional field included."""
    return st.builds(kind, **{name: st.from_type(hint) for name, hint in get_type_hints(kind).items()})


for name in ("Batch", "Duplicate", "Interval", "Finding", "BatchValidation", "Validation", "Preparation", "PerformanceReport"):
    st.register_type_strategy(getattr(records, name), made(getattr(records, name)))
for name in ("DriftReport", "Signal", "Decision", "CandidateScore", "Candidate", "SliceVerdict", "Verdict", "Promotion"):
    st.register_type_strategy(getattr(records, name), made(getattr(records, name)))
st.register_type_strategy(records.Provenance, made(records.Provenance))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(made(Cycle))
def test_every_cycle_survives_the_round_trip(cycle: Cycle) -> None:
    text = dumps(cycle)
    loaded = loads(Cycle, text)
    assert loaded == cycle
    assert dumps(loaded) == text


@given(st.datetimes(timezones=st.timezones()), st.datetimes(timezones=st.timezones()))
@settings(max_examples=40, deadline=None)
def test_texts_of_times_sort_as_the_times_do(one: datetime, other: datetime) -> None:
    try:
        one, other = one.astimezone(UTC), other.astimezone(UTC)
    except OverflowError:  # the first and last day of the calendar
        return
    assert (time_text(one) < time_text(other)) == (one < other)
    assert read_time(time_text(one)) == one


def test_times_are_stored_in_utc() -> None:
    summer = datetime(2026, 3, 1, 14, tzinfo=timezone(timedelta(hours=2)))
    assert '"started_at":"2026-03-01T12:00:00.000000+00:00"' in dumps(Cycle(id="1", project="p", started_at=summer))


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        dumps(Cycle(id="1", project="p", started_at=START.replace(tzinfo=None)))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_an_undefined_number_is_refused_by_its_place(number: float) -> None:
    with pytest.raises(ValueError, match=r"Interval\.high is (nan|inf|-inf): a number that is undefined is None"):
        dumps(Interval(low=0.0, high=number))


def test_text_that_is_not_unicode_is_refused() -> None:
    with pytest.raises(ValueError, match="is not Unicode"):
        dumps(Promotion(alias="champion", from_version=None, to_version="1", reason="caf\udce9.csv"))


def test_what_a_newer_keepfit_wrote_can_be_read() -> None:
    stored = json.loads(dumps(Cycle(id="1", project="p", started_at=START, outcome=Outcome.HEALTHY)))
    stored |= {"mood": "sunny", "batches": [{"id": "a", "name": "a.csv", "size": 1, "colour": "red"}]}
    assert loads(Cycle, json.dumps(stored)).batches == (records.Batch(id="a", name="a.csv", size=1),)


def test_what_an_older_keepfit_left_out_takes_its_default() -> None:
    stored = {"id": "1", "project": "p", "started_at": "2026-03-01T12:00:00Z"}
    assert loads(Cycle, json.dumps(stored)) == Cycle(id="1", project="p", started_at=START)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"id": "1"}', '{"id": "1", "project": "p", "started_at": "soon"}'])
def test_what_does_not_fit_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="Cycle"):
        loads(Cycle, text)


def test_equal_records_make_equal_text() -> None:
    cycle = Cycle(id="1", project="p", started_at=START, timings={"collect": 0.1})
    assert dumps(cycle) == dumps(replace(cycle))
