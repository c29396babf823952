"""What every prediction log does. Subclass it in your tests and override the fixtures `log`, `open_spool` and `spans`."""
# ruff: noqa: S101  # these are tests, shipped so that other people's logs can run them

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from keepfit.errors import DataError, NotFound
from keepfit.live_ports import INPUT, Labelled, Logged, PredictionLog, Shadowed, Spans, Spool
from keepfit.request_ids import RequestIds

if TYPE_CHECKING:
    import polars as pl

PROJECT = "spam"
KEEP = timedelta(days=30)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
IDS = RequestIds(PROJECT)
COLUMNS = [
    "request_id",
    "timestamp",
    "model_id",
    "model_version",
    "prediction",
    "score",
    "route",
    "shadow_version",
    "shadow_prediction",
    "shadow_score",
    "label",
    "labelled_at",
]


class LogContract:
    """Run on every log. It is empty, belongs to PROJECT, keeps rows for KEEP and merges more than four segments of a day.
    `open_spool(worker)` opens a spool that it drains."""

    @pytest.fixture
    def log(self) -> PredictionLog:
        raise NotImplementedError("override the fixture `log`")

    @pytest.fixture
    def open_spool(self, log: PredictionLog) -> Callable[[str], Spool]:
        raise NotImplementedError("override the fixture `open_spool`")

    @pytest.fixture
    def spans(self) -> Spans:
        raise NotImplementedError("override the fixture `spans`")

    @pytest.fixture
    def put(self, log: PredictionLog, open_spool: Callable[[str], Spool]) -> Callable[..., int]:
        """Write rows by a worker that then ends, and drain."""

        def put(*rows: Logged | Shadowed | Labelled) -> int:
            spool = open_spool("worker 1/a")
            spool.write(rows)
            spool.close()
            return log.drain()

        return put

    # ----------------------------------------------------------------------------------------------------------- answers

    def test_an_empty_log_has_the_columns(self, log: PredictionLog) -> None:
        assert log.drain() == 0
        found = log.rows()
        assert (found.columns, found.height) == (COLUMNS, 0)
        assert str(found.schema["timestamp"]) == "Datetime(time_unit='us', time_zone='UTC')"

    def test_an_answer_comes_back_as_it_was_given(self, log: PredictionLog, put: Callable[..., int]) -> None:
        row = answer(inputs={"text": "Gewinn: 5 €!", "size": 2.5, "words": 7, "first": True, "empty": None})
        assert put(row) == 1
        found = log.rows()
        assert found.columns == [*COLUMNS, *(INPUT + name for name in row.inputs)]
        assert found.row(0) == (
            row.request_id,
            NOON,
            "filter",
            "3",
            "spam",
            0.75,
            "champion",
            None,
            None,
            None,
            None,
            None,
            "Gewinn: 5 €!",
            2.5,
            7,
            True,
            None,
        )

    def test_what_was_drained_is_not_drained_again(self, log: PredictionLog, put: Callable[..., int]) -> None:
        assert put(answer(), answer(), answer()) == 3
        assert log.drain() == 0
        assert log.rows().height == 3

    def test_an_answer_that_was_written_twice_is_one_row(self, log: PredictionLog, put: Callable[..., int]) -> None:
        row = answer()
        put(row, row)
        put(row)
        assert log.rows().height == 1

    def test_rows_are_sorted_by_time_whoever_wrote_them_when(self, log: PredictionLog, put: Callable[..., int]) -> None:
        put(answer(at=30), answer(at=10))
        put(answer(at=20), answer(at=-86_400))
        assert [(moment - NOON).total_seconds() for moment in log.rows()["timestamp"]] == [-86_400, 10, 20, 30]

    def test_since_is_in_and_until_is_out(self, log: PredictionLog, put: Callable[..., int]) -> None:
        for day in range(-2, 3):
            put(answer(at=day * 86_400), answer(at=day * 86_400 + 0.5))
        found = log.rows(NOON - timedelta(days=1), NOON + timedelta(days=1))
        assert [(moment - NOON).total_seconds() for moment in found["timestamp"]] == [-86_400, -86_399.5, 0, 0.5]
        assert log.rows(since=NOON + timedelta(days=2, seconds=0.25)).height == 1
        assert log.rows(until=NOON - timedelta(days=2)).height == 0

    def test_fields_may_differ_from_version_to_version(self, log: PredictionLog, put: Callable[..., int]) -> None:
        put(answer(at=0, inputs={"size": 1, "shop": "north"}))
        put(answer(at=1, inputs={"size": 2.5, "age": 30}))
        found = log.rows()
        assert found["input.size"].to_list() == [1.0, 2.5]
        assert found["input.shop"].to_list() == ["north", None]
        assert found["input.age"].to_list() == [None, 30]

    def test_a_field_whose_type_changes_becomes_text(self, log: PredictionLog, put: Callable[..., int]) -> None:
        put(answer(at=0, inputs={"size": 1.0, "seen": True}))
        put(answer(at=1, inputs={"size": "large", "seen": 2}), answer(at=2, inputs={"size": 0.5, "seen": None}))
        found = log.rows()
        assert found["input.size"].to_list() == ["1", "large", "0.5"]
        assert found["input.seen"].to_list() == ["true", "2", None]

    def test_the_inputs_can_be_left_out(self, log: PredictionLog, put: Callable[..., int]) -> None:
        put(answer(inputs={"size": 1.0}))
        assert log.rows(inputs=False).columns == COLUMNS

    # ---------------------------------------------------------------------------------------------------- silent answers

    def test_a_silent_answer_stands_beside_the_answer(self, log: PredictionLog, put: Callable[..., int]) -> None:
        asked, alone = answer(at=0), answer(at=1)
        put(asked, alone, silent(asked, "4", "ham"))
        columns = ["shadow_version", "shadow_prediction", "shadow_score"]
        assert log.rows().select(columns).rows() == [("4", "ham", 0.5), (None, None, None)]

    def test_of_several_silent_answers_one_version_can_be_named(self, log: PredictionLog, put: Callable[..., int]) -> None:
        asked = answer()
        put(asked, silent(asked, "4", "ham", at=1), silent(asked, "2", "spam", at=2))
        assert log.rows()["shadow_version"].to_list() == ["2"]
        assert log.rows(shadow="4").select("shadow_version", "shadow_prediction").rows() == [("4", "ham")]
        assert log.rows(shadow="9")["shadow_version"].to_list() == [None]

    # ------------------------------------------------------------------------------------------------------------ labels

    def test_the_label_that_came_last_wins(self, log: PredictionLog, put: Callable[..., int]) -> None:
        asked = answer()
        put(asked)
        put(label(asked, "ham", at=20))
        put(label(asked, "spam", at=10), label(asked, "spam", at=15))
        found = log.rows()
        assert found.select("label", "labelled_at").rows() == [("ham", NOON + timedelta(seconds=20))]

    def test_of_labels_that_came_at_once_the_one_written_later_wins(self, log: PredictionLog, put: Callable[..., int]) -> None:
        asked = answer()
        put(asked, label(asked, "ham"), label(asked, "spam"), label(asked, "ham"), label(asked, "spam"))
        assert log.rows()["label"].to_list() == ["spam"]

    def test_a_label_may_reach_the_log_before_its_answer(self, log: PredictionLog, put: Callable[..., int]) -> None:
        asked = answer()
        put(label(asked, "ham"))
        assert log.rows().height == 0
        put(asked)
        assert log.rows()["label"].to_list() == ["ham"]

    def test_a_label_that_comes_days_later_finds_its_answer(self, log: PredictionLog, put: Callable[..., int]) -> None:
        asked = answer()
        put(asked)
        put(label(asked, "ham", at=9 * 86_400))
        assert log.rows(NOON, NOON + timedelta(hours=1))["label"].to_list() == ["ham"]

    def test_rows_with_and_without_labels(self, log: PredictionLog, put: Callable[..., int]) -> None:
        first, second = answer(at=0), answer(at=1)
        put(first, second, label(second, "ham"), label(second, "ham"))
        assert log.rows(labelled=True)["request_id"].to_list() == [second.request_id]
        assert log.rows(labelled=False)["request_id"].to_list() == [first.request_id]
        assert log.rows(labelled=None).height == 2

    def test_numbers_stay_numbers(self, log: PredictionLog, put: Callable[..., int]) -> None:
        asked = answer(prediction=2.5, score=None)
        put(asked, answer(at=1, prediction=3, score=None), label(asked, 4), silent(asked, "4", 2.25))
        found = log.rows().select("prediction", "label", "shadow_prediction")
        assert found.rows() == [(2.5, 4.0, 2.25), (3.0, None, None)]
        assert set(map(str, found.dtypes)) == {"Float64"}

    def test_classes_that_look_like_numbers_meet_labels_that_are_some(self, log: PredictionLog, put: Callable[..., int]) -> None:
        asked = answer(prediction="1")
        put(asked, label(asked, 1.0))
        assert log.rows().select("prediction", "label").rows() == [("1", "1")]

    def test_numbers_meet_labels_that_were_given_as_text(self, log: PredictionLog, put: Callable[..., int]) -> None:
        asked = answer(prediction=2.5)
        put(asked, label(asked, "2.75"))
        assert log.rows().select("prediction", "label").rows() == [(2.5, 2.75)]

    # --------------------------------------------------------------------------------------------------- labels in bulk

    def test_labels_in_bulk_reach_their_rows(self, log: PredictionLog, put: Callable[..., int]) -> None:
        first, second = answer(at=0), answer(at=86_400)
        put(first, second, label(first, "spam", at=1))
        given = bulk([first.request_id.upper(), f" {second.request_id}"], ["ham", "ham"], 60)
        assert log.add_labels(given, "labels.csv") == 0
        assert log.rows()["label"].to_list() == ["ham", "ham"]
        assert log.rows()["labelled_at"][0] == NOON + timedelta(seconds=60)

    def test_the_same_labels_are_found_again(self, log: PredictionLog, put: Callable[..., int]) -> None:
        asked = answer()
        put(asked)
        given = bulk([asked.request_id], ["ham"], 60)
        log.add_labels(given, "labels.csv")
        log.add_labels(bulk([asked.request_id], ["spam"], 60), "corrected.csv")
        for second in range(4):
            put(label(asked, "ham", at=second))
        log.tidy(NOON + timedelta(days=2), nothing())
        log.add_labels(given, "labels again.csv")
        assert log.rows()["label"].to_list() == ["spam"]

    def test_labels_without_a_moment_are_as_old_as_they_were_when_they_first_came(
        self, log: PredictionLog, put: Callable[..., int]
    ) -> None:
        asked, other = answer(), answer(at=86_400)
        put(asked, other, label(asked, "spam", at=90))
        given = bulk([asked.request_id, other.request_id], ["ham", "ham"], 60)
        given = given.with_columns(labelled_at=None).cast({"labelled_at": given.schema["labelled_at"]})
        with pytest.raises(DataError, match="2 of 2"):
            log.add_labels(given, "labels.csv")
        for second in (60, 120):  # a copy of the same file
            log.add_labels(given, "labels.csv", NOON + timedelta(seconds=second))
            assert log.rows()["label"].to_list() == ["spam", "ham"]
        assert log.rows()["labelled_at"][1] == NOON + timedelta(seconds=60)

    def test_labels_of_requests_that_the_log_does_not_hold_are_counted_and_kept(
        self, log: PredictionLog, put: Callable[..., int]
    ) -> None:
        here, later = answer(), answer()
        put(here)
        given = bulk([here.request_id, later.request_id, IDS.new(0)], ["ham"] * 3, 60)
        assert log.add_labels(given, "labels.csv") == 2
        put(later)
        assert log.add_labels(given, "labels.csv") == 1
        assert log.rows()["label"].to_list() == ["ham", "ham"]

    @pytest.mark.parametrize("wrong", ["17", "", None, RequestIds("another").new()], ids=["short", "empty", "null", "foreign"])
    def test_ids_that_are_none_are_refused_with_all_the_rest(
        self, log: PredictionLog, put: Callable[..., int], wrong: str | None
    ) -> None:
        asked = answer()
        put(asked)
        with pytest.raises(DataError, match="1 of 2 labels"):
            log.add_labels(bulk([asked.request_id, wrong], ["ham", "ham"], 60), "labels.csv")
        assert log.rows()["label"].to_list() == [None]

    def test_labels_without_their_columns_are_refused(self, log: PredictionLog) -> None:
        with pytest.raises(DataError, match="labelled_at"):
            log.add_labels(bulk([IDS.new()], ["ham"], 0).drop("labelled_at"), "labels.csv")
        with pytest.raises(DataError, match="1 of 1"):
            log.add_labels(bulk([IDS.new()], [None], 0), "labels.csv")

    # -------------------------------------------------------------------------------------------------------------- tidy

    def test_tidying_changes_nothing_that_is_read(self, log: PredictionLog, put: Callable[..., int]) -> None:
        for number in range(7):
            asked = answer(at=number, inputs={"size": number if number % 2 else str(number)})
            put(asked, label(asked, "ham"), silent(asked, "4", "ham"))
        before = log.rows()
        for hours in (0, 0, 48, 48):
            log.tidy(NOON + timedelta(hours=hours), nothing())
            assert log.rows().equals(before)

    def test_rows_beyond_their_time_go_once_their_labels_were_taken(self, log: PredictionLog, put: Callable[..., int]) -> None:
        taken, waiting, bare, new = answer(), answer(at=-86_400), answer(at=-2 * 86_400), answer(at=3 * 86_400)
        put(taken, waiting, bare, new, *(label(asked, "ham") for asked in (taken, waiting, new)))
        now = NOON + timedelta(days=1) + KEEP
        assert log.tidy(NOON + timedelta(hours=1), nothing())["removed"] == 0
        assert list(log.outlived(NOON + timedelta(hours=1))) == []
        old = log.outlived(now)
        assert [day.name for day in old] == ["2026-02-27", "2026-02-28", "2026-03-01"]
        assert old[-1].at == NOON + timedelta(hours=12)
        assert all(day.size > 0 for day in old)
        assert log.tidy(now, series([taken.request_id]))["removed"] > 0
        assert log.rows()["request_id"].to_list() == [waiting.request_id, new.request_id]
        log.tidy(now, series([waiting.request_id]))
        assert log.rows()["request_id"].to_list() == [new.request_id]

    # ------------------------------------------------------------------------------------------------------------- spans

    def test_spans_are_numbered_from_one(self, spans: Spans) -> None:
        assert (spans.count(), spans.taken().columns, spans.taken().height) == (0, ["request_id", "label", "span"], 0)
        assert [spans.take(bulk([f"{number}a", f"{number}b"], ["ham", "spam"], 0)) for number in range(3)] == [1, 2, 3]
        assert spans.count() == 3
        assert spans.read(2)["request_id"].to_list() == ["1a", "1b"]
        assert spans.taken().sort("request_id").row(2) == ("1a", "ham", 2)
        for number in (0, 4):
            with pytest.raises(NotFound, match=f"no span {number}"):
                spans.read(number)

    def test_a_span_that_was_taken_is_found(self, spans: Spans) -> None:
        first, corrected = bulk(["a", "b"], ["ham", "spam"], 0), bulk(["a", "b"], ["ham", "ham"], 0)
        assert [spans.take(rows) for rows in (first, first, corrected, first, corrected)] == [1, 1, 2, 1, 2]
        assert spans.taken().height == 4

    def test_labels_of_spans_may_be_numbers_and_text(self, spans: Spans) -> None:
        spans.take(bulk(["a"], [2.5], 0))
        spans.take(bulk(["b"], ["ham"], 0))
        assert sorted(map(str, spans.taken()["label"])) == ["2.5", "ham"]


