"""Labelled predictions become data files: enough at a time, each row once, whatever kills the run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_series_equal
from tests.unit.live.made_up_log import START, MadeUpLog
from tests.unit.stages.world import World

from keepfit.errors import ConfigError, LeaseLost, Unavailable
from keepfit.live import intake
from keepfit.live.intake import take_in
from keepfit.records import BatchState
from keepfit.rows import contract_of, read_typed

NUMBER, ANSWER = {"type": "number"}, {"type": "category", "values": ["no", "yes"]}
COLUMNS = {"x": NUMBER, "word": {"type": "category", "max_null_share": 0.5}, "y": ANSWER}
LOG = {"min_rows": 3}


def world(folder: Path, given: MadeUpLog | None = None, **settings: Any) -> World:
    """A project with a log; `settings` by section."""
    data = {"columns": COLUMNS} | settings.pop("data", {})
    serve = {"log": LOG | settings.pop("log", {})}
    made = World(folder, {"data": data, "serve": serve, **settings})
    made.ports.log = made.ports.spans = given or MadeUpLog()
    return made


def asked(count: int, **fields: Any) -> list[dict[str, Any]]:
    return [{"x": number / 2, "word": f"w{number}", **fields} for number in range(count)]


def labelled(made: World, count: int, labels: str = "yes", **fields: Any) -> list[str]:
    """So many answers with their labels."""
    ids = made.ports.log.answer(asked(count, **fields))
    made.ports.log.label(ids, [labels] * count)
    return ids


def files(made: World) -> dict[str, str]:
    """What lies in the three folders."""
    found = sorted(path for path in (made.folder / "data").rglob("*") if path.is_file())
    return {path.relative_to(made.folder / "data").as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def first_file(made: World, number: int = 1) -> pl.DataFrame:
    return pl.read_parquet(made.folder / f"data/inbox/log-span-{number:06d}.parquet")


def test_too_few_labels_wait_and_say_how_many_they_are(tmp_path: Path) -> None:
    made = world(tmp_path)
    labelled(made, 2)
    made.ports.log.answer(asked(5))  # without a label
    found = take_in(made.ports, made.config)
    assert found.waiting == "2 of 3 newly labelled predictions"
    assert (found.spans, found.notes, files(made)) == ((), (), {})
    cycle = made.through("collect")
    assert cycle.outcome == "waiting"


def test_enough_labels_become_a_batch_that_passes_as_any_file_does(tmp_path: Path) -> None:
    made = world(tmp_path)
    log = made.ports.log
    ids = log.answer(asked(4), version="7")
    log.label(ids, ["yes", "no", "no", "yes"])
    log.answer(asked(2))
    (span,) = take_in(made.ports, made.config).spans
    assert (span.number, span.name, span.rows, span.versions) == (1, "log-span-000001.parquet", 4, ("7",))
    assert (span.first, span.last) == (START, START + timedelta(seconds=3))
    assert first_file(made).columns == ["x", "word", "y"]
    cycle = made.through("collect", "validate")
    assert [(each.passed, each.rows, each.labelled, each.quality) for each in cycle.validation.batches] == [(True, 4, 4, 100.0)]
    typed = read_typed(cycle.batches[0], contract_of(made.ports, made.config), made.ports, made.config)
    assert typed.truth.to_list() == ["yes", "no", "no", "yes"]
    assert typed.frame.to_dict(as_series=False) == {"x": [0.0, 0.5, 1.0, 1.5], "word": ["w0", "w1", "w2", "w3"]}


def test_what_was_taken_is_never_taken_again_and_late_labels_come_in_a_later_span(tmp_path: Path) -> None:
    made = world(tmp_path)
    log = made.ports.log
    ids = log.answer(asked(7))
    log.label(ids[::2], ["yes"] * 4)
    assert [span.rows for span in take_in(made.ports, made.config).spans] == [4]
    assert take_in(made.ports, made.config).waiting == "0 of 3 newly labelled predictions"
    log.label(ids[1:4:2], ["no"] * 2)
    assert take_in(made.ports, made.config).waiting == "2 of 3 newly labelled predictions"
    log.label(ids[5:6], ["no"])
    log.label(ids[::2], ["yes"] * 4, at=START + timedelta(days=3))  # the same labels again
    (span,) = take_in(made.ports, made.config).spans
    assert (span.number, span.rows, span.corrected) == (2, 3, 0)
    assert sorted(pl.concat(log.spans)["request_id"]) == sorted(ids)
    assert [frame["y"].to_list() for frame in (first_file(made), first_file(made, 2))] == [["yes"] * 4, ["no"] * 3]


def test_corrected_labels_are_counted_and_told_and_not_trained_on_again(tmp_path: Path) -> None:
    made = world(tmp_path)
    ids = labelled(made, 3)
    take_in(made.ports, made.config)
    before = files(made)
    made.ports.log.label(ids[:2], ["no", "no"], at=START + timedelta(days=2))
    assert take_in(made.ports, made.config).spans == ()
    assert files(made) == before
    labelled(made, 3)
    found = take_in(made.ports, made.config)
    assert [(span.rows, span.corrected) for span in found.spans] == [(3, 2)]
    assert "2 labels of rows taken before have changed since and are not trained on again" in found.notes[0]
    assert found.notes[0].startswith("3 labelled predictions of 2026-03-01 12:00 to ")


def test_whoever_is_killed_between_the_claim_and_the_file_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed = world(tmp_path / "undisturbed", log := MadeUpLog())
    labelled(undisturbed, 5)
    take_in(undisturbed.ports, undisturbed.config)
    killed = world(tmp_path / "killed", MadeUpLog(answers=log.answers, labels=log.labels))

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(killed.ports.originals, "add", die)
        take_in(killed.ports, killed.config)
    assert (killed.ports.spans.count(), files(killed)) == (1, {})
    killed.ports.log.label([log.answers[0]["request_id"]], ["no"])  # the span is as it was claimed
    (span,) = take_in(killed.ports, killed.config).spans
    assert (span.number, killed.ports.spans.count()) == (1, 1)
    assert files(killed) == files(undisturbed), "the file's bytes follow from the span"


def test_two_spans_without_files_are_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever had taken over was killed, and then whoever had lost the lease woke, claimed too and was killed."""
    made = world(tmp_path)

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(made.ports.originals, "add", die)
        patch.setattr(intake, "_write_late", lambda *_: [])
        for _ in range(2):
            labelled(made, 3)
            with pytest.raises(KeyboardInterrupt):
                take_in(made.ports, made.config)
    assert (made.ports.spans.count(), files(made)) == (2, {})
    assert [span.number for span in take_in(made.ports, made.config).spans] == [1, 2]
    assert len(files(made)) == 2


