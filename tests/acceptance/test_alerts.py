"""Alerts to a real mail server and a real webhook: at once, later when they were away, once, and never at the cycle's cost."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.project import champion, write_day
from tests.acceptance.runs import Run, Runs, eventually
from tests.receivers import MailServer, Receiver, Webhook

SOON = 2.0  # seconds within which people are told
RETRY = {"KEEPFIT_ALERTS__TIMEOUT": "0.5s"}
EXPECTED = [
    "1 of 3 new batches is broken",
    "the champion's performance has fallen",
    "a retraining has begun",
    "version 2 is the champion",
]


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with MailServer() as server:
        yield server


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with Webhook() as server:
        yield server


@pytest.fixture(params=["mail", "hook"])
def receiver(request: pytest.FixtureRequest) -> Receiver:
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


def rows(runs: Runs, project: Path) -> list[dict[str, Any]]:
    """The outbox, the oldest first; without what was for nobody."""
    found = runs.start("alerts", "--json", folder=project).wait().facts
    return [each for each in reversed(found) if each["receiver"]]


def statuses(runs: Runs, project: Path) -> set[str]:
    return {each["status"] for each in rows(runs, project)}


def missing(receiver: Receiver) -> list[str]:
    """What of a promoting cycle the receiver was not told."""
    return [words for words in EXPECTED if not any(words in title for title in receiver.titles)]


def run_until_nothing_waits(runs: Runs, project: Path, environment: dict[str, str]) -> None:
    """Further runs, which find nothing else to do, until every alert has found its receiver."""

    def nothing_waits() -> bool:
        done = runs.run(folder=project, environment=environment)
        assert done.out.startswith("waiting"), done
        return "pending" not in statuses(runs, project)

    eventually(nothing_waits, "every alert being sent", 20)


def assert_once(receiver: Receiver) -> None:
    assert missing(receiver) == []
    assert [title for title, count in Counter(receiver.titles).items() if count > 1] == []


# ------------------------------------------------------------------------------------------------------------------ up


def test_people_are_told_within_two_seconds_each_once(runs: Runs, project: Path, mail: MailServer, hook: Webhook) -> None:
    environment = mail.environment | hook.environment
    assert runs.run(folder=project, environment=environment).out.startswith("promoted")
    assert_once(mail)
    assert_once(hook)
    happened = {each["alert"]["title"]: datetime.fromisoformat(each["alert"]["at"]) for each in rows(runs, project)}
    for receiver in (mail, hook):
        for title, moment in happened.items():
            (got,) = (each for each in receiver.got if title in each.text or title in each.title)
            assert (got.at - moment).total_seconds() < SOON, title
    runs.finish(project, environment=environment)
    assert_once(mail)
    assert statuses(runs, project) == {"sent"}


def test_people_are_told_that_a_retraining_has_begun_while_it_runs(
    runs: Runs, project: Path, mail: MailServer, tmp_path: Path
) -> None:
    call = ["session:run_and_wait_before_training_ends", str(tmp_path)]
    run = runs.start(folder=project, environment=mail.environment, call=call)
    eventually(lambda: any("a retraining has begun" in title for title in mail.titles), "the mail")
    assert champion(project) == "1"
    (tmp_path / "told").touch()
    assert run.wait().code == 0
    assert champion(project) == "2"


def test_what_is_over_is_told_and_so_is_a_rollback(runs: Runs, project: Path, mail: MailServer) -> None:
    runs.run(folder=project, environment=mail.environment)
    write_day(project, 6, "y")
    assert runs.run(folder=project, environment=mail.environment).out.startswith("healthy")
    assert "[info] walk: over: new data was broken" in mail.titles
    assert "[info] walk: over: the champion's performance had fallen" in mail.titles
    mail.got.clear()
    write_day(project, 7, "y")
    assert runs.run(folder=project, environment=mail.environment).out.startswith("healthy")
    assert mail.got == [], "who is well tells nothing"
    assert runs.start("rollback", "--reason", "too bold", folder=project, environment=mail.environment).wait().code == 0
    assert mail.titles == ["[warning] walk: back to version 1, before it was 2"]


def test_a_failure_is_told(runs: Runs, project: Path, mail: MailServer) -> None:
    (project / "features.py").write_text("def prepare(frame):\n    return frame['no such column']\n")
    assert runs.run(folder=project, environment=mail.environment).code == 1
    assert "[critical] walk: prepare failed" in mail.titles


# ---------------------------------------------------------------------------------------------------------------- away


def test_a_receiver_that_refused_and_was_away_is_told_when_it_is_back_once(runs: Runs, project: Path, receiver: Receiver) -> None:
    receiver.mood = "refuses"
    environment = receiver.environment | RETRY
    assert runs.run(folder=project, environment=environment).out.startswith("promoted")
    waiting = rows(runs, project)
    assert {each["status"] for each in waiting} == {"pending"}
    assert any("451 try again later" in each["reason"] or "answered 500" in each["reason"] for each in waiting)
    assert "not sent yet" in runs.start("status", folder=project).wait().out
    receiver.stop()
    runs.start("alerts", "--deliver", folder=project, environment=environment).wait()
    assert any("onnection refused" in each["reason"] for each in rows(runs, project))
    assert receiver.got == []
    receiver.mood = "well"
    receiver.start()
    run_until_nothing_waits(runs, project, environment)
    assert_once(receiver)
    runs.finish(project, environment=environment)
    assert_once(receiver)


def test_a_receiver_that_keeps_us_waiting_does_not_hold_up_the_cycle(runs: Runs, project: Path, receiver: Receiver) -> None:
    receiver.mood = "waits"
    environment = receiver.environment | RETRY
    done = runs.run("--json", folder=project, environment=environment)
    ended = datetime.now(UTC)
    assert done.facts["outcome"] == "promoted"
    assert receiver.asked
    assert (ended - datetime.fromisoformat(done.facts["finished_at"])).total_seconds() < 0.5 + 1
    assert statuses(runs, project) == {"pending"}
    receiver.mood = "well"
    run_until_nothing_waits(runs, project, environment)
    assert_once(receiver)


def test_a_receiver_that_is_away_keeps_nobody_else_waiting(runs: Runs, project: Path, mail: MailServer, hook: Webhook) -> None:
    mail.mood = "waits"
    runs.run(folder=project, environment=mail.environment | hook.environment | RETRY)
    assert_once(hook)
    assert {(each["receiver"], each["status"]) for each in rows(runs, project)} == {
        ("mail to ops@example.org", "pending"),
        ("webhook at 127.0.0.1", "sent"),
    }


# ---------------------------------------------------------------------------------------------------------------- once


@pytest.mark.slow
@pytest.mark.parametrize("checkpoint", [5, 8])  # of decide and of promote: each has put its alerts
def test_a_run_killed_between_an_alert_and_its_checkpoint_tells_it_once(
    runs: Runs, project: Path, mail: MailServer, checkpoint: int
) -> None:
    environment = mail.environment | RETRY
    effects = {"name": "cycles.save", "at": checkpoint, "send": signal.SIGKILL}
    killed = runs.start("run", folder=project, environment=environment, effects=effects)
    assert killed.wait().code == -signal.SIGKILL
    put = {each["alert"]["key"] for each in rows(runs, project)}
    assert put
    assert runs.run(folder=project, environment=environment).out.startswith("promoted")
    run_until_nothing_waits(runs, project, environment)
    after = rows(runs, project)
    assert put <= {each["alert"]["key"] for each in after}
    assert len(after) == len({each["alert"]["title"] for each in after})
    assert missing(mail) == []
    names = {each.message["Message-ID"] for each in mail.got}
    assert len(names) == len(set(mail.titles)), "a mail that was on its way at the kill may come twice, under one name"


def test_of_runners_that_send_at_once_one_does(runs: Runs, project: Path, mail: MailServer) -> None:
    mail.stop()
    environment = mail.environment | {"KEEPFIT_ALERTS__TIMEOUT": "5s"}
    assert runs.run(folder=project, environment=environment).out.startswith("promoted")
    mail.start()
    started: list[Run] = [runs.start("alerts", "--deliver", folder=project, environment=environment) for _ in range(4)]
    started.append(runs.start("run", folder=project, environment=environment))
    assert {run.wait().code for run in started} == {0}
    assert_once(mail)


def test_the_same_is_not_told_again_within_the_cooldown(runs: Runs, project: Path, mail: MailServer) -> None:
    runs.run(folder=project, environment=mail.environment)
    mail.got.clear()
    (project / "data/inbox/day-8.csv").write_text("x,y,answer\n" + "0.5,south,yes\n" * 20)
    assert runs.run(folder=project, environment=mail.environment).out.startswith("quarantined")
    assert mail.titles == ["[critical] walk: 1 of 1 new batches is broken"], "it has become more severe"
    mail.got.clear()
    (project / "data/inbox/day-9.csv").write_text("x,y,answer\n" + "0.5,west,yes\n" * 20)
    runs.run(folder=project, environment=mail.environment)
    assert mail.got == []
    latest, *_ = runs.start("alerts", "--json", folder=project).wait().facts
    assert "within alerts.cooldown" in latest["reason"]


# -------------------------------------------------------------------------------------------------------------- the verb


def test_the_receivers_can_be_tried_out(runs: Runs, project: Path, mail: MailServer, hook: Webhook) -> None:
    environment = mail.environment | hook.environment
    before = rows(runs, project)
    tried = runs.start("alerts", "--test", folder=project, environment=environment).wait()
    assert (tried.code, tried.out) == (0, "mail to ops@example.org: has got it\nwebhook at 127.0.0.1: has got it\n")
    assert mail.titles == ["[info] walk: this is a test"]
    hook.mood = "refuses"
    tried = runs.start("alerts", "--test", "--json", folder=project, environment=environment).wait()
    assert tried.code == 1
    assert [(each["receiver"], each["reached"]) for each in tried.facts] == [
        ("mail to ops@example.org", True),
        ("webhook at 127.0.0.1", False),
    ]
    assert "1 of 2 receivers were not reached: webhook at 127.0.0.1" in tried.err
    assert rows(runs, project) == before
    assert "Nobody is set up to be told" in runs.start("alerts", "--test", folder=project).wait().err


def test_nothing_shows_or_keeps_a_secret(runs: Runs, project: Path, hook: Webhook) -> None:
    hook.mood = "refuses"
    apprise = {"KEEPFIT_ALERTS__URLS": hook.url.replace("http://", "json://me:s3cret-word@") + " nosuch://s3cret-token"}
    environment = hook.environment | apprise | {"SMTP_PASSWORD": "s3cret-password", "ALERT_EMAIL": "a@b.c", "SMTP_PORT": "x"}
    verbs = ["run", "config", "doctor", "alerts", "alerts --json", "alerts --test", "alerts --deliver", "status"]
    said = [runs.start(*verb.split(), folder=project, environment=environment).wait() for verb in verbs]
    assert said[0].out.startswith("promoted"), "a wrong address fails no cycle"
    assert hook.asked
    assert "KEEPFIT_ALERTS__URLS: number 2 (nosuch) is not taken by Apprise" in said[2].out.replace("\n", " ")
    assert "s3cret" not in "".join(done.out + done.err for done in said)
    kept = [path for path in project.rglob("*") if path.is_file() and b"s3cret" in path.read_bytes()]
    assert kept == []


def test_addresses_in_the_settings_file_are_refused_with_the_way_out(runs: Runs, project: Path) -> None:
    with (project / "keepfit.toml").open("a") as settings:
        settings.write('\n[alerts]\nurls = "json://me:s3cret@host"\n')
    done = runs.run(folder=project)
    assert done.code == 2
    assert "alerts.urls: holds secrets, which belong into the environment: set KEEPFIT_ALERTS__URLS there" in done.err
    assert "s3cret" not in done.err
