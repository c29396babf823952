"""What can be set of running a project by itself: the sections [schedule], [watch], [deploy], [release] and [clean]."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from keepfit.cron_fields import read
from keepfit.settings import Duration, Section, known_time_zone

StageName = Literal["collect", "validate", "prepare", "monitor", "decide", "train", "compare", "promote", "release", "archive"]
NAME = r"^([\w-][\w.-]*)?$"  # of an owner or a repository on GitHub
TIME = r"([01]\d|2[0-3]):[0-5]\d"


def _cron(text: str) -> str:
    if text.strip():
        read(text)
    return " ".join(text.split())


def _without_secrets(url: str) -> str:
    if any(sign in url for sign in "@?#"):
        raise PydanticCustomError("secret", "expected no user, password or token in it: the token is read from GITHUB_TOKEN")
    return url


def _date(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise ValueError("expected a date such as 2026-01-31") from None


class Schedule(Section):
    every: Duration | None = Field(default=None, gt=timedelta(0))
    """An interval, such as '15m'."""
    cron: Annotated[str, AfterValidator(_cron)] = ""
    """Or five fields of cron: minute, hour, day of the month, month, day of the week."""
    daily: str = Field(default="", pattern=rf"^({TIME})?$")
    """Or a time of every day, such as '06:30'."""
    weekly: str = Field(default="", pattern=rf"^((mon|tue|wed|thu|fri|sat|sun) {TIME})?$")
    """Or a day of every week with its time, such as 'mon 06:30'."""
    time_zone: Annotated[str, AfterValidator(known_time_zone)] = "UTC"
    """Time zone of cron, daily and weekly, such as 'Europe/Berlin'."""

    @model_validator(mode="after")
    def _one_at_most(self) -> Schedule:
        given = [name for name in ("every", "cron", "daily", "weekly") if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are both set: expected one of every, cron, daily and weekly")
        return self


class Watch(Section):
    on_arrival: bool = True
    """Whether new files and labels start a cycle by themselves, beside [schedule]."""
    look: Duration = Field(default=timedelta(seconds=5), gt=timedelta(0))
    """How often `keepfit watch` looks for them."""
    host: str = "127.0.0.1"
    """Address of the health endpoint."""
    port: int = Field(default=8090, ge=0, le=65535)
    """Its port; 0: any that is free."""
    health: bool = True
    """Whether there is a health endpoint."""
    patience: Duration = timedelta(minutes=10)
    """How long the stage that runs may go on after SIGTERM; what is not done by then is done by the next start."""


class StageLimits(Section):
    retries: int | None = Field(default=None, ge=0, le=100)
    """How often the stage is tried again; deploy.retries where it is not set."""
    retry_delay: Duration | None = None
    """How long is waited before; deploy.retry_delay where it is not set."""
    time_limit: Duration | None = Field(default=None, gt=timedelta(0))
    """How long the stage may take; deploy.time_limit where it is not set."""


class PrefectDeployment(Section):
    flow: str = Field(default="Automated Retraining Flow", min_length=1)
    """Name of the flow."""
    deployment: str = Field(default="main-retraining-deployment", min_length=1)
    """Name of its deployment."""
    work_pool: str = Field(default="keepfit", min_length=1)
    """Work pool whose workers run it."""


class AirflowDeployment(Section):
    pool: str = Field(default="keepfit", min_length=1)
    """Pool of the tasks that change the project; one slot keeps two of its runs from waiting for each other's lease."""
    start: Annotated[str, AfterValidator(_date)] = "2026-01-01"
    """The first logical date."""
    layout: Literal["stages", "pipelines"] = "stages"
    """One DAG with a task a stage, or three that pass data on by assets: generation by [simulate], preparation, training."""
    prepared: str = Field(default="prepared_data", min_length=1)
    """Folder or URL below which the pipelines put each day's prepared rows."""


class GithubDeployment(Section):
    python: str = Field(default="3.12", pattern=r"^3\.\d+$")
    """Version of Python that the workflows use."""
    image: str = Field(default="", pattern=r"^([a-z0-9][a-z0-9./:_-]*)?$")
    """Name of the inference image, such as 'ghcr.io/me/my-model'; the repository's own where it is empty."""


class Deploy(Section):
    retries: int = Field(default=2, ge=0, le=100)
    """How often an orchestrator tries a stage again that failed."""
    retry_delay: Duration = timedelta(seconds=30)
    """How long it waits before."""
    time_limit: Duration = Field(default=timedelta(hours=1), gt=timedelta(0))
    """How long a stage may take."""
    stages: dict[StageName, StageLimits] = Field(default={})
    """Other limits for single stages."""
    prefect: PrefectDeployment = PrefectDeployment()
    """What `keepfit deploy prefect` writes."""
    airflow: AirflowDeployment = AirflowDeployment()
    """What `keepfit deploy airflow` writes."""
    github: GithubDeployment = GithubDeployment()
    """What `keepfit deploy github` writes."""

    def of(self, stage: str) -> tuple[int, timedelta, timedelta]:
        """A stage's retries, the delay before each, and its time limit."""
        own = next((limits for name, limits in self.stages.items() if name == stage), StageLimits())
        return (
            self.retries if own.retries is None else own.retries,
            self.retry_delay if own.retry_delay is None else own.retry_delay,
            self.time_limit if own.time_limit is None else own.time_limit,
        )


class GithubRelease(Section):
    enabled: bool = False
    """Whether a promotion starts the workflow; ENABLE_CD_TRIGGER sets it too. The token is read from GITHUB_TOKEN."""
    owner: str = Field(default="", pattern=NAME)
    """Owner of the repository; GITHUB_REPO_OWNER sets it too."""
    repository: str = Field(default="", pattern=NAME)
    """Its name; GITHUB_REPO_NAME sets it too."""
    workflow: str = Field(default="cd_pipeline.yml", pattern=r"^[\w-][\w.-]*$")
    """File of the workflow."""
    ref: str = Field(default="main", min_length=1)
    """Branch or tag that it runs on."""
    url: Annotated[str, AfterValidator(_without_secrets)] = "https://api.github.com"
    """Address of GitHub's API."""
    timeout: Duration = Field(default=timedelta(seconds=10), gt=timedelta(0))
    """An API that has not answered for this long is asked again later."""

    @model_validator(mode="after")
    def _complete(self) -> GithubRelease:
        if self.enabled and not (self.owner and self.repository):
            raise ValueError("enabled = true needs owner and repository (GITHUB_REPO_OWNER, GITHUB_REPO_NAME)")
        return self


class Release(Section):
    github: GithubRelease = GithubRelease()
    """A workflow on GitHub that delivers the new champion."""


class Clean(Section):
    older: Duration = timedelta(days=90)
    """`keepfit clean` removes only what is older than this."""
    keep: int = Field(default=10, ge=1)
    """It never removes the latest this many of a kind: model versions, runs, reports, profiles."""
