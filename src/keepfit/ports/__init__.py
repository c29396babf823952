"""What the loop needs from the world, as small protocols.

Stages receive a `Ports` and know nothing else of the outside. Adapters (one outside tool a file) and the in-memory ports of
`keepfit.testing` satisfy these protocols; so may an object of yours, and the contract checks in `keepfit.testing` tell whether
it does.
Every method that changes something finds what it did before it does it again.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from keepfit.live_ports import PredictionLog, Shelf, Spans
from keepfit.ports.data import Arrival, Checked, Checker, Fault, Frames, Inbox, Kept, Look, Originals, Pile, Store, Versions
from keepfit.ports.engine import Engine, Workers
from keepfit.ports.ledger import Batches, Cycles, Journal, Leases, Ledger, Outbox, moves_of
from keepfit.ports.models import Metric, Model, ModelFormat, Predictions, ProjectCode, Statistics, StoredModel, Trained, Trainer
from keepfit.ports.people import Drawing, Notifier, Releaser
from keepfit.ports.registry import Attic, OldRun, OldVersion, References, Registration, Registry, Tracker
from keepfit.records import Lease

__all__ = [
    "Arrival",
    "Attic",
    "Batches",
    "Checked",
    "Checker",
    "Clock",
    "Cycles",
    "Drawing",
    "Engine",
    "Fault",
    "Frames",
    "Inbox",
    "Journal",
    "Kept",
    "Leases",
    "Ledger",
    "Look",
    "Metric",
    "Model",
    "ModelFormat",
    "Notifier",
    "OldRun",
    "OldVersion",
    "Originals",
    "Outbox",
    "Pile",
    "Ports",
    "Predictions",
    "ProjectCode",
    "References",
    "Registration",
    "Registry",
    "Releaser",
    "Statistics",
    "Store",
    "StoredModel",
    "Tracker",
    "Trained",
    "Trainer",
    "Versions",
    "Workers",
    "moves_of",
]


class Clock(Protocol):
    """Tells the time, so that tests and simulations can set it."""

    def now(self) -> datetime:
        """The time in UTC, with its zone."""
        ...


class Ports(Protocol):
    """Everything a stage may reach. Each is opened when it is first used, so that a cycle with nothing to do stays light."""

    @property
    def clock(self) -> Clock: ...

    @property
    def inbox(self) -> Inbox: ...

    @property
    def originals(self) -> Originals: ...

    @property
    def store(self) -> Store: ...

    @property
    def frames(self) -> Frames: ...

    @property
    def versions(self) -> Versions: ...

    @property
    def checker(self) -> Checker: ...

    @property
    def code(self) -> ProjectCode: ...

    @property
    def engine(self) -> Engine: ...

    @property
    def trainer(self) -> Trainer: ...

    @property
    def metric(self) -> Metric: ...

    @property
    def registry(self) -> Registry: ...

    @property
    def tracker(self) -> Tracker: ...

    @property
    def references(self) -> References: ...

    @property
    def releaser(self) -> Releaser: ...

    @property
    def drawing(self) -> Drawing: ...

    @property
    def notifier(self) -> Notifier: ...

    @property
    def log(self) -> PredictionLog: ...

    @property
    def spans(self) -> Spans: ...

    @property
    def shelf(self) -> Shelf: ...

    @property
    def attic(self) -> Attic: ...

    @property
    def check_results(self) -> Pile:
        """What the checker has left for people to look at."""
        ...

    @property
    def ledger(self) -> Ledger: ...

    @property
    def lease(self) -> Lease:
        """The lease under which this runner writes."""
        ...
