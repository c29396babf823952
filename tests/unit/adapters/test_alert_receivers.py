"""Alerts by mail, webhook and Apprise, to real servers that are well, away, refusing or slow."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.receivers import MailServer, Webhook, certificate

from keepfit.adapters.alert_receivers import AlertReceivers
from keepfit.adapters.alert_receivers import mail as mail_channel
from keepfit.errors import ConfigError, MissingExtra, Unavailable
from keepfit.records import Alert, Event, Severity

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # Apprise looks for it

ALERT = Alert(
    key="c1/drift",
    project="churn",
    event=Event.DRIFT,
    severity=Severity.WARNING,
    title="churn: new data has drifted: age, größe",
    text="age: ks 0.31 <!channel> & more\nnothing else",
    at=datetime(2026, 3, 1, 12, tzinfo=UTC),
)


def only(environment: dict[str, str], timeout: float = 5) -> tuple[AlertReceivers, str]:
    """The receivers of this environment, and the name of the only one."""
    receivers = AlertReceivers(environment, timeout)
    (name,) = receivers.receivers
    return receivers, name


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with MailServer() as server:
        yield server


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with Webhook() as server:
        yield server


# ---------------------------------------------------------------------------------------------------------------- mail


def test_a_mail_says_what_happened_and_names_the_alert(mail: MailServer) -> None:
    receivers, name = only(mail.environment)
    assert name == "mail to ops@example.org"
    receivers.check()
    receivers.send(ALERT, name)
    receivers.send(ALERT, name)
    first, second = mail.got
    assert (first.title, first.to) == ("[warning] churn: new data has drifted: age, größe", ("ops@example.org",))
    assert first.text.startswith(ALERT.text)
    assert first.text.rstrip().endswith("2026-03-01 12:00:00 UTC, keepfit alert churn/c1/drift")
    assert first.message["X-Keepfit-Alert"] == "churn/c1/drift"
    assert first.message["Message-ID"] == second.message["Message-ID"], "whoever gets it twice may drop one"


def test_every_address_is_told_by_itself(mail: MailServer) -> None:
    receivers = AlertReceivers(mail.environment | {"ALERT_EMAIL": "a@example.org, b@example.org;a@example.org"}, 5)
    assert receivers.receivers == ("mail to a@example.org", "mail to b@example.org")
    receivers.send(ALERT, "mail to b@example.org")
    assert [each.to for each in mail.got] == [("b@example.org",)]


def test_a_mail_server_that_refuses_is_quoted(mail: MailServer) -> None:
    mail.mood = "refuses"
    receivers, name = only(mail.environment)
    with pytest.raises(Unavailable, match="refuses: 451 try again later"):
        receivers.send(ALERT, name)


def test_a_mail_server_that_is_away_is_said_to_be(mail: MailServer) -> None:
    mail.stop()
    receivers, name = only(mail.environment)
    with pytest.raises(Unavailable, match=rf"127\.0\.0\.1:{mail.port} was not reached: .*refused"):
        receivers.send(ALERT, name)


def test_a_slow_mail_server_is_given_up(mail: MailServer) -> None:
    mail.mood = "waits"
    receivers, name = only(mail.environment, timeout=0.2)
    began = time.monotonic()
    with pytest.raises(Unavailable, match="timed out"):
        receivers.send(ALERT, name)
    assert time.monotonic() - began < 2


def test_mail_is_encrypted_where_that_is_offered(tmp_path: Path) -> None:
    with MailServer(tls=certificate(tmp_path)) as server:
        receivers, name = only(server.environment)
        receivers.send(ALERT, name)
    assert [each.encrypted for each in server.got] == [True]


def test_a_password_is_used_and_shown_nowhere(capfd: pytest.CaptureFixture[str]) -> None:
    with MailServer(password="hunter2") as server:
        environment = server.environment | {"SMTP_USER": "me@example.org", "SMTP_PASSWORD": "hunter2"}
        receivers, name = only(environment)
        receivers.send(ALERT, name)
        assert [(each.user, each.message["From"]) for each in server.got] == [("me@example.org", "me@example.org")]
        wrong, name = only(environment | {"SMTP_PASSWORD": "hunter3"})
        with pytest.raises(Unavailable, match="refuses: 535") as refused:
            wrong.send(ALERT, name)
    assert "hunter" not in f"{refused.value} {refused.value.__cause__} {receivers.receivers} {capfd.readouterr()}"


def test_a_password_is_not_sent_in_the_clear_over_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail_channel, "_is_here", lambda host: False)
    with MailServer(password="hunter2") as server:
        receivers, name = only(server.environment | {"SMTP_USER": "me", "SMTP_PASSWORD": "hunter2"})
        with pytest.raises(ConfigError, match="offers no encryption, so the password in SMTP_PASSWORD was not sent"):
            receivers.send(ALERT, name)
    assert server.got == []


def test_a_password_is_not_sent_to_a_server_that_cannot_prove_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail_channel, "_is_here", lambda host: False)
    with MailServer(tls=certificate(tmp_path), password="hunter2") as server:
        receivers, name = only(server.environment | {"SMTP_USER": "me", "SMTP_PASSWORD": "hunter2"})
        with pytest.raises(Unavailable, match="certificate"):
            receivers.send(ALERT, name)
    assert server.got == []


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        ({"ALERT_EMAIL": "a@b.c"}, "SMTP_SERVER is not"),
        ({"ALERT_EMAIL": "a@b.c", "SMTP_SERVER": "h", "SMTP_PORT": "smtp"}, "SMTP_PORT: expected a number"),
        ({"ALERT_EMAIL": "a@b.c", "SMTP_SERVER": "h", "SMTP_PORT": "70000"}, "SMTP_PORT: expected a number"),
        ({"ALERT_EMAIL": "a@b.c", "SMTP_SERVER": "h", "ALERT_FROM": "me"}, "ALERT_FROM: expected an address"),
        ({"ALERT_EMAIL": "somebody", "SMTP_SERVER": "h", "ALERT_FROM": "k@b.c"}, "number 1 is none"),
        ({"SLACK_WEBHOOK_URL": "hooks.slack.com/services/s3cret"}, "SLACK_WEBHOOK_URL: expected an address"),
        ({"SLACK_WEBHOOK_URL": "ftp://host/s3cret"}, "SLACK_WEBHOOK_URL: expected an address"),
        ({"SLACK_WEBHOOK_URL": "http://[s3cret/"}, "SLACK_WEBHOOK_URL: expected an address"),
        ({"KEEPFIT_ALERTS__URLS": "s3cret"}, "KEEPFIT_ALERTS__URLS: number 1 is no URL"),
        (
            {"KEEPFIT_ALERTS__URLS": "json://localhost,nosuch://user:s3cret@host/s3cret"},
            r"number 2 \(nosuch\) is not taken by Apprise",
        ),
    ],
)
def test_what_is_set_up_wrongly_is_said_without_secrets(environment: dict[str, str], problem: str) -> None:
    receivers = AlertReceivers(environment, 1)
    with pytest.raises(ConfigError, match=problem) as wrong:
        receivers.check()
    assert "s3cret" not in f"{wrong.value} {receivers.receivers}"
    with pytest.raises(ConfigError, match=problem):
        receivers.send(ALERT, receivers.receivers[-1])


def test_nobody_is_set_up_by_an_empty_environment_or_a_mail_server_alone() -> None:
    assert AlertReceivers({}, 1).receivers == ()
    assert (
        AlertReceivers({"SMTP_SERVER": "mail.example.org", "SLACK_WEBHOOK_URL": " ", "KEEPFIT_ALERTS__URLS": ","}, 1).receivers
        == ()
    )


def test_a_receiver_that_is_not_set_up_any_more_is_said_to_be() -> None:
    with pytest.raises(ConfigError, match="Slack is not set up here"):
        AlertReceivers({}, 1).send(ALERT, "Slack")


# ------------------------------------------------------------------------------------------------------------- webhook


def test_a_webhook_gets_slacks_message(hook: Webhook) -> None:
    receivers, name = only(hook.environment)
    assert name == "webhook at 127.0.0.1"
    receivers.send(ALERT, name)
    (got,) = hook.got
    assert set(got.message) == {"text"}
    assert got.title == "*[warning] churn: new data has drifted: age, größe*"
    assert "&lt;!channel&gt; &amp; more" in got.text, "the name of a column calls nobody"
    assert "keepfit alert churn/c1/drift" in got.text
    assert AlertReceivers({"SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T/B/x"}, 1).receivers == ("Slack",)


@pytest.mark.parametrize(("mood", "words"), [("refuses", "answered 500"), ("moved", "answered 302")])
def test_a_webhook_that_refuses_is_quoted_without_its_address(hook: Webhook, mood: str, words: str) -> None:
    hook.mood = mood
    receivers, name = only(hook.environment)
    with pytest.raises(Unavailable, match=words) as refused:
        receivers.send(ALERT, name)
    assert "s3cret" not in f"{refused.value} {refused.value.__cause__}"
    assert hook.asked == 1


def test_a_webhook_that_is_away_or_slow_is_given_up(hook: Webhook) -> None:
    hook.mood = "waits"
    receivers, name = only(hook.environment, timeout=0.2)
    with pytest.raises(Unavailable, match="was not reached"):
        receivers.send(ALERT, name)
    hook.released.set()
    hook.stop()
    with pytest.raises(Unavailable, match=r"was not reached: .*refused"):
        receivers.send(ALERT, name)


# ------------------------------------------------------------------------------------------------------------- Apprise


def through_apprise(hook: Webhook) -> dict[str, str]:
    return {"KEEPFIT_ALERTS__URLS": hook.url.replace("http://", "json://me:s3cret-word@")}


def test_apprise_sends_at_once_however_many(hook: Webhook) -> None:
    receivers, name = only(through_apprise(hook))
    assert name == "json 127.0.0.1"
    receivers.check()
    began = time.monotonic()
    receivers.send(ALERT, name)
    receivers.send(ALERT, name)
    assert time.monotonic() - began < 3, "a kept connection would wait 5.5 seconds"
    first, _ = hook.got
    assert (first.title, first.message["type"]) == ("[warning] churn: new data has drifted: age, größe", "warning")
    assert "keepfit alert churn/c1/drift" in first.text


@pytest.mark.parametrize(("mood", "words"), [("refuses", "error=500"), ("waits", "Connection error")])
def test_what_apprise_says_is_the_reason_without_secrets_and_on_no_terminal(
    hook: Webhook, mood: str, words: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    hook.mood = mood
    receivers, name = only(through_apprise(hook), timeout=0.2)
    with caplog.at_level(logging.DEBUG), pytest.raises(Unavailable, match=words) as refused:
        receivers.send(ALERT, name)
    assert "s3cret" not in str(refused.value)
    assert capfd.readouterr().err == ""
    assert not [record for record in caplog.records if record.name == "apprise" and "s3cret" in record.getMessage()]


def test_urls_are_separated_by_spaces_and_commas_and_told_apart() -> None:
    urls = "json://host/one json://host/two,mailto://mail.example.org?to=a@b.c,d@e.f\nslack://T/A/B"
    names = AlertReceivers({"KEEPFIT_ALERTS__URLS": urls}, 1).receivers
    assert [name.partition(" (")[0] for name in names] == ["json host", "json host", "mailto mail.example.org", "slack"]
    assert len(set(names)) == 4
    turned = AlertReceivers({"KEEPFIT_ALERTS__URLS": "json://host/two json://host/one"}, 1).receivers
    assert turned == (names[1], names[0]), "a name stays with its address"


def test_apprise_leaves_nothing_in_the_home_folder(hook: Webhook, tmp_path: Path) -> None:
    program = "import sys, tests.unit.adapters.test_alert_receivers as t; r, n = t.only(eval(sys.argv[1])); r.send(t.ALERT, n)"
    environment = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    command = [sys.executable, "-B", "-c", program, repr(through_apprise(hook))]
    done = subprocess.run(command, env=environment, cwd=Path(__file__).parents[3], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(hook.got) == 1
    assert list(tmp_path.iterdir()) == []


def test_without_apprise_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    receivers, name = only({"KEEPFIT_ALERTS__URLS": "json://localhost/x"})
    with pytest.raises(MissingExtra, match=r"KEEPFIT_ALERTS__URLS needs apprise: pip install 'keepfit\[alerts\]'"):
        receivers.send(ALERT, name)