@pytest.mark.parametrize("place", ["archive", "quarantine"])
def test_a_file_that_has_gone_on_its_way_is_not_written_again(tmp_path: Path, place: str) -> None:
    made = world(tmp_path)
    labelled(made, 3)
    take_in(made.ports, made.config)
    (tmp_path / "data" / place).mkdir()
    (tmp_path / "data/inbox/log-span-000001.parquet").rename(tmp_path / "data" / place / "log-span-000001.parquet")
    before = files(made)
    assert take_in(made.ports, made.config).spans == ()
    assert files(made) == before


@pytest.mark.parametrize("state", list(BatchState))
def test_a_file_that_the_ledger_knows_is_not_written_again(tmp_path: Path, state: BatchState) -> None:
    made = world(tmp_path)
    labelled(made, 3)
    take_in(made.ports, made.config)
    cycle = made.through("collect")
    kept = cycle.batches[0].__class__(**{**vars(cycle.batches[0]), "state": state, "name": "another-name.parquet"})
    made.ports.ledger.cycles.save(cycle.__class__(**{**vars(cycle), "batches": (kept,)}), made.ports.lease)
    (tmp_path / "data/inbox/log-span-000001.parquet").unlink()
    assert take_in(made.ports, made.config).spans == ()
    assert files(made) == {}, "its content is known, under whatever name"


