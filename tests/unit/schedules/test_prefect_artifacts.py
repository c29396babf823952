"""What Prefect is given to show: keys that it takes, texts that stay texts, links that hold no password."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from keepfit.codec import dumps
from keepfit.config import Config, load
from keepfit.cycle import NAMES
from keepfit.records import (
    Action,
    BatchValidation,
    Candidate,
    Conclusion,
    Cycle,
    Decision,
    Finding,
    Interval,
    Signal,
    SliceVerdict,
    Validation,
    Verdict,
)
from keepfit.schedules.prefect_artifacts import Shown, key_of, shown_after

HOSTILE = "a | b\n# <img src=x onerror=alert(1)> [click](javascript:alert(1)) `code`"
FINDING = Finding(check="type", column="age", expected="a number", found="'north'", rows=3)
CYCLE = Cycle(
    id="20260101T060000-aaaaaa",
    project="Summer_churn 2026",
    started_at=datetime(2026, 1, 1, tzinfo=UTC),
    validation=Validation(
        passed=0,
        quarantined=1,
        quality=None,
        batches=(
            BatchValidation(batch="0" * 64, name=HOSTILE, passed=False, quality=12.5, rows=20, labelled=0, findings=(FINDING,)),
        ),
    ),
    decision=Decision(
        action=Action.RETRAIN,
        reasons=(HOSTILE,),
        signals=(
            Signal(name="floor", fired=True, reason=HOSTILE, value=0.5, threshold=0.9, interval=Interval(low=0.4, high=0.6), n=10),
            Signal(name="age", fired=False, reason="too young", enough=False),
        ),
    ),
    candidate=Candidate(
        name="forest",
        parameters={"depth": "3"},
        version="7",
        run_id="abc123",
        uri="models:/Summer_churn 2026/7",
        content_hash="f" * 64,
        rows=100,
        batches=("0" * 64,),
        trained_on="t" * 64,
        seed=0,
    ),
    verdict=Verdict(
        gate="superior",
        passed=True,
        conclusion=Conclusion.PASSED,
        reason=HOSTILE,
        metric="accuracy",
        greater_is_better=True,
        champion=0.8,
        challenger=0.9,
        difference=0.1,
        interval=Interval(low=0.05, high=0.15),
        test="mcnemar",
        p_value=0.001,
        alpha=0.025,
        comparison=1,
        n=1000,
        units=1000,
        negative_flips=1,
        slices=(SliceVerdict(column="land", value="north|south", n=5, champion=None, challenger=1.0, passed=False, reason="few"),),
        notes=(HOSTILE,),
    ),
)


def config(folder: Path, url: str = "") -> Config:
    tracking = f'[tracking]\nurl = "{url}"\n' if url else ""
    (folder / "keepfit.toml").write_text(
        f'[project]\nname = "Summer_churn 2026"\ntask = "classification"\n[data]\ntarget = "y"\n{tracking}'
    )
    return load(folder)


def shown(settings: Config, cycle: Cycle = CYCLE) -> Mapping[str, Shown]:
    return {each.key: each for stage in NAMES for each in shown_after(stage, cycle, settings)}


def test_every_key_is_one_that_prefect_takes(tmp_path: Path) -> None:
    keys = shown(config(tmp_path, "http://mlflow:5000"))
    assert {key.removeprefix("summer-churn-2026-") for key in keys} == {
        *("batches", "signals", "decision", "challenger", "model-version", "training-run", "verdict"),
    }
    for key in (*keys, key_of("Ünïcode…", "signals"), key_of("___", "signals")):
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", key)


def test_tables_hold_plain_json(tmp_path: Path) -> None:
    tables = {key: each.body for key, each in shown(config(tmp_path)).items() if each.kind == "table"}
    rows = tables["summer-churn-2026-signals"]
    assert [row["fired"] for row in rows] == ["yes", "too little to say"]
    assert (rows[0]["value"], rows[0]["threshold"], rows[0]["interval"], rows[0]["rows"]) == (0.5, 0.9, "0.4 to 0.6", 10)
    assert tables["summer-churn-2026-batches"][0]["findings"] == "age: expected a number, found 'north'"
    assert json.loads(json.dumps(tables, allow_nan=False)) == tables


def test_words_from_data_stay_words(tmp_path: Path) -> None:
    """Outside of the indented story every sign that means something in Markdown or HTML is escaped, and a line stays a line."""
    texts = {key: each.body for key, each in shown(config(tmp_path)).items() if each.kind == "markdown"}
    plain = re.escape(HOSTILE.partition("\n")[0])  # "a \| b"
    assert len(texts) == 3
    for key in ("summer-churn-2026-decision", "summer-churn-2026-verdict"):
        lines = [line for line in texts[key].splitlines() if not line.startswith("    ")]
        told = [line for line in lines if "onerror" in line]
        assert told
        for line in told:
            assert line.removeprefix("- ").startswith(plain.replace("\\ ", " "))
            assert not re.search(r"(?<!\\)[<>\[\]`|#]", line.removeprefix("- "))


def test_the_verdict_has_both_models_and_the_interval(tmp_path: Path) -> None:
    text = shown(config(tmp_path))["summer-churn-2026-verdict"].body
    for expected in (
        "| accuracy of the champion | 0.8 |",
        "| accuracy of the challenger | 0.9 |",
        "| Its 95% interval | 0.05 to 0.15 |",
    ):
        assert expected in text
    assert "land = north\\|south (5 rows): – to 1, refused: few" in text


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("https://me:secret@mlflow.example:5000/base/", "https://mlflow.example:5000/base"),
        ("http://[::1]:5000", "http://[::1]:5000"),
    ],
)
def test_links_lead_to_the_version_and_its_run_and_hold_no_password(tmp_path: Path, url: str, server: str) -> None:
    found = shown(config(tmp_path, url))
    links = {key: each.body for key, each in found.items() if each.kind == "link"}
    assert links == {
        "summer-churn-2026-model-version": f"{server}/#/models/Summer_churn%202026/versions/7",
        "summer-churn-2026-training-run": f"{server}/#/runs/abc123",
    }
    assert "secret" not in str(found)


def test_a_database_with_a_password_is_not_shown(tmp_path: Path) -> None:
    assert "secret" not in str(shown(config(tmp_path, "postgresql://me:secret@host/mlflow")))
    assert f"sqlite:///{tmp_path}" in shown(config(tmp_path))["summer-churn-2026-challenger"].body


def test_a_report_is_linked_once_it_is_there(tmp_path: Path) -> None:
    settings = config(tmp_path)
    assert "summer-churn-2026-report" not in shown(settings)
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/keepfit.html").touch()
    assert shown(settings)["summer-churn-2026-report"].body == (tmp_path / "reports/keepfit.html").as_uri()


def test_a_cycle_that_ended_early_has_nothing_to_show(tmp_path: Path) -> None:
    parts: dict[str, Any] = dict.fromkeys(("validation", "decision", "candidate", "verdict"))
    early = replace(CYCLE, **parts)
    assert "null" in dumps(early)
    assert not shown(config(tmp_path), early)
