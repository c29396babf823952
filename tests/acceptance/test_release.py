"""A promotion starts the delivery of its version: by a real HTTP server that plays GitHub's API, once, later when it was away, and
never at the cost of the cycle or the token."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.conftest import restored
from tests.acceptance.project import champion, state
from tests.acceptance.runs import Done, Runs, eventually
from tests.receivers import GithubApi, Webhook

import keepfit
from keepfit.testing import SetClock

START = datetime(2026, 3, 1, tzinfo=UTC)
SOON = {"KEEPFIT_RELEASE__GITHUB__TIMEOUT": "0.5s"}


@pytest.fixture
def api() -> Iterator[GithubApi]:
    with GithubApi() as server:
        yield server


def deliveries(runs: Runs, project: Path) -> list[dict[str, Any]]:
    """What the outbox holds for pipelines, the oldest first."""
    found = runs.start("alerts", "--json", folder=project).wait().facts
    return [each for each in reversed(found) if each["alert"]["event"] == "release"]


def deliver(runs: Runs, project: Path, environment: dict[str, str]) -> Done:
    return runs.start("alerts", "--deliver", folder=project, environment=environment).wait()


def promoted(runs: Runs, project: Path, environment: dict[str, str]) -> dict[str, Any]:
    done = runs.run("--json", folder=project, environment=environment)
    assert done.facts["outcome"] == "promoted", done
    return done.facts  # type: ignore[no-any-return]


@pytest.fixture
def pending(runs: Runs, project: Path, api: GithubApi) -> Path:
    """A project whose promotion GitHub has not taken yet."""
    api.code = 500
    promoted(runs, project, api.environment)
    (waiting,) = deliveries(runs, project)
    assert (waiting["status"], waiting["reason"]) == ("pending", "GitHub answered 500 so it is")
    assert "1 not sent yet" in runs.start("status", folder=project).wait().out
    api.seen.clear()
    return project


# ------------------------------------------------------------------------------------------------------------------ once


def test_a_promotion_starts_the_workflow_once_with_its_version(runs: Runs, project: Path, api: GithubApi) -> None:
    api.code = 204
    facts = promoted(runs, project, api.environment)
    assert facts["released"] == "GitHub Actions is asked to deliver version 2; `keepfit alerts` tells what came of it"
    (seen,) = api.seen
    accuracy = facts["verdict"]["challenger"]
    assert seen.inputs == {"model_version": "2", "model_accuracy": f"{accuracy:.6g}", "trigger_source": "promotion"}
    assert seen.path == "/api/v3/repos/me/my-model/actions/workflows/cd_pipeline.yml/dispatches"
    runs.finish(project, environment=api.environment)
    assert "nothing waits" in deliver(runs, project, api.environment).out
    assert api.asked == 1
    assert [each["status"] for each in deliveries(runs, project)] == ["sent"]
    assert "version 2 is to be delivered" in runs.start("alerts", folder=project).wait().out
    assert "Release: GitHub Actions is asked to deliver version 2" in runs.start("explain", facts["id"], folder=project).wait().out


def test_who_moves_the_alias_by_hand_starts_it_too(runs: Runs, project: Path, api: GithubApi) -> None:
    promoted(runs, project, {})
    assert deliveries(runs, project) == [], "nobody is told later of what happened before it was set up"
    assert runs.start("rollback", "--reason", "too bold", folder=project, environment=api.environment).wait().code == 0
    assert runs.start("promote", "2", folder=project, environment=api.environment).wait().code == 0
    told = [(each.inputs["model_version"], each.inputs["trigger_source"]) for each in api.seen]
    assert told == [("1", "rollback"), ("2", "promotion_by_hand")]
    assert all(0.5 < float(each.inputs["model_accuracy"]) <= 1 for each in api.seen)


def test_nothing_is_started_by_a_dry_run_or_where_it_is_not_enabled(runs: Runs, project: Path, api: GithubApi) -> None:
    assert runs.run("--dry-run", folder=project, environment=api.environment).out.startswith("would decide RETRAIN")
    facts = promoted(runs, project, api.environment | {"ENABLE_CD_TRIGGER": "false"})
    assert facts["released"] == "nothing is configured to follow a promotion"
    flags = {"release.github.enabled": True, "release.github.owner": "me", "release.github.repository": "my-model"}
    with keepfit.open(project, flags=flags) as real, keepfit.open(project, flags=flags, clock=SetClock(START)) as played:
        assert list(real.ports.releaser.receivers) == ["GitHub Actions"]
        assert list(played.ports.releaser.receivers) == []
    assert api.asked == 0


# ----------------------------------------------------------------------------------------------------------------- refusals


def test_a_refusal_undoes_nothing_and_is_mended_later(runs: Runs, pending: Path, api: GithubApi) -> None:
    refusals = {401: "GITHUB_TOKEN is not valid", 404: "there is no workflow cd_pipeline.yml", 422: "does not take it", 500: "500"}
    for code, words in refusals.items():
        api.code = code
        assert deliver(runs, pending, api.environment).code == 0
        (waiting,) = deliveries(runs, pending)
        assert (waiting["status"], words in waiting["reason"]) == ("pending", True)
    assert champion(pending) == "2"
    api.code = 204
    deliver(runs, pending, api.environment)
    assert [each["status"] for each in deliveries(runs, pending)] == ["sent"]
    assert set(api.versions) == {"2"}


def test_people_are_told_once_of_what_they_must_mend(runs: Runs, project: Path, api: GithubApi) -> None:
    api.code = 401
    with Webhook() as people:
        environment = api.environment | people.environment | {"KEEPFIT_ALERTS__MIN_SEVERITY": "warning"}
        promoted(runs, project, environment)
        runs.run(folder=project, environment=environment)
        deliver(runs, project, environment)
    titles = [title for title in people.titles if "delivery" in title]
    assert titles == ["*[warning] walk: the delivery of version 2 could not be started*"]
    assert champion(project) == "2"


@pytest.mark.parametrize(("code", "headers"), [(429, {"Retry-After": "3000"}), (403, {"Retry-After": "3000"})], ids=["429", "403"])
def test_patience_is_had_for_as_long_as_github_asks(
    runs: Runs, pending: Path, api: GithubApi, code: int, headers: dict[str, str]
) -> None:
    api.code, api.headers = code, headers
    deliver(runs, pending, api.environment)
    assert "it asks for 3000 seconds of patience" in deliveries(runs, pending)[0]["reason"]
    api.code, asked = 204, api.asked
    assert runs.run(folder=pending, environment=api.environment).out.startswith("waiting")
    assert api.asked == asked, "a run does not ask before the time"
    assert "sent" in deliver(runs, pending, api.environment).out, "a person may"


def test_silence_holds_up_neither_the_cycle_nor_the_next_one(runs: Runs, project: Path, api: GithubApi) -> None:
    api.code = 0
    promoted(runs, project, api.environment | SOON)
    assert api.asked
    (waiting,) = deliveries(runs, project)
    assert waiting["status"] == "pending"
    assert "GitHub was not reached" in waiting["reason"] or "has not answered within 0.5 seconds" in waiting["reason"]
    api.code = 204
    deliver(runs, project, api.environment)
    assert [each["status"] for each in deliveries(runs, project)] == ["sent"]


def test_a_champion_that_is_none_any_more_is_not_delivered(runs: Runs, pending: Path, api: GithubApi) -> None:
    api.code = 204
    assert runs.start("rollback", "--reason", "too bold", folder=pending, environment=api.environment).wait().code == 0
    deliver(runs, pending, api.environment)
    assert [(each["status"], each["reason"]) for each in deliveries(runs, pending)] == [
        ("suppressed", "version 1 has become champion since"),
        ("sent", ""),
    ]
    assert api.versions == ["1"]


# ------------------------------------------------------------------------------------------------------------- kills, races


def test_of_runners_that_send_at_once_one_does(runs: Runs, pending: Path, api: GithubApi) -> None:
    api.code = 204
    started = [runs.start("alerts", "--deliver", folder=pending, environment=api.environment) for _ in range(3)]
    started.append(runs.start("run", folder=pending, environment=api.environment))
    assert {run.wait().code for run in started} == {0}
    assert api.versions == ["2"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["outbox.put", "cycles.save"])
def test_a_run_killed_around_the_release_starts_it_all_the_same(
    runs: Runs, prepared: tuple[Path, Path], api: GithubApi, undisturbed: dict[str, Any], name: str
) -> None:
    """Before what is to be delivered is put, and after that, before the checkpoint of the stage."""
    project = restored(prepared)
    counted = runs.start("run", folder=project, environment=api.environment, effects={})
    assert counted.wait().code == 0
    saves = [place for place, effect in enumerate(counted.effects) if effect == "cycles.save"]
    put = max(place for place, effect in enumerate(counted.effects) if effect == "outbox.put" and place < saves[-2])
    at = (put if name == "outbox.put" else saves[-2]) + 1
    project = restored(prepared)
    api.seen.clear()
    killed = runs.start("run", folder=project, environment=api.environment, effects={"at": at, "send": signal.SIGKILL})
    assert killed.wait().code == -signal.SIGKILL
    assert killed.effects[-1].endswith(name)
    assert champion(project) == "2"
    runs.finish(project, environment=api.environment)
    _run_out_the_claims(project)  # who was killed may have been about to send it
    deliver(runs, project, api.environment)
    (delivery,) = deliveries(runs, project)
    assert delivery["status"] == "sent"
    assert set(api.versions) == {"2"}
    assert state(project)["versions"] == undisturbed["versions"]


def test_who_is_killed_between_the_answer_and_writing_it_down_sends_the_same_again(
    runs: Runs, pending: Path, api: GithubApi
) -> None:
    api.code = 0
    sending = runs.start("alerts", "--deliver", folder=pending, environment=api.environment)
    eventually(lambda: api.waiting, "the request arriving")
    sending.kill()
    api.code = 204
    assert "nothing waits" in deliver(runs, pending, api.environment).out, "the claim of who was killed still holds"
    _run_out_the_claims(pending)
    deliver(runs, pending, api.environment)
    assert api.versions == ["2", "2"]
    first, second = api.seen
    assert first.body == second.body
    assert [each["status"] for each in deliveries(runs, pending)] == ["sent"]


def _run_out_the_claims(project: Path) -> None:
    """As if half a minute had passed."""
    connection = sqlite3.connect(project / ".keepfit/ledger.db")
    with connection:
        connection.execute("update keepfit_alerts set claimed_until = '2026-01-01' where claimed_until is not null")
    connection.close()


# -------------------------------------------------------------------------------------------------------------------- token


def test_the_token_is_never_shown_or_kept(runs: Runs, project: Path, api: GithubApi, tmp_path: Path) -> None:
    api.code, api.message = 401, f"Bad credentials: Bearer {api.TOKEN}"
    verbs = [
        "run --verbose",
        "config",
        "config --json",
        "doctor",
        "alerts",
        "alerts --json",
        "alerts --deliver --verbose",
        "status",
    ]
    said = [runs.start(*verb.split(), folder=project, environment=api.environment).wait() for verb in verbs]
    assert said[0].out.startswith("promoted")
    assert "Bad credentials: Bearer ***" in said[5].out
    assert not [each for each in said if api.TOKEN in each.out + each.err]
    shutil.copytree(project, tmp_path / "kept")
    kept = [path for path in (tmp_path / "kept").rglob("*") if path.is_file()]
    assert not [path for path in kept if api.TOKEN.encode() in path.read_bytes()]
    assert json.loads(said[2].out)


def test_doctor_says_what_is_missing_and_asks_nobody(runs: Runs, project: Path, api: GithubApi) -> None:
    without = {name: value for name, value in api.environment.items() if name != "GITHUB_TOKEN"} | {"GITHUB_TOKEN": ""}
    lacking = runs.start("doctor", folder=project, environment=without).wait()
    assert lacking.code == 1
    assert "GITHUB_TOKEN is not set here" in " ".join(lacking.out.split())
    well = runs.start("doctor", folder=project, environment=api.environment).wait()
    assert "cd_pipeline.yml of me/my-model at main" in " ".join(well.out.split())
    nameless = runs.start("doctor", folder=project, environment={"ENABLE_CD_TRIGGER": "true"}).wait()
    assert nameless.code == 2
    assert "GITHUB_REPO_OWNER, GITHUB_REPO_NAME" in nameless.err
    assert api.asked == 0
