"""The API over a real uvicorn in a thread, before a desk with a model that needs no training."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import uvicorn

from keepfit.codec import dumps
from keepfit.errors import Unavailable
from keepfit.inputs import Confidence, Inputs
from keepfit.live_records import (
    ApiKey,
    Comparisons,
    CycleFact,
    DriftCalculation,
    Finding,
    LatestDrift,
    LiveComparison,
    LivePerformance,
    Probation,
    Routing,
    Scope,
    VersionPerformance,
)
from keepfit.records import Action, ColumnDrift, DriftReport, Interval, Measure, NewPattern, Outcome, Promotion
from keepfit.serve_settings import Serve
from keepfit.serving.answers import Answer, Contribution
from keepfit.serving.app import build_app
from keepfit.serving.desk import Desk, Served
from keepfit.serving.plan import Placed, Plan
from keepfit.serving.protocol import protocol_for
from keepfit.serving.schemas import Schema
from keepfit.settings import Column

COLUMNS = {
    "message": Column(type="text", max_null_share=0, max_length=200),
    "length": Column(type="integer", minimum=0, maximum=1000),
    "rate": Column(type="number", minimum=-1, maximum=1),
    "known": Column(type="boolean"),
    "country": Column(type="category", values=("de", "fr", "in"), max_null_share=0),
    "sent_at": Column(type="datetime"),
}
OPTIONAL = ("length", "rate", "known", "country", "sent_at")
INPUTS = Inputs(
    task="classification",
    target="label",
    columns=COLUMNS,
    optional=OPTIONAL,
    classes=("ham", "spam"),
    positive="spam",
    confidence=Confidence(odds=(0.0, 3.0), probability=(0.5, 0.95), rows=200, error=0.01),
    example={"message": "see you at eight", "country": "de", "length": 16},
)
SECRET = "the quick secret 7531"  # a text that must not be found in any log


def a_key(name: str, *scopes: Scope) -> ApiKey:
    digest = hashlib.sha256(f"the key of {name}".encode()).hexdigest()
    return ApiKey(name=name, digest=digest, scopes=scopes, created_at=datetime.now(UTC))


KEYS = (a_key("asker", Scope.PREDICT), a_key("teller", Scope.FEEDBACK), a_key("boss", Scope.ADMIN))


class Memory:
    """A spool that remembers."""

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self.full = False

    def write(self, rows: Sequence[Any]) -> None:
        if self.full:
            raise Unavailable("The disk is full: /secret/place.")
        self.rows += rows

    def check(self) -> None:
        if self.full:
            raise Unavailable("The disk is full: /secret/place.")

    def close(self) -> None:
        pass


class Model:
    """Calls what holds "win" spam."""

    quick, together = True, True

    def __init__(self, inputs: Inputs = INPUTS) -> None:
        self.inputs = inputs

    def answer(self, rows: Sequence[dict[str, Any]], top: int = 0) -> list[Answer]:
        return [self._one(row["message"], top) for row in rows]

    def _one(self, message: str, top: int) -> Answer:
        if "crash" in message:
            raise RuntimeError(f"cannot do {message}")
        spam = "win" in message
        share = 0.9 if spam else 0.2
        found = (Contribution("win", 2.0),)[:top] if spam else ()
        return Answer("spam" if spam else "ham", max(share, 1 - share), {"ham": 1 - share, "spam": share}, found)


NOW = datetime(2026, 3, 1, tzinfo=UTC)
INTERVAL = Interval(low=0.1, high=0.2)
COLUMN = ColumnDrift(
    name="message",
    kind="text",
    method="vocabulary",
    score=0.2,
    threshold=0.1,
    p_value=0.001,
    drifted=True,
    reference=100,
    current=50,
    measures=(Measure(name="tfidf", value=0.3),),
)
PATTERN = NewPattern(column="message", label="spam", term="crypto", count=9, reference_count=0, log_odds=2.0, z=4.0)
COMPARISON = LiveComparison(
    champion="1",
    challenger="2",
    paired=True,
    n=40,
    champion_loss=0.1,
    challenger_loss=0.2,
    difference=-0.1,
    interval=INTERVAL,
    finding=Finding.WORSE,
    since=NOW,
)
PROBATION = Probation(champion="1", before="0", move="m", since=NOW, ends_at=NOW, labels=500, comparison=COMPARISON)
TOLD: dict[str, Any] = {  # what an office says to each act
    "comparison": Comparisons(champion="1", routing=Routing(since=NOW), challenger="2", comparison=COMPARISON, probation=PROBATION),
    "routing": Routing(),
    "set_routing": Routing(by="boss", since=NOW),
    "rollback": Promotion(alias="champion", from_version="1", to_version="0", kind="rollback", at=NOW),
    "performance": LivePerformance(
        champion="1",
        since=NOW,
        until=NOW,
        metric="f1",
        greater_is_better=True,
        value=0.9,
        interval=INTERVAL,
        n=10,
        units=10,
        rows=20,
        versions=(VersionPerformance(version="1", rows=20, n=10, value=None, interval=None),),
        probation=PROBATION,
    ),
    "drift": LatestDrift(
        cycle="c",
        at=NOW,
        drift_detected=True,
        action=Action.RETRAIN,
        reasons=("drift",),
        report=DriftReport(detected=True, columns=(COLUMN,), patterns=(PATTERN,)),
        files={"page": "reports/keepfit.html"},
    ),
    "calculate_drift": DriftCalculation(
        champion="1",
        drift_detected=True,
        vocabulary_drift=0.2,
        tfidf_drift=None,
        threshold=0.15,
        drifted=("message",),
        columns=(COLUMN,),
        output=(),
        label=None,
        new_patterns={"spam": (PATTERN,)},
        recommendation=Action.RETRAIN,
        reason="drift",
        rows=50,
        of=50,
        reference_rows=100,
        false_alarms=0.01,
    ),
    "history": (
        CycleFact(
            cycle="c",
            started_at=NOW,
            finished_at=None,
            outcome=Outcome.PROMOTED,
            reason="",
            action=None,
            drift_detected=None,
            champion=None,
            metric=None,
            value=None,
            challenger=None,
            promoted="1",
        ),
    ),
}


@dataclass
class Clerk:
    """An office that notes what it is asked."""

    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    error: Exception | None = None

    async def ask(self, act: str, **arguments: Any) -> Any:
        self.asked.append((act, arguments))
        if self.error is not None:
            raise self.error
        return json.loads(dumps(TOLD[act]))


@dataclass
class Api:
    """A running server."""

    url: str
    desk: Desk
    spool: Memory
    office: Clerk
    server: uvicorn.Server
    port: int

    def client(self, **named: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, trust_env=False, timeout=30, **named)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    @property
    def connections(self) -> int:
        return len(self.server.server_state.connections)


def place(desk: Desk, settings: Serve, version: str = "1", inputs: Inputs = INPUTS, **further: Any) -> None:
    """Have the desk follow a plan with this champion."""
    placed = Placed(model="demo", version=version, folder="/nowhere", content_hash="ab" * 32)
    served = Served(placed=placed, loaded=Model(inputs), schema=Schema(inputs, settings))
    desk.follow(Plan(champion=placed, **further), {version: served})


@contextlib.contextmanager
def api(settings: Mapping[str, Any] | None = None, *, keys: tuple[ApiKey, ...] = (), champion: bool = True) -> Iterator[Api]:
    """A server on a free port of this machine, until the block ends."""
    serve = Serve.model_validate(dict(settings or {}))
    spool, office = Memory(), Clerk()
    desk = Desk("demo", spool, serve)
    if champion:
        place(desk, serve, keys=keys)
    app = build_app(desk, office, serve, "demo")
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    port = listening.getsockname()[1]
    config = uvicorn.Config(
        app, http=protocol_for(serve), loop="uvloop", ws="none", lifespan="off", log_config=None, access_log=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield Api(f"http://127.0.0.1:{port}", desk, spool, office, server, port)
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()
        assert not thread.is_alive()