def answer(
    at: float = 0, *, prediction: str | float = "spam", score: float | None = 0.75, inputs: Mapping[str, Any] | None = None
) -> Logged:
    """An answer so many seconds after NOON."""
    moment = NOON.timestamp() + at
    return Logged(
        request_id=IDS.new(moment), at=moment, model="filter", version="3", inputs=inputs or {}, prediction=prediction, score=score
    )


def silent(asked: Logged, version: str, prediction: str | float, at: float = 0) -> Shadowed:
    """What another version would have answered."""
    return Shadowed(request_id=asked.request_id, at=asked.at + at, version=version, prediction=prediction, score=0.5)


def label(asked: Logged, label: str | float, at: float = 5) -> Labelled:
    """A label so many seconds after NOON."""
    return Labelled(request_id=asked.request_id, at=NOON.timestamp() + at, label=label)


def bulk(ids: Sequence[str | None], labels: Sequence[str | float | None], at: float) -> pl.DataFrame:
    """Labels as a file brings them."""
    import polars as pl

    return pl.DataFrame({"request_id": ids, "label": labels, "labelled_at": [NOON + timedelta(seconds=at)] * len(ids)})


def nothing() -> pl.Series:
    """No request was taken."""
    return series([])


def series(ids: list[str]) -> pl.Series:
    """These requests were taken."""
    import polars as pl

    return pl.Series("request_id", ids, pl.String)