def test_rows_that_two_runners_claimed_are_trained_on_once(tmp_path: Path) -> None:
    """One slept, lost its lease, and woke just before it claimed."""
    made = world(tmp_path)
    labelled(made, 3)
    take_in(made.ports, made.config)
    log = made.ports.log
    more = labelled(made, 2)
    log.take(log.rows(labelled=True))  # the other one's claim: three old rows and two new ones
    (span,) = take_in(made.ports, made.config).spans
    assert (span.number, span.rows) == (2, 2)
    log.take(log.rows(labelled=True))
    assert take_in(made.ports, made.config).spans == ()
    assert list(files(made)) == ["inbox/log-span-000001.parquet", "inbox/log-span-000002.parquet"]
    assert log.spans[1].filter(pl.col("request_id").is_in(more)).height == 2


def test_whoever_lost_the_lease_claims_nothing(tmp_path: Path) -> None:
    made = world(tmp_path)
    labelled(made, 3)
    made.ports.ledger.leases.acquire("demo", "there:2:0.0", 60, is_dead=lambda _: True)
    with pytest.raises(LeaseLost):
        take_in(made.ports, made.config)
    assert (made.ports.spans.count(), files(made)) == (0, {})


def test_two_spans_of_equal_rows_are_two_batches(tmp_path: Path) -> None:
    made = world(tmp_path)
    labelled(made, 3)
    take_in(made.ports, made.config)
    labelled(made, 3)
    take_in(made.ports, made.config)
    assert first_file(made).equals(first_file(made, 2))
    cycle = made.through("collect", "validate")
    assert [batch.name for batch in cycle.batches] == ["log-span-000001.parquet", "log-span-000002.parquet"]
    assert cycle.duplicates == ()


