"""What can be set of serving: the section [serve] of keepfit.toml and those below it."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field, model_validator

from keepfit.settings import Address, Duration, Section, Share


class LogSettings(Section):
    url: Address = ".keepfit/log"
    """Folder or URL (s3://bucket/prefix) of the prediction log's segments; replicas share it."""
    spool: str = ".keepfit/spool"
    """Folder on a local disk in which each worker writes down its answers before they leave."""
    segment: Duration = timedelta(seconds=5)
    """How long a worker writes to one spool file before it becomes a segment of the log."""
    durable: bool = False
    """Whether every answer waits until the disk has it, so that it survives a power cut too; without it, the death of a process."""
    on_full: Literal["stop", "continue"] = "stop"
    """Where an answer cannot be written down (a full disk): stop answering, or answer and say that it is not logged. Labels are not
    taken until they can be, either way."""
    omit: tuple[str, ...] = ()
    """Fields that are left out of the log."""
    hash: tuple[str, ...] = ()
    """Fields of which the log keeps only a keyed hash; the key is read from KEEPFIT_LOG_KEY."""
    keep: Duration | None = None
    """Rows older than this are removed, those with a label once they were taken into the loop (at once with intake = false); None:
    kept for ever."""
    compact: int = Field(default=64, ge=2)
    """A day before today with more segments than this is merged into one; of today, this many at a time."""
    intake: bool = True
    """Whether labelled rows of the log become batches of the loop."""
    min_rows: int = Field(default=100, ge=1)
    """Newly labelled rows of the log that make a batch."""


class RoutingSettings(Section):
    mode: Literal["champion", "split", "shadow"] = "champion"
    """Who answers: the champion alone; challenger and champion by shares; or the champion, while the challenger answers silently
    and is logged."""
    challenger: str | None = None
    """The challenger: a version, or an alias of the registry."""
    share: Share = 0.2
    """The challenger's share of the traffic where it is split."""
    sticky: str | None = None
    """The field whose equal values are always answered by the same model; without one the header X-Route-Key, then chance."""
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    """How often the live comparison may name the wrong one the better, however often it is looked at."""

    @model_validator(mode="after")
    def _has_challenger(self) -> RoutingSettings:
        if self.mode != "champion" and self.challenger is None:
            raise ValueError(f"mode = {self.mode!r} needs a challenger: a version, or an alias of the registry")
        return self


class Probation(Section):
    enabled: bool = True
    """Whether the champion before goes on answering silently after a promotion, so that a bad one can be taken back."""
    labels: int = Field(default=500, ge=10)
    """Probation ends after this many labelled answers."""
    time: Duration = timedelta(days=7)
    """Or after this long."""
    alpha: float = Field(default=0.01, gt=0, lt=0.5)
    """How often a new champion that is not worse may be taken back, however often it is looked at."""
    margin: float = Field(default=0.0, ge=0, lt=1)
    """By how much worse (in the mean loss of an answer, 0 to 1) it may be without being taken back."""


class Serve(Section):
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 is every one of this machine."""
    port: int = Field(default=8000, ge=0, le=65535)
    """Port; 0 takes a free one."""
    workers: int = Field(default=1, ge=1, le=64)
    """Processes that answer."""
    authentication: Literal["auto", "required", "off"] = "auto"
    """Whether requests need an API key: auto asks for one unless the server listens on loopback only."""
    public_health: bool = True
    """Whether /health, /ready and /ping answer without a key."""
    allowed_hosts: tuple[str, ...] = ()
    """Names by which the server may be called (the Host header). Without any: loopback's own where it listens on loopback only,
    every one elsewhere."""
    cors_origins: tuple[str, ...] = ()
    """Web origins whose pages may call the API from a browser; none by default."""
    max_body: int = Field(default=1_048_576, ge=1024)
    """Largest request, in bytes."""
    max_batch: int = Field(default=1000, ge=1, le=100_000)
    """Most rows of one /predict/batch."""
    max_text: int = Field(default=10_000, ge=1)
    """Most characters of a text whose column promises no max_length."""
    rate: float | None = Field(default=None, ge=0)
    """Requests a second that one key (or address, without keys) may make on one worker, with bursts of ten seconds' worth; 0: any
    number. Without it: any number on loopback, 200 elsewhere."""
    max_connections: int = Field(default=1000, ge=1)
    """Connections that one worker holds; more are closed at once."""
    request_timeout: Duration = timedelta(seconds=15)
    """A request that has not wholly arrived after this long is given up."""
    drain: Duration = timedelta(seconds=20)
    """How long requests under way may take to finish when the server is asked to stop."""
    poll: Duration = timedelta(seconds=0.2)
    """How often the registry's alias is looked at."""
    model: str = ""
    """Folder of the one version that answers, as `keepfit data model` writes it; without one the registry's champion answers."""
    top_features: int = Field(default=5, ge=0, le=50)
    """Most features that an answer names as having contributed to it; 0: none."""
    window: Duration = timedelta(days=7)
    """The part of the log, up to now, that /metrics/performance and /drift/calculate speak of."""
    log: LogSettings = LogSettings()
    """The prediction log."""
    routing: RoutingSettings = RoutingSettings()
    """How two models share the traffic."""
    probation: Probation = Probation()
    """How long a new champion is watched, and when it is taken back."""
