"""Starting a workflow on GitHub: what is sent, and what is made of each answer. No answer and no fault shows the token."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from tests.receivers import GithubApi

from keepfit.adapters.github_release import GithubRelease
from keepfit.config import Config
from keepfit.errors import ConfigError, KeepfitError, TooSoon, Unavailable
from keepfit.operation_settings import GithubRelease as Settings
from keepfit.records import Announcement

NAME = "GitHub Actions"
NEWS = Announcement(move="c1", version="7", source="promotion", metric="accuracy", value=0.912345678)


@pytest.fixture
def api() -> Iterator[GithubApi]:
    with GithubApi() as server:
        yield server


def adapter(api: GithubApi, token: str | None = None, **settings: object) -> GithubRelease:
    told = {"enabled": True, "owner": "me", "repository": "my-model", "url": f"http://127.0.0.1:{api.port}/api/v3"}
    environment = {"GITHUB_TOKEN": api.TOKEN if token is None else token}
    return GithubRelease(Settings.model_validate({**told, "timeout": timedelta(seconds=0.3), **settings}), environment)


def refused(api: GithubApi, kind: type[KeepfitError], **settings: object) -> str:
    with pytest.raises(kind) as caught:
        adapter(api, **settings).release(NEWS, NAME)  # type: ignore[arg-type]
    assert api.TOKEN not in "".join(map(str, (caught.value, caught.value.__cause__, caught.value.args)))
    return str(caught.value)


@pytest.mark.parametrize("code", [204, 200, 202])
def test_the_workflow_is_asked_for_as_github_documents_it(api: GithubApi, code: int) -> None:
    api.code = code
    adapter(api, ref="release").release(NEWS, NAME)
    (seen,) = api.seen
    assert seen.path == "/api/v3/repos/me/my-model/actions/workflows/cd_pipeline.yml/dispatches"
    assert seen.body == {
        "ref": "release",
        "inputs": {"model_version": "7", "model_accuracy": "0.912346", "trigger_source": "promotion"},
    }
    assert seen.headers["Accept"] == "application/vnd.github+json"
    assert seen.headers["X-Github-Api-Version"] == "2022-11-28"
    assert seen.headers["Authorization"] == f"Bearer {api.TOKEN}"


def test_what_is_not_known_of_a_version_is_empty(api: GithubApi) -> None:
    adapter(api).release(Announcement(move="m", version="3", source="rollback"), NAME)
    assert api.seen[0].inputs == {"model_version": "3", "model_accuracy": "", "trigger_source": "rollback"}


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (401, "GitHub answered 401 so it is: GITHUB_TOKEN is not valid, or not any more. Set a new one."),
        (403, "It needs the right to write Actions on me/my-model."),
        (404, "there is no workflow cd_pipeline.yml on the default branch of me/my-model"),
        (422, "cd_pipeline.yml at main does not take it"),
        (301, "me/my-model goes by another name by now"),
    ],
)
def test_what_a_person_must_mend_is_said_plainly(api: GithubApi, code: int, words: str) -> None:
    api.code, api.headers = code, {"Location": f"http://127.0.0.1:{api.port}/elsewhere"}
    assert words in refused(api, ConfigError)
    assert len(api.seen) == 1, "a redirect is not followed with a token"


def test_an_answer_that_repeats_the_token_does_not_show_it(api: GithubApi) -> None:
    api.code, api.message = 401, f"Bad credentials: Bearer {api.TOKEN}\n\x1b[31m" + "x" * 500
    said = refused(api, ConfigError)
    assert "Bad credentials: Bearer ***" in said
    assert said.isprintable()
    assert len(said) < 400


def test_a_server_in_trouble_and_one_that_is_silent_are_tried_again(api: GithubApi) -> None:
    api.code = 503
    assert refused(api, Unavailable) == "GitHub answered 503 so it is"
    api.code = 0
    assert "GitHub was not reached: " in refused(api, Unavailable)
    api.stop()
    assert "GitHub was not reached: " in refused(api, Unavailable)


@pytest.mark.parametrize(
    ("code", "headers", "seconds"),
    [
        (429, {"Retry-After": "30"}, 30),
        (403, {"Retry-After": "120"}, 120),
        (429, {}, 0),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "{seconds:.0f}"}, 600),
        (429, {"Retry-After": "{date}"}, 600),
        (429, {"Retry-After": "9" * 400}, 86_400),
        (429, {"Retry-After": "soon"}, 60),
        (429, {"Retry-After": "-5"}, 60),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "never"}, 60),
    ],
)
def test_patience_is_had_for_as_long_as_is_asked_for_within_reason(
    api: GithubApi, code: int, headers: dict[str, str], seconds: float
) -> None:
    then = datetime.now(UTC) + timedelta(seconds=600)
    told = {"seconds": then.timestamp(), "date": format_datetime(then, usegmt=True)}
    api.code, api.headers = code, {name: text.format(**told) for name, text in headers.items()}
    with pytest.raises(TooSoon) as caught:
        adapter(api).release(NEWS, NAME)
    assert caught.value.seconds == pytest.approx(seconds, abs=60 if seconds == 600 else 0)


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("", "GITHUB_TOKEN is not set here"),
        ("  \n", "GITHUB_TOKEN is not set here"),
        ("s3cret\r\nX-Evil: 1", "holds signs that no token has"),
        ("s3crët", "holds signs that no token has"),
    ],
)
def test_a_token_that_is_none_is_never_sent(api: GithubApi, token: str, words: str) -> None:
    found = adapter(api, token=token)
    for ask in (found.check, lambda: found.release(NEWS, NAME)):
        with pytest.raises(ConfigError, match=words) as caught:
            ask()
        assert "s3cr" not in str(caught.value)
    assert api.seen == []


@pytest.mark.parametrize("url", ["http://example.org", "ftp://127.0.0.1", "nonsense", "http://[::1"])
def test_the_token_goes_without_encryption_to_this_machine_only(api: GithubApi, url: str) -> None:
    with pytest.raises(ConfigError, match=r"release\.github\.url: expected an address that begins with https://"):
        adapter(api, url=url).release(NEWS, NAME)


@pytest.mark.parametrize(
    "url", ["https://bob:pa55word@example.org/api/v3", "https://pa55word@example.org", "https://x/?t=pa55word"]
)
def test_an_address_with_a_secret_in_it_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match=r"release\.github\.url.*the token is read from GITHUB_TOKEN") as caught:
        Config.of({"project": {"name": "d", "task": "regression"}, "data": {"target": "y"}, "release": {"github": {"url": url}}})
    assert "pa55word" not in str(caught.value)