def test_other_files_in_the_inbox_go_their_way_beside_the_log(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.arrive("day.csv", "x,word,y\n1,a,yes\n2,b,no\n")
    labelled(made, 3)
    take_in(made.ports, made.config)
    cycle = made.through("collect", "validate")
    assert [(each.name, each.passed) for each in cycle.validation.batches] == [("day.csv", True), ("log-span-000001.parquet", True)]


def test_a_log_that_is_away_holds_up_nothing_and_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = world(tmp_path)
    labelled(made, 3)
    for port, method in (("log", "drain"), ("log", "rows"), ("spans", "take"), ("spans", "taken")):

        def away(*_: Any, **__: Any) -> None:
            raise Unavailable("the bucket does not answer")

        with monkeypatch.context() as patch:
            patch.setattr(getattr(made.ports, port), method, away)
            found = take_in(made.ports, made.config)
        assert (found.spans, found.waiting) == ((), "")
        assert "the bucket does not answer" in found.notes[0]
    assert [span.rows for span in take_in(made.ports, made.config).spans] == [3]


def test_spools_of_a_server_that_died_are_drained_first(tmp_path: Path) -> None:
    made = world(tmp_path)

    def drain() -> int:
        labelled(made, 3)
        return 3

    made.ports.log.drain = drain
    assert [span.rows for span in take_in(made.ports, made.config).spans] == [3]


def test_a_forced_run_takes_what_there_is(tmp_path: Path) -> None:
    made = world(tmp_path)
    labelled(made, 1)
    assert [span.rows for span in take_in(made.ports, made.config, forced=True).spans] == [1]
    assert take_in(made.ports, made.config, forced=True).waiting == "0 of 1 newly labelled predictions"


def test_files_are_as_large_as_validation_wants_them(tmp_path: Path) -> None:
    made = world(tmp_path, validate={"rows": {"minimum": 4, "maximum": 5}})
    labelled(made, 3)
    assert take_in(made.ports, made.config).waiting == "3 of 4 newly labelled predictions"
    labelled(made, 11)
    assert [span.rows for span in take_in(made.ports, made.config).spans] == [5, 5, 4]
    assert take_in(made.ports, made.config).waiting == "0 of 4 newly labelled predictions"
    cycle = made.through("collect", "validate")
    assert [each.passed for each in cycle.validation.batches] == [True] * 3


# ------------------------------------------------------------------------------------------------------------- the rows


def batch_of(made: World) -> Any:
    """The first span's rows as the loop reads them; it passes validation."""
    assert take_in(made.ports, made.config).spans, "too few labels"
    cycle = made.through("collect", "validate")
    assert [each.findings for each in cycle.validation.batches] == [()]
    return read_typed(cycle.batches[0], contract_of(made.ports, made.config), made.ports, made.config)


def test_labels_are_written_as_files_have_them(tmp_path: Path) -> None:
    """Also where a class has the name that files have for another, and where files know several words for one."""
    names = {" spam": "spam", "ham": "spam", "spam": "ham", "junk": "spam", "1": "other", "NA": "none"}
    columns = {**COLUMNS, "y": {"type": "category"}}
    made = world(tmp_path, data={"labels": names, "columns": columns})
    log = made.ports.log
    classes = ["ham", "spam", "other", "none"]
    log.label(log.answer(asked(4)), classes)
    assert batch_of(made).truth.to_list() == classes


@pytest.mark.parametrize("classes", [["1", "0"], ["True", "False"], ["NA", "x"]])
def test_classes_are_read_back_as_they_are(tmp_path: Path, classes: list[str]) -> None:
    columns = {**COLUMNS, "y": {"type": "category", "values": classes}}
    made = world(tmp_path, data={"columns": columns})
    log = made.ports.log
    log.label(log.answer(asked(4)), classes * 2)
    assert batch_of(made).truth.to_list() == classes * 2


def test_a_label_that_is_no_class_any_more_is_validations_to_judge(tmp_path: Path) -> None:
    made = world(tmp_path)
    labelled(made, 2)
    labelled(made, 1, "maybe")
    take_in(made.ports, made.config)
    cycle = made.through("collect", "validate")
    assert cycle.outcome == "quarantined"
    assert "expected one of no, yes, found 1 rows with another label (row 3: 'maybe')" in cycle.reason


def test_numbers_to_predict_are_numbers(tmp_path: Path) -> None:
    columns = {"x": NUMBER, "y": {"type": "integer", "minimum": 0}}
    made = world(tmp_path, MadeUpLog(number=True), data={"columns": columns}, project={"task": "regression"})
    log = made.ports.log
    log.label(log.answer(asked(3), prediction=1.0), [1.0, 2.0, 2.5])
    assert batch_of(made).truth.to_list() == [1.0, 2.0, 2.5]


def test_cells_have_the_contracts_types_however_they_were_asked(tmp_path: Path) -> None:
    columns = {
        "count": {"type": "integer"},
        "when": {"type": "datetime", "format": "%d.%m.%Y"},
        "flag": {"type": "boolean"},
        "kind": {"type": "category"},
        "text": {"type": "text"},
        "y": ANSWER,
    }
    made = world(tmp_path, data={"columns": columns})
    fields = {"count": 3.0, "when": "24.12.2026", "flag": True, "kind": 1, "text": " = 1 + 1", "beyond": "not in the contract"}
    log = made.ports.log
    log.label(log.answer([fields | {"count": float(3 + each)} for each in range(3)]), ["yes"] * 3)
    frame = batch_of(made).frame
    expected = {"count": 3, "when": datetime(2026, 12, 24), "flag": True, "kind": "1", "text": " = 1 + 1"}  # noqa: DTZ001
    assert frame.row(0, named=True) == expected
    assert first_file(made).schema["when"] == pl.Datetime("us")


def test_a_cell_that_breaks_its_promise_is_shown_by_validation_as_it_was_asked(tmp_path: Path) -> None:
    made = world(tmp_path)
    labelled(made, 3, x="north")
    take_in(made.ports, made.config)
    cycle = made.through("collect", "validate")
    assert "x: expected finite numbers, found 3 cells that are not (row 1: 'north'" in cycle.reason


def test_a_file_has_the_contracts_columns_in_its_order_where_that_is_asked_for(tmp_path: Path) -> None:
    columns = {"y": ANSWER, "seldom": {"type": "number", "required": False}, "x": NUMBER, "word": {"type": "category"}}
    made = world(tmp_path, data={"columns": columns}, validate={"ordered": True, "extra_columns": "error"})
    labelled(made, 3, beyond=1)
    batch_of(made)
    assert first_file(made).columns == ["y", "x", "word"]


def test_columns_that_files_call_otherwise_are_read_under_their_own_name(tmp_path: Path) -> None:
    made = world(tmp_path, data={"rename": {"x": "word", "word": "x", "old": "y"}})
    labelled(made, 3)
    assert batch_of(made).frame.row(1, named=True) == {"x": 0.5, "word": "w1"}


def test_without_a_contract_the_fields_are_taken_as_they_are(tmp_path: Path) -> None:
    made = world(tmp_path, data={"columns": {}})
    log = made.ports.log
    log.label(log.answer(asked(4)), ["yes", "no"] * 2)
    take_in(made.ports, made.config)
    assert first_file(made).columns == ["x", "word", "y"]
    assert made.through("collect", "validate").validation.passed == 1


@pytest.mark.parametrize(("kind", "alike"), [("text", str), ("category", str), ("integer", int), ("number", float)])
def test_an_id_that_requests_left_out_is_made_from_the_requests(tmp_path: Path, kind: str, alike: type) -> None:
    columns = {"id": {"type": kind, "unique": True, "max_null_share": 0, "feature": False}, **COLUMNS}
    made = world(tmp_path, data={"columns": columns, "id": "id"})
    ids = labelled(made, 3)
    given = made.ports.log.answer(asked(1, id="12"))
    made.ports.log.label(given, ["no"])
    found = batch_of(made).frame["id"].to_list()
    assert found[3] == alike("12")
    assert len(set(found)) == 4
    assert alike is not str or found[:3] == ids


def test_the_time_of_a_row_is_when_it_was_asked_unless_it_says_otherwise(tmp_path: Path) -> None:
    columns = {"at": {"type": "datetime", "max_null_share": 0, "feature": False}, **COLUMNS}
    made = world(tmp_path, data={"columns": columns, "time": "at"})
    labelled(made, 2)
    made.ports.log.label(made.ports.log.answer(asked(1, at="2025-01-01T01:00:00+01:00")), ["yes"])
    naive = START.replace(tzinfo=None)
    expected = [naive, naive + timedelta(seconds=1), datetime(2025, 1, 1)]  # noqa: DTZ001
    assert_series_equal(batch_of(made).frame["at"], pl.Series("at", expected, dtype=pl.Datetime("us")))


@pytest.mark.parametrize("setting", ["omit", "hash"])
@pytest.mark.parametrize(
    ("fields", "data", "refused"),
    [
        (["word"], {}, "'word'"),
        (["who"], {"group": "who"}, "'who'"),
        (["who"], {}, None),
        (["who"], {"id": "who"}, None),
    ],
)
def test_a_log_without_what_training_needs_is_a_wrong_setting(
    tmp_path: Path, setting: str, fields: list[str], data: Mapping[str, Any], refused: str | None
) -> None:
    columns = {**COLUMNS, "who": {"type": "text", "feature": False}}
    made = world(tmp_path, log={setting: fields}, data={"columns": columns, **data})
    assert take_in(made.ports, made.config).notes == (), "without a label nothing is wrong yet"
    labelled(made, 3)
    if refused is None:
        assert [span.rows for span in take_in(made.ports, made.config).spans] == [3]
        assert made.through("collect", "validate").validation.passed == 1
        return
    with pytest.raises(ConfigError, match=rf"serve\.log\.{setting} keeps {refused} out of .* serve\.log\.intake = false"):
        take_in(made.ports, made.config)
    assert made.ports.spans.count() == 0


def test_a_file_is_dated_as_its_rows_so_that_nobody_waits_for_it_to_settle(tmp_path: Path) -> None:
    made = world(tmp_path)
    labelled(made, 3)
    take_in(made.ports, made.config)
    changed = (tmp_path / "data/inbox/log-span-000001.parquet").stat().st_mtime
    assert datetime.fromtimestamp(changed, UTC) == START + timedelta(seconds=2)
